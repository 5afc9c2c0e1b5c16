"""What the gateway's book is made of, as values: billing keys, orders, payments."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from deploy.sandbox.refunds import Cancel, Requester


class Status(StrEnum):
    """What the gateway says about a payment."""

    READY = "ready"
    PAID = "paid"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Usage(StrEnum):
    """What a customer_uid was there for in a payment (customer_uid_usage)."""

    ISSUE = "issue"
    PAYMENT = "payment"
    SCHEDULED = "payment.scheduled"


class Channel(StrEnum):
    """Where a payment was made."""

    API = "api"
    PC = "pc"
    MOBILE = "mobile"


@dataclass(frozen=True, slots=True)
class BillingKey:
    """A stored payment method, known to the merchant by its customer_uid."""

    customer_uid: str
    inserted_at: float
    updated_at: float
    sandbox: bool = False
    card_name: str = "테스트카드"
    card_code: str | None = None
    card_number: str | None = None
    card_type: int | None = None
    customer_id: str | None = None
    customer_name: str | None = None
    customer_tel: str | None = None
    customer_email: str | None = None
    customer_addr: str | None = None
    customer_postcode: str | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """What a charge or a window asks for; `amount` and `tax_free` are whole KRW.

    Only a window that neither registers nor uses a billing key has no customer_uid.
    """

    customer_uid: str | None
    merchant_uid: str
    amount: int
    name: str
    tax_free: int = 0
    currency: str = "KRW"
    card_quota: int = 0
    product_count: int = 1
    naver_use_cfm: str | None = None
    buyer_name: str | None = None
    buyer_email: str | None = None
    buyer_tel: str | None = None
    buyer_addr: str | None = None
    buyer_postcode: str | None = None
    custom_data: str | None = None
    notice_url: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the buyer's bank says to a charge that reaches it."""

    status: Status
    fail_reason: str | None = None


APPROVED: Final = Verdict(Status.PAID)


@dataclass(frozen=True, slots=True)
class Payment:
    """One record of the book; instants are unix seconds, 0 where there is none.

    Attributes:
        key: The method it was made with, as it was then; None where none was known.
        usage: What its customer_uid was there for; None where it has none. A registration
            (`ISSUE`) is booked as paid although no money moves.
        cancels: Every cancellation, oldest first.
    """

    imp_uid: str
    number: int
    order: Order
    key: BillingKey | None
    status: Status
    sandbox: bool
    started_at: float
    updated_at: float
    paid_at: float = 0.0
    failed_at: float = 0.0
    fail_reason: str | None = None
    usage: Usage | None = Usage.PAYMENT
    channel: Channel = Channel.API
    user_agent: str | None = None
    cancels: tuple[Cancel, ...] = ()

    @property
    def cancel_amount(self) -> int:
        """How much of it was given back."""
        return sum(cancel.amount for cancel in self.cancels)

    @property
    def cancel_tax_free(self) -> int:
        """How much of what was given back was tax-free."""
        return sum(cancel.tax_free for cancel in self.cancels)


@dataclass(frozen=True, slots=True)
class Prepared:
    """An amount that the window of a merchant_uid is bound to."""

    merchant_uid: str
    amount: int
    currency: str | None = None


@dataclass(frozen=True, slots=True)
class EndedKey:
    """A billing key that was deleted, and what was said about it."""

    key: BillingKey
    at: float
    reason: str | None
    requester: Requester
