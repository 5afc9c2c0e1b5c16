"""End subscriptions whose time has come, and follow up what the end left under way.

1. *Revoke*, with no transaction open: reservations on the billing key, unless another subscription
   lives on it. While the gateway cannot say that there are none, the end waits for the next scan;
   nothing is charged meanwhile.
2. *End*, in one transaction: the status, the invoices that nobody is collecting at this instant,
   and what goes back of the period that runs.
3. *Wind up*, again and again until nothing is left: whatever was in flight is awaited, and what
   turns out paid is given back as was asked for. It is found by rows, so no message that is lost
   makes anyone forget it. The subscription is closed once no invoice of it is open.
"""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.cancellation import RefundChoice, look_again_at, refund_of
from shared.billing.errors import BillingError
from shared.billing.events import Event, EventName
from shared.billing.inquiry import StillUnresolved
from shared.billing.invoice import InvoiceStatus
from shared.billing.lifecycle import SubscriptionStatus
from shared.billing.money import Price
from shared.billing.refund import RefundCause
from shared.billing.reserving import ReservationStatus
from shared.billing.rules import InquiryPolicy
from shared.clock import Clock
from shared.db import (
    claims,
    endings,
    invoices,
    outbox,
    payments,
    remains,
    reserved_periods,
    stranded,
)
from shared.db.endings import Due, Ending, Wish
from shared.db.engine import Database
from shared.db.invoices import Closing
from shared.db.remains import EndPayment, OpenInvoice
from shared.db.stranded import Returning
from worker.services.refund_requests import RefundRequest, request_refund

log = structlog.get_logger(__name__)

ENDED, CLOSED, AWAITED, RESERVED = "ended", "closed", "awaited", "reserved"
_CANCELED = "the subscription is canceled"


class Reservations(Protocol):
    """Whoever keeps what is planned with billing keys."""

    async def revoke_schedules(
        self, customer_uid: str, merchant_uids: Sequence[str] | None = None
    ) -> StillUnresolved | None:
        """Revoke reservations of a billing key, all or those named; None once none waits."""


@dataclass(frozen=True, slots=True)
class EndSubscriptions:
    """End those of the subscriptions that are due, and wind up those that ended."""

    database: Database
    gateway: Reservations
    clock: Clock
    policy: InquiryPolicy
    # How long PortOne has to book what was reserved.
    settle_delay: timedelta

    async def __call__(self, subscription_ids: Sequence[UUID]) -> list[str]:
        """Return what became of each that there was anything to do for, for people."""
        due = await self.database.run(
            lambda connection: endings.due(connection, subscription_ids, self.clock.now())
        )
        reserved = await self._revoke({item.customer_uid for item in due if item.customer_uid})
        await self._revoke_begun([item.subscription_id for item in due])
        return [await self._work(item, reserved) for item in due]

    async def _revoke(self, customer_uids: Collection[str]) -> dict[str, StillUnresolved]:
        """Have reservations revoked; return the keys of which nobody can say that none is left."""
        answers = await asyncio.gather(*(self._revoke_one(uid) for uid in customer_uids))
        return {
            uid: answer
            for uid, answer in zip(customer_uids, answers, strict=True)
            if answer is not None
        }

    async def _revoke_begun(self, subscription_ids: Sequence[UUID]) -> None:
        """Have revoked what PortOne may still execute of periods that have begun.

        Whether that came in time is read by the inquiry of the attempt.
        """
        pending = await self.database.run(
            lambda connection: reserved_periods.still_to_come(
                connection, subscription_ids, self.clock.now()
            )
        )
        for customer_uid, merchant_uids in pending.items():
            try:
                await self.gateway.revoke_schedules(customer_uid, merchant_uids)
            except Exception:
                log.exception("revocation_failed")

    async def _revoke_one(self, customer_uid: str) -> StillUnresolved | None:
        try:
            return await self.gateway.revoke_schedules(customer_uid)
        except Exception as error:
            # A fault of ours must not end the subscription, nor keep the others from their end.
            log.exception("revocation_failed")
            return StillUnresolved(f"{type(error).__name__} in our own code")

    async def _work(self, item: Due, reserved: dict[str, StillUnresolved]) -> str:
        unresolved = reserved.get(item.customer_uid or "")
        if unresolved is not None:
            log.warning(
                "end_waits_for_revocation",
                subscription_id=str(item.subscription_id),
                cause=unresolved.cause,
            )
            return RESERVED
        return await self.database.run(partial(self._end, subscription_id=item.subscription_id))

    async def _end(self, connection: AsyncConnection, subscription_id: UUID) -> str:
        """Write the end, if it is still to come, and whatever follows from it by now."""
        now = self.clock.now()
        held = await remains.lock_open_invoices(connection, subscription_id)
        ending = await endings.lock(connection, subscription_id)
        if ending is None or ending.closed_at is not None:
            return CLOSED
        canceled_at = ending.canceled_at
        ends = ending.is_due(now)
        if not ends and ending.status is not SubscriptionStatus.CANCELED:
            return AWAITED
        if not await self._let_go(connection, ending, now):
            return RESERVED
        if ends and ending.wish is not None:
            canceled_at = ending.wish.cancel_at
            await endings.end(connection, subscription_id)
            await outbox.write(connection, [_canceled(subscription_id, ending.wish, now)])
        await self._void(connection, subscription_id, held, now)
        # Before the payments are read: whatever is paid later than this was open here.
        is_open = await remains.anything_open(connection, subscription_id)
        told = await _give_back(connection, ending, canceled_at, now)
        if not is_open and told:
            await endings.close(connection, subscription_id, now)
            return CLOSED
        return ENDED if ends else AWAITED

    async def _let_go(self, connection: AsyncConnection, ending: Ending, now: datetime) -> bool:
        """Say whether nothing is reserved for a subscription any more, and see to it if not.

        What PortOne has executed all the same becomes an invoice like any other: its result is
        read, and what was paid for a period that does not come is given back. Where nobody has
        asked for the end, whoever looks at reservations does so.
        """
        subscription_id = ending.subscription_id
        live = (await reserved_periods.hold(connection, [subscription_id])).get(subscription_id)
        if live is None:
            return True
        if live.status is ReservationStatus.EXECUTED:
            if ending.wish is None:
                return False
            become = ReservationStatus.COLLECTED
            await stranded.bill(connection, live, self.settle_delay, now, become)
            return True
        asked = await reserved_periods.recall(
            connection, [subscription_id], "the subscription ends", now
        )
        return live.status is ReservationStatus.PLANNED and not asked

    async def _void(
        self, connection: AsyncConnection, subscription_id: UUID, held: Sequence[int], now: datetime
    ) -> None:
        """Void the locked invoices of which nothing may have moved money.

        An attempt that waits has certainly moved none, unless an earlier send of it was lost: that
        the gateway showed no record of it was enough to send it again under the same uid, which
        the gateway refuses if it holds a payment after all. Nothing is sent any more, so the
        gateway is asked on instead, and a payment that it did not show is given back like any
        other that comes late.
        """
        void: list[OpenInvoice] = []
        for invoice in await remains.lock_idle(connection, held):
            look_at = invoice.doubt_since and look_again_at(invoice.doubt_since, now, self.policy)
            if invoice.attempt_id is not None and look_at is not None:
                seen = self.policy.no_records_needed - 1
                await remains.doubt(connection, invoice.attempt_id, look_at, seen)
            else:
                void.append(invoice)
        await claims.void_waiting(
            connection, [invoice.attempt_id for invoice in void if invoice.attempt_id is not None]
        )
        await invoices.close_without_call(
            connection, [voided(subscription_id, invoice, _CANCELED, now) for invoice in void], now
        )


async def _give_back(
    connection: AsyncConnection, ending: Ending, canceled_at: datetime | None, now: datetime
) -> bool:
    """Have given back what the wish says; return whether all of it could be told.

    Nobody asked for an end by dunning, and what is paid after it was owed: nothing goes back by
    itself, and a payment at an invoice that had ended otherwise has a dead letter.
    """
    wish = ending.wish
    if wish is None or canceled_at is None:
        return True
    told = True
    for found in await remains.payments_at_end(connection, ending.subscription_id, canceled_at):
        try:
            price = await _price(connection, found, ending.time_zone, wish, canceled_at)
        except BillingError as error:
            # A row that makes no sense: its refund waits until it does, and the rest goes on.
            log.exception("refund_impossible", payment_id=found.payment_id, fault=str(error))
            told = False
            continue
        if price is not None:
            cause = RefundCause.LATE_PAYMENT if found.is_late else RefundCause.CANCELLATION
            request = RefundRequest(
                found.payment_id, price.amount, price.tax_free, wish.reason, wish.requester, cause
            )
            await request_refund(connection, request, now)
    return told


async def _price(
    connection: AsyncConnection, found: EndPayment, zone: str, wish: Wish, canceled_at: datetime
) -> Price | None:
    """Return what goes back of a payment, which is locked so that nobody else asks meanwhile."""
    payment = await payments.lock(connection, found.payment_id)
    if payment is None:
        return None
    if found.period.start_at >= canceled_at:
        # Nothing of such a period was used or owed, whatever was wished.
        choice = RefundChoice.FULL
    else:
        choice = wish.late_payment if found.is_late else wish.refund
    paid, left = payment.balance.paid, payment.left
    return refund_of(choice, paid, left, found.period, zone, canceled_at)


def _canceled(subscription_id: UUID, wish: Wish, now: datetime) -> Event:
    return Event(
        EventName.SUBSCRIPTION_CANCELED,
        subscription_id,
        {
            "canceled_at": wish.cancel_at.isoformat(),
            "reason": wish.reason,
            "requester": wish.requester,
            "refund": wish.refund,
            "late_payment": wish.late_payment,
            "at": now.isoformat(),
        },
    )


def voided(
    subscription_id: UUID, invoice: OpenInvoice | Returning, message: str, now: datetime
) -> Closing:
    """Return the end of an open invoice that nobody is going to pay."""
    return Closing(
        invoice.invoice_id,
        InvoiceStatus.VOID,
        message,
        Event(
            EventName.INVOICE_VOIDED,
            subscription_id,
            {
                "invoice_id": invoice.invoice_id,
                "period_index": invoice.period_index,
                "amount": invoice.price.amount,
                "tax_free": invoice.price.tax_free,
                "at": now.isoformat(),
            },
        ),
    )
