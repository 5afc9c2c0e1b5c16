"""The gateway's book: billing keys, payments and the rule for a merchant_uid used twice.

Nothing here reads a clock, draws a number or speaks to anybody, so that a simulation can use it
in its own process: every instant is handed in.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final


class DuplicatePolicy(StrEnum):
    """Which earlier records of a merchant_uid refuse another charge; the documents disagree."""

    NEVER_REUSABLE = "never_reusable"
    REFUSED_IF_PAID = "refused_if_paid"
    NONE = "none"


class Status(StrEnum):
    """What the gateway says about a payment."""

    READY = "ready"
    PAID = "paid"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Refusal(StrEnum):
    """Why a charge was not booked."""

    UNKNOWN_BUYER = "refused_unknown_buyer"
    DUPLICATE_ORDER = "refused_duplicate_order"


class Sorting(StrEnum):
    """The orders in which lookups list payments; a minus means latest first."""

    STARTED = "started"
    STARTED_DESC = "-started"
    PAID = "paid"
    PAID_DESC = "-paid"
    UPDATED = "updated"
    UPDATED_DESC = "-updated"


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
    """What a charge request asks for; `amount` and `tax_free` are whole KRW."""

    customer_uid: str
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
    """One record of the book; instants are unix seconds, 0 where there is none."""

    imp_uid: str
    number: int
    order: Order
    key: BillingKey
    status: Status
    sandbox: bool
    started_at: float
    updated_at: float
    paid_at: float = 0.0
    failed_at: float = 0.0
    fail_reason: str | None = None


@dataclass(slots=True)
class Book:
    """Everything the gateway remembers about one merchant.

    Attributes:
        first_number: Where imp_uids start to count; give every book its own, so that two of them
            never name two payments alike.
    """

    first_number: int
    _keys: dict[str, BillingKey] = field(default_factory=dict)
    _payments: dict[str, Payment] = field(default_factory=dict)
    _imp_uids: dict[str, list[str]] = field(default_factory=dict)

    def register(self, key: BillingKey) -> BillingKey:
        """Store a billing key; under a known customer_uid it replaces the one before."""
        known = self._keys.get(key.customer_uid)
        if known is not None:
            key = replace(key, inserted_at=known.inserted_at)
        self._keys[key.customer_uid] = key
        return key

    def end_key(self, customer_uid: str) -> BillingKey | None:
        """Remove a billing key and give it back; None if there was none."""
        return self._keys.pop(customer_uid, None)

    def key(self, customer_uid: str) -> BillingKey | None:
        """Find a billing key."""
        return self._keys.get(customer_uid)

    @property
    def key_count(self) -> int:
        """How many billing keys are registered."""
        return len(self._keys)

    def charge(
        self,
        order: Order,
        verdict: Verdict,
        *,
        started_at: float,
        at: float,
        policy: DuplicatePolicy,
        sandbox: bool = False,
    ) -> Payment | Refusal:
        """Book a charge as its own record, also one the bank declined, or refuse it.

        Which of the two refusals comes first when both apply is not published; a client must not
        rely on it.
        """
        key = self._keys.get(order.customer_uid)
        if key is None:
            return Refusal.UNKNOWN_BUYER
        if self._is_used_up(order.merchant_uid, policy):
            return Refusal.DUPLICATE_ORDER
        number = self.first_number + len(self._payments)
        payment = Payment(
            imp_uid=f"imps_{number}",
            number=number,
            order=order,
            key=key,
            status=verdict.status,
            sandbox=sandbox,
            started_at=started_at,
            updated_at=at,
            paid_at=at if verdict.status is Status.PAID else 0.0,
            failed_at=at if verdict.status is Status.FAILED else 0.0,
            fail_reason=verdict.fail_reason,
        )
        self._payments[payment.imp_uid] = payment
        self._imp_uids.setdefault(order.merchant_uid, []).append(payment.imp_uid)
        return payment

    def _is_used_up(self, merchant_uid: str, policy: DuplicatePolicy) -> bool:
        if policy is DuplicatePolicy.NONE or merchant_uid not in self._imp_uids:
            return False
        if policy is DuplicatePolicy.NEVER_REUSABLE:
            return True
        return any(
            earlier.status in {Status.PAID, Status.CANCELLED}
            for earlier in self.payments_of(merchant_uid)
        )

    def payment(self, imp_uid: str) -> Payment | None:
        """Find one record by the gateway's number."""
        return self._payments.get(imp_uid)

    def payments_of(self, merchant_uid: str) -> Iterator[Payment]:
        """Walk through all records of a merchant_uid, oldest first."""
        return (self._payments[uid] for uid in self._imp_uids.get(merchant_uid, ()))

    def payments(self) -> Iterator[Payment]:
        """Walk through the whole book, oldest first."""
        return iter(self._payments.values())

    @property
    def payment_count(self) -> int:
        """How many records the book holds."""
        return len(self._payments)


def in_order(payments: Iterable[Payment], sorting: Sorting) -> list[Payment]:
    """Sort payments; those of the same instant keep the order they were booked in."""
    field_name = sorting.removeprefix("-")

    def instant(payment: Payment) -> tuple[float, int]:
        return float(getattr(payment, f"{field_name}_at")), payment.number

    return sorted(payments, key=instant, reverse=sorting.startswith("-"))
