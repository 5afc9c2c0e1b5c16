"""What the buyers of a simulated merchant do, by seed: one list of deeds a life, in order.

The same seed gives the same lives, whatever the machine. What a deed comes to is not the plan's
matter: a pause of what has ended is refused by the real command, as it would be anywhere.
"""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

START_AT: Final = datetime(2026, 1, 30, 15, tzinfo=UTC)  # a Korean midnight: the 31st of January
_DAY: Final = timedelta(days=1)
_AMOUNTS: Final = (4_900, 9_900, 9_900, 14_900, 33_000)
_INTERVALS: Final = {("month", 1): 88, ("month", 3): 4, ("week", 2): 4, ("year", 1): 4}
PRODUCTS: Final = ("slim", "family", "office")
# How much of what happens to a subscription, in shares of all.
_SHARES: Final = {
    "trial": 0.15,
    "converts": 0.85,
    "setup": 0.1,
    "discount": 0.12,
    "credit": 0.06,
    "pause": 0.1,
    "pause_with_end": 0.5,
    "change_at_renewal": 0.5,
    "cancel": 0.15,
    "comes_back": 0.3,
    "refund": 0.04,
    "key_ends": 0.06,
    "new_key": 0.7,
    "pays_badly": 0.14,
    "stops_paying": 0.2,
}
_SCRIPT_LENGTH: Final = 40
# The documented texts of declines; the gateway's own words decide how we go on.
_DECLINES: Final = ("한도초과", "잔액부족", "거래정지카드")


@dataclass(frozen=True, slots=True)
class Deed:
    """Something that happens at an instant.

    Attributes:
        what: Its name (``deeds``).
        subscription_id: Whose life it belongs to; None for what the merchant does to all.
        given: What is said with it.
    """

    at: datetime
    what: str
    subscription_id: UUID | None = None
    given: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Life:
    """One subscription to come.

    Attributes:
        behaviour: What the gateway does with the buyer's charges, or None for the usual.
    """

    id: UUID
    customer_uid: str
    behaviour: Mapping[str, Any] | None
    deeds: tuple[Deed, ...]


def lives(count: int, seed: int, years: float) -> Iterator[Life]:
    """Return so many lives, spread over the first month."""
    for number in range(1, count + 1):
        dice = random.Random(f"{seed}-{number}")  # noqa: S311 - to be repeated
        yield _life(number, seed, dice, START_AT + 365 * years * _DAY)


def merchant_deeds(seed: int, years: float) -> Iterator[Deed]:
    """Return what the merchant does to all: a price for a product now and then, half a year ahead.

    The buyers of a dearer product are asked; not all of them agree.
    """
    dice = random.Random(f"{seed}-merchant")  # noqa: S311 - to be repeated
    for number, product in enumerate(PRODUCTS[: max(1, int(years))]):
        at = START_AT + timedelta(days=150 + 200 * number + dice.randrange(30))
        amount = dice.choice((11_900, 15_900))
        effective_at = at + 60 * _DAY
        given = {"product": product, "amount": amount, "effective_at": effective_at}
        yield Deed(at, "price", None, given)
        yield Deed(effective_at - 20 * _DAY, "agree", None, {"product": product, "amount": amount})


def _life(number: int, seed: int, dice: random.Random, end_at: datetime) -> Life:
    id_ = UUID(int=dice.getrandbits(128), version=4)
    customer_uid = f"buyer-{seed}-{number}"
    start_at = START_AT + timedelta(seconds=dice.randrange(30 * 86_400))
    unit, count = dice.choices(list(_INTERVALS), list(_INTERVALS.values()))[0]
    amount = dice.choice(_AMOUNTS)
    given: dict[str, Any] = {
        "amount": amount,
        "tax_free": dice.choice((0, 0, 0, amount, amount // 11)),
        "quantity": dice.choice((1, 1, 1, 1, 2, 5)),
        "interval": unit,
        "interval_count": count,
        "product": dice.choice(PRODUCTS),
        "buyer_ref": f"ref-{number}",
    }
    deeds = [Deed(start_at, "start", id_, given)]
    if _happens(dice, "trial"):
        given["trial_days"] = dice.choice((7, 14, 30))
        if _happens(dice, "converts"):
            at = start_at + (given["trial_days"] - 2) * _DAY
            deeds.append(Deed(at, "agree_to_pay", id_))
    elif _happens(dice, "setup"):
        given |= {"setup_amount": 20_000, "setup_description": "설치비"}
    span = end_at - start_at
    deeds += _habits(dice, id_, start_at, span)
    deeds += _troubles(dice, id_, start_at, span)
    behaviour = _behaviour(dice)
    return Life(id_, customer_uid, behaviour, tuple(deed for deed in deeds if deed.at < end_at))


def _habits(dice: random.Random, id_: UUID, start_at: datetime, span: timedelta) -> Iterator[Deed]:
    """Return what a buyer wishes of a subscription."""

    def some_day() -> datetime:
        return start_at + timedelta(seconds=dice.randrange(86_400, int(span.total_seconds())))

    if _happens(dice, "discount"):
        discount = dice.choice(({"percent": 30}, {"discount": 1_000}))
        yield Deed(some_day(), "discount", id_, {**discount, "periods": dice.choice((1, 3))})
    if _happens(dice, "credit"):
        yield Deed(some_day(), "credit", id_, {"credit": dice.choice((500, 20_000))})
    if _happens(dice, "pause"):
        at, length = some_day(), timedelta(days=dice.choice((3, 20, 75)))
        wishes: dict[str, Any] = {
            "when": dice.choice(("now", "now", "period_end")),
            "keeps": dice.choice(("calendar", "time")),
        }
        if _happens(dice, "pause_with_end"):
            wishes["resume_at"] = at + length
        else:
            yield Deed(at + length, "resume", id_)
        yield Deed(at, "pause", id_, wishes)
    for _ in range(dice.choice((0, 0, 0, 0, 1, 2))):
        at_renewal = _happens(dice, "change_at_renewal")
        change = dice.choice(
            (
                {"amount": dice.choice(_AMOUNTS)},
                {"quantity": dice.choice((1, 3))},
                {"interval": "month", "interval_count": dice.choice((1, 2))},
                {"interval": "year", "interval_count": 1},
            )
        )
        yield Deed(some_day(), "change", id_, {**change, "at_renewal": at_renewal})
    if _happens(dice, "cancel"):
        at = some_day()
        when, refund = dice.choice((("now", "pro_rata"), ("now", "none"), ("period_end", "none")))
        yield Deed(at, "cancel", id_, {"when": when, "refund": refund})
        if _happens(dice, "comes_back"):
            yield Deed(at + dice.choice((1, 40)) * _DAY, "reactivate", id_)
    if _happens(dice, "refund"):
        yield Deed(some_day(), "refund", id_, {"amount": dice.choice((1_000, "all"))})


def _troubles(
    dice: random.Random, id_: UUID, start_at: datetime, span: timedelta
) -> Iterator[Deed]:
    """Return what becomes of a buyer's payment method."""
    for _ in range(dice.choice((0, 0, 0, 1))):
        yield Deed(start_at + dice.random() * span, "retry", id_)
    if _happens(dice, "key_ends"):
        at = start_at + dice.random() * span
        yield Deed(at, "key_ends", id_)
        if _happens(dice, "new_key"):
            yield Deed(at + timedelta(days=dice.choice((2, 35, 50))), "new_key", id_)


def _behaviour(dice: random.Random) -> Mapping[str, Any] | None:
    """Return how a buyer pays: as a rule by the sandbox's rates, some badly, some not any more."""
    declined = {"ending": "declined", "fail_reason": dice.choice(_DECLINES)}
    if not _happens(dice, "pays_badly"):
        return None
    script: list[object] = []
    while len(script) < _SCRIPT_LENGTH:
        script += ["paid"] * dice.randrange(1, 8)
        script += [declined] * dice.choice((1, 1, 2, 3, 5))
    if not _happens(dice, "stops_paying"):
        return {"script": script}
    return {"script": script[: dice.randrange(1, 12)], "then": declined}


def _happens(dice: random.Random, what: str) -> bool:
    return dice.random() < _SHARES[what]
