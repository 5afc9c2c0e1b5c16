"""Who runs `up` in this state directory, told apart from whoever has its process number later."""

import fcntl
import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from deploy.launcher import processes
from deploy.launcher.errors import LauncherError
from deploy.launcher.waiting import wait_until

_FILE_NAME = "up.json"
_LOCK_NAME = "up.lock"


@dataclass(frozen=True, slots=True)
class Run:
    """One running `up`; `flower` is empty until it is ready."""

    pid: int
    started: str
    flower: str = ""

    @property
    def process(self) -> processes.Process | None:
        """The process, if this very one still runs."""
        now = processes.lookup(self.pid)
        return now if now is not None and now.started == self.started else None


@contextmanager
def only_run(state: Path) -> Iterator[None]:
    """Be the only `up` of this state directory; raises LauncherError if another one runs."""
    with (state / _LOCK_NAME).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = current_run(state)
            who = f" (pid {other.pid})" if other else ""
            where = f", Flower is at {other.flower}" if other and other.flower else ""
            problem = f"up runs already{who}{where}"
            raise LauncherError(problem, "`make down` ends it") from None
        try:
            note(state)
            yield
        finally:
            (state / _FILE_NAME).unlink(missing_ok=True)


def note(state: Path, flower: str = "") -> None:
    """Write down that this process is the one that runs `up`."""
    me = processes.lookup(os.getpid())
    started = me.started if me is not None else ""
    draft = state / f"{_FILE_NAME}.draft"
    draft.write_text(json.dumps(asdict(Run(os.getpid(), started, flower))), encoding="ascii")
    draft.replace(state / _FILE_NAME)


def current_run(state: Path) -> Run | None:
    """The `up` that runs in this state directory; a note left by a dead one counts as none."""
    try:
        run = Run(**json.loads((state / _FILE_NAME).read_text(encoding="ascii")))
    except (OSError, ValueError, TypeError):
        return None
    return run if run.process is not None else None


def end(run: Run, signum: signal.Signals, *, timeout_s: float, check: Callable[[], object]) -> None:
    """Send it a signal and wait until it is gone; its number in other hands is never touched."""
    process = run.process
    if process is None:
        return
    with suppress(ProcessLookupError):
        os.kill(process.pid, signum)
    wait_until(
        lambda: not processes.is_running(process),
        f"up (pid {run.pid}) is gone",
        timeout_s=timeout_s,
        check=check,
        interval_s=0.05,
    )
