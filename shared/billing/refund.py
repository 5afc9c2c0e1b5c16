"""Money given back: what may be asked for, and what the gateway's record of it means.

    waiting ──▶ claimed ──▶ done                        the gateway's reply shows the refund
       ▲           │
       │           ├──▶ waiting                         nothing moved: sent again later
       │           └──▶ unknown ──▶ done | refused      the inquiry reads the payment
       └──────────────────┤
                          └──▶ parked                   a person decides; a dead letter says so
    waiting ──▶ refused                                 never sent: it does not fit any more
    parked ──▶ unknown | void                           a person has it read again, or gives it up

PortOne has no idempotency key for a refund either. Its guard is ``checksum``, the balance that can
still be cancelled before this refund. A balance only ever falls, so under one checksum one
cancellation at most is done, however often it is sent and however late a request arrives. The
checksum is committed before the first send and kept until it is certain what became of it: while
that is in doubt, no refund of the payment goes out under another one. An amount of 0 or none would
refund everything (V1 spec, ``payments/cancel``), and no type here can say that.
"""

import enum
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final, TypeAlias
from uuid import UUID

from shared.billing.errors import InvalidRefundError
from shared.billing.inquiry import CancelRecord, Conflict, PaymentRecord, StillUnresolved
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

# What is not named here is an end, or cannot follow.
REFUND_BEGINNINGS: Final = frozenset({RefundStatus.WAITING})
REFUND_TRANSITIONS: Final[Mapping[RefundStatus, frozenset[RefundStatus]]] = MappingProxyType(
    {
        RefundStatus.WAITING: frozenset(
            {RefundStatus.CLAIMED, RefundStatus.REFUSED, RefundStatus.DONE}
        ),
        RefundStatus.CLAIMED: frozenset(
            {
                RefundStatus.DONE,
                RefundStatus.WAITING,
                RefundStatus.UNKNOWN,
                RefundStatus.PARKED,
            }
        ),
        RefundStatus.UNKNOWN: frozenset(
            {
                RefundStatus.DONE,
                RefundStatus.REFUSED,
                RefundStatus.WAITING,
                RefundStatus.PARKED,
            }
        ),
        RefundStatus.PARKED: frozenset(
            {RefundStatus.UNKNOWN, RefundStatus.VOID, RefundStatus.DONE}
        ),
    }
)


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
    # Not `isprintable`: it also refuses the wide space of Korean texts and the joiner in emoji.
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in reason):
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
        refusal: What the gateway answered to this send when it refused it, byte for byte.
        unknown_since: Since when it has not been known of an earlier send whether it moved money,
            or None if every earlier one is known to have moved none.
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

    @property
    def doubted_since(self) -> datetime | None:
        """Since when a send that the gateway did not answer may have moved money, or None."""
        return self.unknown_since if self.refusal is not None else self.in_doubt_since

    def __repr__(self) -> str:
        """Name the refund by its ids only: a reason may speak of a person."""
        return f"RefundClaim(refund_id={self.refund_id}, send_number={self.send_number})"


@dataclass(frozen=True, slots=True)
class RefundQuestion:
    """A refund about which only the gateway's record of the payment can tell.

    Attributes:
        claim: The refund and its last send.
        inquiries: How often the gateway was asked about this send.
    """

    claim: RefundClaim
    inquiries: int


@dataclass(frozen=True, slots=True)
class Refunded:
    """The gateway's record shows exactly this refund.

    Attributes:
        cancelled_amount: What the gateway shows as given back in all, if it was read; more than
            this refund explains where somebody cancelled by another way afterwards.
    """

    cancellation_id: str | None
    cancelled_at: datetime | None
    cancelled_amount: int | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """The gateway says that it did not give the money back; ``message`` is byte for byte.

    It is believed only after reading the payment: "already cancelled" is such an answer too.
    """

    message: str


@dataclass(frozen=True, slots=True)
class NotDone:
    """The gateway shows the payment as it was before the refund."""


@dataclass(frozen=True, slots=True)
class CancelledElsewhere:
    """Somebody else's cancellation used the checksum up: this refund is not done under it.

    The balance has fallen below the checksum for good, so no send under it, however late, can be
    done any more. ``cancelled_amount`` is what the gateway shows as given back in all.
    """

    cancelled_amount: int


RefundOutcome: TypeAlias = Refunded | Refused | Unmoved | Unknown
RefundFinding: TypeAlias = Refunded | NotDone | CancelledElsewhere | StillUnresolved | Conflict


def judge_refund(  # noqa: PLR0911 - a decision table, one row a return
    claim: RefundClaim, record: PaymentRecord | None
) -> RefundFinding:
    """Return what the gateway's record of a payment means for a refund of it.

    The status tells nothing: it is ``cancelled`` after a part as after the whole (V1 spec,
    ``cancel_amount``). So the sums decide, and the history says whose they are.
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
    if record.cancel_amount < claim.cancelled_before:
        # Nothing that was given back comes again: the record is older than what we know.
        return StillUnresolved(
            f"the gateway shows {record.cancel_amount} won as cancelled, not yet the"
            f" {claim.cancelled_before} that were before this refund"
        )
    return _judge_history(claim, record)


def _judge_history(
    claim: RefundClaim, record: PaymentRecord
) -> Refunded | CancelledElsewhere | Conflict:
    """Return whose cancellations came after those that were known before the refund.

    Under its checksum a refund can only have been done as the first of them. That somebody else
    was first leads to a new send, so it is believed only where nothing could be ours.
    """
    known = _position_after(claim.cancelled_before, record)
    if known is None:
        if record.cancels or record.cancel_amount != claim.cancelled_after:
            return Conflict(
                f"{record.cancel_amount} won are cancelled at the gateway,"
                f" {claim.cancelled_before} or {claim.cancelled_after} were expected"
            )
        return Refunded(None, None, record.cancel_amount)
    before, since = record.cancels[:known], record.cancels[known:]
    first, amount = since[0], claim.order.price.amount
    if first.amount == amount and _same_text(first.reason, claim.order.reason):
        return Refunded(first.cancellation_id, first.cancelled_at, record.cancel_amount)
    if any(cancel.amount == amount for cancel in since) or not _all_earlier(before, since):
        return Conflict("a cancellation at the gateway may be this refund and may be another")
    return CancelledElsewhere(record.cancel_amount)


def _position_after(amount: int, record: PaymentRecord) -> int | None:
    """Return where in the history the first ``amount`` won end, or None if it does not say so."""
    if sum(cancel.amount for cancel in record.cancels) != record.cancel_amount:
        return None
    passed = 0
    for position, cancel in enumerate(record.cancels):
        if passed == amount:
            return position
        passed += cancel.amount
    return None


def _all_earlier(before: Sequence[CancelRecord], since: Sequence[CancelRecord]) -> bool:
    """Say whether the instants prove that all of ``before`` came before any of ``since``."""
    if not before:
        return True
    instants = [cancel.cancelled_at for cancel in (*before, *since)]
    known = [instant for instant in instants if instant is not None]
    if len(known) < len(instants):
        return False
    return max(known[: len(before)]) < min(known[len(before) :])


def _same_text(told: str | None, sent: str) -> bool:
    """Say whether two texts are the same but for white space, which a form may lose."""
    return told is not None and told.split() == sent.split()
