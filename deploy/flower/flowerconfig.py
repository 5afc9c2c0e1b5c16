"""Flower's settings for Dalmada: look at everything, touch nothing, show ids only.

    celery -A worker.app flower --conf=deploy/flower/flowerconfig.py

What is set here wins over FLOWER_ variables, and the command line wins over both, so what is left
out here is free: FLOWER_BASIC_AUTH, FLOWER_PERSISTENT, FLOWER_DB, FLOWER_URL_PREFIX and so on.

`format_task` covers the list of tasks and the page of one task. Flower's API and the page of one
worker show messages as they came, which is why the API is never open to the unauthenticated.
"""

import os
import re
import sys
from itertools import pairwise
from typing import Any

from tornado.options import options

from shared.jobs.contracts import Job

# Flower could otherwise send a charge again, or stop a worker in the middle of one.
read_only = True

# The id leads to the task's page. There is no column for args: our messages have none.
tasks_columns = "name,uuid,state,result,kwargs,received,runtime,retries,worker"
# Instants as they are in the logs; "2 minutes ago" can't be compared with anything.
natural_time = False
# Flower keeps tasks in memory. What is older is in PostgreSQL, where the truth is.
max_tasks = 10_000
# Workers of earlier deployments leave the list and the metrics, which would else grow for ever.
purge_offline_workers = 600

_HIDDEN = "hidden"
_FIELDS = {
    job.task: frozenset(name for name in job.model_fields if name.endswith("_ids"))
    for job in Job.__subclasses__()
}
# As Celery writes keyword arguments that are one list of numbers. What is too long for it ends in
# dots, and the last number before them may be half a number.
_IDS = re.compile(
    r"\{'(?P<field>\w+)': \[(?P<ids>(?:\d{1,19}, )*)(?P<last>\d{0,19})"
    r"(?P<cut>(?:\.{3})?(?:, )?\.{3})?\]\}"
)
_FRAME = re.compile(r'^ +File ".*", line \d+, in .*$', re.MULTILINE)
_EXCEPTION = re.compile(r"[\w.]+")
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def format_task(task: Any) -> Any:
    """Show a task of ours with its ids, and of any other only that it came.

    `task` is Flower's copy of its record. What an exception says is never shown, for it may quote a
    row; where it was raised is.
    """
    fields = _FIELDS.get(str(task.name))
    task.args = None if str(task.args or "()") in {"()", "[]"} else _HIDDEN
    task.kwargs = None if task.kwargs is None else _ids(str(task.kwargs), fields)
    if task.result is not None:
        task.result = _HIDDEN if fields is None else str(task.result).strip("'\"")
    if task.exception is not None:
        found = _EXCEPTION.match(str(task.exception))
        task.exception = found[0] if found else _HIDDEN
    if task.traceback is not None:
        task.traceback = "\n".join(_FRAME.findall(str(task.traceback)))
    return task


def _ids(text: str, fields: frozenset[str] | None) -> str:
    """Return `{'invoice_ids': [1, 2, 3, 9]}` as `invoice_ids 1-3, 9`, and hide what is not that."""
    if fields is None:
        return _HIDDEN
    if text == "{}":
        return ""
    match = _IDS.fullmatch(text)
    if match is None or match["field"] not in fields:
        return _HIDDEN
    kept = match["ids"] if match["cut"] else match["ids"] + match["last"]
    ranges = _ranges([int(number) for number in re.findall(r"\d+", kept)])
    return f"{match['field']} {ranges}{', …' if match['cut'] else ''}"


def _ranges(ids: list[int]) -> str:
    """Return runs of neighbours as `first-last`; nothing is left out."""
    ids = sorted(set(ids))
    breaks = [0, *(n for n, (a, b) in enumerate(pairwise(ids), 1) if b - a > 1), len(ids)]
    runs = [ids[start:end] for start, end in pairwise(breaks)]
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs if run)


def _require_authentication() -> None:
    """End Flower where others could reach it without saying who they are."""
    # Whoever opens the API opens it to all; there is no reader of ours that needs it.
    os.environ.pop("FLOWER_UNAUTHENTICATED_API", None)
    # Flower divides the variable at commas, so one within a password would make two logins.
    faulty = [login for login in options.basic_auth if not re.fullmatch(r"[^:]+:.+", login)]
    if faulty:
        sys.exit("FLOWER_BASIC_AUTH must be user:password, and neither may hold a comma")
    alone = options.unix_socket or options.address in _LOOPBACK
    if not (alone or options.basic_auth or options.auth):
        sys.exit("Flower needs FLOWER_BASIC_AUTH=user:password unless --address=127.0.0.1")


_require_authentication()
