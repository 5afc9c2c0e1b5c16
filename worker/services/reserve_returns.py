"""Wind up what PortOne has executed for a period that does not come: bill it, then give it back.

A pause, or an end by dunning, may be too late to revoke what was reserved. The buyer's money is
with the merchant then, so it is kept like any other payment, with an invoice of its own, and goes
back in full as soon as its outcome is known. The period is never billed once more.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.refund import RefundCause, Requester
from shared.billing.reserving import ReservationStatus
from shared.clock import Clock
from shared.db import invoices, life, reserved_periods, stranded
from shared.db.engine import Database
from shared.db.stranded import Executed, Returning
from worker.services.commanding import CommandRefusedError
from worker.services.endings import voided
from worker.services.refund_requests import RefundRequest, request_refund

log = structlog.get_logger(__name__)

AWAITED, STRANDED, RETURNED, VOID = "awaits its period", "stranded", "given back", "nothing paid"
# What the buyer reads: their subscription was paused, or had ended, before the charge.
_REASON: Final = "이용하지 않는 기간의 예약결제 취소"
_UNPAID: Final = "its period did not come, and nothing was paid for it"
_LOOK_AGAIN_AFTER: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class ReturnExecuted:
    """Take an executed reservation its next step; nothing here speaks with the gateway."""

    database: Database
    clock: Clock
    settle_delay: timedelta

    async def __call__(self, executed: Executed) -> str:
        """Return what became of it, for people."""
        return await self.database.run(lambda connection: self._step(connection, executed))

    async def _step(self, connection: AsyncConnection, executed: Executed) -> str:
        now = self.clock.now()
        await life.hold(connection, executed.subscription_id)
        if (going_back := await stranded.returning(connection, executed.id)) is not None:
            return await self._give_back(connection, executed, going_back, now)
        held = await reserved_periods.hold(connection, [executed.subscription_id])
        live = held.get(executed.subscription_id)
        if live is None or live.status is not ReservationStatus.EXECUTED:
            return "moved on meanwhile"
        if not await stranded.is_stranded(connection, executed.subscription_id):
            # The renewal makes an invoice of it, or the end of the subscription does.
            await stranded.look_again(connection, executed.id, now + _LOOK_AGAIN_AFTER)
            return AWAITED
        log.error("reservation_stranded", reservation_id=executed.id)
        await stranded.bill(connection, live, self.settle_delay, now)
        return STRANDED

    async def _give_back(
        self, connection: AsyncConnection, executed: Executed, found: Returning, now: datetime
    ) -> str:
        if not found.is_settled:
            await stranded.look_again(connection, found.id, now + _LOOK_AGAIN_AFTER)
            return AWAITED
        ending = VOID
        if found.payment_id is not None:
            request = RefundRequest(
                found.payment_id, None, None, _REASON, Requester.ADMIN, RefundCause.LATE_PAYMENT
            )
            try:
                await request_refund(connection, request, now)
            except CommandRefusedError as refused:
                # Somebody has given it back already.
                log.warning("nothing_to_give_back", reservation_id=found.id, cause=str(refused))
            ending = RETURNED
        elif found.is_open:
            closing = voided(executed.subscription_id, found, _UNPAID, now)
            await invoices.close_without_call(connection, [closing], now)
        await stranded.returned(connection, found.id)
        return ending
