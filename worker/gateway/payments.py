"""Payments: charged, given back, and looked up one by one or by their time."""

from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import quote

from shared.billing.inquiry import PaymentRecord, RecordStatus
from shared.billing.outcome import FaultScope, Misconfigured, Outcome
from shared.billing.refund import RefundClaim, RefundOutcome
from shared.billing.use_confirmation import korean_date
from worker.gateway import texts
from worker.gateway.calls import MANY_BY_STATUS, Call, page_call, segment
from worker.gateway.channel import Reply
from worker.gateway.errors import GatewayUnavailable
from worker.gateway.fence import Fence
from worker.gateway.outcomes import outcome_of_reply
from worker.gateway.refund_outcomes import outcome_of_refund
from worker.gateway.requests import ChargeRequest, UnfitRequest, body_of, refund_body_of
from worker.gateway.session import Session
from worker.gateway.sweep import Page, Sweep, Window
from worker.gateway.wire import ListedPayment, Payment, PaymentPage, reader

IDS_MAX: Final = 100
_AGAIN = "/subscribe/payments/again"
_CANCEL = "/payments/cancel"
_PAGE_LENGTH = 100
_PAGES_MAX = 10
_SWEEP_LENGTH = 1_000
_SWEEP_WINDOW_MAX = timedelta(days=90)

_read_page = reader(PaymentPage)
_read_payment = reader(Payment)
_read_payments = reader(list[ListedPayment])


class Payments(Session):
    """What takes money, what gives it back, and what the gateway holds of both."""

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
            call = Call(path + query, _read_page, absent=texts.NO_SUCH_PAYMENT)
            page = await self._calls.make(call)
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
        call = Call(path, _read_payment, absent=texts.NO_SUCH_PAYMENT)
        payment = await self._calls.make(call)
        return None if payment is None else payment.record()

    async def payment(self, imp_uid: str) -> PaymentRecord | None:
        """Return one payment by the gateway's own id, those of test channels in test mode only.

        Raises:
            GatewayError: Nobody can say.
        """
        path = f"/payments/{segment(imp_uid)}"
        if self._settings.test_mode:
            path += "?include_sandbox=true"
        call = Call(path, _read_payment, absent=texts.NO_SUCH_PAYMENT)
        payment = await self._calls.make(call)
        return None if payment is None else payment.record()

    async def payments(
        self, *, imp_uids: Sequence[str] = (), merchant_uids: Sequence[str] = ()
    ) -> list[PaymentRecord]:
        """Return the payments of these ids, as far as there are any.

        How many records of one ``merchant_uid`` PortOne shows here is not documented, nor whether
        those of test channels are: who must know all of one asks ``payments_of``.

        Raises:
            GatewayError: Nobody can say.
        """
        found: list[PaymentRecord] = []
        for name, uids in (("imp_uid[]", imp_uids), ("merchant_uid[]", merchant_uids)):
            for query in list_queries(name, uids):
                call = Call(
                    f"/payments?{query}",
                    _read_payments,
                    absent=texts.NO_SUCH_PAYMENT,
                    whole_by_status=MANY_BY_STATUS,
                    is_long=True,
                )
                found += [payment.record() for payment in await self._calls.make(call) or ()]
        return found

    async def payments_in(
        self, since: datetime, until: datetime, status: RecordStatus | None = None
    ) -> AsyncIterator[PaymentRecord]:
        """Return every record whose status is of ``[since, until)``, a thousand at a time.

        A record's time is that of the status it has: of the beginning for ``ready``, of the
        payment, the failure or the cancellation for the others. So a payment that was cancelled
        after ``until`` is not among those of its day.

        Whether those of test channels are shown is not documented: in test mode, none proves
        nothing.

        Pages are never turned by number, since they shift while records change (``Sweep``): a
        record that changes while it is read is met once or twice, the second time as it stood
        later, unless the change has taken it out of ``[since, until)``. Which of two is the newer
        is told by the order. They come by whole seconds in order of time; within one reply their
        order says nothing.

        Raises:
            GatewayError: Nobody can say, or not all of it; what came before is a part only.
        """
        sweep = Sweep(
            ask=lambda window, number: self._payments_page(window, number, status),
            second_of=lambda payment: payment.status_at,
            window_max_s=int(_SWEEP_WINDOW_MAX.total_seconds()),
            page_length=_SWEEP_LENGTH,
        )
        async for payment in sweep(Window.of(since, until)):
            yield payment.record()

    async def _payments_page(
        self, window: Window, number: int, status: RecordStatus | None
    ) -> Page[Payment]:
        """Return one page of the records of a window; both of its ends are PortOne's to include."""
        path = (
            f"/payments/status/{status or 'all'}?page={number}&limit={_SWEEP_LENGTH}"
            f"&from={window.begin_s}&to={window.end_s - 1}&sorting=started"
        )
        page = await self._calls.make(page_call(path, _read_page, number))
        if page is None:
            return Page((), 0, is_last=True)
        return Page(page.payments, page.total, is_last=page.next == 0)


def list_queries(name: str, uids: Sequence[str]) -> Iterator[str]:
    """Return the queries that ask for ids, as many in each as PortOne takes."""
    given = list(dict.fromkeys(uids))
    for begin in range(0, len(given), IDS_MAX):
        part = given[begin : begin + IDS_MAX]
        yield "&".join(f"{quote(name)}={segment(uid)}" for uid in part)
