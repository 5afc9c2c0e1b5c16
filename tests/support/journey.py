"""Time travel in one process: the real scans, services and gateway client, a sandbox in memory.

A life of years takes as long as what happens in it; nobody waits, and no socket is opened but the
database's.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from ssl import PROTOCOL_TLS_CLIENT, SSLContext
from typing import Any

from sqlalchemy import Row, text

from deploy.sandbox.behaviours import read_behaviours
from deploy.sandbox.clock import SandboxClock
from deploy.sandbox.console import payment_view
from deploy.sandbox.naver import CARDS
from deploy.sandbox.records import BillingKey
from deploy.sandbox.settings import Settings as SandboxSettings
from deploy.sandbox.state import Sandbox
from deploy.sandbox.tokens import TokenDesk
from deploy.sandbox.window import Answer, Decision, decide, open_window
from deploy.sandbox.window_request import Mode
from deploy.timetravel import audit, rows
from deploy.timetravel.gateway import Book
from deploy.timetravel.machine import Machine
from shared.clock import FixedClock
from shared.db.engine import Database
from tests.simulation.gateway import IMP_KEY, IMP_SECRET, SandboxTransport
from tests.simulation.installation import settings_for
from tests.simulation.loop import Turns
from tests.simulation.seam import Seam
from worker.bootstrap import gateway_settings
from worker.gateway.adapter import PortOneGateway
from worker.gateway.client import PortOne

# Nine in the morning in Korea, on a day that most months do not have.
START_AT = datetime(2026, 1, 31, tzinfo=UTC)
_TLS = SSLContext(PROTOCOL_TLS_CLIENT)


class _Clock(SandboxClock):
    """The sandbox's clock, which is ours."""

    __slots__ = ("_ours",)

    def __init__(self, ours: FixedClock) -> None:
        super().__init__()
        self._ours = ours

    def now(self) -> float:
        return self._ours.instant.timestamp()


class SandboxInside:
    """The sandbox as a traveller steers it, without HTTP."""

    def __init__(self, clock: FixedClock) -> None:
        """Begin with an empty book."""
        self.sandbox = Sandbox(
            TokenDesk(IMP_KEY, IMP_SECRET),
            SandboxSettings(webhook_url="http://127.0.0.1:9/", token_ttl_s=86_400),
            clock=_Clock(clock),
        )

    async def move_clock(self, _now: datetime) -> None:
        """Nothing: there is one clock."""

    async def register(self, customer_uids: Sequence[str]) -> None:
        """Have billing keys, as if their buyers had been through the window."""
        now = self.sandbox.clock.now()
        for customer_uid in customer_uids:
            self.sandbox.book.register(BillingKey(customer_uid, inserted_at=now, updated_at=now))

    async def behave(self, scripts: Mapping[str, Mapping[str, Any]]) -> None:
        """Say what the next charges of buyers end in."""
        self.sandbox.scripts |= read_behaviours({uid: dict(of) for uid, of in scripts.items()})

    def settings(self, **changes: Any) -> None:
        """Change what the gateway does with everybody."""
        self.sandbox.settings = self.sandbox.settings.changed(changes)

    async def end_key(self, customer_uid: str) -> None:
        """Have a buyer take the method away at Naver, so that the key is unknown."""
        self.sandbox.book.end_key(customer_uid)

    async def use_window(self, parameters: Mapping[str, Any], account: str) -> tuple[str, str]:
        """Go through a payment window; return the ``imp_uid`` and ``merchant_uid`` it told."""
        opened = open_window(self.sandbox, dict(parameters), mode=Mode.POPUP)
        answer = Answer(Decision.APPROVE, account, CARDS["shinhan"], "", "")
        result = decide(self.sandbox, opened, answer)
        assert result.imp_uid is not None
        assert result.merchant_uid is not None
        return result.imp_uid, result.merchant_uid

    async def book(self) -> Book:
        """Return every payment record."""
        return [payment_view(payment) for payment in self.sandbox.book.payments()]

    def tries(self) -> int:
        """Return how many charge requests arrived, whatever became of them."""
        return sum(len(seen) for seen in self.sandbox.census.seen.values())


class Journey:
    """An installation on its way through time, with its gateway."""

    def __init__(self, database: Database, machine: Machine, gateway: SandboxInside) -> None:
        """Take what ``journey_of`` makes."""
        self.database = database
        self.machine = machine
        self.gateway = gateway

    @property
    def now(self) -> datetime:
        """The present instant."""
        return self.machine.now

    async def rows(self, statement: str, **values: object) -> list[Row[Any]]:
        """Run one statement in a transaction of its own and return its rows, if it has any."""
        async with self.database.transaction() as connection:
            result = await connection.execute(text(statement), values)
            return list(result) if result.returns_rows else []

    async def violations(self) -> list[str]:
        """Return everything that is wrong by now; nothing may be under way."""
        async with self.database.transaction() as connection:
            found = await rows.read(connection)
        return audit.violations(found, await self.gateway.book(), self.now)


@asynccontextmanager
async def journey_of(
    database: Database, *, at: datetime = START_AT, **changes: Any
) -> AsyncIterator[Journey]:
    """Yield an installation with these settings, on empty tables, at an instant."""
    settings = settings_for(**{"charge_batch_size": 100, "relay_rows_max": 10_000, **changes})
    clock = FixedClock(at)
    inside = SandboxInside(clock)
    client = PortOne(
        gateway_settings(settings),
        clock=clock,
        ssl_context=_TLS,
        transport=SandboxTransport(inside.sandbox, Seam(Turns(lambda _count: 0))),
    )
    gateway = PortOneGateway(client, send_window_s=settings.send_window_s, clock=clock)
    try:
        yield Journey(database, Machine(settings, database, gateway, clock), inside)
    finally:
        await client.aclose()
