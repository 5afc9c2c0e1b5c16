"""How a refund ended, decided from the reply, or from its absence, and from nothing else.

The first row that fits wins. Nothing here ends a refund as failed: ``Refused`` is believed only
once the payment has been read, and ``Unknown`` is read too. A refusal that is read costs one
question; a refusal that is taken at its word could be of a refund that an earlier send has made.

    sign                                                    outcome
    ──────────────────────────────────────────────────────  ─────────────────────────────────
    failed before a byte left                               NotSent
    failed later: time-out, reset, end of file, cut reply   Unknown
    HTTP 401, after one repetition with a new token         Misconfigured, GATEWAY
    HTTP 429; 503 that says when to come back               Throttled
    HTTP 503 without that, other 5xx                        Unknown
    HTTP 1xx, 2xx other than 200, 3xx                       Unknown
    code 0, HTTP 200
      the payment, with exactly this refund                 Refunded
      anything else                                         Unknown
    code other than 0, HTTP 200 or 4xx, by its text
      AlreadyOnGoing, AlreadyComplete                       Unknown
      MaintenanceOngoing                                    Throttled
      not permitted, InvalidMerchant…                       Misconfigured, GATEWAY
      parameter missing                                     Misconfigured, REQUEST
      cancelled already, cancel failed                      Refused
      no such payment: a wrong account of ours, or a wrong  Refused
        id; the look-up tells which, another send would not
    HTTP 400                                                Misconfigured, REQUEST
    HTTP 403: the console's list of allowed addresses       Misconfigured, GATEWAY
    code other than 0, HTTP 200, any other text: that of a  Refused
      checksum that does not fit is not published
    other 4xx                                               Unknown
    code 0 with 4xx                                         Unknown
    HTTP 200 that cannot be read                            Unknown
"""

from collections.abc import Mapping
from functools import partial
from typing import assert_never

from shared.billing.inquiry import Conflict, StillUnresolved
from shared.billing.outcome import Throttled, Unknown
from shared.billing.refund import (
    CancelledElsewhere,
    NotDone,
    RefundClaim,
    Refunded,
    RefundOutcome,
    Refused,
    judge_refund,
)
from worker.gateway import texts
from worker.gateway.outcomes import (
    FAULTS_BY_TEXT,
    HTTP_OK,
    HTTP_UNAUTHORIZED,
    TextTable,
    decide,
    fault_of_status,
    read_payment,
    told_by,
)
from worker.gateway.wire import Payment, Refusal

_BY_TEXT: TextTable[RefundOutcome] = (
    (texts.IN_PROGRESS, Unknown),
    (texts.TOLD_TO_WAIT, Throttled),
    *FAULTS_BY_TEXT,
    (texts.NOT_CANCELLED, Refused),
)


def outcome_of_refund(
    status_code: int, headers: Mapping[str, str], body: bytes, claim: RefundClaim
) -> RefundOutcome:
    """Return what a reply to ``cancel`` means for the refund that was sent.

    Texts of the gateway are kept byte for byte.
    """
    return decide(
        status_code,
        headers,
        body,
        read=read_payment,
        of_answer=partial(_of_payment, claim),
        of_refusal=_of_refusal,
    )


def _of_payment(claim: RefundClaim, payment: Payment) -> RefundOutcome:
    """Return what the payment in a processed reply means."""
    if not payment.is_won:
        return Unknown(f"the reply is in {payment.currency}")
    match finding := judge_refund(claim, payment.record()):
        case Refunded():
            return finding
        case NotDone():
            return Unknown("code 0, and the payment stands as before")
        case CancelledElsewhere(cancelled_amount):
            return Unknown(f"code 0, and {cancelled_amount} won are cancelled in another way")
        case StillUnresolved(cause) | Conflict(cause):
            return Unknown(f"code 0, and {cause}")
        case _:
            assert_never(finding)


def _of_refusal(status_code: int, refusal: Refusal) -> RefundOutcome:
    """Return what a code other than 0 means."""
    message = refusal.message
    if status_code != HTTP_UNAUTHORIZED and (known := told_by(_BY_TEXT, message)) is not None:
        return known
    if status_code == HTTP_OK:
        return Refused(message)
    return fault_of_status(status_code, message) or Unknown(
        f"HTTP {status_code}, code {refusal.code}: {message}"
    )
