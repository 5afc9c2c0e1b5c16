"""The access token: fetched once for everybody who needs it, kept as long as the gateway says."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from worker.gateway.errors import GatewayError, GatewayUnavailable
from worker.gateway.wire import Auth

# Earlier is useless: until a minute is left, getToken gives the same token with the same end.
_REFRESH_AHEAD_S = 60.0


@dataclass(frozen=True, slots=True)
class _Token:
    """A token and until when, on our own clock, it is used."""

    text: str = field(repr=False)
    refresh_at_s: float


class Tokens:
    """The token of one API key.

    PortOne gives all processes of a key the same token, so that nothing has to be agreed between
    them. Its life is the difference of the two instants in the reply; our wall clock has no say.
    """

    def __init__(self, issue: Callable[[], Awaitable[Auth]], clock: Callable[[], float]) -> None:
        """Begin without a token.

        Args:
            issue: Asks the gateway for a token; raises ``GatewayError``.
            clock: Seconds that never jump, and that pass while the machine sleeps.
        """
        self._issue = issue
        self._clock = clock
        self._token: _Token | None = None
        self._fetch: asyncio.Task[_Token | GatewayError] | None = None

    async def current(self) -> str:
        """Return a token, waiting for the one fetch under way if there is none.

        Raises:
            GatewayError: The fetch failed, for everybody who waited for it; the next call fetches
                again.
        """
        token = self._token
        if token is not None and self._clock() < token.refresh_at_s:
            return token.text
        if self._fetch is None:
            self._fetch = asyncio.create_task(self._refresh())
            self._fetch.add_done_callback(self._forget_fetch)
        # Shielded: one waiter who gives up must not take the token from the others.
        fetched = await asyncio.shield(self._fetch)
        if isinstance(fetched, GatewayError):
            raise fetched.with_traceback(None)
        return fetched.text

    def refuse(self, token: str) -> None:
        """Forget a token the gateway answered 401 to, unless another has taken its place."""
        if self._token is not None and self._token.text == token:
            self._token = None

    async def aclose(self) -> None:
        """End a fetch under way."""
        if self._fetch is not None:
            self._fetch.cancel()
            await asyncio.wait([self._fetch])

    async def _refresh(self) -> _Token | GatewayError:
        """Return a new token, or why there is none: as a value, for it is told to many."""
        asked_at_s = self._clock()
        try:
            auth = await self._issue()
        except GatewayError as error:
            return error
        life_s = auth.expired_at - auth.now
        if life_s <= 0:
            return GatewayUnavailable(f"the token ended {-life_s} s before it was given")
        # Counted from before the question: late rather than never is wrong for a token.
        ahead_s = min(_REFRESH_AHEAD_S, life_s / 2)
        self._token = _Token(auth.access_token, asked_at_s + life_s - ahead_s)
        return self._token

    def _forget_fetch(self, _fetch: asyncio.Task[_Token | GatewayError]) -> None:
        """Let the next caller fetch again."""
        self._fetch = None
