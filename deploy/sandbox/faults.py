"""What the client gets of a reply, by the ending of its request, whatever it was about."""

from dataclasses import replace
from typing import Any, Final

from deploy.sandbox import texts
from deploy.sandbox.endings import CommandEnding, Ending, Step
from deploy.sandbox.replies import (
    HANGING,
    LOST,
    RESET,
    Reply,
    Wire,
    bad_gateway,
    failed,
    garbled,
    refused,
)
from deploy.sandbox.settings import Settings

_UNREACHED: Final[dict[str, Reply]] = {
    Ending.LOST_REQUEST: LOST,
    Ending.RESET: RESET,
    Ending.HANG: HANGING,
    Ending.ERROR_500: failed(500, texts.INTERNAL_ERROR),
    Ending.BAD_GATEWAY: bad_gateway(),
    Ending.UNAUTHORIZED: failed(401, texts.UNAUTHORIZED),
}


def left_waiting(step: Step[Any]) -> Reply:
    """Give what the client gets of a late success before it happens."""
    return HANGING if step.hang else LOST


def carried(ending: str, reply: Reply) -> Reply:
    """Give what the client gets of a reply to a request that reached the book."""
    match ending:
        case Ending.LOST_REPLY:
            return LOST
        case Ending.ERROR_500_PAID | CommandEnding.ERROR_500_DONE:
            return failed(500, texts.INTERNAL_ERROR)
        case Ending.BAD_GATEWAY_PAID | CommandEnding.BAD_GATEWAY_DONE:
            return bad_gateway()
        case Ending.TRUNCATED:
            return replace(reply, wire=Wire.TRUNCATE)
        case Ending.GARBAGE:
            return garbled(reply)
        case _:
            return reply


def unreached(step: Step[Any], settings: Settings, *, refusal: str) -> Reply:
    """Answer a request that never reaches the book.

    `refusal` is what the payment gateway says where the step has no words of its own.
    """
    match step.ending:
        case Ending.REFUSED:
            return refused(step.fail_reason or refusal, code=-1)
        case Ending.BAD_REQUEST:
            return failed(400, step.fail_reason or texts.BAD_REQUEST)
        case Ending.THROTTLED:
            return failed(429, texts.TOO_MANY_REQUESTS, headers=_retry_after(step, settings))
        case Ending.MAINTENANCE:
            return failed(503, texts.MAINTENANCE, headers=_retry_after(step, settings))
        case _:
            return _UNREACHED[step.ending]


def _retry_after(step: Step[Any], settings: Settings) -> tuple[tuple[str, str], ...]:
    seconds = step.retry_after_s
    if seconds is None:
        seconds = settings.retry_after_s
    return (("Retry-After", str(seconds)),)
