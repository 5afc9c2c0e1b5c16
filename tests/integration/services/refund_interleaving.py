"""Random lives of a few refunds: every order of work, messages, deaths and lost replies.

``RefundStorm`` is the gateway in bad weather, ``live_through`` one life from a seed. A life ends
with the weather calm; what it returns is everything that was wrong, first with the money, then with
the end.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeAlias

from sqlalchemy import Row

from shared.billing.inquiry import PaymentRecord, StillUnresolved
from shared.billing.outcome import NotSent, Throttled
from shared.billing.refund import RefundClaim, RefundOutcome
from shared.db import payments
from shared.jobs.contracts import InquireRefunds, Job
from tests.integration.services.interleaving import choose, quiet
from tests.support.billing import START_AT
from tests.support.book import ProcessDiedError
from tests.support.refunds import REASON, RefundBook, RefundDesk, Way
from worker.services.commanding import CommandRefusedError

STEPS_MIN, STEPS_MAX = 15, 35
# Calm rounds within which everything must have come to its end.
ROUNDS_MAX = 60

GIVEN_BACK_TWICE = "given back twice"
ROWS_AND_BOOK_DIFFER = "rows and book differ"
SUMS_DIFFER = "sums differ"
REFUSED_FOR_NOTHING = "refused for nothing"
STUCK = "stuck"
TOLD_WRONG = "events differ from rows"

PAUSED_BEFORE_SENDING = "paused before sending"
PAUSED_AFTER_THE_REPLY = "paused after the reply"
Weather: TypeAlias = Mapping[Way | str, int]
WEATHER: Weather = {
    Way.DONE: 5,
    Way.DONE_REPLY_LOST: 5,
    Way.DONE_LATE: 3,
    Way.DONE_HIDDEN: 4,
    Way.REFUSED: 2,
    Way.NOT_SENT: 2,
    Way.REQUEST_LOST: 4,
    Way.DIES_BEFORE_SENDING: 2,
    Way.DIES_AFTER_DOING: 2,
    "throttled": 1,
    PAUSED_BEFORE_SENDING: 4,
    PAUSED_AFTER_THE_REPLY: 3,
}
WAITS_S = {1: 3, 20: 3, 125: 3, 310: 5, 3_700: 2}
STEPS = {
    "ask": 4,
    "ask_again": 1,
    "scan": 6,
    "deliver": 7,
    "deliver_and_keep": 2,
    "deliver_twice": 3,
    "redeliver": 2,
    "ask_too_early": 2,
    "lose": 1,
    "wake": 3,
    "cancel_in_the_console": 1,
    "hint": 2,
    "wait": 8,
}
# Few amounts, so that two refunds look the same.
AMOUNTS = (1_000, 1_000, 3_000, 7_000, "all")


@dataclass(frozen=True, slots=True)
class Climate:
    """How often each thing happens, by weight; a narrow one finds its mistake sooner."""

    weather: Weather = field(default_factory=lambda: WEATHER)
    steps: Mapping[str, int] = field(default_factory=lambda: STEPS)
    waits_s: Mapping[int, int] = field(default_factory=lambda: WAITS_S)
    amounts: tuple[int | str, ...] = AMOUNTS
    length: tuple[int, int] = (STEPS_MIN, STEPS_MAX)


@dataclass
class RefundStorm(RefundBook):
    """A gateway on which anything may happen to a send, until it is calm.

    Attributes:
        stale: What processes heard that stand still, and will say when they wake.
        unwilling: Refunds that the gateway refused although it could have done them.
    """

    dice: random.Random = field(default_factory=random.Random)
    climate: Climate = field(default_factory=Climate)
    calm: bool = False
    stale: list[tuple[RefundClaim, RefundOutcome]] = field(default_factory=list)
    unwilling: set[int] = field(default_factory=set)

    async def refund(self, claim: RefundClaim, *, claimed_at_s: float) -> RefundOutcome:
        """Send one refund in this weather."""
        way = Way.DONE if self.calm else choose(self.dice, self.climate.weather)
        paused = way == PAUSED_AFTER_THE_REPLY
        if way == PAUSED_BEFORE_SENDING:
            # Its send window is over when it wakes: the fence lets nothing leave.
            self.stale.append((claim, NotSent("the send window is over")))
            raise ProcessDiedError
        if paused:
            way = self.dice.choice([Way.DONE, Way.REFUSED, Way.NOT_SENT])
        self.script.append(way if isinstance(way, Way) else Throttled("HTTP 429", 20.0))
        if way is Way.REFUSED and self._refusal(claim) is None:
            self.unwilling.add(claim.refund_id)
        self.late = timedelta(seconds=self.dice.choice([30, 150, 290]))
        if way is Way.DONE_HIDDEN:
            # Look-ups may lag behind as long as they like.
            self.late = timedelta(minutes=self.dice.choice([6, 40]))
        outcome = await super().refund(claim, claimed_at_s=claimed_at_s)
        if paused:
            self.stale.append((claim, outcome))
            raise ProcessDiedError
        return outcome

    async def payment(self, imp_uid: str) -> PaymentRecord | StillUnresolved | None:
        """Look up, which may fail."""
        if not self.calm and self.dice.random() < 0.15:
            return StillUnresolved("HTTP 500")
        return await super().payment(imp_uid)


@dataclass
class Life:
    """One run: two processes, their messages, and what happens to them."""

    desk: RefundDesk
    other: RefundDesk
    storm: RefundStorm
    dice: random.Random
    paid: list[Row[Any]]
    commands: list[tuple[Row[Any], int | str, str]] = field(default_factory=list)
    sent_before: list[Job] = field(default_factory=list)
    trace: list[str] = field(default_factory=list)

    async def step(self) -> None:
        """Let one thing happen."""
        name = choose(self.dice, self.storm.climate.steps)
        self.trace.append(name)
        step: Callable[[], Awaitable[None]] = getattr(self, name)
        await step()
        await quiet()

    async def ask(self) -> None:
        """Publish a command, which may come twice at once."""
        payment = self.dice.choice(self.paid)
        amount = self.dice.choice(self.storm.climate.amounts)
        await self.command(payment, amount, f"command-{len(self.commands)}")

    async def ask_again(self) -> None:
        """Publish a command of long ago again."""
        if self.commands:
            await self.command(*self.dice.choice(self.commands))

    async def command(self, payment: Row[Any], amount: int | str, command_id: str) -> None:
        """Work a command in both processes at once."""
        self.commands.append((payment, amount, command_id))
        found = await asyncio.gather(
            *(
                desk.command(payment, amount, command_id=command_id, reason=REASON)
                for desk in (self.desk, self.other)
            ),
            return_exceptions=True,
        )
        for result in found:
            if isinstance(result, BaseException) and not isinstance(result, CommandRefusedError):
                raise result
        self.trace[-1] += f" {payment.id} {amount}: {found[0]}"

    async def scan(self) -> None:
        """Run both processes' scans at once."""
        await asyncio.gather(self.desk.scan(), self.other.scan())

    def take(self, *, keep: bool = False) -> Job | None:
        """Return a message that waits, in any order."""
        jobs = self.desk.world.queue.jobs
        if not jobs:
            return None
        job = self.dice.choice(jobs)
        self.sent_before.append(job)
        if not keep:
            jobs.remove(job)
        return job

    async def work(self, process: RefundDesk, job: Job | None) -> None:
        """Work one message, which the process may not survive."""
        if job is not None:
            try:
                self.trace.append(f"  {job!r}: {await process.work(job)}")
            except ProcessDiedError:
                self.trace.append(f"  {job!r}: died")

    async def deliver(self) -> None:
        """Deliver a message."""
        await self.work(self.desk, self.take())

    async def deliver_and_keep(self) -> None:
        """Deliver a message whose acknowledgement is lost."""
        await self.work(self.desk, self.take(keep=True))

    async def deliver_twice(self) -> None:
        """Deliver a message twice at once, to two processes or to two threads of one."""
        job, second = self.take(), self.dice.choice([self.desk, self.other])
        await asyncio.gather(self.work(self.desk, job), self.work(second, job))

    async def redeliver(self) -> None:
        """Deliver a message of long ago again."""
        if self.sent_before:
            await self.work(self.desk, self.dice.choice(self.sent_before))

    async def ask_too_early(self) -> None:
        """Deliver an inquiry that no scan of ours would have sent yet."""
        found = await self.desk.world.rows("SELECT id FROM refunds ORDER BY id")
        if found:
            ids = (self.dice.choice(found).id,)
            await self.work(self.desk, InquireRefunds(refund_ids=ids))

    async def lose(self) -> None:
        """Lose a message."""
        self.take()

    async def wake(self) -> None:
        """Let a process that stood still write what it heard."""
        if self.storm.stale:
            claim, outcome = self.storm.stale.pop(self.dice.randrange(len(self.storm.stale)))
            self.trace.append(f"  {claim!r} {outcome!r}")
            await self.other.answer(claim, outcome)

    async def cancel_in_the_console(self) -> None:
        """Have somebody give money back by hand."""
        held = self.storm.entries()[self.dice.choice(self.paid).imp_uid]
        amount, tax_free = self.dice.choice([500, 1_000, 2_000]), 0
        if held.left - held.tax_free_left >= amount:
            self.trace[-1] += f" {held.record.imp_uid} {amount}"
            self.storm.cancel_in_the_console(held.record.imp_uid, amount, tax_free=tax_free)

    async def hint(self) -> None:
        """Take over what the gateway shows, as a webhook has us do."""
        payment = self.dice.choice(self.paid)
        record = await self.storm.payment(payment.imp_uid)
        if isinstance(record, PaymentRecord):
            await self.adopt(payment, record.cancel_amount)

    async def adopt(self, payment: Row[Any], cancelled_amount: int) -> None:
        world = self.desk.world
        adopted = await world.database.run(
            lambda connection: payments.adopt_cancelled(
                connection, payment.id, cancelled_amount, world.clock.now()
            )
        )
        self.trace[-1] += f" {payment.id} {cancelled_amount}: {adopted}"

    async def wait(self) -> None:
        """Let time pass."""
        wait_s = choose(self.dice, self.storm.climate.waits_s)
        self.trace[-1] += f" {wait_s}"
        self.desk.world.pass_time(timedelta(seconds=wait_s))

    async def calm_down(self) -> None:
        """Let everything come to its end, in a bounded number of rounds."""
        world = self.desk.world
        self.storm.calm = True
        while self.storm.stale:
            await self.wake()
        for _ in range(ROUNDS_MAX):
            self.trace.append(f"calm: {await self.desk.work_all()}")
            if (next_at := await self.desk.next_at()) is None:
                break
            world.clock.instant = next_at
        world.pass_time(timedelta(days=1))


async def live_through(
    desk: RefundDesk, other: RefundDesk, seed: int, climate: Climate | None = None
) -> tuple[Counter[str], list[str]]:
    """Return what went wrong in the life of a seed, counted, and the life's trace."""
    dice = random.Random(seed)  # noqa: S311 - a life, not a secret
    world = desk.world
    world.clock.instant = START_AT
    storm = RefundStorm(world.clock, dice=dice, climate=climate or Climate())
    for process in (desk, other):
        process.gateway = storm
        process.world.batch_size = 2
        process.world.queue = world.queue
    world.queue.jobs.clear()
    await world.clear()
    paid = await desk.payments(2, amount=9_900, tax_free=900)
    world.queue.jobs.clear()
    life = Life(desk, other, storm, dice, paid)
    life.trace.append("begin")
    await life.ask()
    for _ in range(dice.randint(*storm.climate.length)):
        await life.step()
    await life.calm_down()
    return await faults_of(life), life.trace


async def faults_of(life: Life) -> Counter[str]:
    """Compare the book, the rows and the events at the end of a life."""
    world, storm = life.desk.world, life.storm
    refunds = await world.rows("SELECT * FROM refunds ORDER BY id")
    letters = {row.refund_id for row in await world.rows("SELECT refund_id FROM dead_letters")}
    parked = {refund.payment_id for refund in refunds if refund.status == "parked"}
    faults: Counter[str] = Counter()
    for refund in refunds:
        done = storm.given_back(refund.id)
        faults[GIVEN_BACK_TWICE] += done > 1
        if refund.status in {"done", "refused"}:
            faults[ROWS_AND_BOOK_DIFFER] += (refund.status == "done") != (done == 1)
        elif refund.status == "parked":
            faults[STUCK] += refund.id not in letters
        else:
            faults[STUCK] += refund.status != "waiting" or refund.payment_id not in parked
        if refund.status == "refused" and refund.checksum is not None:
            faults[REFUSED_FOR_NOTHING] += refund.id not in storm.unwilling
    for name, wanted in (
        ("payment.refund_requested", [refund.id for refund in refunds]),
        ("payment.refunded", [refund.id for refund in refunds if refund.status == "done"]),
        ("payment.refund_refused", [refund.id for refund in refunds if refund.status == "refused"]),
        ("payment.refund_parked", [refund.id for refund in refunds if refund.status == "parked"]),
    ):
        told = Counter(event["refund_id"] for event in await world.events(name))
        faults[TOLD_WRONG] += told != dict.fromkeys(wanted, 1)
    elsewhere = await world.events("payment.cancelled_elsewhere")
    for payment in life.paid:
        row, held = await life.desk.payment(payment), storm.entries()[payment.imp_uid]
        parts = [
            (refund.amount, refund.tax_free)
            for refund in refunds
            if refund.payment_id == payment.id and refund.status == "done"
        ]
        parts += [
            (event["amount"], event["tax_free"])
            for event in elsewhere
            if event["imp_uid"] == payment.imp_uid
        ]
        sums = (sum(amount for amount, _ in parts), sum(tax_free for _, tax_free in parts))
        faults[SUMS_DIFFER] += (row.cancelled_amount, row.cancelled_tax_free) != sums
        faults[SUMS_DIFFER] += row.cancelled_amount > row.amount - held.left
    return +faults
