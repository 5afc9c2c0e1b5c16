"""Random lives of subscriptions that end: at once or later, amid charges, deaths and lost replies.

The weather, the messages and most steps are those of ``interleaving``; what is wrong at the end of
a life is counted here.
"""

import asyncio
import random
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row

from shared.billing.calendar import BillingCycle, Interval, IntervalUnit, Period
from shared.billing.cancellation import CancelWhen, RefundChoice, refund_of
from shared.billing.catch_up import CatchUp, CatchUpPolicy
from shared.billing.inquiry import StillUnresolved
from shared.billing.money import Price
from shared.jobs.contracts import EndSubscriptions, Job
from tests.integration.services.interleaving import STEPS, Climate, Life, Storm
from tests.support.billing import MONTHLY, RESEND_AFTER, START_AT, World
from tests.support.book import DuplicatePolicy
from tests.support.endings import Book, Ends
from worker.services.commanding import CommandRefusedError

CHARGED_AFTER_THE_END = "charged after the end"
BILLED_AFTER_THE_END = "a period was opened that began after the end"
NOT_ENDED = "the end never came"
NOT_CLOSED = "something was left open"
GIVEN_BACK_WRONG = "not given back what was to be"
VOID_AND_PAID = "an invoice is not paid whose payment is ours"
FORGOTTEN = "a payment in the book that nobody knows of"
STILL_RESERVED = "still reserved"
TOLD_WRONG = "events differ from rows"

ENDING_STEPS = {
    **STEPS,
    "cancel": 2,
    "cancel_beside_a_delivery": 2,
    "scan_ends": 5,
    "die_in_mid_end": 1,
    "revocations_fail": 1,
}
CLIMATE = Climate(steps=ENDING_STEPS, length=(20, 45))
_PRICE = Price(9_900, 990)
_DAILY = Interval(IntervalUnit.DAY)
# Calm rounds of an hour: longer than anything may be in doubt.
_ROUNDS = 32


@dataclass
class EndingLife(Life):
    """One run, in which subscriptions are canceled as well."""

    ends: dict[World, Ends] = field(default_factory=dict)
    subscriptions: list[uuid.UUID] = field(default_factory=list)

    async def work(self, process: World, job: Job | None) -> None:
        """Work one message of any kind."""
        if isinstance(job, EndSubscriptions):
            await self.ends[process].end(job.subscription_ids)
        else:
            await super().work(process, job)

    async def cancel(self) -> None:
        """Have somebody wish for an end."""
        process = self.dice.choice([self.world, self.other])
        when = self.dice.choice(list(CancelWhen))
        refund = self.dice.choice(list(RefundChoice))
        said = {
            "refund": refund if when is CancelWhen.NOW else RefundChoice.NONE,
            "late_payment": self.dice.choice(list(RefundChoice)),
        }
        try:
            await self.ends[process].cancel(self.dice.choice(self.subscriptions), when, **said)
        except CommandRefusedError as refused:
            self.trace.append(f"  refused: {refused}")

    async def cancel_beside_a_delivery(self) -> None:
        """Have the wish and a message worked at the same instant."""
        process = self.dice.choice([self.world, self.other])
        await asyncio.gather(self.cancel(), self.work(process, self.take()))

    async def scan_ends(self) -> None:
        """Run the scan of both processes at once."""
        await asyncio.gather(*(ends.scan() for ends in self.ends.values()))

    async def die_in_mid_end(self) -> None:
        """Have a process die somewhere between the first and the last statement of an end."""
        jobs = [job for job in self.world.queue.jobs if isinstance(job, EndSubscriptions)]
        if not jobs:
            return
        job = self.dice.choice(jobs)
        self.world.queue.jobs.remove(job)
        task = asyncio.create_task(self.ends[self.other].end(job.subscription_ids))
        for _ in range(self.dice.randrange(60)):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def revocations_fail(self) -> None:
        """Have the gateway unable to say that nothing is planned."""
        self.ends[self.world].book.script.append(StillUnresolved("HTTP 500"))

    async def calm_down(self) -> None:
        """Let everything come to its end, the ends of periods included."""
        self.storm.calm = True
        while self.storm.stale:
            await self.wake()
        self.ends[self.world].book.script.clear()
        await self.hours(_ROUNDS)
        found = await self.world.rows("SELECT max(cancel_at) AS at FROM subscriptions")
        if found[0].at is not None and found[0].at > self.world.clock.now():
            self.world.clock.instant = found[0].at
            await self.hours(4)

    async def hours(self, rounds: int) -> None:
        """Let hours pass, with everything done that is due in each."""
        for _ in range(rounds):
            await self.world.renew()
            for wait in (RESEND_AFTER, timedelta(hours=1)):
                await self.world.scan_inquiries()
                await self.world.dispatch()
                await self.ends[self.world].scan()
                for job in self.world.queue.take():
                    await self.work(self.world, job)
                self.world.pass_time(wait)


async def live_through(
    world: World,
    other: World,
    seed: int,
    policy: DuplicatePolicy,
    climate: Climate = CLIMATE,
) -> tuple[Counter[str], list[str]]:
    """Return what went wrong in the life of a seed, counted, and the life's trace."""
    dice = random.Random(f"{seed} {policy}")  # noqa: S311 - a life, not a secret
    world.clock.instant = START_AT
    storm = Storm(world.clock, policy, dice=dice, climate=climate)
    for process in (world, other):
        process.gateway = storm
        process.catch_up = CatchUpPolicy(dice.choice(list(CatchUp)))
        process.batch_size = 2
    world.queue.jobs.clear()
    other.queue = world.queue
    await world.clear()
    ids = await world.subscribe(2, _PRICE.amount, _PRICE.tax_free)
    for ahead in (timedelta(minutes=7), timedelta(hours=1)):
        # A period that is over while the life lasts.
        cycle = BillingCycle(START_AT - timedelta(days=1) + ahead, _DAILY)
        ids += await world.subscribe(
            1, _PRICE.amount, _PRICE.tax_free, cycle=cycle, first_period_index=0
        )
    ids += await world.subscribe(
        1,
        _PRICE.amount,
        _PRICE.tax_free,
        cycle=BillingCycle(START_AT - timedelta(days=40), MONTHLY),
    )
    keys = await world.rows("SELECT customer_uid FROM billing_keys")
    book = Book({row.customer_uid for row in keys})
    life = EndingLife(world, other, storm, dice)
    life.ends = {process: Ends(process, book) for process in (world, other)}
    life.subscriptions = ids
    for step in (life.renew, life.dispatch):
        await step()
    world.pass_time(timedelta(microseconds=1))
    for _ in range(dice.randint(*climate.length)):
        await life.step()
        # No two things happen at one instant unless a step says so.
        world.pass_time(timedelta(microseconds=1))
    await life.calm_down()
    return await faults_of(life), life.trace


async def faults_of(life: EndingLife) -> Counter[str]:
    """Compare the book, the rows and the events at the end of a life."""
    world, storm, now = life.world, life.storm, life.world.clock.now()
    subscriptions = {row.id: row for row in await world.rows("SELECT * FROM subscriptions")}
    invoices = {row.id: row for row in await world.rows("SELECT * FROM invoices")}
    attempts = await world.rows("SELECT * FROM payment_attempts ORDER BY id")
    parked = {a.invoice_id for a in attempts if a.status == "parked"}
    faults: Counter[str] = Counter()
    for sent in storm.sent:
        ended_at = _ended_at(subscriptions[sent.claim.subscription_id])
        faults[CHARGED_AFTER_THE_END] += ended_at is not None and sent.claim.claimed_at > ended_at
    for invoice in invoices.values():
        ended_at = _ended_at(subscriptions[invoice.subscription_id])
        faults[BILLED_AFTER_THE_END] += ended_at is not None and invoice.period_start_at >= ended_at
    told = Counter(
        row.subscription_id
        for row in await world.rows(
            "SELECT subscription_id FROM events WHERE name = 'subscription.canceled'"
        )
    )
    reserved = await world.rows("SELECT id, customer_uid FROM billing_keys")
    keys = {row.id: row.customer_uid for row in reserved}
    for id_, row in subscriptions.items():
        faults[TOLD_WRONG] += told[id_] != (row.status == "canceled")
        if row.cancel_at is None or row.cancel_at > now:
            continue
        faults[NOT_ENDED] += row.status != "canceled"
        faults[STILL_RESERVED] += keys[row.billing_key_id] in life.ends[world].book.reserved
        waits = any(invoices[i].subscription_id == id_ for i in parked)
        faults[NOT_CLOSED] += (row.closed_at is None) != waits
    faults.update(await _money_faults(life, subscriptions, invoices, attempts))
    return +faults


def _ended_at(row: Row[Any]) -> datetime | None:
    ended_at: datetime | None = row.canceled_at or row.cancel_at
    return ended_at


async def _money_faults(
    life: EndingLife,
    subscriptions: Mapping[uuid.UUID, Row[Any]],
    invoices: Mapping[int, Row[Any]],
    attempts: list[Row[Any]],
) -> Counter[str]:
    """Compare what went back with what was to go back, payment by payment of the book."""
    faults: Counter[str] = Counter()
    found = await life.world.rows(
        "SELECT p.attempt_id, r.amount, r.tax_free, r.cause FROM refunds r"
        " JOIN payments p ON p.id = r.payment_id"
    )
    back = {row.attempt_id: (row.cause, row.amount, row.tax_free) for row in found}
    faults[GIVEN_BACK_WRONG] += len(back) != len(found)
    by_uid = {attempt.merchant_uid: attempt for attempt in attempts}
    for booked in life.storm.paid():
        attempt = by_uid[booked.record.merchant_uid]
        invoice = invoices[attempt.invoice_id]
        row = subscriptions[invoice.subscription_id]
        if attempt.status in {"parked", "method_dead"}:
            # A person's; or hidden from every look-up until a later send found the key dead.
            continue
        if row.status == "canceled":
            faults[FORGOTTEN] += attempt.status != "paid"
        if attempt.status == "paid":
            faults[VOID_AND_PAID] += invoice.status != "paid"
            expected = _expected(row, invoice, attempt)
            faults[GIVEN_BACK_WRONG] += back.get(attempt.id) != expected
    return faults


def _expected(row: Row[Any], invoice: Row[Any], attempt: Row[Any]) -> tuple[str, int, int] | None:
    """Return what is to go back of one payment, by the wish as it stands."""
    if row.canceled_at is None or row.cancel_at is None:
        return None
    period = Period(invoice.period_index, invoice.period_start_at, invoice.period_end_at)
    if attempt.settled_at > row.canceled_at:
        cause, choice = "late_payment", row.cancel_late_payment
    elif period.start_at <= row.canceled_at < period.end_at:
        cause, choice = "cancellation", row.cancel_refund
    else:
        return None
    price = refund_of(RefundChoice(choice), _PRICE, _PRICE, period, row.time_zone, row.canceled_at)
    return None if price is None else (cause, price.amount, price.tax_free)


def narrow(steps: Mapping[str, int], **changes: Any) -> Climate:
    """Return a climate in which some steps are all that happens."""
    return replace(CLIMATE, steps=steps, **changes)
