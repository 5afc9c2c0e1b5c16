"""Waiting for conditions, always with a bound, never for a fixed time."""

import time
from collections.abc import Callable
from typing import TypeVar

from deploy.launcher.errors import WaitTimeoutError

T = TypeVar("T")


def wait_until(
    condition: Callable[[], T | None],
    what: str,
    *,
    timeout_s: float,
    check: Callable[[], object] | None = None,
    interval_s: float = 0.02,
) -> T:
    """Return the condition's first true value.

    `check` is called on every round and may raise to give up early (a child died) or show progress.
    Raises WaitTimeoutError, which says `what` was waited for, after `timeout_s`.
    """
    until = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if check is not None:
            check()
        if time.monotonic() >= until:
            problem = f"{what}: not so within {timeout_s:g} s"
            raise WaitTimeoutError(problem)
        time.sleep(interval_s)
