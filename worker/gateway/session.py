"""What every group of calls goes through: one channel, its token, and the two ways to use it."""

import asyncio
import json
import ssl

import httpx

from shared.clock import Clock, WallClock
from worker.gateway.calls import Calls
from worker.gateway.channel import Channel
from worker.gateway.outcomes import HTTP_OK
from worker.gateway.refusals import error_of_failure, error_of_reply
from worker.gateway.sends import Sends
from worker.gateway.settings import GatewaySettings
from worker.gateway.tokens import Tokens
from worker.gateway.wire import Auth, Unreadable, reader

_GET_TOKEN = "/users/getToken"  # noqa: S105 - a path

_read_auth = reader(Auth)


class Session:
    """The way to the gateway of one merchant, for the calls that stand on it.

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
