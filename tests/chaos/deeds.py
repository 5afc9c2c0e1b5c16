"""Doing what the plan says, each thing with the proof that it took effect."""

import dataclasses
import signal
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import psycopg
import redis

from deploy.launcher.private import PrivateServer
from tests.chaos.fleet import Fleet
from tests.chaos.plan import KILLS, LINKS, WEATHER, Deed, Kind
from tests.chaos.weather import Weather

# What has just died must be back at its work before something is done to it again: on a slow
# machine less is done, and not to processes that are only starting.
_TARGET_TIMEOUT_S = 30.0
# How long a freeze waits for a claim, and how often it looks.
_CLAIM_TIMEOUT_S = 4.0
_LOOK_S = 0.01
# A fault that has met nothing yet stays for so much longer.
_LINGER_S = 5.0
_UNDO_TIMEOUT_S = 20.0
_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Done:
    """What came of one deed.

    Attributes:
        at_s: When it was begun.
        took_effect: Whether it did anything to anything.
        note: What there is to say of it.
    """

    deed: Deed
    at_s: float
    took_effect: bool
    note: str = ""


@dataclass
class Conductor:
    """Does each deed in a thread of its own, so that a slow server delays nothing else."""

    fleet: Fleet
    weather: Weather
    done: list[Done] = field(default_factory=list)
    begun_at_s: float = field(default_factory=time.monotonic)
    _threads: list[threading.Thread] = field(default_factory=list)
    _calm: threading.Event = field(default_factory=threading.Event)
    # One server is restarted at a time, and nothing falls asleep meanwhile.
    _servers: threading.Lock = field(default_factory=threading.Lock)
    _links: dict[str, threading.Lock] = field(
        default_factory=lambda: {link: threading.Lock() for link in LINKS}
    )

    @property
    def now_s(self) -> float:
        """The time since the beginning."""
        return time.monotonic() - self.begun_at_s

    def begin(self, deed: Deed) -> None:
        """Begin to do something."""
        thread = threading.Thread(target=self._do, args=(deed,), name=deed.kind, daemon=True)
        self._threads.append(thread)
        thread.start()

    def finish(self, timeout_s: float, meanwhile: Callable[[], None]) -> None:
        """Cut short what lasts, and wait until everything has been undone."""
        self._calm.set()
        until = time.monotonic() + timeout_s
        while left := [thread.name for thread in self._threads if thread.is_alive()]:
            if time.monotonic() > until:
                problem = f"still being done {timeout_s:g} s after the end: {', '.join(left)}"
                raise RuntimeError(problem)
            meanwhile()
            time.sleep(_POLL_S)

    def encore(
        self, planned: Sequence[Deed], timeout_s: float, meanwhile: Callable[[], None]
    ) -> None:
        """Do once more of each kind what met nothing; on a slow machine nothing may have run."""
        if not (kinds := self.idle_kinds(planned)):
            return
        self._calm.clear()
        again = [next(deed for deed in planned if deed.kind is kind) for kind in kinds]
        # Scans ask the database all the time; of the gateway nobody may want anything.
        again = [
            dataclasses.replace(deed, target="database") if deed.kind in WEATHER else deed
            for deed in again
        ]
        for deed in again:
            self.begin(deed)
        until = time.monotonic() + timeout_s
        while self.idle_kinds(again) and time.monotonic() < until and self._is_busy:
            meanwhile()
            time.sleep(_POLL_S)
        self.finish(timeout_s, meanwhile)

    @property
    def _is_busy(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def abandon(self) -> None:
        """Cut short what lasts, so that nothing is started again behind whoever ends the run."""
        self._calm.set()
        for thread in self._threads:
            thread.join(_UNDO_TIMEOUT_S)

    @property
    def kills(self) -> int:
        """How many SIGKILLs hit."""
        return sum(done.took_effect and done.deed.kind in KILLS for done in self.done)

    @property
    def faults(self) -> int:
        """How much else took effect."""
        return sum(done.took_effect and done.deed.kind not in KILLS for done in self.done)

    def idle_kinds(self, planned: Sequence[Deed]) -> list[Kind]:
        """Return the kinds that were planned and never took effect."""
        effects = Counter(done.deed.kind for done in self.done if done.took_effect)
        return sorted({deed.kind for deed in planned} - effects.keys())

    def _do(self, deed: Deed) -> None:
        at_s, note = self.now_s, ""
        try:
            took_effect, note = self._deed(deed)
        except Exception as error:  # noqa: BLE001 - told as what it is: not done
            took_effect, note = False, f"{type(error).__name__}: {error}"
            if not isinstance(error, TimeoutError):
                note = traceback.format_exc(limit=-4)
        self.done.append(Done(deed, round(at_s, 2), took_effect, note))

    def _deed(self, deed: Deed) -> tuple[bool, str]:  # noqa: PLR0911 - a table, one kind a row
        match deed.kind:
            case kind if kind in WEATHER:
                return self._weather(deed)
            case Kind.KILL:
                return self._when_up(deed, self.fleet.kill), ""
            case Kind.TERMINATE:
                begun_s = time.monotonic()
                took_effect = self._when_up(deed, self.fleet.terminate)
                status = self.fleet.children[deed.target].returncode
                return took_effect, f"status {status} after {time.monotonic() - begun_s:.1f} s"
            case Kind.FREEZE:
                return self._freeze(deed)
            case Kind.CLOCK_STEP:
                log = self.fleet.children[deed.target].log
                assert log is not None
                self.fleet.clocks.step(log.stem, deed.amount_s)
                return self.fleet.children[deed.target].is_alive, ""
            case Kind.SUSPEND:
                return self._suspend(deed)
            case _:
                return self._server(deed)

    def _when_up(self, deed: Deed, act: Callable[[str], bool]) -> bool:
        """Do something to a process that works; once it is calm, only what was never done yet."""
        until = time.monotonic() + _TARGET_TIMEOUT_S
        while time.monotonic() < until:
            if self._calm.is_set() and not self.idle_kinds([deed]):
                return False
            if self.fleet.is_up(deed.target) and act(deed.target):
                return True
            time.sleep(_POLL_S)
        return False

    def _weather(self, deed: Deed) -> tuple[bool, str]:
        link = self.weather.links[deed.target]
        with self._links[deed.target]:
            before = link.touched[deed.kind]
            self.weather.begin(deed)
            try:
                self._calm.wait(deed.for_s)
                until = time.monotonic() + _LINGER_S
                while link.touched[deed.kind] == before and time.monotonic() < until:
                    if self._calm.wait(_POLL_S):
                        break
            finally:
                self.weather.end([deed.target])
            touched = link.touched[deed.kind] - before
        return touched > 0, f"hit {touched} times"

    def _freeze(self, deed: Deed) -> tuple[bool, str]:
        """Freeze a worker at the moment at which it has claimed and not sent, if one comes."""
        note = "between claim and send" if self._claims(deed.target) else "at no special moment"
        try:
            stands = self._when_up(deed, self.fleet.stop)
            self._calm.wait(deed.for_s)
        finally:
            self.fleet.go_on(deed.target)
        return stands, note

    def _claims(self, role: str) -> bool:
        """Wait until something is claimed while a worker collects; False if nothing is in time.

        The claim is to be seen as soon as it is committed, and the worker hears of that later: the
        database is slow by now.
        """
        until, before = time.monotonic() + _CLAIM_TIMEOUT_S, None
        while not self._calm.is_set() and time.monotonic() < until:
            try:
                newest = self.fleet.system.value("SELECT max(claimed_at) FROM payment_attempts")
            except psycopg.Error:
                newest = None
            if before is not None and newest != before and self.fleet.collects(role):
                return True
            before = newest
            time.sleep(_LOOK_S)
        return False

    def _suspend(self, deed: Deed) -> tuple[bool, str]:
        with self._servers, self.fleet.suspended() as stands:
            # The gateway finishes meanwhile what was on its way.
            time.sleep(deed.for_s)
            self.fleet.clocks.sleep(deed.amount_s)
            self.fleet.system.sandbox.set_clock(self.fleet.clocks.slept_s)
        return stands, f"{deed.amount_s / 3600:.1f} h later"

    def _server(self, deed: Deed) -> tuple[bool, str]:
        servers = self.fleet.system.servers
        with self._servers:
            match deed.kind:
                case Kind.BROKER_FLUSH:
                    with redis.Redis.from_url(servers.valkey.url, socket_timeout=5) as client:
                        lost = int(client.dbsize())
                        client.flushall()
                    return True, f"{lost} keys lost"
                case Kind.BROKER_RESTART:
                    return self._restart(servers.valkey, deed.for_s, servers.valkey.stop)
                case Kind.BROKER_KILL:
                    return self._restart(servers.valkey, deed.for_s, servers.valkey.kill)
                case Kind.DATABASE_RESTART:
                    return self._restart(servers.postgres, deed.for_s, servers.postgres.stop)
                case Kind.DATABASE_IMMEDIATE:
                    return self._restart(
                        servers.postgres, deed.for_s, lambda: _quit(servers.postgres)
                    )
                case _:
                    return self._restart(servers.postgres, deed.for_s, servers.postgres.kill)

    def _restart(
        self, server: PrivateServer, down_s: float, end: Callable[[], None]
    ) -> tuple[bool, str]:
        child = server.child
        assert child is not None
        before = child.pid
        end()
        gone = not child.is_alive
        try:
            self._calm.wait(down_s)
        finally:
            begun_s = time.monotonic()
            server.start()
        after = server.child
        came_back = after is not None and after.pid != before
        return gone and came_back, f"back after {time.monotonic() - begun_s:.1f} s more"


def _quit(server: PrivateServer) -> None:
    """End PostgreSQL by an immediate shutdown: no checkpoint, recovery at the next start."""
    assert server.child is not None
    server.child.signal(signal.SIGQUIT)
    server.child.wait(20)
    # Whatever of it is left.
    server.kill()
