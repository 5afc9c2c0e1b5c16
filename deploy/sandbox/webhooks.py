"""Webhooks: what the gateway tells the merchant by itself, unsigned, once, and without waiting.

They go to the payment's own `notice_url`, else to the setting `webhook_url`, and only to
addresses of this machine. What is said of which event is documented: a failed `again` and a
deleted billing key are never told of.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final
from urllib.parse import urlencode

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector

from deploy.sandbox.addresses import fault_of
from deploy.sandbox.clock import SandboxClock
from deploy.sandbox.endings import NO_DRAW, draw
from deploy.sandbox.records import Payment
from deploy.sandbox.replies import to_json
from deploy.sandbox.settings import Settings

# As documented for a first send. There is no second one unless PortOne's support turns it on.
_CONNECT_S: Final = 10.0
_READ_S: Final = 30.0
_CONNECTIONS_MAX: Final = 256


class Outcome(StrEnum):
    """What became of one webhook."""

    PENDING = "pending"
    SENT = "sent"
    LOST = "lost"
    NOT_LOOPBACK = "not_loopback"
    NO_ANSWER = "no_answer"


@dataclass(slots=True)
class Notice:
    """One webhook that was due, with what became of it.

    Attributes:
        copies: How often it is sent.
        answers: The HTTP status of every copy that was answered.
    """

    at: float
    url: str
    body: dict[str, str]
    copies: int = 1
    outcome: Outcome = Outcome.PENDING
    answers: tuple[int, ...] = ()


class Webhooks:
    """Tell the merchant of payments; nobody waits for it and no failure reaches anybody."""

    def __init__(self, clock: SandboxClock, settings: Callable[[], Settings]) -> None:
        self._clock = clock
        self._settings = settings
        self._notices: list[Notice] = []
        self._nth: Counter[str] = Counter()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._session: ClientSession | None = None
        self._sending: set[asyncio.Task[None]] = set()

    def payment(self, payment: Payment, *, cancellation_id: str | None = None) -> None:
        """Tell the merchant of a payment's state, if there is anywhere to tell it."""
        settings = self._settings()
        url = payment.order.notice_url or settings.webhook_url
        if not url:
            return
        body = {
            "imp_uid": payment.imp_uid,
            "merchant_uid": payment.order.merchant_uid,
            "status": str(payment.status),
        }
        if cancellation_id is not None:
            body["cancellation_id"] = cancellation_id
        notice = Notice(self._clock.now(), url, body)
        self._notices.append(notice)
        if fault_of(url) is not None:
            notice.outcome = Outcome.NOT_LOOPBACK
            return
        self._send(notice, settings)

    def _send(self, notice: Notice, settings: Settings) -> None:
        """Draw what happens on the way; a late copy is overtaken by what is sent after it."""
        subject = f"webhook\x1f{notice.body['merchant_uid']}"
        drawn = draw(settings.seed, subject, self._nth[subject]) if settings.draws else NO_DRAW
        self._nth[subject] += 1
        if drawn.ending < settings.webhook_loss_rate:
            notice.outcome = Outcome.LOST
            return
        is_late = drawn.latency < settings.webhook_delay_rate
        delay_s = settings.webhook_delay_s if is_late else 0.0
        delays = [delay_s]
        if drawn.closing < settings.webhook_duplicate_rate:
            # The first copy of a late and doubled one is in time.
            delays = [0.0, delay_s]
            notice.copies = 2
        if self._loop is None:  # no server runs: a simulation reads the notices itself
            return
        content_type, payload = _encoded(notice.body, settings)
        for delay in delays:
            task = self._loop.create_task(self._post(notice, delay, content_type, payload))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _post(
        self, notice: Notice, delay_s: float, content_type: str, payload: bytes
    ) -> None:
        if delay_s:
            await asyncio.sleep(delay_s)
        headers = {"Content-Type": content_type}
        session = self._open_session()
        try:
            async with session.post(
                notice.url, data=payload, headers=headers, allow_redirects=False
            ) as reply:
                notice.answers = (*notice.answers, reply.status)
                notice.outcome = Outcome.SENT
        except (ClientError, OSError, TimeoutError):
            if notice.outcome is Outcome.PENDING:
                notice.outcome = Outcome.NO_ANSWER

    def _open_session(self) -> ClientSession:
        # Opened when first needed: most sandboxes never send anything.
        if self._session is None:
            self._session = ClientSession(
                connector=TCPConnector(limit=_CONNECTIONS_MAX),
                timeout=ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=_READ_S),
            )
        return self._session

    def start(self) -> None:
        """Begin to send, on the running loop."""
        self._loop = asyncio.get_running_loop()

    async def stop(self) -> None:
        """Send no more."""
        sending = list(self._sending)
        self.reset()
        await asyncio.gather(*sending, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
        self._loop = self._session = None

    def reset(self) -> None:
        """Forget everything that was sent and is still to be."""
        for task in self._sending:
            task.cancel()
        self._notices = []
        self._nth.clear()

    @property
    def notices(self) -> tuple[Notice, ...]:
        """Every webhook that was due, oldest first."""
        return tuple(self._notices)

    def summary(self) -> dict[str, Any]:
        """Show the counts."""
        return {
            "due": len(self._notices),
            "copies": sum(
                notice.copies for notice in self._notices if notice.outcome not in _NEVER_SENT
            ),
            "outcomes": dict(Counter(notice.outcome for notice in self._notices)),
            "statuses": dict(Counter(notice.body["status"] for notice in self._notices)),
        }


_NEVER_SENT: Final = frozenset({Outcome.LOST, Outcome.NOT_LOOPBACK})


def _encoded(body: dict[str, str], settings: Settings) -> tuple[str, bytes]:
    if settings.webhook_content_type == "form":
        return "application/x-www-form-urlencoded", urlencode(body).encode()
    return "application/json", to_json(body).encode()
