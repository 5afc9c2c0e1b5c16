"""Whether billing goes on by itself, and what needs a person if it does not."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.billing.attempt import AttemptStatus
from shared.billing.invoice import InvoiceStatus
from shared.billing.lifecycle import SubscriptionStatus
from shared.billing.refund import RefundStatus
from shared.db.backlogs import Backlog
from shared.db.holds import Hold
from shared.db.installation import Installation
from shared.db.letters import Letter
from worker.console.rendering import age

# Scans look every few seconds; what waits longer than this waits for somebody.
LATE_AFTER = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Vitals:
    """What the rows say; a status that no row has may be missing from the counts."""

    subscriptions: Mapping[SubscriptionStatus, int]
    invoices: Mapping[InvoiceStatus, int]
    attempts_unresolved: Mapping[AttemptStatus, int]
    refunds_unresolved: Mapping[RefundStatus, int]
    renewals_due: Backlog
    invoices_due: Backlog
    inquiries_due: Backlog
    refunds_due: Backlog
    refund_inquiries_due: Backlog
    hints_due: Backlog
    windows_due: Backlog
    removals_due: Backlog
    endings_due: Backlog
    reservations_due: Backlog
    pauses_due: Backlog
    changes_due: Backlog
    notices_due: Backlog
    events_waiting: Backlog
    deliveries_due: Backlog
    deliveries_given_up: int
    endpoints_disabled: int
    discrepancies_open: int
    reconciliation_fault: str | None
    dead_letter_count: int
    dead_letters: tuple[Letter, ...]
    hold: Hold | None
    installation: Installation | None


@dataclass(frozen=True, slots=True)
class Queues:
    """How many messages wait in each queue, or why nobody knows."""

    lengths: Mapping[str, int]
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class Reason:
    """Something a person must look at: a stable name and a sentence."""

    code: str
    text: str


def reasons(
    vitals: Vitals | None, database_fault: str | None, queues: Queues, now: datetime
) -> list[Reason]:
    """Return what needs a person, the worst first; nothing when billing goes on by itself."""
    found = []
    if database_fault is not None:
        found.append(Reason("database_unreachable", database_fault))
    if queues.fault is not None:
        found.append(Reason("redis_unreachable", queues.fault))
    if vitals is not None:
        found.extend(_stopped(vitals))
        found.extend(_late(vitals, now))
    return found


def _stopped(vitals: Vitals) -> Iterator[Reason]:
    """Yield what does not go on by itself."""
    if vitals.installation is not None and vitals.installation.restored_at is not None:
        yield Reason(
            "database_restored",
            "the database is an older backup of what was billed from, so nothing is charged before"
            f" `dalmada recover` has run: {vitals.installation.cause}.",
        )
    parked = vitals.attempts_unresolved.get(AttemptStatus.PARKED, 0)
    if parked:
        yield Reason(
            "attempts_parked",
            f"payment attempts parked until a person decides what became of them: {parked}.",
        )
    parked = vitals.refunds_unresolved.get(RefundStatus.PARKED, 0)
    if parked:
        yield Reason(
            "refunds_parked",
            f"refunds parked until a person decides what became of them: {parked}.",
        )
    if vitals.dead_letter_count:
        yield Reason("dead_letters", f"dead letters to be decided: {vitals.dead_letter_count}.")
    if vitals.endpoints_disabled:
        yield Reason(
            "endpoints_disabled",
            "endpoints that are told nothing any more, because they failed:"
            f" {vitals.endpoints_disabled}; see `dalmada endpoint list`.",
        )
    if vitals.discrepancies_open:
        yield Reason(
            "discrepancies",
            "differences between PortOne's book and ours to be decided:"
            f" {vitals.discrepancies_open}; see `dalmada reconcile list`.",
        )
    if vitals.reconciliation_fault is not None:
        yield Reason(
            "reconciliation_failed",
            f"the last day could not be compared: {vitals.reconciliation_fault}",
        )
    if vitals.hold is not None:
        yield Reason(
            "gateway_hold",
            f"nothing is sent to the gateway until {vitals.hold.held_until.isoformat()}:"
            f" {vitals.hold.cause}",
        )


def _late(vitals: Vitals, now: datetime) -> Iterator[Reason]:
    """Yield what has waited longer than the processes that do it would let it."""
    for code, backlog, what, fault in (
        ("renewals_late", vitals.renewals_due, "renewals", "the scheduler does not open them"),
        ("invoices_late", vitals.invoices_due, "invoices", "nobody collects them"),
        ("inquiries_late", vitals.inquiries_due, "inquiries", "nobody asks the gateway"),
        ("refunds_late", vitals.refunds_due, "refunds", "nobody sends them"),
        (
            "refund_inquiries_late",
            vitals.refund_inquiries_due,
            "inquiries about refunds",
            "nobody reads the payments",
        ),
        ("hints_late", vitals.hints_due, "hints", "nobody looks at them"),
        ("windows_late", vitals.windows_due, "payment windows", "nobody takes their next step"),
        (
            "removals_late",
            vitals.removals_due,
            "billing keys to be deleted",
            "nobody deletes them, or the gateway does not",
        ),
        (
            "endings_late",
            vitals.endings_due,
            "subscriptions to be ended",
            "nobody ends them, or the gateway does not revoke their reservations",
        ),
        (
            "reservations_late",
            vitals.reservations_due,
            "reservations",
            "nobody requests them, or looks at what became of them",
        ),
        (
            "pauses_late",
            vitals.pauses_due,
            "pauses to begin or to end",
            "the scheduler does not see to them",
        ),
        (
            "changes_late",
            vitals.changes_due,
            "changes of agreements",
            "their period has begun without them",
        ),
        ("notices_late", vitals.notices_due, "notices", "the scheduler does not give them"),
        ("events_late", vitals.events_waiting, "events", "nobody relays them"),
        ("deliveries_late", vitals.deliveries_due, "deliveries of events", "nobody makes them"),
    ):
        if backlog.oldest_at is not None and now - backlog.oldest_at > LATE_AFTER:
            waited = age((now - backlog.oldest_at).total_seconds())
            yield Reason(code, f"the oldest of {backlog.count} {what} waits for {waited}: {fault}.")
