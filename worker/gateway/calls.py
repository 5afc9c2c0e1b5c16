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
from worker.gateway.outcomes import HTTP_OK, HTTP_UNAUTHORIZED, by_text
from worker.gateway.refusals import error_of_failure, error_of_reply
from worker.gateway.requests import UnfitRequest
from worker.gateway.tokens import Tokens
from worker.gateway.transport import LONG_REPLY_BYTES_MAX
from worker.gateway.wire import Refusal, Unreadable

T = TypeVar("T")

# All that was asked for, or as far as there is any of it (V1 spec, lists by their ids).
MANY_BY_STATUS = frozenset({HTTP_OK, 207})
_HTTP_BAD_REQUEST = 400
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
        absent: Texts of the gateway by which there is nothing of what was asked for: of this kind
            of thing alone, since a payment or a reservation outlives its billing key.
        absent_by_status: Whether a 404 of its own says so too, whatever its text.
        beyond_by_status: Whether a 400 of its own says that nothing is left: so it answers to a
            page beyond the last, and the page before it was asked for with the same parameters.
        refused_by_status: By which HTTP statuses it says no to this call, as its documents have it.
        whole_by_status: By which it gives what was asked for.
        is_repeated: Whether it is made again when nobody knows what became of it.
        is_long: Whether the answer may be longer than one record.
        secrets: Struck out of what the gateway says, where that is told on.
    """

    path: str = field(repr=False)
    read: Callable[[bytes], T | Refusal | Unreadable]
    method: str = "GET"
    body: bytes = field(default=b"", repr=False)
    absent: tuple[texts.KnownText, ...] = ()
    absent_by_status: bool = True
    beyond_by_status: bool = False
    refused_by_status: frozenset[int] = frozenset()
    whole_by_status: frozenset[int] = frozenset({HTTP_OK})
    is_repeated: bool = True
    is_long: bool = False
    secrets: tuple[str, ...] = field(default=(), repr=False)


def page_call(
    path: str,
    read: Callable[[bytes], T | Refusal | Unreadable],
    number: int,
    secrets: tuple[str, ...] = (),
) -> Call[T]:
    """Return the call for a page of a list; ``number`` counts from 1.

    A 404 is not among the documented answers: only words that are known mean that there is none.
    """
    return Call(
        path,
        read,
        absent=texts.NO_SUCH_PAYMENT,
        absent_by_status=False,
        beyond_by_status=number > 1,
        is_long=True,
        secrets=secrets,
    )


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
                for wait_s in _RETRY_WAITS_S if call.is_repeated else ():
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
        reply = await self._reply_with(token, call)
        if reply.status_code == HTTP_UNAUTHORIZED:
            self._tokens.refuse(token)
            reply = await self._reply_with(await self._tokens.current(), call)
        return reply

    async def _reply_with(self, token: str, call: Call[T]) -> Reply:
        return await self._channel.call(
            call.method,
            call.path,
            call.body,
            token=token,
            reply_bytes_max=LONG_REPLY_BYTES_MAX if call.is_long else None,
        )


def _answer_in(reply: Reply, call: Call[T]) -> T | None:
    """Return what a reply holds, or None if it says that there is nothing.

    That something is absent is believed only of PortOne's own envelope: a 404 of a proxy or of a
    mistyped address would otherwise read as "never charged". Older and newer answers differ in
    the HTTP status (200 or 404), so both are taken.
    """
    answer = call.read(reply.body)
    if isinstance(answer, Refusal):
        _require_absence(reply, answer, call)
        return None
    if isinstance(answer, Unreadable):
        raise error_of_reply(reply.status_code, reply.headers, answer)
    if reply.status_code not in call.whole_by_status:
        unexpected = Unreadable("code 0 beside that status")
        raise error_of_reply(reply.status_code, reply.headers, unexpected)
    return answer


def _require_absence(reply: Reply, answer: Refusal, call: Call[T]) -> None:
    """Return if a refusal says that there is nothing; raise what it says instead."""
    is_known = texts.says(call.absent, answer.message)
    if reply.status_code == HTTP_OK and is_known:
        return
    for secret in call.secrets:
        answer = Refusal(answer.code, answer.message.replace(secret, "…"))
    error = error_of_reply(reply.status_code, reply.headers, answer)
    says_absent = is_known or call.absent_by_status
    is_unclear = isinstance(error, GatewayUnavailable)
    if reply.status_code == _HTTP_NOT_FOUND and says_absent and is_unclear:
        return
    # What the words themselves tell comes first.
    if by_text(answer.message) is None:
        if reply.status_code == _HTTP_BAD_REQUEST and call.beyond_by_status:
            return
        if reply.status_code in call.refused_by_status:
            raise GatewayRefused(str(error), answer.message)
    raise error
