"""Short and dense lives: a few subscriptions and some hours, in which one danger is common.

It is the simulation's installation, merchant, mishaps and judges. What differs is the climate: the
danger that a fault needs is met in the first seeds and not once in many years.
"""

import enum
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from deploy.sandbox.book import DuplicatePolicy
from deploy.sandbox.schedules import ScheduleStatus
from shared.billing.calendar import BillingCycle, Interval, IntervalUnit
from shared.billing.events import EventName
from shared.billing.money import Price
from shared.billing.subscription import Agreement
from tests.mutants.mischief import MISCHIEF, STRANGERS
from tests.simulation import books, checks, endpoints, life_checks
from tests.simulation.conduct import conduct
from tests.simulation.deeds import DEEDS
from tests.simulation.due import Outlook
from tests.simulation.installation import Host, Installation, settings_for
from tests.simulation.life import Life
from tests.simulation.living import PRODUCT
from tests.simulation.merchant import Merchant
from tests.simulation.mishaps import STEPS
from tests.simulation.process import current_process
from tests.simulation.seam import Point
from tests.simulation.weather import CALM, POLICIES, rates

# Short enough to be lived to their end: dunning, doubt and windows.
_SETTINGS: Final[Mapping[str, Any]] = {
    "catch_up": "bill_all",
    "dunning_delays_s": (3_600.0, 7_200.0),
    "unknown_deadline_s": 14_400.0,
    "window_ttl_s": 1_200.0,
}
# The deadline, what a person takes up after it, and the dunning that may follow.
_REST: Final = timedelta(hours=24)
_TAKEN_UP: Final = timedelta(hours=14)
_ROUNDS_MAX: Final = 200
# The longest that the sandbox books after it has broken a connection.
_LATEST_S: Final = 600.0
# Less than endings wait for company before they are written (``Grouping.linger_s``).
_HEARD_S: Final = 0.002
_SLACK: Final = timedelta(seconds=120)
BUSY: Final[Mapping[str, int]] = {"work": 10, "tick": 2, "deliver": 2, "minute": 5, "minutes": 4}


class Webhooks(enum.Enum):
    """When the webhooks of a storm come."""

    AT_ONCE = "at once"
    AFTERWARDS = "afterwards"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Climate:
    """One danger, and what else must happen for it to do harm.

    Attributes:
        charges: Endings of charges, by weight; ``share`` of all requests have one of them.
        cancels: The same for cancels and other commands.
        inquiries: The same for lookups.
        weather: Further settings of the gateway.
        steps: What happens (``mishaps.STEPS``, ``mischief.MISCHIEF``), by weight.
        length: How many steps there are.
        policy: Which duplicates the gateway refuses; by the seed if it is not said.
        settings: Of our processes, where they differ from those of a short life.
        apart_s: How long after one another the subscriptions begin.
        every: How often they are billed.
        webhooks: Whether they come at once; those of a storm come after it, or never.
        says_once: Whether the merchant trusts that what it has published is worked.
        skewed: Whether the clocks of the processes differ.
        is_race: Whether the races of the simulation are lived in its place.
        beyond: What the climate itself brings about, by breaking an assumption that is written
            down; it shows nothing.
        dies: How likely a process is to die at a point it passes.
        dies_at: At which points, as for ``stands_at``; at any if none is said.
        stands: How likely it is to stand still there.
        stands_at: At which points: parts of how they are written.
        paid_before: Whether the first period was paid in calm weather before.
        told_by_http: Whether the merchant has an endpoint, which fails now and then.
        compares: Whether the gateway's book is compared with our rows at the end.
    """

    charges: Mapping[str, float] = field(default_factory=dict)
    cancels: Mapping[str, float] = field(default_factory=dict)
    inquiries: Mapping[str, float] = field(default_factory=dict)
    share: float = 0.8
    weather: Mapping[str, Any] = field(default_factory=dict)
    steps: Mapping[str, int] = field(default_factory=lambda: BUSY)
    length: int = 40
    subscriptions: int = 3
    policy: DuplicatePolicy | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    dies: float = 0.0
    dies_at: tuple[str, ...] = ("",)
    stands: float = 0.0
    stands_at: tuple[str, ...] = ()
    apart_s: float = 0.0
    every: IntervalUnit = IntervalUnit.MONTH
    webhooks: Webhooks = Webhooks.AFTERWARDS
    says_once: bool = False
    skewed: bool = True
    is_race: bool = False
    beyond: str = ""
    paid_before: bool = False
    told_by_http: bool = False
    compares: bool = False


def chase(host: Host, seed: int, climate: Climate) -> tuple[list[str], list[str]]:
    """Live the life of a seed; return everything that was wrong in it, and what happened."""
    host.run(host.warm_up())
    return host.run(_chase(host, seed, climate))


async def _chase(host: Host, seed: int, climate: Climate) -> tuple[list[str], list[str]]:
    dice = random.Random(seed)  # noqa: S311 - a life, not a secret
    policy = climate.policy or POLICIES[seed % len(POLICIES)]
    danger = _Danger(climate, dice)
    installation = Installation(
        host,
        settings=settings_for(**{**_SETTINGS, **climate.settings}),
        sandbox={"seed": seed, "duplicate_policy": policy},
        dice=dice,
        dies=danger,
    )
    life = Life(installation, Merchant(installation), dice, Outlook(installation))
    danger.life = life
    try:
        await _begin(life, climate)
        await _storm(life, climate, danger)
        await _rest(life)
        wrong = _judge(life)
        if climate.compares:
            wrong += await books.disagreements(installation)
        if climate.beyond:
            wrong = [violation for violation in wrong if not re.search(climate.beyond, violation)]
        return wrong, life.notes
    finally:
        await installation.end()


@dataclass(eq=False, slots=True)
class _Danger:
    """Who dies, and who stands still, at a point that is passed."""

    climate: Climate
    dice: random.Random
    life: Life | None = None
    is_near: bool = False

    def __call__(self, number: int, point: Point) -> bool:
        """Say whether the process that passes a point dies there."""
        if self.life is None:
            return False
        climate = self.climate
        fatal = self.is_near and climate.dies and _lies_at(point, climate.dies_at)
        if fatal and self.dice.random() < climate.dies:
            self.life.note(f"a process dies at {point}")
            return True
        process = current_process.get()
        here = _lies_at(point, climate.stands_at)
        if self.is_near and process and here and self.dice.random() < climate.stands:
            self.life.note(f"{process.name} stands still at {point}")
            if (point.step, point.phase) == ("request", "after"):
                # What was heard is known by then, and is not written down yet.
                loop = self.life.installation.host.loop
                loop.call_later(_HEARD_S, setattr, process, "paused", True)
            else:
                process.paused = True
            self.life.start_beside()
        return self.life.dies(number, point)


def _lies_at(point: Point, parts: tuple[str, ...]) -> bool:
    written = str(point)
    return any(part in written for part in parts)


async def _begin(life: Life, climate: Climate) -> None:
    made = []
    for number in range(climate.subscriptions):
        begins_at = life.now + timedelta(seconds=number * climate.apart_s)
        cycle = BillingCycle(begins_at, Interval(climate.every))
        agreement = Agreement(Price(9_900, 900), "슬림 요금제", cycle, product=PRODUCT)
        made.append((f"customer-{number}", agreement))
    ids = await life.merchant.subscribe(made)
    life.agreements = {id_: agreement for id_, (_, agreement) in zip(ids, made, strict=True)}
    life.customers = {id_: uid for id_, (uid, _) in zip(ids, made, strict=True)}
    if climate.told_by_http:
        await endpoints.add(life.installation, tuple(EventName))
    life.start()
    for worker in life.installation.workers:
        worker.process.skew_s *= climate.skewed
    if climate.paid_before:
        await life.wait_until(life.now + timedelta(minutes=5))


async def _storm(life: Life, climate: Climate, danger: _Danger) -> None:
    """Let the danger be there for a while."""
    life.storm = {
        **CALM,
        "rates": rates(climate.charges, climate.share),
        "cancel_rates": rates(climate.cancels, climate.share),
        "command_rates": {},
        "inquiry_rates": rates(climate.inquiries, climate.share),
        **climate.weather,
    }
    life.set_weather(life.storm, "storm")
    danger.is_near = True
    steps = {**STEPS, **MISCHIEF}
    for _ in range(climate.length):
        name = life.choose(climate.steps)
        life.note(name)
        await steps[name](life)
        life.replace_the_dead()
        life.holds.observe(life.installation)
        life.merchant.hear()
        if climate.webhooks is Webhooks.AT_ONCE:
            life.merchant.receive_all()
    danger.is_near = False
    life.set_weather(CALM, "calm")
    if climate.webhooks is Webhooks.AT_ONCE:
        # Whatever is still to be booked is told before anybody is charged again.
        await life.breathe(_LATEST_S)
        life.merchant.receive_all()
    if climate.webhooks is Webhooks.NEVER:
        life.merchant.notices()
    if climate.says_once:
        life.merchant.unanswered.clear()
    await life.recover()


async def _rest(life: Life) -> None:
    """Let everything come to its end in calm weather, and people do their part."""
    life.installation.sandbox.scripts.clear()
    for imp_uid in life.elsewhere:
        life.merchant.tell_again(imp_uid)
    rest_until = life.now + _REST
    life.plan(life.now + _TAKEN_UP, "requeue_letters")
    life.plan(life.now + _TAKEN_UP, "say_again")
    for _ in range(_ROUNDS_MAX):
        planned = life.next_planned()
        if planned is None or planned[0] >= rest_until:
            break
        await life.wait_until(planned[0])
        await DEEDS[life.take_planned()](life)
    await life.wait_until(rest_until)
    # Of what begins at this very instant nothing can be asked: one more look for everybody.
    for _ in range(2):
        life.installation.tick()
        await life.drain()
        await life.look()


def _judge(life: Life) -> list[str]:
    installation = life.installation
    strangers = {
        payment.order.merchant_uid
        for payment in installation.sandbox.book.payments()
        if payment.order.name == STRANGERS
    }
    seen = checks.look(installation, elsewhere=life.elsewhere, strangers=strangers)
    return [
        *checks.everything(seen, _SLACK),
        *life_checks.lives(seen),
        *checks.unanswered(seen, life.merchant.said),
        *conduct(installation, seen, life.holds),
        *_reserved(life, seen),
        *(f"a task raised: {fault}" for fault in installation.faults),
    ]


def _reserved(life: Life, seen: checks.Seen) -> list[str]:
    """Return what is still planned on keys on which no subscription lives any more."""
    living = {
        row["billing_key_id"] for row in seen.rows["subscriptions"] if row["closed_at"] is None
    }
    left = {
        row["customer_uid"]: row["id"]
        for row in seen.rows["billing_keys"]
        if row["id"] not in living
    }
    return [
        f"billing key {left[schedule.order.customer_uid]} is still reserved"
        for schedule in life.installation.sandbox.timetable.schedules()
        if schedule.status is ScheduleStatus.SCHEDULED and schedule.order.customer_uid in left
    ]
