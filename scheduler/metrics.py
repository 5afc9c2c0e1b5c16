"""The figures of an installation for Prometheus: ``python -m scheduler.metrics``.

It reads rows and the lengths of queues and changes nothing, so its login may be a member of
``dalmada_readonly``. It answers whoever reaches it: keep its port within your network.
"""

import argparse
import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Annotated, Final, Literal

import structlog
import uvicorn
from prometheus_client.exposition import choose_encoder
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from scheduler import gauges
from scheduler.gauges import Broker, Figures, Rows
from shared.billing.notice import NoticeLeads
from shared.clock import Clock, WallClock
from shared.config import LogFormat, Settings, require_readable_tls
from shared.db.engine import Database, connect
from shared.jobs import contracts
from shared.jobs.beat import LEASE_KEY
from shared.logs import configure

log = structlog.get_logger(__name__)

QUEUES: Final = tuple(
    sorted(value for name, value in vars(contracts).items() if name.endswith("_QUEUE"))
)
# Several Prometheus servers, and people, may ask: the database is asked once.
_FRESH_S: Final = 5.0
_ROWS_TIMEOUT_S: Final = 8.0
_BROKER_TIMEOUT_S: Final = 2.0
_FIELDS: Final = Settings.model_fields


class MetricsSettings(BaseSettings):
    """What this process reads of the environment: no gateway secret is among it."""

    model_config = SettingsConfigDict(
        env_prefix="DALMADA_", frozen=True, extra="ignore", hide_input_in_errors=True
    )

    database_url: Annotated[SecretStr, Field(min_length=1)]
    redis_url: Annotated[SecretStr, Field(min_length=1)]
    metrics_host: str = _FIELDS["metrics_host"].default
    metrics_port: Annotated[int, Field(ge=0, le=65_535)] = _FIELDS["metrics_port"].default
    notice_renewal_days: Annotated[int, Field(ge=0)] = _FIELDS["notice_renewal_days"].default
    notice_trial_days: Annotated[int, Field(ge=0)] = _FIELDS["notice_trial_days"].default
    log_format: LogFormat = _FIELDS["log_format"].default
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"

    @field_validator("redis_url")
    @classmethod
    def _says_tls_rightly(cls, url: SecretStr) -> SecretStr:
        return require_readable_tls(url)

    @property
    def notice_leads(self) -> NoticeLeads:
        """How long before they come renewals and ends of trials are told of."""
        return NoticeLeads(
            timedelta(days=self.notice_renewal_days), timedelta(days=self.notice_trial_days)
        )


class Measuring:
    """Measures when it is asked, and once for all who ask within a few seconds."""

    def __init__(self, database: Database, redis: Redis, clock: Clock, leads: NoticeLeads) -> None:
        """Take what is measured, and nothing is asked of it yet."""
        self._database = database
        self._redis = redis
        self._clock = clock
        self._leads = leads
        self._one_at_a_time = asyncio.Lock()
        self._latest: tuple[float, Figures] | None = None

    async def figures(self) -> Figures:
        """Return the figures of this moment, or of a few seconds ago."""
        async with self._one_at_a_time:
            now_s = self._clock.boot_s()
            if self._latest is None or now_s - self._latest[0] >= _FRESH_S:
                rows, broker = await asyncio.gather(self._rows(), self._broker())
                self._latest = now_s, Figures(self._clock.now(), rows, broker)
            return self._latest[1]

    async def _rows(self) -> Rows | None:
        try:
            async with asyncio.timeout(_ROWS_TIMEOUT_S), self._database.transaction() as connection:
                return await gauges.read(connection, self._clock.now(), self._leads)
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            # Without its words, which may quote an address.
            log.warning("database_not_measured", error=type(error).__name__)
            return None

    async def _broker(self) -> Broker | None:
        try:
            async with asyncio.timeout(_BROKER_TIMEOUT_S):
                lengths = {queue: int(await self._redis.llen(queue)) for queue in QUEUES}
                return Broker(lengths, beat_leads=bool(await self._redis.exists(LEASE_KEY)))
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("redis_not_measured", error=type(error).__name__)
            return None


def application(settings: MetricsSettings) -> Starlette:
    """Return the ASGI application that answers Prometheus."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as resources:
            database = connect(
                settings.database_url.get_secret_value(), connections_max=1, statement_timeout_s=5
            )
            resources.push_async_callback(database.aclose)
            redis = Redis.from_url(
                settings.redis_url.get_secret_value(),
                socket_timeout=_BROKER_TIMEOUT_S,
                socket_connect_timeout=_BROKER_TIMEOUT_S,
                # Once more, for a connection that a restarted server has closed.
                retry=Retry(NoBackoff(), 1),
            )
            resources.push_async_callback(redis.aclose)
            app.state.measuring = Measuring(database, redis, WallClock(), settings.notice_leads)
            yield

    return Starlette(
        routes=[
            Route("/metrics", _metrics, methods=["GET"]),
            Route("/healthz", _health, methods=["GET"]),
        ],
        lifespan=lifespan,
    )


async def _metrics(request: Request) -> Response:
    figures = await request.app.state.measuring.figures()
    encode, kind = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(gauges.registry_of(figures)), headers={"content-type": kind})


async def _health(_: Request) -> Response:
    return PlainTextResponse("here\n")


def main() -> None:
    """Listen until told to stop; the first line says where."""
    try:
        settings = MetricsSettings()
        options = _parser(settings).parse_args()
        family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
        listening = socket.create_server((options.host, options.port), family=family)
    except ValidationError as error:
        sys.exit(f"metrics: the settings are not valid:\n{_faults(error)}")
    except (OSError, OverflowError) as error:
        sys.exit(f"metrics: {error}")
    configure(settings.log_format, settings.log_level)
    host, port = listening.getsockname()[:2]
    where = f"[{host}]" if ":" in host else host
    print(f"metrics: http://{where}:{port}/metrics", flush=True)  # noqa: T201 - who starts it reads it
    config = uvicorn.Config(
        application(settings),
        access_log=False,
        limit_concurrency=64,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=10,
        timeout_keep_alive=5,
        ws="none",
    )
    uvicorn.Server(config).run(sockets=[listening])


def _faults(error: ValidationError) -> str:
    return "\n".join(
        f"  DALMADA_{str(fault['loc'][0]).upper()}: {fault['msg']}"
        for fault in error.errors(include_url=False, include_input=False, include_context=False)
    )


def _parser(settings: MetricsSettings) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m scheduler.metrics", description="Tells Prometheus how billing goes."
    )
    parser.add_argument("--host", default=settings.metrics_host)
    parser.add_argument("--port", type=int, default=settings.metrics_port, help="0: a free one")
    return parser


if __name__ == "__main__":
    main()
