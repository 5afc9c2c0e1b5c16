"""Whatever happens in whatever order, money moves once and every invoice comes to its end."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy import text

from shared.billing import collection
from shared.billing.attempt import AttemptStatus, Claim, Leases, Question
from shared.billing.collection import Move, after_inquiry, after_send
from shared.billing.inquiry import Finding
from shared.billing.outcome import Declined, Duplicate, Outcome, Unknown
from shared.billing.rules import CollectionRules
from shared.db import claims, inquiries, moves
from tests.integration.services.interleaving import (
    DUNNING_EARLY,
    PAID_TWICE,
    PAUSED_BEFORE_SENDING,
    RULES,
    STUCK,
    Climate,
    Weather,
    live_through,
)
from tests.support.billing import World, world_of
from tests.support.book import DuplicatePolicy, Ending
from worker.services import charge, inquire

# Three policies: more than two hundred lives.
LIVES = 68


@pytest.fixture
def pair(module_url: str) -> Iterator[tuple[World, World]]:
    """Two processes on one database."""
    with world_of(module_url, RULES) as world:
        yield world, world.twin()


@pytest.mark.parametrize("policy", list(DuplicatePolicy))
def test_no_life_charges_twice_or_forgets(
    pair: tuple[World, World], policy: DuplicatePolicy
) -> None:
    world, other = pair
    for seed in range(LIVES):
        faults, trace = world.run(live_through(world, other, seed, policy))
        assert not faults, (f"seed {seed} {policy}", faults, trace)


def unknown_is_declined(monkeypatch: pytest.MonkeyPatch) -> None:
    def mutant(claim: Claim, outcome: Outcome, rules: CollectionRules, now: datetime) -> Move:
        if isinstance(outcome, Unknown):
            outcome = Declined(outcome.cause)
        return after_send(claim, outcome, rules, now)

    monkeypatch.setattr(charge, "after_send", mutant)


def duplicate_is_declined(monkeypatch: pytest.MonkeyPatch) -> None:
    def mutant(claim: Claim, outcome: Outcome, rules: CollectionRules, now: datetime) -> Move:
        if isinstance(outcome, Duplicate):
            outcome = Declined(outcome.message)
        return after_send(claim, outcome, rules, now)

    monkeypatch.setattr(charge, "after_send", mutant)


def silence_makes_a_new_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def mutant(question: Question, finding: Finding, rules: CollectionRules, now: datetime) -> Move:
        move = after_inquiry(question, finding, rules, now)
        if move.attempt_status is AttemptStatus.WAITING:
            return replace(move, attempt_status=AttemptStatus.DECLINED, settled_at=now)
        return move

    monkeypatch.setattr(inquire, "after_inquiry", mutant)


def silence_is_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def mutant(question: Question, finding: Finding, rules: CollectionRules, now: datetime) -> Move:
        move = after_inquiry(question, finding, rules, now)
        if move.attempt_status is AttemptStatus.WAITING:
            return replace(move, next_attempt_at=None)
        return move

    monkeypatch.setattr(inquire, "after_inquiry", mutant)


def without(statement: object, part: str) -> object:
    """Return a statement that lost one of its conditions."""
    words = str(statement)
    assert part in words
    return text(words.replace(part, ""))


def send_number_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    mutant = without(moves._APPLY, "AND a.send_number = m.send_number")
    monkeypatch.setattr(moves, "_APPLY", mutant)


def due_date_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    mutant = without(claims._LOCK_DUE, "AND i.next_attempt_at <= :now")
    monkeypatch.setattr(claims, "_LOCK_DUE", mutant)


def settle_delay_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    def hasty(leases: Leases) -> Leases:
        return replace(leases, settle_delay=timedelta(microseconds=1))

    claim, leave = claims.write_claims, collection.leave_to_inquiry
    monkeypatch.setattr(
        claims, "write_claims", lambda c, due, leases, now: claim(c, due, hasty(leases), now)
    )
    monkeypatch.setattr(
        collection,
        "leave_to_inquiry",
        lambda held, outcome, leases, now: leave(held, outcome, hasty(leases), now),
    )


def dead_claims_have_no_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inquiries, "INQUIRABLE", frozenset({AttemptStatus.UNKNOWN}))


@dataclass(frozen=True, slots=True)
class Mistake:
    """A mistake, what it must be found by, and within how many lives of each policy."""

    plant: Callable[[pytest.MonkeyPatch], None]
    fault: str
    lives_max: int
    climate: Climate = field(default_factory=Climate)


# Its own weather, in which the one danger is common: a dozen lives do what hundreds did.
HIDDEN: Weather = {Ending.PAID_HIDDEN: 3, Ending.REQUEST_LOST: 1}
MISTAKES = (
    Mistake(unknown_is_declined, PAID_TWICE, 2),
    Mistake(silence_is_the_end, STUCK, 3),
    Mistake(dead_claims_have_no_owner, STUCK, 2),
    Mistake(due_date_is_ignored, DUNNING_EARLY, 15),
    Mistake(silence_makes_a_new_number, PAID_TWICE, 8, Climate(HIDDEN)),
    Mistake(duplicate_is_declined, PAID_TWICE, 8, Climate(HIDDEN)),
    Mistake(
        send_number_is_ignored,
        PAID_TWICE,
        15,
        Climate(
            {PAUSED_BEFORE_SENDING: 1, Ending.PAID_REPLY_LOST: 1},
            {"dispatch": 8, "deliver": 10, "scan_inquiries": 6, "wake": 1, "wait": 8},
            {310: 1},
            length=(60, 60),
        ),
    ),
    Mistake(
        settle_delay_is_ignored,
        PAID_TWICE,
        12,
        Climate(
            {Ending.PAID_LATE: 1},
            {"dispatch": 2, "deliver": 3, "ask_too_early": 6, "wait": 1},
            {125: 2, 31: 1},
        ),
    ),
)


@pytest.mark.parametrize(
    "mistake", [pytest.param(mistake, id=mistake.plant.__name__) for mistake in MISTAKES]
)
def test_a_planted_mistake_is_found(
    pair: tuple[World, World], monkeypatch: pytest.MonkeyPatch, mistake: Mistake
) -> None:
    world, other = pair
    mistake.plant(monkeypatch)
    for seed in range(mistake.lives_max):
        for policy in DuplicatePolicy:
            life = live_through(world, other, seed, policy, mistake.climate)
            faults, _ = world.run(life)
            if faults[mistake.fault]:
                print(f"found in life {seed} of {policy}: {dict(faults)}")
                return
    pytest.fail(f"not found in {mistake.lives_max} lives of each policy")
