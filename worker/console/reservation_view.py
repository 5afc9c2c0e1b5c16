"""How reservations look: one JSON document for programs, a table for people."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from worker.console.rendering import Json, iso, local, print_json, print_more, print_table, won

if TYPE_CHECKING:
    from shared.db.reservation_readings import ReservationCard


def write_list(found: "Sequence[ReservationCard]", limit: int) -> None:
    """Print at most ``limit`` reservations for programs, and whether there are more."""
    print_json(
        {
            "reservations": [reservation_document(card) for card in found[:limit]],
            "more": len(found) > limit,
        }
    )


def print_list(found: "Sequence[ReservationCard]", limit: int) -> None:
    """Print at most ``limit`` reservations as a table, each on the clocks of its subscription."""
    print_table(
        (
            "reservation",
            "subscription",
            "merchant_uid",
            "period",
            "from",
            "amount",
            "collected at",
            "status",
            "changed",
            "message",
        ),
        (
            (
                str(card.id),
                str(card.subscription_id),
                card.merchant_uid,
                str(card.period.index),
                local(card.period.start_at, card.time_zone),
                won(card.price.amount),
                local(card.schedule_at, card.time_zone),
                card.status,
                "by others" if card.by_others else "-",
                card.message or "-",
            )
            for card in found[:limit]
        ),
    )
    if len(found) > limit:
        print_more(limit)


def reservation_document(card: "ReservationCard") -> dict[str, Json]:
    """Return a reservation for programs."""
    return {
        "id": card.id,
        "subscription_id": str(card.subscription_id),
        "merchant_uid": card.merchant_uid,
        "period_index": card.period.index,
        "period_start_at": iso(card.period.start_at),
        "period_end_at": iso(card.period.end_at),
        "amount": card.price.amount,
        "tax_free": card.price.tax_free,
        "schedule_at": iso(card.schedule_at),
        "status": card.status,
        "send_number": card.send_number,
        "by_others": card.by_others,
        "message": card.message,
        "created_at": iso(card.created_at),
        "ended_at": iso(card.ended_at),
    }


def reservation_text(card: "ReservationCard") -> str:
    """Return a reservation in a line, for people."""
    at = local(card.schedule_at, card.time_zone)
    return f"{card.status}: period {card.period.index}, {won(card.price.amount)} at {at}"
