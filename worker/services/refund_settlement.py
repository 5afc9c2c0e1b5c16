"""Write endings of refunds: one transaction for all that arrived, each under compare-and-set."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.refund import RefundStatus
from shared.billing.refunding import RefundMove, park_refund
from shared.clock import Clock
from shared.db import dead_letters, payments, refund_moves
from shared.db.dead_letters import RefundLetter
from shared.db.engine import Database
from worker.services.settling import hold_for_longest, together_or_apart, waves

log = structlog.get_logger(__name__)

# An end that says no money went back; if the gateway says later that it did, a person is called.
_ENDED_UNDONE = frozenset({RefundStatus.REFUSED, RefundStatus.VOID})


@dataclass(frozen=True, slots=True)
class SettleRefunds:
    """Write a group of moves; what cannot be written together is written one by one."""

    database: Database
    clock: Clock

    async def __call__(self, group: Sequence[RefundMove]) -> list[RefundMove]:
        """Return the moves as they were written, in order; a lost one is returned unchanged."""
        return await together_or_apart(group, self._write_together, self._instead)

    async def _write_together(self, group: Sequence[RefundMove]) -> list[RefundMove]:
        return await self.database.run(lambda connection: self._write(connection, group))

    def _instead(self, refused: RefundMove, error: DBAPIError) -> RefundMove:
        log.error("settlement_refused", refund_id=refused.claim.refund_id, exc_info=error)
        cause = f"{refused.status}: refused by the database ({type(error.orig).__name__})"
        return park_refund(refused.claim, cause, self.clock.now())

    async def _write(
        self, connection: AsyncConnection, group: Sequence[RefundMove]
    ) -> list[RefundMove]:
        now = self.clock.now()
        for wave in waves(group, _refund, _is_done):
            await _write_wave(connection, wave, now)
        await hold_for_longest(connection, group, now)
        return list(group)


async def bury(connection: AsyncConnection, move: RefundMove, cause: str) -> None:
    """Keep a refund for a person, with what the gateway said of it."""
    claim = move.claim
    log.error("dead_letter", refund_id=claim.refund_id, cause=cause)
    payload = {
        "imp_uid": claim.imp_uid,
        "merchant_uid": claim.merchant_uid,
        "amount": claim.order.price.amount,
        "tax_free": claim.order.price.tax_free,
        "cancellation_id": move.cancellation_id,
        "message": move.refusal,
    }
    await dead_letters.bury_refund(connection, RefundLetter(claim.refund_id, cause, payload))


def _refund(move: RefundMove) -> int:
    return move.claim.refund_id


def _is_done(move: RefundMove) -> bool:
    return move.status is RefundStatus.DONE


async def _write_wave(
    connection: AsyncConnection, wave: Sequence[RefundMove], now: datetime
) -> None:
    """Write moves of different refunds, and whatever follows from those that won."""
    won = await refund_moves.apply_moves(connection, wave)
    await _call_for_late_ones(connection, wave, won, now)
    for move in wave:
        if move.claim.refund_id not in won:
            continue
        if move.dead_letter is not None:
            await bury(connection, move, move.dead_letter)
        if move.cancelled_amount is not None:
            # What the gateway shows beyond what we did was cancelled by another way.
            await payments.adopt_cancelled(
                connection, move.claim.payment_id, move.cancelled_amount, now
            )


async def _call_for_late_ones(
    connection: AsyncConnection, wave: Sequence[RefundMove], won: frozenset[int], now: datetime
) -> None:
    """Call a person for every refund that is done although it had ended otherwise.

    One that was sent again since is no such case: its own ending will show the refund.
    """
    lost = {_refund(move): move for move in wave if _is_done(move) and _refund(move) not in won}
    if not lost:
        return
    imp_uids = {refund_id: move.claim.imp_uid for refund_id, move in lost.items()}
    for refund_id, status in (await refund_moves.standing(connection, imp_uids)).items():
        if status in _ENDED_UNDONE:
            move = lost[refund_id]
            await bury(
                connection, move, f"given back at the gateway after it had ended as {status}"
            )
            await payments.adopt_cancelled(
                connection, move.claim.payment_id, move.cancelled_amount or 0, now
            )
