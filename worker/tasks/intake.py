"""What every message passes before a service sees it: its contract.

A message that does not keep it is kept as a dead letter with the validator's words, told as
``message.malformed``, acknowledged, and harms nothing: it is not worked, not repeated and crashes
no worker. The letter holds the whole message, so that a person can send it again.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import TypeVar

import structlog
from pydantic import ValidationError

from shared.billing.events import EventName
from shared.jobs.canonical import CanonicalLine, canonical_line
from shared.jobs.command import COMMAND_ID_LENGTH_MAX
from shared.jobs.contracts import Job
from worker.bootstrap import runtime
from worker.services.command_desk import Unworked

log = structlog.get_logger(__name__)
J = TypeVar("J", bound=Job)

# Several times the longest message that makes sense; whatever keeps its contract can be kept whole.
MESSAGE_LENGTH_MAX = 65_536
KEPT_LENGTH_MAX = MESSAGE_LENGTH_MAX + 1_024
# Enough to see what it was; a hostile message must not fill the table.
_CUT_AT = 4_000
_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,39}")


def intake(
    contract: type[J],
    args: tuple[object, ...],
    kwargs: dict[str, object],
    work: Callable[[J, CanonicalLine], str],
) -> str:
    """Return the outcome of ``work`` on a valid message, or ``malformed``."""
    with canonical_line() as line:
        try:
            job = _parse(contract, args, kwargs)
        except (ValidationError, TypeError, ValueError) as error:
            cause = describe(error)
            log.warning("message_malformed", cause=cause)
            bury(contract.task, cause, contract.queue, args, kwargs)
            return line.outcome("malformed")
        return line.outcome(work(job, line))


def bury(
    task: str,
    cause: str,
    queue: str,
    args: object,
    kwargs: Mapping[str, object],
    told_as: EventName = EventName.MESSAGE_MALFORMED,
) -> None:
    """Keep a message for a person and tell of it, as malformed unless it is said otherwise."""
    message: dict[str, object] = {"queue": queue, "args": args, "kwargs": kwargs}
    # Celery's JSON builds objects of some kinds, such as a UUID, which can't be stored as they are.
    said = json.dumps(message, ensure_ascii=False, default=str)
    command_id = kwargs.get("command_id")
    unworked = Unworked(
        task,
        cause,
        json.loads(said) if len(said) <= KEPT_LENGTH_MAX else said[:_CUT_AT],
        command_id[:COMMAND_ID_LENGTH_MAX] if isinstance(command_id, str) else None,
        told_as,
    )
    runtime.run(lambda services: services.commands.bury(unworked))


def bury_text(task: str, cause: str, text: str) -> None:
    """Keep what is no message at all for a person, or the beginning of it, and tell of it."""
    kept = Unworked(task, cause, text[:_CUT_AT], None, EventName.MESSAGE_MALFORMED)
    runtime.run(lambda services: services.commands.bury(kept))


def _parse(contract: type[J], args: tuple[object, ...], kwargs: dict[str, object]) -> J:
    if args:
        raise TypeError(f"takes no positional arguments, only {sorted(contract.model_fields)}")
    said = json.dumps(kwargs, ensure_ascii=False)
    if len(said) > MESSAGE_LENGTH_MAX:
        raise ValueError(f"is longer than {MESSAGE_LENGTH_MAX} characters")
    return contract.model_validate_json(said)


def describe(error: Exception) -> str:
    """Return what was wrong with a message, without repeating what it says."""
    if isinstance(error, ValidationError):
        return "; ".join(
            f"{_path(fault['loc'])}: {fault['msg']}"
            for fault in error.errors(include_url=False, include_input=False)
        )
    return str(error)


def _path(parts: tuple[int | str, ...]) -> str:
    """Name the place of a fault; a field that nobody knows may be called anything."""
    named = [
        str(part) if isinstance(part, int) or _FIELD.fullmatch(part) else "…" for part in parts
    ]
    return ".".join(named) or "message"
