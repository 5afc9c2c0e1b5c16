"""The gateway as the services know it: claims in, outcomes and records out."""

from collections.abc import Sequence
from datetime import date

from shared.billing.attempt import Claim
from shared.billing.inquiry import PaymentRecord, StillUnresolved
from shared.billing.outcome import Outcome
from worker.gateway.client import PortOne
from worker.gateway.errors import GatewayError
from worker.gateway.fence import Fence
from worker.gateway.requests import ChargeRequest


class PortOneGateway:
    """PortOne behind the services' ports."""

    def __init__(self, client: PortOne, *, send_window_s: float) -> None:
        """Take the client, and how long after its claim an attempt may leave."""
        self._client = client
        self._send_window_s = send_window_s

    async def charge(
        self, claim: Claim, *, use_confirmation_on: date | None, claimed_at_s: float
    ) -> Outcome:
        """Send one charge and return how it ended."""
        request = ChargeRequest(
            merchant_uid=claim.merchant_uid,
            customer_uid=claim.customer_uid,
            price=claim.price,
            order_name=claim.order_name,
            buyer_name=claim.buyer.name,
            buyer_email=claim.buyer.email,
            buyer_tel=claim.buyer.tel,
            naver_use_cfm=use_confirmation_on,
        )
        return await self._client.charge(request, Fence(claimed_at_s, self._send_window_s))

    async def records_of(self, merchant_uid: str) -> Sequence[PaymentRecord] | StillUnresolved:
        """Return every record under a ``merchant_uid``, oldest first, or why nobody could say."""
        try:
            return await self._client.payments_of(merchant_uid)
        except GatewayError as error:
            return StillUnresolved(str(error))
