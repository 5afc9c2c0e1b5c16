"""This process's hold on its watchdog: what is told to it is ended when this process ends."""

import atexit
import contextlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

from deploy.launcher.watchdog import Note

_WATCHDOG = Path(__file__).with_name("watchdog.py")
_CLOSE_TIMEOUT_S = 20.0


class Guard:
    """A running watchdog and the pipe whose closing sets it off."""

    def __init__(self) -> None:
        read_fd, self.fd = os.pipe()
        # No stream of ours goes along: a pipe behind our output must end when we do.
        self._watchdog = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_WATCHDOG), str(read_fd)],
            pass_fds=(read_fd,),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )
        os.close(read_fd)

    @property
    def pid(self) -> int:
        """The watchdog's process number."""
        return self._watchdog.pid

    def forget(self, pid: int) -> None:
        """Stop watching a child that has ended and was reaped."""
        self._note({"op": "forget", "pid": pid})

    def remove_at_end(self, path: Path) -> None:
        """Have a scratch directory removed should this process end before it does so itself."""
        self._note({"op": "remove_at_end", "path": str(path)})

    def keep(self, path: Path) -> None:
        """Take back `remove_at_end`."""
        self._note({"op": "keep", "path": str(path)})

    def close(self) -> None:
        """End what is still watched and wait until the watchdog has gone."""
        self.release()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._watchdog.wait(timeout=_CLOSE_TIMEOUT_S)

    def release(self) -> None:
        """Let go of the pipe without waiting."""
        with contextlib.suppress(OSError):
            os.close(self.fd)

    def _note(self, note: Note) -> None:
        with contextlib.suppress(OSError):
            os.write(self.fd, json.dumps(note).encode() + b"\n")


class _Current:
    """The process's one guard, made when first needed."""

    def __init__(self) -> None:
        self.guard: Guard | None = None
        self.lock = threading.Lock()
        self.inherited: list[Guard] = []

    def close(self) -> None:
        with self.lock:
            guard, self.guard = self.guard, None
        if guard is not None:
            guard.close()

    def drop_after_fork(self) -> None:
        # A forked copy that kept the pipe open would keep the watchdog from noticing our end.
        self.lock = threading.Lock()
        if self.guard is not None:
            self.guard.release()
            # Kept, not freed: freeing would complain of a child that is our parent's to reap.
            self.inherited.append(self.guard)
            self.guard = None


_current = _Current()
atexit.register(_current.close)
os.register_at_fork(after_in_child=_current.drop_after_fork)


def guard() -> Guard:
    """This process's guard; the first call starts its watchdog."""
    with _current.lock:
        if _current.guard is None:
            _current.guard = Guard()
        return _current.guard


def close_guard() -> None:
    """End everything still watched; the next `guard()` starts anew."""
    _current.close()
