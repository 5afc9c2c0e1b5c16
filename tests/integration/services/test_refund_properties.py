"""Any sequence of partial refunds, in any weather, conserves what was paid and exceeds nothing."""

import contextlib
import os
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Row

from shared.billing.money import Price
from tests.support.billing import World
from tests.support.book import ProcessDiedError
from tests.support.refunds import RefundBook, RefundDesk, Way
from worker.services.commanding import CommandRefusedError


@dataclass(frozen=True, slots=True)
class Part:
    """One wish: an amount, a tax-free part of the merchant's own or none, and how its send goes."""

    amount: int | str
    tax_free: int | None
    way: Way
    late_s: int


AMOUNTS = st.integers(1, 12_000)
PARTS = st.lists(
    st.builds(
        Part,
        AMOUNTS | st.just("all"),
        st.none() | st.integers(0, 3_000),
        st.sampled_from(Way),
        st.sampled_from([30, 290, 3_000]),
    ),
    min_size=1,
    max_size=8,
)
PRICES = st.integers(1_000, 20_000).flatmap(
    lambda amount: st.builds(Price, st.just(amount), st.integers(0, amount))
)


async def ask(desk: RefundDesk, payment: Row[Any], part: Part) -> int | None:
    """Ask for a part; return the refund, or None if it was refused in words."""
    tax_free = None if part.amount == "all" else part.tax_free
    try:
        return await desk.ask(payment, part.amount, tax_free=tax_free)
    except CommandRefusedError:
        return None


async def live(desk: RefundDesk, price: Price, parts: list[Part]) -> None:
    """Ask for parts one after the other, work each in its weather, and look after every step."""
    await desk.world.clear()
    (payment,) = await desk.payments(1, price.amount, price.tax_free)
    for part in parts:
        await ask(desk, payment, part)
        desk.gateway.script.append(part.way)
        desk.gateway.late = timedelta(seconds=part.late_s)
        with contextlib.suppress(ProcessDiedError):
            await desk.work_all()
        await look(desk, payment)
    desk.gateway.script.clear()
    await desk.finish(200)
    await look(desk, payment)
    await compare(desk, payment)
    # Whatever came before, all that is left can be given back, and then nothing is left.
    if not await desk.world.rows("SELECT FROM refunds WHERE status = 'parked'"):
        if await ask(desk, payment, Part("all", None, Way.DONE, 30)) is not None:
            await desk.finish()
        row = await desk.payment(payment)
        assert (row.cancelled_amount, row.cancelled_tax_free) == (row.amount, row.tax_free)
        await compare(desk, payment)


async def look(desk: RefundDesk, payment: Row[Any]) -> None:
    """Check that neither the rows nor the book exceed what was paid, tax-free part and rest."""
    (asked,) = await desk.world.rows(
        """
        SELECT coalesce(sum(amount), 0) AS amount, coalesce(sum(tax_free), 0) AS tax_free
        FROM refunds WHERE status NOT IN ('refused', 'void')
        """
    )
    assert asked.tax_free <= payment.tax_free
    assert asked.amount - asked.tax_free <= payment.amount - payment.tax_free
    held = desk.gateway.entries()[payment.imp_uid]
    assert 0 <= held.tax_free_left <= held.left


async def compare(desk: RefundDesk, payment: Row[Any]) -> None:
    """Check that the book holds every refund that is done once, and none besides."""
    refunds = await desk.world.rows("SELECT * FROM refunds ORDER BY id")
    held = desk.gateway.entries()[payment.imp_uid]
    parked = {refund.id for refund in refunds if refund.status == "parked"}
    done = {refund.id: refund for refund in refunds if refund.status == "done"}
    booked = [cancel for cancel in held.cancelled if cancel.refund_id not in parked]
    assert sorted(cancel.refund_id or 0 for cancel in booked) == sorted(done)
    for cancel in booked:
        refund = done[cancel.refund_id or 0]
        assert (cancel.record.amount, cancel.tax_free) == (refund.amount, refund.tax_free)
    row = await desk.payment(payment)
    assert row.cancelled_amount == sum(refund.amount for refund in done.values())
    assert row.cancelled_tax_free == sum(refund.tax_free for refund in done.values())


@settings(
    max_examples=40,
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(PRICES, PARTS)
def test_any_sequence_of_parts_conserves_what_was_paid(
    world: World, price: Price, parts: list[Part]
) -> None:
    world.run(live(RefundDesk(world, RefundBook(world.clock)), price, parts))
