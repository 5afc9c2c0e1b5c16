"""How a request ends: the named endings, scripts of them, and seeded chance.

A name means the same wherever it occurs: a lost reply to a charge and one to a cancel are lost
in the same way. So what belongs to a name is asked by the name alone.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b
from typing import Final, Generic, TypeVar

Name = TypeVar("Name", bound=StrEnum)


class Ending(StrEnum):
    """What becomes of one charge request; the names are part of the control API."""

    PAID = "paid"
    DECLINED = "declined"
    LIMIT_EXCEEDED = "limit_exceeded"
    KEY_ENDED = "key_ended"
    LOST_REQUEST = "lost_request"
    LOST_REPLY = "lost_reply"
    LATE_SUCCESS = "late_success"
    ERROR_500 = "error_500"
    ERROR_500_PAID = "error_500_paid"
    BAD_GATEWAY = "bad_gateway"
    BAD_GATEWAY_PAID = "bad_gateway_paid"
    THROTTLED = "throttled"
    MAINTENANCE = "maintenance"
    RESET = "reset"
    TRUNCATED = "truncated"
    GARBAGE = "garbage"
    HANG = "hang"
    SLOW = "slow"
    SLOW_DECLINED = "slow_declined"
    WRONG_AMOUNT = "wrong_amount"
    WRONG_CUSTOMER = "wrong_customer"
    READY = "ready"
    REFUSED = "refused"
    UNAUTHORIZED = "unauthorized"
    BAD_REQUEST = "bad_request"


class CommandEnding(StrEnum):
    """What becomes of a request that changes anything but by a charge: a cancel above all."""

    DONE = "done"
    LOST_REQUEST = "lost_request"
    LOST_REPLY = "lost_reply"
    LATE_SUCCESS = "late_success"
    ERROR_500 = "error_500"
    ERROR_500_DONE = "error_500_done"
    BAD_GATEWAY = "bad_gateway"
    BAD_GATEWAY_DONE = "bad_gateway_done"
    THROTTLED = "throttled"
    MAINTENANCE = "maintenance"
    RESET = "reset"
    TRUNCATED = "truncated"
    GARBAGE = "garbage"
    HANG = "hang"
    SLOW = "slow"
    REFUSED = "refused"
    UNAUTHORIZED = "unauthorized"
    BAD_REQUEST = "bad_request"


class InquiryEnding(StrEnum):
    """What can go wrong with a lookup."""

    LOST_REPLY = "lost_reply"
    ERROR_500 = "error_500"
    BAD_GATEWAY = "bad_gateway"
    SLOW = "slow"
    THROTTLED = "throttled"


# Endings that wait `delay_s` even when their step names no delay of its own.
DELAYED: Final[frozenset[str]] = frozenset({Ending.SLOW, Ending.SLOW_DECLINED, Ending.LATE_SUCCESS})

# Endings of commands under which what was asked for is done. The others do nothing.
DOING: Final = frozenset(
    {
        CommandEnding.DONE,
        CommandEnding.SLOW,
        CommandEnding.LOST_REPLY,
        CommandEnding.LATE_SUCCESS,
        CommandEnding.ERROR_500_DONE,
        CommandEnding.BAD_GATEWAY_DONE,
        CommandEnding.TRUNCATED,
        CommandEnding.GARBAGE,
    }
)

# Endings whose answer carries a text of the step's choice.
WORDED: Final[frozenset[str]] = frozenset(
    {
        Ending.DECLINED,
        Ending.LIMIT_EXCEEDED,
        Ending.SLOW_DECLINED,
        Ending.REFUSED,
        Ending.BAD_REQUEST,
    }
)

# Endings whose answer tells the client when to come back.
PACED: Final[frozenset[str]] = frozenset({Ending.THROTTLED, Ending.MAINTENANCE})


@dataclass(frozen=True, slots=True)
class Step(Generic[Name]):
    """One ending with its details; None means the default of the settings.

    Attributes:
        ending: What happens.
        fail_reason: The gateway's words, byte for byte (endings in `WORDED`).
        delay_s: Seconds waited before anything happens; for late_success, seconds between the
            broken connection and what was asked for.
        retry_after_s: The Retry-After header (endings in `PACED`).
        hang: For late_success: keep the client waiting instead of closing the connection.
    """

    ending: Name
    fail_reason: str | None = None
    delay_s: float | None = None
    retry_after_s: int | None = None
    hang: bool = False


PAID: Final = Step(Ending.PAID)
DONE: Final = Step(CommandEnding.DONE)


@dataclass(slots=True)
class Script(Generic[Name]):
    """The endings of the next requests about one subject, in order, and what follows them."""

    then: Step[Name]
    steps: deque[Step[Name]] = field(default_factory=deque)

    def take(self) -> Step[Name]:
        """Use up the next step; once all are used, the last word is `then` for ever."""
        return self.steps.popleft() if self.steps else self.then


@dataclass(frozen=True, slots=True)
class Draw:
    """Three independent numbers in [0, 1) that belong to one request of one run."""

    ending: float
    latency: float
    closing: float


NO_DRAW: Final = Draw(1.0, 0.5, 1.0)


def draw(seed: int, subject: str, nth: int) -> Draw:
    """Draw for the `nth` request about `subject`.

    The numbers depend on nothing else, so a run repeats exactly whatever order its requests
    arrive in.
    """
    text = f"{seed}\x1f{nth}\x1f{subject}"
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=24).digest()
    return Draw(
        _unit(digest[0:8]),
        _unit(digest[8:16]),
        _unit(digest[16:24]),
    )


def odds(rates: Mapping[Name, float]) -> tuple[tuple[float, Name], ...]:
    """Lay the rates end to end from 0, in the order of their names."""
    laid: list[tuple[float, Name]] = []
    upto = 0.0
    for name in sorted(rates):
        upto += rates[name]
        laid.append((upto, name))
    return tuple(laid)


def pick(laid: tuple[tuple[float, Name], ...], number: float) -> Name | None:
    """Say whose stretch the number falls into; None beyond the last."""
    for upto, name in laid:
        if number < upto:
            return name
    return None


def _unit(digest: bytes) -> float:
    # 53 bits are what a float holds: all 64 could round up to 1.
    return (int.from_bytes(digest, "big") >> 11) * 2.0**-53
