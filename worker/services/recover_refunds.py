"""Take over what the gateway gave back of a payment since the backup was made.

A refund that waits in the restored rows may have been sent since. Sent again it would be another
one wherever something is left of the payment, so it is looked for in the gateway's history first.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import partial

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.events import EventName
from shared.billing.inquiry import PaymentRecord, StillUnresolved
from shared.billing.recovery import FoundRefund, FoundRefunds, match_refunds, same_text
from shared.billing.refund import RefundCause, RefundClaim, RefundOrder, Requester, part_of
from shared.billing.refunding import park_refund, refund_event
from shared.clock import Clock
from shared.db import lost_refunds, outbox, payments, refund_moves, refunds
from shared.db.engine import Database
from worker.services.ports import RecoveryGateway
from worker.services.recover_attempts import UnfinishedError
from worker.services.refund_inquiry import InquireRefunds
from worker.services.refund_settlement import bury

_COUNTED = (
    "the gateway shows a cancellation of this amount and reason, which was taken over as made"
    " elsewhere before the database was seen to be restored: it may be this refund"
)


@dataclass(frozen=True, slots=True)
class AdoptedRefunds:
    """What became of the refunds of a payment.

    Attributes:
        found: How many cancellations were taken over.
        doubtful: Whether a person must say if one of them is a refund of ours.
    """

    found: int = 0
    doubtful: bool = False


@dataclass(frozen=True, slots=True)
class AdoptRefunds:
    """Bring the refunds of one payment up to what the gateway holds."""

    database: Database
    gateway: RecoveryGateway
    inquire: InquireRefunds
    clock: Clock

    async def __call__(self, imp_uid: str) -> AdoptedRefunds:
        """Adopt what was given back of a payment that is kept here.

        Raises:
            UnfinishedError: The gateway cannot say, or a refund is still under way, or another one
                can be told only when a person has decided about the first.
        """
        record = await self.gateway.payment(imp_uid)
        if isinstance(record, StillUnresolved):
            raise UnfinishedError(f"{imp_uid}: {record.cause}")
        if record is None or record.imp_uid != imp_uid:
            raise UnfinishedError(f"{imp_uid}: the gateway does not show the payment")
        adopted = await self.database.run(partial(self._adopt, record=record))
        if adopted.in_doubt is None:
            return AdoptedRefunds(len(adopted.found))
        if not adopted.counted:
            await self.inquire([adopted.in_doubt])
        if adopted.is_more:
            message = f"{imp_uid}: a person must decide about one refund of it before the others"
            raise UnfinishedError(message)
        return AdoptedRefunds(doubtful=True)

    async def _adopt(self, connection: AsyncConnection, record: PaymentRecord) -> FoundRefunds:
        """Write what was found, all under the payment's lock."""
        now = self.clock.now()
        payment_id = await payments.of_imp_uid(connection, record.imp_uid)
        payment = None if payment_id is None else await payments.lock(connection, payment_id)
        if payment is None:
            return FoundRefunds()
        opened = await lost_refunds.open_of(connection, payment.id)
        known = payment.balance.cancelled.amount
        done = await lost_refunds.done_of(connection, payment.id)
        matched = match_refunds(record, known, opened, done)
        if (refund_id := matched.in_doubt) is not None:
            # Before anything is taken over: its inquiry compares with what was known until here.
            if await lost_refunds.another_under_way(connection, payment.id, refund_id):
                raise UnfinishedError(f"{record.imp_uid}: a refund of it has not ended")
            before = matched.counted[0].before if matched.counted else known
            left = record.amount - before
            claim = await lost_refunds.put_under_way(connection, refund_id, left, now)
            if matched.counted:
                await _park(connection, claim, now)
            return matched
        for each in matched.found:
            await self._take_over(connection, payment.id, record, each, now)
        # What is left of the sum, where the history does not tell one cancellation from another.
        await _elsewhere(connection, payment.id, record, record.cancel_amount, now)
        return matched

    async def _take_over(
        self,
        connection: AsyncConnection,
        payment_id: int,
        record: PaymentRecord,
        found: FoundRefund,
        now: datetime,
    ) -> None:
        """Write one cancellation as the refund that it is, or as one that somebody else made."""
        refund_id = found.refund_id
        if refund_id is None:
            refund_id = await _of_an_end(connection, payment_id, found, now)
        if refund_id is None:
            after = found.before + found.cancel.amount
            await _elsewhere(connection, payment_id, record, after, now)
            return
        claim = await lost_refunds.finish(connection, refund_id, found, record.amount, now)
        if claim is not None:
            told = refund_event(
                EventName.PAYMENT_REFUNDED,
                claim,
                now,
                cancellation_id=found.cancel.cancellation_id,
                left=record.amount - found.before - found.cancel.amount,
            )
            await outbox.write(connection, [told])


async def _park(connection: AsyncConnection, claim: RefundClaim, now: datetime) -> None:
    """Leave a refund to a person of which a cancellation may be counted already.

    The sums show nothing beyond what is known, so an inquiry would have it sent again. Under its
    checksum, from before that cancellation, it is found done if a person has it read again.
    """
    move = park_refund(claim, _COUNTED, now)
    await refund_moves.apply_moves(connection, [move])
    await bury(connection, move, _COUNTED)


async def _of_an_end(
    connection: AsyncConnection, payment_id: int, found: FoundRefund, now: datetime
) -> int | None:
    """Return a row for what the end of a subscription gave back, so that it is not given again.

    None where the reason is not that of an end that our rows know: then it is somebody else's.
    """
    payment = await payments.lock(connection, payment_id)
    reason = await lost_refunds.end_reason(connection, payment_id)
    if payment is None or reason is None or not same_text(found.cancel.reason, reason):
        return None
    order = RefundOrder(part_of(payment.balance.left, found.cancel.amount), reason, Requester.ADMIN)
    return await refunds.add(connection, payment_id, order, RefundCause.CANCELLATION, None, now)


async def _elsewhere(
    connection: AsyncConnection, payment_id: int, record: PaymentRecord, sum_: int, now: datetime
) -> None:
    """Take over what was cancelled by a way that our rows know nothing of.

    While a refund of ours is under way its own inquiry does so.
    """
    await payments.adopt_cancelled(
        connection, payment_id, sum_, now, record.cancels, by_recovery=True
    )
