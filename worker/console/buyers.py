"""Whose key it is, so that who knows it knows it again and nobody else learns it."""

from typing import TYPE_CHECKING

from worker.console.rendering import mask

if TYPE_CHECKING:
    from shared.db.readings import BillingKey


def masked_document(key: "BillingKey") -> dict[str, str | None]:
    """Return a billing key and its buyer for programs."""
    texts = {
        "customer_uid": key.customer_uid,
        "buyer_name": key.buyer.name,
        "buyer_email": key.buyer.email,
        "buyer_tel": key.buyer.tel,
    }
    return {f"{name}_masked": text and mask(text) for name, text in texts.items()}


def masked_fields(key: "BillingKey | None") -> dict[str, str]:
    """Return what is known of a billing key and its buyer for people."""
    if key is None:
        return {}
    return {
        name.removesuffix("_masked"): text for name, text in masked_document(key).items() if text
    }
