"""Repair a difference between the books as a person confirms it, by the ordinary ways only."""

from datetime import datetime, timedelta
from typing import assert_never

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.events import Json
from shared.billing.reconciliation import DifferenceStatus, Repair
from shared.billing.refund import RefundCause, Requester, require_reason
from shared.db import hints, payments
from shared.db import reconciliation_rows as rows
from shared.db.hints import Said
from shared.db.reconciliation_rows import Discrepancy
from worker.services.commanding import CommandRefusedError
from worker.services.refund_requests import RefundRequest, request_refund

# What a hint of ours says in the place of a webhook's status; nobody reads it.
_SAID = "reconciliation"


async def repair(
    connection: AsyncConnection,
    discrepancy_id: int,
    how: Repair | None,
    reason: str,
    command_id: str,
    now: datetime,
) -> dict[str, Json]:
    """Do what is proposed about a difference, or mark it, and note that it was decided.

    Nothing is charged, and no row is changed by what a report says: a payment is read again at the
    gateway, or a refund is asked for with the checksum of what is left.

    Raises:
        CommandRefusedError: It cannot be done, with what could be.
    """
    require_reason(reason)
    row = await _open(connection, discrepancy_id)
    chosen = how or row.repair
    if chosen not in {row.repair, Repair.MARK}:
        raise CommandRefusedError(
            f"for discrepancy {row.id} it is proposed to {row.repair}, and it may be marked; a"
            f" {chosen} does not bring its two sides together"
        )
    done: dict[str, Json] = {}
    status = DifferenceStatus.REPAIRED
    match chosen:
        case Repair.ADOPT:
            done["hint_id"] = await _read_again(connection, row, now)
        case Repair.REFUND:
            done |= await _give_back(connection, row, reason, command_id, now)
        case Repair.MARK:
            status = DifferenceStatus.DISMISSED
        case _:
            assert_never(chosen)
    await rows.decide(connection, row.id, status, now)
    return {
        "discrepancy_id": row.id,
        "difference": row.difference,
        "imp_uid": row.imp_uid,
        "repair": chosen,
        "status": status,
        **done,
    }


async def _open(connection: AsyncConnection, discrepancy_id: int) -> Discrepancy:
    row = await rows.get(connection, discrepancy_id, lock=True)
    if row is None:
        raise CommandRefusedError(
            f"there is no discrepancy {discrepancy_id}; `dalmada reconcile list` names them"
        )
    if row.status is DifferenceStatus.WATCHED:
        raise CommandRefusedError(
            f"something of discrepancy {row.id} is under way, which may settle it by itself: the"
            " next run looks again"
        )
    if row.status is not DifferenceStatus.OPEN:
        raise CommandRefusedError(
            f"discrepancy {row.id} is {row.status}, so nothing is left to be decided;"
            " `dalmada reconcile list` names those that are open"
        )
    return row


async def _read_again(connection: AsyncConnection, row: Discrepancy, now: datetime) -> int:
    """Have the payment read at the gateway, and what it shows be taken over."""
    said = Said(row.imp_uid, _SAID, row.merchant_uid)
    hint_id = await hints.store(connection, said, now, timedelta(0))
    if hint_id is None:
        raise CommandRefusedError(
            "more payments wait to be read than can be: try again once `dalmada status` shows fewer"
        )
    return hint_id


async def _give_back(
    connection: AsyncConnection, row: Discrepancy, reason: str, command_id: str, now: datetime
) -> dict[str, Json]:
    """Ask for a refund of all that is left of the payment."""
    if row.payment_id is None:
        raise CommandRefusedError(
            f"payment {row.imp_uid} is not kept here, so it must be adopted before it is refunded"
        )
    await _require_another(connection, row, row.payment_id)
    request = RefundRequest(
        payment_id=row.payment_id,
        amount=None,
        tax_free=None,
        reason=reason,
        requester=Requester.ADMIN,
        cause=RefundCause.COMMAND,
        command_id=command_id,
    )
    asked = await request_refund(connection, request, now)
    return {"refund_id": asked.id, "amount": asked.price.amount, "tax_free": asked.price.tax_free}


async def _require_another(connection: AsyncConnection, row: Discrepancy, payment_id: int) -> None:
    """Refuse to give back the only payment of a period that is held, or is going to be.

    What a run has seen may be hours old. Whoever asks for a refund of another payment waits here
    for its lock, so of two payments one is kept however many are at it.
    """
    others = await payments.lock_beside(connection, payment_id)
    if any(not other.asked.amount and other.balance.left.amount for other in others):
        return
    if any(other.asked.amount for other in others):
        why = "is being given back itself"
    else:
        why = "is not held any more"
    raise CommandRefusedError(
        f"the other payment of the period {why}, so to give {row.imp_uid} back would leave it"
        " unpaid: compare again first (`dalmada reconcile --from … --to …`), or refund it by"
        " `dalmada payment refund` if both are to go back"
    )
