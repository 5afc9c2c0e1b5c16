"""Calls that move no money: questions, and orders that mean the same when they are given twice."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from urllib.parse import quote

from worker.gateway import texts
from worker.gateway.channel import Channel, Reply
from worker.gateway.errors import GatewayError, GatewayRefused, GatewayUnavailable
from worker.gateway.outcomes import HTTP_OK, HTTP_UNAUTHORIZED
from worker.gateway.refusals import error_of_failure, error_of_reply
from worker.gateway.requests import UnfitRequest
from worker.gateway.tokens import Tokens
from worker.gateway.wire import Refusal, Unreadable

T = TypeVar("T")

ABSENT = texts.NO_SUCH_PAYMENT + texts.UNREGISTERED
_HTTP_NOT_FOUND = 404
_RETRY_WAITS_S = (0.2, 0.8)


def segment(identifier: str) -> str:
    """Return an id as one part of a path.

    Raises:
        UnfitRequest: As a path it would mean something else.
    """
    if identifier in {"", ".", ".."}:
        message = "an id must not be empty, a dot or two dots"
        raise UnfitRequest(message)
    try:
        return quote(identifier, safe="")
    except UnicodeEncodeError:
        message = "an id must be text that UTF-8 can hold"
    raise UnfitRequest(message)


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One call, which may be made again.

    Attributes:
        path: With its query; the parts are percent-encoded already.
        read: Reads the reply's body.
        absent: Texts of the gateway by which there is nothing of what was asked for.
        absent_by_status: Whether a 404 of its own says so too, whatever its text.
        secret: Struck out of what the gateway says, where that is told on.
    """

    path: str = field(repr=False)
    read: Callable[[bytes], T | Refusal | Unreadable]
    method: str = "GET"
    body: bytes = field(default=b"", repr=False)
    absent: tuple[texts.KnownText, ...] = ABSENT
    absent_by_status: bool = True
    secret: str | None = field(default=None, repr=False)


class Calls:
    """Makes a call until it is answered, a few times and within the total time-out."""

    def __init__(self, channel: Channel, tokens: Tokens, total_timeout_s: float) -> None:
        """Call over ``channel`` with the tokens of ``tokens``."""
        self._channel = channel
        self._tokens = tokens
        self._total_timeout_s = total_timeout_s

    async def make(self, call: Call[T]) -> T | None:
        """Return the gateway's answer, or None if it says that there is nothing.

        Raises:
            GatewayError: Nobody can say.
        """
        try:
            async with asyncio.timeout(self._total_timeout_s):
                for wait_s in _RETRY_WAITS_S:
                    try:
                        return await self._make_once(call)
                    except GatewayRefused:
                        # It is an answer: the next would be the same.
                        raise
                    except GatewayUnavailable:
                        # Spread, lest all who failed together come back together.
                        await asyncio.sleep(wait_s * random.uniform(0.5, 1.5))  # noqa: S311
                return await self._make_once(call)
        except TimeoutError:
            message = f"no answer within {self._total_timeout_s} s"
        raise GatewayUnavailable(message)

    async def _make_once(self, call: Call[T]) -> T | None:
        try:
            reply = await self._reply_to(call)
        except GatewayError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing is known
            failure = error_of_failure(error)
        else:
            return _answer_in(reply, call)
        # Raised outside the handler: the failure drags the request along, and with it the token.
        raise failure

    async def _reply_to(self, call: Call[T]) -> Reply:
        """Return the reply, to a second try with a new token if the first was refused for it."""
        token = await self._tokens.current()
        reply = await self._channel.call(call.method, call.path, call.body, token=token)
        if reply.status_code == HTTP_UNAUTHORIZED:
            self._tokens.refuse(token)
            token = await self._tokens.current()
            reply = await self._channel.call(call.method, call.path, call.body, token=token)
        return reply


def _answer_in(reply: Reply, call: Call[T]) -> T | None:
    """Return what a reply holds, or None if it says that there is nothing.

    That something is absent is believed only of PortOne's own envelope: a 404 of a proxy or of a
    mistyped address would otherwise read as "never charged". Older and newer answers differ in
    the HTTP status (200 or 404), so both are taken.
    """
    answer = call.read(reply.body)
    if isinstance(answer, Refusal):
        is_known = texts.says(call.absent, answer.message)
        if reply.status_code == HTTP_OK and is_known:
            return None
        if call.secret is not None:
            answer = Refusal(answer.code, answer.message.replace(call.secret, "…"))
        error = error_of_reply(reply.status_code, reply.headers, answer)
        says_absent = is_known or call.absent_by_status
        is_unclear = isinstance(error, GatewayUnavailable)
        if reply.status_code == _HTTP_NOT_FOUND and says_absent and is_unclear:
            return None
        raise error
    if isinstance(answer, Unreadable):
        raise error_of_reply(reply.status_code, reply.headers, answer)
    if reply.status_code != HTTP_OK:
        unexpected = Unreadable("code 0 beside that status")
        raise error_of_reply(reply.status_code, reply.headers, unexpected)
    return answer
