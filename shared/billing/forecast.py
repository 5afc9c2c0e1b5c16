"""What will be charged on a day of Korea's, and why: the rows of a forecast, and their sums.

A forecast looks at one instant's rows and takes it that every charge is paid and that nobody wants
anything else until then. It holds whatever is due from that instant until the day is over: what is
due before the day is no part of the day's sums, and explains what comes late.
"""

import enum
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final
from uuid import NAMESPACE_URL, UUID, uuid5

from shared.billing.charge_hours import KST
from shared.billing.consent import ConsentKind
from shared.billing.money import Price

# How far ahead a day may lie: each day more is one on which nothing must change.
DAYS_AHEAD_MAX: Final = 31
_DAY: Final = timedelta(days=1)
_NAMESPACE: Final = uuid5(NAMESPACE_URL, "dalmada/forecast")


class Why(enum.StrEnum):
    """What makes something due.

    ``again``: a send that moved nothing. ``retry``: a decline before it. ``buyer``: the buyer's own
    wish. ``opened``: an invoice that is there already and was not tried yet.
    """

    RENEWAL = "renewal"
    CONVERSION = "conversion"
    CATCH_UP = "catch_up"
    OPENED = "opened"
    RETRY = "retry"
    AGAIN = "again"
    BUYER = "buyer"


class Outlook(enum.StrEnum):
    """What will come of it.

    ``charged``: the gateway is asked. ``settled``: nothing is left to be paid. ``uncollectible``:
    too little to be charged, or its time is over. ``void``: the subscription ends before.
    ``waits``: for a payment method, for dunning to be switched on, for an outcome. ``ends``: the
    subscription ends for want of a consent. ``faulty``: its row makes no sense.
    """

    CHARGED = "charged"
    SETTLED = "settled"
    UNCOLLECTIBLE = "uncollectible"
    VOID = "void"
    WAITS = "waits"
    ENDS = "ends"
    FAULTY = "faulty"


@dataclass(frozen=True, slots=True)
class Day:
    """A day of Korea's, as a half-open range of instants."""

    date: date

    @property
    def begins_at(self) -> datetime:
        """When it begins."""
        return datetime.combine(self.date, time.min, KST).astimezone(UTC)

    @property
    def ends_at(self) -> datetime:
        """When it is over."""
        return datetime.combine(self.date + _DAY, time.min, KST).astimezone(UTC)

    def holds(self, at: datetime) -> bool:
        """Say whether an instant lies in it."""
        return self.begins_at <= at < self.ends_at

    @classmethod
    def of(cls, at: datetime) -> "Day":
        """Return the day of an instant."""
        return cls(at.astimezone(KST).date())

    @property
    def following(self) -> "Day":
        """The day after it."""
        return Day(self.date + _DAY)

    def __str__(self) -> str:
        """Write it as people do."""
        return self.date.isoformat()


@dataclass(frozen=True, slots=True)
class Missing:
    """A consent that is not there; ``amount`` is what a period would cost with it, in won."""

    kind: ConsentKind
    amount: int
    change_id: int | None = None


@dataclass(frozen=True, slots=True)
class Expected:
    """What is due for one period of one subscription.

    Attributes:
        at: When it is due, within the hours in which charges are made.
        note: Why it is not charged, in words, or None where it is.
        invoice_id: The invoice, where there is one already.
        lines: What differs from the agreement, as (kind, won); nothing for most.
        changes: Those that come into effect with the period.
        missing: Consents that are not there: the price stays, or the subscription ends.
    """

    subscription_id: UUID
    period_index: int
    at: datetime
    price: Price
    why: Why
    outlook: Outlook = Outlook.CHARGED
    note: str | None = None
    invoice_id: int | None = None
    lines: tuple[tuple[str, int], ...] = ()
    changes: tuple[int, ...] = ()
    missing: tuple[Missing, ...] = ()

    @property
    def order(self) -> tuple[UUID, int]:
        """By what rows are put in order."""
        return self.subscription_id, self.period_index

    @property
    def details(self) -> dict[str, Any]:
        """What most rows have nothing of."""
        said: dict[str, Any] = {}
        if self.lines:
            said["lines"] = [list(line) for line in self.lines]
        if self.changes:
            said["changes"] = list(self.changes)
        if self.missing:
            said["missing"] = [[each.kind, each.amount, each.change_id] for each in self.missing]
        return said

    def as_json(self) -> dict[str, Any]:
        """Return it for machines."""
        return {
            "subscription_id": str(self.subscription_id),
            "period_index": self.period_index,
            "at": self.at.astimezone(UTC).isoformat(),
            "amount": self.price.amount,
            "tax_free": self.price.tax_free,
            "why": self.why,
            "outlook": self.outlook,
            "note": self.note,
            "invoice_id": self.invoice_id,
            **self.details,
        }

    @classmethod
    def of_json(cls, told: Mapping[str, Any]) -> "Expected":
        """Return what ``as_json`` told."""
        return cls(
            UUID(told["subscription_id"]),
            told["period_index"],
            datetime.fromisoformat(told["at"]),
            Price(told["amount"], told["tax_free"]),
            Why(told["why"]),
            Outlook(told["outlook"]),
            told["note"],
            told["invoice_id"],
            tuple((kind, amount) for kind, amount in told.get("lines", ())),
            tuple(told.get("changes", ())),
            tuple(
                Missing(ConsentKind(kind), amount, change_id)
                for kind, amount, change_id in told.get("missing", ())
            ),
        )


@dataclass(slots=True)
class Sum:
    """How many, and how many won."""

    count: int = 0
    amount: int = 0

    def add(self, amount: int) -> None:
        """Count one more."""
        self.count += 1
        self.amount += amount

    def as_json(self) -> dict[str, int]:
        """Return it for machines."""
        return {"count": self.count, "amount": self.amount}


@dataclass(slots=True)
class Totals:
    """The sums of a forecast.

    Attributes:
        charges: Everything that will be charged on the day, and ``tax_free`` of it.
        reasons: The same by what makes it due, and ``hours`` by the hour of Korea's day.
        others: What is due on the day and will not be charged, by what will come of it.
        missing: How many consents are missing on the day, by kind.
        before: What is due between the forecast and the day, and will be charged.
    """

    charges: Sum = field(default_factory=Sum)
    tax_free: int = 0
    reasons: dict[Why, Sum] = field(default_factory=dict)
    hours: dict[int, Sum] = field(default_factory=dict)
    others: dict[Outlook, Sum] = field(default_factory=dict)
    missing: Counter[ConsentKind] = field(default_factory=Counter)
    before: Sum = field(default_factory=Sum)

    def add(self, expected: Expected, day: Day) -> None:
        """Count a row."""
        amount = expected.price.amount
        if not day.holds(expected.at):
            if expected.outlook is Outlook.CHARGED:
                self.before.add(amount)
            return
        self.missing.update(each.kind for each in expected.missing)
        if expected.outlook is not Outlook.CHARGED:
            self.others.setdefault(expected.outlook, Sum()).add(amount)
            return
        self.charges.add(amount)
        self.tax_free += expected.price.tax_free
        self.reasons.setdefault(expected.why, Sum()).add(amount)
        self.hours.setdefault(expected.at.astimezone(KST).hour, Sum()).add(amount)

    def as_json(self) -> dict[str, Any]:
        """Return them for machines, in an order that is always the same."""
        return {
            "charges": self.charges.as_json(),
            "tax_free": self.tax_free,
            "reasons": {why: self.reasons[why].as_json() for why in Why if why in self.reasons},
            "hours": {str(hour): self.hours[hour].as_json() for hour in sorted(self.hours)},
            "others": {
                each: self.others[each].as_json() for each in Outlook if each in self.others
            },
            "consents_missing": {
                kind: self.missing[kind] for kind in ConsentKind if kind in self.missing
            },
            "before_the_day": self.before.as_json(),
        }


@dataclass(frozen=True, slots=True)
class Forecast:
    """What was foreseen of a day, without its rows.

    Attributes:
        events_until: Of events with a greater number at most, it was made without knowing.
        rules: The settings it was made by, for whoever compares them with later ones.
        totals: Its sums, for machines.
        digest: Of all of this and of every row.
    """

    day: Day
    made_at: datetime
    events_until: int
    rules: Mapping[str, Any]
    totals: Mapping[str, Any]
    digest: str

    @property
    def id(self) -> UUID:
        """Its name: one forecast of a day is made at an instant."""
        return id_of(self.day, self.made_at)

    def as_json(self) -> dict[str, Any]:
        """Return it for machines."""
        return {
            "id": str(self.id),
            **head_of(self.day, self.made_at, self.events_until, self.rules),
            "totals": dict(self.totals),
            "digest": self.digest,
        }


def id_of(day: Day, made_at: datetime) -> UUID:
    """Return the name of a forecast."""
    return uuid5(_NAMESPACE, f"{day} {made_at.astimezone(UTC).isoformat()}")


def head_of(
    day: Day, made_at: datetime, events_until: int, rules: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what a forecast begins with."""
    return {
        "day": str(day),
        "begins_at": day.begins_at.isoformat(),
        "ends_at": day.ends_at.isoformat(),
        "made_at": made_at.astimezone(UTC).isoformat(),
        "events_until": events_until,
        "rules": dict(rules),
    }


class Digest:
    """SHA-256 of a forecast, one line of canonical JSON after the other: head, rows, totals."""

    def __init__(self, head: Mapping[str, Any]) -> None:
        """Begin with the head."""
        self._hash = hashlib.sha256()
        self._add(head)

    def add(self, rows: Iterable[Expected]) -> None:
        """Go on with rows, in order."""
        for row in rows:
            self._add(row.as_json())

    def end(self, totals: Mapping[str, Any]) -> str:
        """Return the digest."""
        self._add(totals)
        return self._hash.hexdigest()

    def _add(self, value: Mapping[str, Any]) -> None:
        self._hash.update(canonical(value).encode() + b"\n")


def canonical(value: Mapping[str, Any]) -> str:
    """Write JSON in the one way in which it is hashed: keys in order, no space, no escapes."""
    return json.dumps(
        value, allow_nan=False, ensure_ascii=False, separators=(",", ":"), sort_keys=True
    )
