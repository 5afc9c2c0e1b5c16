"""Runs one command in the person's terminal while everything behind it is watched."""

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from deploy.launcher.children import Child
from deploy.launcher.errors import WaitTimeoutError
from deploy.launcher.signals import Interrupted, hurry_requested
from deploy.launcher.waiting import wait_until

_FOREVER_S = float("inf")
_OWN_END_TIMEOUT_S = 5.0
_POLL_S = 0.05


def run_in_foreground(
    name: str,
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str],
    cwd: Path,
    check: Callable[[], object] | None = None,
) -> int:
    """Run the command with our terminal; its exit status as a shell would give it.

    `check` is called all the while and raises when something behind the command has died.
    """
    child = Child(name, argv, log=None, env=env, cwd=cwd)
    child.start()
    try:
        wait_until(
            lambda: not child.is_alive, name, timeout_s=_FOREVER_S, check=check, interval_s=_POLL_S
        )
    except Interrupted as interrupted:
        if not (interrupted.signum == signal.SIGINT and _terminal_has_told_it()):
            child.signal(interrupted.signum)
        _give_time(child)
        raise
    finally:
        child.stop()
    status = child.wait(0)
    return status if status >= 0 else 128 - status


def _terminal_has_told_it() -> bool:
    """Whether Ctrl-C at a terminal reaches all of our process group, the child among it."""
    try:
        fd = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(fd) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(fd)


def _give_time(child: Child) -> None:
    with suppress(WaitTimeoutError):
        wait_until(
            lambda: not child.is_alive or hurry_requested(),
            f"{child.name} ends by itself",
            timeout_s=_OWN_END_TIMEOUT_S,
        )
