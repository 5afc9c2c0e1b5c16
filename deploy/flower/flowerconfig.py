"""Flower's settings for Dalmada: look at everything, touch nothing, show ids only.

    celery -A worker.app flower --conf=deploy/flower/flowerconfig.py

What is set here wins over FLOWER_ variables, and the command line wins over both, so what is left
out here is free: FLOWER_BASIC_AUTH, FLOWER_PERSISTENT, FLOWER_DB, FLOWER_URL_PREFIX and so on.

What messages say is kept away from Flower twice: our processes tell of tasks without it, and what
others tell, as merchants do who send commands through Celery, is heard here without it. So neither
a page nor Flower's API can show it; `format_task` only makes ids readable.
"""

import os
import re
import sys
from itertools import pairwise
from typing import Any

import flower.events as _flower_events
from tornado.options import options

from shared.jobs import quiet as _quiet
from shared.jobs.commands import COMMANDS as _COMMANDS
from shared.jobs.commands import ReceiveWebhook as _ReceiveWebhook

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

_ID = re.compile(r"[0-9a-f-]+")
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
# Those whose outcome is a name or a count, and nothing that a message said.
_OURS = {*_quiet.ID_FIELDS, *(command.task for command in _COMMANDS), _ReceiveWebhook.task}

# Flower builds its receiver by this name.
_flower_events.EventReceiver = _quiet.QuietReceiver


def format_task(task: Any) -> Any:
    """Show a task of ours with its ids, and of any other only that it came.

    `task` is Flower's copy of its record. What an exception says is never shown, for it may quote a
    row; where it was raised is.
    """
    nothing = str(task.args or "()") in {"()", "[]"}
    task.args = None if nothing else _quiet.shown_arguments(task.name, str(task.args))
    task.kwargs = None if task.kwargs is None else _ids(task.name, str(task.kwargs))
    if task.result is not None:
        task.result = str(task.result).strip("'\"") if str(task.name) in _OURS else _quiet.HIDDEN
    if task.exception is not None:
        task.exception = _quiet.shown_exception(str(task.exception))
    if task.traceback is not None:
        task.traceback = _quiet.shown_traceback(str(task.traceback))
    return task


def _ids(task: object, text: str) -> str:
    """Return `{'invoice_ids': [1, 2, 3, 9]}` as `invoice_ids 1-3, 9`, and hide what is not that."""
    shown = _quiet.shown_arguments(task, text)
    match = _quiet.IDS.fullmatch(shown)
    if match is None:
        return "" if shown == "{}" else shown
    ids = _ID.findall(match["ids"] + (match["last"] or ""))
    listed = _ranges([int(one) for one in ids]) if all(map(str.isdigit, ids)) else ", ".join(ids)
    return f"{match['field']} {listed}{', …' if match['cut'] else ''}"


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
