"""Lists that follow the book: whatever happens to it, they say what sorting it anew would say."""

import random
from dataclasses import replace

import pytest

from deploy.sandbox.book import Book, Sorting, in_order
from deploy.sandbox.lists import KEPT_MAX, Lists, Wanted, status_instant
from deploy.sandbox.records import Channel, Order, Payment, Status, Usage, Verdict
from deploy.sandbox.refunds import CancelOrder

CUSTOMERS = ("a", "b", None)
STATUSES = (Status.PAID, Status.PAID, Status.FAILED, Status.READY)
HOURS = 3_600


class World:
    """A book that things happen to."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)  # noqa: S311  # a seeded history, no secret
        self.book = Book(first_number=1_000)
        self.lists = Lists(self.book)
        self.now = 1_000_000.0

    def enter(self) -> None:
        chance = self.chance
        self.now += chance.choice((0.0, 0.25, 1.0, 60.0))
        # What somebody else made may be of any time.
        at = self.now if chance.random() < 0.9 else chance.uniform(990_000, self.now)
        self.book.enter_foreign(
            Order(chance.choice(CUSTOMERS), f"m{chance.randrange(50)}", 1000, "구독"),
            Verdict(chance.choice(STATUSES)),
            usage=Usage.PAYMENT,
            channel=chance.choice((Channel.API, Channel.PC)),
            started_at=at - chance.choice((0.0, 3.0, 20.0)),
            at=at,
            sandbox=chance.random() < 0.2,
        )

    def _any(self) -> Payment | None:
        payments = list(self.book.payments())
        return self.chance.choice(payments) if payments else None

    def cancel(self) -> None:
        payment = self._any()
        if payment is not None:
            self.book.cancel(CancelOrder(imp_uid=payment.imp_uid, amount=1), at=self.now)

    def restate(self) -> None:
        payment = self._any()
        if payment is not None and payment.status is not Status.CANCELLED:
            changed = replace(payment, status=Status.FAILED, paid_at=0.0, failed_at=self.now)
            self.book.restate(changed)

    def forget(self) -> None:
        payment = self._any()
        if payment is not None:
            self.book.forget(payment.imp_uid)

    def wanted(self) -> Wanted:
        chance = self.chance
        begin = int(chance.uniform(990_000, self.now))
        return Wanted(
            chance.choice((None, *Status)),
            begin,
            begin + chance.choice((0, 60, HOURS, 24 * HOURS)),
            chance.choice(list(Sorting)),
            hides_tests=chance.random() < 0.3,
        )

    def sorted_anew(self, wanted: Wanted) -> list[Payment]:
        belonging = (
            payment
            for payment in self.book.payments()
            if wanted.begin <= int(status_instant(payment)) <= wanted.end
            and wanted.status in {None, payment.status}
            and not (wanted.hides_tests and payment.sandbox)
        )
        return in_order(belonging, wanted.sorting)


@pytest.mark.parametrize("seed", range(6))
def test_a_list_that_follows_the_book_is_the_book_sorted_anew(seed: int) -> None:
    world = World(seed)
    asked = [world.wanted() for _ in range(KEPT_MAX + 2)]
    compared = 0
    for step in range(120):
        # Once so much happens between two questions that it is merged and not worked in.
        for _ in range(700 if step == 60 else world.chance.choice((0, 1, 2, 3, 5))):
            world.chance.choices(
                (world.enter, world.cancel, world.restate, world.forget), (10, 3, 1, 1)
            )[0]()
        if world.chance.random() < 0.1:
            asked[world.chance.randrange(len(asked))] = world.wanted()
        wanted = world.chance.choice(asked)
        expected = world.sorted_anew(wanted)
        begin, length = world.chance.randrange(0, 30), world.chance.choice((1, 7, 1_000))
        found = world.lists.payments(wanted, begin=begin, length=length)
        assert found.total == len(expected)
        assert found.payments == expected[begin : begin + length]
        compared += bool(expected)
        of_customer = [each for each in world.book.payments() if each.order.customer_uid == "a"]
        assert world.lists.payments_of_customer("a") == of_customer
    assert compared > 20


def test_lists_of_a_book_that_was_put_in_the_place_of_itself_are_built_anew() -> None:
    world = World(1)
    for _ in range(20):
        world.enter()
    wanted = Wanted(None, 0, 2_000_000, Sorting.PAID)
    assert world.lists.payments(wanted, begin=0, length=50).total == 20
    other = World(2)
    other.enter()
    for name in ("_payments", "_imp_uids", "_replaced", "_entered_count"):
        setattr(world.book, name, getattr(other.book, name))

    assert world.lists.payments(wanted, begin=0, length=50).total == 1


def test_only_the_lists_last_asked_for_are_kept() -> None:
    world = World(1)
    for n in range(KEPT_MAX + 3):
        world.lists.payments(Wanted(None, n, 2_000_000, Sorting.PAID), begin=0, length=1)

    assert [wanted.begin for wanted in world.lists._views] == [3, 4, 5, 6]
