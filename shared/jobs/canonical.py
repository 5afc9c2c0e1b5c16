"""One canonical log line a task: what it was, how it ended, how long it took."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import structlog
from celery import current_task

log = structlog.get_logger("dalmada.task")


@dataclass(slots=True)
class CanonicalLine:
    """The line being written; its outcome is also what Flower shows as the task's result."""

    fields: dict[str, str | int | float] = field(default_factory=dict)
    ending: str = "failed"

    def outcome(self, ending: str) -> str:
        """Name the outcome, and return it for the task to return."""
        self.ending = ending
        return ending

    def add(self, **fields: str | float) -> None:
        """Add ids or counts to the line."""
        self.fields.update(fields)


@contextmanager
def canonical_line() -> Iterator[CanonicalLine]:
    """Write one line when the block ends, however it ends."""
    line = CanonicalLine()
    request = current_task.request
    started_s = time.perf_counter()
    structlog.contextvars.bind_contextvars(task_id=request.id, task=current_task.name)
    try:
        yield line
    except Exception as error:
        line.add(error=type(error).__name__)
        raise
    finally:
        log.info(
            "task_done",
            outcome=line.ending,
            duration_s=round(time.perf_counter() - started_s, 4),
            redelivered=bool((request.delivery_info or {}).get("redelivered")),
            **line.fields,
        )
        structlog.contextvars.unbind_contextvars("task_id", "task")
