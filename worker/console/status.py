"""`dalmada status`: does billing go on, and if not, why."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

import typer

from shared.billing.attempt import UNSETTLED, AttemptStatus
from shared.billing.invoice import InvoiceStatus
from shared.billing.lifecycle import SubscriptionStatus
from shared.billing.refund import REFUND_UNSETTLED, RefundStatus
from shared.billing.use_confirmation import KST
from shared.clock import WallClock
from worker.console import dead_letter_view, options
from worker.console.endings import DatabaseFaultError, ends_in_words
from worker.console.rendering import (
    Json,
    age,
    iso,
    local,
    print_fields,
    print_json,
    print_line,
)

if TYPE_CHECKING:
    from shared.db.backlogs import Backlog
    from worker.console.health import Queues, Reason, Vitals

S = TypeVar("S", bound=StrEnum)

# In the order of the enum, so that the columns of two reports are the same.
_UNRESOLVED = tuple(status for status in AttemptStatus if status in UNSETTLED)
_REFUNDS_UNRESOLVED = tuple(status for status in RefundStatus if status in REFUND_UNSETTLED)
_ROW_KEYS = (
    "subscriptions",
    "invoices",
    "attempts_unresolved",
    "refunds_unresolved",
    "renewals_due",
    "invoices_due",
    "inquiries_due",
    "refunds_due",
    "refund_inquiries_due",
    "hints_due",
    "windows_due",
    "removals_due",
    "endings_due",
    "reservations_due",
    "pauses_due",
    "changes_due",
    "notices_due",
    "events_unrelayed",
    "deliveries_due",
    "deliveries_given_up",
    "endpoints_disabled",
    "discrepancies_open",
    "reconciliation_fault",
    "dead_letters",
    "gateway_hold",
    "restored",
)


@dataclass(frozen=True, slots=True)
class Report:
    """All that was found at ``at``; ``vitals`` is None where the database did not answer."""

    at: datetime
    vitals: "Vitals | None"
    database_fault: str | None
    queues: "Queues"
    reasons: "tuple[Reason, ...]"


@ends_in_words
def status(
    *,
    as_json: options.AsJson = False,
) -> None:
    """Show whether billing goes on, and what needs a person.

    Exit status 0 when it goes on by itself. 1 when something needs a person: a parked payment
    attempt or refund, a dead letter or a difference between PortOne's book and ours that nobody has
    decided, a day that could not be compared, a disabled endpoint, a gateway hold, a restored
    database, a server out of reach, or a renewal, due invoice, inquiry, refund, hint, payment
    window, deletion of a billing key, end or pause of a subscription, reservation at PortOne,
    change of an agreement, notice, event or delivery that has waited for more than 10 minutes.
    """
    report = _report()
    if as_json:
        print_json(_document(report))
    else:
        _print(report)
    if report.reasons:
        raise typer.Exit(1)


def _report() -> Report:
    from worker.console import health, queries, queues, session  # noqa: PLC0415 - see app.py

    settings = session.load(session.StatusSettings)
    now = WallClock().now()
    lengths = queues.measure(settings.redis_url.get_secret_value())
    vitals, fault = None, None
    try:
        leads = settings.notice_leads
        vitals = session.ask(
            settings, lambda connection: queries.take_vitals(connection, now, leads)
        )
    except DatabaseFaultError as error:
        fault = str(error)
    reasons = health.reasons(vitals, fault, lengths, now)
    return Report(now, vitals, fault, lengths, tuple(reasons))


def _document(report: Report) -> dict[str, Json]:
    """Return the report for programs; what could not be read is null."""
    head: dict[str, Json] = {
        "healthy": not report.reasons,
        "reasons": [{"code": reason.code, "text": reason.text} for reason in report.reasons],
        "at": iso(report.at),
        "database": {"reachable": report.vitals is not None, "error": report.database_fault},
        "redis": {"reachable": report.queues.fault is None, "error": report.queues.fault},
        "queues": dict(report.queues.lengths) if report.queues.fault is None else None,
    }
    rows: dict[str, Json] = dict.fromkeys(_ROW_KEYS)
    if report.vitals is not None:
        rows |= _row_document(report.vitals, report.at)
    return head | rows


def _row_document(vitals: "Vitals", at: datetime) -> dict[str, Json]:
    hold, restored = vitals.hold, vitals.installation
    return {
        "subscriptions": _counts(SubscriptionStatus, vitals.subscriptions),
        "invoices": _counts(InvoiceStatus, vitals.invoices),
        "attempts_unresolved": _counts(_UNRESOLVED, vitals.attempts_unresolved),
        "refunds_unresolved": _counts(_REFUNDS_UNRESOLVED, vitals.refunds_unresolved),
        "renewals_due": _backlog_document(vitals.renewals_due, at),
        "invoices_due": _backlog_document(vitals.invoices_due, at),
        "inquiries_due": _backlog_document(vitals.inquiries_due, at),
        "refunds_due": _backlog_document(vitals.refunds_due, at),
        "refund_inquiries_due": _backlog_document(vitals.refund_inquiries_due, at),
        "hints_due": _backlog_document(vitals.hints_due, at),
        "windows_due": _backlog_document(vitals.windows_due, at),
        "removals_due": _backlog_document(vitals.removals_due, at),
        "endings_due": _backlog_document(vitals.endings_due, at),
        "reservations_due": _backlog_document(vitals.reservations_due, at),
        "pauses_due": _backlog_document(vitals.pauses_due, at),
        "changes_due": _backlog_document(vitals.changes_due, at),
        "notices_due": _backlog_document(vitals.notices_due, at),
        "events_unrelayed": _backlog_document(vitals.events_waiting, at),
        "deliveries_due": _backlog_document(vitals.deliveries_due, at),
        "deliveries_given_up": vitals.deliveries_given_up,
        "endpoints_disabled": vitals.endpoints_disabled,
        "discrepancies_open": vitals.discrepancies_open,
        "reconciliation_fault": vitals.reconciliation_fault,
        "dead_letters": {
            "count": vitals.dead_letter_count,
            "newest": [dead_letter_view.letter_document(item) for item in vitals.dead_letters],
        },
        "gateway_hold": None
        if hold is None
        else {
            "cause": hold.cause,
            "held_until": iso(hold.held_until),
            "raised_at": iso(hold.raised_at),
        },
        "restored": None
        if restored is None or restored.restored_at is None
        else {"cause": restored.cause, "restored_at": iso(restored.restored_at)},
    }


def _backlog_document(backlog: "Backlog", at: datetime) -> dict[str, Json]:
    oldest_at = backlog.oldest_at
    return {
        "count": backlog.count,
        "oldest_at": iso(oldest_at),
        "oldest_age_s": None if oldest_at is None else round((at - oldest_at).total_seconds(), 3),
    }


def _counts(statuses: Iterable[S], counted: Mapping[S, int]) -> dict[str, int]:
    """Return a number for every status, also where no row has it."""
    return {str(status): counted.get(status, 0) for status in statuses}


def _print(report: Report) -> None:
    """Print the verdict first, then the figures."""
    if not report.reasons:
        print_line("Billing goes on by itself.")
    else:
        print_line("This needs a person:")
        for reason in report.reasons:
            print_line(f"  {reason.code}: {reason.text}")
    print_line()
    vitals, queues = report.vitals, report.queues
    fields = {
        "database": "reachable" if vitals is not None else "out of reach",
        "redis": "reachable" if queues.fault is None else "out of reach",
    }
    if queues.fault is None:
        fields["queues"] = _figures(queues.lengths)
    if vitals is not None:
        fields |= _row_fields(vitals, report.at)
    print_fields(fields)
    if vitals is not None and vitals.dead_letters:
        print_line()
        dead_letter_view.print_letters(vitals.dead_letters)


def _row_fields(vitals: "Vitals", at: datetime) -> dict[str, str]:
    return {
        "subscriptions": _figures(_counts(SubscriptionStatus, vitals.subscriptions)),
        "invoices": _figures(_counts(InvoiceStatus, vitals.invoices)),
        "attempts unresolved": _figures(_counts(_UNRESOLVED, vitals.attempts_unresolved)),
        "refunds unresolved": _figures(_counts(_REFUNDS_UNRESOLVED, vitals.refunds_unresolved)),
        "renewals due": _waiting(vitals.renewals_due, at),
        "invoices due": _waiting(vitals.invoices_due, at),
        "inquiries due": _waiting(vitals.inquiries_due, at),
        "refunds due": _waiting(vitals.refunds_due, at),
        "refund inquiries due": _waiting(vitals.refund_inquiries_due, at),
        "hints due": _waiting(vitals.hints_due, at),
        "windows due": _waiting(vitals.windows_due, at),
        "removals due": _waiting(vitals.removals_due, at),
        "ends due": _waiting(vitals.endings_due, at),
        "reservations due": _waiting(vitals.reservations_due, at),
        "pauses due": _waiting(vitals.pauses_due, at),
        "changes due": _waiting(vitals.changes_due, at),
        "notices due": _waiting(vitals.notices_due, at),
        "events not relayed": _waiting(vitals.events_waiting, at),
        "deliveries due": _waiting(vitals.deliveries_due, at),
        "deliveries given up": str(vitals.deliveries_given_up),
        "endpoints disabled": str(vitals.endpoints_disabled),
        "discrepancies": str(vitals.discrepancies_open),
        "dead letters": str(vitals.dead_letter_count),
        "gateway hold": "none"
        if vitals.hold is None
        else f"until {local(vitals.hold.held_until, KST.key)}: {vitals.hold.cause}",
        "set back": "not known to be"
        if vitals.installation is None or vitals.installation.restored_at is None
        else f"restored from a backup: {vitals.installation.cause}",
    }


def _figures(counts: Mapping[str, int]) -> str:
    return " · ".join(f"{name} {count}" for name, count in counts.items())


def _waiting(backlog: "Backlog", at: datetime) -> str:
    if backlog.oldest_at is None:
        return str(backlog.count)
    return f"{backlog.count}, the oldest for {age((at - backlog.oldest_at).total_seconds())}"
