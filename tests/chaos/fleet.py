"""Every process of ours, and what starts them again when they die, as a container engine would."""

import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from deploy.launcher.children import Child
from deploy.launcher.ports import HOST, free_port
from tests.chaos.clocks import CLOCK_SITE, Clocks
from tests.chaos.plan import EVERYONE, ROLES
from tests.support.system import CHECKOUT, System, ready

_RESTART_AFTER_S = 0.7
_GRACE_S = 20.0
_LINES = 60
# What workers, beats and the receiver say when they begin to work.
_IS_UP = re.compile(r"@\S+ ready\.|beat: Starting|^receiver: http", re.MULTILINE)
_PROC = Path("/proc")


def overrides(proxied: dict[str, str]) -> dict[str, str]:
    """Return the settings of a run beside those of ``QUICK``."""
    return {
        **proxied,
        # Room for a gateway that acts late, for slow links and for clocks that disagree.
        "DALMADA_SETTLE_DELAY_S": "6",
        "DALMADA_INQUIRY_GAPS_S": "[0.5,1,1,4]",
        "DALMADA_UNKNOWN_DEADLINE_S": "43200",
        "DALMADA_CATCH_UP": "bill_all",
        # After a jump of the clock everything is collected at once, and not some of it a day.
        "DALMADA_CATCH_UP_PERIODS_MAX": "100",
        # Whatever is declined is tried again within seconds, and nobody waits for a day of the
        # month: a night of weeks would have every daily subscription owe weeks.
        "DALMADA_DUNNING_CLASS_DELAYS_S": (
            '{"insufficient_balance": null, "limit": null, "method": null, "gateway_trouble": null}'
        ),
        "DALMADA_DUNNING_PAY_DAY_WITHIN_DAYS": "0",
        "DALMADA_DUNNING_KEY_ATTEMPTS_MAX": "1000",
        "DALMADA_PORTONE_PG": "naverpay.chaos",
        "DALMADA_REDISPATCH_AFTER_S": "2",
        "DALMADA_SCAN_INTERVAL_S": "0.5",
        "PYTHONPATH": f"{CLOCK_SITE}:{CHECKOUT}",
    }


@dataclass(frozen=True, slots=True)
class Death:
    """A process that ended although nobody ended it.

    Attributes:
        in_calm: Whether nothing was wrong with anything around it.
    """

    role: str
    at_s: float
    how: str
    in_calm: bool


@dataclass
class Fleet:
    """The processes by their role, and who watches over them.

    Attributes:
        held: Roles that nobody starts again for the moment.
        deaths: Those that died of themselves.
        is_calm: Whether everything around them is in order.
    """

    system: System
    clocks: Clocks
    children: dict[str, Child] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)
    ended: set[int] = field(default_factory=set)
    deaths: list[Death] = field(default_factory=list)
    is_calm: bool = False
    receiver_port: int = field(default_factory=free_port)
    lock: threading.RLock = field(default_factory=threading.RLock)
    _dead_since: dict[str, float] = field(default_factory=dict)
    _up: dict[str, int] = field(default_factory=dict)

    def start(self) -> None:
        """Start everything at once, and return when all of it is ready."""
        for role in ROLES:
            self.children[role] = self._new(role)
        for role, child in self.children.items():
            if role.startswith("receiver"):
                child.wait_for_log(r"^receiver: http", timeout_s=60)
            elif not role.startswith("beat"):
                ready(child)

    @property
    def receiver(self) -> str:
        """The receiver's address."""
        return f"http://{HOST}:{self.receiver_port}"

    def _new(self, role: str) -> Child:
        kind = re.sub(r"\d", "", role)
        if kind == "charge":
            return self.system.worker(role)
        if kind == "command":
            return self.system.command_worker(role)
        if kind == "scan":
            return self.system.scan_worker(role)
        if kind == "beat":
            return self.system.beat(role)
        port = str(self.receiver_port)
        return self.system.process(role, "-m", "worker.receiver", "--port", port)

    def watch(self, at_s: float) -> None:
        """Start again whatever has died a moment ago."""
        with self.lock:
            for role, child in self.children.items():
                if child.is_alive or role in self.held or EVERYONE in self.held:
                    continue
                since = self._dead_since.setdefault(role, time.monotonic())
                if time.monotonic() - since < _RESTART_AFTER_S:
                    continue
                if child.pid not in self.ended:
                    how = str(child.death())
                    self.deaths.append(Death(role, round(at_s, 2), how, self.is_calm))
                # Whatever it may have started goes with it.
                child.kill()
                child.start()
                del self._dead_since[role]

    def is_up(self, role: str) -> bool:
        """Say whether a process has come so far that it does its work."""
        child = self.children[role]
        if not child.is_alive:
            return False
        pid = child.pid
        if self._up.get(role) != pid and _IS_UP.search(child.output()):
            self._up[role] = pid
        return self._up.get(role) == pid

    def kill(self, role: str) -> bool:
        """SIGKILL a process; say whether that is what it died of."""
        with self.lock:
            child = self.children[role]
            if not child.is_alive:
                return False
            self.ended.add(child.pid)
            child.signal(signal.SIGKILL)
        return child.wait(timeout_s=10) == -signal.SIGKILL

    def terminate(self, role: str) -> bool:
        """Ask a process to end, and kill it if it has not after a while; whether it was asked."""
        with self.lock:
            child = self.children[role]
            if not child.is_alive:
                return False
            self.ended.add(child.pid)
            child.signal(signal.SIGTERM)
        pid, until = child.pid, time.monotonic() + _GRACE_S
        while _runs(child, pid) and time.monotonic() < until:
            time.sleep(0.05)
        if _runs(child, pid):
            child.signal(signal.SIGKILL)
        return True

    def stop(self, role: str) -> bool:
        """SIGSTOP a process; say whether it stands."""
        child = self.children[role]
        child.signal(signal.SIGSTOP)
        return _stands(child.pid)

    def collects(self, role: str) -> bool:
        """Say whether a charge worker has a message in work, by its own log."""
        lately = "\n".join(self.children[role].tail(_LINES))
        received = re.findall(r"Task invoice\.charge\[([\w-]+)\] received", lately)
        ended = re.findall(r"Task invoice\.charge\[([\w-]+)\] (?:succeeded|raised)", lately)
        return bool(set(received) - set(ended))

    def go_on(self, role: str) -> None:
        """SIGCONT a process."""
        self.children[role].signal(signal.SIGCONT)

    @contextmanager
    def suspended(self) -> Iterator[bool]:
        """Stop everything for a while, as a machine does that goes to sleep."""
        with self.lock:
            self.held.add(EVERYONE)
            stopped = [role for role, child in self.children.items() if child.is_alive]
            stands = [self.stop(role) for role in stopped]
        try:
            yield any(stands)
        finally:
            with self.lock:
                for role in stopped:
                    self.go_on(role)
                self.held.discard(EVERYONE)

    @property
    def all_run(self) -> bool:
        """Whether every process is there."""
        return all(child.is_alive for child in self.children.values())


def _runs(child: Child, pid: int) -> bool:
    """Say whether a child still is the process it was."""
    return child.is_alive and child.pid == pid


def _stands(pid: int) -> bool:
    """Say whether a process is stopped, by the kernel's own word, within a moment."""
    until = time.monotonic() + 2.0
    while time.monotonic() < until:
        state = _state(pid)
        if state in {"", "T"}:
            return bool(state)
        time.sleep(0.005)
    return False


def _state(pid: int) -> str:
    """Return the letter of a process's state; empty if there is no such process."""
    if (_PROC / "self" / "stat").exists():
        try:
            stat = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        # The name in brackets may itself hold spaces and brackets, so look from the last one.
        return stat.rpartition(")")[2].split()[0]
    shown = subprocess.run(
        ["/bin/ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return shown.stdout.strip()[:1]
