"""Of a period one end is told: renewed or failed, whoever comes first, and never both."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial

import pytest
from sqlalchemy.exc import IntegrityError

from shared.billing.attempt import Claim
from shared.billing.collection import Move, after_send, park
from shared.billing.dunning import DunningPolicy
from shared.billing.events import Event, EventName
from shared.billing.invoice import InvoiceStatus
from shared.billing.outcome import Declined, Paid
from shared.billing.rules import CollectionRules
from shared.db import invoices, outbox
from shared.db.invoices import Closing
from tests.support.billing import LEASES, World, world_of
from worker.services import letters
from worker.services.settle import SettleMoves

ENDS = (EventName.INVOICE_PAID, EventName.INVOICE_UNCOLLECTIBLE, EventName.INVOICE_VOIDED)
TOLD_OF = {"paid": "invoice.paid", "uncollectible": "invoice.uncollectible", "void": ENDS[2]}


@pytest.fixture
def world(module_url: str) -> Iterator[World]:
    """A process for which the first decline is the last."""
    rules = CollectionRules(LEASES, DunningPolicy(()))
    with world_of(module_url, rules) as made:
        made.run(made.clear())
        yield made


def ended(world: World, claim: Claim, outcome: Paid | Declined) -> Move:
    return after_send(claim, outcome, world.rules, world.clock.now())


async def settle(world: World, moves: Sequence[Move]) -> None:
    await SettleMoves(world.database, world.clock, world.rules)(moves)


async def give_up(world: World, claim: Claim) -> None:
    """Give up by hand, as an operator who discards a letter."""
    rows = await world.rows(
        "SELECT id FROM dead_letters WHERE attempt_id = :id AND resolved_at IS NULL",
        id=claim.attempt_id,
    )
    for row in rows:
        await world.database.run(
            lambda connection, id_=row.id: letters.discard(  # type: ignore[misc]
                connection, id_, world.clock.now()
            )
        )


async def assert_one_end(world: World) -> None:
    told = Counter(
        (row.invoice_id, row.name)
        for row in await world.rows(
            """
            SELECT (data ->> 'invoice_id')::bigint AS invoice_id, name FROM events
            WHERE name = ANY(CAST(:ends AS text[]))
            """,
            ends=list(ENDS),
        )
    )
    rows = await world.rows("SELECT id, status FROM invoices WHERE status <> 'open'")
    assert told == Counter((row.id, TOLD_OF[row.status]) for row in rows)
    assert len(rows) == len(told)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_paid_declined_and_given_up_at_once_are_one_end(
    world: World, order: tuple[int, ...]
) -> None:
    async def scenario() -> None:
        claims = await world.claim(await world.open_invoices(12))
        parked = claims[:6]
        await settle(world, [park(claim, "nobody knows", world.clock.now()) for claim in parked])
        paid = [
            ended(world, claim, Paid(f"imp_{claim.attempt_id}", world.clock.now()))
            for claim in claims
        ]
        declined = [ended(world, claim, Declined("잔액 부족")) for claim in claims]
        one, other, third = world, world.twin(), world.twin()
        work = (
            lambda: settle(one, paid),
            lambda: settle(other, declined),
            lambda: asyncio.gather(*(give_up(third, claim) for claim in parked)),
        )
        await asyncio.gather(*(work[number]() for number in order), return_exceptions=True)
        await assert_one_end(world)
        # What comes again, or too late, tells nothing more.
        for each in work:
            await asyncio.gather(each(), return_exceptions=True)
        await assert_one_end(world)

    world.run(scenario())


def test_an_invoice_that_was_closed_before_is_not_told_of_again(world: World) -> None:
    async def scenario() -> None:
        (claim,) = await world.claim(await world.open_invoices(1))
        await settle(world, [ended(world, claim, Paid("imp_1", world.clock.now()))])
        event = Event(
            EventName.INVOICE_UNCOLLECTIBLE,
            claim.subscription_id,
            {"invoice_id": claim.invoice_id},
        )
        closing = Closing(claim.invoice_id, InvoiceStatus.UNCOLLECTIBLE, "too late", event)
        now = world.clock.now()
        await world.database.run(partial(invoices.close_without_call, closings=[closing], now=now))
        await assert_one_end(world)

    world.run(scenario())


def test_the_database_refuses_a_second_end_whoever_tells_it(world: World) -> None:
    async def scenario() -> None:
        (invoice_id,) = await world.open_invoices(1)
        for first, second in itertools.product(ENDS, repeat=2):
            told = [Event(name, None, {"invoice_id": invoice_id}) for name in (first, second)]
            await world.database.run(partial(outbox.write, events=told[:1]))
            with pytest.raises(IntegrityError, match="events_one_end_idx"):
                await world.database.run(partial(outbox.write, events=told[1:]))
            await world.rows("DELETE FROM events WHERE data ? 'invoice_id'")

    world.run(scenario())
