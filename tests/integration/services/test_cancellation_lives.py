"""Whenever an end is wished for and whatever happens meanwhile, nothing is charged after it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

import pytest
from sqlalchemy import text

from shared.billing.rules import InquiryPolicy
from shared.db import claims, endings, remains, subscriptions
from tests.integration.services.ending_lives import (
    BILLED_AFTER_THE_END,
    CHARGED_AFTER_THE_END,
    CLIMATE,
    ENDING_STEPS,
    FORGOTTEN,
    GIVEN_BACK_WRONG,
    NOT_CLOSED,
    STILL_RESERVED,
    VOID_AND_PAID,
    live_through,
    narrow,
)
from tests.integration.services.interleaving import RULES, Climate
from tests.support.billing import World, world_of
from tests.support.book import DuplicatePolicy, Ending
from worker.services import endings as service

LIVES = 60
POLICIES = list(DuplicatePolicy)


@pytest.fixture
def pair(module_url: str) -> Iterator[tuple[World, World]]:
    """Two processes on one database."""
    with world_of(module_url, RULES) as world:
        yield world, world.twin()


@pytest.mark.parametrize("lives", [range(0, LIVES, 2), range(1, LIVES, 2)], ids=["even", "odd"])
def test_no_life_charges_after_the_end_or_forgets_what_is_to_go_back(
    pair: tuple[World, World], lives: range
) -> None:
    world, other = pair
    for seed in lives:
        policy = POLICIES[seed % len(POLICIES)]
        faults, trace = world.run(live_through(world, other, seed, policy))
        assert not faults, (f"seed {seed} {policy}", faults, trace)


def the_end_stops_no_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    words, part = str(claims._LOCK_DUE), "AND (s.cancel_at IS NULL OR s.cancel_at > :now)"
    assert part in words
    monkeypatch.setattr(claims, "_LOCK_DUE", text(words.replace(part, "")))


def what_is_in_flight_is_void(monkeypatch: pytest.MonkeyPatch) -> None:
    words, part = str(remains._IDLE), "AND (a.id IS NULL OR a.id = ANY(CAST(:held AS bigint[])))"
    assert part in words
    monkeypatch.setattr(
        remains, "_IDLE", text(words.replace(part, "AND CAST(:held AS bigint[]) IS NOT NULL"))
    )


def silence_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    def mutant(_since: datetime, _now: datetime, _policy: InquiryPolicy) -> None:
        return None

    monkeypatch.setattr(service, "look_again_at", mutant)


def the_renewal_looks_at_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    real = subscriptions.lock_due

    async def mutant(connection: object, limit: int, now: datetime) -> object:
        await connection.exec_driver_sql(  # type: ignore[attr-defined]
            "CREATE TEMP TABLE ends AS SELECT id, cancel_at, cancel_reason, cancel_requester"
            " FROM subscriptions; UPDATE subscriptions SET cancel_at = NULL"
        )
        found = await real(connection, limit, now)  # type: ignore[arg-type]
        await connection.exec_driver_sql(  # type: ignore[attr-defined]
            "UPDATE subscriptions s SET cancel_at = e.cancel_at FROM ends e WHERE e.id = s.id;"
            " DROP TABLE ends"
        )
        return found

    monkeypatch.setattr(subscriptions, "lock_due", mutant)


def nothing_is_awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    async def mutant(*_: object) -> bool:
        return False

    monkeypatch.setattr(remains, "anything_open", mutant)


def nothing_is_wound_up(monkeypatch: pytest.MonkeyPatch) -> None:
    words = str(endings._DISPATCH_UNCLOSED)
    mutant = text(words.replace("status = 'canceled'", "status = 'never'"))
    monkeypatch.setattr(endings, "_DISPATCH_UNCLOSED", mutant)


def reservations_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    words, part = str(endings._DUE), "THEN k.customer_uid END"
    assert part in words
    monkeypatch.setattr(endings, "_DUE", text(words.replace(part, "THEN NULL END")))


@dataclass(frozen=True, slots=True)
class Mistake:
    """A mistake, what it must be found by, and within how many lives."""

    plant: Callable[[pytest.MonkeyPatch], None]
    fault: str
    lives_max: int
    climate: Climate = CLIMATE


HIDDEN = narrow(ENDING_STEPS, weather={Ending.PAID_HIDDEN: 2, Ending.DIES_BEFORE_SENDING: 1})
DEADLY = narrow(
    ENDING_STEPS, weather={Ending.DIES_AFTER_PAID: 3, Ending.PAID_REPLY_LOST: 2, Ending.DECLINED: 1}
)
MISTAKES = (
    Mistake(the_end_stops_no_claim, CHARGED_AFTER_THE_END, 6),
    Mistake(what_is_in_flight_is_void, VOID_AND_PAID, 20, DEADLY),
    Mistake(silence_is_enough, FORGOTTEN, 40, HIDDEN),
    Mistake(the_renewal_looks_at_no_end, BILLED_AFTER_THE_END, 8),
    Mistake(nothing_is_awaited, GIVEN_BACK_WRONG, 20, DEADLY),
    Mistake(nothing_is_wound_up, NOT_CLOSED, 8),
    Mistake(reservations_are_left_alone, STILL_RESERVED, 2),
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
        policy = POLICIES[seed % len(POLICIES)]
        faults, _ = world.run(live_through(world, other, seed, policy, mistake.climate))
        if faults[mistake.fault]:
            print(f"found in life {seed} of {policy}: {dict(faults)}")
            return
    pytest.fail(f"not found in {mistake.lives_max} lives")
