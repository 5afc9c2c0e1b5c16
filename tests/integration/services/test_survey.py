"""What PortOne is going to charge by itself and nobody here has asked it to: told to a person."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from deploy.sandbox.records import Payment
from tests.support.billing import World
from tests.support.books import DAY, Books
from worker.gateway.errors import GatewayError
from worker.services.survey import SurveySchedules


@pytest.fixture
def books(world: World) -> Books:
    """A world that charges at a sandbox of its own."""
    return Books(world)


def reserve(books: Books, payment: Payment, name: str, after: timedelta, uid: str = "") -> None:
    """Reserve a charge of a buyer at the console."""
    order = payment.order
    stranger = replace(order, merchant_uid=name, customer_uid=uid or order.customer_uid)
    at = int((books.world.clock.now() + after).timestamp())
    books.sandbox.timetable.add(stranger, schedule_at=at)


def letters(books: Books) -> list[dict[str, Any]]:
    """Return what a person was told."""
    rows = books.world.run(
        books.world.rows("SELECT payload FROM dead_letters WHERE kind = 'payment' ORDER BY id")
    )
    return [row.payload for row in rows]


def test_what_somebody_reserved_at_the_console_is_told_once(books: Books) -> None:
    world = books.world
    payments = world.run(books.live(2))
    survey = SurveySchedules(world.database, books.gateway, world.clock)
    assert world.run(survey()) == 0
    reserve(books, payments[0], "console-1", 20 * DAY)
    reserve(books, payments[1], "console-2", 70 * DAY)
    reserve(books, payments[1], "shop-1", DAY, uid="a-buyer-of-another-shop")
    assert world.run(survey()) == 2
    assert world.run(survey()) == 0
    told = letters(books)
    assert [letter["merchant_uid"] for letter in told] == ["console-1", "console-2"]
    assert told[0]["amount"] == payments[0].order.amount
    # Neither the billing key nor anything of the buyer is told.
    assert str(payments[0].order.customer_uid) not in json.dumps(told)


def test_what_was_charged_by_us_and_is_tried_again_elsewhere_is_told(books: Books) -> None:
    world = books.world
    (payment,) = world.run(books.live(1))
    reserve(books, payment, payment.order.merchant_uid, DAY)
    survey = SurveySchedules(world.database, books.gateway, world.clock)
    assert world.run(survey()) == 1
    (letter,) = letters(books)
    assert letter["merchant_uid"] == payment.order.merchant_uid


def test_what_portone_cannot_say_is_no_finding(books: Books) -> None:
    world = books.world
    (payment,) = world.run(books.live(1))
    reserve(books, payment, "console-1", DAY)
    survey = SurveySchedules(world.database, books.gateway, world.clock)

    def away(_path: str) -> None:
        message = "the gateway is away"
        raise ConnectionError(message)

    books.transport.before, before = away, books.transport.before
    with pytest.raises(GatewayError):
        world.run(survey())
    assert letters(books) == []
    books.transport.before = before
    assert world.run(survey()) == 1
