"""The gateway as the services know it: claims in, outcomes and records out."""

from collections.abc import AsyncIterator, Sequence
from datetime import date, datetime

from shared.billing.attempt import Claim
from shared.billing.gateway_channel import GatewayChannel
from shared.billing.inquiry import PaymentRecord, RecordStatus, StillUnresolved
from shared.billing.outcome import Outcome
from shared.billing.refund import RefundClaim, RefundOutcome, Requester
from shared.billing.reservation import ScheduledPayment, ScheduleOutcome, ScheduleStatus
from shared.billing.reserving import Reservation
from shared.billing.window import KeyHeld, Prepared
from shared.clock import Clock, WallClock
from worker.gateway.client import PortOne
from worker.gateway.errors import GatewayError
from worker.gateway.fence import Fence
from worker.gateway.requests import ChargeRequest, ScheduleRequest, UnfitRequest


class PortOneGateway:
    """PortOne behind the services' ports."""

    def __init__(
        self, client: PortOne, *, send_window_s: float, clock: Clock | None = None
    ) -> None:
        """Take the client, and how long after its claim, on the services' clock, one may leave."""
        self._client = client
        self._send_window_s = send_window_s
        self._clock = clock or WallClock()

    async def charge(
        self, claim: Claim, *, use_confirmation_on: date | None, claimed_at_s: float
    ) -> Outcome:
        """Send one charge and return how it ended."""
        request = _charge_of(claim, use_confirmation_on)
        return await self._client.charge(request, self._fence(claimed_at_s))

    async def schedule(
        self,
        reservation: Reservation,
        *,
        use_confirmation_on: date | None,
        claimed_at_s: float,
    ) -> ScheduleOutcome:
        """Reserve one charge for an instant of whole seconds and return how that ended."""
        charge = _charge_of(reservation, use_confirmation_on)
        request = ScheduleRequest(charge, reservation.schedule_at)
        return await self._client.schedule(request, self._fence(claimed_at_s))

    async def records_of(self, merchant_uid: str) -> Sequence[PaymentRecord] | StillUnresolved:
        """Return every record under a ``merchant_uid``, oldest first, or why nobody could say."""
        try:
            return await self._client.payments_of(merchant_uid)
        except GatewayError as error:
            return StillUnresolved(str(error))

    async def refund(self, claim: RefundClaim, *, claimed_at_s: float) -> RefundOutcome:
        """Send one refund and return how it ended."""
        return await self._client.refund(claim, self._fence(claimed_at_s))

    async def payment(self, imp_uid: str) -> PaymentRecord | StillUnresolved | None:
        """Return a payment, None if the gateway says there is none, or why nobody could say."""
        try:
            return await self._client.payment(imp_uid)
        except UnfitRequest:
            # Webhooks and browsers may tell anything: no payment is called so.
            return None
        except GatewayError as error:
            return StillUnresolved(str(error))

    async def key(self, customer_uid: str) -> KeyHeld | StillUnresolved | None:
        """Return a billing key, None if the gateway holds none, or why nobody could say."""
        try:
            held = await self._client.customer(customer_uid)
        except GatewayError as error:
            return StillUnresolved(str(error))
        return None if held is None else KeyHeld(held.updated_at)

    async def delete_key(
        self, customer_uid: str, *, reason: str, requester: Requester
    ) -> StillUnresolved | None:
        """Delete a billing key; None once the gateway holds it no more."""
        try:
            await self._client.delete_customer(customer_uid, reason=reason, requester=requester)
        except GatewayError as error:
            return StillUnresolved(str(error))
        return None

    async def revoke_schedules(
        self, customer_uid: str, merchant_uids: Sequence[str] | None = None
    ) -> StillUnresolved | None:
        """Revoke reservations of a billing key, all or those named; None once none waits."""
        try:
            await self._client.unschedule(customer_uid, merchant_uids)
        except GatewayError as error:
            return StillUnresolved(str(error))
        return None

    async def scheduled(self, merchant_uid: str) -> ScheduledPayment | StillUnresolved | None:
        """Return a reservation, None if the gateway holds none, or why nobody could say."""
        try:
            return await self._client.scheduled(merchant_uid)
        except GatewayError as error:
            return StillUnresolved(str(error))

    def payments_in(
        self, since: datetime, until: datetime, status: RecordStatus | None = None
    ) -> AsyncIterator[PaymentRecord]:
        """Return every payment whose status is of ``[since, until)``; see ``PortOne``.

        Raises:
            GatewayError: Nobody can say, or not all of it: a part of a list is no list.
        """
        return self._client.payments_in(since, until, status)

    def schedules_in(
        self, since: datetime, until: datetime, status: ScheduleStatus | None = None
    ) -> AsyncIterator[ScheduledPayment]:
        """Return every reservation whose instant is of ``[since, until)``; see ``PortOne``.

        Raises:
            GatewayError: Nobody can say, or not all of it: a part of a list is no list.
        """
        return self._client.schedules_in(since, until, status)

    async def channels(self) -> Sequence[GatewayChannel] | StillUnresolved:
        """Return the channels of the merchant, or why nobody could say."""
        try:
            return await self._client.channels()
        except GatewayError as error:
            return StillUnresolved(str(error))

    async def prepare(self, merchant_uid: str, amount: int) -> Prepared | StillUnresolved:
        """Register the amount of a window beforehand; harmless to repeat."""
        try:
            return Prepared(await self._client.prepare(merchant_uid, amount))
        except GatewayError as error:
            return StillUnresolved(str(error))

    def _fence(self, claimed_at_s: float) -> Fence:
        return Fence(claimed_at_s, self._send_window_s, self._clock.boot_s)


def _charge_of(claim: Claim | Reservation, use_confirmation_on: date | None) -> ChargeRequest:
    """Return what is asked of the gateway for a claim."""
    return ChargeRequest(
        merchant_uid=claim.merchant_uid,
        customer_uid=claim.customer_uid,
        price=claim.price,
        order_name=claim.order_name,
        buyer_name=claim.buyer.name,
        buyer_email=claim.buyer.email,
        buyer_tel=claim.buyer.tel,
        naver_use_cfm=use_confirmation_on,
    )
