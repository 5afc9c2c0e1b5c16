"""The scans as Celery tasks: run one, name the outcome."""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeAlias

from celery import Task, shared_task

from scheduler.bootstrap import Scans, runtime
from shared.jobs import contracts
from shared.jobs.canonical import canonical_line

Run: TypeAlias = Callable[[Scans], Coroutine[Any, Any, int]]

# What each scan is called by, how its outcome reads, and what it runs.
_SCANS: tuple[tuple[type[contracts.Job], str, Run], ...] = (
    (contracts.RenewSubscriptions, "opened", lambda scans: scans.renew()),
    (contracts.DispatchInvoices, "dispatched", lambda scans: scans.dispatch()),
    (contracts.DispatchInquiries, "inquiring", lambda scans: scans.inquire()),
    (contracts.DispatchRefunds, "dispatched", lambda scans: scans.refund()),
    (contracts.DispatchRelay, "relaying", lambda scans: scans.relay()),
    (contracts.DispatchDeliveries, "delivering", lambda scans: scans.deliver()),
    (contracts.DispatchEndings, "ending", lambda scans: scans.end()),
    (contracts.DispatchHints, "reading", lambda scans: scans.hints()),
    (contracts.AdvanceWindows, "advancing", lambda scans: scans.windows()),
    (contracts.DispatchRemovals, "removing", lambda scans: scans.remove()),
    (contracts.GiveNotices, "told", lambda scans: scans.notices()),
    (contracts.ResumeSubscriptions, "resumed", lambda scans: scans.resume()),
    (contracts.DispatchReservations, "reserving", lambda scans: scans.reserve()),
    (contracts.MarkDatabase, "marked", lambda scans: scans.mark()),
)


def _task_of(contract: type[contracts.Job], outcome: str, run: Run) -> Any:
    @shared_task(name=contract.task)
    def scan() -> str:
        with canonical_line() as line:
            return line.outcome(f"{outcome} {runtime.run(run)}")

    return scan


TASKS: Sequence[Task[Any, Any]] = tuple(_task_of(*scan) for scan in _SCANS)
