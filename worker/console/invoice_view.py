"""How invoices look: one JSON document for programs, tables and lines for people."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from shared.billing.attempt import Attempt
from shared.billing.invoice import Invoice
from worker.console.life_view import told_fields
from worker.console.line_view import lines_document, print_lines
from worker.console.rendering import (
    Json,
    both,
    iso,
    local,
    price,
    print_fields,
    print_json,
    print_line,
    print_more,
    print_table,
    won,
)

if TYPE_CHECKING:
    from worker.console.queries import InvoiceCard, ListedInvoices


def write_list(found: "ListedInvoices", limit: int) -> None:
    """Print at most ``limit`` invoices for programs, and whether there are more."""
    print_json(
        {
            "invoices": [invoice_document(invoice) for invoice in found.invoices[:limit]],
            "more": len(found.invoices) > limit,
        }
    )


def print_list(found: "ListedInvoices", limit: int) -> None:
    """Print at most ``limit`` invoices as a table."""
    print_invoices(found.invoices[:limit], found.time_zones)
    if len(found.invoices) > limit:
        print_more(limit)


def write_card(card: "InvoiceCard") -> None:
    """Print an invoice with its lines and attempts, for programs."""
    print_json(
        {
            **invoice_document(card.invoice),
            "time_zone": card.time_zone,
            "lines": lines_document(card.invoice.lines),
            "attempts": [_attempt_document(attempt) for attempt in card.attempts],
        }
    )


def invoice_document(invoice: Invoice) -> dict[str, Json]:
    """Return an invoice for programs."""
    return {
        "id": invoice.id,
        "subscription_id": str(invoice.subscription_id),
        "period_index": invoice.period.index,
        "period_start_at": iso(invoice.period.start_at),
        "period_end_at": iso(invoice.period.end_at),
        "amount": invoice.price.amount,
        "tax_free": invoice.price.tax_free,
        "order_name": invoice.order_name,
        "status": invoice.status,
        "declines": invoice.declines,
        "next_attempt_at": iso(invoice.next_attempt_at),
        "paid_at": iso(invoice.paid_at),
        "message": invoice.message,
    }


def print_invoices(invoices: Sequence[Invoice], zones: Mapping[UUID, str]) -> None:
    """Print invoices as a table, each on the clocks of its subscription."""
    print_table(
        ("invoice", "subscription", "period", "from", "amount", "status", "paid", "message"),
        (
            (
                str(invoice.id),
                str(invoice.subscription_id),
                str(invoice.period.index),
                local(invoice.period.start_at, zones[invoice.subscription_id]),
                won(invoice.price.amount),
                invoice.status,
                local(invoice.paid_at, zones[invoice.subscription_id]),
                invoice.message or "-",
            )
            for invoice in invoices
        ),
    )


def print_card(card: "InvoiceCard") -> None:
    """Print an invoice with its lines and attempts, for people."""
    invoice, zone = card.invoice, card.time_zone
    print_fields(
        {
            "invoice": str(invoice.id),
            "subscription": str(invoice.subscription_id),
            "status": invoice.status,
            "order name": invoice.order_name,
            "amount": price(invoice.price),
            "period": str(invoice.period.index),
            "from": both(invoice.period.start_at, zone),
            "until": both(invoice.period.end_at, zone),
            "declines": str(invoice.declines),
            "next attempt": both(invoice.next_attempt_at, zone),
            "paid": both(invoice.paid_at, zone),
            "message": invoice.message or "-",
        }
    )
    print_line()
    print_lines(invoice.lines, invoice.price)
    for attempt in card.attempts:
        print_line()
        print_line(f"attempt {attempt.number}")
        print_fields(_attempt_fields(attempt, zone), indent=2)
    if not card.attempts:
        print_line()
        print_line("No attempt was made yet.")


def retry_fields(card: "InvoiceCard", told: Mapping[str, Json]) -> dict[str, str]:
    """Return what is collected once more, for whoever confirms it."""
    invoice, zone = card.invoice, card.time_zone
    return {
        "invoice": str(invoice.id),
        "subscription": str(invoice.subscription_id),
        "status": invoice.status,
        "amount": price(invoice.price),
        "declines": str(invoice.declines),
        "next attempt": f"{both(invoice.next_attempt_at, zone)} →"
        f" {told_fields(told, zone)['next attempt at']}",
        "message": invoice.message or "-",
    }


def _attempt_fields(attempt: Attempt, zone: str) -> dict[str, str]:
    return {
        "status": attempt.status,
        "merchant_uid": attempt.merchant_uid,
        "imp_uid": attempt.imp_uid or "-",
        "sends": str(attempt.send_number),
        "claimed": both(attempt.claimed_at, zone),
        "settled": both(attempt.settled_at, zone),
        "message": attempt.message or "-",
    }


def _attempt_document(attempt: Attempt) -> dict[str, Json]:
    return {
        "id": attempt.id,
        "number": attempt.number,
        "send_number": attempt.send_number,
        "status": attempt.status,
        "merchant_uid": attempt.merchant_uid,
        "imp_uid": attempt.imp_uid,
        "message": attempt.message,
        "claimed_at": iso(attempt.claimed_at),
        "settled_at": iso(attempt.settled_at),
    }
