"""What PortOne collects by itself is collected once, and what it does not is collected by us."""

import asyncio
import uuid
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from shared.billing.calendar import BillingCycle
from shared.billing.inquiry import RecordStatus, StillUnresolved
from shared.billing.lifecycle import SubscriptionStatus
from shared.billing.outcome import NotSent, Unknown
from shared.billing.reservation import ScheduleRefused, ScheduleStatus
from shared.db import renewals, subscriptions
from shared.db.reserved_periods import REVOKING
from shared.jobs.life_commands import AdjustSubscription
from tests.support.agreements import Agreements
from tests.support.billing import MONTHLY, QUIET, START_AT, World
from tests.support.reservations import POLICY, Reserving
from worker.services import hint_reading

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
CYCLE = BillingCycle(START_AT, MONTHLY)
FEB_28, MAR_31 = (CYCLE.period(index).start_at for index in (1, 2))
AHEAD = FEB_28 - POLICY.ahead
REFUSAL = "등록된 고객정보가 없습니다"
SILENCE = StillUnresolved("ReadTimeout")


@pytest.fixture
def here(world: World) -> Reserving:
    """Empty tables with one process on them, and an empty timetable."""
    return Reserving.on(world)


def paid(here: Reserving, **values: Any) -> uuid.UUID:
    """Return one whose first period is paid, and whose next ones PortOne is to collect."""
    id_: uuid.UUID = here.run(here.living.start(**values))
    assert here.run(here.living.tick()) == ["paid"]
    here.run(here.collect(id_))
    return id_


def reserved(here: Reserving, **values: Any) -> uuid.UUID:
    """Return one whose next period was reserved an hour ago, three days ahead."""
    id_ = paid(here, **values)
    here.world.clock.instant = AHEAD
    assert here.run(here.reserve()) == ["reserved"]
    here.world.pass_time(timedelta(hours=1))
    return id_


def payments(here: Reserving) -> Counter[tuple[int, int]]:
    """Return how often each period was paid at the gateway, with the amount."""
    periods = here.run(
        here.world.rows(
            "SELECT a.merchant_uid, i.period_index FROM payment_attempts a"
            " JOIN invoices i ON i.id = a.invoice_id"
        )
    )
    index = {row.merchant_uid: row.period_index for row in periods}
    records = [each.record for each in here.world.gateway.paid()]
    return Counter((index[record.merchant_uid], record.amount) for record in records)


def invoices(here: Reserving, id_: uuid.UUID) -> list[str]:
    return [row.status for row in here.run(here.living.invoices(id_))]


def sent(here: Reserving) -> list[tuple[int, int]]:
    """Return period and number of every charge of ours."""
    return [(each.claim.period.index, each.claim.number) for each in here.world.gateway.sent]


class TestAPeriodThatBegins:
    def test_is_collected_by_portone_and_read_by_us(self, here: Reserving) -> None:
        id_ = reserved(here)
        (row,) = here.run(here.rows())
        assert (row.schedule_at, row.period_index, row.amount) == (FEB_28, 1, 30_000)
        assert here.run(here.go_to(FEB_28)) == []
        (attempt,) = here.run(here.world.rows("SELECT * FROM payment_attempts ORDER BY id DESC"))[
            :1
        ]
        assert (attempt.status, attempt.number, attempt.reserved_for) == ("claimed", 1, FEB_28)
        assert attempt.merchant_uid == row.merchant_uid
        assert invoices(here, id_) == ["paid", "open"]
        assert here.run(here.inquire()) == ["paid"]
        assert invoices(here, id_) == ["paid", "paid"]
        assert here.run(here.statuses()) == ["collected"]
        assert (sent(here), payments(here)) == ([(0, 1)], {(0, 30_000): 1, (1, 30_000): 1})

    def test_is_never_charged_while_portone_may_execute_it(self, here: Reserving) -> None:
        """PortOne is late: its timetable stands still for an hour."""
        id_ = reserved(here)
        here.run(here.go_to(FEB_28, executed=False))
        for _ in range(4):
            here.world.pass_time(15 * MINUTE)
            assert here.run(here.living.tick()) == []
            assert set(here.run(here.world.inquire_all())) <= {"unknown"}
        here.timetable.execute()
        here.world.pass_time(2 * timedelta(hours=1))
        assert here.run(here.world.inquire_all()) == ["paid"]
        assert invoices(here, id_) == ["paid", "paid"]
        assert sent(here) == [(0, 1)]

    def test_that_was_declined_is_followed_up_by_our_dunning(self, here: Reserving) -> None:
        id_ = reserved(here)
        here.timetable.declines = True
        here.run(here.go_to(FEB_28))
        assert here.run(here.inquire()) == ["declined"]
        assert here.run(here.living.row(id_)).status == "past_due"
        # Nothing is reserved with a method that is in trouble.
        assert here.run(here.plan()) == []
        here.run(here.go_to(FEB_28 + 8 * DAY))
        assert invoices(here, id_) == ["paid", "paid"]
        assert sent(here) == [(0, 1), (1, 2)]

    def test_that_was_declined_and_is_tried_again_at_the_console_is_not_raced(
        self, here: Reserving
    ) -> None:
        """PortOne has the money by another way than ours: kept, told, and not asked for again."""
        id_ = reserved(here)
        here.timetable.declines = True
        here.run(here.go_to(FEB_28))
        assert here.run(here.inquire()) == ["declined"]
        (uid,) = here.timetable.held
        here.timetable.retry(uid)
        here.run(here.go_to(FEB_28 + 8 * DAY))
        assert sent(here) == [(0, 1)]
        assert here.run(here.world.letters()) == [
            "paid at the gateway after it had ended as declined"
        ]
        assert payments(here)[(1, 30_000)] == 1
        assert invoices(here, id_) == ["paid", "open"]

    def test_that_is_being_tried_again_at_the_console_is_waited_for(self, here: Reserving) -> None:
        """PortOne's second try has not ended: nothing is sent beside it under another number."""
        id_ = reserved(here)
        here.timetable.declines = True
        here.run(here.go_to(FEB_28))
        assert here.run(here.inquire()) == ["declined"]
        (uid,) = here.timetable.held
        here.timetable.try_again(uid, RecordStatus.READY)
        here.run(here.go_to(FEB_28 + 8 * DAY))
        assert sent(here) == [(0, 1)]
        assert invoices(here, id_) == ["paid", "open"]

    def test_that_is_recalled_while_rows_are_looked_at_is_left_out(
        self, here: Reserving, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What the look at the rows saw is a moment older than the lock on the reservation."""
        id_ = reserved(here)
        here.world.clock.instant = FEB_28
        here.run(here.collect(id_, "charge"))
        monkeypatch.setattr(renewals, "DUE", renewals.DUE.replace(f"AND NOT {REVOKING}", ""))
        here.run(here.living.tick())
        assert here.run(here.statuses()) == ["revoking"]
        assert invoices(here, id_) == ["paid"]

    def test_that_is_told_of_before_its_period_begins_here_calls_nobody(
        self, here: Reserving
    ) -> None:
        reserved(here)
        here.world.clock.instant = FEB_28
        here.timetable.execute()
        (uid,) = here.timetable.held
        (record,) = here.run(here.world.gateway.records_of(uid))
        found = here.run(
            here.world.database.run(lambda connection: hint_reading.subject_of(connection, record))
        )
        assert found == hint_reading.Reserved()

    def test_of_a_pause_by_dunning_is_revoked_in_time(self, here: Reserving) -> None:
        id_ = reserved(here)
        now, wanted = here.world.clock.now(), {id_: SubscriptionStatus.PAUSED}
        here.run(
            here.world.database.run(
                lambda connection: subscriptions.change_status(connection, wanted, now)
            )
        )
        assert here.run(here.statuses()) == ["revoking"]
        assert here.run(here.reserve()) == ["revoked"]

    def test_that_is_stranded_and_declined_gives_back_no_credit_that_it_never_took(
        self, here: Reserving
    ) -> None:
        id_ = paid(here)
        given = {"description": "장애 보상", "credit": 2_000}
        here.run(here.living.do(AdjustSubscription, subscription_id=id_, **given))
        here.run(here.world.rows("UPDATE adjustments SET amount_left = 500"))
        here.world.clock.instant = AHEAD
        assert here.run(here.reserve()) == ["reserved"]
        here.run(here.world.rows("UPDATE subscriptions SET status = 'paused', pause_at = now()"))
        here.timetable.declines = True
        here.world.clock.instant = FEB_28
        here.timetable.execute()
        for _ in range(6):
            here.run(here.reserve())
            here.run(here.inquire())
        (left,) = here.run(here.world.rows("SELECT amount_left FROM adjustments"))
        assert left.amount_left == 500
        assert invoices(here, id_) == ["paid", "void"]

    def test_is_billed_as_in_time_though_nobody_looked_for_a_month(self, here: Reserving) -> None:
        id_ = reserved(here)
        here.world.clock.instant = FEB_28
        here.timetable.execute()
        here.run(here.go_to(MAR_31 + DAY))
        here.run(here.inquire())
        here.run(here.go_to(MAR_31 + 2 * DAY))
        assert invoices(here, id_) == ["paid"] * 3
        assert payments(here) == {(index, 30_000): 1 for index in range(3)}

    def test_was_reserved_too_late_and_is_charged_by_us(self, here: Reserving) -> None:
        id_ = paid(here)
        here.world.clock.instant = AHEAD
        ids = here.run(here.plan())
        here.world.clock.instant = FEB_28 - POLICY.lead_min
        assert here.run(here.advance(ids)) == []
        assert here.timetable.requested == []
        assert here.run(here.statuses()) == ["revoked"]
        # Nor is another planned so late.
        assert here.run(here.plan()) == []
        assert here.run(here.go_to(FEB_28)) == ["paid"]
        assert invoices(here, id_) == ["paid", "paid"]

    @pytest.mark.parametrize("claims", [0, 1, 3])
    def test_whose_reservation_was_never_requested_waits_for_nothing(
        self, here: Reserving, claims: int
    ) -> None:
        id_ = paid(here)
        here.world.clock.instant = AHEAD
        ids = here.run(here.plan())
        here.timetable.endings.extend([NotSent("connection refused")] * claims)
        for _ in range(claims):
            assert here.run(here.advance(ids)) == ["planned"]
            here.world.pass_time(MINUTE)
        assert here.run(here.go_to(FEB_28)) == ["paid"]
        assert here.run(here.statuses()) == ["revoked"]
        assert invoices(here, id_) == ["paid", "paid"]
        assert here.timetable.held == {}

    def test_that_portone_refuses_to_reserve_is_charged_by_us(self, here: Reserving) -> None:
        id_ = paid(here)
        here.timetable.endings.append(ScheduleRefused(REFUSAL, unknown_customer=True))
        here.world.clock.instant = AHEAD
        assert here.run(here.reserve()) == ["refused"]
        (row,) = here.run(here.rows())
        assert (row.message, row.look_at, row.by_others) == (REFUSAL, None, False)
        # It is not asked for once more.
        here.world.pass_time(DAY)
        assert here.run(here.plan()) == []
        assert here.run(here.go_to(FEB_28)) == ["paid"]
        assert invoices(here, id_) == ["paid", "paid"]


class TestARequestWithoutAnAnswer:
    def test_is_read_when_it_can_no_longer_be_carried_out(self, here: Reserving) -> None:
        paid(here)
        here.timetable.endings.append(None)
        here.world.clock.instant = AHEAD
        assert here.run(here.reserve()) == ["unknown"]
        here.world.pass_time(QUIET - timedelta(seconds=1))
        assert here.run(here.plan()) == []
        here.world.pass_time(timedelta(seconds=1))
        assert here.run(here.reserve()) == ["reserved"]
        assert len(here.timetable.requested) == 1

    def test_that_was_not_heard_is_requested_again_under_the_same_uid(
        self, here: Reserving
    ) -> None:
        paid(here)
        here.timetable.endings.append(Unknown("ReadTimeout"))
        here.world.clock.instant = AHEAD
        assert here.run(here.reserve()) == ["unknown"]
        seen = []
        for _ in range(4):
            here.world.pass_time(QUIET)
            seen += here.run(here.reserve())
        assert seen == ["unknown", "planned", "reserved"]
        first, second = here.timetable.requested
        assert first.merchant_uid == second.merchant_uid
        assert (first.send_number, second.send_number) == (1, 2)

    def test_proves_nothing_of_a_test_channel(self, here: Reserving) -> None:
        paid(here)
        here.silence_proves = False
        here.timetable.endings.append(Unknown("ReadTimeout"))
        here.world.clock.instant = AHEAD
        here.run(here.reserve())
        for _ in range(5):
            here.world.pass_time(2 * timedelta(hours=1))
            assert set(here.run(here.reserve())) <= {"unknown"}
        assert len(here.timetable.requested) == 1

    def test_keeps_its_period_from_being_charged_until_it_is_read(self, here: Reserving) -> None:
        """The worker dies in mid-request, and nobody looks before the period begins."""
        id_ = paid(here)
        here.timetable.endings.append(None)
        here.world.clock.instant = FEB_28 - POLICY.lead_min - MINUTE
        assert here.run(here.reserve()) == ["unknown"]
        here.run(here.go_to(FEB_28))
        assert sent(here) == [(0, 1)]
        assert here.run(here.inquire()) == ["paid"]
        assert invoices(here, id_) == ["paid", "paid"]

    def test_two_workers_make_one_request(self, here: Reserving) -> None:
        paid(here)
        here.world.clock.instant = AHEAD
        ids, twin = here.run(here.plan()), here.twin()

        async def both() -> list[list[str]]:
            return list(await asyncio.gather(here.advance(ids), twin.advance(ids)))

        assert sorted(here.run(both())) == [[], ["reserved"]]
        assert len(here.timetable.requested) == 1


class TestARevocation:
    def test_comes_before_the_period_is_billed_otherwise(self, here: Reserving) -> None:
        """A row was changed by nobody's command: the renewal itself sees that it is stale."""
        id_ = reserved(here)
        here.run(Agreements(here.world).adjust(id_, "credit", 2_000))
        here.run(here.go_to(FEB_28, executed=False))
        # One pass of the scans has seen it, and one look has revoked it.
        assert (sent(here), here.run(here.statuses())) == ([(0, 1)], ["revoked"])
        assert invoices(here, id_) == ["paid"]
        assert here.run(here.living.tick()) == ["paid"]
        assert payments(here) == {(0, 30_000): 1, (1, 28_000): 1}

    @pytest.mark.parametrize("by", ["charge", "reservation"])
    def test_awaits_portones_word_and_nobody_collects_meanwhile(
        self, here: Reserving, by: str
    ) -> None:
        id_ = reserved(here)
        here.run(here.collect(id_, by))
        here.timetable.script.extend([SILENCE] * 3)
        assert here.run(here.statuses()) == ["revoking"]
        here.world.clock.instant = FEB_28 - MINUTE
        assert here.run(here.reserve()) == ["revoking"]
        here.run(here.go_to(FEB_28, executed=False))
        assert (sent(here), invoices(here, id_)) == ([(0, 1)], ["paid"])
        for _ in range(3):
            here.world.pass_time(2 * timedelta(hours=1))
            here.run(here.reserve())
        assert here.run(here.statuses()) == ["revoked"]
        assert here.run(here.living.tick()) == ["paid"]
        assert payments(here) == {(0, 30_000): 1, (1, 30_000): 1}

    def test_that_is_too_late_leaves_the_period_paid_by_portone(self, here: Reserving) -> None:
        id_ = reserved(here)
        here.run(here.collect(id_, "charge"))
        here.timetable.script.extend([SILENCE])
        here.run(here.go_to(FEB_28))
        here.world.pass_time(MINUTE)
        assert here.run(here.reserve()) == ["executed"]
        here.run(here.living.tick())
        assert here.run(here.inquire()) == ["paid"]
        assert (sent(here), invoices(here, id_)) == ([(0, 1)], ["paid", "paid"])

    def test_that_is_too_late_for_another_price_leaves_it_to_the_next_period(
        self, here: Reserving
    ) -> None:
        """PortOne has taken it already: the period costs that, and the credit is still there."""
        id_ = reserved(here)
        here.world.clock.instant = FEB_28
        here.timetable.execute()
        given = {"description": "장애 보상", "credit": 2_000}
        here.run(here.living.do(AdjustSubscription, subscription_id=id_, **given))
        assert here.run(here.reserve()) == ["executed"]
        for _ in range(3):
            here.run(here.living.tick())
            here.run(here.inquire())
        assert here.run(here.world.letters()) == []
        assert (sent(here), invoices(here, id_)) == ([(0, 1)], ["paid", "paid"])
        (left,) = here.run(here.world.rows("SELECT amount_left FROM adjustments"))
        assert left.amount_left == 2_000

    def test_by_somebody_else_leaves_the_period_to_us(self, here: Reserving) -> None:
        id_ = reserved(here)
        (uid,) = here.timetable.held
        here.timetable.revoke(uid)
        here.world.pass_time(POLICY.look_every)
        assert here.run(here.reserve()) == ["revoked"]
        (row,) = here.run(here.rows())
        assert row.by_others
        # It is not reserved behind the back of whoever did so.
        here.world.pass_time(MINUTE * 30)
        assert here.run(here.plan()) == []
        assert here.run(here.go_to(FEB_28)) == ["paid"]
        assert invoices(here, id_) == ["paid", "paid"]

    def test_by_somebody_else_that_nobody_saw_is_read_of_the_attempt(self, here: Reserving) -> None:
        id_ = reserved(here)
        (uid,) = here.timetable.held
        here.world.clock.instant = FEB_28 - MINUTE
        here.timetable.revoke(uid)
        here.run(here.go_to(FEB_28))
        for _ in range(3):
            here.run(here.inquire())
            here.run(here.living.tick())
        assert invoices(here, id_) == ["paid", "paid"]
        assert sent(here) == [(0, 1), (1, 1)]

    def test_is_not_believed_by_an_answer_from_before_a_request_was_carried_out(
        self, here: Reserving
    ) -> None:
        """The look was long under way: what it says of is the time at which it was asked."""
        id_ = paid(here)
        here.timetable.endings.append(None)
        here.world.clock.instant = AHEAD
        assert here.run(here.reserve()) == ["unknown"]
        here.run(here.collect(id_, "charge"))
        (uid,) = here.timetable.held
        kept = here.timetable.held.pop(uid)

        def carried_out_at_last() -> None:
            here.timetable.held[uid] = kept
            here.world.pass_time(QUIET)

        here.timetable.meanwhile = carried_out_at_last
        assert here.run(here.reserve()) == ["revoking"]
        assert here.timetable.held[uid].status is ScheduleStatus.SCHEDULED
        assert here.run(here.reserve()) == ["revoked"]
        assert here.timetable.held[uid].status is ScheduleStatus.REVOKED


class TestAnEnd:
    def test_revokes_first(self, here: Reserving) -> None:
        id_ = reserved(here)
        here.run(here.living.cancel(id_, "period_end"))
        assert here.run(here.reserve()) == ["revoked"]
        here.run(here.go_to(FEB_28))
        here.world.pass_time(DAY)
        here.run(here.living.tick())
        assert here.run(here.living.row(id_)).status == "canceled"
        assert (invoices(here, id_), payments(here)) == (["paid"], {(0, 30_000): 1})

    def test_gives_back_what_portone_has_executed_all_the_same(self, here: Reserving) -> None:
        id_ = reserved(here)
        here.timetable.script.extend([SILENCE] * 2)
        here.run(here.living.cancel(id_, "period_end"))
        assert here.run(here.reserve()) == ["revoking"]
        here.run(here.go_to(FEB_28))
        for _ in range(4):
            here.world.pass_time(10 * MINUTE)
            here.run(here.reserve())
            here.run(here.living.tick())
            here.run(here.world.inquire_all())
        row = here.run(here.living.row(id_))
        assert (row.status, row.closed_at is not None) == ("canceled", True)
        assert here.run(here.living.ends.refunds()) == [("late_payment", 30_000, 0)]
        assert here.run(here.statuses()) == ["collected"]
        assert here.run(here.world.letters()) == []

    def test_that_nobody_asked_for_gives_it_back_too(self, here: Reserving) -> None:
        """Dunning ended the subscription between the reservation and its instant."""
        id_ = reserved(here)
        here.run(
            here.world.rows(
                "UPDATE subscriptions SET status = 'canceled', canceled_at = :at,"
                " next_renewal_at = NULL WHERE id = :id",
                id=id_,
                at=here.world.clock.now(),
            )
        )
        here.run(here.go_to(FEB_28))
        for _ in range(4):
            here.world.pass_time(10 * MINUTE)
            here.run(here.reserve())
            here.run(here.world.inquire_all())
            here.run(here.living.tick())
        assert here.run(here.statuses()) == ["collected"]
        assert invoices(here, id_) == ["paid", "paid"]
        assert here.run(here.living.ends.refunds()) == [("late_payment", 30_000, 0)]


class TestAPause:
    def test_that_comes_too_late_gives_back_what_portone_has_executed(
        self, here: Reserving
    ) -> None:
        id_ = reserved(here)
        here.timetable.script.extend([SILENCE] * 2)
        here.world.clock.instant = FEB_28 - MINUTE
        here.run(here.living.pause(id_))
        here.run(here.go_to(FEB_28))
        for _ in range(4):
            here.world.pass_time(10 * MINUTE)
            here.run(here.reserve())
            here.run(here.living.tick())
            here.run(here.world.inquire_all())
        assert here.run(here.statuses()) == ["collected"]
        assert here.run(here.living.ends.refunds()) == [("late_payment", 30_000, 0)]
        # And its period is never billed once more.
        here.run(here.living.resume(id_))
        here.run(here.go_to(FEB_28 + DAY))
        assert invoices(here, id_) == ["paid", "paid"]
        assert here.run(here.living.row(id_)).next_period_index == 2

    def test_in_time_revokes_and_the_period_is_skipped(self, here: Reserving) -> None:
        id_ = reserved(here)
        here.run(here.living.pause(id_))
        assert here.run(here.reserve()) == ["revoked"]
        here.run(here.go_to(FEB_28))
        assert (invoices(here, id_), payments(here)) == (["paid"], {(0, 30_000): 1})


class TestOneCollector:
    def test_switching_back_and_forth_reserves_once_more_under_the_same_uid(
        self, here: Reserving
    ) -> None:
        id_ = reserved(here)
        for by in ("charge", "reservation", "charge", "reservation"):
            here.run(here.collect(id_, by))
        assert here.run(here.reserve()) == ["revoked"]
        assert here.run(here.reserve()) == ["reserved"]
        assert here.run(here.statuses()) == ["revoked", "reserved"]
        here.run(here.go_to(FEB_28))
        assert here.run(here.inquire()) == ["paid"]
        assert payments(here) == {(0, 30_000): 1, (1, 30_000): 1}
        told = here.run(here.world.events("subscription.collection_switched"))
        assert [event["by"] for event in told] == ["reservation", "charge"] * 2 + ["reservation"]

    def test_at_most_one_lives_of_each_subscription(self, here: Reserving) -> None:
        reserved(here)
        copy = """
            INSERT INTO reservations (subscription_id, period_index, period_start_at, period_end_at,
                merchant_uid, billing_key_id, amount, tax_free, order_name, lines, schedule_at,
                status, look_at, ended_at)
            SELECT subscription_id, period_index + 1, period_start_at, period_end_at, 'other',
                billing_key_id, amount, tax_free, order_name, lines, schedule_at, :status,
                CAST(:look_at AS timestamptz), CAST(:ended_at AS timestamptz)
            FROM reservations
        """
        now = here.world.clock.now()
        for status in ("planned", "claimed", "unknown", "reserved", "revoking", "executed"):
            with pytest.raises(IntegrityError, match="reservations_one_live_idx"):
                here.run(here.world.rows(copy, status=status, look_at=now, ended_at=None))
        here.run(here.world.rows(copy, status="revoked", look_at=None, ended_at=now))

    def test_what_is_not_switched_is_never_reserved(self, here: Reserving) -> None:
        here.run(here.living.start())
        here.run(here.living.tick())
        here.world.clock.instant = AHEAD
        assert here.run(here.plan()) == []
