"""What every message passes before a service sees it: its contract.

A message that does not keep it is kept as a dead letter with the validator's words, acknowledged,
and harms nothing: it is not worked, not repeated and crashes no worker.
"""

import json
from collections.abc import Callable
from typing import TypeVar

import structlog
from pydantic import ValidationError

from shared.jobs.canonical import CanonicalLine, canonical_line
from shared.jobs.contracts import Job
from worker.bootstrap import runtime

log = structlog.get_logger(__name__)
J = TypeVar("J", bound=Job)

# Enough to see what it was; a hostile message must not fill the table.
_KEPT_CHARACTERS_MAX = 4_000


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
            kept = json.dumps({"args": args, "kwargs": kwargs}, ensure_ascii=False, default=repr)
            kept = kept[:_KEPT_CHARACTERS_MAX]
            log.warning("message_malformed", cause=cause)
            runtime.run(lambda services: services.bury_message(contract.task, cause, kept))
            return line.outcome("malformed")
        return line.outcome(work(job, line))


def _parse(contract: type[J], args: tuple[object, ...], kwargs: dict[str, object]) -> J:
    if args:
        raise TypeError(f"takes no positional arguments, only {sorted(contract.model_fields)}")
    return contract.model_validate_json(json.dumps(kwargs))


def describe(error: Exception) -> str:
    """Return what was wrong with a message, without repeating its values."""
    if isinstance(error, ValidationError):
        return "; ".join(
            f"{'.'.join(str(part) for part in fault['loc']) or 'message'}: {fault['msg']}"
            for fault in error.errors(include_url=False, include_input=False)
        )
    return str(error)
