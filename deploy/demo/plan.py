"""Who subscribes to what in the demonstration, and how the gateway treats each of them."""

import random
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from shared.billing.calendar import BillingCycle, Interval, IntervalUnit
from shared.billing.money import Price
from shared.billing.subscription import Agreement, Buyer
from shared.db.subscriptions import NewSubscription

_KST = ZoneInfo("Asia/Seoul")
_FAMILY_NAMES = "김이박최정강조윤장임"
_GIVEN_NAMES = ("서연", "민준", "지우", "도윤", "하은", "예준", "수아", "시우")


@dataclass(frozen=True, slots=True)
class Plan:
    """Something that is sold: what it costs, and how often."""

    name: str
    price: Price
    interval: Interval


PLANS = (
    Plan("Slim 요금제(1개월 단위)", Price(9_900), Interval(IntervalUnit.MONTH)),
    Plan("전자책 구독", Price(14_900, 14_900), Interval(IntervalUnit.MONTH)),
    Plan("꽃 정기배송", Price(33_000, 12_000), Interval(IntervalUnit.WEEK, 2)),
    Plan("가족 요금제", Price(119_000), Interval(IntervalUnit.YEAR)),
    Plan("분기 멤버십", Price(27_500), Interval(IntervalUnit.MONTH, 3)),
)
# The 31st and the 29th among them: the days that drift where periods are chained.
ANCHOR_DAYS = (1, 10, 15, 25, 28, 29, 30, 31)


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How the gateway treats a buyer's next charges, and how many of 100 buyers it concerns."""

    label: str
    share: int
    script: tuple[str | Mapping[str, object], ...]
    then: str = "paid"


BEHAVIOURS = (
    Behaviour("paid", 44, ()),
    Behaviour("insufficient balance, then paid", 14, ("declined",)),
    Behaviour("over the limit twice, then paid", 4, ("limit_exceeded", "limit_exceeded")),
    Behaviour("insufficient balance for ever", 3, (), then="declined"),
    Behaviour("billing key dead", 5, ("key_ended",)),
    Behaviour("paid, reply lost", 8, ("lost_reply",)),
    Behaviour("request lost", 6, ("lost_request",)),
    Behaviour("paid long after the connection broke", 3, ("late_success",)),
    Behaviour("500, nothing booked", 3, ("error_500",)),
    Behaviour("500 although paid", 3, ("error_500_paid",)),
    Behaviour("502 with HTML", 2, ("bad_gateway",)),
    Behaviour("502 with HTML although paid", 2, ("bad_gateway_paid",)),
    Behaviour("slow", 3, ({"ending": "slow", "delay_s": 1.5},)),
)


@dataclass(frozen=True, slots=True)
class Subscriber:
    """One subscription of the demonstration and the behaviour behind it."""

    subscription: NewSubscription
    behaviour: Behaviour


def subscribers(count: int, seed: int, now: datetime) -> Iterator[Subscriber]:
    """Return subscribers whose running period is due at ``now``; the same ones for a seed."""
    chance = random.Random(seed)  # noqa: S311 - a reproducible choice, not a secret
    behaviours = _shuffled(count, chance)
    for number, behaviour in enumerate(behaviours):
        plan = PLANS[number % len(PLANS)]
        cycle = BillingCycle(_anchor(ANCHOR_DAYS[number % len(ANCHOR_DAYS)], now), plan.interval)
        yield Subscriber(
            NewSubscription(
                id=uuid.UUID(int=chance.getrandbits(128), version=4),
                customer_uid=f"demo_{seed}_{number:05d}",
                buyer=Buyer(name=chance.choice(_FAMILY_NAMES) + chance.choice(_GIVEN_NAMES)),
                agreement=Agreement(plan.price, plan.name, cycle, cycle.index_at(now)),
            ),
            behaviour,
        )


def _shuffled(count: int, chance: random.Random) -> Sequence[Behaviour]:
    """Return one behaviour for each subscriber, close to the shares and never without any."""
    hundred = [behaviour for behaviour in BEHAVIOURS for _ in range(behaviour.share)]
    chosen: list[Behaviour] = []
    while len(chosen) < count:
        chance.shuffle(hundred)
        chosen.extend(hundred)
    return chosen[:count]


def _anchor(day: int, now: datetime) -> datetime:
    """Return midnight of an anchor day in Korea, in a January or so that has it, long past."""
    return datetime(now.astimezone(_KST).year - 1, 1, day, tzinfo=_KST)
