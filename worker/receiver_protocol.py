"""A connection to the receiver, held for a limited time and in a limited crowd.

Uvicorn waits for ever for the rest of a request's head, and of a body that it has answered already,
as long as a byte comes now and then; and whoever opens connections enough leaves none for others.
So a connection is dropped that has had no answer within ten seconds, however busy it looks, and in
a crowd the one goes first that has kept us waiting longest. An honest request is here whole within
milliseconds.
"""

import asyncio
from typing import Any, Final

import h11
import structlog
from uvicorn.protocols.http.h11_impl import H11Protocol

# From the connection, or the answer before, to the answer: longer than a body and the broker may
# take together, and shorter than PortOne waits.
ANSWER_TIMEOUT_S = 10.0
CONNECTIONS_MAX: Final = 512

log = structlog.get_logger("dalmada.receiver")


class BoundedProtocol(H11Protocol):
    """One connection."""

    # None before the first request, which uvicorn's own annotation leaves out.
    cycle: Any
    since_s: float = 0.0
    _deadline: asyncio.TimerHandle | None = None

    @property
    def is_waited_for(self) -> bool:
        """Whether the next step is the other side's: the rest of a request is still to come."""
        return self.cycle is None or self.cycle.response_complete or self.cycle.more_body

    def connection_made(self, transport: Any) -> None:
        """Begin, and make room if there are too many."""
        super().connection_made(transport)
        self._begin()
        if len(self.connections) > CONNECTIONS_MAX:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._end()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Count anew for the next request; what came of it already is worked at once."""
        self._begin()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Say that this is no HTTP, unless something else has been said already."""
        if self.cycle is not None:
            # Whoever works the request has nobody left to answer.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            super().send_400_response(msg)
        else:
            self.transport.close()

    def drop(self, why: str) -> None:
        """End the connection at once, with whatever waits to be sent."""
        log.info("connection_dropped", why=why)
        self._end()
        self.connections.discard(self)
        self.transport.abort()

    def _make_room(self) -> None:
        """Drop the one that has kept us waiting longest; if none has, uvicorn answers 503."""
        others = (one for one in self.connections if isinstance(one, BoundedProtocol))
        waited_for = [one for one in others if one is not self and one.is_waited_for]
        if waited_for:
            min(waited_for, key=lambda one: one.since_s).drop("crowd")

    def _begin(self) -> None:
        self._end()
        self.since_s = self.loop.time()
        self._deadline = self.loop.call_later(ANSWER_TIMEOUT_S, self.drop, "slow")

    def _end(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
