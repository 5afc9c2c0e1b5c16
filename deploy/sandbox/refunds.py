"""Cancellations as values, and the rules that refuse one; nothing here reads a clock."""

from dataclasses import dataclass
from enum import StrEnum


class Requester(StrEnum):
    """Who wants money back or a billing key ended (`extra.requester`)."""

    CUSTOMER = "customer"
    ADMIN = "admin"


class CancelRefusal(StrEnum):
    """Why nothing was cancelled."""

    UNKNOWN_PAYMENT = "refused_unknown_payment"
    NOT_PAID = "refused_not_paid"
    REGISTRATION = "refused_registration"
    ALREADY_CANCELLED = "refused_already_cancelled"
    STALE_CHECKSUM = "refused_stale_checksum"
    ABOVE_REMAINDER = "refused_above_remainder"
    TAX_FREE_ABOVE_AMOUNT = "refused_tax_free_above_amount"
    TAX_FREE_ABOVE_REMAINDER = "refused_tax_free_above_remainder"


@dataclass(frozen=True, slots=True)
class CancelOrder:
    """What a cancel asks for, in whole KRW.

    Attributes:
        amount: How much; 0 is everything that is left.
        tax_free: How much of the amount is tax-free.
        checksum: What the caller believes to be left; None asks for no comparison.
        enable_webhook: Whether the merchant is to be told by webhook.
    """

    imp_uid: str | None = None
    merchant_uid: str | None = None
    amount: int = 0
    tax_free: int = 0
    checksum: int | None = None
    reason: str | None = None
    requester: Requester = Requester.ADMIN
    enable_webhook: bool = False


@dataclass(frozen=True, slots=True)
class Cancel:
    """One cancellation that was done."""

    number: int
    amount: int
    tax_free: int
    cancelled_at: float
    reason: str | None
    requester: Requester

    @property
    def cancellation_id(self) -> str:
        """The gateway's name for it."""
        return f"cancellation_{self.number}"


def refusal(wanted: CancelOrder, *, left: int, tax_free_left: int) -> CancelRefusal | None:
    """Say why a cancel cannot be done to a payment of which so much is left; None if it can.

    What is wholly cancelled is said to be so before its checksum is looked at: the documents do
    not give the order.
    """
    if not left:
        return CancelRefusal.ALREADY_CANCELLED
    if wanted.checksum is not None and wanted.checksum != left:
        return CancelRefusal.STALE_CHECKSUM
    amount = wanted.amount or left
    if amount > left:
        return CancelRefusal.ABOVE_REMAINDER
    if wanted.tax_free > amount:
        return CancelRefusal.TAX_FREE_ABOVE_AMOUNT
    if wanted.tax_free > tax_free_left:
        return CancelRefusal.TAX_FREE_ABOVE_REMAINDER
    return None
