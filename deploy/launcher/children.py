"""Child processes that have a log, can be waited for, and never outlive this process."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO

from deploy.launcher import processes
from deploy.launcher.errors import ChildDiedError, WaitTimeoutError
from deploy.launcher.guard import guard
from deploy.launcher.identity import SAME_USER, Identity
from deploy.launcher.signals import hurry_requested
from deploy.launcher.spawn import SPAWN_PROGRAM, Spec
from deploy.launcher.waiting import wait_until

_TAIL_LINES = 20
_TAIL_BYTES = 64 * 1024
_KILL_TIMEOUT_S = 10.0
_POLL_S = 0.02


class Child:
    """One program run as a child, in a session of its own, with its output in a log file.

    It ends with this process, even when this process is killed. It can be started again after it
    has ended; the log is then continued and waited on from where the new run began.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str | Path],
        *,
        log: Path | None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdin: Path | None = None,
        identity: Identity = SAME_USER,
        stop_signal: signal.Signals = signal.SIGTERM,
        stop_timeout_s: float = 10.0,
        orphan_signal: signal.Signals = signal.SIGKILL,
    ) -> None:
        """Describe the child; nothing runs yet.

        With `log` None the child shares our terminal, session and streams: it is the foreground.
        `env` replaces the environment, `stdin` is a file to read, with a log nothing by default.
        `orphan_signal` is what it gets when this process dies.
        """
        self.name = name
        self.argv = [str(part) for part in argv]
        self.log = log
        self._env = env
        self._cwd = cwd
        self._stdin = stdin
        self._identity = identity
        self._stop_signal = stop_signal
        self._stop_timeout_s = stop_timeout_s
        self._orphan_signal = orphan_signal
        self._process: subprocess.Popen[bytes] | None = None
        self._log_offset = 0

    @property
    def pid(self) -> int:
        """The process number of the current or last run."""
        return self._require_process().pid

    @property
    def returncode(self) -> int | None:
        """The exit status once ended, negative for a signal; None while it runs."""
        return self._require_process().poll()

    @property
    def is_alive(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it; whether it could be run shows in its exit status and log."""
        if self.is_alive:
            problem = f"{self.name} runs already (pid {self.pid})"
            raise RuntimeError(problem)
        watchdog_fd = guard().fd
        with ExitStack() as stack:
            stdin: IO[bytes] | None = None
            output: IO[bytes] | None = None
            if self.log is not None:
                self.log.parent.mkdir(parents=True, exist_ok=True)
                output = stack.enter_context(self.log.open("ab"))
                self._log_offset = output.tell()
                stdin = stack.enter_context((self._stdin or Path(os.devnull)).open("rb"))
            spec = json.dumps(self._spec(watchdog_fd))
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(SPAWN_PROGRAM), spec],
                env=None if self._env is None else dict(self._env),
                stdin=stdin,
                stdout=output,
                stderr=None if output is None else subprocess.STDOUT,
                pass_fds=(watchdog_fd,),
                start_new_session=self.log is not None,
            )

    def signal(self, signum: signal.Signals) -> None:
        """Send a signal to the child alone, not to what it started."""
        if self.is_alive:
            self._require_process().send_signal(signum)

    def ask_to_stop(self) -> None:
        """Send the polite end and return at once."""
        self.signal(self._stop_signal)
        # A stopped process acts on nothing until it is continued.
        self.signal(signal.SIGCONT)

    def stop(self) -> int | None:
        """End it politely, or by force once its time is up; its exit status, None if never run."""
        if self._process is None:
            return None
        self.ask_to_stop()
        self.finish_stop(asked_at=time.monotonic())
        return self._process.returncode

    def finish_stop(self, *, asked_at: float) -> None:
        """Wait for the polite end asked for at that monotonic time, then force what is left."""
        until = asked_at + self._stop_timeout_s
        while self.is_alive and time.monotonic() < until and not hurry_requested():
            time.sleep(_POLL_S)
        self.kill()

    def kill(self) -> None:
        """SIGKILL the child and everything below it, and wait until all of it has gone."""
        if self._process is None:
            return
        victims = self.tree()
        self._process.kill()
        self._process.wait(timeout=_KILL_TIMEOUT_S)

        def all_gone() -> bool:
            left = [victim for victim in victims if processes.is_running(victim)]
            # What was started since the first look is still in the group.
            left.extend(self.tree())
            for victim in left:
                with suppress(ProcessLookupError):
                    os.kill(victim.pid, signal.SIGKILL)
            return not left

        wait_until(all_gone, f"the processes of {self.name} are gone", timeout_s=_KILL_TIMEOUT_S)
        guard().forget(self._process.pid)

    def tree(self) -> list[processes.Process]:
        """The child, its group and everything below, as far as it runs."""
        if self._process is None:
            return []
        pid, alive = self.pid, self.is_alive
        running = processes.snapshot()
        if not alive and pid in running:
            # The number belongs to somebody else by now, so nothing of ours is left behind it.
            return []
        found = {process.pid: process for process in processes.descendants(pid, running)}
        if self.log is not None:
            found.update((p.pid, p) for p in running.values() if p.group == pid)
        if alive and pid in running:
            found[pid] = running[pid]
        return list(found.values())

    def wait(self, timeout_s: float) -> int:
        """Its exit status; raises WaitTimeoutError if it has not ended by then."""
        process = self._require_process()
        try:
            returncode = process.wait(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            problem = f"{self.name} has not ended within {timeout_s:g} s"
            raise WaitTimeoutError(problem, self.tail_text()) from None
        guard().forget(process.pid)
        return returncode

    def require_alive(self) -> None:
        """Raise ChildDiedError, with the log's end, if it has ended."""
        if not self.is_alive:
            raise self.death()

    def death(self) -> ChildDiedError:
        """The error that tells how it ended."""
        status = self._require_process().returncode
        how = f"exit status {status}"
        if status is not None and status < 0:
            how = f"signal {signal.Signals(-status).name}"
        return ChildDiedError(f"{self.name} ended unexpectedly: {how}", self.tail_text())

    def output(self) -> str:
        """Everything the current run has logged so far."""
        if self.log is None or not self.log.exists():
            return ""
        with self.log.open("rb") as log:
            log.seek(self._log_offset)
            return log.read().decode(errors="replace")

    def tail(self, lines: int = _TAIL_LINES) -> list[str]:
        """The current run's last log lines."""
        if self.log is None or not self.log.exists():
            return []
        with self.log.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(self._log_offset, size - _TAIL_BYTES))
            return log.read().decode(errors="replace").splitlines()[-lines:]

    def tail_text(self) -> str:
        """The last log lines with the log's name, for a message."""
        lines = self.tail()
        if not lines:
            return f"({self.log} is empty)" if self.log else ""
        return "\n".join([f"last lines of {self.log}:", *(f"  {line}" for line in lines)])

    def wait_for_log(self, pattern: str, *, timeout_s: float) -> re.Match[str]:
        """The first match of a regular expression in the current run's log.

        Raises WaitTimeoutError, or ChildDiedError when it ends without having logged it.
        """
        compiled = re.compile(pattern, re.MULTILINE)

        def found() -> re.Match[str] | None:
            return compiled.search(self.output())

        def alive_or_found() -> None:
            if not self.is_alive and found() is None:
                raise self.death()

        try:
            return wait_until(
                found, f"{self.name} logs {pattern!r}", timeout_s=timeout_s, check=alive_or_found
            )
        except WaitTimeoutError as error:
            raise WaitTimeoutError(error.problem, self.tail_text()) from None

    def _spec(self, watchdog_fd: int) -> Spec:
        # The kernel sends the death signal when the starting thread ends, not the process, so only
        # the main thread may ask for it; elsewhere the watchdog alone does the work. A foreground
        # child goes without: the watchdog must still find what it started.
        in_background = self.log is not None
        main_thread = threading.current_thread() is threading.main_thread()
        return {
            "argv": self.argv,
            "cwd": str(self._cwd or Path.cwd()),
            "parent": os.getpid(),
            "leads_group": in_background,
            "death_signal": self._orphan_signal if in_background and main_thread else 0,
            "watchdog_fd": watchdog_fd,
            "watchdog_signal": (
                0 if self._orphan_signal == signal.SIGKILL else self._orphan_signal
            ),
            "identity": self._identity.spec(),
        }

    def _require_process(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            problem = f"{self.name} was never started"
            raise RuntimeError(problem)
        return self._process


def stop_together(children: Sequence[Child]) -> None:
    """Ask all of them to stop, then wait for each: as slow as the slowest, not as their sum."""
    for child in children:
        child.ask_to_stop()
    asked_at = time.monotonic()
    for child in children:
        child.finish_stop(asked_at=asked_at)
