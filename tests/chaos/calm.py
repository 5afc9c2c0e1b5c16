"""The weather turns calm: everything that was begun must come to its end, within a bound.

What waits for minutes, hours or for the broker's own patience is not sat out: once nothing else is
left to do, the whole system is put to sleep and wakes up when the next of it is due.
"""

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import psycopg
import redis
from psycopg.rows import dict_row

from shared.jobs.contracts import SCAN_QUEUE
from tests.chaos.fleet import Fleet, overrides
from tests.chaos.load import AWAY, Merchant
from tests.support.system import WORK_QUEUES

CALM_GATEWAY = {
    "rates": {},
    "cancel_rates": {},
    "command_rates": {},
    "inquiry_rates": {},
    "latency_ms": 10,
    "endpoint_latency_ms": {},
    "close_after_reply_rate": 0,
    "token_ttl_s": 1800,
    "webhook_loss_rate": 0,
    "webhook_delay_rate": 0,
}
_POLL_S = 0.25
# Nearer than this is waited for.
_SOON_S = 2.0
_DEADLINE_S = float(overrides({})["DALMADA_UNKNOWN_DEADLINE_S"])
# Twice the longest gap before the deadline, a lost send that is not sent again is let go.
_ROOM_S = 2 * 4.0
_BROKER_PATIENCE_S = 4.0
_TELL_EVERY_S = 2.0

# Name, when it is due (NULL: now), and of what; each row is something that has not ended.
_OPEN = """
    SELECT 'subscription ' || id || ' is due for renewal' AS what, next_renewal_at AS due_at
    FROM subscriptions WHERE status <> 'canceled' AND next_renewal_at <= %(now)s
        AND (cancel_at IS NULL OR next_renewal_at < cancel_at)
    UNION ALL
    SELECT 'subscription ' || id || ' should have ended', cancel_at
    FROM subscriptions WHERE status <> 'canceled' AND cancel_at <= %(now)s
    UNION ALL
    SELECT 'subscription ' || id || ' has ended and is not closed', NULL
    FROM subscriptions s WHERE status = 'canceled' AND closed_at IS NULL AND NOT EXISTS (
        SELECT FROM invoices i JOIN payment_attempts a ON a.invoice_id = i.id
        WHERE i.subscription_id = s.id AND a.status IN ('claimed', 'unknown', 'waiting', 'parked'))
    UNION ALL
    SELECT 'invoice ' || i.id || ' is to be collected', i.next_attempt_at
    FROM invoices i JOIN subscriptions s ON s.id = i.subscription_id
    WHERE i.status = 'open' AND i.next_attempt_at IS NOT NULL
        AND (s.cancel_at IS NULL OR s.cancel_at > %(now)s)
    UNION ALL
    SELECT 'attempt ' || a.id || ' [' || a.merchant_uid || '] is ' || a.status
            || ', inquiries ' || a.inquiries || ', ' || coalesce(a.message, ''),
        CASE WHEN (s.cancel_at <= %(now)s OR k.status <> 'active')
                AND a.unknown_since < %(now)s - interval '30 seconds'
            THEN a.unknown_since + %(patience)s ELSE coalesce(a.inquire_at, i.next_attempt_at) END
    FROM payment_attempts a JOIN invoices i ON i.id = a.invoice_id
    JOIN subscriptions s ON s.id = i.subscription_id
    JOIN billing_keys k ON k.id = s.billing_key_id
    WHERE a.status IN ('claimed', 'unknown')
        -- Without a key to charge, what waits to be sent waits for the buyer.
        OR a.status = 'waiting' AND (i.next_attempt_at IS NOT NULL OR k.status = 'active')
    UNION ALL
    SELECT 'refund ' || id || ' is ' || status || ', ' || coalesce(message, ''),
        coalesce(next_send_at, inquire_at)
    FROM refunds WHERE status IN ('waiting', 'claimed', 'unknown')
    UNION ALL
    SELECT 'hint ' || id || ' (' || imp_uid || ' ' || said_status || ') is to be read, read '
        || reads || ' times', next_read_at
    FROM hints WHERE next_read_at IS NOT NULL
    UNION ALL
    SELECT 'window ' || id || ' is ' || status, next_step_at
    FROM windows WHERE next_step_at IS NOT NULL
    UNION ALL
    SELECT 'billing key ' || id || ' is being deleted',
        dispatched_at + least((%(now)s - delete_asked_at) / 4, interval '1 hour')
    FROM billing_keys WHERE status = 'deleting'
    UNION ALL
    SELECT 'event ' || id || ' (' || name || ') is not relayed', NULL
    FROM events WHERE relayed_at IS NULL
"""


@dataclass
class Calm:
    """Waits until nothing is left to be done.

    Attributes:
        naps: How often the system was put to sleep until the next thing was due.
    """

    fleet: Fleet
    merchant: Merchant
    naps: int = 0
    left: list[str] = field(default_factory=list)
    _broker_at_s: float = 0.0
    _told_at_s: float = 0.0

    def wait(self, timeout_s: float) -> Iterator[list[str]]:
        """Yield what is left, again and again, until it is nothing or the time is over."""
        until = time.monotonic() + timeout_s
        quiet = 0
        while time.monotonic() < until:
            try:
                self.left, due_at = self._look()
            except AWAY as error:
                self.left, due_at = [f"a server does not answer: {type(error).__name__}"], None
            # Between two looks a message may be on its way from one row to another.
            quiet = quiet + 1 if not self.left else 0
            if quiet == 2:
                return
            yield self.left
            if due_at is not None:
                self._nap(due_at)
            time.sleep(_POLL_S)

    def _look(self) -> tuple[list[str], datetime | None]:
        """Return what has not ended, and when the first of it is due if nothing is before."""
        system, now = self.fleet.system, self.fleet.clocks.now()
        patience = timedelta(seconds=_DEADLINE_S - _ROOM_S)
        with psycopg.connect(system.database_url, row_factory=dict_row) as connection:
            rows = connection.execute(_OPEN, {"now": now, "patience": patience}).fetchall()
        left = [_words(row, now) for row in rows]
        dues = [row["due_at"] for row in rows]
        soon = now + timedelta(seconds=_SOON_S)
        is_asleep = bool(dues) and all(due_at is not None and due_at > soon for due_at in dues)
        more = [*self._unanswered(), *self._messages()]
        if not self.fleet.all_run:
            more.append("a process is not there")
        # What the console did is told again, and read when its hint is due.
        console = self._console()
        return left + more + console, min(dues) if is_asleep and not more else None

    def _unanswered(self) -> list[str]:
        if self.merchant.say_again():
            ids = sorted(self.merchant.said.keys() - self.merchant.answered)
            return [f"command {id_} has no answer" for id_ in ids]
        return []

    def _messages(self) -> list[str]:
        """Return what lies on the broker; what nobody acknowledges comes again in time."""
        left: list[str] = []
        with redis.Redis.from_url(
            self.fleet.system.servers.valkey.url, socket_timeout=5, decode_responses=True
        ) as client:
            left += [
                f"{waiting} messages wait in {queue}"
                for queue in WORK_QUEUES
                if (waiting := client.llen(queue))
            ]
            held: dict[str, str] = client.hgetall("unacked")
            tags = [tag for tag, message in held.items() if f'"{SCAN_QUEUE}"' not in message]
            if tags:
                left.append(f"{len(tags)} messages are not acknowledged")
                if time.monotonic() - self._broker_at_s > _BROKER_PATIENCE_S:
                    # The broker's own clock cannot be moved: have it think that they are old.
                    self._broker_at_s = time.monotonic()
                    client.zadd("unacked_index", dict.fromkeys(tags, 0))
        return left

    def _console(self) -> list[str]:
        """Tell again of what the console gave back, as the gateway does if that is agreed."""
        left = []
        tells = time.monotonic() - self._told_at_s > _TELL_EVERY_S
        for done in self.merchant.console:
            rows = self.fleet.system.rows(
                "SELECT p.cancelled_amount >= %s + coalesce(sum(r.amount), 0) AS is_known"
                " FROM payments p LEFT JOIN refunds r ON r.payment_id = p.id AND r.status = 'done'"
                " WHERE p.imp_uid = %s GROUP BY p.id",
                done.amount,
                done.imp_uid,
            )
            if not rows or not rows[0]["is_known"]:
                left.append(f"{done.imp_uid}: {done.amount} won given back in the console")
                said: dict[str, Any] = {
                    "imp_uid": done.imp_uid,
                    "merchant_uid": done.merchant_uid,
                    "status": "cancelled",
                }
                if tells:
                    self._told_at_s = time.monotonic()
                    with suppress(*AWAY):
                        self.merchant.tell(said)
        return left

    def _nap(self, due_at: datetime) -> None:
        """Put everything to sleep until something is due; nothing is at the gateway then."""
        system, clocks = self.fleet.system, self.fleet.clocks
        with self.fleet.suspended():
            system.wait(
                lambda: system.sandbox.requests()["in_flight"] == 0, "the gateway is at rest", 20
            )
            clocks.sleep(max(0.0, (due_at - clocks.now()).total_seconds()) + 0.05)
            system.sandbox.set_clock(clocks.slept_s)
            self.naps += 1


def _words(row: dict[str, Any], now: datetime) -> str:
    if row["due_at"] is None:
        return str(row["what"])
    return f"{row['what']} (due in {(row['due_at'] - now).total_seconds():.1f} s)"
