"""The wish to end a subscription, and the end: what it voids, gives back, and leaves alone."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.calendar import BillingCycle, Interval, IntervalUnit
from shared.billing.inquiry import StillUnresolved
from shared.billing.lifecycle import SubscriptionStatus
from shared.billing.refund import RefundCause, Requester
from shared.db import endings, invoices, outbox, remains, subscriptions
from tests.support.billing import MONTHLY, RESEND_AFTER, START_AT, World
from tests.support.book import Ending
from tests.support.endings import Ends
from worker.services import endings as service
from worker.services.commanding import CommandRefusedError
from worker.services.refund_requests import RefundRequest, request_refund

INSTANT = timedelta(microseconds=1)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
# 31 January, nine in Korea, to 28 February, nine in Korea: 28 dates.
PERIOD_END = datetime(2026, 2, 28, tzinfo=UTC)
PRICE, TAX_FREE = 28_000, 2_800
UNKNOWN_ID = uuid.UUID(int=10**30)


@pytest.fixture
def ends(world: World) -> Ends:
    """Empty tables with one process on them, which ends subscriptions."""
    return Ends(world)


async def subscribed(ends: Ends, **agreement: Any) -> uuid.UUID:
    """Return a subscription whose first period begins now, a moment later."""
    (id_,) = await ends.world.subscribe(price=PRICE, tax_free=TAX_FREE, **agreement)
    ends.world.pass_time(INSTANT)
    return id_


async def paid(ends: Ends, **agreement: Any) -> uuid.UUID:
    """Return a subscription whose first period is paid, a moment later."""
    id_ = await subscribed(ends, **agreement)
    await ends.world.renew()
    assert await ends.world.charge_all() == ["paid"]
    ends.world.pass_time(INSTANT)
    return id_


async def owing(ends: Ends) -> uuid.UUID:
    """Return a subscription whose first period is open, a moment later."""
    id_ = await subscribed(ends)
    await ends.world.renew()
    ends.world.pass_time(INSTANT)
    return id_


async def stands(ends: Ends, id_: uuid.UUID) -> tuple[str, datetime | None, datetime | None]:
    row = await ends.subscription(id_)
    return row.status, row.cancel_at, row.canceled_at


class TestTheWish:
    def test_now_is_at_once(self, ends: Ends) -> None:
        id_ = ends.world.run(paid(ends))
        now = ends.world.clock.now()
        told = ends.world.run(
            ends.cancel(
                id_, reason="가격", requester="admin", refund="pro_rata", late_payment="none"
            )
        )
        assert told == {
            "subscription_id": str(id_),
            "when": "now",
            "cancel_at": now.isoformat(),
            "replaced_cancel_at": None,
            "refund": "pro_rata",
            "late_payment": "none",
        }
        row = ends.world.run(ends.subscription(id_))
        assert (row.status, row.cancel_at, row.canceled_at) == ("active", now, None)
        assert (row.cancel_reason, row.cancel_requester) == ("가격", "admin")
        assert (row.cancel_refund, row.cancel_late_payment) == ("pro_rata", "none")
        (event,) = ends.world.run(ends.world.events("subscription.cancellation_scheduled"))
        assert event["cancel_at"] == event["at"] == now.isoformat()
        assert (event["reason"], event["requester"], event["when"]) == ("가격", "admin", "now")

    def test_the_end_of_the_period_is_where_the_next_one_would_begin(self, ends: Ends) -> None:
        id_ = ends.world.run(paid(ends))
        told = ends.world.run(ends.cancel(id_, "period_end"))
        assert told["cancel_at"] == PERIOD_END.isoformat()
        assert ends.world.run(stands(ends, id_)) == ("active", PERIOD_END, None)

    @pytest.mark.parametrize("days", [-40, -1])
    def test_after_an_outage_it_is_the_period_that_runs(self, ends: Ends, days: int) -> None:
        """However many periods before it nobody has decided yet."""
        anchor = START_AT + days * DAY
        id_ = ends.world.run(subscribed(ends, cycle=BillingCycle(anchor, MONTHLY)))
        cycle = BillingCycle(anchor, MONTHLY)
        end = cycle.period(cycle.index_at(START_AT) + 1).start_at
        ends.world.run(ends.cancel(id_, "period_end"))
        assert ends.world.run(stands(ends, id_)) == ("active", end, None)

    def test_before_the_first_period_it_is_its_start_and_nothing_is_ever_billed(
        self, ends: Ends
    ) -> None:
        anchor = START_AT + 14 * DAY
        id_ = ends.world.run(subscribed(ends, cycle=BillingCycle(anchor, MONTHLY)))
        ends.world.run(ends.cancel(id_, "period_end"))
        for wait in (DAY, 13 * DAY, DAY, 40 * DAY):
            ends.world.pass_time(wait)
            assert ends.world.run(ends.world.renew()) == 0
            ends.world.run(ends.end_all())
        assert ends.world.run(stands(ends, id_)) == ("canceled", anchor, anchor)
        assert ends.world.run(ends.invoices(id_)) == []

    def test_an_imported_period_that_runs_is_used_to_its_end(self, ends: Ends) -> None:
        """It was billed elsewhere; the first one of ours lies further ahead."""
        cycle = BillingCycle(START_AT - 45 * DAY, MONTHLY)
        id_ = ends.world.run(subscribed(ends, cycle=cycle, first_period_index=3))
        ends.world.run(ends.cancel(id_, "period_end"))
        end = cycle.period(cycle.index_at(START_AT) + 1).start_at
        assert ends.world.run(stands(ends, id_)) == ("active", end, None)

    def test_now_overrides_the_end_of_the_period(self, ends: Ends) -> None:
        id_ = ends.world.run(paid(ends))
        ends.world.run(ends.cancel(id_, "period_end", reason="이사"))
        ends.world.pass_time(DAY)
        told = ends.world.run(ends.cancel(id_, reason="고장", refund="full"))
        assert told["replaced_cancel_at"] == PERIOD_END.isoformat()
        row = ends.world.run(ends.subscription(id_))
        assert (row.cancel_at, row.cancel_reason) == (ends.world.clock.now(), "고장")
        ends.world.run(ends.end_all())
        assert ends.world.run(ends.refunds()) == [("cancellation", PRICE, TAX_FREE)]

    @pytest.mark.parametrize(
        ("first", "second", "said"),
        [
            ("period_end", "period_end", "ends already at .* cancel now"),
            ("now", "now", "is being ended already"),
            ("now", "period_end", "is being ended already"),
        ],
    )
    def test_a_wish_that_is_no_earlier_changes_nothing(
        self, ends: Ends, first: str, second: str, said: str
    ) -> None:
        id_ = ends.world.run(paid(ends))
        ends.world.run(ends.cancel(id_, first, reason="이사"))
        before = ends.world.run(ends.subscription(id_))
        ends.world.pass_time(HOUR)
        with pytest.raises(CommandRefusedError, match=said):
            ends.world.run(ends.cancel(id_, second, reason="고장"))
        assert ends.world.run(ends.subscription(id_)) == before
        assert len(ends.world.run(ends.world.events("subscription.cancellation_scheduled"))) == 1

    def test_what_is_not_there_or_has_ended_is_refused(self, ends: Ends) -> None:
        with pytest.raises(CommandRefusedError, match=f"no subscription {UNKNOWN_ID}"):
            ends.world.run(ends.cancel(UNKNOWN_ID))
        id_ = ends.world.run(paid(ends))
        ends.world.run(ends.cancel(id_))
        canceled_at = ends.world.clock.now()
        ends.world.run(ends.end_all())
        with pytest.raises(CommandRefusedError, match="ended already, at") as caught:
            ends.world.run(ends.cancel(id_))
        assert canceled_at.isoformat() in str(caught.value)

    @pytest.mark.parametrize(
        ("when", "said", "why"),
        [
            ("period_end", {"refund": "full"}, "cancel now, or refund none"),
            ("period_end", {"refund": "pro_rata"}, "cancel now, or refund none"),
            ("now", {"reason": "   "}, "a reason must be given"),
            ("now", {"reason": "line\nbreak"}, "control characters"),
        ],
    )
    def test_a_wish_that_contradicts_itself_is_refused(
        self, ends: Ends, when: str, said: dict[str, str], why: str
    ) -> None:
        id_ = ends.world.run(paid(ends))
        with pytest.raises(CommandRefusedError, match=why):
            ends.world.run(ends.cancel(id_, when, **said))
        assert ends.world.run(stands(ends, id_)) == ("active", None, None)

    def test_a_calendar_that_cannot_be_counted_can_be_ended_now(self, ends: Ends) -> None:
        id_ = ends.world.run(paid(ends))
        ends.world.run(ends.world.rows("UPDATE subscriptions SET time_zone = 'Mars/Olympus_Mons'"))
        with pytest.raises(CommandRefusedError, match="cancel now instead"):
            ends.world.run(ends.cancel(id_, "period_end"))
        ends.world.run(ends.cancel(id_))
        assert ends.world.run(ends.end_all()) == ["closed"]

    def test_of_two_at_once_one_is_refused(self, ends: Ends) -> None:
        id_ = ends.world.run(paid(ends))
        other = ends.twin()

        async def scenario() -> list[object]:
            wishes = (ends.cancel(id_, refund="full"), other.cancel(id_, refund="full"))
            return list(await asyncio.gather(*wishes, return_exceptions=True))

        answers = ends.world.run(scenario())
        assert sum(isinstance(answer, CommandRefusedError) for answer in answers) == 1
        assert len(ends.world.run(ends.world.events("subscription.cancellation_scheduled"))) == 1


class TestBeforeTheEnd:
    def test_nothing_is_collected_from_the_wish_on(self, ends: Ends) -> None:
        id_ = ends.world.run(owing(ends))
        (invoice,) = ends.world.run(ends.invoices(id_))
        ends.world.run(ends.cancel(id_))
        ends.book.script.extend([StillUnresolved("HTTP 500")] * 3)
        for _ in range(3):
            assert ends.world.run(ends.world.charge([invoice.id])) == []
            assert ends.world.run(ends.world.charge_all()) == []
            assert ends.world.run(ends.end_all()) == ["reserved"]
            ends.world.pass_time(HOUR)
        assert ends.world.gateway.sent == []
        assert ends.world.run(ends.end_all()) == ["closed"]

    def test_until_the_end_of_the_period_everything_goes_on(self, ends: Ends) -> None:
        id_ = ends.world.run(owing(ends))
        ends.world.gateway.script.append(Ending.DECLINED)
        ends.world.run(ends.cancel(id_, "period_end"))
        assert ends.world.run(ends.world.charge_all()) == ["declined"]
        ends.world.pass_time(2 * DAY)
        assert ends.world.run(ends.world.charge_all()) == ["paid"]
        assert ends.world.run(ends.end_all()) == []
        ends.world.clock.instant = PERIOD_END - INSTANT
        assert ends.world.run(ends.end_all()) == []
        ends.world.pass_time(INSTANT)
        assert ends.world.run(ends.world.renew()) == 0
        assert ends.world.run(ends.end_all()) == ["closed"]
        assert ends.world.run(stands(ends, id_)) == ("canceled", PERIOD_END, PERIOD_END)
        assert ends.world.run(ends.refunds()) == []


class TestTheEnd:
    def test_it_is_as_of_the_wish_however_late_it_is_written(self, ends: Ends) -> None:
        id_ = ends.world.run(paid(ends))
        ends.world.pass_time(6 * DAY)
        wished_at = ends.world.clock.now()
        ends.world.run(ends.cancel(id_, reason="이사", refund="pro_rata"))
        ends.book.script.append(StillUnresolved("ReadTimeout"))
        assert ends.world.run(ends.end_all()) == ["reserved"]
        ends.world.pass_time(10 * DAY)
        assert ends.world.run(ends.end_all()) == ["closed"]
        row = ends.world.run(ends.subscription(id_))
        assert (row.status, row.canceled_at, row.next_renewal_at) == ("canceled", wished_at, None)
        (event,) = ends.world.run(ends.world.events("subscription.canceled"))
        assert event["canceled_at"] == wished_at.isoformat()
        assert event["at"] == ends.world.clock.now().isoformat()
        assert (event["reason"], event["requester"]) == ("이사", "customer")
        # 7 of 28 days were begun by then.
        assert ends.world.run(ends.refunds()) == [("cancellation", 21_000, 2_100)]

    @pytest.mark.parametrize(
        ("refund", "back"),
        [
            ("none", []),
            ("full", [("cancellation", PRICE, TAX_FREE)]),
            ("pro_rata", [("cancellation", 13_000, 1_300)]),
        ],
    )
    def test_the_running_period_is_given_back_as_was_asked_for(
        self, ends: Ends, refund: str, back: list[tuple[str, int, int]]
    ) -> None:
        id_ = ends.world.run(paid(ends))
        ends.world.pass_time(14 * DAY)
        ends.world.run(ends.cancel(id_, refund=refund))
        assert ends.world.run(ends.end_all()) == ["closed"]
        assert ends.world.run(ends.refunds()) == back
        requested = ends.world.run(ends.world.events("payment.refund_requested"))
        assert [(event["cause"], event["amount"]) for event in requested] == [
            (cause, amount) for cause, amount, _ in back
        ]
        assert ends.world.run(ends.wind_up()) == []

    def test_a_period_before_the_running_one_is_kept(self, ends: Ends) -> None:
        id_ = ends.world.run(paid(ends))
        ends.world.clock.instant = PERIOD_END + DAY
        ends.world.run(ends.world.renew())
        assert ends.world.run(ends.world.charge_all()) == ["paid"]
        ends.world.pass_time(INSTANT)
        ends.world.run(ends.cancel(id_, refund="full"))
        ends.world.run(ends.end_all())
        (row,) = ends.world.run(
            ends.world.rows(
                "SELECT i.period_index FROM refunds r JOIN payments p ON p.id = r.payment_id"
                " JOIN payment_attempts a ON a.id = p.attempt_id"
                " JOIN invoices i ON i.id = a.invoice_id"
            )
        )
        assert row.period_index == 1

    def test_what_went_back_before_makes_no_unused_day_cheaper_but_limits_the_sum(
        self, ends: Ends
    ) -> None:
        for before, back in ((4_000, 21_000), (20_000, 8_000), (28_000, None)):
            ends.world.run(ends.world.clear())
            ends.world.clock.instant = START_AT
            id_ = ends.world.run(paid(ends))
            ends.world.pass_time(6 * DAY)
            ends.world.run(given_back(ends, before))
            ends.world.run(ends.cancel(id_, refund="pro_rata"))
            assert ends.world.run(ends.end_all()) == ["closed"]
            amounts = [
                amount
                for cause, amount, _ in ends.world.run(ends.refunds())
                if cause == "cancellation"
            ]
            assert amounts == ([] if back is None else [back])

    def test_what_is_open_is_void_and_so_is_the_attempt_that_waits(self, ends: Ends) -> None:
        id_ = ends.world.run(owing(ends))
        ends.world.gateway.script.append(Ending.NOT_SENT)
        ends.world.run(ends.world.charge_all())
        ends.world.pass_time(INSTANT)
        ends.world.run(ends.cancel(id_))
        assert ends.world.run(ends.end_all()) == ["closed"]
        (invoice,) = ends.world.run(ends.invoices(id_))
        assert (invoice.status, invoice.next_attempt_at) == ("void", None)
        assert invoice.message == "the subscription is canceled"
        assert ends.world.run(ends.world.attempt(invoice.id)).status == "void"
        (told,) = ends.world.run(ends.world.events("invoice.voided"))
        assert (told["invoice_id"], told["amount"], told["tax_free"]) == (
            invoice.id,
            PRICE,
            TAX_FREE,
        )

    def test_a_free_period_gives_nothing_back(self, ends: Ends) -> None:
        (id_,) = ends.world.run(ends.world.subscribe(price=0))
        ends.world.run(ends.world.renew())
        assert ends.world.run(ends.world.charge_all()) == ["paid unsent"]
        ends.world.pass_time(INSTANT)
        ends.world.run(ends.cancel(id_, refund="full"))
        assert ends.world.run(ends.end_all()) == ["closed"]
        assert ends.world.run(ends.refunds()) == []

    def test_days_that_cannot_be_counted_delay_the_refund_and_nothing_else(
        self, ends: Ends
    ) -> None:
        id_ = ends.world.run(paid(ends))
        ends.world.run(ends.cancel(id_, refund="pro_rata"))
        ends.world.run(ends.world.rows("UPDATE subscriptions SET time_zone = 'Mars/Olympus_Mons'"))
        assert ends.world.run(ends.end_all()) == ["ended"]
        assert ends.world.run(ends.wind_up()) == ["awaited"]
        ends.world.run(ends.world.rows("UPDATE subscriptions SET time_zone = 'Asia/Seoul'"))
        assert ends.world.run(ends.wind_up()) == ["closed"]
        assert ends.world.run(ends.refunds()) == [("cancellation", 27_000, 2_700)]

    def test_a_message_that_comes_too_early_or_again_does_nothing(self, ends: Ends) -> None:
        id_ = ends.world.run(paid(ends))
        assert ends.world.run(ends.end([id_, UNKNOWN_ID])) == []
        ends.world.run(ends.cancel(id_, "period_end"))
        assert ends.world.run(ends.end([id_])) == []
        ends.world.clock.instant = PERIOD_END
        assert ends.world.run(ends.end([id_, id_])) == ["closed"]
        assert ends.world.run(ends.end([id_])) == []
        assert len(ends.world.run(ends.world.events("subscription.canceled"))) == 1

    def test_an_end_that_was_moved_while_its_message_was_under_way_is_looked_at_again(
        self, ends: Ends
    ) -> None:
        """Between the look that found it and the lock, an operator took the wish back."""
        id_ = ends.world.run(paid(ends))
        ends.world.run(ends.cancel(id_))

        async def take_back(_customer_uid: str) -> None:
            await ends.world.rows("UPDATE subscriptions SET cancel_at = NULL")

        ends.book.revoke_schedules = take_back  # type: ignore[assignment,method-assign]
        assert ends.world.run(ends.end([id_])) == ["awaited"]
        assert ends.world.run(stands(ends, id_)) == ("active", None, None)


async def given_back(ends: Ends, amount: int) -> None:
    """Ask for a refund by command, and have it done."""
    (payment,) = await ends.world.rows("SELECT id FROM payments")
    request = RefundRequest(
        payment.id, amount, None, "불편", Requester.ADMIN, RefundCause.COMMAND, f"r{amount}"
    )
    await ends.world.database.run(
        lambda connection: request_refund(connection, request, ends.world.clock.now())
    )


class TestReservations:
    def test_they_are_revoked_before_anything_else(self, ends: Ends) -> None:
        id_ = ends.world.run(owing(ends))
        ends.world.run(ends.cancel(id_, refund="full"))
        ends.book.script.extend([StillUnresolved("HTTP 502"), KeyError("a fault of ours")])
        for _ in range(2):
            assert ends.world.run(ends.end_all()) == ["reserved"]
            assert ends.world.run(ends.subscription(id_)).status == "active"
            assert ends.world.run(ends.invoices(id_))[0].status == "open"
            assert ends.world.run(ends.end_all()) == []
            ends.world.pass_time(RESEND_AFTER)
        assert ends.world.run(ends.end_all()) == ["closed"]
        assert len(ends.book.asked) == 3

    def test_they_stay_while_another_subscription_lives_on_the_key(self, ends: Ends) -> None:
        first, second = ends.world.run(ends.world.subscribe(2))
        ends.world.run(
            ends.world.rows(
                "UPDATE subscriptions SET billing_key_id = (SELECT min(id) FROM billing_keys)"
            )
        )
        ends.world.run(ends.cancel(first))
        assert ends.world.run(ends.end_all()) == ["closed"]
        assert ends.book.asked == []
        ends.world.run(ends.cancel(second))
        assert ends.world.run(ends.end_all()) == ["closed"]
        assert len(ends.book.asked) == 1

    def test_of_two_that_end_at_once_on_one_key_neither_leaves_it_to_the_other(
        self, ends: Ends
    ) -> None:
        ids = ends.world.run(ends.world.subscribe(2))
        ends.world.run(
            ends.world.rows(
                "UPDATE subscriptions SET billing_key_id = (SELECT min(id) FROM billing_keys)"
            )
        )
        for id_ in ids:
            ends.world.run(ends.cancel(id_))
        assert ends.world.run(ends.end_all()) == ["closed", "closed"]
        assert len(ends.book.asked) == 1

    def test_one_key_that_cannot_be_asked_about_holds_up_no_other(self, ends: Ends) -> None:
        ids = ends.world.run(ends.world.subscribe(3))
        for id_ in ids:
            ends.world.run(ends.cancel(id_))
        ends.book.script.append(StillUnresolved("HTTP 500"))
        assert sorted(ends.world.run(ends.end_all())) == ["closed", "closed", "reserved"]


STEPS = (
    (remains, "lock_open_invoices"),
    (endings, "lock"),
    (endings, "end"),
    (outbox, "write"),
    (remains, "lock_idle"),
    (invoices, "close_without_call"),
    (remains, "anything_open"),
    (remains, "payments_at_end"),
    (service, "request_refund"),
    (endings, "close"),
)


@pytest.mark.parametrize(("module", "step"), [pytest.param(*step, id=step[1]) for step in STEPS])
def test_a_death_in_mid_end_leaves_nothing_halfway(
    ends: Ends, monkeypatch: pytest.MonkeyPatch, module: Any, step: str
) -> None:
    id_ = ends.world.run(paid(ends))
    ends.world.run(second_period_open(ends))
    ends.world.run(ends.cancel(id_, refund="full", late_payment="full"))
    before = ends.world.run(everything(ends))
    real = getattr(module, step)

    async def die(*args: Any, **rest: Any) -> None:
        await real(*args, **rest)
        raise ZeroDivisionError

    monkeypatch.setattr(module, step, die)
    with pytest.raises(ZeroDivisionError):
        ends.world.run(ends.end([id_]))
    monkeypatch.undo()
    assert ends.world.run(everything(ends)) == before
    assert ends.world.run(ends.end([id_])) == ["closed"]
    # The acknowledgement is lost: the message comes again.
    assert ends.world.run(ends.end([id_])) == []
    told = [event["name"] for event in ends.world.run(ends.world.events())]
    for name in ("subscription.canceled", "invoice.voided", "payment.refund_requested"):
        assert told.count(name) == 1


async def second_period_open(ends: Ends) -> None:
    """Open the second period a little before the first one is over, as a clock ahead would."""
    ends.world.clock.instant = PERIOD_END
    await ends.world.renew()
    ends.world.clock.instant = PERIOD_END - HOUR


async def everything(ends: Ends) -> dict[str, Any]:
    tables = ("subscriptions", "invoices", "payment_attempts", "payments", "refunds", "events")
    return {
        table: await ends.world.rows(f"SELECT * FROM {table} ORDER BY id")  # noqa: S608 - ours
        for table in tables
    }


def test_two_processes_end_it_once(ends: Ends) -> None:
    id_ = ends.world.run(paid(ends))
    ends.world.run(ends.cancel(id_, refund="full"))
    processes = [ends, ends.twin(), ends.twin()]

    async def scenario() -> None:
        await asyncio.gather(*(process.end([id_]) for process in processes * 3))

    ends.world.run(scenario())
    assert ends.world.run(ends.refunds()) == [("cancellation", PRICE, TAX_FREE)]
    assert len(ends.world.run(ends.world.events("subscription.canceled"))) == 1
    assert ends.world.run(ends.subscription(id_)).closed_at is not None


class TestDunning:
    """An end that nobody asked for: nothing goes back, and nothing is left open."""

    @staticmethod
    async def given_up(ends: Ends, id_: uuid.UUID) -> None:
        async def work(connection: AsyncConnection) -> None:
            statuses = {id_: SubscriptionStatus.CANCELED}
            await subscriptions.change_status(connection, statuses, ends.world.clock.now())

        await ends.world.database.run(work)

    def test_it_is_noted_when_and_what_is_open_is_void(self, ends: Ends) -> None:
        id_ = ends.world.run(paid(ends))
        ends.world.run(second_period_open(ends))
        given_up_at = ends.world.clock.now()
        ends.world.run(self.given_up(ends, id_))
        assert ends.world.run(ends.end_all()) == ["closed"]
        row = ends.world.run(ends.subscription(id_))
        assert (row.canceled_at, row.cancel_at) == (given_up_at, None)
        statuses = [invoice.status for invoice in ends.world.run(ends.invoices(id_))]
        assert statuses == ["paid", "void"]
        assert ends.world.run(ends.refunds()) == []
        assert len(ends.world.run(ends.world.events("subscription.canceled"))) == 1
        # What is planned on its key would be charged although nothing is owed any more.
        assert len(ends.book.asked) == 1

    def test_what_is_paid_after_it_was_owed_and_is_kept(self, ends: Ends) -> None:
        id_ = ends.world.run(owing(ends))
        (invoice,) = ends.world.run(ends.invoices(id_))
        ends.world.gateway.script.append(Ending.PAID_REPLY_LOST)
        ends.world.run(ends.world.charge([invoice.id]))
        ends.world.run(self.given_up(ends, id_))
        ends.world.pass_time(HOUR)
        assert ends.world.run(ends.end_all()) == ["awaited"]
        assert ends.world.run(ends.world.inquire_all()) == ["paid"]
        assert ends.world.run(ends.wind_up()) == ["closed"]
        assert ends.world.run(ends.refunds()) == []

    def test_a_wish_whose_time_has_come_outweighs_it(self, ends: Ends) -> None:
        """Otherwise its refund would be lost with it."""
        id_ = ends.world.run(paid(ends))
        ends.world.run(ends.cancel(id_, refund="full"))
        ends.world.run(self.given_up(ends, id_))
        assert ends.world.run(ends.subscription(id_)).status == "active"
        assert ends.world.run(ends.end_all()) == ["closed"]
        assert ends.world.run(ends.refunds()) == [("cancellation", PRICE, TAX_FREE)]

    def test_a_wish_for_later_is_overtaken_by_it(self, ends: Ends) -> None:
        id_ = ends.world.run(paid(ends))
        ends.world.run(ends.cancel(id_, "period_end"))
        ends.world.pass_time(DAY)
        ends.world.run(self.given_up(ends, id_))
        given_up_at = ends.world.clock.now()
        assert ends.world.run(ends.end_all()) == ["closed"]
        assert ends.world.run(stands(ends, id_)) == ("canceled", PERIOD_END, given_up_at)
        assert ends.world.run(ends.refunds()) == []

    def test_rows_that_ended_before_this_was_noted_are_closed(self, ends: Ends) -> None:
        id_ = ends.world.run(owing(ends))
        ends.world.run(
            ends.world.rows("UPDATE subscriptions SET status = 'canceled', next_renewal_at = NULL")
        )
        assert ends.world.run(ends.end_all()) == ["closed"]
        assert ends.world.run(ends.invoices(id_))[0].status == "void"
        assert ends.book.asked == []


def test_an_end_shorter_than_a_day_gives_nothing_back_pro_rata(ends: Ends) -> None:
    daily = BillingCycle(START_AT, Interval(IntervalUnit.DAY))
    id_ = ends.world.run(paid(ends, cycle=daily))
    ends.world.run(ends.cancel(id_, refund="pro_rata"))
    assert ends.world.run(ends.end_all()) == ["closed"]
    assert ends.world.run(ends.refunds()) == []
