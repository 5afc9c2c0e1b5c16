"""Settlements: written in groups, won once, told in the same transaction, byte for byte."""

import asyncio
import contextlib
import random
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.attempt import Claim, Question
from shared.billing.calendar import BillingCycle
from shared.billing.catch_up import CatchUp, CatchUpPolicy
from shared.billing.collection import Move, after_inquiry, after_send
from shared.billing.dunning import DunningPolicy, TerminalAction
from shared.billing.events import Event, EventName
from shared.billing.inquiry import NoRecord
from shared.billing.lifecycle import SubscriptionStatus
from shared.billing.outcome import (
    Declined,
    FaultScope,
    MethodDead,
    Misconfigured,
    NotSent,
    Outcome,
    Paid,
    Throttled,
    Unknown,
)
from shared.billing.rules import CollectionRules, DeadMethodBrake
from shared.db import holds, moves, subscriptions
from shared.db.engine import Database, connect
from tests.integration.services.locking import locked
from tests.support.billing import LEASES, MONTHLY, QUIET, START_AT, World, until, world_of
from tests.support.book import Ending
from worker.services.settle import SettleMoves

R = TypeVar("R")
DEAD = MethodDead("등록되지 않은 구매자입니다")
BROKE = Declined("잔액 부족", "imp_failed")


async def settle(world: World, group: Sequence[Move]) -> list[str]:
    """Write one group and return where its attempts were meant to go."""
    written = await SettleMoves(world.database, world.clock, world.rules)(group)
    return [str(move.attempt_status) for move in written]


def move(world: World, claim: Claim, outcome: Outcome) -> Move:
    return after_send(claim, outcome, world.rules, world.clock.now())


async def claims_of(world: World, count: int) -> list[Claim]:
    return await world.claim(await world.open_invoices(count))


async def end(world: World, invoice_id: int, outcome: Outcome) -> None:
    """Claim one invoice and settle it."""
    (claim,) = await world.claim([invoice_id])
    await settle(world, [move(world, claim, outcome)])


async def two_periods(world: World, subscriptions_count: int = 1) -> list[int]:
    """Return the due invoices of two periods of each subscription."""
    world.catch_up = CatchUpPolicy(CatchUp.BILL_ALL, 2)
    cycle = BillingCycle(START_AT - timedelta(days=40), MONTHLY)
    await world.subscribe(subscriptions_count, cycle=cycle)
    assert await world.renew() == 2 * subscriptions_count
    return [row.id for row in await world.rows("SELECT id FROM invoices ORDER BY id")]


async def statuses(world: World) -> list[str]:
    found = await world.rows("SELECT status FROM subscriptions ORDER BY id")
    return [row.status for row in found]


async def standing(world: World, claim: Claim) -> tuple[str, str]:
    """Return where an attempt and its invoice stand."""
    attempt = await world.attempt(claim.invoice_id)
    return attempt.status, (await world.invoice(claim.invoice_id)).status


class TestGroups:
    def test_every_ending_of_a_group_is_written(self, world: World) -> None:
        outcomes: list[Outcome] = [
            Paid("imp_1", None, "https://receipt"),
            BROKE,
            DEAD,
            NotSent("refused"),
            Throttled("HTTP 429", 30.0),
            Misconfigured("권한", FaultScope.REQUEST),
            Unknown("ReadTimeout"),
        ]
        claimed = world.run(claims_of(world, len(outcomes)))
        group = [move(world, *pair) for pair in zip(claimed, outcomes, strict=True)]
        written = world.run(settle(world, group))
        assert written == [
            *("paid", "declined", "method_dead", "waiting", "waiting", "waiting", "unknown")
        ]
        for claim, status, item in zip(claimed, written, group, strict=True):
            attempt = world.run(world.attempt(claim.invoice_id))
            assert attempt.status == status
            assert attempt.message == item.message
            assert attempt.inquire_at == item.inquire_at
            assert attempt.settled_at == item.settled_at
            invoice = world.run(world.invoice(claim.invoice_id))
            assert invoice.next_attempt_at == item.next_attempt_at
            assert invoice.declines == item.declines
        assert world.run(world.attempt(claimed[0].invoice_id)).receipt_url == "https://receipt"

    def test_a_row_that_the_database_refuses_does_not_take_its_neighbours_along(
        self, world: World
    ) -> None:
        claimed = world.run(claims_of(world, 4))
        ids = ["imp_1", "imp_same", "imp_same", "imp_4"]
        group = [
            move(world, claim, Paid(imp_uid, None))
            for claim, imp_uid in zip(claimed, ids, strict=True)
        ]
        assert world.run(settle(world, group)) == ["paid", "paid", "parked", "paid"]
        assert [world.run(standing(world, claim)) for claim in claimed] == [
            ("paid", "paid"),
            ("paid", "paid"),
            ("parked", "open"),
            ("paid", "paid"),
        ]
        assert len(world.run(world.events("invoice.paid"))) == 3
        assert len(world.run(world.events("payment.parked"))) == 1
        (letter,) = world.run(world.letters())
        assert letter.startswith("paid: refused by the database")

    def test_the_letter_about_a_refused_payment_names_the_payment(self, world: World) -> None:
        claimed = world.run(claims_of(world, 2))
        group = [move(world, claim, Paid("imp_same", None)) for claim in claimed]
        world.run(settle(world, group))
        (letter,) = world.run(world.rows("SELECT payload FROM dead_letters"))
        assert letter.payload["imp_uid"] == "imp_same"

    def test_an_ending_that_comes_twice_is_written_once(self, world: World) -> None:
        claimed = world.run(claims_of(world, 3))
        outcomes: list[Outcome] = [Paid("imp_1", None), BROKE, DEAD]
        group = [move(world, *pair) for pair in zip(claimed, outcomes, strict=True)]
        world.run(settle(world, group))
        before = world.run(world.events())
        world.run(settle(world, group))
        assert world.run(world.events()) == before
        assert world.run(world.letters()) == []

    def test_groups_that_meet_in_other_orders_end_in_a_bounded_time(self, world: World) -> None:
        claimed = world.run(claims_of(world, 20))
        group = [move(world, claim, Paid(f"imp_{claim.attempt_id}", None)) for claim in claimed]

        async def scenario() -> None:
            await asyncio.gather(*(settle(world, part) for part in (group, group[::-1]) * 4))

        world.run(scenario())
        assert len(world.run(world.events("invoice.paid"))) == 20


class TestTwoEndingsOfOneAttemptInAGroup:
    """Two messages about one attempt may be worked side by side, within the same milliseconds."""

    def test_the_same_ending_twice_is_told_once(self, world: World) -> None:
        (claim,) = world.run(claims_of(world, 1))
        paid = move(world, claim, Paid("imp_1", None))
        world.run(settle(world, [paid, paid]))
        assert len(world.run(world.events("invoice.paid"))) == 1

    def test_two_inquiries_at_once_tell_of_a_payment_once(self, world: World) -> None:
        world.settle._linger_s = 0.2
        world.gateway.script.append(Ending.PAID_REPLY_LOST)
        invoice_id = world.run(world.open_invoices())[0]
        world.run(world.charge([invoice_id]))
        world.pass_time(QUIET)

        async def scenario() -> None:
            attempt_id = (await world.attempt(invoice_id)).id
            await asyncio.gather(*(world.inquire([attempt_id]) for _ in range(2)))

        world.run(scenario())
        assert len(world.run(world.events("invoice.paid"))) == 1

    @pytest.mark.parametrize("first", [0, 1])
    @pytest.mark.parametrize("other", [NotSent("refused"), Unknown("HTTP 500"), BROKE])
    def test_money_wins_in_either_order(self, world: World, other: Outcome, first: int) -> None:
        claimed = world.run(claims_of(world, 1))
        both = [move(world, claimed[0], Paid("imp_1", None)), move(world, claimed[0], other)]
        world.run(settle(world, [both[first], both[1 - first]]))
        if world.run(standing(world, claimed[0])) != ("paid", "paid"):
            assert len(world.run(world.letters())) == 1

    def test_two_payments_of_one_attempt_call_a_person(self, world: World) -> None:
        claimed = world.run(claims_of(world, 1))
        group = [move(world, claimed[0], Paid(imp_uid, None)) for imp_uid in ("imp_1", "imp_2")]
        world.run(settle(world, group))
        assert world.run(standing(world, claimed[0])) == ("paid", "paid")
        assert world.run(world.letters()) == ["paid twice at the gateway: also as imp_1"]

    def test_two_findings_about_many_attempts_charge_nobody_twice(self, world: World) -> None:
        """The first look finds nothing for the second time, the second look finds the payment."""
        world.gateway.otherwise = Ending.PAID_REPLY_LOST
        ids = world.run(world.open_invoices(50))
        world.run(world.charge(ids))
        world.gateway.otherwise = Ending.PAID
        claimed = [sent.claim for sent in world.gateway.sent]
        now = world.clock.now()
        group = []
        for claim, booked in zip(claimed, world.gateway.paid(), strict=True):
            question = Question(claim, inquiries=1, no_records=1, held_by_gateway=False)
            found = Paid(booked.record.imp_uid, now)
            group.append(after_inquiry(question, NoRecord(), world.rules, now))
            group.append(after_inquiry(question, found, world.rules, now))
        world.run(world.rows("ANALYZE"))
        random.Random(1).shuffle(group)  # noqa: S311 - an order, not a secret
        world.run(settle(world, group))
        world.run(world.charge_all())
        payments = Counter(booked.claim.invoice_id for booked in world.gateway.paid())
        assert payments == dict.fromkeys(ids, 1)

    def test_attempt_and_invoice_are_written_from_the_same_ending(self, world: World) -> None:
        claimed = world.run(claims_of(world, 60))
        group = [
            move(world, claim, outcome)
            for claim in claimed
            for outcome in (Paid(f"imp_{claim.attempt_id}", None), Unknown("HTTP 500"))
        ]
        world.run(world.rows("ANALYZE"))
        random.Random(1).shuffle(group)  # noqa: S311 - an order, not a secret
        world.run(settle(world, group))
        together = {world.run(standing(world, claim)) for claim in claimed}
        assert together <= {("paid", "paid"), ("unknown", "open")}


class TestEvents:
    def test_a_settlement_that_is_taken_back_tells_nothing(self, world: World) -> None:
        (claim,) = world.run(claims_of(world, 1))
        before = world.run(world.events())

        async def fail(connection: AsyncConnection) -> None:
            paid = move(world, claim, Paid("imp_1", None))
            assert (await moves.apply_moves(connection, [paid])).won == {claim.attempt_id}
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            world.run(world.database.run(fail))
        assert world.run(world.events()) == before
        assert world.run(standing(world, claim)) == ("claimed", "open")

    def test_events_of_a_subscription_stand_in_the_order_of_what_happened(
        self, world: World
    ) -> None:
        world.gateway.script.extend([Ending.DECLINED, Ending.DECLINED, Ending.PAID])
        world.run(world.open_invoices())
        for _ in range(3):
            world.run(world.charge_all())
            world.pass_time(timedelta(days=6))
        assert [event["name"] for event in world.run(world.events())] == [
            "subscription.created",
            "invoice.opened",
            "payment.declined",
            "subscription.past_due",
            "payment.declined",
            "invoice.paid",
            "subscription.recovered",
        ]

    def test_a_lot_of_events_keeps_its_order(self, world: World) -> None:
        (claim,) = world.run(claims_of(world, 1))
        wanted = list(range(300))
        told = tuple(
            Event(EventName.PAYMENT_PARKED, claim.subscription_id, {"position": position})
            for position in wanted
        )
        world.run(settle(world, [replace(move(world, claim, Paid("imp_1", None)), events=told)]))
        positions = [event["position"] for event in world.run(world.events("payment.parked"))]
        assert positions == wanted

    @pytest.mark.parametrize(
        ("text", "stored"),
        [
            ("잔액이 부족합니다. 😀👨‍👩‍👧", None),
            ("  [카드사 거절] 한도초과 \n\t ", None),
            ("", None),
            ("e\u0301 \ufeff\u200b é", None),
            ("끝\x00", "끝\ufffd"),
            ("\ud83d", "?"),
        ],
    )
    def test_the_gateways_texts_are_kept_byte_for_byte(
        self, world: World, text: str, stored: str | None
    ) -> None:
        (claim,) = world.run(claims_of(world, 1))
        world.run(settle(world, [move(world, claim, Declined(text, text))]))
        expected = text if stored is None else stored
        attempt = world.run(world.attempt(claim.invoice_id))
        assert (attempt.message, attempt.imp_uid) == (expected, expected)
        assert world.run(world.invoice(claim.invoice_id)).message == expected
        (told,) = world.run(world.events("payment.declined"))
        assert told["fail_reason"] == expected

    @pytest.mark.parametrize(
        "outcome",
        [
            Paid("imp\x00\ud800", None, "https://r\x00"),
            Throttled("\x00\ud800", 5.0),
            Misconfigured("\x00\ud800", FaultScope.GATEWAY),
            Unknown("\x00\ud800"),
            MethodDead("\x00\ud800", "\x00"),
        ],
    )
    def test_garbage_of_the_gateway_does_not_make_an_ending_unstorable(
        self, world: World, outcome: Outcome
    ) -> None:
        (claim,) = world.run(claims_of(world, 1))
        wanted = move(world, claim, outcome)
        assert world.run(settle(world, [wanted])) == [wanted.attempt_status]
        assert world.run(world.attempt(claim.invoice_id)).status == wanted.attempt_status


class TestBrake:
    def test_many_dead_methods_at_once_are_a_fault_of_ours(self, world: World) -> None:
        claimed = world.run(claims_of(world, 20))
        assert world.run(settle(world, [move(world, claim, DEAD) for claim in claimed])) == [
            *["waiting"] * 20
        ]
        keys = world.run(world.rows("SELECT DISTINCT status FROM billing_keys"))
        assert [key.status for key in keys] == ["active"]
        assert set(world.run(statuses(world))) == {"active"}
        assert world.run(world.events("billing_key.dead")) == []
        held = world.run(world.database.run(lambda c: holds.current(c, world.clock.now())))
        assert held is not None
        assert held.cause == DEAD.message
        assert world.run(world.charge_all()) == []
        world.pass_time(world.rules.resend.hold)
        assert world.run(world.charge_all()) == ["paid"] * 20
        assert {sent.claim.number for sent in world.gateway.sent} == {1}

    def test_a_few_dead_methods_are_believed(self, world: World) -> None:
        claimed = world.run(claims_of(world, 19))
        world.run(settle(world, [move(world, claim, DEAD) for claim in claimed]))
        assert set(world.run(statuses(world))) == {"past_due"}
        assert len(world.run(world.events("billing_key.dead"))) == 19
        invoice = world.run(world.invoice(claimed[0].invoice_id))
        assert (invoice.status, invoice.next_attempt_at) == ("open", None)

    def test_many_among_very_many_are_believed(self, world: World) -> None:
        claimed = world.run(claims_of(world, 50))
        group = [move(world, claim, DEAD) for claim in claimed[:24]]
        group += [
            move(world, claim, Paid(f"imp_{claim.attempt_id}", None)) for claim in claimed[24:]
        ]
        world.run(settle(world, group))
        assert len(world.run(world.events("billing_key.dead"))) == 24

    def test_dead_methods_one_by_one_are_braked_as_well(self, world: World) -> None:
        claimed = world.run(claims_of(world, 30))
        for claim in claimed:
            world.run(settle(world, [move(world, claim, DEAD)]))
        believed = world.run(world.rows("SELECT FROM billing_keys WHERE status = 'dead'"))
        assert len(believed) == DeadMethodBrake().count_min - 1

    def test_a_wrong_configuration_that_lasts_buries_no_more_than_at_first(
        self, world: World
    ) -> None:
        """Endings rarely come twenty at once: each group here is of one."""
        world.batch_size = 1
        world.gateway.otherwise = Ending.METHOD_DEAD
        world.run(world.open_invoices(60))
        began_at = world.clock.now()
        while world.clock.now() - began_at < timedelta(hours=1):
            world.run(world.charge_all())
            world.clock.instant = world.run(world.next_at()) or began_at + timedelta(hours=1)
        believed = world.run(world.rows("SELECT FROM billing_keys WHERE status = 'dead'"))
        assert len(believed) == DeadMethodBrake().count_min - 1


@pytest.mark.parametrize(
    ("outcomes", "hold_s"),
    [
        ([Throttled("HTTP 429", 60.0), Throttled("HTTP 429", 5.0)], 60),
        ([Throttled("HTTP 429", 5.0), Throttled("HTTP 429", 60.0)], 60),
        ([Throttled("HTTP 429", None)], 10),
        ([Misconfigured("권한", FaultScope.GATEWAY), Throttled("HTTP 429", 5.0)], 300),
        ([NotSent("refused"), Misconfigured("필수", FaultScope.REQUEST)], None),
    ],
)
def test_a_group_holds_the_gateway_for_the_longest_of_its_waits(
    world: World, outcomes: list[Outcome], hold_s: int | None
) -> None:
    claimed = world.run(claims_of(world, len(outcomes)))
    group = [move(world, *pair) for pair in zip(claimed, outcomes, strict=True)]
    world.run(settle(world, group))
    held = world.run(world.database.run(lambda c: holds.current(c, world.clock.now())))
    until_at = None if held is None else held.held_until
    assert until_at == (None if hold_s is None else START_AT + timedelta(seconds=hold_s))


def test_a_request_that_stays_faulty_is_parked(world: World) -> None:
    world.gateway.script.extend([Misconfigured("필수", FaultScope.REQUEST)] * 5)
    world.run(world.open_invoices())
    endings: list[str] = []
    for _ in range(8):
        endings += world.run(world.charge_all())
        world.pass_time(timedelta(hours=1))
    assert endings == ["waiting"] * 4 + ["parked"]
    assert world.run(world.letters()) == ["필수"]


class TestSubscriptions:
    def test_it_is_past_due_once_and_recovers_once(self, world: World) -> None:
        world.gateway.script.extend([Ending.DECLINED] * 2)
        invoice_id = world.run(world.open_invoices())[0]
        seen = []
        for _ in range(3):
            world.run(world.charge_all())
            seen.append(world.run(world.subscription(invoice_id)).status)
            world.pass_time(timedelta(days=6))
        assert seen == ["past_due", "past_due", "active"]
        assert len(world.run(world.events("subscription.past_due"))) == 1
        assert len(world.run(world.events("subscription.recovered"))) == 1

    def test_it_stays_past_due_while_another_declined_invoice_is_open(self, world: World) -> None:
        first, second = world.run(two_periods(world))
        for invoice_id in (first, second):
            world.run(end(world, invoice_id, BROKE))
        world.pass_time(timedelta(days=3))
        world.run(end(world, first, Paid("imp_1", None)))
        assert world.run(statuses(world)) == ["past_due"]
        world.run(end(world, second, Paid("imp_2", None)))
        assert world.run(statuses(world)) == ["active"]
        assert len(world.run(world.events("subscription.recovered"))) == 1

    @pytest.mark.parametrize("action", list(TerminalAction))
    def test_the_last_decline_ends_as_the_policy_says(
        self, module_url: str, world: World, action: TerminalAction
    ) -> None:
        assert world.clock.now() == START_AT
        rules = CollectionRules(LEASES, DunningPolicy((timedelta(days=1),), action))
        with world_of(module_url, rules) as other:
            other.gateway.script.extend([Ending.DECLINED] * 2)
            invoice_id = other.run(other.open_invoices())[0]
            for _ in range(3):
                other.run(other.charge_all())
                other.pass_time(timedelta(days=2))
            assert other.run(other.invoice(invoice_id)).status == "uncollectible"
            subscription = other.run(other.subscription(invoice_id))
            canceled = other.run(other.events("subscription.canceled"))
            paused = other.run(other.events("subscription.paused"))
        if action is TerminalAction.CANCEL:
            assert (subscription.status, subscription.next_renewal_at) == ("canceled", None)
        elif action is TerminalAction.PAUSE:
            at = START_AT + timedelta(days=2)
            assert (subscription.status, subscription.pause_at) == ("paused", at)
            assert (subscription.pause_keeps, subscription.resume_at) == ("calendar", None)
            assert [told["keeps"] for told in paused] == ["calendar"]
            assert subscription.next_renewal_at is not None
        else:
            assert subscription.status == "past_due"
            assert subscription.next_renewal_at is not None
        assert len(canceled) == (action is TerminalAction.CANCEL)
        assert len(paused) == (action is TerminalAction.PAUSE)

    def test_a_canceled_one_stays_so_whatever_comes_late(self, world: World) -> None:
        first, second = world.run(two_periods(world))
        (paid_claim,), (declined_claim,) = (
            world.run(world.claim([invoice_id])) for invoice_id in (first, second)
        )
        canceled = {paid_claim.subscription_id: SubscriptionStatus.CANCELED}
        world.run(
            world.database.run(
                lambda c: subscriptions.change_status(c, canceled, world.clock.now())
            )
        )
        world.run(settle(world, [move(world, declined_claim, BROKE)]))
        world.run(settle(world, [move(world, paid_claim, Paid("imp_1", None))]))
        assert world.run(statuses(world)) == ["canceled"]
        names = {event["name"] for event in world.run(world.events())}
        assert not names & {"subscription.past_due", "subscription.recovered"}
        assert world.run(world.invoice(first)).status == "paid"

    def test_a_decline_makes_it_past_due_also_if_it_recovered_meanwhile(self, world: World) -> None:
        first, second = world.run(two_periods(world))
        world.run(end(world, first, BROKE))
        (claim,) = world.run(world.claim([second]))
        world.pass_time(timedelta(days=2))
        world.run(end(world, first, Paid("imp_1", None)))
        assert world.run(statuses(world)) == ["active"]
        world.run(settle(world, [move(world, claim, BROKE)]))
        assert world.run(statuses(world)) == ["past_due"]

    def test_it_does_not_recover_while_an_invoice_waits_for_a_new_method(
        self, world: World
    ) -> None:
        first, second = world.run(two_periods(world))
        (claim,) = world.run(world.claim([first]))
        world.run(end(world, second, DEAD))
        assert world.run(statuses(world)) == ["past_due"]
        world.gateway.enter(world.gateway.payment_of(claim), claim)
        world.pass_time(QUIET)
        assert world.run(world.inquire_all()) == ["paid"]
        assert world.run(statuses(world)) == ["past_due"]

    def test_it_does_not_recover_by_a_group_that_buries_its_method(self, world: World) -> None:
        first, second = world.run(two_periods(world))
        world.run(end(world, first, BROKE))
        world.pass_time(timedelta(days=2))
        claimed = world.run(world.claim([first, second]))
        outcomes: list[Outcome] = [Paid("imp_1", None), DEAD]
        group = [move(world, *pair) for pair in zip(claimed, outcomes, strict=True)]
        world.run(settle(world, group))
        assert world.run(statuses(world)) == ["past_due"]
        assert world.run(world.events("subscription.recovered")) == []

    def test_the_end_of_a_subscription_outweighs_a_decline_in_the_same_group(
        self, world: World
    ) -> None:
        first, second = world.run(two_periods(world))
        claimed = world.run(world.claim([first, second]))
        group = [move(world, claim, BROKE) for claim in claimed]
        group[0] = replace(group[0], subscription_status=SubscriptionStatus.CANCELED)
        world.run(settle(world, group))
        assert world.run(statuses(world)) == ["canceled"]

    def test_a_group_locks_the_keys_that_it_buries_before_any_subscription(
        self, world: World
    ) -> None:
        """A charge counts attempts with a key held, and looks at its subscriptions after that."""
        claimed = world.run(claims_of(world, 3))
        outcomes: list[Outcome] = [BROKE, DEAD, Paid("imp_1", None)]
        group = [move(world, *pair) for pair in zip(claimed, outcomes, strict=True)]
        with locked(world) as tables:
            world.run(settle(world, group))
        of_both = [table for table in tables if table in {"billing_keys", "subscriptions"}]
        assert list(dict.fromkeys(of_both)) == ["billing_keys", "subscriptions"], tables

    def test_two_last_payments_at_once_recover_it(self, world: World) -> None:
        ids = world.run(two_periods(world))
        for invoice_id in ids:
            world.run(end(world, invoice_id, BROKE))
        world.pass_time(timedelta(days=3))
        claimed = world.run(world.claim(ids))
        applied, looked = [0], [0]

        async def somebody_waits_for_a_lock() -> bool:
            return bool(await world.rows("SELECT FROM pg_locks WHERE NOT granted"))

        async def pay(claim: Claim) -> None:
            paid = move(world, claim, Paid(f"imp_{claim.attempt_id}", None))
            async with world.database.transaction() as connection:
                await moves.apply_moves(connection, [paid])
                applied[0] += 1

                async def both_applied_or_one_waits() -> bool:
                    return applied[0] == 2 or await somebody_waits_for_a_lock()

                await until(both_applied_or_one_waits)
                await subscriptions.recover(connection, [claim.subscription_id], START_AT)
                looked[0] += 1

                async def both_looked_or_one_waits() -> bool:
                    return looked[0] == 2 or await somebody_waits_for_a_lock()

                await until(both_looked_or_one_waits)

        async def scenario() -> None:
            await asyncio.gather(*(pay(claim) for claim in claimed))

        world.run(scenario())
        assert world.run(statuses(world)) == ["active"]


class TestStrayPayments:
    async def close(self, world: World, claim: Claim) -> None:
        await world.rows(
            "UPDATE invoices SET status = 'uncollectible', next_attempt_at = NULL WHERE id = :id",
            id=claim.invoice_id,
        )

    def test_money_for_an_invoice_that_was_closed_calls_a_person(self, world: World) -> None:
        (claim,) = world.run(claims_of(world, 1))
        world.run(self.close(world, claim))
        world.run(settle(world, [move(world, claim, Paid("imp_1", None))]))
        assert world.run(standing(world, claim)) == ("paid", "uncollectible")
        assert world.run(world.letters()) == ["paid, although the invoice was closed meanwhile"]

    def test_it_is_not_told_as_a_paid_invoice(self, world: World) -> None:
        (claim,) = world.run(claims_of(world, 1))
        world.run(self.close(world, claim))
        world.run(settle(world, [move(world, claim, Paid("imp_1", None))]))
        assert world.run(world.events("invoice.paid")) == []


class ReleasingDatabase(Database):
    """Lets go of a lock as soon as a transaction has failed on it."""

    blocker: psycopg.Connection

    async def run(self, work: Callable[[AsyncConnection], Awaitable[R]]) -> R:
        try:
            return await super().run(work)
        except DBAPIError:
            self.blocker.rollback()
            raise


@pytest.fixture
def blocked(world: World) -> Iterator[ReleasingDatabase]:
    """A database whose statements end after a moment, beside a transaction that can block them."""
    impatient = connect(world.url, connections_max=2, statement_timeout_s=0.2)
    database = ReleasingDatabase(impatient.engine)
    with psycopg.connect(world.url) as database.blocker:
        yield database
    world.run(database.aclose())


def test_a_payment_that_met_a_lock_for_too_long_is_not_parked(
    world: World, blocked: ReleasingDatabase
) -> None:
    """Left as it is, the inquiry reads the payment and adopts it."""
    (claim,) = world.run(claims_of(world, 1))
    blocked.blocker.execute("SELECT FROM invoices FOR UPDATE")
    work = SettleMoves(blocked, world.clock, world.rules)

    async def scenario() -> None:
        with contextlib.suppress(DBAPIError):
            await work([move(world, claim, Paid("imp_1", None))])

    world.run(scenario())
    assert world.run(world.attempt(claim.invoice_id)).status in {"claimed", "paid"}


def test_a_settlement_that_cannot_be_written_leaves_the_attempt_to_the_inquiry(
    world: World, blocked: ReleasingDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = world.run(world.open_invoices(2))

    async def refuse(_moves: Sequence[Move]) -> list[Move]:
        async with blocked.transaction() as connection:
            await connection.exec_driver_sql("SELECT 1/0")
        raise AssertionError

    monkeypatch.setattr(world.settle, "_work", refuse)
    assert world.run(world.charge(ids)) == ["unsettled"] * 2
    monkeypatch.undo()
    world.pass_time(QUIET)
    assert world.run(world.inquire_all()) == ["paid"] * 2
    assert len(world.gateway.sent) == 2


def test_a_connection_that_is_cut_in_mid_settlement_costs_nothing(world: World) -> None:
    """The transaction is run again, whether or not the server had committed it."""
    claimed = world.run(claims_of(world, 3))
    group = [move(world, claim, Paid(f"imp_{claim.attempt_id}", None)) for claim in claimed]
    cuts: deque[str] = deque(["before", "after"])

    async def cut(connection: AsyncConnection) -> None:
        pid = (await connection.exec_driver_sql("SELECT pg_backend_pid()")).scalar_one()
        await world.twin().rows("SELECT pg_terminate_backend(:pid)", pid=pid)

    class CuttingDatabase(Database):
        async def run(self, work: Callable[[AsyncConnection], Awaitable[R]]) -> R:
            async def work_and_cut(connection: AsyncConnection) -> R:
                if cuts and cuts[0] == "before":
                    cuts.popleft()
                    await cut(connection)
                result = await work(connection)
                if cuts:
                    cuts.popleft()
                    await cut(connection)
                return result

            return await super().run(work_and_cut)

    database = CuttingDatabase(world.database.engine)
    written = world.run(SettleMoves(database, world.clock, world.rules)(group))
    assert [item.attempt_status for item in written] == ["paid"] * 3
    assert not cuts
    assert len(world.run(world.events("invoice.paid"))) == 3
