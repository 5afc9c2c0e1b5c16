"""A message as it lies on Redis, for whoever puts it there without Celery.

This is Celery's protocol 2 as kombu writes it; ``docs/messages.md`` shows it for other languages.
"""

import base64
import json
import uuid
from collections.abc import Mapping, Sequence


def envelope(
    task: str, kwargs: Mapping[str, object], queue: str, args: Sequence[object] = ()
) -> str:
    """Return the element to push onto the list that a queue is.

    Every one has ids of its own: the worker keeps messages apart by ``delivery_tag``.
    """
    task_id = str(uuid.uuid4())
    body = json.dumps([args, kwargs, {}]).encode()
    return json.dumps(
        {
            "body": base64.b64encode(body).decode(),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": {"id": task_id, "task": task, "lang": "py"},
            "properties": {
                "body_encoding": "base64",
                "correlation_id": task_id,
                "delivery_info": {"exchange": "", "routing_key": queue},
                "delivery_mode": 2,
                "delivery_tag": str(uuid.uuid4()),
                "priority": 0,
            },
        }
    )
