"""What the gateway's book says to a database that was set back: what was lost, and what it means.

The rules are those of every day (``inquiry``, ``refund``) but for one: here the gateway is believed
as to how a charge went *and* what became of the money since, because our rows once knew both.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from shared.billing.attempt import AttemptStatus
from shared.billing.dunning import DunningPolicy
from shared.billing.inquiry import (
    SCHEDULED_CHARGE,
    CancelRecord,
    Conflict,
    Expectation,
    Finding,
    PaymentRecord,
    RecordStatus,
    judge,
)
from shared.billing.merchant_uid import ATTEMPT_NUMBER_MAX
from shared.billing.money import Price

# Clocks of machines agree to within this (docs/architecture.md, "What is assumed").
CLOCKS_AGREE: Final = timedelta(minutes=1)
_DAY: Final = timedelta(days=1)


def is_lost(
    record: PaymentRecord, known: AttemptStatus | None, *, is_requested: bool = False
) -> bool:
    """Say whether the gateway's record shows that our rows were set back.

    It does if they do not know its attempt, or know it as one that waits: nothing was sent then. Of
    whatever else they know the gateway is asked anyway, or was. Two things are of every day: a
    failed record beside an attempt that waits, which the gateway's own trouble leaves there; and
    what PortOne has executed of a reservation whose period nobody has renewed yet.

    Args:
        record: Of a charge, under a ``merchant_uid`` of our shape.
        known: How the attempt of that name stands in our rows, if there is one.
        is_requested: Whether our rows show a reservation of that name that was requested and may
            be executed.
    """
    if record.is_registration:
        return False
    if known is AttemptStatus.WAITING:
        return record.status is not RecordStatus.FAILED
    return known is None and not (is_requested and record.usage == SCHEDULED_CHARGE)


def judge_lost(expected: Expectation, records: Sequence[PaymentRecord]) -> Finding:
    """Return what the gateway's records of a lost attempt mean.

    Of money that was given back since, everyday inquiry calls a person: it cannot know why. Here it
    was our own refund, or somebody else's of which our rows had been told, so the charge was paid
    all the same; what went back is taken over with the payment.
    """
    finding = judge(expected, records)
    if not isinstance(finding, Conflict):
        return finding
    as_paid = judge(expected, [_before_any_refund(record) for record in records])
    return finding if isinstance(as_paid, Conflict) else as_paid


def _before_any_refund(record: PaymentRecord) -> PaymentRecord:
    if record.status is RecordStatus.CANCELLED and record.cancel_amount:
        return replace(record, status=RecordStatus.PAID, cancel_amount=0)
    return replace(record, cancel_amount=0)


def followed(policy: DunningPolicy) -> DunningPolicy:
    """Return the dunning of an attempt that another one followed: it was not the last.

    Which of the lost attempts a buyer asked for is not known, and those use up none of our steps;
    so no decline that is known to have been followed may end an invoice.
    """
    return replace(
        policy,
        delays=(_DAY,) * ATTEMPT_NUMBER_MAX,
        class_delays={},
        attempts_max=ATTEMPT_NUMBER_MAX + 1,
        grace=None,
        pay_day_within=0,
    )


@dataclass(frozen=True, slots=True)
class OpenRefund:
    """A refund that our rows show as not ended.

    Attributes:
        is_sent: Whether it may have been sent by what they show.
    """

    id: int
    price: Price
    reason: str
    is_sent: bool = False


@dataclass(frozen=True, slots=True)
class FoundRefund:
    """A cancellation in the gateway's history.

    Attributes:
        cancel: As the gateway holds it.
        before: What had been given back before it, in won.
        refund_id: The refund of ours that it is, or None where our rows have lost it.
    """

    cancel: CancelRecord
    before: int
    refund_id: int | None


@dataclass(frozen=True, slots=True)
class FoundRefunds:
    """What the gateway shows of the refunds of a payment, beyond what our rows know.

    Attributes:
        found: The cancellations in order; empty where the history does not tell them apart.
        doubtful: A refund that may be among them and may be not, or None.
        counted: Cancellations that our rows know already, though not as the refund of ours that
            each may be: they were taken over before it was seen that the rows had been set back.
    """

    found: tuple[FoundRefund, ...] = ()
    doubtful: int | None = None
    counted: tuple[FoundRefund, ...] = ()

    @property
    def in_doubt(self) -> int | None:
        """The refund about which a person must decide first, or None."""
        return self.counted[0].refund_id if self.counted else self.doubtful

    @property
    def is_more(self) -> bool:
        """Whether other refunds are among them, of which nothing can be written before that."""
        others = {each.refund_id for each in (*self.found, *self.counted)}
        return bool(others - {None, self.in_doubt})


def match_refunds(
    record: PaymentRecord,
    known: int,
    open_refunds: Sequence[OpenRefund],
    done: Sequence[OpenRefund] = (),
) -> FoundRefunds:
    """Find the refunds that our rows show as not ended among what the gateway has given back.

    Only one of the same amount and the same reason is believed to be ours. One of the same amount
    and another reason may be ours: a person must say so, for sent again it would be given back
    twice.

    Args:
        record: The payment as the gateway holds it.
        known: What our rows know as given back, in won.
        open_refunds: Of this payment, oldest first.
        done: Those of this payment that our rows show as done.
    """
    counted = _counted(record, known, open_refunds, done)
    if record.cancel_amount <= known:
        return FoundRefunds(counted=counted)
    cancels = _beyond(record, known)
    if cancels is None:
        return FoundRefunds(doubtful=open_refunds[0].id if open_refunds else None)
    taken = {each.refund_id for each in counted}
    left = [one for one in open_refunds if one.id not in taken]
    found: list[FoundRefund] = []
    before = known
    for cancel in cancels:
        ours = _like(cancel, left)
        if ours is not None:
            left.remove(ours)
        found.append(FoundRefund(cancel, before, None if ours is None else ours.id))
        before += cancel.amount
    strange = {each.cancel.amount for each in found if each.refund_id is None}
    doubtful = next((one.id for one in left if one.price.amount in strange), None)
    return FoundRefunds(tuple(found), doubtful, counted)


def _counted(
    record: PaymentRecord,
    known: int,
    open_refunds: Sequence[OpenRefund],
    done: Sequence[OpenRefund],
) -> tuple[FoundRefund, ...]:
    """Return which of the cancellations known in sum may be refunds that were never sent.

    What our rows show as done is one of them each.
    """
    ended = list(done)
    unsent = [one for one in open_refunds if not one.is_sent]
    counted: list[FoundRefund] = []
    before = 0
    for cancel in record.cancels:
        if before >= known:
            break
        if (ours := _like(cancel, ended)) is not None:
            ended.remove(ours)
        elif (ours := _like(cancel, unsent)) is not None:
            unsent.remove(ours)
            counted.append(FoundRefund(cancel, before, ours.id))
        before += cancel.amount
    return tuple(counted)


def _like(cancel: CancelRecord, refunds: Sequence[OpenRefund]) -> OpenRefund | None:
    """Return the first of some refunds that a cancellation may be by amount and reason."""
    for one in refunds:
        if one.price.amount == cancel.amount and same_text(cancel.reason, one.reason):
            return one
    return None


def _beyond(record: PaymentRecord, known: int) -> Sequence[CancelRecord] | None:
    """Return the cancellations after the first ``known`` won; None if the history is not whole."""
    if sum(cancel.amount for cancel in record.cancels) != record.cancel_amount:
        return None
    passed = 0
    for position, cancel in enumerate(record.cancels):
        if passed == known:
            return record.cancels[position:]
        passed += cancel.amount
    return None


def same_text(told: str | None, known: str) -> bool:
    """Say whether two texts are the same but for white space, which a form may lose."""
    return (told or "").split() == known.split()
