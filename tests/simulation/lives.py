"""Seeded lives of an installation: what may happen, how often, and what must be true at the end."""

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from deploy.sandbox.book import DuplicatePolicy
from shared.billing.subscription import Agreement
from shared.config import Settings
from tests.simulation import books, checks, conformity, endpoints, life_checks
from tests.simulation.conduct import conduct
from tests.simulation.deeds import DEEDS
from tests.simulation.due import Outlook
from tests.simulation.installation import START_AT, Host, Installation, settings_for
from tests.simulation.life import Life
from tests.simulation.merchant import Merchant
from tests.simulation.mishaps import STEPS
from tests.simulation.policies import policies_of
from tests.simulation.population import agreements
from tests.simulation.seam import Point
from tests.simulation.weather import (
    CALM,
    CANCEL_FAULTS,
    CHARGE_FAULTS,
    INQUIRY_FAULTS,
    POLICIES,
    fair,
    storm,
)

_YEAR: Final = timedelta(days=365, hours=6)
# In how many lives a merchant has an endpoint: what it is told costs two transactions an event.
_TOLD_BY_HTTP: Final = 0.4
# Longer than anything may be in doubt: the deadline, its last gap, and what a person takes up.
_CALM_DOWN: Final = timedelta(hours=60)
# What may happen in one step of a storm.
STORM: Final[Mapping[str, int]] = {
    "tick": 30,
    "deliver": 30,
    "go_on": 16,
    "wait": 20,
    "lose": 2,
    "double": 3,
    "delay": 3,
    "come_again": 8,
    "redeliver": 5,
    "flush": 1,
    "kill": 4,
    "die_soon": 12,
    "pause": 6,
    "wake": 4,
    "refuse": 1,
    "outage": 2,
    "refund": 4,
    "cancel": 1,
    "cancel_elsewhere": 1,
    "ask_for_a_key": 2,
    "use_window": 3,
    "pay_once": 2,
    "delete_key": 1,
    "key_dies": 1,
    "forge": 1,
    "forge_of_ours": 1,
    "send_nonsense": 1,
    "requeue_letters": 1,
    "say_again": 2,
    "revoke_tokens": 1,
    "start_subscription": 1,
    "pause_subscription": 1,
    "resume_subscriptions": 1,
    "change_plan": 2,
    "change_price": 1,
    "give_consents": 2,
    "adjust": 1,
    "retry_invoices": 2,
    "switch_dunning": 1,
    "switch_collection": 2,
    "revoke_elsewhere": 1,
    "come_back": 1,
}
# What is done in the calm, so many times a year.
YEARLY: Final[Mapping[str, int]] = {
    "refund": 6,
    "cancel": 4,
    "cancel_elsewhere": 2,
    "ask_for_a_key": 3,
    "replace_dead_keys": 12,
    "pay_once": 2,
    "delete_key": 1,
    "key_dies": 2,
    "balance_goes": 2,
    "balance_comes": 4,
    "requeue_letters": 4,
    "revoke_tokens": 1,
    "start_subscription": 8,
    "pause_subscription": 6,
    "resume_subscriptions": 6,
    "change_plan": 8,
    "change_price": 2,
    "give_consents": 24,
    "adjust": 6,
    "retry_invoices": 6,
    "switch_dunning": 4,
    "switch_collection": 24,
    "revoke_elsewhere": 2,
    "come_back": 4,
}


@dataclass(frozen=True, slots=True)
class Climate:
    """How often each thing happens; a narrow one finds its mistake sooner.

    Attributes:
        subscriptions: How many there are, at least.
        days: How long the life is, before it comes to rest.
        storms: How many times everything goes wrong at once.
        storm_steps: The shortest and the longest of them.
        weights: What may happen in a step of one (``mishaps.STEPS``), by weight.
        yearly: What merchants, buyers and operators do in the calm (``deeds.DEEDS``), so many
            times a year.
        outages: How many times the whole system is away for hours or days.
        charges: Faulty endings of charges in a storm, by weight.
        cancels: Faulty endings of cancels and other commands.
        inquiries: Faulty endings of lookups.
        policy: Which duplicates the gateway refuses; by the seed if it is not said.
        settings: Of our processes, where they differ from what the seed has the merchant decide.
        calm_faults: Whether something goes wrong in the calm as well.
        observed_every: Every so many seeds, what transactions do to rows is compared with the
            models (``tests/model``); 0 for none.
    """

    subscriptions: int = 90
    days: int = 730
    storms: int = 6
    storm_steps: tuple[int, int] = (40, 80)
    weights: Mapping[str, int] = field(default_factory=lambda: STORM)
    yearly: Mapping[str, int] = field(default_factory=lambda: YEARLY)
    outages: int = 1
    charges: Mapping[str, float] = field(default_factory=lambda: CHARGE_FAULTS)
    cancels: Mapping[str, float] = field(default_factory=lambda: CANCEL_FAULTS)
    inquiries: Mapping[str, float] = field(default_factory=lambda: INQUIRY_FAULTS)
    policy: DuplicatePolicy | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    calm_faults: bool = True
    observed_every: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a life went.

    Attributes:
        violations: Everything that was wrong, in words that name the rows.
        subscription_years: How long the life's subscriptions lived, in all.
        charges: Charge requests that reached the gateway.
        digest: A hash over everything that happened: equal for equal seeds.
        policy: Which duplicates the gateway refused.
        steps: The models' steps that rows were seen to take, where the life was observed.
        notes: What happened, for people.
    """

    violations: tuple[str, ...]
    subscription_years: float
    charges: int
    digest: str
    policy: str = ""
    steps: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()


def live(host: Host, seed: int, climate: Climate | None = None) -> Verdict:
    """Live the life of a seed, and judge it."""
    host.run(host.warm_up())
    return host.run(_live(host, seed, climate or Climate()))


async def _live(host: Host, seed: int, climate: Climate) -> Verdict:
    dice = random.Random(seed)  # noqa: S311 - a life, not a secret
    policy = climate.policy or POLICIES[seed % len(POLICIES)]
    settings = settings_for(**{**policies_of(seed), **climate.settings})
    life, trace = new_life(host, seed, dice, policy, settings)
    observed = bool(climate.observed_every) and seed % climate.observed_every == 0
    try:
        if observed:
            await conformity.begin(host.database)
        await _begin(life, climate)
        await _go_through(life, climate)
        await come_to_rest(life)
        verdict = await judge(life, trace.copy(), policy)
        if observed:
            found = await conformity.found(host.database)
            wrong = (*verdict.violations, *found.violations)
            verdict = replace(verdict, violations=wrong, steps=found.steps)
        return verdict
    finally:
        if observed:
            await conformity.end(host.database)
        await life.installation.end()


def new_life(
    host: Host, seed: int, dice: random.Random, policy: DuplicatePolicy, settings: Settings
) -> tuple[Life, Any]:
    """Return a life that has not begun, and the hash that everything in it goes into."""
    trace = hashlib.blake2b(digest_size=16)
    life: Life | None = None

    def dies(number: int, point: Point) -> bool:
        trace.update(f"{host.loop.now_s:.6f} {point}\n".encode())
        return life is not None and life.dies(number, point)

    sandbox = {"seed": seed, "duplicate_policy": policy}
    installation = Installation(host, settings=settings, sandbox=sandbox, dice=dice, dies=dies)
    life = Life(installation, Merchant(installation), dice, Outlook(installation))
    return life, trace


async def subscribe(life: Life, made: Sequence[tuple[str, Agreement]]) -> Sequence[UUID]:
    """Have everybody subscribe, each on a billing key."""
    ids = await life.merchant.subscribe(made)
    life.agreements = {id_: agreement for id_, (_, agreement) in zip(ids, made, strict=True)}
    life.customers = {id_: uid for id_, (uid, _) in zip(ids, made, strict=True)}
    return ids


async def _begin(life: Life, climate: Climate) -> None:
    """Have everybody subscribe, and plan what will happen."""
    life.workers = life.dice.choice((2, 3))
    life.told_share = life.dice.choice((0.0, 0.02, 0.1))
    made = agreements(life.dice, climate.subscriptions, life.now)
    await subscribe(life, made)
    if life.dice.random() < _TOLD_BY_HTTP:
        await endpoints.add(life.installation)
    life.start()
    _plan(life, climate)


def _plan(life: Life, climate: Climate) -> None:
    dice, length = life.dice, timedelta(days=climate.days)
    for name, times in climate.yearly.items():
        for _ in range(round(times * climate.days / 365)):
            life.plan(life.now + length * dice.random(), name)
    for month in range(climate.days // 30):
        life.plan(life.now + timedelta(days=30 * month), "weather")
    for _ in range(climate.storms):
        # Where something is to be collected: at the beginning of somebody's period.
        cycle = dice.choice(list(life.agreements.values())).cycle
        begins_at = life.now + length * dice.random()
        period = cycle.period(max(cycle.index_at(begins_at), 0))
        life.plan(max(period.start_at, life.now), "storm")
    for _ in range(climate.outages):
        life.plan(life.now + length * dice.random(), "outage")
    if dice.random() < 0.9:
        life.plan(life.now + timedelta(days=dice.choice((5, 20))), "end_the_daily")


async def _go_through(life: Life, climate: Climate) -> None:
    """Live until the end, one planned thing after the other."""
    end_at = START_AT + timedelta(days=climate.days)
    while True:
        planned = life.next_planned()
        at = end_at if planned is None else min(planned[0], end_at)
        await life.wait_until(at)
        if at >= end_at:
            return
        match life.take_planned():
            case "storm":
                await _storm(life, climate)
            case "outage":
                await _stand_still(life)
            case "weather":
                if climate.calm_faults:
                    life.set_weather(fair(life.dice), "fair")
            case deed:
                life.note(deed)
                await DEEDS[deed](life)


async def _storm(life: Life, climate: Climate) -> None:
    """Let everything go wrong at once."""
    dice = life.dice
    life.storm = storm(dice, climate.charges, climate.cancels, climate.inquiries)
    life.set_weather(life.storm, "storm")
    for _ in range(dice.randint(*climate.storm_steps)):
        name = life.choose(climate.weights)
        life.note(name)
        await STEPS[name](life)
        life.replace_the_dead()
        life.holds.observe(life.installation)
    life.dies_in = None
    await life.recover()
    if dice.random() < 0.7:
        life.set_weather(fair(dice), "fair")
    else:
        # It is over for us, and not yet at the gateway.
        life.plan(life.now + timedelta(hours=dice.choice((1, 3))), "weather")


async def _stand_still(life: Life) -> None:
    """Have the whole system away: every process dies, nobody ticks, the gateway goes on."""
    hours = life.dice.choice((1, 7, 30, 100, 900))
    life.note(f"nothing runs for {hours} hours")
    for worker in life.installation.workers:
        worker.process.die()
    if life.dice.random() < 0.5:
        life.installation.broker.flush()
    await life.breathe(hours * 3600)
    life.replace_the_dead()


async def come_to_rest(life: Life) -> None:
    """Let everything come to its end in calm weather, in a bounded time."""
    installation = life.installation
    await life.recover()
    life.set_weather(CALM, "calm")
    installation.sandbox.scripts.clear()
    rest_until = life.now + _CALM_DOWN
    half = life.now + _CALM_DOWN / 2
    for imp_uid in life.elsewhere:
        life.merchant.tell_again(imp_uid)
    for window, result in life.untold:
        if life.merchant.asked_of(window) > 1:
            # Of a window that another one took the place of, nobody else may ever tell.
            life.merchant.confirm(window, result)
    life.merchant.say_again()
    await life.wait_until(half)
    await DEEDS["requeue_letters"](life)
    life.merchant.say_again()
    await life.wait_until(rest_until)
    # Of what begins at this very instant nothing can be asked: one more look for everybody.
    for _ in range(2):
        installation.tick()
        await life.drain()
        await life.look()


async def judge(life: Life, trace: Any, policy: str) -> Verdict:
    installation = life.installation
    seen = checks.look(installation, elsewhere=life.elsewhere)
    violations = [
        *checks.everything(seen, timedelta(seconds=120)),
        *life_checks.lives(seen),
        *checks.unanswered(seen, life.merchant.said),
        *conduct(installation, seen, life.holds),
        *(f"a task raised: {fault}" for fault in installation.faults),
    ]
    trace.update(repr(checks.outcome(seen)).encode())
    charges = installation.sandbox.census.endpoints["again"]
    violations += await books.disagreements(installation)
    return Verdict(
        violations=tuple(violations),
        subscription_years=sum(_years(row, seen.now) for row in seen.rows["subscriptions"]),
        charges=charges,
        digest=trace.hexdigest(),
        policy=policy,
        notes=tuple(life.notes),
    )


def _years(row: Mapping[str, Any], now: datetime) -> float:
    """Return how long a subscription lived."""
    until = checks.instant_of(row["canceled_at"]) if row["canceled_at"] else now
    since = max(checks.instant_of(row["anchor_at"]), START_AT)
    return max((min(until, now) - since) / _YEAR, 0.0)
