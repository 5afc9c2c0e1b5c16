"""How a send ends: business endings are values, and *unknown* is one that no type lets us settle.

Every reply of the gateway becomes exactly one of these (``worker/gateway/outcomes.py`` decides
which, by the reply and by nothing else). They fall into three groups, and the group says what may
be done:

    Settled     the gateway has spoken: Paid, Declined, MethodDead
    Unmoved     certainly no money moved; the same attempt may be sent again:
                NotSent, Throttled, Misconfigured
    Unresolved  money may have moved; only asking the gateway can tell: Unknown, Duplicate
"""

import enum
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Paid:
    """The gateway holds a paid record that matches amount, ``merchant_uid`` and buyer."""

    imp_uid: str
    paid_at: datetime | None
    receipt_url: str | None = None


@dataclass(frozen=True, slots=True)
class Declined:
    """The buyer's means were refused; ``fail_reason`` is kept byte for byte."""

    fail_reason: str
    imp_uid: str | None = None


@dataclass(frozen=True, slots=True)
class MethodDead:
    """The billing key is not registered at the gateway any more."""

    message: str
    imp_uid: str | None = None


@dataclass(frozen=True, slots=True)
class NotSent:
    """No byte of the request left this machine."""

    cause: str


@dataclass(frozen=True, slots=True)
class Throttled:
    """The gateway told us to wait, and did nothing else."""

    cause: str
    retry_after_s: float | None = None


class FaultScope(enum.StrEnum):
    """Whether a refusal concerns everything we send, or this one request."""

    GATEWAY = "gateway"
    REQUEST = "request"


@dataclass(frozen=True, slots=True)
class Misconfigured:
    """We are at fault (key, contract, parameter); the buyer is not blamed."""

    message: str
    scope: FaultScope


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Refused: the gateway already holds a record of this ``merchant_uid``; it must be read."""

    message: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """Time-out, reset, 5xx, unreadable reply: never a failure, never a success."""

    cause: str


Settled: TypeAlias = Paid | Declined | MethodDead
Unmoved: TypeAlias = NotSent | Throttled | Misconfigured
Unresolved: TypeAlias = Unknown | Duplicate
Outcome: TypeAlias = Settled | Unmoved | Unresolved
