"""Deaths and lost replies: whatever happened, the inquiry ends it and money moves once."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared.billing.attempt import Claim
from shared.billing.collection import after_send
from shared.billing.inquiry import RecordStatus, StillUnresolved
from shared.billing.outcome import Declined, Duplicate, NotSent, Outcome, Paid, Unknown
from shared.billing.rules import InquiryPolicy
from tests.support.billing import QUIET, World, until
from tests.support.book import DuplicatePolicy, Ending, ProcessDiedError, record_of

INSTANT = timedelta(seconds=1)
FIRST_GAP = timedelta(seconds=30)
DAY = timedelta(days=1)


async def die(world: World, invoice_id: int, ending: Ending) -> None:
    world.gateway.script.append(ending)
    with pytest.raises(ProcessDiedError):
        await world.charge([invoice_id])


async def answer(world: World, claim: Claim, outcome: Outcome) -> None:
    """Settle what a process heard that had stood still meanwhile."""
    await world.twin().settle(after_send(claim, outcome, world.rules, world.clock.now()))


async def silence_twice(world: World) -> None:
    """Ask until the gateway's silence is believed."""
    world.pass_time(QUIET)
    assert await world.inquire_all() == ["unknown"]
    world.pass_time(FIRST_GAP)
    assert await world.inquire_all() == ["waiting"]


def uids(world: World) -> list[tuple[str, int, int]]:
    return [
        (sent.claim.merchant_uid, sent.claim.number, sent.claim.send_number)
        for sent in world.gateway.sent
    ]


class TestAfterTheClaim:
    def test_nobody_touches_the_attempt_before_lease_and_settle_delay_are_over(
        self, world: World
    ) -> None:
        invoice_id = world.run(world.open_invoices())[0]
        (claim,) = world.run(world.claim([invoice_id]))
        for wait in (timedelta(0), timedelta(seconds=120), QUIET - timedelta(seconds=121)):
            world.pass_time(wait)
            assert world.run(world.charge([invoice_id])) == []
            assert world.run(world.charge_all()) == []
            assert world.run(world.inquire_all()) == []
            # Nor does a message that somebody sent too early.
            assert world.run(world.inquire([claim.attempt_id])) == []
        assert world.gateway.asked == []
        world.pass_time(INSTANT)
        assert world.run(world.inquire_all()) == ["unknown"]
        assert world.gateway.asked == [claim.merchant_uid]

    def test_two_silences_send_the_same_uid_again(self, world: World) -> None:
        invoice_id = world.run(world.open_invoices())[0]
        (claim,) = world.run(world.claim([invoice_id]))
        world.run(silence_twice(world))
        assert world.run(world.charge_all()) == ["paid"]
        assert uids(world) == [(claim.merchant_uid, 1, 2)]
        assert len(world.run(world.attempts(invoice_id))) == 1

    def test_a_task_that_is_cancelled_in_flight_leaves_the_attempt_to_the_inquiry(
        self, world: World
    ) -> None:
        invoice_id = world.run(world.open_invoices())[0]
        world.gateway.door = asyncio.Event()

        async def scenario() -> None:
            task = asyncio.create_task(world.charge([invoice_id]))
            await until(lambda: len(world.gateway.sent) == 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        world.run(scenario())
        world.gateway.door = None
        assert world.run(world.attempt(invoice_id)).status == "claimed"
        world.run(silence_twice(world))
        assert world.run(world.charge_all()) == ["paid"]
        assert len(world.gateway.paid()) == 1

    def test_a_lookup_that_fails_between_two_silences_starts_the_count_again(
        self, world: World
    ) -> None:
        world.run(world.claim(world.run(world.open_invoices())))
        world.pass_time(QUIET)
        world.gateway.lookups.extend([None, StillUnresolved("HTTP 500")])
        for expected in ("unknown", "unknown", "unknown", "waiting"):
            assert world.run(world.inquire_all()) == [expected]
            world.pass_time(timedelta(minutes=5))

    def test_a_silence_that_proves_nothing_is_never_believed(self, world: World) -> None:
        """Look-ups may not show payments of test channels."""
        world.silence_proves = False
        invoice_id = world.run(world.open_invoices())[0]
        world.run(world.claim([invoice_id]))
        world.pass_time(QUIET)
        for _ in range(6):
            assert world.run(world.inquire_all()) == ["unknown"]
            world.pass_time(timedelta(hours=1))
        assert world.gateway.sent == []


class TestBeforeTheSettlement:
    def test_a_payment_whose_reply_died_is_adopted_once(self, world: World) -> None:
        invoice_id = world.run(world.open_invoices())[0]
        world.run(die(world, invoice_id, Ending.DIES_AFTER_PAID))
        world.pass_time(QUIET)
        assert world.run(world.inquire_all()) == ["paid"]
        attempt = world.run(world.attempt(invoice_id))
        assert attempt.imp_uid == world.gateway.paid()[0].record.imp_uid
        assert world.run(world.invoice(invoice_id)).status == "paid"
        world.pass_time(DAY)
        assert world.run(world.charge_all()) == []
        assert len(world.gateway.sent) == 1

    def test_a_decline_whose_reply_died_is_one_dunning_step(self, world: World) -> None:
        invoice_id = world.run(world.open_invoices())[0]
        world.run(die(world, invoice_id, Ending.DIES_AFTER_DECLINED))
        world.pass_time(QUIET)
        assert world.run(world.inquire_all()) == ["declined"]
        invoice = world.run(world.invoice(invoice_id))
        assert (invoice.declines, invoice.next_attempt_at) == (
            1,
            world.clock.now() + timedelta(days=2),
        )
        world.pass_time(timedelta(days=2))
        assert world.run(world.charge_all()) == ["paid"]
        assert [number for _, number, _ in uids(world)] == [1, 2]

    @pytest.mark.parametrize("policy", list(DuplicatePolicy))
    def test_a_new_number_is_made_after_a_definite_decline_only(
        self, world: World, policy: DuplicatePolicy
    ) -> None:
        world.gateway.policy = policy
        world.gateway.script.extend(
            [Ending.REQUEST_LOST, Ending.NOT_SENT, Ending.REQUEST_LOST, Ending.DECLINED]
        )
        invoice_id = world.run(world.open_invoices())[0]
        for _ in range(16):
            world.run(world.charge_all())
            world.run(world.inquire_all())
            world.clock.instant = world.run(world.next_at()) or world.clock.instant
        numbers = [(number, send) for _, number, send in uids(world)]
        assert numbers == [(1, 1), (1, 2), (1, 3), (1, 4), (2, 1)]
        assert len({uid for uid, _, _ in uids(world)}) == 2
        assert world.run(world.invoice(invoice_id)).status == "paid"


class TestZombies:
    def test_a_settlement_of_an_older_send_loses(self, world: World) -> None:
        invoice_id = world.run(world.open_invoices())[0]
        (stale,) = world.run(world.claim([invoice_id]))
        world.run(silence_twice(world))
        world.run(world.claim([invoice_id]))
        before = world.run(world.attempt(invoice_id))
        for outcome in (
            Declined("잔액 부족"),
            NotSent("the fence"),
            Unknown("reset"),
            Duplicate("이미"),
            Paid("imp_stale", None),
        ):
            world.run(answer(world, stale, outcome))
        assert tuple(world.run(world.attempt(invoice_id))) == tuple(before)
        assert world.run(world.letters()) == []
        assert len(world.run(world.events())) == 2

    def test_money_that_is_reported_late_ends_the_waiting(self, world: World) -> None:
        invoice_id = world.run(world.open_invoices())[0]
        (stale,) = world.run(world.claim([invoice_id]))
        world.run(silence_twice(world))
        world.run(answer(world, stale, Paid("imp_late", None)))
        invoice = world.run(world.invoice(invoice_id))
        assert (invoice.status, invoice.next_attempt_at) == ("paid", None)
        assert world.run(world.attempt(invoice_id)).imp_uid == "imp_late"
        assert world.run(world.charge_all()) == []

    def test_money_that_is_reported_late_ends_the_parking(self, world: World) -> None:
        invoice_id = world.run(world.open_invoices())[0]
        (stale,) = world.run(world.claim([invoice_id]))
        world.run(world.rows("UPDATE payment_attempts SET status = 'parked', inquire_at = NULL"))
        world.run(answer(world, stale, Paid("imp_late", None)))
        assert world.run(world.invoice(invoice_id)).status == "paid"

    @pytest.mark.parametrize("outcome", [Declined("한도 초과"), NotSent("fence"), Unknown("reset")])
    def test_nothing_but_money_ends_a_waiting(self, world: World, outcome: Outcome) -> None:
        invoice_id = world.run(world.open_invoices())[0]
        (stale,) = world.run(world.claim([invoice_id]))
        world.run(silence_twice(world))
        world.run(answer(world, stale, outcome))
        assert world.run(world.attempt(invoice_id)).status == "waiting"

    def test_money_that_is_reported_after_a_decline_calls_a_person(self, world: World) -> None:
        invoice_id = world.run(world.open_invoices())[0]
        (stale,) = world.run(world.claim([invoice_id]))
        world.run(answer(world, stale, Declined("잔액 부족", "imp_a")))
        world.run(answer(world, stale, Paid("imp_late", None)))
        assert world.run(world.letters()) == ["paid at the gateway after it had ended as declined"]
        payload = world.run(world.rows("SELECT payload FROM dead_letters"))[0].payload
        assert payload["imp_uid"] == "imp_late"
        assert payload["merchant_uid"] == stale.merchant_uid
        world.run(answer(world, stale, Paid("imp_late", None)))
        assert len(world.run(world.letters())) == 1

    def test_an_invoice_whose_money_is_known_to_have_moved_is_not_charged_again(
        self, world: World
    ) -> None:
        invoice_id = world.run(world.open_invoices())[0]
        (stale,) = world.run(world.claim([invoice_id]))
        world.run(answer(world, stale, Declined("잔액 부족", "imp_a")))
        world.run(answer(world, stale, Paid("imp_late", None)))
        world.pass_time(timedelta(days=3))
        assert world.run(world.charge_all()) == []
        assert world.gateway.sent == []

    @pytest.mark.parametrize("outcome", [Declined("잔액 부족", "imp_b"), NotSent("refused")])
    def test_nor_is_it_when_another_attempt_was_under_way(
        self, world: World, outcome: Outcome
    ) -> None:
        invoice_id = world.run(world.open_invoices())[0]
        (stale,) = world.run(world.claim([invoice_id]))
        world.run(answer(world, stale, Declined("잔액 부족", "imp_a")))
        world.pass_time(timedelta(days=2))
        (second,) = world.run(world.claim([invoice_id]))
        world.run(answer(world, stale, Paid("imp_late", None)))
        world.run(answer(world, second, outcome))
        world.pass_time(timedelta(days=10))
        assert world.run(world.charge_all()) == []
        assert world.gateway.sent == []

    def test_a_second_payment_of_one_attempt_calls_a_person(self, world: World) -> None:
        (claim,) = world.run(world.claim(world.run(world.open_invoices())))
        for imp_uid in ("imp_a", "imp_a", "imp_b"):
            world.run(answer(world, claim, Paid(imp_uid, None)))
        assert world.run(world.letters()) == ["paid twice at the gateway: also as imp_a"]


class TestDuplicates:
    """A database that was restored from an older backup derives the same uids."""

    @staticmethod
    async def held_already(world: World, status: RecordStatus) -> int:
        """Have the gateway hold a record of the uid that will be sent, and send it."""
        (invoice_id,) = await world.open_invoices()
        async with world.database.transaction() as connection:
            (claim,) = await World.look(connection, [invoice_id], world.clock.now())
        world.gateway.enter(record_of(claim, status, world.clock.now()), claim)
        world.gateway.script.append(Duplicate("이미 주문이 이루어진 건입니다."))
        assert await world.charge([invoice_id]) == ["unknown"]
        return invoice_id

    def test_a_payment_that_the_gateway_holds_is_read_at_once_and_adopted(
        self, world: World
    ) -> None:
        invoice_id = world.run(self.held_already(world, RecordStatus.PAID))
        assert world.run(world.inquire_all()) == ["paid"]
        assert world.run(world.invoice(invoice_id)).status == "paid"

    def test_a_decline_that_the_gateway_holds_is_one_when_it_is_seen_to_last(
        self, world: World
    ) -> None:
        invoice_id = world.run(self.held_already(world, RecordStatus.FAILED))
        assert world.run(world.inquire_all()) == ["unknown"]
        world.pass_time(FIRST_GAP)
        assert world.run(world.inquire_all()) == ["declined"]
        assert world.run(world.invoice(invoice_id)).declines == 1

    def test_a_payment_that_was_cancelled_is_for_a_person(self, world: World) -> None:
        invoice_id = world.run(self.held_already(world, RecordStatus.CANCELLED))
        assert world.run(world.inquire_all()) == ["parked"]
        assert world.run(world.letters()) == ["the payment was cancelled at the gateway"]
        assert world.run(world.invoice(invoice_id)).status == "open"

    def test_it_is_not_sent_again_while_the_gateway_shows_nothing(self, world: World) -> None:
        invoice_id = world.run(world.open_invoices())[0]
        world.gateway.script.append(Duplicate("이미 주문이 이루어진 건입니다."))
        world.run(world.charge([invoice_id]))
        endings = []
        for _ in range(40):
            endings += world.run(world.inquire_all())
            assert world.run(world.charge_all()) == []
            world.pass_time(timedelta(hours=1))
        assert endings[-1] == "parked"
        assert set(endings[:-1]) == {"unknown"}
        assert len(world.gateway.sent) == 1
        (letter,) = world.run(world.letters())
        assert "the gateway shows no record" in letter


def test_a_day_without_an_answer_calls_a_person(world: World) -> None:
    invoice_id = world.run(world.open_invoices())[0]
    (claim,) = world.run(world.claim([invoice_id]))
    world.gateway.lookups.extend([StillUnresolved("HTTP 500")] * 100)
    claimed_at = world.clock.now()
    world.pass_time(QUIET)
    endings: list[str] = []
    while "parked" not in endings:
        endings += world.run(world.inquire_all())
        world.pass_time(timedelta(minutes=15))
        assert world.clock.now() - claimed_at < DAY + timedelta(hours=2)
    assert world.clock.now() - claimed_at >= DAY
    assert len(endings) < 40
    attempt = world.run(world.attempt(invoice_id))
    assert (attempt.status, attempt.inquire_at) == ("parked", None)
    (letter,) = world.run(world.letters())
    assert letter.startswith("unknown since")
    (told,) = world.run(world.events("payment.parked"))
    assert told["merchant_uid"] == claim.merchant_uid
    assert world.run(world.charge_all()) == []


def test_requests_that_are_always_lost_call_a_person_in_the_end(world: World) -> None:
    """The design: no attempt is unknown for 24 h without a dead letter that pages."""
    deadline = timedelta(hours=1)
    world.rules = replace(world.rules, inquiry=InquiryPolicy(deadline=deadline))
    world.gateway.otherwise = Ending.REQUEST_LOST
    world.run(world.open_invoices())
    began_at = world.clock.now()
    while world.clock.now() - began_at < 2 * deadline:
        world.run(world.charge_all())
        world.run(world.inquire_all())
        world.clock.instant = world.run(world.next_at()) or world.clock.now() + deadline
    assert len(world.run(world.letters())) == 1


class TestConflicts:
    @pytest.mark.parametrize(
        ("records", "cause"),
        [
            ([{"amount": 9_901}], "the record is of 9901 won, 9900 were sent"),
            ([{"customer_uid": "somebody else"}], "the record is of another buyer"),
            ([{"customer_uid": None}], "the record is of another buyer"),
            ([{}, {}], "2 paid records under one merchant_uid"),
            (
                [{"status": RecordStatus.CANCELLED, "cancel_amount": 9_900}],
                "the payment was cancelled at the gateway",
            ),
            ([{"cancel_amount": 100}], "100 won of the payment were cancelled"),
            ([{"status": RecordStatus.FAILED, "amount": 1}], "the record is of 1 won"),
        ],
        ids=["amount", "buyer", "no buyer", "two payments", "cancelled", "partly", "failed"],
    )
    def test_what_does_not_match_is_parked_and_never_charged_again(
        self, world: World, records: list[dict[str, Any]], cause: str
    ) -> None:
        invoice_id = world.run(world.open_invoices())[0]
        (claim,) = world.run(world.claim([invoice_id]))
        for changes in records:
            values = {"status": RecordStatus.PAID, "at": world.clock.now(), **changes}
            record = record_of(claim, **values)
            world.gateway.enter(record, claim)
        world.pass_time(QUIET)
        assert world.run(world.inquire_all()) == ["parked"]
        (letter,) = world.run(world.letters())
        assert letter.startswith(cause)
        for _ in range(12):
            world.pass_time(timedelta(days=5))
            assert world.run(world.charge_all()) == []
            assert world.run(world.inquire_all()) == []
            assert world.run(world.charge([invoice_id])) == []
        assert world.gateway.sent == []
        assert world.run(world.invoice(invoice_id)).status == "open"


class TestInquiryMessages:
    def test_a_redelivery_cannot_count_one_silence_twice(self, world: World) -> None:
        """The gap between two looks is what lets a late booking be seen."""
        (claim,) = world.run(world.claim(world.run(world.open_invoices())))
        world.pass_time(QUIET)
        assert world.run(world.inquire([claim.attempt_id])) == ["unknown"]
        assert world.run(world.inquire([claim.attempt_id])) != ["waiting"]

    def test_a_lookup_that_raises_is_an_unresolved_one(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As a send that raises is an unknown one."""
        (claim,) = world.run(world.claim(world.run(world.open_invoices())))

        async def fail(_merchant_uid: str) -> list[object]:
            raise KeyError("a fault of ours")

        monkeypatch.setattr(world.gateway, "records_of", fail)
        world.pass_time(DAY)
        endings = []
        for _ in range(world.rules.inquiry.inquiries_min):
            endings += world.run(world.inquire([claim.attempt_id]))
            world.pass_time(FIRST_GAP)
        assert endings == ["unknown", "unknown", "parked"]

    def test_an_attempt_that_has_ended_is_not_asked_about(self, world: World) -> None:
        invoice_id = world.run(world.open_invoices())[0]
        world.run(world.charge([invoice_id]))
        world.pass_time(DAY)
        attempt_id = world.run(world.attempt(invoice_id)).id
        assert world.run(world.inquire([attempt_id, 10**15])) == []
        assert world.gateway.asked == []


def test_a_fault_of_ours_in_mid_send_is_unknown(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = world.run(world.open_invoices(2))
    real = world.gateway.charge

    async def fail(claim: Claim, **rest: object) -> Outcome:
        outcome = await real(claim, **rest)  # type: ignore[arg-type]
        if claim.invoice_id == ids[0]:
            raise ZeroDivisionError
        return outcome

    monkeypatch.setattr(world.gateway, "charge", fail)
    assert sorted(world.run(world.charge(ids))) == ["paid", "unknown"]
    world.pass_time(QUIET)
    assert world.run(world.inquire_all()) == ["paid"]
    assert len(world.gateway.paid()) == 2
