"""A world in which every process connects by a login of its own, with its role's rights only."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, TypeVar, get_type_hints

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Row, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from scheduler.bootstrap import Scans
from shared.billing.rules import CollectionRules
from shared.clock import FixedClock
from shared.db.engine import Database, connect
from shared.db.grants import Role
from tests.support.billing import START_AT, World
from tests.support.book import BookedGateway
from tests.support.pools import pools_of
from worker.services.grouping import Grouping
from worker.services.settle import SettleMoves

R = TypeVar("R")
PASSWORD = "planted-login-password"
_acting: ContextVar[Role] = ContextVar("_acting", default=Role.WORKER)


def login_of(role: Role) -> str:
    return f"test_{role}"


def url_as(url: str, user: str, password: str = PASSWORD) -> str:
    """Return an address with another login."""
    made = make_url(url).set(username=user, password=password)
    return made.render_as_string(hide_password=False)


@contextmanager
def logins(url: str) -> Iterator[None]:
    """Give every role of a server a login, and take it away at the end."""
    with psycopg.connect(url, autocommit=True) as connection:
        for role in Role:
            create = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} IN ROLE {}").format(
                sql.Identifier(login_of(role)), PASSWORD, sql.Identifier(role)
            )
            connection.execute(create)
            # A simulated life finds a real deadlock without waiting a real second.
            grant = sql.SQL("GRANT SET ON PARAMETER deadlock_timeout TO {}")
            connection.execute(grant.format(sql.Identifier(login_of(role))))
        try:
            yield
        finally:
            for role in Role:
                login = sql.Identifier(login_of(role))
                connection.execute(sql.SQL("DROP OWNED BY {}").format(login))
                connection.execute(sql.SQL("DROP ROLE {}").format(login))


@contextmanager
def acting(role: Role) -> Iterator[None]:
    """Have what is done meanwhile done by a role's login."""
    token = _acting.set(role)
    try:
        yield
    finally:
        _acting.reset(token)


class Logins(Database):
    """One database by several logins: transactions are those of whoever acts.

    Attributes:
        refused: What the server did not let somebody do, whoever swallowed it.
    """

    def __init__(self, url: str) -> None:
        self.refused: list[str] = []
        self.by_role = {
            role: connect(url_as(url, login_of(role)), connections_max=5) for role in Role
        }

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        with self._watched():
            async with self.by_role[_acting.get()].transaction() as connection:
                yield connection

    async def run(self, work: Callable[[AsyncConnection], Awaitable[R]]) -> R:
        with self._watched():
            return await self.by_role[_acting.get()].run(work)

    async def aclose(self) -> None:
        for database in self.by_role.values():
            await database.aclose()

    @contextmanager
    def _watched(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            if isinstance(error.orig, psycopg.errors.InsufficientPrivilege):
                self.refused.append(f"{_acting.get()}: {error}")
            raise


class StaffedWorld(World):
    """A world that works as the worker, scans as the scheduler, and is looked at by its owner."""

    def __init__(self, *what: Any) -> None:
        super().__init__(*what)
        self.owner = self.database
        self.logins = Logins(self.url)
        self.database = self.logins
        self.settle = Grouping(SettleMoves(self.database, self.clock, self.rules), linger_s=0.001)

    def twin(self) -> "StaffedWorld":
        world = StaffedWorld(self.url, self.runner, self.clock, self.gateway, self.rules)
        self._twins.append(world)
        return world

    async def rows(self, statement: str, **values: object) -> list[Row[Any]]:
        async with self.owner.transaction() as connection:
            result = await connection.execute(text(statement), values)
            return list(result) if result.returns_rows else []

    async def subscribe(self, *args: Any, **agreement: Any) -> list[Any]:
        with acting(Role.CONSOLE):
            return await super().subscribe(*args, **agreement)

    def refused(self) -> list[str]:
        """Return what the server did not let anybody of this world do."""
        return [words for one in self._all() for words in one.logins.refused]

    async def aclose(self) -> None:
        for world in self._all():
            await world.logins.aclose()
        await super().aclose()

    def _all(self) -> "list[StaffedWorld]":
        return [self, *(twin for twin in self._twins if isinstance(twin, StaffedWorld))]


@contextmanager
def staffed_world(url: str, rules: CollectionRules) -> Iterator[StaffedWorld]:
    """Yield a world on a migrated database, in which every scan of ours runs as the scheduler."""
    clock = FixedClock(START_AT)
    runner = pools_of(url).runner
    with pytest.MonkeyPatch.context() as patch:
        for scan in get_type_hints(Scans).values():
            patch.setattr(scan, "__call__", _as_scheduler(scan.__call__))
        world = StaffedWorld(url, runner, clock, BookedGateway(clock), rules)
        try:
            yield world
        finally:
            runner.run(world.aclose())


def _as_scheduler(call: Callable[..., Awaitable[int]]) -> Callable[..., Awaitable[int]]:
    @wraps(call)
    async def scan(self: object) -> int:
        with acting(Role.SCHEDULER):
            return await call(self)

    return scan


def console_environment(url: str, redis_url: str) -> Mapping[str, str]:
    """Return what an operator's commands are started with."""
    return {
        "DALMADA_DATABASE_URL": url_as(url, login_of(Role.CONSOLE)),
        "DALMADA_REDIS_URL": redis_url,
        "DALMADA_PORTONE_CHANNEL_KEY": "channel-key-of-the-test",
    }
