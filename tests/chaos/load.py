"""The merchant: what is bought, cancelled, given back, deleted and forged while everything breaks.

A merchant sends a command again until it is answered, under the same ``command_id``, as
``docs/messages.md`` asks of it. Everything here speaks to the servers directly, past the weather.
"""

import asyncio
import random
import threading
import time
import traceback
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import httpx
import psycopg
import redis
from sqlalchemy.exc import DBAPIError

from shared.billing.calendar import BillingCycle, Interval, IntervalUnit
from shared.billing.cancellation import CancelWhen, RefundChoice
from shared.billing.money import Price
from shared.billing.refund import Requester
from shared.billing.subscription import Agreement, Buyer
from shared.db import subscriptions
from shared.db.engine import Database, connect
from shared.db.subscriptions import NewSubscription
from shared.jobs.command import Command
from shared.jobs.commands import CancelSubscription, DeleteBillingKey, RefundPayment
from shared.jobs.envelope import envelope
from tests.chaos.buyers import Buyers
from tests.chaos.clocks import Clocks
from tests.chaos.fleet import Fleet
from tests.support.system import System

_TICK_S = 0.5
_SAY_AGAIN_AFTER_S = 5.0
_INTERVALS = (
    Interval(IntervalUnit.DAY),
    Interval(IntervalUnit.DAY),
    Interval(IntervalUnit.WEEK),
    Interval(IntervalUnit.MONTH),
)
_PRICES = (Price(9_900), Price(14_900, 14_900), Price(33_000, 12_000), Price(1_200, 100), Price(5))
_REASON = "구매자 변심"
AWAY = (psycopg.Error, redis.RedisError, httpx.HTTPError, DBAPIError, OSError)


@dataclass
class Said:
    """A command, as often as it was said."""

    command: Command
    said_at_s: float
    times: int = 1


@dataclass
class ConsoleCancel:
    """Money that a person gave back in the gateway's console."""

    imp_uid: str
    merchant_uid: str
    amount: int


@dataclass
class Merchant:
    """Keeps the load up in a thread of its own until it is told to rest.

    Attributes:
        subscribed: Every subscription that was added.
        said: Every command, by its id.
        console: What was given back in the console.
        did: How much of what.
        faults: Faults of this program, not of what it tests.
    """

    system: System
    fleet: Fleet
    clocks: Clocks
    chance: random.Random
    batch: int = 3
    subscribed: list[NewSubscription] = field(default_factory=list)
    said: dict[str, Said] = field(default_factory=dict)
    answered: set[str] = field(default_factory=set)
    console: list[ConsoleCancel] = field(default_factory=list)
    did: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    buyers: Buyers = field(init=False)
    _touched: set[str] = field(default_factory=set)
    _rest: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __post_init__(self) -> None:
        """Let buyers in."""
        self.buyers = Buyers(self.system, self.chance, self._say, self._command_id)

    def start(self) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._work, name="merchant", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End, with what is under way."""
        self._rest.set()
        if self._thread is not None:
            self._thread.join(30)

    def _work(self) -> None:
        with asyncio.Runner() as runner:
            database = connect(self.system.database_url, connections_max=1)
            try:
                while not self._rest.wait(_TICK_S):
                    for wish in self._wishes(runner, database):
                        with suppress(*AWAY):
                            wish()
                    with suppress(*AWAY):
                        self.say_again()
            except Exception:  # noqa: BLE001 - told at the end; a run without load proves nothing
                self.faults.append(traceback.format_exc())
            finally:
                runner.run(database.aclose())

    def _wishes(self, runner: asyncio.Runner, database: Database) -> list[Callable[[], None]]:
        """Return what happens in one tick; drawn whole, so that no failure moves the rest."""
        often: tuple[tuple[float, Callable[[], None]], ...] = (
            (1.0, lambda: self._subscribe(runner, database)),
            (0.7, self._refund),
            (0.35, self._cancel),
            (0.15, self._delete_key),
            (0.25, self.buyers.ask),
            (0.5, self.buyers.visit),
            (0.5, self._forge),
            (0.12, self._cancel_in_console),
        )
        return [wish for share, wish in often if self.chance.random() < share]

    def _subscribe(self, runner: asyncio.Runner, database: Database) -> None:
        now = self.clocks.now()
        new = [self._new_subscription() for _ in range(self.batch)]
        self.system.sandbox.register([item.customer_uid for item in new])
        for item in new:
            drawn = self.chance.random()
            if drawn < 0.06:
                self.system.sandbox.behave(item.customer_uid, [], then="declined")
            elif drawn < 0.2:
                self.system.sandbox.behave(item.customer_uid, ["declined"] * 2)
        runner.run(_add(database, new, now))
        self.subscribed.extend(new)
        self.did["subscriptions"] += len(new)

    def _new_subscription(self) -> NewSubscription:
        now, interval = self.clocks.now(), self.chance.choice(_INTERVALS)
        anchor = now - timedelta(days=400, seconds=self.chance.randrange(86_400))
        cycle = BillingCycle(anchor, interval)
        first = cycle.index_at(now) - self.chance.choice((0, 0, 1, 2))
        price = self.chance.choices(_PRICES, (30, 30, 30, 9, 1))[0]
        return NewSubscription(
            uuid.UUID(int=self.chance.getrandbits(128), version=4),
            f"buyer_{self.chance.getrandbits(64):016x}",
            Buyer(),
            Agreement(price, "카오스 요금제", cycle, first),
        )

    def _refund(self) -> None:
        payment = self._some(
            "SELECT p.imp_uid, p.amount, a.invoice_id FROM payments p"
            " JOIN payment_attempts a ON a.id = p.attempt_id"
            " WHERE p.cancelled_amount < p.amount AND NOT p.imp_uid = ANY(%s)"
            " ORDER BY md5(p.imp_uid || %s) LIMIT 1"
        )
        if payment is None:
            return
        drawn = self.chance.random()
        amount: Any = "all" if drawn < 0.3 else self.chance.randint(1, payment["amount"] // 2 or 1)
        named: dict[str, Any] = {"imp_uid": payment["imp_uid"]}
        if drawn > 0.8:
            named = {"invoice_id": payment["invoice_id"]}
        refund = RefundPayment(
            command_id=self._command_id(),
            amount=amount,
            reason=_REASON,
            requester=Requester.CUSTOMER,
            **named,
        )
        # Whoever is impatient says it twice at once.
        self._say(refund, times=2 if self.chance.random() < 0.3 else 1)
        self.did["refunds"] += 1

    def _cancel(self) -> None:
        if not self.subscribed:
            return
        at_once = self.chance.random() < 0.7
        refunds = (RefundChoice.NONE, RefundChoice.FULL, RefundChoice.PRO_RATA)
        self._say(
            CancelSubscription(
                command_id=self._command_id(),
                subscription_id=self.chance.choice(self.subscribed[-60:]).id,
                when=CancelWhen.NOW if at_once else CancelWhen.PERIOD_END,
                reason=_REASON,
                requester=Requester.CUSTOMER,
                refund=self.chance.choice(refunds) if at_once else RefundChoice.NONE,
            )
        )
        self.did["cancellations"] += 1

    def _delete_key(self) -> None:
        key = self._some(
            "SELECT k.customer_uid FROM billing_keys k JOIN subscriptions s"
            " ON s.billing_key_id = k.id WHERE s.closed_at IS NOT NULL AND k.status = 'active'"
            " AND NOT k.customer_uid = ANY(%s) ORDER BY md5(k.customer_uid || %s) LIMIT 1"
        )
        if key is None:
            return
        self._say(
            DeleteBillingKey(
                command_id=self._command_id(),
                customer_uid=key["customer_uid"],
                reason=_REASON,
                requester=Requester.CUSTOMER,
            )
        )
        self.did["key deletions"] += 1

    def _forge(self) -> None:
        """Pretend to be the gateway."""
        said = {"imp_uid": f"imp_{self.chance.randrange(10**12):012d}", "status": "paid"}
        payment = self._some(
            "SELECT imp_uid, merchant_uid FROM payments WHERE NOT imp_uid = ANY(%s)"
            " ORDER BY md5(imp_uid || %s) LIMIT 1"
        )
        if payment is not None and self.chance.random() < 0.7:
            said |= payment | {"status": self.chance.choice(("cancelled", "failed", "paid"))}
        self.tell(said)
        self.did["forged webhooks"] += 1

    def _cancel_in_console(self) -> None:
        # Where no refund of ours is: whose money went back is plain to see then.
        payment = self._some(
            "SELECT p.imp_uid, p.merchant_uid FROM payments p"
            " JOIN payment_attempts a ON a.id = p.attempt_id"
            " JOIN invoices i ON i.id = a.invoice_id"
            " JOIN subscriptions s ON s.id = i.subscription_id"
            " WHERE p.amount > 1000 AND s.cancel_at IS NULL AND NOT p.imp_uid = ANY(%s)"
            " AND NOT EXISTS (SELECT FROM refunds r WHERE r.payment_id = p.id)"
            " ORDER BY md5(p.imp_uid || %s) LIMIT 1"
        )
        if payment is None:
            return
        self._touched.add(payment["imp_uid"])
        # An amount that no refund has, and the whole tax-free part stays.
        done = ConsoleCancel(payment["imp_uid"], payment["merchant_uid"], 7)
        with suppress(AssertionError):
            # The gateway refuses: somebody else gave it all back meanwhile.
            self.system.sandbox.cancel_in_console(done.imp_uid, done.amount, "관리자 취소")
            self.console.append(done)
        self.did["console cancels"] += 1

    def tell(self, said: Mapping[str, Any]) -> None:
        """Post a webhook; the receiver may be away."""
        httpx.post(f"{self.fleet.receiver}/webhooks/portone", json=dict(said), timeout=3)

    def _some(self, statement: str) -> dict[str, Any] | None:
        """Return a row that is drawn, unless the console has it."""
        rows = self.system.rows(statement, list(self._touched), str(self.chance.random()))
        return rows[0] if rows else None

    def _command_id(self) -> str:
        return f"c-{self.chance.getrandbits(64):016x}"

    def _say(self, command: Command, times: int = 1) -> None:
        self.said[command.command_id] = Said(command, time.monotonic(), times)
        self._publish(command, times)

    def _publish(self, command: Command, times: int = 1) -> None:
        kwargs = command.model_dump(mode="json", exclude_defaults=True)
        messages = [envelope(command.task, kwargs, command.queue) for _ in range(times)]
        with redis.Redis.from_url(self.system.servers.valkey.url, socket_timeout=3) as client:
            client.lpush(command.queue, *messages)

    def say_again(self) -> int:
        """Send again what has no answer after a while; return how much has none."""
        open_ids = [id_ for id_ in self.said if id_ not in self.answered]
        rows = self.system.rows(
            "SELECT command_id FROM commands WHERE command_id = ANY(%s)", open_ids
        )
        self.answered.update(row["command_id"] for row in rows)
        now_s = time.monotonic()
        for id_ in open_ids:
            said = self.said[id_]
            if id_ not in self.answered and now_s - said.said_at_s > _SAY_AGAIN_AFTER_S:
                said.said_at_s = now_s
                said.times += 1
                self._publish(said.command)
        return len(self.said) - len(self.answered)


async def _add(database: Database, new: list[NewSubscription], now: datetime) -> None:
    """Add subscriptions, once: a merchant whose database is away sells nothing at that moment."""
    async with database.transaction() as connection:
        await subscriptions.add(connection, new, now)
