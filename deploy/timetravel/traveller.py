"""Lives the planned lives: every wish a real command, every look at the instant it is due."""

import heapq
import itertools
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text

from deploy.timetravel.gateway import Gateway
from deploy.timetravel.machine import Machine
from deploy.timetravel.plan import Deed, Life
from shared.db.outbox import StoredEvent
from shared.jobs.commands import (
    CancelSubscription,
    ConfirmBillingKey,
    RefundPayment,
    RegisterBillingKey,
)
from shared.jobs.life_commands import (
    AdjustSubscription,
    ChangePrice,
    ChangeSubscription,
    Consent,
    PauseSubscription,
    ReactivateSubscription,
    RecordConsent,
    ResumeSubscription,
    RetryInvoice,
    StartSubscription,
)

_REASON: Final = "구매자 요청"
_ORDER_NAME: Final = "슬림 요금제"
# How many events wait before they are told: often enough for whoever listens to a queue.
_TOLD_AT: Final = 5_000
# Every scan looks this often, whether the rows seem to wait for it or not.
_FULL_LOOK_EVERY: Final = timedelta(days=7)
# What it tells comes before what it tells of: it is not waited for by any row.
_ALSO: Final = ("notices",)
# Once nothing is asked any more, unknown outcomes and ends have this long to come out.
_AFTERMATH: Final = timedelta(days=2)
# The gateway is asked about everything at once; what takes longer goes to a person by then.
_QUESTIONS_MAX: Final = 500
_BY_HAND: Final = {"reason": _REASON, "requester": "customer"}


class Traveller:
    """One merchant with its buyers, on the way through the years.

    Attributes:
        looks: At how many instants anybody looked.
        looked_at: When that was last: what is due later nobody has had a look at.
        passed: Called with the present after every look, for whoever watches.
    """

    def __init__(
        self, machine: Machine, gateway: Gateway, lives: Iterable[Life], deeds: Iterable[Deed]
    ) -> None:
        """Take an installation with an empty database, the gateway, and what will happen."""
        self.machine = machine
        self.gateway = gateway
        self.lives = {life.id: life for life in lives}
        self.looks = 0
        self.looked_at = machine.now
        self.passed: Callable[[datetime], None] = lambda _now: None
        self._numbers = itertools.count(1)
        self._windows: dict[str, Mapping[str, Any]] = {}
        every = itertools.chain(deeds, *(life.deeds for life in self.lives.values()))
        self._agenda = [(deed.at, number, deed) for number, deed in enumerate(every)]
        heapq.heapify(self._agenda)
        machine.outlook.told_at = _TOLD_AT
        machine.told.listen = self._hear

    async def travel(self, until: datetime, step: timedelta) -> None:
        """Live until an instant, and look on until what was under way then has ended."""
        await self._prepare()
        await self._go_on(until, step)
        await self._go_on(until + _AFTERMATH, step)
        await self._look(at_all=True)
        self.machine.outlook.told_at = 1
        await self._look(at_all=True)
        await self._learn()

    async def _learn(self) -> None:
        """Ask the gateway on, and nobody else, until no outcome is unknown any more.

        Periods begin at every instant, so whenever one stops something has just been sent.
        """
        for _ in range(_QUESTIONS_MAX):
            async with self.machine.database.transaction() as connection:
                ask_at = await connection.scalar(text(_ASK_AT))
            if ask_at is None:
                return
            self.machine.clock.instant = max(ask_at, self.machine.now)
            await self.gateway.move_clock(self.machine.now)
            await self.machine.ask()
        await self.machine.tell()

    async def _prepare(self) -> None:
        await self.gateway.move_clock(self.machine.now)
        lives = self.lives.values()
        await self.gateway.register([life.customer_uid for life in lives])
        scripts = {life.customer_uid: life.behaviour for life in lives if life.behaviour}
        await self.gateway.behave(scripts)

    async def _go_on(self, until: datetime, step: timedelta) -> None:
        full_at = self.machine.now
        while self.machine.now < until:
            # Looks lie on a grid, whose width bounds how late anything is seen.
            next_at = min(self.machine.now + step, until)
            due_at = await self.machine.next_at()
            if due_at is None or due_at > next_at:
                waits = [at for at in (due_at, self._next_deed_at(), until) if at is not None]
                later = min(waits) - self.machine.now
                next_at = min(until, self.machine.now + step * max(1, -(-later // step)))
            await self._do_until(next_at)
            await self.gateway.move_clock(next_at)
            self.machine.clock.instant = next_at
            at_all = next_at >= full_at
            await self._look(at_all=at_all)
            if at_all:
                full_at = next_at + _FULL_LOOK_EVERY
            self.passed(next_at)

    def _next_deed_at(self) -> datetime | None:
        return self._agenda[0][0] if self._agenda else None

    async def _look(self, *, at_all: bool) -> None:
        self.looks += 1
        self.looked_at = self.machine.now
        await self.machine.look(at_all=at_all, also=_ALSO)

    # Deeds.

    async def _do_until(self, at: datetime) -> None:
        """Do what is planned up to an instant, each thing at its own."""
        while self._agenda and self._agenda[0][0] <= at:
            deed = heapq.heappop(self._agenda)[2]
            self.machine.clock.instant = max(deed.at, self.machine.now)
            await getattr(self, f"_{deed.what}")(deed)

    async def _start(self, deed: Deed) -> None:
        life = self._life(deed)
        given = {**deed.given, "customer_uid": life.customer_uid, "order_name": _ORDER_NAME}
        await self._say(
            StartSubscription, subscription_id=life.id, consent=self._consent(), **given
        )

    async def _agree_to_pay(self, deed: Deed) -> None:
        given = await self._rows("SELECT amount * quantity FROM subscriptions WHERE id = :id", deed)
        if given:
            await self._agree_to(deed.subscription_id, "trial_conversion", given[0][0])

    async def _agree(self, deed: Deed) -> None:
        """Have most of the buyers of a product agree to its new price."""
        statement = """
            SELECT id, quantity FROM subscriptions
            WHERE product = :product AND status <> 'canceled' ORDER BY id
        """
        async with self.machine.database.transaction() as connection:
            rows = list(
                await connection.execute(text(statement), {"product": deed.given["product"]})
            )
        for number, row in enumerate(rows):
            if number % 3:
                amount = deed.given["amount"] * row.quantity
                await self._agree_to(row.id, "price_increase", amount)

    async def _agree_to(self, subscription_id: UUID | None, kind: str, amount: int) -> None:
        await self._say(
            RecordConsent,
            subscription_id=subscription_id,
            kind=kind,
            amount_after=amount,
            consent=self._consent(),
        )

    async def _price(self, deed: Deed) -> None:
        await self._say(ChangePrice, **deed.given)

    async def _discount(self, deed: Deed) -> None:
        await self._of(AdjustSubscription, deed, description="감사 할인")

    async def _credit(self, deed: Deed) -> None:
        await self._of(AdjustSubscription, deed, description="장애 보상")

    async def _pause(self, deed: Deed) -> None:
        await self._of(PauseSubscription, deed, **_BY_HAND)

    async def _resume(self, deed: Deed) -> None:
        await self._of(ResumeSubscription, deed)

    async def _change(self, deed: Deed) -> None:
        await self._of(ChangeSubscription, deed, requester="customer", consent=self._consent())

    async def _cancel(self, deed: Deed) -> None:
        await self._of(CancelSubscription, deed, **_BY_HAND)

    async def _reactivate(self, deed: Deed) -> None:
        await self._of(ReactivateSubscription, deed, consent=self._consent())

    async def _refund(self, deed: Deed) -> None:
        paid = await self._rows(_LAST_PAID, deed)
        if paid:
            await self._say(RefundPayment, invoice_id=paid[0].id, **_BY_HAND, **deed.given)

    async def _retry(self, deed: Deed) -> None:
        for row in await self._rows(_DECLINED, deed):
            await self._say(RetryInvoice, invoice_id=row.id)

    async def _key_ends(self, deed: Deed) -> None:
        if await self._rows(_ACTIVE_KEY, deed):
            await self.gateway.end_key(self._life(deed).customer_uid)

    async def _new_key(self, deed: Deed) -> None:
        """Have the buyer register a method anew, in the window, as the merchant's page would."""
        if not await self._rows(_DEAD_KEY, deed):
            return
        life, machine = self._life(deed), self.machine
        await self.gateway.move_clock(machine.now)
        asked = await self._say(
            RegisterBillingKey,
            customer_uid=life.customer_uid,
            amount=9_900,
            order_name=_ORDER_NAME,
            buyer_tel="010-0000-0000",
        )
        await machine.look()
        await machine.tell()
        parameters = self._windows.pop(asked, None)
        if parameters is None:
            return
        people = {"buyer_tel": "010-0000-0000", "customer_uid": life.customer_uid}
        told = await self.gateway.use_window({**parameters, **people}, f"naver-{life.id.hex[:20]}")
        await self._say(ConfirmBillingKey, imp_uid=told[0], merchant_uid=told[1])
        await machine.look()

    # How it is said.

    async def _of(self, contract: Any, deed: Deed, **more: Any) -> None:
        await self._say(contract, subscription_id=deed.subscription_id, **more, **deed.given)

    async def _say(self, contract: Any, **given: Any) -> str:
        command_id = f"{contract.task}-{next(self._numbers)}"
        self.machine.say(contract(command_id=command_id, **given))
        await self.machine.work()
        return command_id

    def _consent(self) -> Consent:
        return Consent(given_at=self.machine.now, shown="요금 안내 v1", evidence="동의 버튼")

    def _life(self, deed: Deed) -> Life:
        if deed.subscription_id is None:
            message = f"{deed.what} belongs to one life"
            raise ValueError(message)
        return self.lives[deed.subscription_id]

    async def _rows(self, statement: str, deed: Deed) -> list[Any]:
        async with self.machine.database.transaction() as connection:
            return list(await connection.execute(text(statement), {"id": deed.subscription_id}))

    def _hear(self, event: StoredEvent) -> None:
        if event.name == "billing_key.registration_requested":
            data: Mapping[str, Any] = event.data
            self._windows[data["command_id"]] = data["parameters"]


_ASK_AT: Final = """
    SELECT least(
        (SELECT min(inquire_at) FROM payment_attempts WHERE inquire_at IS NOT NULL),
        (SELECT min(inquire_at) FROM refunds WHERE inquire_at IS NOT NULL))
"""
_LAST_PAID: Final = """
    SELECT id FROM invoices WHERE subscription_id = :id AND status = 'paid' AND amount > 0
    ORDER BY period_index DESC LIMIT 1
"""
_DECLINED: Final = """
    SELECT id FROM invoices WHERE subscription_id = :id AND status = 'open' AND declines > 0
    ORDER BY period_index
"""
_ACTIVE_KEY: Final = """
    SELECT k.id FROM subscriptions s JOIN billing_keys k ON k.id = s.billing_key_id
    WHERE s.id = :id AND k.status = 'active'
"""
_DEAD_KEY: Final = """
    SELECT k.id FROM subscriptions s JOIN billing_keys k ON k.id = s.billing_key_id
    WHERE s.id = :id AND k.status = 'dead' AND s.status <> 'canceled'
"""
