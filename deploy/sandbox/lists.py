"""The book in the order of its instants: what makes a page of a long list cheap.

A list is put in order when it is first asked for and then follows the book, change by change, so
that a page costs what it shows and what has happened since the page before it. A book of which
nobody asks for lists does not pay for them.
"""

from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from deploy.sandbox.book import Book, Sorting
from deploy.sandbox.records import Payment, Status

# An instant, and what tells two payments of one instant apart: number and imp_uid.
Entry = tuple[float, int, str]
Instant = Callable[[Payment], float | None]

# Lists of a window that are followed; one asked for beside them takes the place of the eldest.
KEPT_MAX: Final = 4
# So many changes are worked in one by one. Beyond, it is quicker to merge them.
_SINGLY_MAX: Final = 500


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which payments a list is of; instants are of the status that a payment has.

    Attributes:
        begin: The first whole second.
        end: The last whole second.
        sorting: By which of a payment's instants it is in order.
    """

    status: Status | None
    begin: int
    end: int
    sorting: Sorting
    hides_tests: bool = False


@dataclass(frozen=True, slots=True)
class Slice:
    """One page of a list, and how long the whole is."""

    total: int
    payments: list[Payment]


def status_instant(payment: Payment) -> float:
    """Give the instant at which a payment came by its status."""
    match payment.status:
        case Status.READY:
            return payment.started_at
        case Status.PAID:
            return payment.paid_at
        case Status.FAILED:
            return payment.failed_at
        case Status.CANCELLED:
            return payment.cancels[-1].cancelled_at


class View:
    """Some payments of the book in the order of one of their instants."""

    def __init__(self, instant: Instant, payments: Iterable[Payment]) -> None:
        """Put payments in order; those of which `instant` is None do not belong."""
        self._instant = instant
        self.entries: list[Entry] = sorted(self._entries_of(payments))

    def follow(self, gone: Sequence[Payment], come: Sequence[Payment]) -> None:
        """Take out what has changed, as it was, and put in what it is."""
        out, into = self._entries_of(gone), self._entries_of(come)
        if len(out) + len(into) > _SINGLY_MAX:
            if out:
                left = set(out)
                self.entries = [entry for entry in self.entries if entry not in left]
            self.entries += into
            # Of two runs that are in order, so it is merged rather than sorted.
            self.entries.sort()
            return
        for entry in out:
            del self.entries[bisect_left(self.entries, entry)]
        for entry in into:
            insort(self.entries, entry)

    def between(self, begin: float, end: float) -> list[Entry]:
        """Give what is not before `begin` and is before `end`."""
        entries = self.entries
        return entries[bisect_left(entries, (begin,)) : bisect_left(entries, (end,))]

    def part(self, begin: int, length: int, *, descending: bool) -> list[Entry]:
        """Give so many from a position on, counted from the last where they descend."""
        if not descending:
            return self.entries[begin : begin + length]
        end = max(0, len(self.entries) - begin)
        return self.entries[max(0, end - length) : end][::-1]

    def _entries_of(self, payments: Iterable[Payment]) -> list[Entry]:
        found = []
        for payment in payments:
            instant = self._instant(payment)
            if instant is not None:
                found.append((instant, payment.number, payment.imp_uid))
        return found


@dataclass(slots=True)
class Lists:
    """The lists of one book that somebody has asked for.

    Nothing of it is the gateway's memory: it can be dropped at any time and is built anew.
    """

    book: Book
    _next_number: int = 0
    _followed: int = 0
    # Another one means that the book was put in the place of itself.
    _replaced: list[Payment] | None = None
    _by_status: View = field(default_factory=lambda: View(status_instant, ()))
    _views: "OrderedDict[Wanted, View]" = field(default_factory=OrderedDict)
    _of_customers: dict[str, list[str]] = field(default_factory=dict)

    def payments(self, wanted: Wanted, *, begin: int, length: int) -> Slice:
        """Give a part of a list, as the book is at this moment."""
        self._follow()
        view = self._views.pop(wanted, None)
        if view is None:
            view = self._build(wanted)
        self._views[wanted] = view
        while len(self._views) > KEPT_MAX:
            self._views.popitem(last=False)
        descending = wanted.sorting.startswith("-")
        shown = view.part(begin, length, descending=descending)
        return Slice(len(view.entries), self._of(uid for _, _, uid in shown))

    def payments_of_customer(self, customer_uid: str) -> list[Payment]:
        """Give every payment with a customer_uid, oldest first."""
        self._follow()
        return self._of(self._of_customers.get(customer_uid, ()))

    def _of(self, imp_uids: Iterable[str]) -> list[Payment]:
        found = (self.book.payment(imp_uid) for imp_uid in imp_uids)
        return [payment for payment in found if payment is not None]

    def _build(self, wanted: Wanted) -> View:
        field_name = f"{wanted.sorting.removeprefix('-')}_at"

        def instant(payment: Payment) -> float | None:
            belongs = (
                wanted.begin <= status_instant(payment) < wanted.end + 1
                and (wanted.status is None or payment.status is wanted.status)
                and not (wanted.hides_tests and payment.sandbox)
            )
            return float(getattr(payment, field_name)) if belongs else None

        within = self._by_status.between(wanted.begin, wanted.end + 1)
        return View(instant, self._of(uid for _, _, uid in within))

    def _follow(self) -> None:
        book = self.book
        if self._replaced is not book.replaced:
            self._forget()
        come = book.payments_from(self._next_number)
        gone: dict[str, Payment] = {}
        for before in book.replaced[self._followed :]:
            # What is entered since is taken as it is, whatever it was in between.
            if before.number < self._next_number:
                gone.setdefault(before.imp_uid, before)
        for payment in come:
            self._next_number = payment.number + 1
            if payment.order.customer_uid is not None:
                self._of_customers.setdefault(payment.order.customer_uid, []).append(
                    payment.imp_uid
                )
        self._followed = len(book.replaced)
        left, here = list(gone.values()), [*come, *self._of(gone)]
        if left or here:
            for view in (self._by_status, *self._views.values()):
                view.follow(left, here)

    def _forget(self) -> None:
        self._next_number = self._followed = 0
        self._replaced = self.book.replaced
        self._by_status = View(status_instant, ())
        self._views.clear()
        self._of_customers.clear()
