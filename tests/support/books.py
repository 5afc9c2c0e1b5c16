"""Two books to compare: the sandbox's, in this process and on the world's clock, and our rows."""

import random
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from pydantic import SecretStr

from deploy.sandbox.clock import SandboxClock
from deploy.sandbox.records import BillingKey, Channel, Order, Payment, Status, Usage, Verdict
from deploy.sandbox.refunds import CancelOrder
from deploy.sandbox.settings import Settings
from deploy.sandbox.state import Sandbox
from deploy.sandbox.tokens import TokenDesk
from shared.billing.merchant_uid import merchant_uid
from shared.billing.reconciliation import Difference
from shared.clock import FixedClock
from shared.db import reconciliation_runs as runs
from shared.db.reconciliation_runs import Run
from tests.support.billing import QUIET, World
from tests.support.in_process import InProcess
from worker.gateway.adapter import PortOneGateway
from worker.gateway.client import PortOne
from worker.gateway.settings import GatewaySettings
from worker.services.reconcile import LEASE, ReconcileBooks

_KEY, _SECRET = "books-key", "books-secret"
DAY = timedelta(days=1)
APPROVED = Verdict(Status.PAID)


class _WorldClock(SandboxClock):
    """The sandbox's clock, standing where the world's does."""

    __slots__ = ("_clock",)

    def __init__(self, clock: FixedClock) -> None:
        super().__init__()
        self._clock = clock

    def now(self) -> float:
        return self._clock.now().timestamp()


@dataclass
class Books:
    """A world whose charges go to a sandbox of its own, and what a test does to either side.

    Attributes:
        is_test: Whether the channel is a test channel, whose payments lists do not show.
    """

    world: World
    is_test: bool = False
    sandbox: Sandbox = field(init=False)
    transport: InProcess = field(init=False)
    client: PortOne = field(init=False)
    gateway: PortOneGateway = field(init=False)

    def __post_init__(self) -> None:
        self.sandbox = Sandbox(
            TokenDesk(_KEY, _SECRET),
            Settings.model_validate(
                {
                    "webhook_url": "http://127.0.0.1:9/",
                    "test_channel": self.is_test,
                    "lists_hide_test_payments": self.is_test,
                }
            ),
            clock=_WorldClock(self.world.clock),
        )
        self.transport = InProcess(self.sandbox)
        settings = GatewaySettings(
            base_url="http://127.0.0.1:9",
            imp_key=SecretStr(_KEY),
            imp_secret=SecretStr(_SECRET),
            test_mode=self.is_test,
        )
        self.client = PortOne(settings, clock=self.world.clock, transport=self.transport)
        self.gateway = PortOneGateway(self.client, send_window_s=30.0, clock=self.world.clock)
        self.world.gateway = self.gateway  # type: ignore[assignment]

    async def live(self, count: int) -> list[Payment]:
        """Collect the first invoices of so many new subscriptions; return the gateway's records."""
        ids = await self.world.subscribe(count)
        held = await self.world.rows(
            """
            SELECT k.customer_uid FROM billing_keys k JOIN subscriptions s
            ON s.billing_key_id = k.id WHERE s.id = ANY(:ids)
            """,
            ids=ids,
        )
        now = self.sandbox.clock.now()
        for row in held:
            self.sandbox.book.register(BillingKey(row.customer_uid, now, now))
        await self.world.renew()
        before = {payment.imp_uid for payment in self.sandbox.book.payments()}
        endings = await self.world.charge_all()
        assert endings == ["paid"] * count
        booked = self.sandbox.book.payments()
        return [payment for payment in booked if payment.imp_uid not in before]

    def enter(
        self, uid: str, amount: int = 9_900, *, key: str | None = None, **what: Any
    ) -> Payment:
        """Have somebody else book something at the gateway."""
        now = self.sandbox.clock.now()
        values = {"usage": Usage.PAYMENT, "channel": Channel.API, "verdict": APPROVED, **what}
        verdict = values.pop("verdict")
        order = Order(key, uid, amount, "무엇")
        return self.sandbox.book.enter_foreign(order, verdict, started_at=now, at=now, **values)

    def cancel(self, payment: Payment, amount: int) -> None:
        """Give a part of a payment back in the gateway's console."""
        wanted = CancelOrder(imp_uid=payment.imp_uid, amount=amount, reason="관리자 취소")
        assert isinstance(self.sandbox.book.cancel(wanted, at=self.sandbox.clock.now()), Payment)

    async def begin(self, days: int = 1) -> Run:
        """Begin a comparison of the last days up to now."""
        now = self.world.clock.now()
        return await self.world.database.run(
            lambda connection: runs.begin(connection, now - days * DAY, now, now + LEASE)
        )

    async def compare(self, days: int = 1, *, foreign: bool = True) -> dict[str, Any]:
        """Compare the books of the last days once all has come to rest; return the report."""
        self.world.pass_time(QUIET + timedelta(seconds=1))
        report = await self.reconciler(foreign=foreign)(await self.begin(days))
        assert report is not None, await self.world.rows("SELECT * FROM reconciliation_runs")
        return report

    def reconciler(self, *, foreign: bool = True) -> ReconcileBooks:
        """Return the service, as a worker has it."""
        world = self.world
        return ReconcileBooks(world.database, self.gateway, world.clock, QUIET, foreign)


def counts(report: dict[str, Any]) -> dict[str, int]:
    """Return how many differences of each kind a report shows, those of which there is any."""
    return {kind: each["count"] for kind, each in report["differences"].items() if each["count"]}


@dataclass
class Vandal:
    """Makes the two books differ in every way there is, each in as many payments as it is told."""

    books: Books
    dice: random.Random

    async def spoil(self, kind: Difference, payments: list[Payment]) -> None:
        """Have each of these payments, which both books hold, be a difference of one kind."""
        for payment in payments:
            ways = getattr(self, f"_{kind.name.lower()}")()
            await self.dice.choice(ways)(payment)

    def _ours_only(self) -> list[Any]:
        return [self._forget]

    def _theirs_only(self) -> list[Any]:
        return [self._lost_subscription, self._our_key, self._lost_window]

    def _amount_differs(self) -> list[Any]:
        return [self._other_amount]

    def _status_differs(self) -> list[Any]:
        return [self._failed_there, self._declined_here]

    def _refund_differs(self) -> list[Any]:
        return [self._cancelled_there, self._cancelled_here]

    def _two_paid_for_one_period(self) -> list[Any]:
        return [self._next_number, self._same_uid]

    _two_paid = _two_paid_for_one_period

    def _foreign(self) -> list[Any]:
        return [self._shop]

    async def _forget(self, payment: Payment) -> None:
        self.books.sandbox.book.forget(payment.imp_uid)

    async def _lost_subscription(self, _payment: Payment) -> None:
        nobody = UUID(int=self.dice.getrandbits(128))
        self.books.enter(merchant_uid(nobody, self.dice.randrange(50), 1))

    async def _our_key(self, payment: Payment) -> None:
        self.books.enter(f"somebody-{self.dice.random()}", key=payment.order.customer_uid)

    async def _lost_window(self, payment: Payment) -> None:
        self.books.enter(
            f"{payment.order.merchant_uid[:17]}{self.dice.randrange(10**8):08}w",
            usage=None,
            channel=Channel.MOBILE,
        )

    async def _other_amount(self, payment: Payment) -> None:
        order = replace(payment.order, amount=payment.order.amount + self.dice.randint(1, 5_000))
        self.books.sandbox.book.restate(replace(payment, order=order))

    async def _failed_there(self, payment: Payment) -> None:
        failed = replace(
            payment, status=Status.FAILED, paid_at=0.0, failed_at=payment.paid_at, fail_reason="…"
        )
        self.books.sandbox.book.restate(failed)

    async def _declined_here(self, payment: Payment) -> None:
        await self.books.world.rows("DELETE FROM payments WHERE imp_uid = :i", i=payment.imp_uid)
        await self.books.world.rows(
            """
            UPDATE payment_attempts SET status = 'declined', imp_uid = NULL
            WHERE merchant_uid = :uid
            """,
            uid=payment.order.merchant_uid,
        )

    async def _cancelled_there(self, payment: Payment) -> None:
        self.books.cancel(payment, self.dice.randint(1, payment.order.amount))

    async def _cancelled_here(self, payment: Payment) -> None:
        await self.books.world.rows(
            "UPDATE payments SET cancelled_amount = :won WHERE imp_uid = :i",
            won=self.dice.randint(1, payment.order.amount),
            i=payment.imp_uid,
        )

    async def _next_number(self, payment: Payment) -> None:
        uid = payment.order.merchant_uid
        self.books.enter(f"{uid[:-1]}{int(uid[-1]) + 1}", key=payment.order.customer_uid)

    async def _same_uid(self, payment: Payment) -> None:
        self.books.enter(payment.order.merchant_uid, key=payment.order.customer_uid)

    async def _shop(self, _payment: Payment) -> None:
        self.books.enter(f"shop-{self.dice.random()}", self.dice.randint(100, 90_000))
