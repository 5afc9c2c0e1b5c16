"""PortOne V1 in typed calls: two that move money and are never repeated, and some that do not."""

import asyncio
import json
import ssl

import httpx

from shared.billing.inquiry import PaymentRecord, RecordStatus
from shared.billing.outcome import FaultScope, Misconfigured, Outcome
from shared.billing.refund import RefundClaim, RefundOutcome, Requester
from shared.billing.use_confirmation import korean_date
from shared.clock import Clock, WallClock
from worker.gateway import texts
from worker.gateway.calls import Call, Calls, segment
from worker.gateway.channel import Channel, Reply
from worker.gateway.errors import GatewayRefused, GatewayUnavailable
from worker.gateway.fence import Fence
from worker.gateway.outcomes import HTTP_OK, outcome_of_reply
from worker.gateway.refund_outcomes import outcome_of_refund
from worker.gateway.refusals import error_of_failure, error_of_reply
from worker.gateway.requests import (
    ChargeRequest,
    UnfitRequest,
    body_of,
    deletion_query,
    prepare_body,
    refund_body_of,
    unschedule_body,
)
from worker.gateway.sends import Sends
from worker.gateway.settings import GatewaySettings
from worker.gateway.tokens import Tokens
from worker.gateway.wire import (
    Auth,
    BillingKeyRecord,
    Customer,
    Payment,
    PaymentPage,
    PreparedAmount,
    Unreadable,
    reader,
)

_GET_TOKEN = "/users/getToken"  # noqa: S105 - a path
_AGAIN = "/subscribe/payments/again"
_CANCEL = "/payments/cancel"
_CUSTOMERS = "/subscribe/customers"
_PREPARE = "/payments/prepare"
_UNSCHEDULE = "/subscribe/payments/unschedule"
_PAGE_LENGTH = 100
_PAGES_MAX = 10

_read_auth = reader(Auth)
_read_customer = reader(Customer)
_read_page = reader(PaymentPage)
_read_payment = reader(Payment)
_read_prepared = reader(PreparedAmount)
# An object or a list, as the versions of the documents differ.
_read_revoked = reader(object)


class PortOne:
    """The gateway of one merchant.

    ``charge`` and ``refund`` return how it ended, always. The others may be repeated at will, and
    raise ``GatewayError`` when nobody can say.
    An instance belongs to the event loop that first uses it.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        *,
        clock: Clock | None = None,
        ssl_context: ssl.SSLContext | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Prepare; the first call connects, over ``transport`` if one is given (``Channel``)."""
        self._settings = settings
        self._clock = clock or WallClock()
        self._channel = Channel(settings, ssl_context, transport)
        self._tokens = Tokens(self._issue_token, self._clock.boot_s)
        self._sends = Sends(self._channel, self._tokens, settings.total_timeout_s)
        self._calls = Calls(self._channel, self._tokens, settings.total_timeout_s)

    async def charge(self, request: ChargeRequest, fence: Fence) -> Outcome:
        """Charge a billing key once and return how it ended; see ``Sends``."""
        settings = self._settings
        try:
            body = body_of(
                request,
                minimum_amount=settings.minimum_amount,
                today=korean_date(self._clock.now()),
            )
        except UnfitRequest as unfit:
            return Misconfigured(str(unfit), FaultScope.REQUEST)

        def read(reply: Reply) -> Outcome:
            return outcome_of_reply(
                reply.status_code,
                reply.headers,
                reply.body,
                request.expectation,
                settings.dead_method_markers,
            )

        return await self._sends.send(_AGAIN, body, fence, read)

    async def refund(self, claim: RefundClaim, fence: Fence) -> RefundOutcome:
        """Give money back once and return how it ended; see ``Sends``."""
        try:
            body = refund_body_of(claim)
        except UnfitRequest as unfit:
            return Misconfigured(str(unfit), FaultScope.REQUEST)

        def read(reply: Reply) -> RefundOutcome:
            return outcome_of_refund(reply.status_code, reply.headers, reply.body, claim)

        return await self._sends.send(_CANCEL, body, fence, read)

    async def payments_of(self, merchant_uid: str) -> list[PaymentRecord]:
        """Return every record under a ``merchant_uid``, oldest first; none at all is an empty list.

        Whether PortOne shows payments of test channels here is not documented: in test mode an
        empty list does not prove that nothing was charged.

        Raises:
            GatewayError: Nobody can say, or not all of it.
        """
        payments: list[Payment] = []
        for number in range(1, _PAGES_MAX + 1):
            path = f"/payments/findAll/{segment(merchant_uid)}"
            query = f"?page={number}&limit={_PAGE_LENGTH}&sorting=started"
            page = await self._calls.make(Call(path + query, _read_page))
            if page is None and not payments:
                return []
            if page is None or (page.total and not page.payments):
                message = "the gateway counts records that it does not show"
                raise GatewayUnavailable(message)
            payments += page.payments
            if page.next == 0:
                payments.sort(key=lambda payment: payment.started_at)
                return [payment.record() for payment in payments]
        message = f"more than {_PAGES_MAX * _PAGE_LENGTH} records under one merchant_uid"
        raise GatewayUnavailable(message)

    async def find(
        self, merchant_uid: str, status: RecordStatus | None = None
    ) -> PaymentRecord | None:
        """Return the latest record under a ``merchant_uid``, of one status if given.

        Raises:
            GatewayError: Nobody can say.
        """
        path = f"/payments/find/{segment(merchant_uid)}"
        if status is not None:
            path += f"/{status}"
        payment = await self._calls.make(Call(path, _read_payment))
        return None if payment is None else payment.record()

    async def payment(self, imp_uid: str) -> PaymentRecord | None:
        """Return one payment by the gateway's own id, those of test channels in test mode only.

        Raises:
            GatewayError: Nobody can say.
        """
        path = f"/payments/{segment(imp_uid)}"
        if self._settings.test_mode:
            path += "?include_sandbox=true"
        payment = await self._calls.make(Call(path, _read_payment))
        return None if payment is None else payment.record()

    async def customer(self, customer_uid: str) -> BillingKeyRecord | None:
        """Return a billing key; that it is held does not prove that Naver still honours it.

        Raises:
            GatewayError: Nobody can say.
        """
        path = f"{_CUSTOMERS}/{segment(customer_uid)}"
        customer = await self._calls.make(Call(path, _read_customer, secret=customer_uid))
        return None if customer is None else customer.record()

    async def delete_customer(
        self, customer_uid: str, *, reason: str, requester: Requester
    ) -> None:
        """Delete a billing key for good; one that is not there has been deleted.

        Reservations go first: PortOne does not revoke them with the key (V1 spec, ``customers``).

        Raises:
            GatewayError: Nobody can say whether it is gone.
            UnfitRequest: There is no reason, or no such key.
        """
        query = deletion_query(reason, requester)
        path = f"{_CUSTOMERS}/{segment(customer_uid)}?{query}"
        await self._calls.make(Call(path, _read_customer, "DELETE", secret=customer_uid))

    async def unschedule(self, customer_uid: str) -> None:
        """Revoke every reservation of a billing key; where there is none, none is left.

        Raises:
            GatewayError: Nobody can say whether all are revoked.
            UnfitRequest: There is no such key.
        """
        await self._calls.make(
            Call(
                _UNSCHEDULE,
                _read_revoked,
                "POST",
                unschedule_body(customer_uid),
                absent=texts.NOTHING_SCHEDULED + texts.UNREGISTERED,
                absent_by_status=False,
                secret=customer_uid,
            )
        )

    async def prepare(self, merchant_uid: str, amount: int) -> str | None:
        """Bind the windows of a ``merchant_uid`` to an amount; return a refusal byte for byte.

        What is bound already is compared and never changed: another amount was bound by somebody
        else, and a window of theirs may be open.

        Raises:
            GatewayError: Nobody can say whether it is bound.
            UnfitRequest: No window is of that name or amount.
        """
        body = prepare_body(merchant_uid, amount)
        try:
            bound = await self._calls.make(
                Call(_PREPARE, _read_prepared, "POST", body, absent=(), absent_by_status=False)
            )
        except GatewayRefused as refused:
            refusal = refused.message
        else:
            if bound is None or not bound.binds(merchant_uid, amount):
                message = "the gateway says that it has bound something else"
                raise GatewayUnavailable(message)
            return None
        if not texts.says(texts.PREPARED_ALREADY, refusal):
            return refusal
        return None if await self._is_prepared(merchant_uid, amount) else refusal

    async def _is_prepared(self, merchant_uid: str, amount: int) -> bool:
        """Say whether it is this amount to which a ``merchant_uid`` is bound."""
        path = f"{_PREPARE}/{segment(merchant_uid)}"
        found = await self._calls.make(Call(path, _read_prepared, absent=texts.NOT_PREPARED))
        if found is None:
            message = "the gateway says that an amount is bound, and shows none"
            raise GatewayUnavailable(message)
        return found.binds(merchant_uid, amount)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._tokens.aclose()
        await self._channel.aclose()

    async def _issue_token(self) -> Auth:
        """Return a token from the gateway, or raise GatewayError."""
        try:
            async with asyncio.timeout(self._settings.total_timeout_s):
                reply = await self._channel.post(_GET_TOKEN, self._credentials())
        except Exception as error:  # noqa: BLE001 - whatever it is, there is no token
            failure = error_of_failure(error)
        else:
            answer = _read_auth(reply.body)
            if isinstance(answer, Auth):
                if reply.status_code == HTTP_OK:
                    return answer
                answer = Unreadable("a token beside that status")
            failure = error_of_reply(reply.status_code, reply.headers, answer)
        # Raised outside the handler: the failure drags the request along, and with it the secret.
        raise failure

    def _credentials(self) -> bytes:
        """Return the body of ``getToken``."""
        return json.dumps(
            {
                "imp_key": self._settings.imp_key.get_secret_value(),
                "imp_secret": self._settings.imp_secret.get_secret_value(),
            }
        ).encode()
