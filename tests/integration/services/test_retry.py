"""A buyer's own try: at once, beside our own schedule, and never beside a charge under way."""

import contextlib
from datetime import datetime, timedelta
from typing import Any

import pytest

from shared.billing.charge_hours import KST, ChargeHours, DailyHours
from shared.billing.dunning import BUYER_PAUSE
from shared.billing.outcome import MethodDead
from tests.support.billing import QUIET, START_AT, World
from tests.support.book import Ending, ProcessDiedError
from tests.support.wishes import charged_at, declined_once, end, ruled, try_invoice
from worker.services.commanding import CommandRefusedError

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
STEP_AT = START_AT + 2 * DAY


@pytest.fixture
def invoice_id(world: World) -> int:
    """An invoice that was declined an hour ago; our own next step is due two days after that."""
    world.gateway.script.append(Ending.DECLINED)
    declined = world.run(declined_once(world))
    world.pass_time(HOUR)
    return declined


def origins(world: World, invoice_id: int) -> list[tuple[str, str]]:
    return [(a.origin, a.status) for a in world.run(world.attempts(invoice_id))]


def refusal(world: World, invoice_id: int) -> str:
    before = world.run(world.rows("SELECT * FROM invoices ORDER BY id"))
    with pytest.raises(CommandRefusedError) as caught:
        world.run(try_invoice(world, invoice_id))
    assert world.run(world.rows("SELECT * FROM invoices ORDER BY id")) == before
    return str(caught.value)


class TestIsCharged:
    def test_at_once_and_told(self, world: World, invoice_id: int) -> None:
        told = world.run(try_invoice(world, invoice_id))
        now = world.clock.now()
        assert told == {"invoice_id": invoice_id, "next_attempt_at": now.isoformat()}
        (event,) = world.run(world.events("invoice.retry_asked"))
        assert event == {
            "invoice_id": invoice_id,
            "period_index": 0,
            "amount": 9_900,
            "tax_free": 0,
            "at": now.isoformat(),
        }
        assert world.run(world.charge_all()) == ["paid"]
        assert origins(world, invoice_id) == [("schedule", "declined"), ("buyer", "paid")]
        assert world.run(world.subscription(invoice_id)).status == "active"

    def test_and_a_decline_of_it_leaves_our_schedule_as_it_was(
        self, world: World, invoice_id: int
    ) -> None:
        world.run(try_invoice(world, invoice_id))
        world.gateway.script.append(Ending.DECLINED)
        assert world.run(world.charge_all()) == ["declined"]
        invoice = world.run(world.invoice(invoice_id))
        assert (invoice.declines, invoice.next_attempt_at) == (1, STEP_AT)
        assert (invoice.retry_asked_at, invoice.planned_attempt_at) == (None, None)
        assert [told["declines"] for told in world.run(world.events("payment.declined"))] == [1, 1]
        # The schedule goes on with its second step, as if the buyer had not tried.
        world.gateway.script.append(Ending.DECLINED)
        assert world.run(charged_at(world, 2 * DAY)) == ["declined"]
        invoice = world.run(world.invoice(invoice_id))
        assert (invoice.declines, invoice.next_attempt_at) == (2, world.clock.now() + 5 * DAY)

    def test_and_what_came_due_meanwhile_waits_a_little(
        self, world: World, invoice_id: int
    ) -> None:
        world.pass_time(2 * DAY)
        world.run(try_invoice(world, invoice_id))
        world.gateway.script.append(Ending.DECLINED)
        assert world.run(world.charge_all()) == ["declined"]
        invoice = world.run(world.invoice(invoice_id))
        assert invoice.next_attempt_at == world.clock.now() + BUYER_PAUSE
        assert world.run(charged_at(world, BUYER_PAUSE)) == ["paid"]
        assert origins(world, invoice_id)[-1] == ("schedule", "paid")

    def test_before_its_first_attempt_too(self, module_url: str) -> None:
        """The hours of our schedule are no reason to keep a buyer waiting."""
        hours = ChargeHours(DailyHours.parse("12:00-22:00"))
        with ruled(module_url, hours) as world:
            (invoice_id,) = world.run(world.open_invoices())
            assert world.run(world.charge_all()) == []
            world.run(try_invoice(world, invoice_id))
            assert world.run(world.charge_all()) == ["paid"]
            assert origins(world, invoice_id) == [("buyer", "paid")]

    def test_but_not_in_maintenance(self, module_url: str) -> None:
        hours = ChargeHours(maintenance=(DailyHours.parse("09:00-09:30"),))
        with ruled(module_url, hours) as world:
            (invoice_id,) = world.run(world.open_invoices())
            told = world.run(try_invoice(world, invoice_id))
            at = datetime(2026, 1, 31, 9, 30, tzinfo=KST)
            assert datetime.fromisoformat(str(told["next_attempt_at"])) == at
            assert world.run(world.charge([invoice_id])) == []
            assert world.run(charged_at(world, HOUR / 2)) == ["paid"]
            assert origins(world, invoice_id) == [("buyer", "paid")]

    def test_and_a_method_that_dies_of_it_is_dead(self, world: World, invoice_id: int) -> None:
        world.run(try_invoice(world, invoice_id))
        (claim,) = world.run(world.claim([invoice_id]))
        world.run(end(world, claim, MethodDead("등록되지 않은 구매자입니다")))
        (key,) = world.run(world.rows("SELECT status FROM billing_keys"))
        assert key.status == "dead"
        assert world.run(world.invoice(invoice_id)).next_attempt_at is None

    def test_with_a_send_of_ours_that_waits_under_its_own_uid(self, world: World) -> None:
        """What certainly moved no money goes out now instead of later, and stays ours."""
        world.gateway.script.append(Ending.NOT_SENT)
        (invoice_id,) = world.run(world.open_invoices())
        assert world.run(world.charge_all()) == ["waiting"]
        world.run(try_invoice(world, invoice_id))
        assert world.run(world.charge_all()) == ["paid"]
        assert origins(world, invoice_id) == [("schedule", "paid")]
        assert len({sent.claim.merchant_uid for sent in world.gateway.sent}) == 1


class TestIsRefusedInWords:
    @pytest.mark.parametrize(
        ("status", "why"),
        [
            ("paid", "it is paid already"),
            ("uncollectible", "it was given up, which is final: ask for its amount"),
            ("void", "it is void: nothing is owed"),
        ],
    )
    def test_for_an_invoice_that_has_ended(
        self, world: World, invoice_id: int, status: str, why: str
    ) -> None:
        statement = """
            UPDATE invoices SET status = :status, next_attempt_at = NULL,
                paid_at = CASE WHEN :status = 'paid' THEN now() END
        """
        world.run(world.rows(statement, status=status))
        assert why in refusal(world, invoice_id)

    def test_for_one_that_is_not_there(self, world: World) -> None:
        assert refusal(world, 999) == "there is no invoice 999"

    @pytest.mark.parametrize(
        ("ending", "why"),
        [
            (Ending.REQUEST_LOST, "its outcome is being looked for"),
            (Ending.DIES_AFTER_PAID, "a charge is under way"),
        ],
        ids=["unknown", "claimed"],
    )
    def test_while_nobody_knows_whether_money_moved(
        self, world: World, invoice_id: int, ending: Ending, why: str
    ) -> None:
        world.gateway.script.append(ending)
        with contextlib.suppress(ProcessDiedError):
            world.run(charged_at(world, 2 * DAY))
        assert why in refusal(world, invoice_id)

    def test_while_a_person_finds_out(self, world: World, invoice_id: int) -> None:
        statement = "UPDATE payment_attempts SET status = 'parked', settled_at = NULL"
        world.run(world.rows(statement))
        assert "a person is finding out" in refusal(world, invoice_id)

    @pytest.mark.parametrize(
        ("statement", "why"),
        [
            ("UPDATE billing_keys SET status = 'dead'", "the billing key is dead: register"),
            (
                (
                    "UPDATE subscriptions SET cancel_at = '2026-01-31T00:30Z', cancel_reason = 'x',"
                    " cancel_requester = 'customer', cancel_refund = 'none',"
                    " cancel_late_payment = 'none'"
                ),
                "its subscription has ended",
            ),
            (
                "UPDATE subscriptions SET status = 'canceled', next_renewal_at = NULL",
                "its subscription has ended",
            ),
            (
                "UPDATE invoices SET collection_stopped = true, next_attempt_at = NULL",
                "the buyer's money came another way",
            ),
        ],
        ids=["dead key", "ending", "ended", "stopped"],
    )
    def test_where_nothing_can_be_charged(
        self, world: World, invoice_id: int, statement: str, why: str
    ) -> None:
        world.run(world.rows(statement))
        assert why in refusal(world, invoice_id)

    def test_twice_before_the_first_was_charged(self, world: World, invoice_id: int) -> None:
        world.run(try_invoice(world, invoice_id))
        assert "is about to be charged" in refusal(world, invoice_id)

    def test_more_often_than_a_day_allows(self, module_url: str) -> None:
        with ruled(module_url, retries_max=2) as world:
            world.gateway.script.extend([Ending.DECLINED] * 3)
            invoice_id = world.run(declined_once(world))
            for _ in range(2):
                world.run(try_invoice(world, invoice_id))
                assert world.run(world.charge_all()) == ["declined"]
                world.pass_time(HOUR)
            assert "was tried by its buyer 2 times within a day, and 2" in refusal(
                world, invoice_id
            )
            world.pass_time(23 * HOUR)
            world.run(try_invoice(world, invoice_id))


class TestADeathInBetween:
    def test_after_the_wish_loses_nothing(self, world: World, invoice_id: int) -> None:
        """The wish is a row: whoever looks next finds it due."""
        world.run(try_invoice(world, invoice_id))
        world.run(world.dispatch())
        world.queue.take()
        world.pass_time(3 * timedelta(minutes=1))
        assert world.run(world.charge_all()) == ["paid"]
        assert origins(world, invoice_id)[-1] == ("buyer", "paid")

    @pytest.mark.parametrize(
        ("ending", "status", "next_at"),
        [
            (Ending.DIES_AFTER_DECLINED, "declined", STEP_AT),
            (Ending.DIES_AFTER_PAID, "paid", None),
        ],
        ids=["declined", "paid"],
    )
    def test_of_the_sender_ends_by_the_inquiry_as_the_buyers(
        self, world: World, invoice_id: int, ending: Ending, status: str, next_at: Any
    ) -> None:
        world.run(try_invoice(world, invoice_id))
        world.gateway.script.append(ending)
        with pytest.raises(ProcessDiedError):
            world.run(world.charge_all())
        world.pass_time(QUIET)
        assert world.run(world.inquire_all()) == [status]
        invoice = world.run(world.invoice(invoice_id))
        assert (invoice.declines, invoice.next_attempt_at) == (1, next_at)
        assert origins(world, invoice_id)[-1] == ("buyer", status)

    def test_of_the_request_sends_the_same_uid_again_as_the_buyers(
        self, world: World, invoice_id: int
    ) -> None:
        world.run(try_invoice(world, invoice_id))
        world.gateway.script.append(Ending.DIES_BEFORE_SENDING)
        with pytest.raises(ProcessDiedError):
            world.run(world.charge_all())
        world.pass_time(QUIET)
        world.run(world.inquire_all())
        world.pass_time(HOUR)
        world.run(world.inquire_all())
        world.gateway.script.append(Ending.DECLINED)
        assert world.run(world.charge_all()) == ["declined"]
        invoice = world.run(world.invoice(invoice_id))
        assert (invoice.declines, invoice.next_attempt_at) == (1, STEP_AT)
        assert len(world.run(world.attempts(invoice_id))) == 2
