"""What the types let a caller conclude from an ending, and what they must not.

Nobody runs this file. mypy reads it in strict mode: a line that must be an error carries an ignore
of exactly that error, and an ignore that is needed no more is an error itself.
"""

from datetime import datetime

from shared.billing.attempt import Claim, Leases
from shared.billing.collection import Move, leave_to_inquiry, send_again_later, settle
from shared.billing.dunning import DunningPolicy
from shared.billing.inquiry import Conflict, Finding, NoRecord, StillUnresolved
from shared.billing.outcome import (
    Declined,
    Duplicate,
    MethodDead,
    Misconfigured,
    NotSent,
    Outcome,
    Paid,
    Settled,
    Throttled,
    Unknown,
    Unmoved,
    Unresolved,
)
from shared.billing.rules import ResendPolicy


def what_the_gateway_has_spoken_is_settled(
    claim: Claim,
    dunning: DunningPolicy,
    now: datetime,
    endings: tuple[Paid, Declined, MethodDead, Settled],
) -> tuple[Move, ...]:
    """Every settled ending is taken."""
    paid, declined, method_dead, settled = endings
    return (
        settle(claim, paid, dunning, now),
        settle(claim, declined, dunning, now),
        settle(claim, method_dead, dunning, now),
        settle(claim, settled, dunning, now),
    )


def an_unknown_outcome_cannot_be_settled(
    claim: Claim, dunning: DunningPolicy, now: datetime, unknown: Unknown, duplicate: Duplicate
) -> None:
    """Nor can a duplicate, which only says that somebody must look."""
    settle(claim, unknown, dunning, now)  # type: ignore[arg-type]
    settle(claim, duplicate, dunning, now)  # type: ignore[arg-type]


def what_moved_no_money_cannot_be_settled(
    claim: Claim,
    dunning: DunningPolicy,
    now: datetime,
    endings: tuple[NotSent, Throttled, Misconfigured],
) -> None:
    """A technical fault is neither a payment nor a decline."""
    not_sent, throttled, misconfigured = endings
    settle(claim, not_sent, dunning, now)  # type: ignore[arg-type]
    settle(claim, throttled, dunning, now)  # type: ignore[arg-type]
    settle(claim, misconfigured, dunning, now)  # type: ignore[arg-type]


def an_ending_that_nobody_has_looked_at_cannot_be_settled(
    claim: Claim, dunning: DunningPolicy, now: datetime, outcome: Outcome, unresolved: Unresolved
) -> None:
    """It must be told apart first."""
    settle(claim, outcome, dunning, now)  # type: ignore[arg-type]
    settle(claim, unresolved, dunning, now)  # type: ignore[arg-type]
    settle(claim, None, dunning, now)  # type: ignore[arg-type]


def a_finding_that_is_no_ending_cannot_be_settled(
    claim: Claim,
    dunning: DunningPolicy,
    now: datetime,
    findings: tuple[NoRecord, StillUnresolved, Conflict, Finding],
) -> None:
    """Finding nothing, or something strange, is no decline."""
    no_record, still_unresolved, conflict, finding = findings
    settle(claim, no_record, dunning, now)  # type: ignore[arg-type]
    settle(claim, still_unresolved, dunning, now)  # type: ignore[arg-type]
    settle(claim, conflict, dunning, now)  # type: ignore[arg-type]
    settle(claim, finding, dunning, now)  # type: ignore[arg-type]


def only_what_moved_no_money_is_sent_again(
    claim: Claim,
    resend: ResendPolicy,
    now: datetime,
    endings: tuple[Unmoved, Unknown, Duplicate, Settled],
) -> Move:
    """An unknown ending never goes out again without having been asked about."""
    unmoved, unknown, duplicate, settled = endings
    send_again_later(claim, unknown, resend, now)  # type: ignore[arg-type]
    send_again_later(claim, duplicate, resend, now)  # type: ignore[arg-type]
    send_again_later(claim, settled, resend, now)  # type: ignore[arg-type]
    return send_again_later(claim, unmoved, resend, now)


def only_what_is_unresolved_is_left_to_the_inquiry(
    claim: Claim,
    leases: Leases,
    now: datetime,
    endings: tuple[Unresolved, Settled, Unmoved],
) -> Move:
    """What the gateway has said is not asked for again."""
    unresolved, settled, unmoved = endings
    leave_to_inquiry(claim, settled, leases, now)  # type: ignore[arg-type]
    leave_to_inquiry(claim, unmoved, leases, now)  # type: ignore[arg-type]
    return leave_to_inquiry(claim, unresolved, leases, now)


def an_ending_keeps_what_it_said(paid: Paid, declined: Declined) -> None:
    """Endings are values: nobody rewrites what the gateway said."""
    paid.imp_uid = "imps_other"  # type: ignore[misc]
    declined.fail_reason = "another"  # type: ignore[misc]
