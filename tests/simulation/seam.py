"""The seam: every place at which a process touches the outside, and at which it may die.

Points are not listed anywhere: whatever commits, sends a request, publishes or acknowledges passes
here, and is named by the code that does it. So what is built later has points from its first run.
"""

import sys
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType

from tests.simulation.loop import Turns
from tests.simulation.process import ProcessDiedError, current_process

CHECKOUT = Path(__file__).resolve().parents[2]
# Where decisions are made; what lies beneath is the way to the outside.
DECIDING = tuple(
    str(CHECKOUT / folder) for folder in ("worker/services", "scheduler/scans", "worker/tasks")
)
_OURS = tuple(str(CHECKOUT / folder) for folder in ("worker", "scheduler", "shared/jobs"))

current_job: ContextVar[str] = ContextVar("current_job", default="")
# Every call of those who decide that has touched the outside in this interpreter: code and offset.
touched: set[tuple[CodeType, int]] = set()


@dataclass(frozen=True, slots=True, order=True)
class Point:
    """One place at which a process may die.

    Attributes:
        job: The message that is being worked.
        site: The function that does the step, as ``module:qualname``.
        step: What it does: ``commit``, ``request``, ``publish``, ``tell``, ``post``, ``count``,
            ``acknowledge``.
        phase: ``before``, ``under way`` or ``after``.
    """

    job: str
    site: str
    step: str
    phase: str

    def __str__(self) -> str:
        """Return it on one line."""
        return f"{self.job} · {self.site} · {self.phase} {self.step}"


@dataclass(slots=True)
class Seam:
    """Records every point that is passed, and has processes die where a plan says so.

    Attributes:
        dies: Asked at every point with its number, counted from 0; True kills the process there.
        passed: The points so far, in order.
    """

    turns: Turns
    dies: Callable[[int, Point], bool] = lambda _number, _point: False
    passed: list[Point] = field(default_factory=list)

    async def at(self, step: str, phase: str, site: str) -> None:
        """Pass a point.

        Raises:
            ProcessDiedError: The process died here, or before.
        """
        process = current_process.get()
        if process is None:
            return
        if not process.alive:
            raise ProcessDiedError
        point = Point(current_job.get(), site, step, phase)
        self.passed.append(point)
        if self.dies(len(self.passed) - 1, point):
            process.die()
            raise ProcessDiedError
        await self.turns.turn()


def site() -> str:
    """Name the function of ours that is about to touch the outside."""
    frame: FrameType | None = sys._getframe(1)
    nearest = ""
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(DECIDING):
            touched.add((frame.f_code, frame.f_lasti))
            return _name(frame)
        if not nearest and file.startswith(_OURS):
            nearest = _name(frame)
        frame = frame.f_back
    return nearest


def _name(frame: FrameType) -> str:
    module = frame.f_code.co_filename[len(str(CHECKOUT)) + 1 : -len(".py")].replace("/", ".")
    # A lambda is a step of the function that it stands in.
    function = frame.f_code.co_qualname.replace(".<locals>", "").removesuffix(".<lambda>")
    return f"{module}:{function}"
