"""PortOne V1 in typed calls: one that charges and is never repeated, and some that look up."""

import asyncio
import json
import ssl

from shared.billing.inquiry import PaymentRecord, RecordStatus
from shared.billing.outcome import (
    FaultScope,
    Misconfigured,
    NotSent,
    Outcome,
    Throttled,
    Unknown,
)
from shared.billing.use_confirmation import korean_date
from shared.clock import Clock, WallClock, boot_clock_s
from worker.gateway.channel import Channel, Reply
from worker.gateway.errors import (
    GatewayError,
    GatewayMisconfigured,
    GatewayThrottled,
    GatewayUnavailable,
)
from worker.gateway.failures import TotalTimeout, outcome_of_failure
from worker.gateway.fence import Departure, Fence
from worker.gateway.lookups import Lookups, segment
from worker.gateway.outcomes import HTTP_OK, HTTP_UNAUTHORIZED, outcome_of_reply
from worker.gateway.refusals import error_of_failure, error_of_reply
from worker.gateway.requests import ChargeRequest, UnfitRequest, body_of
from worker.gateway.settings import GatewaySettings
from worker.gateway.tokens import Tokens
from worker.gateway.wire import (
    Auth,
    BillingKeyRecord,
    Customer,
    Payment,
    PaymentPage,
    Unreadable,
    reader,
)

_GET_TOKEN = "/users/getToken"  # noqa: S105 - a path
_AGAIN = "/subscribe/payments/again"
_PAGE_LENGTH = 100
_PAGES_MAX = 10

_read_auth = reader(Auth)
_read_customer = reader(Customer)
_read_page = reader(PaymentPage)
_read_payment = reader(Payment)


class PortOne:
    """The gateway of one merchant.

    ``charge`` returns how it ended, always. The others raise ``GatewayError`` when nobody can say.
    An instance belongs to the event loop that first uses it.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        *,
        clock: Clock | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        """Prepare; the first call connects."""
        self._settings = settings
        self._clock = clock or WallClock()
        self._channel = Channel(settings, ssl_context)
        self._tokens = Tokens(self._issue_token, boot_clock_s)
        self._lookups = Lookups(self._channel, self._tokens, settings.total_timeout_s)

    async def charge(self, request: ChargeRequest, fence: Fence) -> Outcome:
        """Charge a billing key once and return how it ended.

        The request is written at most once, or twice if the gateway answers 401 to the first: that
        answer is given before anything is done. Nothing is written once the fence is closed.
        """
        settings = self._settings
        try:
            body = body_of(
                request,
                minimum_amount=settings.minimum_amount,
                today=korean_date(self._clock.now()),
            )
        except UnfitRequest as unfit:
            return Misconfigured(str(unfit), FaultScope.REQUEST)
        send = _Send(self._channel, self._tokens, body, fence)
        try:
            async with asyncio.timeout(settings.total_timeout_s):
                reply = await send.reply()
        except GatewayError as error:
            return _outcome_without_token(error)
        except TimeoutError:
            late = TotalTimeout(f"not over within {settings.total_timeout_s} s")
            return outcome_of_failure(late, bytes_may_have_left=send.bytes_may_have_left)
        except Exception as error:  # noqa: BLE001 - whatever it is, money may have moved
            return outcome_of_failure(error, bytes_may_have_left=send.bytes_may_have_left)
        if not send.bytes_may_have_left:
            # The record and the reply contradict each other: then neither may be built upon.
            return Unknown("a reply came to a request that was not seen to leave")
        return outcome_of_reply(
            reply.status_code,
            reply.headers,
            reply.body,
            request.expectation,
            settings.dead_method_markers,
        )

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
            page = await self._lookups.ask(path + query, _read_page)
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
        payment = await self._lookups.ask(path, _read_payment)
        return None if payment is None else payment.record()

    async def payment(self, imp_uid: str) -> PaymentRecord | None:
        """Return one payment by the gateway's own id, those of test channels in test mode only.

        Raises:
            GatewayError: Nobody can say.
        """
        path = f"/payments/{segment(imp_uid)}"
        if self._settings.test_mode:
            path += "?include_sandbox=true"
        payment = await self._lookups.ask(path, _read_payment)
        return None if payment is None else payment.record()

    async def customer(self, customer_uid: str) -> BillingKeyRecord | None:
        """Return a billing key; that it is held does not prove that Naver still honours it.

        Raises:
            GatewayError: Nobody can say.
        """
        path = f"/subscribe/customers/{segment(customer_uid)}"
        customer = await self._lookups.ask(path, _read_customer, secret=customer_uid)
        return None if customer is None else customer.record()

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


class _Send:
    """One charge on its way, with the record of its last departure."""

    def __init__(self, channel: Channel, tokens: Tokens, body: bytes, fence: Fence) -> None:
        self._channel = channel
        self._tokens = tokens
        self._body = body
        self._fence = fence
        self._departure = Departure(fence)

    @property
    def bytes_may_have_left(self) -> bool:
        """Whether bytes of the request may have left, and were not refused with a 401."""
        return self._departure.bytes_may_have_left

    async def reply(self) -> Reply:
        """Return the gateway's reply, to a second departure if the first got a 401."""
        token = await self._tokens.current()
        reply = await self._post(token)
        if reply.status_code == HTTP_UNAUTHORIZED:
            self._tokens.refuse(token)
            self._departure = Departure(self._fence)
            reply = await self._post(await self._tokens.current())
        return reply

    async def _post(self, token: str) -> Reply:
        return await self._channel.post(_AGAIN, self._body, token=token, departure=self._departure)


def _outcome_without_token(error: GatewayError) -> NotSent | Throttled | Misconfigured:
    """Return how a charge ended that had no token to be sent with."""
    match error:
        case GatewayMisconfigured(message=message):
            return Misconfigured(message, FaultScope.GATEWAY)
        case GatewayThrottled(cause=cause, retry_after_s=retry_after_s):
            return Throttled(cause, retry_after_s)
        case _:
            return NotSent(f"no token: {error}")
