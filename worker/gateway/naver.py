"""What only a payment by Naver Pay has: points, a confirmed purchase, a cash receipt's amount."""

from shared.billing.refund import Requester
from worker.gateway import texts
from worker.gateway.calls import Call, segment
from worker.gateway.errors import GatewayRefused
from worker.gateway.requests import confirm_body, nothing_body
from worker.gateway.session import Session
from worker.gateway.wire import read_done, reader
from worker.gateway.wire_merchant import CashAmount, NaverCashAmount

_HTTP_BAD_REQUEST = 400
# Naver's own refusal comes under 500, with its words in the body (V1 spec).
_REFUSED = frozenset({500})

_read_cash_amount = reader(NaverCashAmount)


class NaverPay(Session):
    """Naver Pay's own orders and questions about a payment.

    Whether a second accrual or confirmation is refused is not documented: neither is repeated by
    itself.
    """

    async def point(self, imp_uid: str) -> str | None:
        """Have the points of a payment accrued; return a refusal byte for byte.

        Raises:
            GatewayError: Nobody can say whether it was done.
        """
        return await self._order(f"/payments/{segment(imp_uid)}/naver/point", nothing_body())

    async def confirm(self, imp_uid: str, requester: Requester) -> str | None:
        """Confirm the purchase behind a payment; return a refusal byte for byte.

        Raises:
            GatewayError: Nobody can say whether it was done.
        """
        path = f"/payments/{segment(imp_uid)}/naver/confirm"
        return await self._order(path, confirm_body(requester))

    async def cash_amount(self, imp_uid: str) -> CashAmount | None:
        """Return for how much of a payment a cash receipt may be issued; None without a payment.

        Raises:
            GatewayRefused: It is no payment of this kind.
            GatewayError: Nobody can say, or Naver did not, though it was asked again.
        """
        call = Call(
            f"/payments/{segment(imp_uid)}/naver/cash-amount",
            _read_cash_amount,
            # A 404 is not among the documented answers.
            absent=texts.NO_SUCH_PAYMENT,
            absent_by_status=False,
            refused_by_status=frozenset({_HTTP_BAD_REQUEST}),
        )
        amount = await self._calls.make(call)
        return None if amount is None else amount.record()

    async def _order(self, path: str, body: bytes) -> str | None:
        """Give an order once and return the refusal, or None once it is done."""
        call = Call(
            path,
            read_done,
            "POST",
            body,
            absent=(),
            absent_by_status=False,
            refused_by_status=_REFUSED,
            is_repeated=False,
        )
        try:
            await self._calls.make(call)
        except GatewayRefused as refused:
            return refused.message
        return None
