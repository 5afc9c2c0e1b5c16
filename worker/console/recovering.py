"""What `dalmada recover` runs: the services of a worker, in this process and by its settings."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from redis.asyncio import Redis

from shared.clock import Clock, WallClock
from shared.config import Settings
from shared.db import audit, installation
from shared.db.engine import Database, connect
from shared.db.installation import Installation
from shared.jobs.marks import RedisMarks
from worker.bootstrap import gateway, recovery
from worker.console import deeds, session
from worker.console.endings import RefusedError
from worker.console.progress import Tell
from worker.gateway.errors import GatewayError
from worker.services.recover import AlreadyRecoveringError, Begun, Recover, Recovered
from worker.services.recover_attempts import UnfinishedError

# How often the wait is told of.
_TOLD_EVERY_S: Final = 1.0
_STATEMENT_TIMEOUT_S: Final = 30.0


@dataclass(slots=True)
class Outcome:
    """How a recovery ended.

    Attributes:
        since: From when on the gateway's book was read; None where nobody could say.
        fault: Why it was broken off, in words; None if it was not.
    """

    since: datetime | None = None
    recovered: Recovered = field(default_factory=Recovered)
    fault: str | None = None


def look() -> Installation | None:
    """Return what the database says of itself."""
    return session.ask(session.load(session.ConsoleSettings), installation.read)


async def recover(settings: Settings, since: datetime | None, tell: Tell) -> Outcome:
    """Recover the database, and say how far it came.

    Raises:
        RefusedError: Another recovery is running, or the database refuses.
    """
    clock = WallClock()
    with session.quietly():
        async with AsyncExitStack() as resources:
            database = connect(
                settings.database_url.get_secret_value(),
                connections_max=settings.database_connections_max,
                statement_timeout_s=_STATEMENT_TIMEOUT_S,
            )
            resources.push_async_callback(database.aclose)
            redis = Redis.from_url(
                settings.redis_url.get_secret_value(), socket_timeout=5, socket_connect_timeout=5
            )
            resources.push_async_callback(redis.aclose)
            portone = await resources.enter_async_context(gateway(settings, clock))
            work = recovery(settings, database, portone, RedisMarks(redis, clock), clock)
            try:
                with session.faults_in_words(_STATEMENT_TIMEOUT_S):
                    async with work.alone():
                        return await _recover(work, database, clock, since, tell)
            except AlreadyRecoveringError as error:
                raise RefusedError(f"{error}.") from None


async def _recover(
    work: Recover, database: Database, clock: Clock, since: datetime | None, tell: Tell
) -> Outcome:
    outcome = Outcome()
    begun: Begun | None = None
    try:
        begun = await work.begin(since)
        outcome.since = begun.since
        await _wait(begun, clock, tell)
        outcome.recovered = await work.adopt(begun, tell)
        await work.finish(outcome.recovered)
    except UnfinishedError as error:
        outcome.fault = f"{error}. Nothing is charged until it is run again and ends well."
    except GatewayError as error:
        outcome.fault = (
            f"PortOne's book could not be read to its end: {error}. Nothing is charged until it is"
            " run again and ends well."
        )
    await database.run(
        lambda connection: audit.note(
            connection,
            actor=deeds.actor(),
            action="recover",
            subject="database",
            reason=outcome.fault if begun is None else begun.cause,
            details={
                "since": None if begun is None else begun.since.isoformat(),
                "finished": outcome.recovered.is_finished,
                "attempts": outcome.recovered.attempts,
                "refunds": outcome.recovered.refunds,
            },
        )
    )
    return outcome


async def _wait(begun: Begun, clock: Clock, tell: Tell) -> None:
    """Wait until nothing that was sent before the hold can be under way."""
    while (left_s := (begun.ready_at - clock.now()).total_seconds()) > 0:
        tell("waits for what may be under way, seconds", int(left_s))
        await asyncio.sleep(min(left_s, _TOLD_EVERY_S))
