"""What is remembered of the database's mark beside it: by each process, and on the broker.

A database that is set back takes its own memory with it. So the highest mark is kept where it does
not lie: on the broker, which may be emptied, and in every process, which may end. Each tells the
other what it knows, so that it is lost only with both.
"""

import asyncio
from datetime import UTC, datetime
from typing import Final, Protocol, cast
from uuid import UUID

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.billing.installation import NEVER_MARKED, UNPROVEN, Mark, Proof, later, proof_of
from shared.clock import Clock

log = structlog.get_logger(__name__)

KEY: Final = "dalmada:installation"
# How often a process that claims asks the broker what others have seen.
_ASK_EVERY_S: Final = 1.0
# For how long an answer is waited for: every batch begins with the question.
_ANSWER_WITHIN_S: Final = 2.0
# Takes what somebody knows, gives back what all know together. A mark of another installation is
# replaced only by whoever has proven that database (the last argument).
_MEET: Final = """
local held = redis.call('hmget', KEYS[1], 'id', 'mark', 'at')
if ARGV[1] ~= '' then
    if not held[1] or (held[1] ~= ARGV[1] and ARGV[4] == '1') then
        redis.call('hset', KEYS[1], 'id', ARGV[1], 'mark', ARGV[2], 'at', ARGV[3])
    elseif held[1] == ARGV[1] then
        if tonumber(ARGV[2]) > tonumber(held[2]) then
            redis.call('hset', KEYS[1], 'mark', ARGV[2])
        end
        if tonumber(ARGV[3]) > tonumber(held[3]) then
            redis.call('hset', KEYS[1], 'at', ARGV[3])
        end
    end
    held = redis.call('hmget', KEYS[1], 'id', 'mark', 'at')
end
return held
"""


class MarksUnreachableError(Exception):
    """Nobody here remembers a mark, and whoever may could not be asked."""


class Marks(Protocol):
    """Whoever remembers the highest mark that was seen."""

    async def seen(self) -> Mark | None:
        """Return the highest mark that anybody remembers, or None if nobody ever saw one.

        Raises:
            MarksUnreachableError: Nobody can say.
        """

    async def publish(self, mark: Mark) -> None:
        """Remember the mark of a database that is proven, in place of any other's."""

    async def proof(self) -> Proof:
        """Return what the database must show before anything is claimed from it.

        Where nobody can say, that is what no database shows.
        """


class NoMarks:
    """Who remembers nothing: whatever is claimed must come from a database that has no mark."""

    async def seen(self) -> Mark | None:
        """Return nothing."""
        return None

    async def publish(self, mark: Mark) -> None:
        """Forget it."""

    async def proof(self) -> Proof:
        """Return that no mark was ever seen."""
        return NEVER_MARKED


NO_MARKS: Final = NoMarks()


class RedisMarks:
    """What this process remembers, and what the broker does."""

    def __init__(self, redis: Redis, clock: Clock) -> None:
        """Take the client of the broker that the messages go through."""
        self._clock = clock
        self._meet = redis.register_script(_MEET)
        self._seen: Mark | None = None
        self._asked_at_s: float | None = None
        # Whether the broker has answered what was asked of it last.
        self._is_told = False

    async def seen(self) -> Mark | None:
        """Return the highest mark known; while the broker is away, what this process remembers.

        Raises:
            MarksUnreachableError: The broker is away, and this process remembers nothing.
        """
        await self._ask()
        if self._seen is None and not self._is_told:
            message = "the broker cannot be asked for the database's mark, and none is known here"
            raise MarksUnreachableError(message)
        return self._seen

    async def publish(self, mark: Mark) -> None:
        """Remember a mark here, and on the broker if it can be reached."""
        self._seen = later(self._seen, mark)
        try:
            await self._tell(mark, is_proven=True)
        except (RedisError, TimeoutError) as error:
            log.warning("marks_unreachable", error=type(error).__name__)

    async def proof(self) -> Proof:
        """Return what the database must show; the broker is asked once a second at most."""
        asked_at_s = self._asked_at_s
        if asked_at_s is None or not 0 <= self._clock.boot_s() - asked_at_s < _ASK_EVERY_S:
            await self._ask()
        if self._seen is None and not self._is_told:
            return UNPROVEN
        return proof_of(self._seen, self._clock.now())

    async def _ask(self) -> None:
        """Learn what the broker knows, if it can be reached."""
        try:
            held = await self._tell(self._seen, is_proven=False)
        except (RedisError, TimeoutError) as error:
            self._is_told = False
            log.warning("marks_unreachable", error=type(error).__name__)
        else:
            self._is_told = True
            self._seen = later(self._seen, held)
        # Also if it failed: a broker that hangs is not waited for by every batch.
        self._asked_at_s = self._clock.boot_s()

    async def _tell(self, mark: Mark | None, *, is_proven: bool) -> Mark | None:
        told = ["", "", ""]
        if mark is not None:
            told = [str(mark.installation_id), str(mark.number), str(_ms(mark.at))]
        async with asyncio.timeout(_ANSWER_WITHIN_S):
            answer = await self._meet(keys=[KEY], args=[*told, "1" if is_proven else "0"])
        id_, number, at_ms = cast("list[bytes | None]", answer)
        if id_ is None or number is None or at_ms is None:
            return None
        at = datetime.fromtimestamp(int(at_ms) / 1000, UTC)
        return Mark(UUID(id_.decode()), int(number), at)


def _ms(instant: datetime) -> int:
    return int(instant.timestamp() * 1000)
