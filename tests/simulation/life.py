"""One life of an installation: calm years that are jumped over, and what goes on in them."""

import heapq
import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, TypeVar
from uuid import UUID

from deploy.sandbox.webhooks import Notice
from deploy.sandbox.window_desk import Result
from scheduler.bootstrap import Scans
from scheduler.timetable import SCANS
from shared.billing.subscription import Agreement
from shared.jobs.contracts import DispatchRelay, Job
from tests.simulation.broker import Message
from tests.simulation.conduct import Holds
from tests.simulation.due import Outlook
from tests.simulation.installation import Installation, Worker
from tests.simulation.merchant import Merchant, OpenWindow
from tests.simulation.seam import Point
from tests.simulation.weather import CALM, Weather

T = TypeVar("T")

# Clocks of machines agree to within a minute: half of it to either side.
SKEW_S: Final = 29.0
# How late a calm tick may be: many dues are then found by one look, as on a busy machine.
_LATENESS_S: Final = (0, 900, 3_600, 7_200, 14_400)
_ROUNDS_MAX: Final = 12
_WORKED_MAX: Final = 200
_PROCESSES_MAX: Final = 8
# Looks at which the merchant says again what was not answered.
_PATIENCE: Final = 3


@dataclass(eq=False, slots=True)
class Life:
    """An installation, its merchant, and the dice that decide over both.

    Attributes:
        agreements: What each subscriber signed up for.
        holds: What was seen of the gateway's holds.
        elsewhere: What was cancelled in the gateway's console, by ``imp_uid``.
        untold: Windows that were used, and with which the browser did not come back.
        worked: Messages that were handed out before, any of which may come again.
        held_back: Messages on their way, with the instant at which they arrive.
        told_share: Share of webhooks that arrive.
        dies_in: After how many further points the process that passes one dies.
        notes: What happened, for people.
    """

    installation: Installation
    merchant: Merchant
    dice: random.Random
    outlook: Outlook
    workers: int = 2
    told_share: float = 0.1
    agreements: Mapping[UUID, Agreement] = field(default_factory=dict)
    customers: Mapping[UUID, str] = field(default_factory=dict)
    holds: Holds = field(default_factory=Holds)
    elsewhere: dict[str, list[int]] = field(default_factory=dict)
    untold: list[tuple[OpenWindow, Result]] = field(default_factory=list)
    worked: list[Message] = field(default_factory=list)
    held_back: list[tuple[float, Message]] = field(default_factory=list)
    dies_in: int | None = None
    notes: list[str] = field(default_factory=list)
    weather: Weather = field(default_factory=dict)
    storm: Weather = field(default_factory=dict)
    _agenda: list[tuple[datetime, int, str]] = field(default_factory=list)
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)
    _looks: int = 0
    _fruitless: int = 0

    @property
    def now(self) -> datetime:
        """The present instant."""
        return self.installation.now

    def note(self, what: str) -> None:
        """Write down what happens, for people."""
        self.notes.append(f"{self.now:%Y-%m-%d %H:%M:%S} {what}")

    def set_weather(self, weather: Weather, name: str) -> None:
        """Change the gateway's weather."""
        sandbox = self.installation.sandbox
        sandbox.settings = sandbox.settings.changed({**CALM, **weather})
        self.weather = weather
        self.note(f"weather: {name}")

    # Processes.

    def start(self) -> None:
        """Start every process."""
        for _ in range(self.workers):
            self._skew(self.installation.start_worker())
        for _ in range(2):
            self._skew(self.installation.start_scans())

    def _skew(self, worker: Worker) -> Worker:
        worker.process.skew_s = self.dice.uniform(-SKEW_S, SKEW_S)
        return worker

    def start_beside(self) -> None:
        """Start another worker in the place of one that stands still, as orchestrators do."""
        if len(self.installation.workers) < _PROCESSES_MAX:
            self._skew(self.installation.start_worker())

    async def recover(self) -> None:
        """Let everybody go on, and everything under way come to its end."""
        self.dies_in = None
        for worker in self.installation.workers:
            worker.process.paused = False
            if worker.transport is not None:
                worker.transport.refuses = False
        await self.drain()

    def replace_the_dead(self) -> None:
        """Start another process for each that died."""
        installation = self.installation
        for worker in [each for each in installation.workers if not each.process.alive]:
            installation.workers.remove(worker)
            is_scans = isinstance(worker.services, Scans)
            self._skew(installation.start_scans() if is_scans else installation.start_worker())

    def dies(self, _number: int, point: Point) -> bool:
        """Say whether the process that passes this point dies there."""
        if self.dies_in is None:
            return False
        self.dies_in -= 1
        if self.dies_in > 0:
            return False
        self.dies_in = None
        self.note(f"a process dies at {point}")
        return True

    # Messages.

    def hand_over(self, message: Message) -> bool:
        """Hand a message to some process that has a hand free; False if there is none."""
        able = [worker for worker in self.installation.workers if worker.takes(message)]
        if not able:
            return False
        if len(self.worked) < _WORKED_MAX:
            self.worked.append(message)
        else:
            self.worked[self.dice.randrange(_WORKED_MAX)] = message
        self.installation.deliver(self.dice.choice(able), message)
        return True

    def let_arrive(self) -> None:
        """Let those messages wait whose time on the way is over."""
        at = self.installation.host.loop.time()
        for late in [item for item in self.held_back if item[0] <= at]:
            self.held_back.remove(late)
            self.installation.broker.put(late[1])

    async def drain(self) -> None:
        """Have everything worked that waits, and whatever comes of it."""
        installation = self.installation
        while True:
            self.replace_the_dead()
            for message in installation.broker.everything():
                self.hand_over(message)
            if not await installation.step() and not installation.broker.everything():
                self.replace_the_dead()
                return

    # Time.

    def plan(self, at: datetime, deed: str) -> None:
        """Have something done at an instant."""
        heapq.heappush(self._agenda, (at, next(self._numbers), deed))

    def next_planned(self) -> tuple[datetime, str] | None:
        """Return what is done next."""
        return (self._agenda[0][0], self._agenda[0][2]) if self._agenda else None

    def _is_planned(self, deed: str) -> bool:
        soon = self.now + timedelta(hours=40)
        return any(name == deed and at < soon for at, _, name in self._agenda)

    def take_planned(self) -> str:
        """Take what is done next off the agenda."""
        return heapq.heappop(self._agenda)[2]

    async def wait_until(self, at: datetime) -> None:
        """Let time pass up to an instant, looking whenever there is something to be found."""
        while self.now < at:
            due = self.outlook.due()
            soonest = min(due.values(), default=at) + timedelta(seconds=SKEW_S)
            wake_at = max(soonest, self.now) + timedelta(seconds=self.dice.choice(_LATENESS_S))
            if self._fruitless:
                # What stays due however often it is looked for is not looked for all the time.
                wake_at += timedelta(minutes=min(5 * 2**self._fruitless, 1_440))
            wake_at = min(max(wake_at, self.now + timedelta(seconds=1)), at)
            await self.installation.pass_time((wake_at - self.now).total_seconds())
            self.let_arrive()
            await self.look()

    async def look(self) -> None:
        """Have the scans look, until nothing is found any more that is due."""
        for _ in range(_ROUNDS_MAX):
            due = self.outlook.due()
            seen_by_all = self.now - timedelta(seconds=SKEW_S)
            scans: Sequence[type[Job]] = [scan for scan in SCANS if _is_due(due, scan, seen_by_all)]
            if not scans and not self.installation.broker.everything():
                self._fruitless = 0
                break
            if len(scans) > 1 and self.dice.random() < 0.9:
                # Told together, once the rest is done.
                scans = [scan for scan in scans if scan is not DispatchRelay]
            if self.dice.random() < 0.02:
                scans = SCANS
            for _ in range(1 if self.dice.random() < 0.9 else 2):
                # Two beats may both tick.
                self.installation.tick(scans)
            await self.drain()
        else:
            self._fruitless += 1
        self._hear()

    def _hear(self) -> None:
        """Let the merchant hear what was told, and webhooks arrive."""
        self.merchant.hear()
        self.holds.observe(self.installation)
        for notice in self.merchant.notices():
            self._bring(notice)
        self._looks += 1
        if self._looks % _PATIENCE == 0:
            self.merchant.say_again()
        if self.merchant.windows and not self._is_planned("use_window"):
            self.plan(self.now + timedelta(minutes=self.dice.choice((1, 10, 40))), "use_window")
        if self.merchant.dead_keys and not self._is_planned("replace_dead_keys"):
            self.plan(self.now + timedelta(hours=self.dice.choice((1, 30))), "replace_dead_keys")
            self.merchant.dead_keys.clear()

    def _bring(self, notice: Notice) -> None:
        """Have a webhook arrive: in time, late, twice or never."""
        if self.dice.random() >= self.told_share:
            return
        message = self.merchant.receive(notice)
        way = self.dice.random()
        if way < 0.1:
            self.hold_back(message, self.dice.choice((60.0, 3_600.0, 90_000.0)))
        elif way < 0.2:
            self.installation.broker.double(message)

    def hold_back(self, message: Message, seconds: float) -> None:
        """Have a message that waits arrive later."""
        self.installation.broker.lose(message)
        at = self.installation.host.loop.time() + seconds
        self.held_back.append((at, message))

    def choose(self, weights: Mapping[T, int]) -> T:
        """Return one of the weighted things that may happen."""
        return self.dice.choices(list(weights), list(weights.values()))[0]

    async def breathe(self, seconds: float) -> None:
        """Let a little time pass, in which everybody goes on who can."""
        self.holds.observe(self.installation)
        await self.installation.pass_time(seconds)
        self.let_arrive()


def _is_due(due: Mapping[type[Job], datetime], scan: type[Job], at: datetime) -> bool:
    return scan in due and due[scan] <= at
