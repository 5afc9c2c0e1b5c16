"""Give money back: claim, send, settle.

1. *Claim*, in one transaction for the whole batch: the checksum is committed before a byte leaves.
2. *Send*, with no transaction open: one POST each, side by side, never repeated.
3. *Settle*, grouped over the endings that have arrived.

A death after the claim leaves refunds ``claimed`` past their lease, which the inquiry owns. A
message delivered again finds nothing due.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.installation import Proof
from shared.billing.outcome import Unknown
from shared.billing.refund import RefundClaim, RefundOutcome
from shared.billing.refunding import RefundMove, after_refund_send, refuse_unsent
from shared.billing.rules import CollectionRules
from shared.clock import Clock
from shared.db import refund_moves, refunds
from shared.db.engine import Database
from shared.db.refunds import DueRefunds
from shared.jobs.marks import NO_MARKS, Marks
from worker.services.ports import RefundGateway, SettleRefund
from worker.services.refund_settlement import bury

log = structlog.get_logger(__name__)

# A row that cannot be sent is looked at again after this, and meanwhile blocks nobody.
_POSTPONED_FOR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Batch:
    """What one transaction claimed, and what it ended unsent."""

    claims: tuple[RefundClaim, ...]
    unsent: tuple[RefundMove, ...]


@dataclass(frozen=True, slots=True)
class SendRefunds:
    """Send those of the refunds that are due."""

    database: Database
    gateway: RefundGateway
    settle: SettleRefund
    clock: Clock
    rules: CollectionRules
    marks: Marks = NO_MARKS

    async def __call__(self, refund_ids: Sequence[int]) -> list[str]:
        """Return the name of every ending, for people."""
        # Remembered before the rows are read: see ``standing``.
        proof = await self.marks.proof()
        # Read before the claim is written, so that the fence never outlives the lease.
        claimed_at_s = self.clock.boot_s()
        batch = await self.database.run(
            lambda connection: self._claim(connection, refund_ids, proof)
        )
        endings = await asyncio.gather(
            *(self._give_back(claim, claimed_at_s) for claim in batch.claims)
        )
        return [*(f"{move.status} unsent" for move in batch.unsent), *endings]

    async def _claim(
        self, connection: AsyncConnection, refund_ids: Sequence[int], proof: Proof
    ) -> Batch:
        """Claim what is to be sent and end what no longer fits, in one transaction."""
        now = self.clock.now()
        due = await refunds.lock_due(connection, refund_ids, now, proof)
        if due.faulty:
            log.error("refund_impossible", faults=dict(due.faulty))
            await refunds.postpone(connection, due.faulty, now + _POSTPONED_FOR)
        unsent = await _end_unsent(connection, due, now)
        claimed = await refunds.write_claims(connection, due.claims, self.rules.leases, now)
        await refunds.let_go(connection, refund_ids)
        return Batch(tuple(claimed), unsent)

    async def _give_back(self, claim: RefundClaim, claimed_at_s: float) -> str:
        """Send one claim and write its ending; whatever fails here is left to the inquiry."""
        outcome = await self._send(claim, claimed_at_s)
        move = after_refund_send(claim, outcome, self.rules, self.clock.now())
        try:
            written = await self.settle(move)
        except SQLAlchemyError as error:
            # The refund stays claimed; after the lease the payment is read.
            log.exception(
                "settlement_failed", refund_id=claim.refund_id, error=type(error).__name__
            )
            return "unsettled"
        return written.status

    async def _send(self, claim: RefundClaim, claimed_at_s: float) -> RefundOutcome:
        try:
            return await self.gateway.refund(claim, claimed_at_s=claimed_at_s)
        except Exception as error:
            # A fault of ours in mid-send: money may have moved, so nothing else may be concluded.
            log.exception("send_failed", refund_id=claim.refund_id)
            return Unknown(f"{type(error).__name__} in our own code")


async def _end_unsent(
    connection: AsyncConnection, due: DueRefunds, now: datetime
) -> tuple[RefundMove, ...]:
    """End what no longer fits, and call a person: money that was promised does not move."""
    unsent = tuple(refuse_unsent(claim, why, now) for claim, why in due.unfit)
    await refund_moves.end_unsent(connection, unsent)
    for move in unsent:
        await bury(connection, move, move.dead_letter or "")
    return unsent
