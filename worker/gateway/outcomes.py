"""How a send ended, decided from the reply, or from its absence, and from nothing else.

The first row that fits wins. Whatever no row knows is ``Unknown``: it costs a question, and every
other answer to an unknown sign might cost a buyer money.

    sign                                                    outcome
    ──────────────────────────────────────────────────────  ─────────────────────────────────
    failed before a byte left                               NotSent
    failed later: time-out, reset, end of file, cut reply   Unknown
    HTTP 401, after one repetition with a new token         Misconfigured, GATEWAY
    HTTP 429; 503 that says when to come back               Throttled
    HTTP 503 without that, other 5xx                        Unknown
    HTTP 1xx, 2xx other than 200, 3xx: not documented, and  Unknown
      a redirect, which is not followed, proves nothing
    code 0, HTTP 200
      no payment in it, not the payment sent, or            Unknown
        cancelled already
      status paid                                           Paid
      status failed, with a text of the table below         as there
      status failed, with a dead-method marker              MethodDead
      status failed                                         Declined
      status ready, cancelled, or one we do not know        Unknown
    code other than 0, HTTP 200 or 4xx, by its text
      AlreadyOnGoing, AlreadyComplete                       Unknown
      MaintenanceOngoing                                    Throttled
      already paid or cancelled under this merchant_uid     Duplicate
      buyer not registered                                  MethodDead
      not permitted, InvalidMerchant…                       Misconfigured, GATEWAY
      parameter missing                                     Misconfigured, REQUEST
    HTTP 400                                                Misconfigured, REQUEST
    HTTP 403: the console's list of allowed addresses       Misconfigured, GATEWAY
    other 4xx: 404 without one of the texts tells as much   Unknown
      of a wrong address as of a missing billing key
    code other than 0 with any other text                   Unknown
    HTTP 200 that cannot be read                            Unknown
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TypeAlias, TypeVar

from shared.billing.inquiry import CHARGES, Expectation, RecordStatus
from shared.billing.outcome import (
    Declined,
    Duplicate,
    FaultScope,
    MethodDead,
    Misconfigured,
    Outcome,
    Paid,
    Throttled,
    Unknown,
)
from worker.gateway import texts
from worker.gateway.wire import Payment, Refusal, Unreadable, instant, reader

A = TypeVar("A")
T = TypeVar("T")
# What a text means, row by row; the first that is held by a message wins.
TextTable: TypeAlias = tuple[tuple[tuple[texts.KnownText, ...], Callable[[str], T]], ...]

HTTP_OK = 200
HTTP_UNAUTHORIZED = 401
# Under any other status nothing a body says is believed.
ANSWERS = frozenset({HTTP_OK, *range(400, 500)})
_HTTP_THROTTLED = 429
_HTTP_UNAVAILABLE = 503
_OUR_FAULT = {400: FaultScope.REQUEST, 401: FaultScope.GATEWAY, 403: FaultScope.GATEWAY}

# A longer wait is asked for again after it: nobody should silence us for a day by one header.
RETRY_AFTER_MAX_S = 3600.0
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")

FAULTS_BY_TEXT: TextTable[Misconfigured] = (
    (texts.NOT_PERMITTED, partial(Misconfigured, scope=FaultScope.GATEWAY)),
    (texts.BAD_PARAMETER, partial(Misconfigured, scope=FaultScope.REQUEST)),
)
_BY_TEXT: TextTable[Outcome] = (
    (texts.IN_PROGRESS, Unknown),
    (texts.TOLD_TO_WAIT, Throttled),
    (texts.DUPLICATE, Duplicate),
    (texts.UNREGISTERED, MethodDead),
    *FAULTS_BY_TEXT,
)

read_payment = reader(Payment)


def outcome_of_reply(
    status_code: int,
    headers: Mapping[str, str],
    body: bytes,
    expected: Expectation,
    dead_method_markers: tuple[str, ...] = texts.DEAD_METHOD_MARKERS,
) -> Outcome:
    """Return what a reply to ``again`` means for the charge that was sent.

    Texts of the gateway are kept byte for byte.

    Args:
        status_code: Of HTTP.
        headers: Of the reply, found in any case of letters.
        body: As it came.
        expected: What was sent.
        dead_method_markers: Parts of a ``fail_reason`` after which no dunning helps.
    """
    return decide(
        status_code,
        headers,
        body,
        read=read_payment,
        of_answer=lambda payment: outcome_of_payment(payment, expected, dead_method_markers),
        of_refusal=_of_refusal,
    )


def decide(
    status_code: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    read: Callable[[bytes], A | Refusal | Unreadable],
    of_answer: Callable[[A], T],
    of_refusal: Callable[[int, Refusal], T],
) -> T | Throttled | Misconfigured | Unknown:
    """Return what a reply means for what was sent: it takes money, gives it back or will take it.

    Args:
        status_code: Of HTTP.
        headers: Of the reply.
        body: As it came.
        read: Reads the body.
        of_answer: What it means that the request was processed, and with which answer.
        of_refusal: What a code other than 0 means under an HTTP status that may hold an answer.
    """
    if (throttled := told_to_wait(status_code, headers)) is not None:
        return throttled
    if status_code not in ANSWERS:
        return Unknown(f"HTTP {status_code}")
    match read(body):
        case Refusal() as refusal:
            return of_refusal(status_code, refusal)
        case Unreadable(cause):
            return fault_of_status(status_code, f"HTTP {status_code}") or Unknown(
                f"HTTP {status_code}, unreadable: {cause}"
            )
        case answer if status_code == HTTP_OK:
            return of_answer(answer)
        case _:
            return Unknown(f"HTTP {status_code} with code 0")


def _of_refusal(status_code: int, refusal: Refusal) -> Outcome:
    """Return what a code other than 0 means."""
    if status_code != HTTP_UNAUTHORIZED and (known := by_text(refusal.message)) is not None:
        return known
    return fault_of_status(status_code, refusal.message) or Unknown(
        f"HTTP {status_code}, code {refusal.code}: {refusal.message}"
    )


def outcome_of_payment(
    payment: Payment,
    expected: Expectation,
    dead_method_markers: tuple[str, ...],
    usages: frozenset[str | None] = CHARGES,
) -> Outcome:
    """Return what a payment in a processed reply means; ``usages`` says of which it may be."""
    if (difference := payment.difference_from(expected, usages)) is not None:
        return Unknown(difference)
    if payment.status == RecordStatus.PAID:
        return _of_paid(payment)
    if payment.status == RecordStatus.FAILED:
        return _of_failed(payment, dead_method_markers)
    return Unknown(f"status {payment.status}")


def _of_paid(payment: Payment) -> Outcome:
    """Return what a paid payment of ours means."""
    if payment.customer_uid is None:
        return Unknown("paid, and the reply names no buyer")
    if payment.cancel_amount:
        return Unknown(f"paid, and {payment.cancel_amount} won of it are cancelled")
    return Paid(payment.imp_uid, instant(payment.paid_at), payment.receipt_url)


def _of_failed(payment: Payment, dead_method_markers: tuple[str, ...]) -> Outcome:
    """Return what a failed payment of ours means.

    The texts come first: Naver's codes are passed through in ``fail_reason``, and neither a fault
    of ours nor Naver's maintenance is a decline of the buyer's.
    """
    reason = payment.fail_reason or ""
    known = by_text(reason)
    if isinstance(known, MethodDead) or (
        known is None and any(marker in reason for marker in dead_method_markers)
    ):
        return MethodDead(reason, payment.imp_uid)
    return known or Declined(reason, payment.imp_uid)


def by_text(message: str) -> Outcome | None:
    """Return what a text of the gateway means, or None if nobody has seen it."""
    return told_by(_BY_TEXT, message)


def told_by(table: TextTable[T], message: str) -> T | None:
    """Return what the first row that knows a text says of it, or None."""
    for known, meaning in table:
        if texts.says(known, message):
            return meaning(message)
    return None


def fault_of_status(status_code: int, message: str) -> Misconfigured | None:
    """Return whose fault an HTTP status says it is, or None if it says nothing."""
    scope = _OUR_FAULT.get(status_code)
    return None if scope is None else Misconfigured(message, scope)


def told_to_wait(status_code: int, headers: Mapping[str, str]) -> Throttled | None:
    """Return that the gateway refused to work now, or None.

    429 says so by itself. 503 says it only together with a ``Retry-After`` that can be read: a
    proxy answers a bare 503 also when the server behind it died over our request.
    """
    if status_code not in {_HTTP_THROTTLED, _HTTP_UNAVAILABLE}:
        return None
    is_given, retry_after_s = _retry_after_s(headers)
    if status_code == _HTTP_UNAVAILABLE and not is_given:
        return None
    return Throttled(f"HTTP {status_code}", retry_after_s)


def _retry_after_s(headers: Mapping[str, str]) -> tuple[bool, float | None]:
    """Return whether a ``Retry-After`` can be read, and its seconds where they can be known.

    A date is measured from the reply's own ``Date``, so that our clock has no say in it.
    """
    value = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(value):
        return True, min(float(value), RETRY_AFTER_MAX_S)
    until, said = _instant_in(value), _instant_in(headers.get("date", ""))
    if until is None or said is None:
        return until is not None, None
    return True, min(max((until - said).total_seconds(), 0.0), RETRY_AFTER_MAX_S)


def _instant_in(value: str) -> datetime | None:
    """Return the instant of an HTTP date, or None if it is none."""
    try:
        instant = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    # RFC 5322 writes "no zone known" as -0000.
    return instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)
