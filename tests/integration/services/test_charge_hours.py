"""Charge hours on real rows: an attempt waits for them, whatever made it due, and none is lost."""

from datetime import datetime, timedelta

import pytest

from shared.billing.charge_hours import KST, ChargeHours, DailyHours
from shared.holidays import is_bank_holiday
from tests.support.billing import QUIET, START_AT, World
from tests.support.book import Ending
from tests.support.wishes import charged_at, ruled

# The world begins on a Saturday at nine in the morning, in Korea.
HOURS = ChargeHours(DailyHours.parse("10:00-12:00"))
OPENS_AT = datetime(2026, 1, 31, 10, tzinfo=KST)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


def sent_hours(world: World) -> list[int]:
    return [sent.at.astimezone(KST).hour for sent in world.gateway.sent]


def test_a_renewal_opens_its_invoice_at_once_and_is_charged_when_the_hours_open(
    module_url: str,
) -> None:
    with ruled(module_url, HOURS) as world:
        (invoice_id,) = world.run(world.open_invoices())
        invoice = world.run(world.invoice(invoice_id))
        assert (invoice.period_start_at, invoice.next_attempt_at) == (START_AT, OPENS_AT)
        assert world.run(world.charge_all()) == []
        assert world.run(charged_at(world, HOUR)) == ["paid"]
        assert sent_hours(world) == [10]


def test_what_is_due_outside_them_is_put_off_by_its_claim(module_url: str) -> None:
    """Rows of before the hours were set, a new method, a person: whatever made it due."""
    with ruled(module_url, HOURS) as world:
        ids = world.run(world.open_invoices(3))
        statement = "UPDATE invoices SET next_attempt_at = :now, message = '잔액 부족'"
        world.run(world.rows(statement, now=world.clock.now()))
        assert world.run(world.charge_all()) == []
        for invoice_id in ids:
            invoice = world.run(world.invoice(invoice_id))
            assert (invoice.next_attempt_at, invoice.dispatched_at) == (OPENS_AT, None)
            assert (invoice.attempts, invoice.message) == (0, "잔액 부족")
        assert world.run(charged_at(world, HOUR)) == ["paid"] * 3


def test_nothing_is_claimed_that_would_be_sent_after_they_close(module_url: str) -> None:
    with ruled(module_url, HOURS) as world:
        (invoice_id,) = world.run(world.open_invoices())
        world.pass_time(3 * HOUR - timedelta(seconds=29))
        assert world.run(world.charge_all()) == []
        assert world.run(world.invoice(invoice_id)).next_attempt_at == OPENS_AT + DAY
        assert world.run(world.attempts(invoice_id)) == []


@pytest.mark.parametrize("ending", [Ending.DECLINED, Ending.NOT_SENT, Ending.REQUEST_LOST])
def test_whatever_is_tried_again_is_tried_within_them(module_url: str, ending: Ending) -> None:
    with ruled(module_url, HOURS, delays=(timedelta(hours=30),)) as world:
        (invoice_id,) = world.run(world.open_invoices())
        # A minute before they close: another send would come after that.
        world.pass_time(3 * HOUR - timedelta(minutes=1))
        world.gateway.script.append(ending)
        world.run(world.charge_all())
        for _ in range(200):
            if world.run(world.invoice(invoice_id)).status == "paid":
                break
            at = world.run(world.next_at())
            assert at is not None
            world.clock.instant = max(at, world.clock.now())
            world.run(world.inquire_all())
            world.run(world.charge_all())
        else:
            pytest.fail("it was never paid")
        assert set(sent_hours(world)) <= {10, 11}
        assert len(world.gateway.sent) == 2


def test_an_inquiry_is_made_at_all_hours(module_url: str) -> None:
    with ruled(module_url, HOURS) as world:
        world.run(world.open_invoices())
        world.pass_time(3 * HOUR - timedelta(minutes=1))
        world.gateway.script.append(Ending.PAID_REPLY_LOST)
        assert world.run(world.charge_all()) == ["unknown"]
        world.pass_time(QUIET)
        assert world.run(world.inquire_all()) == ["paid"]


def test_an_end_without_a_charge_is_written_at_all_hours(module_url: str) -> None:
    with ruled(module_url, ChargeHours(DailyHours.parse("10:00-12:00"))) as world:
        (invoice_id,) = world.run(world.open_invoices(price=0))
        world.run(world.rows("UPDATE invoices SET next_attempt_at = :n", n=world.clock.now()))
        assert world.run(world.charge([invoice_id])) == ["paid unsent"]


def test_a_week_end_is_waited_out(module_url: str) -> None:
    with ruled(module_url, ChargeHours(is_day_off=is_bank_holiday)) as world:
        (invoice_id,) = world.run(world.open_invoices())
        monday = datetime(2026, 2, 2, tzinfo=KST)
        assert world.run(world.invoice(invoice_id)).next_attempt_at == monday
        assert world.run(charged_at(world, monday - START_AT)) == ["paid"]


def test_a_burst_is_spread_and_billed_for_the_same_periods(module_url: str) -> None:
    spread = ChargeHours(DailyHours.parse("10:00-12:00"), spread=HOUR)
    with ruled(module_url, spread) as world:
        ids = world.run(world.open_invoices(60))
        rows = world.run(world.rows("SELECT * FROM invoices WHERE id = ANY(:ids)", ids=ids))
        assert {row.period_start_at for row in rows} == {START_AT}
        instants = {row.next_attempt_at for row in rows}
        assert len(instants) == 60
        assert OPENS_AT <= min(instants) < OPENS_AT + HOUR / 4
        assert OPENS_AT + HOUR * 3 / 4 < max(instants) < OPENS_AT + HOUR
        assert world.run(charged_at(world, 2 * HOUR)) == ["paid"] * 60


def test_a_death_while_it_is_put_off_leaves_it_due(module_url: str) -> None:
    """The move is one transaction with the claim: before it nothing happened, after it all has."""
    with ruled(module_url, HOURS) as world:
        (invoice_id,) = world.run(world.open_invoices())
        world.run(world.rows("UPDATE invoices SET next_attempt_at = :n", n=world.clock.now()))
        assert world.run(world.dispatch()) == 1
        # The message is lost with its worker, and comes again.
        world.queue.take()
        world.pass_time(timedelta(minutes=3))
        assert world.run(world.charge_all()) == []
        assert world.run(world.invoice(invoice_id)).next_attempt_at == OPENS_AT
        assert world.run(charged_at(world, HOUR)) == ["paid"]
