"""Whether the gateway's book and our rows say the same of a payment, and what is done if not.

    theirs ──┐
             ├─▶ compare ─▶ agreed | excluded | under way | a difference
    ours ────┘

Every difference is of one kind, has one repair that is proposed and one who looks at it. None is
repaired by itself: a person confirms it, and what is done then are the ordinary ways (a hint that
has the payment read again, a refund with its checksum, a line in the audit log).
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final

from shared.billing.attempt import UNSETTLED, AttemptStatus
from shared.billing.inquiry import REGISTRATION, RecordStatus
from shared.billing.window import WINDOW_OPEN, WindowKind, WindowStatus


class Difference(enum.StrEnum):
    """How the two books differ about one payment; the first that holds is its kind.

    ``ours_only``: we hold a payment that the gateway does not show, even when asked for it singly.
    ``theirs_only``: the gateway holds a payment that names a charge or a billing key of ours, and
    no row of ours knows of it. ``amount_differs``: it is of another amount. ``status_differs``: one
    side says paid and the other does not. ``refund_differs``: not the same was given back.
    ``two_paid``: it is held beside another payment for the same period. ``foreign``: the gateway
    holds a payment that has nothing to do with us.
    """

    OURS_ONLY = "ours_only"
    THEIRS_ONLY = "theirs_only"
    AMOUNT_DIFFERS = "amount_differs"
    STATUS_DIFFERS = "status_differs"
    REFUND_DIFFERS = "refund_differs"
    TWO_PAID = "two_paid_for_one_period"
    FOREIGN = "foreign"


class Agreement(enum.StrEnum):
    """How two books agree about one payment.

    ``matched``: both hold it, the same in every respect. ``unpaid``: the gateway's record moved no
    money, and ours says nothing else. ``registration``: the record of a billing key, not of money.
    """

    MATCHED = "matched"
    UNPAID = "unpaid"
    REGISTRATION = "registration"


class Repair(enum.StrEnum):
    """What a person may have done about a difference.

    ``adopt``: the payment is read again at the gateway, and what it shows is taken over.
    ``refund``: all that is left of it goes back to the buyer. ``mark``: nothing is done here; it
    was dealt with elsewhere, or is right as it is.
    """

    ADOPT = "adopt"
    REFUND = "refund"
    MARK = "mark"


class Owner(enum.StrEnum):
    """Who looks at a difference.

    ``operator``: whoever runs this installation, for the repair is a command here. ``finance``: who
    answers for the books, for the two sides contradict each other. ``merchant``: who else uses the
    account at PortOne.
    """

    OPERATOR = "operator"
    FINANCE = "finance"
    MERCHANT = "merchant"


class DifferenceStatus(enum.StrEnum):
    """Where a difference stands, and who moves it on.

    ``watched``: something of it is under way; the next run looks again. ``open``: a person.
    ``repaired``: the next run looks whether it helped. ``dismissed``: a person has marked it; it
    stays so until either side changes. ``vanished``: a run found the books to agree.
    """

    WATCHED = "watched"
    OPEN = "open"
    REPAIRED = "repaired"
    DISMISSED = "dismissed"
    VANISHED = "vanished"


# Those that the next run looks at again, whatever its window.
LOOKED_AT_AGAIN: Final = frozenset(
    {DifferenceStatus.WATCHED, DifferenceStatus.OPEN, DifferenceStatus.REPAIRED}
)
DIFFERENCE_BEGINNINGS: Final = frozenset({DifferenceStatus.WATCHED, DifferenceStatus.OPEN})
DIFFERENCE_TRANSITIONS: Final[Mapping[DifferenceStatus, frozenset[DifferenceStatus]]] = (
    MappingProxyType(
        {
            DifferenceStatus.WATCHED: frozenset({DifferenceStatus.OPEN, DifferenceStatus.VANISHED}),
            DifferenceStatus.OPEN: frozenset(
                {
                    DifferenceStatus.WATCHED,
                    DifferenceStatus.REPAIRED,
                    DifferenceStatus.DISMISSED,
                    DifferenceStatus.VANISHED,
                }
            ),
            DifferenceStatus.REPAIRED: frozenset(
                {DifferenceStatus.WATCHED, DifferenceStatus.OPEN, DifferenceStatus.VANISHED}
            ),
            DifferenceStatus.DISMISSED: frozenset(
                {DifferenceStatus.WATCHED, DifferenceStatus.OPEN}
            ),
            DifferenceStatus.VANISHED: frozenset({DifferenceStatus.WATCHED, DifferenceStatus.OPEN}),
        }
    )
)


class RunCause(enum.StrEnum):
    """What asked for a comparison."""

    DAILY = "daily"
    COMMAND = "command"


class RunStatus(enum.StrEnum):
    """Where a comparison stands: at work or dead in the middle, done, or failed."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Theirs:
    """A payment as the gateway's book shows it; amounts are won.

    Attributes:
        of_our_shape: Whether its ``merchant_uid`` is written as only ours are.
        on_our_key: Whether it was made with a billing key of ours.
        changed_at: The newest instant that the record names.
    """

    merchant_uid: str
    status: RecordStatus
    usage: str | None
    amount: int
    cancelled: int
    of_our_shape: bool
    on_our_key: bool
    changed_at: datetime | None

    @property
    def is_registration(self) -> bool:
        """Whether it is the registration of a billing key, which moved no money."""
        return self.usage == REGISTRATION

    @property
    def was_paid(self) -> bool:
        """Whether money came, whatever of it went back."""
        return self.status in {RecordStatus.PAID, RecordStatus.CANCELLED}

    @property
    def held(self) -> int:
        """What of it the gateway still holds."""
        return self.amount - self.cancelled if self.was_paid and not self.is_registration else 0


@dataclass(frozen=True, slots=True)
class KeptPayment:
    """The payment that our rows hold under the gateway's id; amounts are won."""

    id: int
    merchant_uid: str
    amount: int
    cancelled: int
    is_refund_under_way: bool


@dataclass(frozen=True, slots=True)
class KnownAttempt:
    """The attempt of ours that has the ``merchant_uid`` of the payment."""

    id: int
    status: AttemptStatus
    amount: int
    is_of_this_payment: bool


@dataclass(frozen=True, slots=True)
class KnownWindow:
    """The window of ours that has the ``merchant_uid`` of the payment."""

    kind: WindowKind
    status: WindowStatus


@dataclass(frozen=True, slots=True)
class Ours:
    """All that our rows know of a payment of the gateway's.

    Attributes:
        is_one_too_many: Whether another payment for the same period is held that came first.
        is_first_given_back: Whether all of those that came first are about to be given back.
        is_read_again: Whether somebody has had the payment read again, and nobody has yet.
        changed_at: When our rows last learnt something of it.
    """

    payment: KeptPayment | None = None
    attempt: KnownAttempt | None = None
    window: KnownWindow | None = None
    is_one_too_many: bool = False
    is_first_given_back: bool = False
    is_read_again: bool = False
    changed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A difference, as one comparison found it.

    Attributes:
        amount: How much money it is about, in won.
        is_under_way: Whether something that goes on by itself may explain it.
    """

    difference: Difference
    repair: Repair
    owner: Owner
    amount: int
    is_under_way: bool = False


def compare(theirs: Theirs | None, ours: Ours, quiet_before: datetime) -> Agreement | Found:
    """Return how the two books stand about one payment.

    What either side has changed after ``quiet_before`` is still on its way to the other.
    """
    if theirs is None:
        found = _of_ours_only(ours)
    elif ours.payment is not None:
        found = _of_both(theirs, ours.payment, ours)
    else:
        found = _of_theirs_only(theirs, ours)
    if isinstance(found, Agreement) or not _is_under_way(found, theirs, ours, quiet_before):
        return found
    return Found(found.difference, found.repair, found.owner, found.amount, is_under_way=True)


def status_of(found: Found) -> DifferenceStatus:
    """Return where a difference begins."""
    return DifferenceStatus.WATCHED if found.is_under_way else DifferenceStatus.OPEN


def _of_ours_only(ours: Ours) -> Agreement | Found:
    payment = ours.payment
    if payment is None:
        return Agreement.UNPAID
    left = payment.amount - payment.cancelled
    return Found(Difference.OURS_ONLY, Repair.MARK, Owner.FINANCE, left)


def _of_both(theirs: Theirs, payment: KeptPayment, ours: Ours) -> Agreement | Found:
    """Compare a payment that both sides hold."""
    if not theirs.was_paid or theirs.is_registration or theirs.merchant_uid != payment.merchant_uid:
        left = payment.amount - payment.cancelled
        return Found(Difference.STATUS_DIFFERS, Repair.MARK, Owner.FINANCE, left)
    if theirs.amount != payment.amount:
        off = abs(theirs.amount - payment.amount)
        return Found(Difference.AMOUNT_DIFFERS, Repair.MARK, Owner.FINANCE, off)
    if theirs.cancelled > payment.cancelled:
        more = theirs.cancelled - payment.cancelled
        return Found(Difference.REFUND_DIFFERS, Repair.ADOPT, Owner.OPERATOR, more)
    if theirs.cancelled < payment.cancelled:
        # We have told the buyer of a refund that the gateway does not show.
        less = payment.cancelled - theirs.cancelled
        return Found(Difference.REFUND_DIFFERS, Repair.MARK, Owner.FINANCE, less)
    if ours.is_one_too_many and theirs.held:
        return Found(Difference.TWO_PAID, Repair.REFUND, Owner.OPERATOR, theirs.held)
    return Agreement.MATCHED


def _of_theirs_only(  # noqa: PLR0911 - a decision table, one row a return
    theirs: Theirs, ours: Ours
) -> Agreement | Found:
    """Compare a record that no payment of ours is kept of."""
    if theirs.is_registration:
        return Agreement.REGISTRATION
    attempt, window = ours.attempt, ours.window
    if not theirs.was_paid:
        if attempt is not None and attempt.is_of_this_payment and _is_paid(attempt):
            return Found(Difference.STATUS_DIFFERS, Repair.MARK, Owner.FINANCE, attempt.amount)
        return Agreement.UNPAID
    if ours.is_one_too_many and theirs.held:
        repair = Repair.ADOPT if attempt is not None else Repair.MARK
        return Found(Difference.TWO_PAID, repair, Owner.OPERATOR, theirs.held)
    if attempt is not None:
        if attempt.amount != theirs.amount:
            off = abs(theirs.amount - attempt.amount)
            return Found(Difference.AMOUNT_DIFFERS, Repair.MARK, Owner.FINANCE, off)
        return _status_differs(theirs)
    if window is not None and window.kind is WindowKind.PAYMENT:
        return _status_differs(theirs)
    if window is not None or theirs.of_our_shape or theirs.on_our_key:
        return Found(Difference.THEIRS_ONLY, Repair.MARK, Owner.OPERATOR, theirs.held)
    if not theirs.held:
        return Agreement.UNPAID
    return Found(Difference.FOREIGN, Repair.MARK, Owner.MERCHANT, theirs.held)


def _status_differs(theirs: Theirs) -> Found:
    """Return the difference of a payment of which we have concluded that it was not made."""
    # Where nothing is held any more, nothing can be taken over.
    repair = Repair.ADOPT if theirs.held else Repair.MARK
    return Found(Difference.STATUS_DIFFERS, repair, Owner.OPERATOR, theirs.held)


def _is_paid(attempt: KnownAttempt) -> bool:
    return attempt.status is AttemptStatus.PAID


def _is_under_way(found: Found, theirs: Theirs | None, ours: Ours, quiet_before: datetime) -> bool:
    """Say whether something that goes on by itself may still bring the books together."""
    changes = ours.changed_at, None if theirs is None else theirs.changed_at
    if any(at is not None and at > quiet_before for at in changes):
        return True
    if ours.is_read_again and found.repair is Repair.ADOPT:
        return True
    if _goes_back(found, ours):
        return True
    payment, attempt, window = ours.payment, ours.attempt, ours.window
    if found.difference not in {Difference.STATUS_DIFFERS, Difference.TWO_PAID}:
        return False
    if payment is None and attempt is not None and attempt.status in UNSETTLED:
        return True
    return payment is None and window is not None and window.status in WINDOW_OPEN


def _goes_back(found: Found, ours: Ours) -> bool:
    """Say whether a refund is under way that explains it: of the payment, or of those before it."""
    if found.difference is Difference.TWO_PAID and ours.is_first_given_back:
        return True
    if found.difference not in {Difference.REFUND_DIFFERS, Difference.TWO_PAID}:
        return False
    return ours.payment is not None and ours.payment.is_refund_under_way
