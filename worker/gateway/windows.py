"""Payment windows: the amounts they are bound to, and the channels they are opened through."""

from shared.billing.gateway_channel import GatewayChannel
from worker.gateway import texts
from worker.gateway.calls import Call, segment
from worker.gateway.errors import GatewayRefused, GatewayUnavailable
from worker.gateway.requests import prepare_body
from worker.gateway.session import Session
from worker.gateway.wire import PreparedAmount, reader
from worker.gateway.wire_merchant import PgSetting

_PREPARE = "/payments/prepare"

_read_prepared = reader(PreparedAmount)
_read_channels = reader(list[PgSetting])


class Windows(Session):
    """What the gateway is told of windows before they open, and through what they may."""

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

    async def rebind(self, merchant_uid: str, amount: int) -> bool:
        """Bind what was bound before to another amount; False if nothing was.

        What a window that is open already does then is not documented: only who knows that there
        is none may use this.

        Raises:
            GatewayError: Nobody can say to what it is bound.
            UnfitRequest: No window is of that name or amount.
        """
        body = prepare_body(merchant_uid, amount)
        call = Call(_PREPARE, _read_prepared, "PUT", body, absent=texts.NOT_PREPARED)
        bound = await self._calls.make(call)
        if bound is not None and not bound.binds(merchant_uid, amount):
            message = "the gateway says that it has bound something else"
            raise GatewayUnavailable(message)
        return bound is not None

    async def _is_prepared(self, merchant_uid: str, amount: int) -> bool:
        """Say whether it is this amount to which a ``merchant_uid`` is bound."""
        path = f"{_PREPARE}/{segment(merchant_uid)}"
        found = await self._calls.make(Call(path, _read_prepared, absent=texts.NOT_PREPARED))
        if found is None:
            message = "the gateway says that an amount is bound, and shows none"
            raise GatewayUnavailable(message)
        return found.binds(merchant_uid, amount)

    async def channels(self) -> list[GatewayChannel]:
        """Return every channel that the merchant has set up in the gateway's console.

        Raises:
            GatewayError: Nobody can say.
        """
        call = Call("/users/pg", _read_channels, absent=(), absent_by_status=False, is_long=True)
        return [channel.record() for channel in await self._calls.make(call) or ()]
