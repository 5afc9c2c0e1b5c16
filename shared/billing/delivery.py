"""Events on their way to a merchant's endpoint: when one is tried again, and when no more."""

import enum
import zlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus

from shared.billing.errors import InvalidPolicyError

URL_LENGTH_MAX = 2_000
# Several only while one takes another's place: each makes every delivery longer.
SECRETS_MAX = 4


class EndpointStatus(enum.StrEnum):
    """Where an endpoint stands."""

    ENABLED = "enabled"
    # Nothing is sent until somebody enables it; what waits for it goes on waiting.
    DISABLED = "disabled"
    # For good; the row is kept for what was delivered to it.
    REMOVED = "removed"


class DeliveryStatus(enum.StrEnum):
    """Where one event stands with one endpoint."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    # Tried as often as the policy has it; a replay begins anew.
    GIVEN_UP = "given_up"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one try.

    Attributes:
        status: The HTTP status, None if no answer came.
        cause: What went wrong, in a few words of ours; None where nothing did.
        retry_after: How long the endpoint asks us to wait.
    """

    status: int | None
    cause: str | None = None
    retry_after: timedelta | None = None

    @property
    def is_delivered(self) -> bool:
        """Whether the endpoint took the event in."""
        return self.status is not None and HTTPStatus.OK <= self.status < 300  # noqa: PLR2004

    @property
    def is_gone(self) -> bool:
        """Whether the endpoint wants nothing any more."""
        return self.status == HTTPStatus.GONE


@dataclass(frozen=True, slots=True)
class DeliveryPolicy:
    """How often an event is tried, and for how long an endpoint may fail.

    Attributes:
        gaps: The wait after each failure; after one more the event is given up.
        jitter: By how much of itself a wait may be longer, so that what failed together does not
            come back together.
        retry_after_max: The longest wait that an endpoint may ask for.
        disable_after: How long nothing may be delivered before the endpoint is disabled.
    """

    gaps: tuple[timedelta, ...]
    retry_after_max: timedelta
    disable_after: timedelta
    jitter: float = 0.2

    def __post_init__(self) -> None:
        """Refuse a policy that cannot be followed."""
        if any(gap <= timedelta(0) for gap in self.gaps):
            raise InvalidPolicyError("a wait between two deliveries must be longer than nothing")
        if self.disable_after <= timedelta(0) or self.retry_after_max <= timedelta(0):
            raise InvalidPolicyError("how long an endpoint may fail or ask us to wait must be > 0")
        if not 0 <= self.jitter <= 1:
            raise InvalidPolicyError("the jitter of deliveries must be between 0 and 1")


@dataclass(frozen=True, slots=True)
class Tried:
    """What one try makes of a delivery and of its endpoint.

    Attributes:
        next_try_at: Set while it waits.
        failures: How many failed in a row.
        is_gone: Whether the endpoint is disabled at once.
    """

    status: DeliveryStatus
    next_try_at: datetime | None
    failures: int
    is_gone: bool = False


def after_try(
    answer: Answer, delivery_id: int, failures: int, policy: DeliveryPolicy, now: datetime
) -> Tried:
    """Return what an answer makes of a delivery that had failed so often before."""
    if answer.is_delivered:
        return Tried(DeliveryStatus.DELIVERED, None, 0)
    failures += 1
    if answer.is_gone:
        # It is no fault of the event's: should the endpoint be enabled again, it goes on.
        return Tried(DeliveryStatus.WAITING, now, failures, is_gone=True)
    if failures > len(policy.gaps):
        return Tried(DeliveryStatus.GIVEN_UP, None, failures)
    asked = min(answer.retry_after or timedelta(0), policy.retry_after_max)
    wait = max(policy.gaps[failures - 1], asked)
    return Tried(
        DeliveryStatus.WAITING,
        now + wait * (1 + policy.jitter * _share(delivery_id, failures)),
        failures,
    )


def _share(delivery_id: int, failures: int) -> float:
    """Return a number from 0 to 1 that differs from one delivery to the next, without dice."""
    return zlib.crc32(f"{delivery_id} {failures}".encode()) / 0xFFFFFFFF
