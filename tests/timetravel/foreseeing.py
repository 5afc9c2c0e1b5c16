"""Days that are foreseen and then lived: random lives, a forecast a day, and what came of it."""

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from deploy.timetravel.machine import StuckError
from shared.billing.charge_hours import KST
from shared.billing.forecast import Day, Expected
from shared.billing.forecast_facts import Explained, Reason
from tests.support.journey import Journey
from tests.support.story import StoryError, Teller
from tests.support.telling import SENTENCES, NothingToDoError
from worker.services.forecast import ForeseeDays
from worker.services.forecast_rows import ForecastRules
from worker.services.forecast_verify import Verdict, VerifyForecasts

KEPT_FOR: Final = timedelta(days=90)
EVENING: Final = timedelta(hours=21)
_INTERVALS: Final = ("daily", "daily", "every 2 days", "every 3 days", "weekly", "monthly")
_DECLINES: Final = ("한도초과", "잔액부족", "알 수 없는 사유")
# What happens to one of the subscriptions; WHEN stands for an instant, LATER for one after it.
HAPPENINGS: Final = (
    *("on WHEN decline TEXT twice", "on WHEN decline TEXT", "on WHEN decline TEXT always"),
    *("on WHEN pay", "on WHEN lose_reply", "on WHEN lost_request", "on WHEN bad_gateway"),
    *("on WHEN retry", "on WHEN retry", "on WHEN the key ends", "on WHEN register a new method"),
    "on WHEN register a new method",
    *("on WHEN pause", "on WHEN pause at period end", "on WHEN pause keeping time until LATER"),
    *("on WHEN pause keeping calendar until LATER", "on WHEN resume", "on WHEN resume"),
    *("on WHEN change to 12000", "on WHEN change to 3 units now", "on WHEN move to 4900"),
    *("on WHEN move to 33000", "on WHEN change to every 4 days", "on WHEN change to every 1 weeks"),
    *("on WHEN change to every 3 days now", "on WHEN change to 15000 now"),
    *("on WHEN give credit of 3000", "on WHEN give credit of 50000"),
    "on WHEN give discount of 30% for 2 periods",
    *("on WHEN switch dunning off", "on WHEN switch dunning on"),
    *("on WHEN cancel now", "on WHEN cancel at period end", "on WHEN reactivate"),
    "on WHEN consent to trial_conversion of 99000",
    "on WHEN refund 500",
)
# How many days ahead the quiet ones are foreseen.
_AHEAD: Final = (1, 3, 9)
OUTAGES: Final = ("scheduler is", "workers are", "everything is")


@dataclass
class Foreseen:
    """What a life came to.

    Attributes:
        verdicts: Of every day, in order.
        differences: What came otherwise than foreseen, by day.
        quiet: The same of days on which nobody wished anything.
        lines: The story, to be told again.
    """

    verdicts: list[Verdict] = field(default_factory=list)
    differences: dict[Day, list[Explained]] = field(default_factory=dict)
    quiet: dict[Day, list[Explained]] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)

    @property
    def unexplained(self) -> list[tuple[Day, Explained]]:
        """Every difference that nothing explains."""
        return [
            (day, each)
            for day, found in self.differences.items()
            for each in found
            if each.reason is Reason.UNEXPLAINED
        ]


def rules_of(journey: Journey) -> ForecastRules:
    """Return the rules that a journey's processes go by."""
    settings = journey.machine.settings
    return ForecastRules(settings.renewal_policies, settings.collection_rules)


async def foresee(journey: Journey, day: Day, *, is_kept: bool = True) -> list[Expected]:
    """Foresee a day, and return the rows."""
    rows: list[Expected] = []
    make = ForeseeDays(journey.database, journey.machine.clock, rules_of(journey), KEPT_FOR)
    await make(day, is_kept=is_kept, take=rows.extend)
    return rows


async def verify(journey: Journey, day: Day) -> tuple[Verdict, list[Explained]]:
    """Hold a day against its forecast."""
    found: list[Explained] = []
    check = VerifyForecasts(journey.database, journey.machine.clock, rules_of(journey))
    return await check(day, found.extend), found


async def live(
    journey: Journey,
    dice: random.Random,
    begins_at: datetime,
    days: int,
    *,
    outages: bool = True,
) -> Foreseen:
    """Live some days with some subscriptions, each day foreseen the evening before."""
    teller, life = Teller(journey), Foreseen()
    subjects = await _begin(teller, dice, begins_at, life)
    agenda = sorted(
        [
            *((_evening(begins_at, day), 0, "") for day in range(days)),
            *_happenings(dice, begins_at, days, outages=outages),
        ]
    )
    kept: list[Day] = []
    for at, kind, line in agenda:
        if kind:
            teller.subscription_id, teller.customer_uid = dice.choice(subjects)
            await _tell(teller, line, life)
            _learn(subjects, teller)
            continue
        await teller.go_on(_said(at))
        await _verify_what_is_over(journey, kept, life, dice)
        day = Day.of(journey.now).following
        await foresee(journey, day)
        kept.append(day)
    await teller.go_on(_said(begins_at + timedelta(days=days + 2)))
    await _verify_what_is_over(journey, kept, life, None)
    await _live_quietly(teller, subjects, life)
    return life


async def _live_quietly(teller: Teller, subjects: list[tuple[UUID, str]], life: Foreseen) -> None:
    """Live some days on which everybody pays and nobody wishes anything, all foreseen before.

    By then whatever broke has been put right, and every outage is over.
    """
    journey = teller.journey
    for _, teller.customer_uid in subjects:
        await tell(teller, f"on {_said(_wall(journey.now))} pay")
    await teller.go_on(_said(_wall(journey.now) + timedelta(days=1)))
    today = Day.of(journey.now)
    ahead = [Day(today.date + timedelta(days=days)) for days in _AHEAD]
    for day in ahead:
        await foresee(journey, day)
    await teller.go_on(f"{ahead[-1].following} 03:00")
    for day in ahead:
        _, found = await verify(journey, day)
        life.quiet[day] = found


async def _verify_what_is_over(
    journey: Journey, kept: list[Day], life: Foreseen, dice: random.Random | None
) -> None:
    """Verify what is over, some of it a day or more later: by then more has happened."""
    for day in [each for each in kept if each.ends_at <= journey.now]:
        if dice is not None and dice.random() < 0.3:
            continue
        kept.remove(day)
        verdict, found = await verify(journey, day)
        life.verdicts.append(verdict)
        life.differences[day] = found


async def _begin(
    teller: Teller, dice: random.Random, at: datetime, life: Foreseen
) -> list[tuple[UUID, str]]:
    subjects: list[tuple[UUID, str]] = []
    for number in range(dice.randrange(5, 10)):
        when = at + timedelta(minutes=dice.randrange(0, 240) if not number else 0)
        when = max(when, _wall(teller.journey.now))
        free = " to slim with 3 free days" if dice.random() < 0.2 else ""
        what = f"{dice.choice(_INTERVALS)} for {dice.choice((4_900, 9_900, 33_000))}"
        await _tell(teller, f"on {_said(when)} subscribe {what}{free}", life)
        _learn(subjects, teller)
    return subjects


def _learn(subjects: list[tuple[UUID, str]], teller: Teller) -> None:
    """Know whoever has subscribed."""
    subject = (teller.subscription_id, teller.customer_uid)
    if teller.subscription_id is not None and subject not in subjects:
        subjects.append(subject)


def _happenings(
    dice: random.Random, begins_at: datetime, days: int, *, outages: bool
) -> list[tuple[datetime, int, str]]:
    found = []
    for number in range(dice.randrange(2 * days, 5 * days)):
        at = begins_at + timedelta(minutes=dice.randrange(300, days * 1_440))
        later = at + timedelta(days=dice.choice((1, 2, 6)), hours=dice.randrange(24))
        roll = dice.random()
        if roll < 0.06 and outages:
            until = at + timedelta(hours=dice.choice((2, 9, 30)))
            line = f"{dice.choice(OUTAGES)} down from {_said(at)} to {_said(until)}"
        elif roll < 0.12:
            what = f"{dice.choice(_INTERVALS)} for {dice.choice((4_900, 9_900))}"
            line = f"on {_said(at)} subscribe {what}"
        else:
            line = dice.choice(HAPPENINGS).replace("TEXT", dice.choice(_DECLINES))
            line = line.replace("WHEN", _said(at)).replace("LATER", _said(later))
        found.append((at, number + 1, line))
    return found


async def _tell(teller: Teller, line: str, life: Foreseen) -> None:
    """Have a line happen, unless its occasion is missing."""
    life.lines.append(f"{line}  # {teller.subscription_id}")
    try:
        await tell(teller, line)
    except NothingToDoError:
        life.lines.pop()


async def tell(teller: Teller, line: str) -> None:
    """Have a line of a story happen."""
    for meaning in SENTENCES:
        if matched := meaning.pattern.fullmatch(line):
            try:
                await meaning.means(teller, *matched.groups())
            except (AssertionError, StuckError) as error:
                raise type(error)(f"{line}: {error}") from error
            return
    message = f"no such sentence: {line}"
    raise StoryError(message)


def _evening(begins_at: datetime, day: int) -> datetime:
    midnight = begins_at.replace(hour=0, minute=0)
    return midnight + timedelta(days=day) + EVENING


def _said(wall: datetime) -> str:
    return f"{wall:%Y-%m-%d %H:%M}"


def _wall(at: datetime) -> datetime:
    return at.astimezone(KST).replace(tzinfo=None, second=0, microsecond=0) + timedelta(minutes=1)


def settings_of(dice: random.Random) -> dict[str, Any]:
    """Return settings that move charges about."""
    choices: dict[str, tuple[Any, ...]] = {
        "catch_up": ("bill_latest", "bill_all", "forgive"),
        "charge_hours": ("", "09:00-22:00"),
        "maintenance_hours": ((), ("02:00-02:30",)),
        "charge_spread_s": (0, 3_600, 14_400),
        "dunning_delays_s": ((86_400.0, 86_400.0), (40_000.0, 100_000.0), ()),
        "dunning_terminal_action": ("leave_past_due", "cancel", "pause"),
        "grace_period_s": (0.0, 0.0, 172_800.0),
        "without_consent": ("keep_price", "end"),
        "dunning_key_attempts_max": (15, 3),
    }
    return {name: dice.choice(values) for name, values in choices.items()}
