"""Money given back: what may be asked for, and what the gateway's record of it means.

    waiting ──▶ claimed ──▶ done | refused              the gateway spoke
       ▲           │
       │           ├──▶ waiting                         nothing moved: sent again later
       │           └──▶ unknown ──▶ done | refused      the inquiry reads the payment
       └──────────────────┤
                          └──▶ parked                   a person decides; a dead letter says so
    waiting ──▶ void                                    given up before anything was sent

PortOne has no idempotency key for a refund either. Its guard is ``checksum``, the balance that can
still be cancelled before this refund: a repetition under the same checksum is refused once the
first has been done. So the checksum is committed before the first send and kept until it is
certain what became of it. An amount of 0 or none would refund everything (V1 spec,
``payments/cancel``), and no type here can say that.
"""

import enum
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from shared.billing.errors import InvalidRefundError
from shared.billing.inquiry import Conflict, PaymentRecord, StillUnresolved
from shared.billing.money import Price
from shared.billing.outcome import Unknown, Unmoved

# The old English reference of `cancel` names it; the present one names no limit.
REASON_LENGTH_MAX = 256


class Requester(enum.StrEnum):
    """On whose wish money goes back or a key is deleted (guide page, ``extra.requester``)."""

    CUSTOMER = "customer"
    ADMIN = "admin"


class RefundStatus(enum.StrEnum):
    """Where a refund stands, and who moves it on.

    ``waiting``: the refund scan. ``claimed``: the worker that claimed it, or after the lease the
    inquiry. ``unknown``: the inquiry. ``parked``: a person. The others are ends.
    """

    WAITING = "waiting"
    CLAIMED = "claimed"
    UNKNOWN = "unknown"
    PARKED = "parked"
    DONE = "done"
    REFUSED = "refused"
    VOID = "void"


REFUND_UNSETTLED = frozenset(
    {RefundStatus.WAITING, RefundStatus.CLAIMED, RefundStatus.UNKNOWN, RefundStatus.PARKED}
)
REFUND_INQUIRABLE = frozenset({RefundStatus.CLAIMED, RefundStatus.UNKNOWN})


class RefundCause(enum.StrEnum):
    """What asked for a refund."""

    COMMAND = "command"
    CANCELLATION = "cancellation"
    LATE_PAYMENT = "late_payment"


@dataclass(frozen=True, slots=True)
class Balance:
    """A payment and what of it has been given back so far; all in won."""

    paid: Price
    cancelled: Price

    def __post_init__(self) -> None:
        """Refuse a balance that holds more than was paid."""
        require_fits(self.paid, self.cancelled)

    @property
    def left(self) -> Price:
        """What can still be given back."""
        return Price(
            self.paid.amount - self.cancelled.amount, self.paid.tax_free - self.cancelled.tax_free
        )


@dataclass(frozen=True, slots=True)
class RefundOrder:
    """How much goes back, why, and on whose wish.

    Attributes:
        price: At least one won, with the tax-free part of this refund.
        reason: The true reason, as Naver Pay's inspection demands (guide page, 거래 취소 시
            유의사항); told to the gateway as it is.
        requester: Whose wish it is.
    """

    price: Price
    reason: str
    requester: Requester

    def __post_init__(self) -> None:
        """Refuse an amount that the gateway would read as "everything", and an empty reason."""
        if self.price.amount < 1:
            message = "a refund must be of 1 won or more: at PortOne 0 means everything"
            raise InvalidRefundError(message)
        require_reason(self.reason)


def require_reason(reason: str) -> str:
    """Return a reason that PortOne would take, or refuse it in words."""
    if not reason.strip():
        message = "a reason must be given, and it must be the true one"
        raise InvalidRefundError(message)
    if len(reason) > REASON_LENGTH_MAX:
        message = f"a reason must have {REASON_LENGTH_MAX} characters at most, not {len(reason)}"
        raise InvalidRefundError(message)
    if not reason.isprintable():
        message = "a reason must not contain control characters"
        raise InvalidRefundError(message)
    return reason


def require_fits(left: Price, part: Price) -> None:
    """Refuse a part that exceeds what is left, or leaves more tax-free than there is in all.

    Raises:
        InvalidRefundError: Saying how much would fit.
    """
    if part.amount > left.amount:
        message = f"{part.amount} won are more than the {left.amount} won that are left"
        raise InvalidRefundError(message)
    least = max(0, left.tax_free - (left.amount - part.amount))
    most = min(part.amount, left.tax_free)
    if not least <= part.tax_free <= most:
        message = (
            f"of {part.amount} won out of {left.amount}, {least} to {most} won may be tax-free,"
            f" not {part.tax_free}"
        )
        raise InvalidRefundError(message)


def part_of(left: Price, amount: int) -> Price:
    """Return ``amount`` out of what is left with its share of the tax-free part, rounded down.

    Over any sequence of parts both sums are kept: whoever takes all that is left takes every
    tax-free won with it.

    Raises:
        InvalidRefundError: It is more than is left.
    """
    tax_free = left.tax_free * amount // left.amount if left.amount else 0
    part = Price(amount, tax_free)
    require_fits(left, part)
    return part


@dataclass(frozen=True, slots=True)
class RefundClaim:
    """A refund that this process alone may send, until its lease is over.

    Attributes:
        checksum: What could still be cancelled before this refund, in won.
        refusal: What the gateway answered to an earlier send when it refused it, byte for byte.
        unknown_since: Since when nobody has known whether money moved, or None.
    """

    refund_id: int
    payment_id: int
    subscription_id: UUID | None
    imp_uid: str
    merchant_uid: str
    paid_amount: int
    order: RefundOrder
    checksum: int
    send_number: int
    claimed_at: datetime
    refusal: str | None = None
    unknown_since: datetime | None = None

    @property
    def cancelled_before(self) -> int:
        """What had been given back before this refund, in won."""
        return self.paid_amount - self.checksum

    @property
    def cancelled_after(self) -> int:
        """What will have been given back after it, in won."""
        return self.cancelled_before + self.order.price.amount

    @property
    def in_doubt_since(self) -> datetime:
        """Since when nobody has known, over every send since then."""
        return self.unknown_since or self.claimed_at


@dataclass(frozen=True, slots=True)
class RefundQuestion:
    """A refund about which only the gateway's record of the payment can tell.

    Attributes:
        claim: The refund and its last send.
        inquiries: How often the gateway was asked about this send.
        not_done: How many of these, one after the other, showed the payment as before.
    """

    claim: RefundClaim
    inquiries: int
    not_done: int


@dataclass(frozen=True, slots=True)
class Refunded:
    """The gateway's record shows exactly this refund."""

    cancellation_id: str | None
    cancelled_at: datetime | None


@dataclass(frozen=True, slots=True)
class Refused:
    """The gateway says that it did not give the money back; ``message`` is byte for byte.

    It is believed only after reading the payment: "already cancelled" is such an answer too.
    """

    message: str


@dataclass(frozen=True, slots=True)
class NotDone:
    """The gateway shows the payment as it was before the refund."""


RefundOutcome: TypeAlias = Refunded | Refused | Unmoved | Unknown
RefundFinding: TypeAlias = Refunded | NotDone | StillUnresolved | Conflict


def judge_refund(  # noqa: PLR0911 - a decision table, one row a return
    claim: RefundClaim, record: PaymentRecord | None
) -> RefundFinding:
    """Return what the gateway's record of a payment means for a refund of it.

    The status tells nothing: it is ``cancelled`` after a part as after the whole (V1 spec,
    ``cancel_amount``). So the sums decide, and the newest entry of the history must be ours.
    """
    if record is None:
        return StillUnresolved("the gateway does not show the payment")
    if record.imp_uid != claim.imp_uid or record.merchant_uid != claim.merchant_uid:
        return Conflict("the gateway shows another payment")
    if record.is_registration:
        return Conflict("the record is a registration, which moved no money")
    if record.amount != claim.paid_amount:
        return Conflict(f"the payment is of {record.amount} won, {claim.paid_amount} were paid")
    if record.cancel_amount == claim.cancelled_before:
        return NotDone()
    if record.cancel_amount != claim.cancelled_after:
        return Conflict(
            f"{record.cancel_amount} won are cancelled at the gateway, {claim.cancelled_before} or"
            f" {claim.cancelled_after} were expected"
        )
    newest = record.cancels[-1] if record.cancels else None
    if newest is None:
        return Refunded(None, None)
    if newest.amount != claim.order.price.amount or newest.reason != claim.order.reason:
        return Conflict("the newest cancellation at the gateway is not this refund")
    return Refunded(newest.cancellation_id, newest.cancelled_at)
