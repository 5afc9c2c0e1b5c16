"""One small life: merchant, buyers and gateway go on whatever dies, and so do the ordinary means.

The deeds of a scenario are done in order, each as soon as it can be: whoever does them stands
outside and does not die. One message is worked at a time, in the order in which they were sent;
beat ticks only the scans that rows wait for, and time jumps to the next instant that matters. A
scan that finds nothing writes nothing, so that a death in it leaves nothing to recover from.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, TypeAlias
from uuid import UUID

from deploy.sandbox.behaviours import read_behaviours, read_cancel_behaviours
from deploy.sandbox.records import Payment
from scheduler.timetable import SCANS
from shared.billing.calendar import BillingCycle, Interval, IntervalUnit
from shared.billing.money import Price
from shared.billing.subscription import Agreement
from tests.crash.beginning import Beginning, begin_with, keep
from tests.simulation import checks, life_checks
from tests.simulation.checks import Seen
from tests.simulation.due import Outlook
from tests.simulation.installation import Host, Installation, Worker, settings_for
from tests.simulation.merchant import Merchant, OpenWindow
from tests.simulation.seam import Point

# More rounds than any life of ours needs; one that needs them goes round in circles.
_ROUNDS_MAX = 400
# Under the reading of the documents by which the gateway refuses no repetition at all.
_CRUEL = {"duplicate_policy": "none"}
MONTHLY = Interval(IntervalUnit.MONTH)
PRICE = Price(9_900, 900)


@dataclass(eq=False, slots=True)
class Life:
    """What the deeds of a scenario are done on.

    Attributes:
        done: How many of the deeds have been done.
        ids: The subscriptions, in the order of their beginning.
        elsewhere: What was cancelled in the gateway's console, by ``imp_uid``.
        strangers: The ``merchant_uid`` of payments that nobody of ours has asked for.
        notes: What one deed leaves for a later one.
    """

    installation: Installation
    merchant: Merchant
    done: int = 0
    ids: list[UUID] = field(default_factory=list)
    elsewhere: dict[str, list[int]] = field(default_factory=dict)
    strangers: set[str] = field(default_factory=set)
    notes: dict[str, Any] = field(default_factory=dict)

    # What deeds do.

    async def subscribe(
        self, *customer_uids: str, price: Price = PRICE, interval: Interval = MONTHLY
    ) -> bool:
        """Begin a subscription for each of the buyers."""
        cycle = BillingCycle(self.installation.now, interval)
        agreements = [(uid, Agreement(price, "슬림 요금제", cycle)) for uid in customer_uids]
        self.ids += await self.merchant.subscribe(agreements)
        return True

    def script(
        self, customer_uid: str, *steps: str | Mapping[str, Any], then: str = "paid"
    ) -> None:
        """Say how the next charges of a buyer end."""
        given = {customer_uid: {"script": list(steps), "then": then}}
        self.installation.sandbox.scripts |= read_behaviours(given)

    def script_cancels(self, imp_uid: str, *steps: str | Mapping[str, Any]) -> None:
        """Say how the next cancellations of a payment end."""
        given = {imp_uid: {"script": list(steps)}}
        self.installation.sandbox.cancel_scripts |= read_cancel_behaviours(given)

    def faults(self, **settings: Any) -> bool:
        """Change the gateway's faults."""
        sandbox = self.installation.sandbox
        sandbox.settings = sandbox.settings.changed(settings)
        return True

    def cancel_at_console(self, payment: Payment, amount: int) -> None:
        """Cancel a part of a payment in the gateway's console, of which only a webhook tells."""
        if self.merchant.cancel_at_console(payment, amount):
            self.elsewhere.setdefault(payment.imp_uid, []).append(amount)

    # What deeds wait for.

    async def count(self, statement: str) -> int:
        """Return what a statement counts."""
        rows = self.installation.host.reader.execute(f"SELECT count(*) FROM {statement}")  # noqa: S608
        found = rows.fetchone()
        return int(found[0]) if found else 0

    async def paid(self, count: int = 1) -> bool:
        """Say whether so many invoices are paid."""
        return await self.count("invoices WHERE status = 'paid'") >= count

    @property
    def book(self) -> Sequence[Payment]:
        """Every record of money that the gateway holds."""
        return [
            record
            for record in self.installation.sandbox.book.payments()
            if checks.is_money(record)
        ]

    @property
    def window(self) -> OpenWindow | None:
        """The window that was handed out last."""
        return self.merchant.windows[-1] if self.merchant.windows else None


# Returns whether it was done; what cannot be done yet is tried again when something has happened.
Deed: TypeAlias = Callable[[Life], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A life to be lived.

    Attributes:
        deeds: What merchant, buyers and gateway do, one after the other.
        before: What was done before the life begins, undisturbed.
        days: How long it lasts: longer than whatever may follow from its deeds.
        often: Whether it is lived in every run of the tests, and not in the whole proof only.
        varies: Parts of the outcome (``checks.outcome``) that a death may change, with the reason.
    """

    name: str
    deeds: Sequence[Deed]
    settings: Mapping[str, Any] = field(default_factory=dict)
    sandbox: Mapping[str, Any] = field(default_factory=dict)
    days: float = 2.0
    before: Sequence[Deed] = ()
    often: bool = True
    varies: Mapping[str, str] = field(default_factory=dict)


async def _begin(life: Life) -> bool:
    return await life.subscribe("buyer-1")


def after_payment(name: str, deeds: Sequence[Deed], **options: Any) -> Scenario:
    """Return a life that begins once the first period of a subscription is paid and told."""
    return Scenario(name, deeds, before=[_begin], **options)


@dataclass(frozen=True, slots=True)
class Lived:
    """How a life went.

    Attributes:
        passed: The points it passed.
        wrong: What was wrong at its end.
        outcome: The business's end of it.
    """

    passed: tuple[Point, ...]
    wrong: tuple[str, ...]
    outcome: Mapping[str, object]


@dataclass(slots=True)
class Watch:
    """Kills at the numbers of a plan, and tells whoever asks of every point.

    Attributes:
        at_point: Told of the number of every point.
        thorough: Whether every scan is ticked once more at the end.
    """

    plan: frozenset[int]
    at_point: Callable[[Life, int], None] | None = None
    life: Life | None = None
    thorough: bool = True
    over: bool = False

    def dies(self, number: int, _point: Point) -> bool:
        """Answer the seam."""
        if self.over or self.life is None:
            return False
        if self.at_point is not None:
            self.at_point(self.life, number)
        return number in self.plan


def prepare(host: Host, scenario: Scenario) -> Beginning | None:
    """Walk the way to where a scenario begins, if it begins anywhere."""
    if not scenario.before:
        return None
    life = _life(host, scenario, Watch(frozenset()))

    async def way() -> Beginning:
        try:
            if wrong := await _live(life, replace(scenario, deeds=scenario.before, days=0)):
                raise AssertionError(wrong)
            return keep(life.installation, life.ids)
        finally:
            await life.installation.end()

    return host.run(way())


def _life(host: Host, scenario: Scenario, watch: Watch) -> Life:
    settings = settings_for(**scenario.settings)
    installation = Installation(
        host,
        settings=settings,
        sandbox={**_CRUEL, **scenario.sandbox},
        dies=watch.dies,
        thorough=False,
    )
    return Life(installation, Merchant(installation))


def live(host: Host, scenario: Scenario, watch: Watch, beginning: Beginning | None) -> Lived:
    """Live through a scenario from its beginning, with the deaths that were planned."""
    life = _life(host, scenario, watch)
    installation = life.installation
    if beginning is not None:
        begin_with(installation, beginning)
        life.ids += beginning.ids
        life.merchant.heard = len(beginning.stream)
    watch.life = life

    async def story() -> Lived:
        try:
            wrong = await _live(life, scenario)
            passed = tuple(host.seam.passed)
            watch.over = True
            seen = await _end(life, thorough=watch.thorough)
            return Lived(passed, (*wrong, *_judge(life, seen)), checks.outcome(seen))
        finally:
            watch.over = True
            await installation.end()

    return host.run(story())


async def _live(life: Life, scenario: Scenario) -> list[str]:
    installation, outlook = life.installation, Outlook(life.installation)
    until = installation.now + timedelta(days=scenario.days)
    installation.start_worker(slots=1)
    installation.start_scans(slots=1)
    for _ in range(_ROUNDS_MAX):
        await _do(life, scenario)
        due = outlook.due()
        scans = [scan for scan in SCANS if due.get(scan, until) <= installation.now]
        installation.tick(scans)
        worked = await _work_all(installation)
        if await _do(life, scenario):
            continue
        due = outlook.due()
        back = [at for at, _ in installation.broker.unacknowledged.values()]
        waits = [(at - installation.now).total_seconds() for at in due.values()]
        waits += [at - installation.host.loop.time() for at in back]
        if scans and worked == len(scans):
            # Beat's own interval: the scan that was ticked found nothing to do yet.
            waits = [max(wait, installation.settings.scan_interval_s) for wait in waits]
        wait = min(waits, default=float("inf"))
        if installation.now + timedelta(seconds=min(wait, 1e9)) >= until:
            if life.done < len(scenario.deeds):
                return [f"deed {life.done + 1} of {len(scenario.deeds)} could never be done"]
            return []
        await installation.pass_time(max(wait, 0.0))
    return [f"no end after {_ROUNDS_MAX} rounds"]


async def _do(life: Life, scenario: Scenario) -> bool:
    """Do what can be done; return whether anything was."""
    life.merchant.hear()
    before = life.done
    while life.done < len(scenario.deeds) and await scenario.deeds[life.done](life):
        life.done += 1
    return life.done > before


async def _work_all(installation: Installation) -> int:
    """Work one message after the other until none waits; return how many there were."""
    count = 0
    while messages := installation.broker.everything():
        message = messages[0]
        installation.replace_the_dead()
        able = [worker for worker in installation.workers if worker.takes(message)]
        worker: Worker = able[0]
        installation.deliver(worker, message)
        count += 1
        while await installation.step():
            pass
    installation.replace_the_dead()
    return count


async def _end(life: Life, *, thorough: bool) -> Seen:
    """Look at the end; a thorough one ticks every scan once more, which must find nothing."""
    if thorough:
        life.installation.tick()
        await life.installation.deliver_all()
    return checks.look(life.installation, elsewhere=life.elsewhere, strangers=life.strangers)


def _judge(life: Life, seen: Seen) -> list[str]:
    faults = [f"a task raised {fault}" for fault in life.installation.faults]
    said = list(life.merchant.said)
    return [
        *faults,
        *checks.everything(seen),
        *life_checks.lives(seen),
        *checks.unanswered(seen, said),
    ]
