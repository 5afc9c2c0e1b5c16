"""The gateway's book: billing keys, payments and the rule for a merchant_uid used twice.

Nothing here reads a clock, draws a number or speaks to anybody, so that a simulation can use it
in its own process: every instant is handed in.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import takewhile

from deploy.sandbox.records import (
    BillingKey,
    Channel,
    EndedKey,
    Order,
    Payment,
    Prepared,
    Status,
    Usage,
    Verdict,
)
from deploy.sandbox.refunds import Cancel, CancelOrder, CancelRefusal, Requester, refusal


class DuplicatePolicy(StrEnum):
    """Which earlier records of a merchant_uid refuse another charge; the documents disagree."""

    NEVER_REUSABLE = "never_reusable"
    REFUSED_IF_PAID = "refused_if_paid"
    NONE = "none"


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


@dataclass(slots=True)
class Book:
    """Everything the gateway remembers about one merchant.

    Attributes:
        first_number: Where imp_uids start to count; give every book its own, so that two of them
            never name two payments alike.
        on_key_end: Called with the customer_uid of every billing key that ends, so that the
            buyer's account at Naver can follow.
    """

    first_number: int
    _keys: dict[str, BillingKey] = field(default_factory=dict)
    _payments: dict[str, Payment] = field(default_factory=dict)
    _imp_uids: dict[str, list[str]] = field(default_factory=dict)
    _prepared: dict[str, Prepared] = field(default_factory=dict)
    _ended: dict[str, list[EndedKey]] = field(default_factory=dict)
    # What records said before they were changed, oldest first: lists follow the book by it.
    _replaced: list[Payment] = field(default_factory=list)
    _entered_count: int = 0
    _cancel_count: int = 0
    on_key_end: Callable[[str], object] | None = None

    def register(self, key: BillingKey) -> BillingKey:
        """Store a billing key; under a known customer_uid it replaces the one before."""
        known = self._keys.get(key.customer_uid)
        if known is not None:
            key = replace(key, inserted_at=known.inserted_at)
        self._keys[key.customer_uid] = key
        return key

    def end_key(self, customer_uid: str | None) -> BillingKey | None:
        """Remove a billing key and give it back; None if there was none."""
        key = None if customer_uid is None else self._keys.pop(customer_uid, None)
        if key is not None and self.on_key_end is not None:
            self.on_key_end(key.customer_uid)
        return key

    def delete_key(
        self, customer_uid: str, *, at: float, reason: str | None, requester: Requester
    ) -> BillingKey | None:
        """End a billing key at the merchant's wish and remember why; None if there was none."""
        key = self.end_key(customer_uid)
        if key is not None:
            ended = EndedKey(key, at, reason, requester)
            self._ended.setdefault(customer_uid, []).append(ended)
        return key

    def deletions(self, customer_uid: str) -> tuple[EndedKey, ...]:
        """Every deletion of a customer_uid's keys by the merchant, oldest first."""
        return tuple(self._ended.get(customer_uid, ()))

    def key(self, customer_uid: str | None) -> BillingKey | None:
        """Find a billing key."""
        return None if customer_uid is None else self._keys.get(customer_uid)

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
        key = self.key(order.customer_uid)
        if key is None:
            return Refusal.UNKNOWN_BUYER
        if self.is_used_up(order.merchant_uid, policy):
            return Refusal.DUPLICATE_ORDER
        return self._enter(order, verdict, key, started_at=started_at, at=at, sandbox=sandbox)

    def enter_scheduled(
        self, order: Order, verdict: Verdict, *, at: float, sandbox: bool = False
    ) -> Payment:
        """Book what became of a schedule, also where its billing key is gone."""
        key = self.key(order.customer_uid)
        usage = Usage.SCHEDULED
        return self._enter(order, verdict, key, started_at=at, at=at, usage=usage, sandbox=sandbox)

    def enter_foreign(
        self,
        order: Order,
        verdict: Verdict,
        *,
        usage: Usage | None,
        channel: Channel,
        started_at: float,
        at: float,
        sandbox: bool = False,
    ) -> Payment:
        """Book what somebody else did, whatever stands there under its merchant_uid."""
        return self._enter(
            order,
            verdict,
            self.key(order.customer_uid),
            started_at=started_at,
            at=at,
            usage=usage,
            channel=channel,
            sandbox=sandbox,
        )

    def enter_window(
        self,
        order: Order,
        verdict: Verdict,
        *,
        usage: Usage | None,
        channel: Channel,
        started_at: float,
        at: float,
        policy: DuplicatePolicy,
        key: BillingKey | None = None,
        sandbox: bool = False,
        user_agent: str | None = None,
    ) -> Payment | Refusal:
        """Book what the buyer did in a window, or refuse it as a merchant_uid used twice.

        A registration's billing key is stored by `register`, which the caller does first.
        """
        if self.is_used_up(order.merchant_uid, policy):
            return Refusal.DUPLICATE_ORDER
        return self._enter(
            order,
            verdict,
            key,
            started_at=started_at,
            at=at,
            usage=usage,
            channel=channel,
            sandbox=sandbox,
            user_agent=user_agent,
        )

    def _enter(
        self,
        order: Order,
        verdict: Verdict,
        key: BillingKey | None,
        *,
        started_at: float,
        at: float,
        usage: Usage | None = Usage.PAYMENT,
        channel: Channel = Channel.API,
        sandbox: bool = False,
        user_agent: str | None = None,
    ) -> Payment:
        number = self.first_number + self._entered_count
        # As in captures: payments by the API are told from those by a window in their number.
        prefix = "imps" if channel is Channel.API else "imp"
        payment = Payment(
            imp_uid=f"{prefix}_{number}",
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
            usage=usage,
            channel=channel,
            user_agent=user_agent,
        )
        return self._keep(payment)

    def _keep(self, payment: Payment) -> Payment:
        self._entered_count += 1
        self._payments[payment.imp_uid] = payment
        self._imp_uids.setdefault(payment.order.merchant_uid, []).append(payment.imp_uid)
        return payment

    def is_used_up(self, merchant_uid: str, policy: DuplicatePolicy) -> bool:
        """Say whether earlier records of a merchant_uid refuse another payment with it."""
        if policy is DuplicatePolicy.NONE or merchant_uid not in self._imp_uids:
            return False
        if policy is DuplicatePolicy.NEVER_REUSABLE:
            return True
        return any(
            earlier.status in {Status.PAID, Status.CANCELLED}
            for earlier in self.payments_of(merchant_uid)
        )

    def cancel(self, wanted: CancelOrder, *, at: float) -> Payment | CancelRefusal:
        """Give back a payment or a part of it, or refuse to."""
        payment = self.to_cancel(wanted)
        if payment is None:
            return CancelRefusal.UNKNOWN_PAYMENT
        if payment.status not in {Status.PAID, Status.CANCELLED}:
            return CancelRefusal.NOT_PAID
        if payment.usage is Usage.ISSUE:
            return CancelRefusal.REGISTRATION
        left = payment.order.amount - payment.cancel_amount
        tax_free_left = payment.order.tax_free - payment.cancel_tax_free
        refused = refusal(wanted, left=left, tax_free_left=tax_free_left)
        if refused is not None:
            return refused
        self._cancel_count += 1
        cancel = Cancel(
            number=self.first_number + self._cancel_count,
            amount=wanted.amount or left,
            tax_free=wanted.tax_free,
            cancelled_at=at,
            reason=wanted.reason,
            requester=wanted.requester,
        )
        cancelled = replace(
            payment,
            status=Status.CANCELLED,
            updated_at=at,
            cancels=(*payment.cancels, cancel),
        )
        return self.restate(cancelled)

    def restate(self, payment: Payment) -> Payment:
        """Have a record say something else from now on."""
        self._replaced.append(self._payments[payment.imp_uid])
        self._payments[payment.imp_uid] = payment
        return payment

    def forget(self, imp_uid: str) -> Payment | None:
        """Lose a record, as no gateway should, and give it back; None if there was none."""
        payment = self._payments.pop(imp_uid, None)
        if payment is not None:
            self._replaced.append(payment)
            self._imp_uids[payment.order.merchant_uid].remove(imp_uid)
            if not self._imp_uids[payment.order.merchant_uid]:
                del self._imp_uids[payment.order.merchant_uid]
        return payment

    def to_cancel(self, wanted: CancelOrder) -> Payment | None:
        """Find the payment that a cancel means: by imp_uid where it has one, right or wrong.

        Of several records of a merchant_uid it is the last one that was ever paid, else the last.
        The documents do not say; only one of them can have been paid under the usual policies.
        """
        if wanted.imp_uid is not None:
            return self.payment(wanted.imp_uid)
        if wanted.merchant_uid is None:
            return None
        records = list(self.payments_of(wanted.merchant_uid))
        paid = [record for record in records if record.paid_at]
        return (paid or records)[-1] if records else None

    def prepare(self, prepared: Prepared) -> bool:
        """Bind the window of a merchant_uid to an amount; False if it is bound already."""
        if prepared.merchant_uid in self._prepared:
            return False
        self._prepared[prepared.merchant_uid] = prepared
        return True

    def change_prepared(self, prepared: Prepared) -> bool:
        """Bind it to another amount; False if it was never bound."""
        if prepared.merchant_uid not in self._prepared:
            return False
        self._prepared[prepared.merchant_uid] = prepared
        return True

    def prepared(self, merchant_uid: str) -> Prepared | None:
        """Find what the window of a merchant_uid is bound to."""
        return self._prepared.get(merchant_uid)

    def prepared_amount(self, merchant_uid: str) -> int | None:
        """Give the amount that the window of a merchant_uid is bound to; None if to none."""
        prepared = self._prepared.get(merchant_uid)
        return None if prepared is None else prepared.amount

    def payment(self, imp_uid: str) -> Payment | None:
        """Find one record by the gateway's number."""
        return self._payments.get(imp_uid)

    def payments_of(self, merchant_uid: str) -> Iterator[Payment]:
        """Walk through all records of a merchant_uid, oldest first."""
        return (self._payments[uid] for uid in self._imp_uids.get(merchant_uid, ()))

    def payments(self) -> Iterator[Payment]:
        """Walk through the whole book, oldest first."""
        return iter(self._payments.values())

    def payments_from(self, number: int) -> list[Payment]:
        """Give what was entered from a number on, oldest first; what is older costs nothing."""
        newest_first = reversed(self._payments.values())
        found = list(takewhile(lambda payment: payment.number >= number, newest_first))
        return found[::-1]

    @property
    def replaced(self) -> list[Payment]:
        """What every record that was changed or forgotten said before, oldest change first."""
        return self._replaced

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
