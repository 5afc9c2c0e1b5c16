"""Whatever happens in whatever order, money goes back once and every refund comes to its end."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing import refunding
from shared.billing.attempt import Leases
from shared.billing.events import EventName
from shared.billing.outcome import Unknown
from shared.billing.refund import (
    NotDone,
    RefundClaim,
    RefundFinding,
    RefundOutcome,
    RefundQuestion,
    RefundStatus,
    Refused,
)
from shared.billing.refunding import RefundMove, after_refund_inquiry, after_refund_send
from shared.billing.rules import CollectionRules, InquiryPolicy
from shared.db import payments, refund_inquiries, refund_moves, refunds
from shared.db.payments import Payment
from tests.integration.services.refund_interleaving import (
    GIVEN_BACK_TWICE,
    PAUSED_BEFORE_SENDING,
    REFUSED_FOR_NOTHING,
    ROWS_AND_BOOK_DIFFER,
    STUCK,
    SUMS_DIFFER,
    Climate,
    Weather,
    live_through,
)
from tests.support.billing import world_of
from tests.support.refunds import RefundBook, RefundDesk, Way
from worker.services import refund, refund_inquiry

LIVES = 100
_INDEX = "SELECT indexdef FROM pg_indexes WHERE indexname = 'refunds_one_under_way_idx'"


@pytest.fixture
def pair(module_url: str) -> Iterator[tuple[RefundDesk, RefundDesk]]:
    """Two processes on one database."""
    with world_of(module_url) as world:
        desk = RefundDesk(world, RefundBook(world.clock))
        (index,) = world.run(world.rows(_INDEX))
        yield desk, desk.twin()
        world.run(world.clear())
        words = "CREATE UNIQUE INDEX"
        world.run(world.rows(index.indexdef.replace(words, f"{words} IF NOT EXISTS")))


def test_no_life_gives_back_twice_or_forgets(pair: tuple[RefundDesk, RefundDesk]) -> None:
    desk, other = pair
    for seed in range(LIVES):
        faults, trace = desk.world.run(live_through(desk, other, seed))
        assert not faults, (f"seed {seed}", faults, trace)


def refused_at_once(claim: RefundClaim, message: str, now: datetime) -> RefundMove:
    event = refunding.refund_event(EventName.REFUND_REFUSED, claim, now, message=message)
    return RefundMove(claim, RefundStatus.REFUSED, message=message, settled_at=now, events=(event,))


def a_refusal_is_believed_unread(monkeypatch: pytest.MonkeyPatch, _: RefundDesk) -> None:
    def mutant(
        claim: RefundClaim, outcome: RefundOutcome, rules: CollectionRules, now: datetime
    ) -> RefundMove:
        if isinstance(outcome, Refused):
            return refused_at_once(claim, outcome.message, now)
        return after_refund_send(claim, outcome, rules, now)

    monkeypatch.setattr(refund, "after_refund_send", mutant)


def unknown_is_refused(monkeypatch: pytest.MonkeyPatch, _: RefundDesk) -> None:
    def mutant(
        claim: RefundClaim, outcome: RefundOutcome, rules: CollectionRules, now: datetime
    ) -> RefundMove:
        if isinstance(outcome, Unknown):
            return refused_at_once(claim, outcome.cause, now)
        return after_refund_send(claim, outcome, rules, now)

    monkeypatch.setattr(refund, "after_refund_send", mutant)


def a_refusal_in_doubt_is_believed_when_read(
    monkeypatch: pytest.MonkeyPatch, _: RefundDesk
) -> None:
    """Believed, like that of a first send, when the payment stands as before."""

    def mutant(question: RefundQuestion, policy: InquiryPolicy, now: datetime) -> RefundMove:
        certain = replace(question.claim, unknown_since=None)
        if certain.refusal is not None:
            question = replace(question, claim=certain)
        return real(question, policy, now)

    real = refunding._after_nothing_done
    monkeypatch.setattr(refunding, "_after_nothing_done", mutant)


def the_checksum_is_dropped_in_doubt(monkeypatch: pytest.MonkeyPatch, _: RefundDesk) -> None:
    def mutant(
        question: RefundQuestion, finding: RefundFinding, rules: CollectionRules, now: datetime
    ) -> RefundMove:
        move = after_refund_inquiry(question, finding, rules, now)
        if isinstance(finding, NotDone) and move.status is RefundStatus.WAITING:
            return replace(move, keeps_checksum=False, unknown_since=None)
        return move

    monkeypatch.setattr(refund_inquiry, "after_refund_inquiry", mutant)


def the_checksum_is_recomputed_at_the_resend(
    monkeypatch: pytest.MonkeyPatch, desk: RefundDesk
) -> None:
    """Out of the balance that the gateway has by then: nothing holds two sends apart any more."""

    async def mutant(
        connection: AsyncConnection,
        claims: Sequence[RefundClaim],
        leases: Leases,
        now: datetime,
    ) -> list[RefundClaim]:
        lefts = {imp_uid: held.left for imp_uid, held in desk.gateway.entries().items()}
        fresh = [
            replace(claim, checksum=lefts[claim.imp_uid])
            if claim.order.price.amount <= lefts[claim.imp_uid]
            else claim
            for claim in claims
        ]
        return await write(connection, fresh, leases, now)

    write = refunds.write_claims
    monkeypatch.setattr(refunds, "write_claims", mutant)


def without(statement: object, part: str) -> object:
    """Return a statement that lost one of its conditions."""
    words = str(statement)
    assert part in words
    return text(words.replace(part, ""))


def send_number_is_ignored(monkeypatch: pytest.MonkeyPatch, _: RefundDesk) -> None:
    part = "AND r.send_number = m.send_number"
    monkeypatch.setattr(refund_moves, "_APPLY", without(refund_moves._APPLY, part))


def two_are_under_way(monkeypatch: pytest.MonkeyPatch, desk: RefundDesk) -> None:
    """Neither the statement nor the constraint keeps a second refund of a payment back."""
    for statement in ("_LOCK_DUE", "_DISPATCH"):
        part = f"{refunds._UNDER_WAY}"
        words = str(getattr(refunds, statement))
        assert part in words
        monkeypatch.setattr(refunds, statement, text(words.replace(part, "false")))
    desk.world.run(desk.world.rows("DROP INDEX refunds_one_under_way_idx"))


def dead_claims_have_no_owner(monkeypatch: pytest.MonkeyPatch, _: RefundDesk) -> None:
    monkeypatch.setattr(refund_inquiries, "REFUND_INQUIRABLE", frozenset({RefundStatus.UNKNOWN}))


def a_hint_adopts_what_is_under_way(monkeypatch: pytest.MonkeyPatch, _: RefundDesk) -> None:
    async def mutant(connection: AsyncConnection, payment_id: int) -> Payment | None:
        payment = await lock(connection, payment_id)
        return payment and replace(payment, under_way=False)

    lock = payments.lock
    monkeypatch.setattr(payments, "lock", mutant)


@dataclass(frozen=True, slots=True)
class Mistake:
    """A mistake, what it must be found by, and within how many lives."""

    plant: Callable[[pytest.MonkeyPatch, RefundDesk], None]
    fault: str
    lives_max: int
    climate: Climate = field(default_factory=Climate)


# Its own weather, in which the one danger is common: a dozen lives do what hundreds did.
HIDDEN: Weather = {Way.DONE_HIDDEN: 3, Way.REQUEST_LOST: 1}
LOST: Weather = {Way.DONE_REPLY_LOST: 1, Way.REQUEST_LOST: 1}
DEATHS: Weather = {Way.DIES_AFTER_DOING: 1, Way.DIES_BEFORE_SENDING: 1}
SAME = (1_000,)
MISTAKES = (
    Mistake(unknown_is_refused, ROWS_AND_BOOK_DIFFER, 5, Climate(LOST)),
    Mistake(dead_claims_have_no_owner, STUCK, 5, Climate(DEATHS)),
    Mistake(a_hint_adopts_what_is_under_way, SUMS_DIFFER, 12, Climate(LOST)),
    Mistake(a_refusal_is_believed_unread, ROWS_AND_BOOK_DIFFER, 12, Climate(HIDDEN)),
    Mistake(a_refusal_in_doubt_is_believed_when_read, ROWS_AND_BOOK_DIFFER, 12, Climate(HIDDEN)),
    Mistake(the_checksum_is_recomputed_at_the_resend, GIVEN_BACK_TWICE, 12, Climate(HIDDEN)),
    Mistake(
        the_checksum_is_dropped_in_doubt,
        REFUSED_FOR_NOTHING,
        12,
        Climate(HIDDEN, amounts=SAME),
    ),
    Mistake(two_are_under_way, ROWS_AND_BOOK_DIFFER, 12, Climate(amounts=SAME)),
    Mistake(
        send_number_is_ignored,
        ROWS_AND_BOOK_DIFFER,
        30,
        Climate(
            {PAUSED_BEFORE_SENDING: 1, Way.DONE_HIDDEN: 1},
            {"ask": 3, "scan": 8, "deliver": 10, "wake": 2, "wait": 8},
            {310: 1},
            amounts=SAME,
            length=(60, 60),
        ),
    ),
)


@pytest.mark.parametrize(
    "mistake", [pytest.param(mistake, id=mistake.plant.__name__) for mistake in MISTAKES]
)
def test_a_planted_mistake_is_found(
    pair: tuple[RefundDesk, RefundDesk], monkeypatch: pytest.MonkeyPatch, mistake: Mistake
) -> None:
    desk, other = pair
    mistake.plant(monkeypatch, desk)
    for seed in range(mistake.lives_max):
        faults, _ = desk.world.run(live_through(desk, other, seed, mistake.climate))
        if faults[mistake.fault]:
            print(f"found in life {seed}: {dict(faults)}")
            return
    pytest.fail(f"not found in {mistake.lives_max} lives")
