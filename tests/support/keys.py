"""A gateway of billing keys and windows in memory, and the shop that lives with it."""

import itertools
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from sqlalchemy import Row

from scheduler.scans.hints import DispatchHints
from scheduler.scans.removals import DispatchRemovals
from scheduler.scans.windows import AdvanceWindows
from shared.billing.hint import HINT_POLICY
from shared.billing.inquiry import (
    REGISTRATION,
    CancelRecord,
    PaymentRecord,
    RecordStatus,
    StillUnresolved,
)
from shared.billing.refund import Requester
from shared.billing.window import KeyHeld, Prepared
from shared.billing.window_channel import Channel
from shared.clock import FixedClock
from shared.jobs import contracts
from shared.jobs.command import Command
from shared.jobs.commands import (
    ChangeBillingKey,
    ConfirmBillingKey,
    ConfirmPayment,
    DeleteBillingKey,
    ReceiveWebhook,
    RegisterBillingKey,
    RequestPayment,
)
from tests.support.billing import RESEND_AFTER, World
from worker.handlers import handlers
from worker.services.command_desk import CommandDesk
from worker.services.hint_reading import ReadHints
from worker.services.hints import ReceiveWebhooks
from worker.services.key_removal import RemoveBillingKeys
from worker.services.life.rules import LifeRules
from worker.services.window_requests import WindowTerms
from worker.services.windows import CloseWindows, PrepareWindows

CUSTOMER = "customer-of-the-window"
TERMS = WindowTerms(
    Channel(channel_key="channel-key-1"), ttl=timedelta(minutes=30), minimum_amount=10
)
BOOK = {
    "category_type": "BOOK",
    "category_id": "GENERAL",
    "uid": "107922211",
    "name": "한국사",
    "count": 1,
}
_numbers = itertools.count(1)


@dataclass
class KeyBook:
    """What the gateway holds of windows and keys, with the ways in which it may not say so.

    Attributes:
        payments: Every record by its ``imp_uid``.
        charges: The book of charges, whose records are shown as well.
        silences: Answers to the next questions, None meaning the true one.
        refusals: Refusals of the next preparations.
    """

    clock: FixedClock
    charges: Any
    payments: dict[str, PaymentRecord] = field(default_factory=dict)
    keys: dict[str, KeyHeld] = field(default_factory=dict)
    schedules: set[str] = field(default_factory=set)
    prepared: dict[str, int] = field(default_factory=dict)
    silences: deque[StillUnresolved | Exception | None] = field(default_factory=deque)
    refusals: deque[str] = field(default_factory=deque)
    calls: list[tuple[str, ...]] = field(default_factory=list)
    hidden: bool = False

    def _ask(self, *call: str) -> StillUnresolved | None:
        self.calls.append(call)
        answer = self.silences.popleft() if self.silences else None
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def payment(self, imp_uid: str) -> PaymentRecord | StillUnresolved | None:
        """Return the record under an ``imp_uid``."""
        if silence := self._ask("payment", imp_uid):
            return silence
        charged = {entry.record.imp_uid: entry.record for entry in self.charges.entries()}
        return None if self.hidden else {**charged, **self.payments}.get(imp_uid)

    async def records_of(self, merchant_uid: str) -> Sequence[PaymentRecord] | StillUnresolved:
        """Return the records under a ``merchant_uid``."""
        if silence := self._ask("records_of", merchant_uid):
            return silence
        found = [one for one in self.payments.values() if one.merchant_uid == merchant_uid]
        return [] if self.hidden else found

    async def key(self, customer_uid: str) -> KeyHeld | StillUnresolved | None:
        """Return the key under a ``customer_uid``."""
        return self._ask("key", customer_uid) or self.keys.get(customer_uid)

    async def revoke_schedules(self, customer_uid: str) -> StillUnresolved | None:
        """Forget what is planned with a key."""
        if silence := self._ask("revoke_schedules", customer_uid):
            return silence
        self.schedules.discard(customer_uid)
        return None

    async def delete_key(
        self, customer_uid: str, *, reason: str, requester: Requester
    ) -> StillUnresolved | None:
        """Forget a key."""
        if silence := self._ask("delete_key", customer_uid, reason, requester):
            return silence
        assert customer_uid not in self.schedules
        self.keys.pop(customer_uid, None)
        return None

    async def prepare(self, merchant_uid: str, amount: int) -> Prepared | StillUnresolved:
        """Remember an amount."""
        if silence := self._ask("prepare", merchant_uid, str(amount)):
            return silence
        if self.refusals:
            return Prepared(self.refusals.popleft())
        self.prepared[merchant_uid] = amount
        return Prepared()

    # What buyers do.

    def enter(self, merchant_uid: str, amount: int, **changes: Any) -> str:
        """Book a payment, paid now unless it is said otherwise; return its ``imp_uid``."""
        now = self.clock.now()
        values: dict[str, Any] = {
            "imp_uid": f"imp_w{next(_numbers)}",
            "merchant_uid": merchant_uid,
            "status": RecordStatus.PAID,
            "amount": amount,
            "cancel_amount": 0,
            "customer_uid": None,
            "started_at": now,
            "paid_at": now,
        }
        record = PaymentRecord(**{**values, **changes})
        self.payments[record.imp_uid] = record
        return record.imp_uid

    def register(self, asked: Mapping[str, Any], customer_uid: str = CUSTOMER, **more: Any) -> str:
        """Register a method in the window that was asked for; return the ``imp_uid``."""
        self.keys[customer_uid] = KeyHeld(self.clock.now())
        values = {"customer_uid": customer_uid, "usage": REGISTRATION, **more}
        amount = asked["parameters"]["amount"]
        return self.enter(asked["merchant_uid"], amount, **values)

    def cancel(self, imp_uid: str, amount: int, reason: str, cancellation_id: str) -> None:
        """Give money back as somebody at the gateway's console does."""
        record = self.payments.get(imp_uid) or next(
            entry.record for entry in self.charges.entries() if entry.record.imp_uid == imp_uid
        )
        self.payments[imp_uid] = replace(
            record,
            status=RecordStatus.CANCELLED,
            cancel_amount=record.cancel_amount + amount,
            cancels=(
                *record.cancels,
                CancelRecord(amount, reason, cancellation_id, self.clock.now()),
            ),
        )


class Shop:
    """A world whose merchant sends commands, and whose buyers use windows."""

    def __init__(self, world: World, terms: WindowTerms = TERMS) -> None:
        self.world = world
        self.book = KeyBook(world.clock, world.gateway)
        self.gateway: Any = self.book
        self.terms = terms

    def beside(self, world: World) -> "Shop":
        """Return another process of the same shop."""
        other = Shop(world, self.terms)
        other.book = self.book
        other.gateway = self.gateway
        return other

    # What the merchant says.

    async def command(self, command: Command) -> Mapping[str, Any]:
        """Have a command worked; return what its handler told, or how it was refused."""
        world = self.world
        desk = CommandDesk(
            world.database,
            world.clock,
            handlers(self.terms, LifeRules()),
            ReceiveWebhooks(world.database, world.clock),
        )
        await desk.command(command)
        (row,) = await world.rows(
            "SELECT result FROM commands WHERE command_id = :id", id=command.command_id
        )
        result: Mapping[str, Any] = row.result
        return dict(result["result"]) if result["status"] == "done" else result

    async def ask(self, contract: type[Command] = RegisterBillingKey, **values: Any) -> Any:
        """Ask for a registration, or a change, of the customer's key."""
        asked = {
            "command_id": f"ask-{next(_numbers)}",
            "customer_uid": CUSTOMER,
            "order_name": "슬림 요금제",
            "amount": 9_900,
            "buyer_tel": "010-1234-5678",
        }
        return await self.command(contract.model_validate({**asked, **values}))

    async def change(self, **values: Any) -> Any:
        """Ask for a change of the customer's key."""
        return await self.ask(ChangeBillingKey, **values)

    async def request_payment(self, **values: Any) -> Any:
        """Ask for a single payment."""
        asked = {
            "command_id": f"pay-{next(_numbers)}",
            "order_name": "한국사",
            "amount": 14_000,
            "products": [BOOK],
        }
        return await self.command(RequestPayment.model_validate({**asked, **values}))

    async def confirm(
        self, asked: Mapping[str, Any], imp_uid: str, contract: Any = ConfirmBillingKey
    ) -> Mapping[str, Any]:
        """Come back from a window with an ``imp_uid``."""
        return await self.command(
            contract(
                command_id=f"confirm-{next(_numbers)}",
                imp_uid=imp_uid,
                merchant_uid=asked["merchant_uid"],
            )
        )

    async def confirm_payment(self, asked: Mapping[str, Any], imp_uid: str) -> Mapping[str, Any]:
        """Come back from the window of a single payment."""
        return await self.confirm(asked, imp_uid, ConfirmPayment)

    async def delete(self, **values: Any) -> Mapping[str, Any]:
        """Ask for the customer's key to be taken away."""
        asked = {
            "command_id": f"delete-{next(_numbers)}",
            "customer_uid": CUSTOMER,
            "reason": "구매자 요청",
            "requester": "customer",
        }
        return await self.command(DeleteBillingKey.model_validate({**asked, **values}))

    async def webhook(self, imp_uid: str, merchant_uid: str | None = None, **more: Any) -> str:
        """Receive what the gateway, or anybody else, says."""
        said = ReceiveWebhook.model_validate(
            {"imp_uid": imp_uid, "merchant_uid": merchant_uid, "status": "paid", **more}
        )
        return await ReceiveWebhooks(self.world.database, self.world.clock)(said)

    # What the processes do.

    @property
    def read_hints(self) -> ReadHints:
        """The service that reads."""
        world = self.world
        return ReadHints(world.database, self.gateway, world.settle, world.clock, world.rules)

    async def read(self, unknown_max: int = 20, rows_max: int = 1000) -> list[str]:
        """Have every due hint read."""
        world = self.world
        scan = DispatchHints(
            world.database, world.queue, world.clock, 25, rows_max, unknown_max, RESEND_AFTER
        )
        await scan()
        return [
            ending
            for job in world.queue.take()
            if isinstance(job, contracts.ReadHints)
            for ending in await self.read_hints(job.hint_ids)
        ]

    async def read_on(self, times: int = 40) -> list[str]:
        """Let time pass until no hint waits any more; return every ending."""
        endings = []
        for _ in range(times):
            endings += await self.read()
            (row,) = await self.world.rows("SELECT min(next_read_at) AS at FROM hints")
            if row.at is None:
                return endings
            self.world.clock.instant = max(self.world.clock.instant, row.at)
        raise AssertionError(endings)

    async def advance(self) -> list[str]:
        """Have the next step of every due window taken."""
        world = self.world
        await AdvanceWindows(world.database, world.queue, world.clock, 25, 1000, RESEND_AFTER)()
        prepare = PrepareWindows(world.database, self.gateway, world.clock)
        close = CloseWindows(
            world.database,
            self.gateway,
            self.read_hints,
            world.clock,
            timedelta(days=1),
            HINT_POLICY,
        )
        endings = []
        for job in world.queue.take():
            match job:
                case contracts.PrepareWindows():
                    endings += await prepare(job.window_ids)
                case contracts.CloseWindows():
                    endings += await close(job.window_ids)
                case _:
                    raise AssertionError(job)
        return endings

    async def remove(self) -> list[str]:
        """Have every key taken away that is to be."""
        world = self.world
        await DispatchRemovals(world.database, world.queue, world.clock, 25, 1000, RESEND_AFTER)()
        remove = RemoveBillingKeys(world.database, self.gateway, world.clock, timedelta(days=1))
        return [
            ending
            for job in world.queue.take()
            if isinstance(job, contracts.RemoveBillingKeys)
            for ending in await remove(job.billing_key_ids)
        ]

    # What a test looks at.

    async def key(self, customer_uid: str = CUSTOMER) -> Row[Any]:
        """Return a billing key's row."""
        statement = "SELECT * FROM billing_keys WHERE customer_uid = :uid"
        return (await self.world.rows(statement, uid=customer_uid))[0]

    async def window(self, asked: Mapping[str, Any]) -> Row[Any]:
        """Return a window's row."""
        statement = "SELECT * FROM windows WHERE merchant_uid = :uid"
        return (await self.world.rows(statement, uid=asked["merchant_uid"]))[0]

    async def state(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return everything that a hint could change, to be compared."""
        statements = {
            "keys": "SELECT id, status, generation FROM billing_keys ORDER BY id",
            "windows": "SELECT id, status, imp_uid FROM windows ORDER BY id",
            "invoices": "SELECT id, status, next_attempt_at FROM invoices ORDER BY id",
            "attempts": "SELECT id, status, imp_uid FROM payment_attempts ORDER BY id",
            "payments": "SELECT imp_uid, amount, cancelled_amount FROM payments ORDER BY id",
            "letters": "SELECT kind, cause FROM dead_letters ORDER BY id",
        }
        return {
            name: [tuple(row) for row in await self.world.rows(statement)]
            for name, statement in statements.items()
        }


async def owing(world: World, customer_uid: str = CUSTOMER, count: int = 1) -> list[int]:
    """Subscribe with a key, open the invoices, and return their ids."""
    ids = await world.subscribe(count)
    await world.rows(
        """
        UPDATE subscriptions SET billing_key_id = (
            SELECT id FROM billing_keys WHERE customer_uid = :uid
        )
        WHERE id = ANY(:ids)
        """,
        uid=customer_uid,
        ids=ids,
    )
    await world.renew()
    found = await world.rows("SELECT id FROM invoices WHERE subscription_id = ANY(:i)", i=ids)
    return sorted(row.id for row in found)


def names_of(events: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names of events, those about commands, subscriptions and invoices left out."""
    others = ("command.", "subscription.", "invoice.")
    return [event["name"] for event in events if not event["name"].startswith(others)]
