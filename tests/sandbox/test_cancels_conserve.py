"""Whatever is cancelled in whatever order: amount and tax-free part are never exceeded or lost."""

import json
import os
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.sandbox import again, cancel
from deploy.sandbox.book import Book
from deploy.sandbox.calls import Call
from deploy.sandbox.endings import DOING, CommandEnding, Script, Step
from deploy.sandbox.records import APPROVED, BillingKey, Payment, Status
from deploy.sandbox.refunds import CancelOrder, CancelRefusal
from deploy.sandbox.state import Sandbox
from deploy.sandbox.tokens import TokenDesk

AMOUNT_MAX = 5_000

# A noisy neighbour is no failure of ours.
calm = settings(deadline=None, derandomize=bool(os.environ.get("CI")))

amounts = st.integers(min_value=0, max_value=AMOUNT_MAX)
endings = st.sampled_from([*CommandEnding, *[CommandEnding.DONE] * 12])


@st.composite
def cancels(draw: st.DrawFn) -> tuple[CommandEnding, CancelOrder, bool]:
    """One cancel, the ending of its request, and whether its checksum is a true one."""
    wanted = CancelOrder(amount=draw(amounts), tax_free=draw(amounts), checksum=draw(amounts))
    has_checksum = draw(st.booleans())
    return (
        draw(endings),
        wanted if has_checksum else replace(wanted, checksum=None),
        draw(st.booleans()),
    )


def _charged(amount: int, tax_free: int) -> Sandbox:
    sandbox = Sandbox(TokenDesk("k", "s"))
    sandbox.book.register(BillingKey("buyer", inserted_at=0.0, updated_at=0.0))
    named = {"customer_uid": "buyer", "merchant_uid": "m1", "name": "구독"}
    order = {**named, "amount": amount, "tax_free": tax_free}
    charge = again.arrive(sandbox, Call("/", {}, body=json.dumps(order).encode()))
    again.conclude(sandbox, charge)
    return sandbox


def _paid(book: Book) -> Payment:
    (payment,) = book.payments()
    return payment


@settings(calm, max_examples=300)
@given(
    amount=st.integers(min_value=10, max_value=AMOUNT_MAX),
    share=st.floats(min_value=0, max_value=1),
    steps=st.lists(cancels(), max_size=12),
)
def test_any_sequence_of_cancels_conserves_amount_and_tax_free_part(
    amount: int, share: float, steps: list[tuple[CommandEnding, CancelOrder, bool]]
) -> None:
    sandbox = _charged(amount, int(amount * share))
    imp_uid = _paid(sandbox.book).imp_uid
    tax_free = _paid(sandbox.book).order.tax_free
    left, tax_free_left = amount, tax_free
    for ending, wanted, is_true in steps:
        checksum = left if is_true and wanted.checksum is not None else wanted.checksum
        asked = {"amount": wanted.amount, "tax_free": wanted.tax_free, "checksum": checksum}
        sandbox.cancel_scripts[imp_uid] = Script(then=Step(ending))
        body = json.dumps({"imp_uid": imp_uid, **asked}).encode()
        cancelling = cancel.arrive(sandbox, Call("/", {}, body=body))
        cancel.conclude(sandbox, cancelling)
        if ending is CommandEnding.LATE_SUCCESS:
            cancel.book(sandbox, cancelling)

        # Told again without the book: what may be given back, and how much of it is tax-free.
        part = wanted.amount or left
        may_be = (
            ending in DOING
            and left > 0
            and checksum in {None, left}
            and wanted.tax_free <= part <= left
            and wanted.tax_free <= tax_free_left
        )
        if may_be:
            left, tax_free_left = left - part, tax_free_left - wanted.tax_free
        payment = _paid(sandbox.book)
        assert (cancelling.seen.cancellation_id is not None) is may_be
        assert payment.cancel_amount == amount - left
        assert payment.cancel_tax_free == tax_free - tax_free_left
        assert all(each.amount > 0 for each in payment.cancels)
        assert all(0 <= each.tax_free <= each.amount for each in payment.cancels)
        assert payment.order.amount == amount
        assert payment.status is (Status.CANCELLED if payment.cancels else Status.PAID)


@settings(calm)
@given(wanted=st.lists(amounts, min_size=1, max_size=20))
def test_what_two_books_are_asked_alike_they_do_alike(wanted: list[int]) -> None:
    def run() -> list[Payment | CancelRefusal]:
        sandbox = _charged(AMOUNT_MAX, 0)
        book = Book(first_number=1)
        book.register(BillingKey("buyer", inserted_at=0.0, updated_at=0.0))
        order = _paid(sandbox.book).order
        policy = sandbox.settings.duplicate_policy
        book.charge(order, APPROVED, started_at=1.0, at=2.0, policy=policy)
        return [
            book.cancel(CancelOrder(merchant_uid="m1", amount=amount), at=float(n))
            for n, amount in enumerate(wanted)
        ]

    assert run() == run()
