"""Who subscribes: by the month mostly, on the days that months do not have, with odd amounts."""

import random
from datetime import UTC, datetime, timedelta
from typing import Final

from shared.billing.calendar import BillingCycle, Interval, IntervalUnit
from shared.billing.money import Price
from shared.billing.subscription import Agreement

# Clusters of one instant, as merchants have them, and times of one's own.
_TIMES: Final = (timedelta(0), timedelta(0), timedelta(hours=15), timedelta(hours=14, minutes=59))
_ZONES: Final = ("Asia/Seoul",) * 6 + ("America/New_York", "Australia/Lord_Howe", "UTC")
_INTERVALS: Final = (
    *((IntervalUnit.MONTH, 1),) * 20,
    (IntervalUnit.MONTH, 3),
    (IntervalUnit.WEEK, 2),
    (IntervalUnit.WEEK, 4),
    (IntervalUnit.YEAR, 1),
)
_DAILY: Final = Interval(IntervalUnit.DAY)


def agreements(dice: random.Random, count: int, now: datetime) -> list[tuple[str, Agreement]]:
    """Return what each of so many subscribers signs up for, with the billing key of each."""
    # Days that many share: the ends of months among them.
    days = [dice.choice((0, 0, 1, 5, 14, 15, 27)) for _ in range(3)]
    made: list[tuple[str, Agreement]] = []
    for number in range(count):
        customer_uid = f"customer-{number}"
        if number and dice.random() < 0.1:
            # Several subscriptions of one buyer, on one key.
            customer_uid = made[dice.randrange(len(made))][0]
        made.append((customer_uid, _agreement(dice, dice.choice(days), now)))
    if dice.random() < 0.5:
        made.append(("customer-daily", Agreement(_price(dice), "하루", _daily(now))))
    return made


def _agreement(dice: random.Random, day: int, now: datetime) -> Agreement:
    anchor_at = datetime(now.year, now.month, now.day, tzinfo=UTC) + timedelta(days=day)
    anchor_at += dice.choice(_TIMES)
    if dice.random() < 0.05:
        anchor_at += timedelta(seconds=dice.randrange(86_400))
    unit, every = dice.choice(_INTERVALS)
    cycle = BillingCycle(anchor_at, Interval(unit, every), dice.choice(_ZONES))
    return Agreement(_price(dice), "슬림 요금제", cycle)


def _daily(now: datetime) -> BillingCycle:
    # A few weeks of days are as good as years of them: its end is asked for early.
    return BillingCycle(now + timedelta(hours=1), _DAILY)


def _price(dice: random.Random) -> Price:
    amount = dice.choice((9_900, 9_900, 9_900, 33_000, 1_001, 10))
    kind = dice.random()
    if kind < 0.03:
        return Price(0)
    if kind < 0.05:
        return Price(9)
    tax_free = dice.choice((0, 0, 0, amount, amount // 11))
    return Price(amount, tax_free)
