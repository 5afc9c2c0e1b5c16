"""What an installation stands on, looked at one by one: servers, tables, clocks, the gateway."""

import asyncio
import enum
import sys
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

from redis.exceptions import RedisError
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.inquiry import StillUnresolved
from shared.clock import Clock
from shared.config import Settings, SettingsError, load
from shared.db import catalog, installation
from shared.db.migrate import POSTGRESQL_VERSION_MIN
from shared.jobs.beat import LEASE_KEY
from worker.console import queues
from worker.console.endings import MisusedError
from worker.console.rendering import age

# What leases rest on (docs/architecture.md, "What is assumed").
CLOCKS_APART_MAX: Final = timedelta(minutes=1)
REDIS_VERSION_MIN: Final = (6, 2)
_LISTED_MAX: Final = 5
_GATEWAY_SECRETS: Final = ("DALMADA_PORTONE_IMP_KEY", "DALMADA_PORTONE_IMP_SECRET")
_UPGRADE: Final = "Run `python -m shared.db.migrate upgrade` as the owner of the tables."


class Verdict(enum.StrEnum):
    """How one part was found; ``unknown`` where nobody can say from here."""

    WELL = "well"
    WRONG = "wrong"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Examined:
    """One part of the environment.

    Attributes:
        found: What was found, in words.
        remedy: What to do about it, or None where nothing is to be done.
    """

    name: str
    verdict: Verdict
    found: str
    remedy: str | None = None


def settings() -> tuple[Settings | None, Examined]:
    """Return the settings of the processes, as far as this environment has them all."""
    try:
        made = load()
    except SettingsError as error:
        lines = str(error).splitlines()[1:]
        faults = [" ".join(line.split()) for line in lines]
        others = [fault for fault in faults if not fault.startswith(_GATEWAY_SECRETS)]
        if others:
            found = "; ".join(others)
            return None, Examined("settings", Verdict.WRONG, found, "See .env.example.")
        found = "the gateway's login is not set here, so the gateway is not asked"
        return None, Examined("settings", Verdict.UNKNOWN, found)
    python = ".".join(map(str, sys.version_info[:3]))
    return made, Examined("settings", Verdict.WELL, f"valid, read by Python {python}")


async def database(connection: AsyncConnection, clock: Clock) -> list[Examined]:
    """Return what is to be said of the database, by a connection to it."""
    begun_at = clock.now()
    server = await catalog.server(connection)
    answered_at = clock.now()
    missing = await catalog.missing_columns(connection)
    found = [
        _version("PostgreSQL", server.version >= POSTGRESQL_VERSION_MIN, server.version_text, "14"),
        _clock("clock of the database", server.now, begun_at, answered_at),
        _tables(missing),
    ]
    if missing:
        # Of tables that are not there nothing else can be said.
        return found
    promises = await catalog.missing_promises(connection)
    return [
        *found,
        _promises(promises),
        *await _rights(connection, server),
        await _set_back(connection),
    ]


def _version(name: str, is_new: bool, version: str, least: str) -> Examined:  # noqa: FBT001 - read in one place
    if is_new:
        return Examined(name, Verdict.WELL, version)
    return Examined(name, Verdict.WRONG, f"{version} is too old", f"Use {least} or newer.")


def _clock(name: str, theirs: datetime, begun_at: datetime, answered_at: datetime) -> Examined:
    """Compare a clock with ours, which has gone on while it was asked."""
    ours = begun_at + (answered_at - begun_at) / 2
    apart = abs(theirs - ours)
    if apart <= CLOCKS_APART_MAX:
        return Examined(
            name, Verdict.WELL, f"agrees with ours within {apart.total_seconds():.1f} s"
        )
    found = f"differs from ours by {age(apart.total_seconds())}: leases are compared by it"
    return Examined(name, Verdict.WRONG, found, "Have both machines keep time by NTP.")


def _tables(missing: list[str]) -> Examined:
    if not missing:
        return Examined("tables", Verdict.WELL, "those of this version")
    return Examined("tables", Verdict.WRONG, f"these are missing: {_listed(missing)}", _UPGRADE)


def _promises(missing: list[str]) -> Examined:
    if not missing:
        return Examined("constraints", Verdict.WELL, "all there, and valid")
    found = f"these are gone or not valid, and with them what they promise: {_listed(missing)}"
    remedy = "Stop the workers, make them again as the migrations have them, and look for doubles."
    return Examined("constraints", Verdict.WRONG, found, remedy)


async def _rights(connection: AsyncConnection, server: catalog.Server) -> list[Examined]:
    granted = await catalog.granted(connection)
    who = ", ".join(server.roles) if server.roles else "no role of ours"
    found = f"{server.login} owns the tables" if server.owns else f"{server.login} is in {who}"
    login = Examined("login", Verdict.WELL, found)
    if not granted.there:
        none = "the server has none of our roles: every process connects as the tables' owner"
        return [login, Examined("rights", Verdict.WELL, none)]
    if not granted.missing and not granted.beside:
        return [login, Examined("rights", Verdict.WELL, "those of this version")]
    wrong = [f"not granted: {_listed(granted.missing)}"] if granted.missing else []
    wrong += [f"granted beside them: {_listed(granted.beside)}"] if granted.beside else []
    return [login, Examined("rights", Verdict.WRONG, "; ".join(wrong), _UPGRADE)]


async def _set_back(connection: AsyncConnection) -> Examined:
    if await installation.is_held(connection):
        found = "the database was set back to an older state: nothing is charged"
        return Examined(
            "recovery", Verdict.WRONG, found, "Run `dalmada recover`; docs/recovery.md."
        )
    return Examined("recovery", Verdict.WELL, "the database is not known to have been set back")


def redis(url: str, clock: Clock) -> Iterator[Examined]:
    """Yield what is to be said of Redis."""
    try:
        client = queues.connect(url)
    except MisusedError as error:
        yield Examined("Redis", Verdict.WRONG, str(error))
        return
    try:
        begun_at = clock.now()
        seconds, microseconds = _answer(client.time())
        answered_at = clock.now()
        said = _answer(client.info())
        leads = bool(client.exists(LEASE_KEY))
    except (RedisError, OSError) as error:
        words = " ".join(str(error).split()) or type(error).__name__
        yield Examined(
            "Redis", Verdict.WRONG, f"cannot be asked: {words}", "Is DALMADA_REDIS_URL right?"
        )
        return
    finally:
        client.close()
    version = str(said["redis_version"])
    numbers = tuple(int(part) for part in version.split(".")[:2])
    yield _version("Redis", numbers >= REDIS_VERSION_MIN, version, "6.2")
    theirs = datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=microseconds)
    yield _clock("clock of Redis", theirs, begun_at, answered_at)
    yield _policy(str(said.get("maxmemory_policy", "unknown")), int(said.get("maxmemory", 0)))
    yield _beat(leads=leads)


def _answer(answer: Awaitable[Any] | Any) -> Any:
    """Return what a client that does not wait has answered; its types say it might."""
    return cast("Any", answer)


def _policy(policy: str, maximum: int) -> Examined:
    name = "memory of Redis"
    if policy == "noeviction" or not maximum:
        return Examined(name, Verdict.WELL, "forgets no message to make room")
    found = f"maxmemory-policy is {policy}: messages are forgotten when it is full"
    return Examined(name, Verdict.WRONG, found, "Set maxmemory-policy to noeviction.")


def _beat(*, leads: bool) -> Examined:
    if leads:
        return Examined("beat", Verdict.WELL, "one holds the lease")
    found = "none holds the lease, so nobody says when to look"
    return Examined("beat", Verdict.WRONG, found, "Start `celery -A scheduler.app beat`.")


def gateway(made: Settings, clock: Clock) -> list[Examined]:
    """Return what is to be said of the gateway and of the merchant's channels there."""
    return asyncio.run(_gateway(made, clock))


async def _gateway(made: Settings, clock: Clock) -> list[Examined]:
    from worker import bootstrap  # noqa: PLC0415 - brings every service along
    from worker.services.channel_check import faults_of  # noqa: PLC0415

    async with bootstrap.gateway(made, clock) as asked:
        channels = await asked.channels()
    if isinstance(channels, StillUnresolved):
        found = f"could not be asked: {channels.cause}"
        remedy = "If it lasts, see PortOne's status page and DALMADA_PORTONE_BASE_URL."
        return [Examined("gateway", Verdict.UNKNOWN, found, remedy)]
    answers = Examined("gateway", Verdict.WELL, f"answers, with {len(channels)} channels")
    faults = faults_of(channels, bootstrap.channel_terms(made))
    if not faults:
        return [answers, Examined("channels", Verdict.WELL, "as the settings have them")]
    return [answers, *(Examined("channels", Verdict.WRONG, fault) for fault in faults)]


def _listed(names: list[str] | tuple[str, ...]) -> str:
    more = len(names) - _LISTED_MAX
    listed = ", ".join(names[:_LISTED_MAX])
    return f"{listed} and {more} more" if more > 0 else listed
