"""What a message passes that nobody would send again: it ends as rows, here or as a dead letter.

Scans make our own messages again from rows. A merchant's command and a webhook come once:

- A fault of ours is met by a few tries, then the message is kept as a dead letter.
- While the database is away the message goes back to the queue.
- A message whose worker died is delivered again by the broker; one that was delivered so a few
  times without an end may be what kills, and is kept as a dead letter unworked.
"""

import time
from collections.abc import Callable
from typing import TypeVar

import structlog
from celery import current_task
from celery.exceptions import Reject
from redis.exceptions import RedisError

from shared.billing.events import EventName
from shared.jobs.canonical import CanonicalLine
from shared.jobs.contracts import Job
from worker.bootstrap import runtime
from worker.tasks.intake import bury, intake

log = structlog.get_logger(__name__)
J = TypeVar("J", bound=Job)

REDELIVERIES_MAX = 5
# Whatever it was that kept a message from being even kept, it is not tried again at once.
_PAUSE_S = 1.0


def kept(
    contract: type[J],
    args: tuple[object, ...],
    kwargs: dict[str, object],
    work: Callable[[J, CanonicalLine], str],
) -> str:
    """Return the outcome of ``work``, ``malformed`` or ``parked``.

    Raises:
        Reject: It could be neither worked nor kept, and is back in the queue.
    """
    tag = _tag_of_redelivered()
    try:
        if tag is not None and _begin(tag) > REDELIVERIES_MAX:
            cause = f"delivered {REDELIVERIES_MAX} times again, and each time its worker died"
            log.error("message_parked", task=contract.task, cause=cause)
            parked = EventName.COMMAND_PARKED
            bury(contract.task, cause, contract.queue, args, kwargs, parked)
            outcome = "parked"
        else:
            outcome = intake(contract, args, kwargs, work)
    except Exception as error:  # noqa: BLE001 - whatever it was, the message stays
        # Without its words, which may quote the message.
        log.error(  # noqa: TRY400
            "message_given_back", task=contract.task, error=type(error).__name__
        )
        time.sleep(_PAUSE_S)
        _end(tag)
        raise Reject(type(error).__name__, requeue=True) from None
    _end(tag)
    return outcome


def _tag_of_redelivered() -> str | None:
    """Return by what the broker knows this message, if it has delivered it before."""
    request = current_task.request
    if not (request.delivery_info or {}).get("redelivered"):
        return None
    tag = (getattr(request, "properties", None) or {}).get("delivery_tag")
    return tag if isinstance(tag, str) else None


def _begin(tag: str) -> int:
    try:
        return runtime.run(lambda services: services.deliveries.begin(tag))
    except RedisError:
        # It came from there a moment ago; a delivery that is not counted does no harm.
        return 0


def _end(tag: str | None) -> None:
    if tag is None:
        return
    try:
        runtime.run(lambda services: services.deliveries.end(tag))
    except Exception as error:  # noqa: BLE001 - the count lapses by itself
        log.warning("deliveries_not_forgotten", error=type(error).__name__)
