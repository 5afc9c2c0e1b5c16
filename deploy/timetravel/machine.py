"""An installation whose clock jumps: scans and services as they are, messages handed straight on.

Beat only says "look now", and every scan asks for what is due up to now, so a look now and then is
as good as one every five seconds, as long as nothing that is due is jumped over. What is due next
is read from the rows (``outlook``).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import scheduler.bootstrap
import worker.bootstrap
from deploy.timetravel.outlook import SCANS, Outlook
from shared.billing.delivery import Answer
from shared.clock import FixedClock
from shared.config import Settings
from shared.db.deliveries import Parcel
from shared.db.engine import Database
from shared.db.outbox import StoredEvent
from shared.jobs import contracts
from shared.jobs.command import Command
from shared.jobs.contracts import Job
from worker.bootstrap import Adapters, Services
from worker.gateway.adapter import PortOneGateway

# What is looked for once more when the last look found something; each time it must find less.
_ROUNDS_MAX: Final = 50
# The scans that find what the gateway is asked about.
_ASKING: Final = ("inquire", "refund")
_WORKERS: Final = 4
# How far apart looks are while nobody works what they find.
_IDLE: Final = timedelta(hours=6)
# How a message that is not a command is worked: by which service, and with what of it.
_WORK: Final[Mapping[type[Job], Callable[[Services, Any], Awaitable[object]]]] = {
    contracts.ChargeInvoices: lambda to, job: to.charge_invoices(job.invoice_ids),
    contracts.InquireAttempts: lambda to, job: to.inquire_attempts(job.attempt_ids),
    contracts.SendRefunds: lambda to, job: to.send_refunds(job.refund_ids),
    contracts.InquireRefunds: lambda to, job: to.inquire_refunds(job.refund_ids),
    contracts.EndSubscriptions: lambda to, job: to.end_subscriptions(job.subscription_ids),
    contracts.ReadHints: lambda to, job: to.read_hints(job.hint_ids),
    contracts.PrepareWindows: lambda to, job: to.prepare_windows(job.window_ids),
    contracts.CloseWindows: lambda to, job: to.close_windows(job.window_ids),
    contracts.RemoveBillingKeys: lambda to, job: to.remove_billing_keys(job.billing_key_ids),
    contracts.RelayEvents: lambda to, _job: to.relay_events(),
}


class StuckError(Exception):
    """Something stays due however often it is looked for; the text names it."""


@dataclass(slots=True)
class Messages:
    """The queue: what was sent and nobody has worked yet."""

    jobs: list[Job] = field(default_factory=list)

    async def __call__(self, jobs: Sequence[Job]) -> None:
        """Take messages in."""
        self.jobs += jobs

    async def waiting(self, queue: str) -> int:
        """Return how many messages wait in a queue."""
        return sum(job.queue == queue for job in self.jobs)

    def take(self) -> list[Job]:
        """Take every message out."""
        taken, self.jobs = self.jobs, []
        return taken


@dataclass(slots=True)
class Told:
    """Whoever is told of events: counts them, and passes them on to whoever listens."""

    count: int = 0
    listen: Callable[[StoredEvent], None] | None = None

    async def __call__(self, events: Sequence[StoredEvent]) -> None:
        """Hear events in order."""
        self.count += len(events)
        if self.listen is not None:
            for event in events:
                self.listen(event)


class _NoDeliveries:
    """Nothing comes back that was handed over: there is no broker to lose it."""

    async def begin(self, _tag: str) -> int:
        return 0

    async def end(self, _tag: str) -> None:
        """Nothing is remembered."""


async def _no_endpoint(_parcel: Parcel, _now: datetime) -> Answer:
    """Take nothing in: no endpoint is ever added."""
    return Answer(None, "there is no endpoint")


class Machine:
    """One installation and its time.

    Attributes:
        clock: Stands still while anything is worked.
        messages: The queue; commands are put in like anything else.
        endings: How often each command of a kind ended how.
        scans_are_down: Nobody looks; ``workers_are_down``: messages wait.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        gateway: PortOneGateway,
        clock: FixedClock,
        told: Told | None = None,
    ) -> None:
        """Build every scan and service on these adapters, as a process of ours does."""
        self.settings = settings
        self.database = database
        self.clock = clock
        self.messages = Messages()
        self.told = told or Told()
        self.scans = scheduler.bootstrap.assemble(settings, database, self.messages, clock)
        adapters = Adapters(database, gateway, self.told, _NoDeliveries(), clock, _no_endpoint)
        self.services = worker.bootstrap.assemble(settings, adapters)
        self.outlook = Outlook(settings)
        self.endings: dict[tuple[str, str], int] = {}
        self.scans_are_down = False
        self.workers_are_down = False

    @property
    def now(self) -> datetime:
        """The present instant."""
        return self.clock.instant

    def say(self, command: Command) -> None:
        """Publish a command, as a merchant's program does."""
        self.messages.jobs.append(command)

    # What the processes do.

    async def look(self, *, at_all: bool = False, also: Sequence[str] = ()) -> None:
        """Have everything worked that is due, and whatever comes of it.

        Args:
            at_all: Let every scan look, and not only those that the rows seem to wait for.
            also: Scans that look whether the rows seem to wait for them or not.

        Raises:
            StuckError: The same stays due however often it is looked for.
        """
        await self.work()
        first = SCANS if at_all else also
        if first and not self.scans_are_down:
            for name in first:
                await self._scan(name)
            await self.work()
        due: Sequence[str] = ()
        for _ in range(_ROUNDS_MAX):
            due = await self._due()
            if not due:
                return
            for name in due:
                await self._scan(name)
            if self.workers_are_down:
                # Whatever was found waits now; to look again would only double the messages.
                return
            await self.work()
        message = f"still due at {self.now:%Y-%m-%d %H:%M} after {_ROUNDS_MAX} looks: "
        raise StuckError(message + ", ".join(due))

    async def work(self) -> None:
        """Work every message that waits, and whatever it sends; commands one after the other."""
        while self.messages.jobs and not self.workers_are_down:
            jobs = self.messages.take()
            for job in jobs:
                if isinstance(job, Command):
                    await self._command(job)
            ours = [job for job in jobs if not isinstance(job, Command)]
            for start in range(0, len(ours), _WORKERS):
                await asyncio.gather(*map(self._work, ours[start : start + _WORKERS]))

    async def ask(self) -> None:
        """Have the gateway asked about every outcome that is unknown and may be asked about."""
        for name in _ASKING:
            await self._scan(name)
        await self.work()

    async def tell(self) -> None:
        """Have every event told that was written, however few they are."""
        await self._scan("relay")
        await self.work()

    async def _command(self, command: Command) -> None:
        ending = await self.services.commands.command(command)
        self.endings[command.task, ending] = self.endings.get((command.task, ending), 0) + 1

    async def _work(self, job: Job) -> None:
        await _WORK[type(job)](self.services, job)

    async def _scan(self, name: str) -> None:
        # By its place in the composition root: a scan that it does not have yet is never due.
        scan: Callable[[], Awaitable[int]] | None = getattr(self.scans, name, None)
        if scan is not None:
            await scan()

    async def _due(self) -> list[str]:
        """Return the scans that would find something now."""
        if self.scans_are_down:
            return []
        found = await self.outlook.due(self.database, self.now)
        return [name for name, at in found.items() if at <= self.now]

    # Time.

    async def next_at(self) -> datetime | None:
        """Return when anything is due next, if nothing is due now."""
        found = await self.outlook.due(self.database, self.now)
        later = [at for at in found.values() if at > self.now]
        return min(later, default=None)

    async def travel(self, until: datetime, step: timedelta = timedelta(0)) -> None:
        """Go on to an instant, looking wherever something becomes due, or at the next step."""
        while self.now < until:
            at = None if self.scans_are_down else await self.next_at()
            # Messages that nobody works are sent again and again: that is seen soon enough.
            width = max(step, _IDLE) if self.workers_are_down else step
            self.clock.instant = min(until, _after(self.now, at or until, width))
            await self.look()


def _after(now: datetime, at: datetime, step: timedelta) -> datetime:
    """Return the first instant at or after ``at`` that is a whole number of steps from now."""
    if not step:
        return at
    return now + step * max(1, -(-(at - now) // step))
