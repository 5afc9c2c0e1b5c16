"""What the sandbox has seen: counts for a whole run, and every charge and cancel request."""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from deploy.sandbox.endings import CommandEnding, Ending
from deploy.sandbox.refunds import CancelRefusal

GET_TOKEN: Final = "getToken"  # noqa: S105  # an endpoint's name


class Result(StrEnum):
    """What a charge or a cancel request did to the book."""

    BOOKED_PAID = "booked_paid"
    BOOKED_FAILED = "booked_failed"
    BOOKED_READY = "booked_ready"
    CANCELLED = "cancelled"
    REFUSED_UNKNOWN_BUYER = "refused_unknown_buyer"
    REFUSED_DUPLICATE_ORDER = "refused_duplicate_order"
    BAD_PARAMETERS = "bad_parameters"
    NOTHING = "nothing"
    PENDING = "pending"


@dataclass(slots=True)
class SeenCharge:
    """One charge request that passed the token check; `result` is PENDING while it waits.

    Attributes:
        endpoint: What was asked for it: a charge, or the retry of a schedule.
    """

    at: float
    body: dict[str, Any]
    ending: Ending | None = None
    result: Result = Result.PENDING
    imp_uid: str | None = None
    endpoint: str = "again"


@dataclass(slots=True)
class SeenCancel:
    """One cancel request that passed the token check; `result` is PENDING while it waits."""

    at: float
    body: dict[str, Any]
    ending: CommandEnding | None = None
    result: Result | CancelRefusal = Result.PENDING
    cancellation_id: str | None = None


@dataclass(slots=True)
class Census:
    """Counts since the start or the last reset.

    Attributes:
        asked: Lookups by path and commands by all they say, which number their draws.
        seen: Every charge request by merchant_uid; it grows with the book.
        seen_cancels: Every cancel request by the imp_uid of the payment it meant; where there is
            no such payment, by the imp_uid it gave.
    """

    endpoints: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    endings: Counter[str] = field(default_factory=Counter)
    cancel_endings: Counter[str] = field(default_factory=Counter)
    command_endings: Counter[str] = field(default_factory=Counter)
    inquiry_endings: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    in_flight: int = 0
    in_flight_peak: int = 0
    seen: dict[str, list[SeenCharge]] = field(default_factory=dict)
    seen_cancels: dict[str, list[SeenCancel]] = field(default_factory=dict)

    def enter(self, endpoint: str) -> None:
        """Count a gateway request that begins to be worked on."""
        self.endpoints[endpoint] += 1
        self.in_flight += 1
        self.in_flight_peak = max(self.in_flight_peak, self.in_flight)

    def leave(self, status: int) -> None:
        """Count its end; status 0 when no reply was sent."""
        self.in_flight -= 1
        self.statuses[status] += 1

    def note(self, merchant_uid: str, charge: SeenCharge) -> int:
        """Keep a charge request and say how many there were before it for its merchant_uid."""
        charges = self.seen.setdefault(merchant_uid, [])
        charges.append(charge)
        return len(charges) - 1

    def note_cancel(self, imp_uid: str, cancel: SeenCancel) -> int:
        """Keep a cancel request and say how many there were before it for its payment."""
        cancels = self.seen_cancels.setdefault(imp_uid, [])
        cancels.append(cancel)
        return len(cancels) - 1

    def summary(self) -> dict[str, Any]:
        """Show the counts."""
        results = Counter(charge.result for charges in self.seen.values() for charge in charges)
        cancel_results = Counter(
            cancel.result for cancels in self.seen_cancels.values() for cancel in cancels
        )
        return {
            "endpoints": dict(self.endpoints),
            "get_token": self.endpoints[GET_TOKEN],
            "statuses": {str(status or "no_reply"): n for status, n in self.statuses.items()},
            "endings": dict(self.endings),
            "cancel_endings": dict(self.cancel_endings),
            "command_endings": dict(self.command_endings),
            "inquiry_endings": dict(self.inquiry_endings),
            "results": dict(results),
            "cancel_results": dict(cancel_results),
            "in_flight": self.in_flight,
            "in_flight_peak": self.in_flight_peak,
        }
