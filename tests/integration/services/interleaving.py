"""Random lives of a few invoices: every order of work, messages, deaths and lost replies.

``Storm`` is the gateway in bad weather, ``live_through`` one life from a seed. A life ends with the
weather calm; what it returns is everything that was wrong, first with the money, then with the end.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TypeAlias, TypeVar

from shared.billing.attempt import Claim
from shared.billing.calendar import BillingCycle
from shared.billing.catch_up import CatchUp, CatchUpPolicy
from shared.billing.collection import after_send
from shared.billing.dunning import DunningPolicy
from shared.billing.inquiry import PaymentRecord, StillUnresolved
from shared.billing.outcome import NotSent, Outcome, Throttled
from shared.billing.rules import CollectionRules
from shared.jobs.contracts import InquireAttempts, Job
from tests.support.billing import LEASES, MONTHLY, START_AT, World
from tests.support.book import BookedGateway, DuplicatePolicy, Ending, ProcessDiedError

T = TypeVar("T")

DUNNING = DunningPolicy((timedelta(hours=1), timedelta(hours=2)))
RULES = CollectionRules(LEASES, DUNNING)
STEPS_MIN, STEPS_MAX = 12, 30
# Calm rounds within which everything must have come to its end.
ROUNDS_MAX = 30

PAID_TWICE = "paid twice"
DUNNING_EARLY = "dunning came early"
NEW_NUMBER = "a new number without a decline"
STUCK = "stuck"
ROWS_AND_BOOK_DIFFER = "rows and book differ"
TOLD_WRONG = "events differ from rows"

PAUSED_BEFORE_SENDING = "paused before sending"
PAUSED_AFTER_THE_REPLY = "paused after the reply"
Weather: TypeAlias = Mapping[Ending | str, int]
WEATHER: Weather = {
    Ending.PAID: 4,
    Ending.DECLINED: 4,
    Ending.METHOD_DEAD: 1,
    Ending.NOT_SENT: 2,
    Ending.REQUEST_LOST: 4,
    Ending.PAID_REPLY_LOST: 5,
    Ending.DECLINED_REPLY_LOST: 2,
    Ending.PAID_LATE: 3,
    Ending.PAID_HIDDEN: 3,
    Ending.DIES_BEFORE_SENDING: 2,
    Ending.DIES_AFTER_PAID: 2,
    Ending.DIES_AFTER_DECLINED: 1,
    "throttled": 1,
    PAUSED_BEFORE_SENDING: 4,
    PAUSED_AFTER_THE_REPLY: 3,
}
WAITS_S = {1: 3, 20: 3, 125: 3, 310: 4, 3_700: 2}
STEPS = {
    "renew": 2,
    "dispatch": 4,
    "scan_inquiries": 4,
    "deliver": 6,
    "deliver_and_keep": 2,
    "deliver_twice": 3,
    "redeliver": 2,
    "ask_too_early": 2,
    "lose": 1,
    "wake": 3,
    "wait": 7,
}


@dataclass(frozen=True, slots=True)
class Climate:
    """How often each thing happens, by weight; a narrow one finds its mistake sooner."""

    weather: Weather = field(default_factory=lambda: WEATHER)
    steps: Mapping[str, int] = field(default_factory=lambda: STEPS)
    waits_s: Mapping[int, int] = field(default_factory=lambda: WAITS_S)
    length: tuple[int, int] = (STEPS_MIN, STEPS_MAX)


@dataclass
class Storm(BookedGateway):
    """A gateway on which anything may happen to a send, until it is calm.

    Attributes:
        stale: What processes heard that stand still, and will say when they wake.
    """

    dice: random.Random = field(default_factory=random.Random)
    climate: Climate = field(default_factory=Climate)
    calm: bool = False
    stale: list[tuple[Claim, Outcome]] = field(default_factory=list)

    async def charge(
        self, claim: Claim, *, use_confirmation_on: date | None, claimed_at_s: float
    ) -> Outcome:
        """Send one charge in this weather."""
        way = Ending.PAID if self.calm else choose(self.dice, self.climate.weather)
        paused = way == PAUSED_AFTER_THE_REPLY
        if way == PAUSED_BEFORE_SENDING:
            # Its send window is over when it wakes: the fence lets nothing leave.
            self.stale.append((claim, NotSent("the send window is over")))
            raise ProcessDiedError
        if isinstance(way, Ending):
            self.script.append(way)
        elif paused:
            self.script.append(self.dice.choice([Ending.PAID, Ending.DECLINED, Ending.NOT_SENT]))
        else:
            self.script.append(Throttled("HTTP 429", 20.0))
        self.late = timedelta(seconds=self.dice.choice([30, 150, 290]))
        if way is Ending.PAID_HIDDEN and self.policy is not DuplicatePolicy.NONE:
            # Where a paid uid is refused, look-ups may lag behind as long as they like.
            self.late = timedelta(minutes=self.dice.choice([6, 40]))
        outcome = await super().charge(
            claim, use_confirmation_on=use_confirmation_on, claimed_at_s=claimed_at_s
        )
        if paused:
            self.stale.append((claim, outcome))
            raise ProcessDiedError
        return outcome

    async def records_of(self, merchant_uid: str) -> Sequence[PaymentRecord] | StillUnresolved:
        """Look up, which may fail."""
        if not self.calm and self.dice.random() < 0.15:
            return StillUnresolved("HTTP 500")
        return await super().records_of(merchant_uid)


def choose(dice: random.Random, weights: Mapping[T, int]) -> T:
    """Return one of the weighted things that may happen."""
    return dice.choices(list(weights), list(weights.values()))[0]


@dataclass
class Life:
    """One run: two processes, their messages, and what happens to them."""

    world: World
    other: World
    storm: Storm
    dice: random.Random
    sent_before: list[Job] = field(default_factory=list)
    trace: list[str] = field(default_factory=list)

    async def step(self) -> None:
        """Let one thing happen."""
        name = choose(self.dice, self.storm.climate.steps)
        self.trace.append(name)
        step: Callable[[], Awaitable[None]] = getattr(self, name)
        await step()
        await quiet()

    async def renew(self) -> None:
        """Run both processes' renewal scans at once."""
        await asyncio.gather(self.world.renew(), self.other.renew())

    async def dispatch(self) -> None:
        """Run the dispatch scan."""
        await self.world.dispatch()

    async def scan_inquiries(self) -> None:
        """Run the inquiry scan."""
        await self.world.scan_inquiries()

    def take(self, *, keep: bool = False) -> Job | None:
        """Return a message that waits, in any order."""
        jobs = self.world.queue.jobs
        if not jobs:
            return None
        job = self.dice.choice(jobs)
        self.sent_before.append(job)
        if not keep:
            jobs.remove(job)
        return job

    async def work(self, process: World, job: Job | None) -> None:
        """Work one message, which the process may not survive."""
        if job is not None:
            try:
                await process.work(job)
            except ProcessDiedError:
                self.trace.append("  died")

    async def deliver(self) -> None:
        """Deliver a message."""
        await self.work(self.world, self.take())

    async def deliver_and_keep(self) -> None:
        """Deliver a message whose acknowledgement is lost."""
        await self.work(self.world, self.take(keep=True))

    async def deliver_twice(self) -> None:
        """Deliver a message twice at once, to two processes or to two threads of one."""
        job, second = self.take(), self.dice.choice([self.world, self.other])
        await asyncio.gather(self.work(self.world, job), self.work(second, job))

    async def redeliver(self) -> None:
        """Deliver a message of long ago again."""
        if self.sent_before:
            await self.work(self.world, self.dice.choice(self.sent_before))

    async def ask_too_early(self) -> None:
        """Deliver an inquiry that no scan of ours would have sent yet."""
        found = await self.world.rows("SELECT id FROM payment_attempts ORDER BY id")
        ids = [row.id for row in found]
        if ids:
            await self.work(self.world, InquireAttempts(attempt_ids=(self.dice.choice(ids),)))

    async def lose(self) -> None:
        """Lose a message."""
        self.take()

    async def wake(self) -> None:
        """Let a process that stood still write what it heard."""
        if self.storm.stale:
            claim, outcome = self.storm.stale.pop(self.dice.randrange(len(self.storm.stale)))
            move = after_send(claim, outcome, self.world.rules, self.world.clock.now())
            await self.other.settle(move)

    async def wait(self) -> None:
        """Let time pass."""
        wait_s = choose(self.dice, self.storm.climate.waits_s)
        self.trace[-1] += f" {wait_s}"
        self.world.pass_time(timedelta(seconds=wait_s))

    async def calm_down(self) -> None:
        """Let everything come to its end, in a bounded number of rounds."""
        self.storm.calm = True
        while self.storm.stale:
            await self.wake()
        for _ in range(ROUNDS_MAX):
            await self.world.renew()
            await self.world.inquire_all()
            await self.world.charge_all()
            if (next_at := await self.world.next_at()) is None:
                break
            self.world.clock.instant = next_at
        self.world.pass_time(timedelta(days=1))


async def quiet() -> None:
    """Wait until nothing is under way: what a dead task left behind belongs to this step."""
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(others)


async def live_through(
    world: World,
    other: World,
    seed: int,
    policy: DuplicatePolicy,
    climate: Climate | None = None,
) -> tuple[Counter[str], list[str]]:
    """Return what went wrong in the life of a seed, counted, and the life's trace."""
    dice = random.Random(f"{seed} {policy}")  # noqa: S311 - a life, not a secret
    world.clock.instant = START_AT
    storm = Storm(world.clock, policy, dice=dice, climate=climate or Climate())
    for process in (world, other):
        process.gateway = storm
        process.catch_up = CatchUpPolicy(CatchUp.BILL_ALL)
        process.batch_size = 2
    world.queue.jobs.clear()
    await world.clear()
    await world.subscribe(2)
    await world.subscribe(1, cycle=BillingCycle(START_AT - timedelta(days=40), MONTHLY))
    life = Life(world, other, storm, dice)
    for step in (life.renew, life.dispatch):
        await step()
    for _ in range(dice.randint(*storm.climate.length)):
        await life.step()
    await life.calm_down()
    return await faults_of(life), life.trace


async def faults_of(life: Life) -> Counter[str]:
    """Compare the book, the rows and the events at the end of a life."""
    world, storm = life.world, life.storm
    invoices = {row.id: row for row in await world.rows("SELECT * FROM invoices")}
    attempts = await world.rows("SELECT * FROM payment_attempts ORDER BY invoice_id, number")
    parked = {row.attempt_id for row in await world.rows("SELECT attempt_id FROM dead_letters")}
    payments = Counter(booked.claim.invoice_id for booked in storm.paid())
    faults = Counter({PAID_TWICE: sum(count > 1 for count in payments.values())})
    newest = {attempt.invoice_id: attempt for attempt in attempts}
    by_number = {(attempt.invoice_id, attempt.number): attempt for attempt in attempts}
    for (invoice_id, number), attempt in by_number.items():
        if number > 1:
            before = by_number[invoice_id, number - 1]
            first_at = min(
                (sent.at for sent in storm.sent if sent.claim.merchant_uid == attempt.merchant_uid),
                default=None,
            )
            faults[NEW_NUMBER] += before.status != "declined"
            if first_at and before.settled_at:
                due_at = before.settled_at + DUNNING.delays[number - 2]
                faults[DUNNING_EARLY] += first_at < due_at
    for invoice_id, invoice in invoices.items():
        ended = invoice.status in {"paid", "uncollectible"}
        if last := newest.get(invoice_id):
            ended |= last.status == "method_dead" or last.id in parked
        if invoice.message is not None and "key is dead" in invoice.message:
            # A payment that look-ups hid for longer than the settle delay may stand in the book:
            # nothing is sent any more that would bring it to light.
            continue
        faults[STUCK] += not ended
        faults[ROWS_AND_BOOK_DIFFER] += (invoice.status == "paid") != (payments[invoice_id] == 1)
    told = Counter(event["invoice_id"] for event in await world.events("invoice.paid"))
    paid = {invoice_id for invoice_id, invoice in invoices.items() if invoice.status == "paid"}
    faults[TOLD_WRONG] += told != dict.fromkeys(paid, 1)
    return +faults
