"""Takes PortOne's webhooks in over HTTP and puts them on the queue: ``python -m worker.receiver``.

A webhook is unsigned, so it is never believed: it makes the worker read the payment at PortOne.
Nothing is decided here, and nothing is looked up; what is taken in is answered at once. While the
broker is away the answer is 503, on which PortOne sends again if that was agreed with it.
"""

import argparse
import asyncio
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import structlog
import uvicorn
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from shared.config import ReceiverSettings, SettingsError, load_receiver
from shared.jobs.commands import ReceiveWebhook
from shared.jobs.contracts import WEBHOOK_QUEUE
from shared.jobs.enqueue import RedisEnqueue
from shared.logs import configure
from worker.receiver_body import UnreadableError, read
from worker.receiver_protocol import CONNECTIONS_MAX, BoundedProtocol
from worker.receiver_sender import is_within, sender

log = structlog.get_logger("dalmada.receiver")
R = TypeVar("R")

# PortOne waits 15 seconds when it sends again, and sends only once if nothing else was agreed.
_BODY_TIMEOUT_S = 5.0
_BROKER_TIMEOUT_S = 3.0
_BROKER_CONNECTIONS_MAX = 32
_OK = 200
_AWAY = (RedisError, OSError, TimeoutError)

Work = Callable[[Request, dict[str, str]], Awaitable[tuple[int, str]]]
Lifespan = Callable[[Starlette], AbstractAsyncContextManager[None]]


@dataclass
class Receiver:
    """Answers requests; ``full`` is set while more webhooks wait than may."""

    settings: ReceiverSettings
    enqueue: RedisEnqueue
    full: bool = field(default=False, init=False)

    async def webhook(self, request: Request) -> Response:
        """Take one webhook in."""
        return await _answer(request, self._webhook)

    async def health(self, request: Request) -> Response:
        """Say whether webhooks can be taken in."""
        return await _answer(request, self._health)

    async def _webhook(self, request: Request, line: dict[str, str]) -> tuple[int, str]:
        allowed = self.settings.webhook_allowed_ips
        if allowed:
            address = sender(request, self.settings.webhook_trusted_proxies)
            if address is None or not is_within(address, allowed):
                line["sender"] = str(address)
                return 403, "webhooks are not taken from this address"
        async with asyncio.timeout(_BODY_TIMEOUT_S):
            webhook = await read(request)
        line["imp_uid"] = webhook.imp_uid
        try:
            taken = await _within(_BROKER_TIMEOUT_S, self._take(webhook))
        except _AWAY as error:
            reason = " ".join(str(error).split())
            log.warning("broker_away", error=type(error).__name__, reason=reason)
            return 503, "the broker is away: send this webhook again later"
        if not taken:
            return 503, "too many webhooks wait: send this one again later"
        return _OK, "ok"

    async def _take(self, webhook: ReceiveWebhook) -> bool:
        """Put a webhook on the queue, unless too many wait there."""
        if self.full and await self._is_full():
            return False
        waiting = await self.enqueue(webhook)
        self.full = waiting >= self.settings.webhook_queue_max
        return True

    async def _health(self, _: Request, _line: dict[str, str]) -> tuple[int, str]:
        try:
            self.full = await _within(_BROKER_TIMEOUT_S, self._is_full())
        except _AWAY:
            return 503, "the broker is away"
        return _OK, "ok"

    async def _is_full(self) -> bool:
        return await self.enqueue.waiting(WEBHOOK_QUEUE) >= self.settings.webhook_queue_max


async def _within(seconds: float, work: Coroutine[Any, Any, R]) -> R:
    """Return what ``work`` returns, or raise TimeoutError when it is time.

    A client that is told to stop does not always do so at once; it is not waited for.
    """
    task = asyncio.ensure_future(work)
    # Whatever it says later is heard, and of no interest.
    task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
    try:
        await asyncio.wait({task}, timeout=seconds)
        if task.done():
            return task.result()
    finally:
        task.cancel()
    raise TimeoutError


async def _answer(request: Request, work: Work) -> Response:
    """Answer a request and write one line about it, in which nothing of its body stands but ids."""
    started_s = time.perf_counter()
    line: dict[str, str] = {}
    try:
        status, words = await work(request, line)
    except UnreadableError as error:
        status, words = error.status, str(error)
    except TimeoutError:
        status, words = 408, f"the body did not come within {_BODY_TIMEOUT_S:.0f} s"
    except ClientDisconnect:
        status, words = 400, "the body did not come whole"
    log.info(
        "request_done",
        # Not that of the URL, which is made of the header Host and whatever that holds.
        path=request.scope["path"],
        status=status,
        duration_s=round(time.perf_counter() - started_s, 4),
        **line,
    )
    # The rest of what was refused is not read.
    headers = {} if status == _OK else {"connection": "close"}
    return PlainTextResponse(words + "\n", status, headers)


def application(
    settings: ReceiverSettings, enqueue: RedisEnqueue, lifespan: Lifespan | None = None
) -> Starlette:
    """Return the receiver as an ASGI application."""
    receiver = Receiver(settings, enqueue)
    app = Starlette(
        routes=[
            Route("/webhooks/portone", receiver.webhook, methods=["POST"]),
            Route("/healthz", receiver.health, methods=["GET"]),
        ],
        lifespan=lifespan,
    )
    # Where to would be made of the header Host.
    app.router.redirect_slashes = False
    return app


def create() -> Starlette:
    """Return the application that the environment describes: ``uvicorn --factory``'s entry."""
    settings = load_receiver()
    configure(settings.log_format, settings.log_level)
    redis = broker(settings.redis_url.get_secret_value())

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await redis.aclose()

    return application(settings, RedisEnqueue(redis), lifespan)


def broker(url: str) -> Redis:
    """Return a client that gives up soon: whoever waits for an answer does not wait for Redis."""
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=_BROKER_CONNECTIONS_MAX,
        timeout=_BROKER_TIMEOUT_S,
        socket_connect_timeout=1.0,
        socket_timeout=2.0,
        # Once more, for a connection that a restarted server has closed.
        retry=Retry(NoBackoff(), 1),
    )
    return Redis.from_pool(pool)


def main() -> None:
    """Listen until told to stop; the first line says where."""
    try:
        settings = load_receiver()
        options = _parser(settings).parse_args()
        listening = _listen(options.host, options.port)
    except (SettingsError, OSError, OverflowError) as error:
        sys.exit(f"receiver: {error}")
    host, port = listening.getsockname()[:2]
    where = f"[{host}]" if ":" in host else host
    print(f"receiver: http://{where}:{port}", flush=True)  # noqa: T201 - who starts it reads it
    config = uvicorn.Config(
        create,
        factory=True,
        access_log=False,
        h11_max_incomplete_event_size=16_384,
        http=BoundedProtocol,
        # One above what it keeps: all of these are requests that are here whole.
        limit_concurrency=CONNECTIONS_MAX + 1,
        log_config=None,
        # Whom to believe about the sender is a setting of ours.
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=10,
        timeout_keep_alive=5,
        ws="none",
    )
    uvicorn.Server(config).run(sockets=[listening])


def _parser(settings: ReceiverSettings) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m worker.receiver", description="Takes PortOne's webhooks in."
    )
    parser.add_argument("--host", default=settings.receiver_host)
    parser.add_argument("--port", type=int, default=settings.receiver_port, help="0: a free one")
    return parser


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=1_024)


if __name__ == "__main__":
    main()
