"""How a request for a reservation ended, and how the retry of one did, decided from the reply.

The first row that fits wins. A reservation moves money later, so that an unknown one must be asked
about as an unknown charge must: only the gateway can tell whether it will be made.

    sign                                                    reservation, retry
    ──────────────────────────────────────────────────────  ─────────────────────────────────
    failed before a byte left                               NotSent
    failed later: time-out, reset, end of file, cut reply   Unknown
    HTTP 401, after one repetition with a new token         Misconfigured, GATEWAY
    HTTP 429; 503 that says when to come back               Throttled
    HTTP 503 without that, other 5xx                        Unknown
    HTTP 1xx, 2xx other than 200, 3xx                       Unknown
    code 0, HTTP 200
      exactly this reservation, and it is scheduled         Reserved
      this reservation otherwise, another, none, several    Unknown
      after a retry, a payment                              as of a charge (``outcomes``)
    code other than 0, HTTP 200 or 4xx, by its text
      AlreadyOnGoing, AlreadyComplete                       Unknown
      MaintenanceOngoing                                    Throttled
      already paid or cancelled under this merchant_uid     ScheduleRefused, taken; Duplicate
      buyer not registered                                  ScheduleRefused, unknown customer;
                                                            MethodDead
      not permitted, InvalidMerchant…                       Misconfigured, GATEWAY
      parameter missing                                     Misconfigured, REQUEST
    HTTP 400 to a new reservation                           Misconfigured, REQUEST
    HTTP 400 to one that is there: also where it is under   Unknown
      way or paid already (V1 spec)
    HTTP 403: the console's list of allowed addresses       Misconfigured, GATEWAY
    other 4xx                                               Unknown
    code other than 0 with any other text: that of a        Unknown
      merchant_uid reserved already is not published
    HTTP 200 that cannot be read                            Unknown
"""

from collections.abc import Mapping
from functools import partial
from typing import Final

from shared.billing.inquiry import CHARGES, SCHEDULED_CHARGE, Expectation
from shared.billing.outcome import Misconfigured, Outcome, Throttled, Unknown
from shared.billing.reservation import Reserved, ScheduleOutcome, ScheduleRefused
from worker.gateway import texts
from worker.gateway.outcomes import (
    FAULTS_BY_TEXT,
    HTTP_UNAUTHORIZED,
    TextTable,
    by_text,
    decide,
    fault_of_status,
    outcome_of_payment,
    read_payment,
    told_by,
)
from worker.gateway.wire import Refusal, reader
from worker.gateway.wire_schedules import SchedulePage

HTTP_BAD_REQUEST: Final = 400
# Which of them the payment of a retried reservation has is not documented.
_USAGES_OF_RETRY: Final = CHARGES | {SCHEDULED_CHARGE}

_BY_TEXT: TextTable[ScheduleOutcome] = (
    (texts.IN_PROGRESS, Unknown),
    (texts.TOLD_TO_WAIT, Throttled),
    (texts.DUPLICATE, partial(ScheduleRefused, is_taken=True)),
    (texts.UNREGISTERED, partial(ScheduleRefused, unknown_customer=True)),
    *FAULTS_BY_TEXT,
)

read_schedules = reader(SchedulePage)


def outcome_of_schedule(
    status_code: int,
    headers: Mapping[str, str],
    body: bytes,
    expected: Expectation,
    schedule_at_s: int,
    *,
    was_there: bool = False,
) -> ScheduleOutcome:
    """Return what a reply means for the reservation that was asked for.

    Texts of the gateway are kept byte for byte.

    Args:
        status_code: Of HTTP.
        headers: Of the reply.
        body: As it came.
        expected: What the gateway shall charge.
        schedule_at_s: When, in unix seconds.
        was_there: Whether the reservation was made before and only got another instant.
    """

    def of_page(page: SchedulePage) -> ScheduleOutcome:
        if len(page.schedules) != 1:
            return Unknown(f"the reply is of {len(page.schedules)} reservations")
        schedule = page.schedules[0]
        difference = schedule.difference_from(expected, schedule_at_s)
        return Reserved(schedule.record()) if difference is None else Unknown(difference)

    def of_refusal(status: int, refusal: Refusal) -> ScheduleOutcome:
        if status != HTTP_UNAUTHORIZED:
            known = told_by(_BY_TEXT, refusal.message)
            if known is not None:
                return known
        return _by_status(status, refusal, was_there=was_there)

    return decide(
        status_code,
        headers,
        body,
        read=read_schedules,
        of_answer=of_page,
        of_refusal=of_refusal,
    )


def outcome_of_retry(
    status_code: int,
    headers: Mapping[str, str],
    body: bytes,
    expected: Expectation,
    dead_method_markers: tuple[str, ...] = texts.DEAD_METHOD_MARKERS,
) -> Outcome:
    """Return what a reply means for the failed reservation that was to be charged at once."""

    def of_refusal(status: int, refusal: Refusal) -> Outcome:
        if status != HTTP_UNAUTHORIZED and (known := by_text(refusal.message)) is not None:
            return known
        return _by_status(status, refusal, was_there=True)

    return decide(
        status_code,
        headers,
        body,
        read=read_payment,
        of_answer=lambda payment: outcome_of_payment(
            payment, expected, dead_method_markers, _USAGES_OF_RETRY
        ),
        of_refusal=of_refusal,
    )


def _by_status(status: int, refusal: Refusal, *, was_there: bool) -> Misconfigured | Unknown:
    """Return what a refusal in unknown words means by its HTTP status."""
    says_state = was_there and status == HTTP_BAD_REQUEST
    fault = None if says_state else fault_of_status(status, refusal.message)
    return fault or Unknown(f"HTTP {status}, code {refusal.code}: {refusal.message}")
