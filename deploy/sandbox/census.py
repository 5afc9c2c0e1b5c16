"""What the sandbox has seen: counts for a whole run, and every charge request by merchant_uid."""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from deploy.sandbox.endings import Ending

GET_TOKEN: Final = "getToken"  # noqa: S105  # an endpoint's name


class Result(StrEnum):
    """What a charge request did to the book."""

    BOOKED_PAID = "booked_paid"
    BOOKED_FAILED = "booked_failed"
    BOOKED_READY = "booked_ready"
    REFUSED_UNKNOWN_BUYER = "refused_unknown_buyer"
    REFUSED_DUPLICATE_ORDER = "refused_duplicate_order"
    BAD_PARAMETERS = "bad_parameters"
    NOTHING = "nothing"
    PENDING = "pending"


@dataclass(slots=True)
class SeenCharge:
    """One charge request that passed the token check; `result` is PENDING while it waits."""

    at: float
    body: dict[str, Any]
    ending: Ending | None = None
    result: Result = Result.PENDING
    imp_uid: str | None = None


@dataclass(slots=True)
class Census:
    """Counts since the start or the last reset.

    Attributes:
        asked: Lookups by path, which number their draws.
        seen: Every charge request by merchant_uid; it grows with the book.
    """

    endpoints: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    endings: Counter[str] = field(default_factory=Counter)
    inquiry_endings: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    in_flight: int = 0
    in_flight_peak: int = 0
    seen: dict[str, list[SeenCharge]] = field(default_factory=dict)

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

    def summary(self) -> dict[str, Any]:
        """Show the counts."""
        results = Counter(charge.result for charges in self.seen.values() for charge in charges)
        return {
            "endpoints": dict(self.endpoints),
            "get_token": self.endpoints[GET_TOKEN],
            "statuses": {str(status or "no_reply"): n for status, n in self.statuses.items()},
            "endings": dict(self.endings),
            "inquiry_endings": dict(self.inquiry_endings),
            "results": dict(results),
            "in_flight": self.in_flight,
            "in_flight_peak": self.in_flight_peak,
        }
