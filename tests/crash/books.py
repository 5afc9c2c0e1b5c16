"""The life in which PortOne's book is compared with ours, and what differs is repaired."""

from datetime import datetime, timedelta
from uuid import NAMESPACE_OID, uuid5

from deploy.sandbox.records import Channel, Order, Status, Verdict
from shared.jobs.contracts import ReconcileBooks
from tests.crash.story import Deed, Life, Scenario, after_payment
from worker.services.reconcile_repair import repair

# A little past half past four, Korean time, on the morning after a life has begun.
_MORNING = timedelta(hours=20)
# Longer than a run's lease, and than a failed one waits.
_LOOK_AGAIN = timedelta(minutes=20)
_RUN = "EXISTS (SELECT FROM reconciliation_runs WHERE status = '{}')"


async def _spoil(life: Life) -> bool:
    """Give a part back in the gateway's console, of which no webhook tells, and book a stranger."""
    (payment,) = life.book
    life.cancel_at_console(payment, 2_000)
    life.merchant.notices()
    sandbox = life.installation.sandbox
    life.strangers.add("shop-1")
    now = sandbox.clock.now()
    sandbox.book.enter_foreign(
        Order(None, "shop-1", 500, "다른 상점"),
        Verdict(Status.PAID),
        usage=None,
        channel=Channel.PC,
        started_at=now,
        at=now,
    )
    reserved = Order(payment.order.customer_uid, "console-1", 500, "다른 주문")
    sandbox.timetable.add(reserved, schedule_at=int(now) + 30 * 86_400)
    return life.faults(inquiry_rates={"error_500": 1})


async def _told(life: Life) -> bool:
    """See that a person was told of what PortOne is going to charge, once."""
    return await life.count("dead_letters WHERE payload->>'merchant_uid' = 'console-1'") == 1


async def _morning(life: Life) -> bool:
    """Wait for the time of day at which the day before is compared."""
    at = life.notes.setdefault("morning", life.installation.now + _MORNING)
    return _waited(life, at)


def _until(condition: str) -> Deed:
    """Return the deed of beat's looks, until a condition holds."""

    async def deed(life: Life) -> bool:
        if await life.count(f"(SELECT WHERE {condition}) AS held"):
            return True
        now = life.installation.now
        if now >= life.notes.get("look", now):
            life.installation.broker.push(ReconcileBooks())
            life.notes["look"] = now + _LOOK_AGAIN
        return _waited(life, life.notes["look"])

    return deed


async def _recover(life: Life) -> bool:
    """Have the gateway answer again."""
    return life.faults(inquiry_rates={})


async def _repair(life: Life) -> bool:
    """Confirm whatever is proposed, as an operator does."""
    installation = life.installation
    found = await installation.rows(
        "SELECT id FROM discrepancies WHERE status = 'open' ORDER BY id"
    )
    assert len(found) == 2, found
    for row in found:
        command_id = str(uuid5(NAMESPACE_OID, str(row.id)))
        async with installation.host.database.transaction() as connection:
            await repair(connection, row.id, None, "확인함", command_id, installation.now)
    return True


async def _adopted(life: Life) -> bool:
    """Wait until what was given back is known here, and see that nothing was found twice."""
    if not await life.count("payments WHERE cancelled_amount = 2000"):
        return False
    assert await life.count("discrepancies") == 2
    assert await life.count("reconciliation_runs") == 1
    return True


def _waited(life: Life, at: datetime) -> bool:
    """Have time pass until an instant; say whether it has come."""
    life.wakes_at = at
    return life.installation.now >= at


BOOKS: tuple[Scenario, ...] = (
    after_payment(
        "books compared while the gateway is away, then repaired",
        [
            _spoil,
            _morning,
            _until(_RUN.format("failed")),
            _recover,
            _until(_RUN.format("done")),
            _repair,
            _adopted,
            _until("NOT EXISTS (SELECT FROM gateway_records)"),
            _told,
        ],
        settings={"reconcile_foreign": True},
        days=3,
    ),
)
