"""How a worker takes messages in: what Celery can make nothing of is kept for a person.

A merchant's message that names no task of ours, or is no call at all, does not reach a task. It is
a dead letter all the same, with the reason, and told as ``message.malformed``.
"""

import json
from typing import Any

from shared.jobs.quiet import QuietConsumer, task_of
from worker.tasks.intake import KEPT_LENGTH_MAX, bury, bury_text


class KeepingConsumer(QuietConsumer):
    """Keeps what it cannot hand on."""

    def keep(self, message: Any, cause: str) -> None:
        """Write a dead letter; raises while it cannot be written."""
        task = task_of(message)
        queue = str(message.delivery_info.get("routing_key"))
        body = message.body
        text = body.decode(errors="replace") if isinstance(body, bytes) else str(body)
        match _read(text):
            # The two forms of Celery's protocol.
            case [list(args), dict(kwargs), *_] | {"args": list(args), "kwargs": dict(kwargs)}:
                bury(task, cause, queue, args, kwargs)
            case _:
                bury_text(task, cause, text)


def _read(text: str) -> object:
    """Return what there is in a body, if it is JSON of a length that is kept."""
    try:
        return json.loads(text) if len(text) <= KEPT_LENGTH_MAX else None
    except (ValueError, RecursionError):
        return None
