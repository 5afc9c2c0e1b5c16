"""What a reply that is no answer, or no reply, means for a call that moves no money."""

from collections.abc import Mapping

from shared.billing.outcome import Misconfigured, Throttled
from worker.gateway.errors import (
    GatewayError,
    GatewayMisconfigured,
    GatewayRefused,
    GatewayThrottled,
    GatewayUnavailable,
)
from worker.gateway.failures import describe, outcome_of_failure
from worker.gateway.outcomes import ANSWERS, by_text, fault_of_status, told_to_wait
from worker.gateway.wire import Refusal, Unreadable


def error_of_reply(
    status_code: int, headers: Mapping[str, str], answer: Refusal | Unreadable
) -> GatewayError:
    """Return the error that a refusal, or a reply that cannot be read, amounts to."""
    if (throttled := told_to_wait(status_code, headers)) is not None:
        return GatewayThrottled(throttled.cause, throttled.retry_after_s)
    if isinstance(answer, Refusal):
        words = f"HTTP {status_code}, code {answer.code}: {answer.message}"
        known = by_text(answer.message) or fault_of_status(status_code, answer.message)
    else:
        words = f"HTTP {status_code}, unreadable: {answer.cause}"
        known = fault_of_status(status_code, f"HTTP {status_code}")
    match known:
        case Throttled(cause):
            return GatewayThrottled(cause, None)
        case Misconfigured(message):
            return GatewayMisconfigured(message)
        case None if isinstance(answer, Refusal) and status_code in ANSWERS:
            return GatewayRefused(words, answer.message)
        case _:
            return GatewayUnavailable(words)


def error_of_failure(error: Exception) -> GatewayError:
    """Return the error that a call without a reply amounts to."""
    if isinstance(outcome_of_failure(error), Misconfigured):
        return GatewayMisconfigured(describe(error))
    return GatewayUnavailable(describe(error))
