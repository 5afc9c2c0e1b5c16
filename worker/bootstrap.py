"""The composition root of a worker: the one place that builds adapters from settings."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from redis.asyncio import Redis

from shared.clock import WallClock
from shared.config import Settings, load
from shared.db import dead_letters
from shared.db.engine import Database, connect
from shared.runtime import Runtime
from worker.events.stream import StreamPublisher
from worker.gateway.adapter import PortOneGateway
from worker.gateway.client import PortOne
from worker.gateway.settings import GatewaySettings
from worker.gateway.texts import DEAD_METHOD_MARKERS
from worker.services.charge import ChargeInvoices
from worker.services.grouping import Grouping
from worker.services.inquire import InquireAttempts
from worker.services.relay import RelayEvents
from worker.services.settle import SettleMoves


@dataclass(frozen=True, slots=True)
class Services:
    """Every service of a worker, ready to be called on the process's loop."""

    database: Database
    charge_invoices: ChargeInvoices
    inquire_attempts: InquireAttempts
    relay_events: RelayEvents

    async def bury_message(self, task: str, cause: str, message: str) -> None:
        """Keep a message that cannot be worked."""
        await self.database.run(
            lambda connection: dead_letters.bury_message(connection, task, cause, message)
        )


@asynccontextmanager
async def services() -> AsyncIterator[Services]:
    """Build the services of this process from its settings, and close what they hold at the end."""
    settings = load()
    clock, rules = WallClock(), settings.collection_rules
    async with AsyncExitStack() as resources:
        database = connect(
            settings.database_url.get_secret_value(),
            connections_max=settings.database_connections_max,
        )
        resources.push_async_callback(database.aclose)
        redis = Redis.from_url(
            settings.redis_url.get_secret_value(), socket_timeout=5, socket_connect_timeout=5
        )
        resources.push_async_callback(redis.aclose)
        client = PortOne(gateway_settings(settings))
        resources.push_async_callback(client.aclose)
        gateway = PortOneGateway(client, send_window_s=settings.send_window_s)
        settle = Grouping(SettleMoves(database, clock, rules))
        yield Services(
            database=database,
            charge_invoices=ChargeInvoices(
                database,
                gateway,
                settle,
                clock,
                rules,
                settings.minimum_amount,
                settings.naver_use_cfm,
            ),
            inquire_attempts=InquireAttempts(
                database, gateway, settle, clock, rules, not settings.portone_test_mode
            ),
            relay_events=RelayEvents(
                database,
                StreamPublisher(redis, settings.event_stream, settings.event_stream_length_max),
                clock,
                settings.relay_rows_max,
            ),
        )


def gateway_settings(settings: Settings) -> GatewaySettings:
    """Return what the gateway's client needs of the settings."""
    return GatewaySettings(
        base_url=settings.portone_base_url,
        imp_key=settings.portone_imp_key,
        imp_secret=settings.portone_imp_secret,
        test_mode=settings.portone_test_mode,
        minimum_amount=settings.minimum_amount,
        connect_timeout_s=settings.gateway_connect_timeout_s,
        read_timeout_s=settings.gateway_read_timeout_s,
        total_timeout_s=settings.gateway_total_timeout_s,
        connections_max=settings.gateway_connections_max,
        dead_method_markers=DEAD_METHOD_MARKERS + settings.dead_method_markers,
    )


runtime = Runtime(services)
