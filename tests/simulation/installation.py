"""A whole installation in one event loop: workers, scan workers, broker, gateway and rows.

``Host`` holds what many lives share and is slow to make: the loop, the engine, the database.
``Installation`` is one life: fresh rows, a fresh book, and processes that come and go.
"""

import asyncio
import random
import ssl
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import psycopg
import structlog
from sqlalchemy import Row, event, text
from sqlalchemy.ext.asyncio import AsyncEngine

import scheduler.bootstrap
import worker.bootstrap
from deploy.sandbox.due import run_due
from scheduler.bootstrap import Scans
from scheduler.timetable import SCANS
from shared.config import Settings
from shared.db.engine import Database
from shared.jobs.celery_settings import celery_settings
from shared.jobs.contracts import SCAN_QUEUE, Job
from tests.simulation.broker import (
    Broker,
    CountedDeliveries,
    Message,
    SeamedEndpoint,
    SeamedEnqueue,
    SeamedStream,
)
from tests.simulation.database import LockWatch, SeamedDatabase, engine_of
from tests.simulation.gateway import IMP_KEY, IMP_SECRET, SandboxTransport, make_sandbox
from tests.simulation.housekeeping import Housekeeping
from tests.simulation.loop import Turns, VirtualLoop
from tests.simulation.process import Process, ProcessDiedError, current_process
from tests.simulation.seam import Point, Seam
from tests.simulation.tasks import current_services, tasks_in_simulation, work
from worker.bootstrap import Adapters, Services, gateway_settings
from worker.gateway.adapter import PortOneGateway
from worker.gateway.client import PortOne

R = TypeVar("R")

# Connections that are open before a life begins; two hosts share a server of a hundred.
_WARM = 32

# Nine in the morning in Korea, on a day that most months do not have.
START_AT = datetime(2026, 1, 31, tzinfo=UTC)
# Nobody is connected to; to read every authority anew would take longer than a small life.
_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def settings_for(**changes: Any) -> Settings:
    """Return the settings of a simulated installation: the defaults, and what is said here."""
    return Settings(
        **{
            "redis_url": "redis://simulated",
            "database_url": "postgresql://simulated",
            "portone_imp_key": IMP_KEY,
            "portone_imp_secret": IMP_SECRET,
            "portone_pg": "naverpay",
            **changes,
        }
    )


class SimulatedClock:
    """The clock of one process: the simulation's time, ahead by the process's skew."""

    def __init__(self, loop: VirtualLoop, process: Process) -> None:
        """Take the time and whose clock it is."""
        self._loop = loop
        self._process = process

    def now(self) -> datetime:
        """Return the present instant, aware, in UTC."""
        return START_AT + timedelta(seconds=self._loop.time() + self._process.skew_s)

    def boot_s(self) -> float:
        """Return seconds that never jump and never stand still."""
        return self._loop.time()


@dataclass(eq=False, slots=True)
class Worker:
    """A running process with what it can work.

    Attributes:
        slots: Messages at once.
        actors: What it is working.
    """

    process: Process
    services: Services | Scans
    transport: SandboxTransport | None
    slots: int
    actors: "set[asyncio.Task[None]]" = field(default_factory=set)

    def takes(self, message: Message) -> bool:
        """Say whether it has a hand free for a message."""
        able = self.process.alive and not self.process.paused and len(self.actors) < self.slots
        is_scan = message.queue == SCAN_QUEUE
        return able and is_scan == isinstance(self.services, Scans)


class Host:
    """The loop, the engine and the database of one life after another.

    Attributes:
        reader: A connection on which committed rows are looked at without anybody's turn.
        commits: How many commits were begun.
        refused: What the server did not let a process do, whoever swallowed it.
    """

    def __init__(self, url: str, logins: Mapping[str, str] | None = None) -> None:
        """Connect to a migrated database of our own.

        Args:
            url: The owner's address of it.
            logins: The addresses by which ``worker`` and ``scan`` connect, where not by that one.
        """
        self.url = url
        self.refused: list[str] = []
        self.commits = 0
        self.turns = Turns(lambda _count: 0)
        self.seam = Seam(self.turns)
        self.watch = LockWatch(url)
        self.reader = psycopg.connect(url, autocommit=True)
        self.housekeeping = Housekeeping(self.reader, url)
        self.loop = VirtualLoop(self.turns, self.watch)
        self._runner = asyncio.Runner(loop_factory=lambda: self.loop)
        self.engine: AsyncEngine = engine_of(url, self.seam, self.refused)
        self.database = Database(self.engine)
        self._engine_of = {
            kind: engine_of(login, self.seam, self.refused)
            for kind, login in (logins or {}).items()
        }
        for engine in (self.engine, *self._engine_of.values()):
            event.listen(engine.sync_engine, "commit", self._count_commit)

    def _count_commit(self, _connection: object) -> None:
        self.commits += 1

    def engine_for(self, kind: str) -> AsyncEngine:
        """Return what processes of a kind reach the database through."""
        return self._engine_of.get(kind, self.engine)

    def run(self, life: Awaitable[R]) -> R:
        """Run one life, or a part of one."""

        async def wait() -> R:
            return await life

        return self._runner.run(wait())

    async def warm_up(self) -> None:
        """Have as many connections open as a life may need at once.

        One that must be opened in its midst lets others go first, which another life would not.
        """
        engines = list(self._engine_of.values()) or [self.engine]
        async with AsyncExitStack() as opened:
            for _ in range(_WARM // len(engines)):
                for engine in engines:
                    await opened.enter_async_context(engine.connect())

    def begin_anew(self, *, thorough: bool = True) -> None:
        """Empty the tables and set everything to its beginning.

        A thorough beginning leaves nothing behind on disk either, so that rows come in the same
        order in every replay.
        """
        self.housekeeping.empty(thorough=thorough)
        self.loop.begin_anew()
        self.turns.waiting.clear()
        self.seam.passed.clear()

    def close(self) -> None:
        """Close every connection and the loop."""
        try:
            for engine in (self.engine, *self._engine_of.values()):
                self._runner.run(engine.dispose())
        finally:
            self._runner.close()
            self.housekeeping.close()
            self.reader.close()
            self.watch.close()


@contextmanager
def host_on(url: str, logins: Mapping[str, str] | None = None) -> Iterator[Host]:
    """Yield a host in whose lives Celery's tasks run on the simulated loop, silently."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    host = Host(url, logins)
    try:
        with tasks_in_simulation():
            yield host
    finally:
        host.close()
        structlog.configure(**before)


class Installation:
    """One life: processes, messages, a gateway and rows.

    Attributes:
        faults: What tasks of ours raised, which no service of ours should let out.
    """

    def __init__(
        self,
        host: Host,
        *,
        settings: Settings | None = None,
        sandbox: Mapping[str, Any] | None = None,
        dice: random.Random | None = None,
        dies: Callable[[int, Point], bool] | None = None,
        thorough: bool = True,
    ) -> None:
        """Begin a life.

        Args:
            settings: Of every process.
            sandbox: The sandbox's settings (``deploy/sandbox/settings.py``).
            dice: Decides whose turn it is; without one, whoever waits longest.
            dies: Where processes die (``Seam.dies``).
            thorough: See ``Host.begin_anew``.
        """
        host.begin_anew(thorough=thorough)
        self.host = host
        self.settings = settings or settings_for()
        self.dice = dice
        host.turns.choose = dice.randrange if dice else lambda _count: 0
        host.seam.dies = dies or (lambda _number, _point: False)
        random.seed(0)
        self.sandbox = make_sandbox(host.loop, START_AT, sandbox or {})
        celery = celery_settings(self.settings)
        options = celery["broker_transport_options"]
        self.broker = Broker(
            host.loop.time, options["visibility_timeout"], acks_late=celery["task_acks_late"]
        )
        self.workers: list[Worker] = []
        self.faults: list[str] = []
        self._started = 0

    @property
    def now(self) -> datetime:
        """The simulation's present instant."""
        return START_AT + timedelta(seconds=self.host.loop.time())

    # Processes.

    def start_worker(self, *, slots: int = 4) -> Worker:
        """Start a worker of every queue but the scans'."""
        process = self._process("worker")
        clock = SimulatedClock(self.host.loop, process)
        transport = SandboxTransport(self.sandbox, self.host.seam)
        client = PortOne(
            gateway_settings(self.settings), clock=clock, ssl_context=_TLS, transport=transport
        )
        adapters = Adapters(
            SeamedDatabase(self.host.engine_for("worker"), self.host.seam),
            PortOneGateway(client, send_window_s=self.settings.send_window_s, clock=clock),
            SeamedStream(self.broker, self.host.seam),
            CountedDeliveries(self.broker, self.host.seam),
            clock,
            SeamedEndpoint(self.broker, self.host.seam),
        )
        services = worker.bootstrap.assemble(self.settings, adapters)
        return self._add(Worker(process, services, transport, slots))

    def start_scans(self, *, slots: int = 2) -> Worker:
        """Start a worker of the scan queue."""
        process = self._process("scan")
        scans = scheduler.bootstrap.assemble(
            self.settings,
            SeamedDatabase(self.host.engine_for("scan"), self.host.seam),
            SeamedEnqueue(self.broker, self.host.seam),
            SimulatedClock(self.host.loop, process),
        )
        return self._add(Worker(process, scans, None, slots))

    def kill(self, worker_: Worker) -> None:
        """Let a process die at once, wherever it is."""
        worker_.process.die()
        self.workers.remove(worker_)

    def _process(self, kind: str) -> Process:
        self._started += 1
        return Process(f"{kind}{self._started}")

    def _add(self, worker_: Worker) -> Worker:
        self.workers.append(worker_)
        return worker_

    # Messages.

    def tick(self, scans: Sequence[type[Job]] = SCANS) -> None:
        """Let beat say: look now."""
        for scan in scans:
            self.broker.push(scan())

    def deliver(self, worker_: Worker, message: Message) -> None:
        """Hand a message to a process, which begins to work it."""
        self.broker.take(message)
        task = self.host.loop.create_task(self._work(worker_, message))
        worker_.actors.add(task)
        task.add_done_callback(worker_.actors.discard)

    async def _work(self, worker_: Worker, message: Message) -> None:
        current_process.set(worker_.process)
        current_services.set(worker_.services)
        worker_.process.tasks.add(_this_task())
        try:
            await work(message, self.broker, self.host.seam, self.faults)
        except (ProcessDiedError, asyncio.CancelledError):
            # Its message comes back when nobody has acknowledged it in time.
            return

    async def deliver_all(self) -> int:
        """Have every message worked that waits, and whatever it sends; return how many.

        A process that dies meanwhile is replaced by another of its kind.
        """
        count = 0
        while True:
            for message in self.broker.everything():
                self.replace_the_dead()
                able = [worker_ for worker_ in self.workers if worker_.takes(message)]
                if able:
                    self.deliver(self._choose(able), message)
                    count += 1
            if not await self.step():
                self.replace_the_dead()
                if not self.broker.everything():
                    return count

    async def step(self) -> bool:
        """Wait until one of the messages under way is done; False if none is."""
        under_way = [
            actor
            for worker_ in self.workers
            if not worker_.process.paused
            for actor in worker_.actors
        ]
        if not under_way:
            return False
        await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
        return True

    def replace_the_dead(self) -> None:
        """Start a process of its kind for every one that died, as a container engine does."""
        for worker_ in [each for each in self.workers if not each.process.alive]:
            self.workers.remove(worker_)
            if isinstance(worker_.services, Scans):
                self.start_scans(slots=worker_.slots)
            else:
                self.start_worker(slots=worker_.slots)

    def _choose(self, able: Sequence[Worker]) -> Worker:
        return self.dice.choice(able) if self.dice else able[0]

    # Time and rows.

    async def pass_time(self, seconds: float) -> None:
        """Let time pass, and let what was not acknowledged come back.

        The gateway makes by itself what was reserved there, each at its instant.
        """
        loop = self.host.loop
        until_s = loop.time() + seconds
        while (wait_s := self._until_reserved_s()) is not None and loop.time() + wait_s <= until_s:
            await asyncio.sleep(wait_s)
            run_due(self.sandbox)
        await asyncio.sleep(max(until_s - loop.time(), 0.0))
        self.host.housekeeping.keep_clean(loop.time())
        run_due(self.sandbox)
        self.broker.restore()

    def _until_reserved_s(self) -> float | None:
        """Return how long it is until the gateway charges by itself, or None if it never will."""
        at = self.sandbox.timetable.next_at()
        return None if at is None else max(at - self.sandbox.clock.now(), 0.0)

    async def rows(self, statement: str, **values: object) -> list[Row[Any]]:
        """Run one statement in a transaction of its own and return its rows, if it has any."""
        async with self.host.database.transaction() as connection:
            result = await connection.execute(text(statement), values)
            return list(result) if result.returns_rows else []

    async def end(self) -> None:
        """End every process and wait for what they leave under way."""
        for worker_ in list(self.workers):
            self.kill(worker_)
        while others := asyncio.all_tasks() - {_this_task()}:
            for task in others:
                task.cancel()
            await asyncio.wait(others)


def _this_task() -> "asyncio.Task[Any]":
    task = asyncio.current_task()
    assert task is not None
    return task
