"""Requests that move money: each leaves once, behind its fence, and always ends in an outcome."""

import asyncio
from collections.abc import Callable
from typing import Protocol, TypeVar

from shared.billing.outcome import FaultScope, Misconfigured, NotSent, Throttled, Unknown
from worker.gateway.channel import Channel, Reply
from worker.gateway.errors import GatewayError, GatewayMisconfigured, GatewayThrottled
from worker.gateway.failures import TotalTimeout, outcome_of_failure
from worker.gateway.fence import Departure, Fence
from worker.gateway.outcomes import HTTP_UNAUTHORIZED
from worker.gateway.tokens import Tokens

T = TypeVar("T")


class Sends:
    """Sends what takes money and what gives it back, in the same way."""

    def __init__(self, channel: Channel, tokens: Tokens, total_timeout_s: float) -> None:
        """Send over ``channel`` with the tokens of ``tokens``."""
        self._channel = channel
        self._tokens = tokens
        self._total_timeout_s = total_timeout_s

    async def send(
        self,
        path: str,
        body: bytes,
        fence: Fence,
        read: Callable[[Reply], T],
        *,
        holds_id: bool = False,
    ) -> T | NotSent | Throttled | Misconfigured | Unknown:
        """Send a body once and return how it ended, which of a reply is ``read``'s to say.

        The request is written at most once, or twice if the gateway answers 401 to the first: that
        answer is given before anything is done. Nothing is written once the fence is closed.
        ``holds_id`` says that the path is another one for every send.
        """
        post = self._post_anywhere if holds_id else self._channel.post
        send = _Send(post, self._tokens, path, body, fence)
        try:
            async with asyncio.timeout(self._total_timeout_s):
                reply = await send.reply()
        except GatewayError as error:
            return _outcome_without_token(error)
        except TimeoutError:
            late = TotalTimeout(f"not over within {self._total_timeout_s} s")
            return outcome_of_failure(late, bytes_may_have_left=send.bytes_may_have_left)
        except Exception as error:  # noqa: BLE001 - whatever it is, money may have moved
            return outcome_of_failure(error, bytes_may_have_left=send.bytes_may_have_left)
        if not send.bytes_may_have_left:
            # The record and the reply contradict each other: then neither may be built upon.
            return Unknown("a reply came to a request that was not seen to leave")
        return read(reply)

    async def _post_anywhere(
        self, path: str, body: bytes, *, token: str, departure: Departure
    ) -> Reply:
        return await self._channel.call("POST", path, body, token=token, departure=departure)


class _Post(Protocol):
    """Whoever posts a body."""

    async def __call__(
        self, path: str, body: bytes, /, *, token: str, departure: Departure
    ) -> Reply:
        """Return the reply."""


class _Send:
    """One request on its way, with the record of its last departure."""

    def __init__(self, post: _Post, tokens: Tokens, path: str, body: bytes, fence: Fence) -> None:
        self._post_with = post
        self._tokens = tokens
        self._path = path
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
        return await self._post_with(self._path, self._body, token=token, departure=self._departure)


def _outcome_without_token(error: GatewayError) -> NotSent | Throttled | Misconfigured:
    """Return how a send ended that had no token to be sent with."""
    match error:
        case GatewayMisconfigured(message=message):
            return Misconfigured(message, FaultScope.GATEWAY)
        case GatewayThrottled(cause=cause, retry_after_s=retry_after_s):
            return Throttled(cause, retry_after_s)
        case _:
            return NotSent(f"no token: {error}")
