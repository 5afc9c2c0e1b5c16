"""Questions to the gateway: they move nothing, so they may be asked again."""

import asyncio
import random
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import quote

from worker.gateway import texts
from worker.gateway.channel import Channel, Reply
from worker.gateway.errors import GatewayError, GatewayUnavailable
from worker.gateway.outcomes import HTTP_OK, HTTP_UNAUTHORIZED
from worker.gateway.refusals import error_of_failure, error_of_reply
from worker.gateway.tokens import Tokens
from worker.gateway.wire import Refusal, Unreadable

T = TypeVar("T")

ABSENT = texts.NO_SUCH_PAYMENT + texts.UNREGISTERED
_HTTP_NOT_FOUND = 404
_RETRY_WAITS_S = (0.2, 0.8)


def segment(identifier: str) -> str:
    """Return an id as one part of a path.

    Raises:
        ValueError: As a path it would mean something else.
    """
    if identifier in {"", ".", ".."}:
        message = "an id must not be empty, a dot or two dots"
        raise ValueError(message)
    return quote(identifier, safe="")


class Lookups:
    """Asks until it is answered, a few times and within the total time-out."""

    def __init__(self, channel: Channel, tokens: Tokens, total_timeout_s: float) -> None:
        """Ask over ``channel`` with the tokens of ``tokens``."""
        self._channel = channel
        self._tokens = tokens
        self._total_timeout_s = total_timeout_s

    async def ask(
        self,
        path: str,
        read: Callable[[bytes], T | Refusal | Unreadable],
        *,
        secret: str | None = None,
    ) -> T | None:
        """Return what the gateway holds under ``path``, or None if it says that it holds nothing.

        ``secret`` is struck out of what the gateway says, where that is told on.

        Raises:
            GatewayError: Nobody can say.
        """
        try:
            async with asyncio.timeout(self._total_timeout_s):
                for wait_s in _RETRY_WAITS_S:
                    try:
                        return await self._ask_once(path, read, secret)
                    except GatewayUnavailable:
                        # Spread, lest all who failed together come back together.
                        await asyncio.sleep(wait_s * random.uniform(0.5, 1.5))  # noqa: S311
                return await self._ask_once(path, read, secret)
        except TimeoutError:
            message = f"no answer within {self._total_timeout_s} s"
        raise GatewayUnavailable(message)

    async def _ask_once(
        self, path: str, read: Callable[[bytes], T | Refusal | Unreadable], secret: str | None
    ) -> T | None:
        try:
            reply = await self._get(path)
        except GatewayError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing is known
            failure = error_of_failure(error)
        else:
            return _answer_in(reply, read(reply.body), secret)
        # Raised outside the handler: the failure drags the request along, and with it the token.
        raise failure

    async def _get(self, path: str) -> Reply:
        """Return the reply, to a second try with a new token if the first was refused for it."""
        token = await self._tokens.current()
        reply = await self._channel.get(path, token=token)
        if reply.status_code == HTTP_UNAUTHORIZED:
            self._tokens.refuse(token)
            reply = await self._channel.get(path, token=await self._tokens.current())
        return reply


def _answer_in(reply: Reply, answer: T | Refusal | Unreadable, secret: str | None) -> T | None:
    """Return what a reply holds, or None if it says that there is nothing.

    That something is absent is believed only of PortOne's own envelope: a 404 of a proxy or of a
    mistyped address would otherwise read as "never charged". Older and newer answers differ in
    the HTTP status (200 or 404), so both are taken.
    """
    if isinstance(answer, Refusal):
        if reply.status_code == HTTP_OK and texts.says(ABSENT, answer.message):
            return None
        if secret is not None:
            answer = Refusal(answer.code, answer.message.replace(secret, "…"))
        error = error_of_reply(reply.status_code, reply.headers, answer)
        if reply.status_code == _HTTP_NOT_FOUND and isinstance(error, GatewayUnavailable):
            return None
        raise error
    if isinstance(answer, Unreadable):
        raise error_of_reply(reply.status_code, reply.headers, answer)
    if reply.status_code != HTTP_OK:
        unexpected = Unreadable("code 0 beside that status")
        raise error_of_reply(reply.status_code, reply.headers, unexpected)
    return answer
