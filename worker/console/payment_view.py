"""How payments and refunds look: one JSON document for programs, tables and lines for people."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from shared.billing.refund import Requester
from shared.billing.use_confirmation import KST
from worker.console.buyers import masked_fields
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
    from shared.billing.money import Price
    from shared.db.payment_readings import PaymentCard, RefundCard
    from shared.db.readings import BillingKey


def write_list(found: Sequence["PaymentCard"], limit: int) -> None:
    """Print at most ``limit`` payments for programs, and whether there are more."""
    print_json(
        {
            "payments": [_document(card) for card in found[:limit]],
            "more": len(found) > limit,
        }
    )


def print_list(found: Sequence["PaymentCard"], limit: int) -> None:
    """Print at most ``limit`` payments as a table."""
    print_table(
        ("payment", "amount", "given back", "asked for", "invoice", "paid", "merchant_uid"),
        (
            (
                card.payment.imp_uid,
                won(card.payment.balance.paid.amount),
                won(card.payment.balance.cancelled.amount),
                won(card.payment.asked.amount),
                _known(card.payment.invoice_id),
                local(card.payment.paid_at, _zone(card)),
                card.payment.merchant_uid,
            )
            for card in found[:limit]
        ),
    )
    if len(found) > limit:
        print_more(limit)


def write_card(card: "PaymentCard", refunds: Sequence["RefundCard"]) -> None:
    """Print a payment with its refunds, for programs."""
    print_json(
        {
            **_document(card),
            "time_zone": card.time_zone,
            "refunds": [_refund_document(refund) for refund in refunds],
        }
    )


def print_card(card: "PaymentCard", refunds: Sequence["RefundCard"]) -> None:
    """Print a payment with its refunds, for people."""
    payment = card.payment
    print_fields(
        {
            **_balance_fields(card),
            "merchant_uid": payment.merchant_uid,
            "subscription": _known(payment.subscription_id),
            "paid": both(payment.paid_at, _zone(card)),
        }
    )
    for refund in refunds:
        print_line()
        print_line(f"refund {refund.id}")
        print_fields(_refund_fields(refund, _zone(card)), indent=2)
    if not refunds:
        print_line()
        print_line("No refund was asked for yet.")


def refund_fields(
    card: "PaymentCard",
    buyer: "BillingKey | None",
    told: Mapping[str, Json],
    reason: str,
    requester: Requester,
) -> dict[str, str]:
    """Return what a refund is about, for whoever confirms it."""
    return {
        **_balance_fields(card),
        "goes back": f"{won(_whole(told['amount']))} ({won(_whole(told['tax_free']))} tax-free)",
        "reason": reason,
        "requester": requester,
        **masked_fields(buyer),
    }


def write_refund(result: Mapping[str, Json]) -> None:
    """Print what was asked for, for programs."""
    print_json(result)


def print_refund(result: Mapping[str, Json]) -> None:
    """Print what was asked for, for people."""
    print_fields(
        {
            "refund": str(result["refund_id"]),
            "payment": str(result["imp_uid"]),
            "amount": won(_whole(result["amount"])),
            "tax-free": won(_whole(result["tax_free"])),
            "command": str(result["command_id"]),
        }
    )
    print_line(
        f"It is sent within seconds; `dalmada payment show {result['imp_uid']}` tells how it went."
    )


def _balance_fields(card: "PaymentCard") -> dict[str, str]:
    payment = card.payment
    return {
        "payment": payment.imp_uid,
        "invoice": _known(payment.invoice_id),
        "amount": price(payment.balance.paid),
        "given back": price(payment.balance.cancelled),
        "asked for": price(payment.asked),
        "left": price(payment.left),
    }


def _document(card: "PaymentCard") -> dict[str, Json]:
    payment = card.payment
    return {
        "imp_uid": payment.imp_uid,
        "merchant_uid": payment.merchant_uid,
        "subscription_id": None
        if payment.subscription_id is None
        else str(payment.subscription_id),
        "invoice_id": payment.invoice_id,
        **_sums(payment.balance.paid),
        **_sums(payment.balance.cancelled, "cancelled_"),
        **_sums(payment.asked, "asked_"),
        **_sums(payment.left, "left_"),
        "refund_under_way": payment.under_way,
        "paid_at": iso(payment.paid_at),
    }


def _sums(part: "Price", prefix: str = "") -> dict[str, Json]:
    return {f"{prefix}amount": part.amount, f"{prefix}tax_free": part.tax_free}


def _refund_document(refund: "RefundCard") -> dict[str, Json]:
    return {
        "id": refund.id,
        "status": refund.status,
        **_sums(refund.price),
        "reason": refund.reason,
        "requester": refund.requester,
        "cause": refund.cause,
        "checksum": refund.checksum,
        "sends": refund.sends,
        "refusal": refund.refusal,
        "message": refund.message,
        "cancellation_id": refund.cancellation_id,
        "created_at": iso(refund.created_at),
        "settled_at": iso(refund.settled_at),
    }


def _refund_fields(refund: "RefundCard", zone: str) -> dict[str, str]:
    return {
        "status": refund.status,
        "amount": price(refund.price),
        "reason": refund.reason,
        "requester": refund.requester,
        "cause": refund.cause,
        "checksum": "-" if refund.checksum is None else won(refund.checksum),
        "sends": str(refund.sends),
        "refusal": refund.refusal or "-",
        "message": refund.message or "-",
        "cancellation": refund.cancellation_id or "-",
        "asked for": both(refund.created_at, zone),
        "ended": both(refund.settled_at, zone),
    }


def _zone(card: "PaymentCard") -> str:
    return card.time_zone or KST.key


def _known(value: object) -> str:
    return "-" if value is None else str(value)


def _whole(value: Json) -> int:
    """Return a number of a document as one."""
    return int(str(value))
