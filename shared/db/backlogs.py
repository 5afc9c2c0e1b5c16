"""What should have been done by now: how much of each kind waits, and since when."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.attempt import INQUIRABLE
from shared.billing.lifecycle import BILLABLE, LIVING, Happening, SubscriptionStatus, sources
from shared.billing.notice import NoticeLeads
from shared.billing.refund import REFUND_INQUIRABLE
from shared.billing.reserving import LOOKED_AT
from shared.db import changes, refunds, renewals
from shared.db.holds import HELD
from shared.db.tables import one_of


@dataclass(frozen=True, slots=True)
class Backlog:
    """How much waits, and since when the oldest of it does."""

    count: int
    oldest_at: datetime | None


async def renewals_due(connection: AsyncConnection, now: datetime) -> Backlog:
    """Return the subscriptions whose period has begun and whose invoice is not opened yet."""
    return await _backlog(connection, _RENEWALS_DUE, now=now)


async def inquiries_due(connection: AsyncConnection, now: datetime) -> Backlog:
    """Return the attempts about which the gateway should have been asked by now."""
    return await _backlog(connection, _INQUIRIES_DUE, now=now)


async def refunds_due(connection: AsyncConnection, now: datetime) -> Backlog:
    """Return the refunds that should have been sent by now.

    One that must let another of its payment end first is not due.
    """
    return await _backlog(connection, _REFUNDS_DUE, now=now)


async def refund_inquiries_due(connection: AsyncConnection, now: datetime) -> Backlog:
    """Return the refunds whose payment should have been read by now."""
    return await _backlog(connection, _REFUND_INQUIRIES_DUE, now=now)


async def hints_due(connection: AsyncConnection, now: datetime) -> Backlog:
    """Return what somebody said of payments and nobody has looked at."""
    return await _backlog(connection, _HINTS_DUE, now=now)


async def windows_due(connection: AsyncConnection, now: datetime) -> Backlog:
    """Return the payment windows whose next step has come."""
    return await _backlog(connection, _WINDOWS_DUE, now=now)


async def removals_due(connection: AsyncConnection) -> Backlog:
    """Return the billing keys that are to be taken away and are not yet."""
    return await _backlog(connection, _REMOVALS_DUE)


async def endings_due(connection: AsyncConnection, now: datetime) -> Backlog:
    """Return the subscriptions that should have ended by now."""
    return await _backlog(connection, _ENDINGS_DUE, now=now)


async def reservations_due(connection: AsyncConnection, now: datetime) -> Backlog:
    """Return the reservations that should have been requested, or looked at, by now."""
    return await _backlog(connection, _RESERVATIONS_DUE, now=now)


async def pauses_due(connection: AsyncConnection, now: datetime) -> Backlog:
    """Return the subscriptions whose pause should have begun, or ended, by now."""
    return await _backlog(connection, _PAUSES_DUE, now=now)


async def changes_due(connection: AsyncConnection, now: datetime) -> Backlog:
    """Return the changes of agreements that are pending though their period has begun."""
    return await _backlog(connection, _CHANGES_DUE, now=now)


async def notices_due(connection: AsyncConnection, now: datetime, leads: NoticeLeads) -> Backlog:
    """Return the renewals, ends of trials and changes that should have been told of by now."""
    return await _backlog(
        connection,
        _NOTICES_DUE,
        now=now,
        renewal=now + leads.renewal,
        trial=now + leads.trial,
    )


async def events_waiting(connection: AsyncConnection) -> Backlog:
    """Return the events that were not relayed."""
    return await _backlog(connection, _EVENTS_WAITING)


async def deliveries_due(connection: AsyncConnection, now: datetime) -> Backlog:
    """Return the deliveries of events to endpoints that should have been tried by now."""
    return await _backlog(connection, _DELIVERIES_DUE, now=now)


async def _backlog(connection: AsyncConnection, query: TextClause, **values: datetime) -> Backlog:
    row = (await connection.execute(query, values)).one()
    return Backlog(row.waiting, row.oldest_at)


def _waiting(table: str, since: str, condition: str) -> TextClause:
    """Return the query of those rows of a table for which a condition holds."""
    return text(
        f"SELECT count(*) AS waiting, min({since}) AS oldest_at FROM {table} WHERE {condition}"  # noqa: S608 - made of constants only
    )


_RENEWALS_DUE = _waiting("subscriptions", "next_renewal_at", renewals.DUE)
_INQUIRIES_DUE = _waiting(
    "payment_attempts",
    "inquire_at",
    f"{one_of('status', INQUIRABLE)} AND inquire_at <= :now",
)
_REFUNDS_DUE = _waiting(
    "refunds r",
    "next_send_at",
    f"status = 'waiting' AND next_send_at <= :now AND NOT {refunds.BEHIND_ANOTHER}",
)
_REFUND_INQUIRIES_DUE = _waiting(
    "refunds",
    "inquire_at",
    f"{one_of('status', REFUND_INQUIRABLE)} AND inquire_at <= :now",
)
_HINTS_DUE = _waiting("hints", "next_read_at", "next_read_at <= :now")
_WINDOWS_DUE = _waiting("windows", "next_step_at", "next_step_at <= :now")
_REMOVALS_DUE = _waiting(
    "billing_keys", "coalesce(delete_asked_at, created_at)", "status = 'deleting'"
)
_ENDINGS_DUE = _waiting(
    "subscriptions", "cancel_at", f"{one_of('status', LIVING)} AND cancel_at <= :now"
)
# What is only planned is kept back while nothing may be sent: that is no delay of ours.
_RESERVATIONS_DUE = _waiting(
    "reservations",
    "look_at",
    f"{one_of('status', LOOKED_AT)} AND look_at <= :now AND NOT (status = 'planned' AND {HELD})",
)
_PAUSES_DUE = _waiting(
    "subscriptions",
    "CASE WHEN status = 'paused' THEN resume_at ELSE pause_at END",
    f"""
    status = 'paused' AND resume_at <= :now
       AND (cancel_at IS NULL OR cancel_at > resume_at)
    OR {one_of("status", sources(Happening.PAUSE))} AND pause_at <= :now
       AND next_renewal_at >= pause_at AND (cancel_at IS NULL OR cancel_at > pause_at)
    """,
)
_CHANGES_DUE = text(
    f"""
    SELECT count(*) AS waiting, min(begun_at) AS oldest_at
    FROM agreement_changes c
    JOIN subscriptions s ON s.id = c.subscription_id AND {one_of("s.status", BILLABLE)},
    LATERAL (SELECT {changes.BEGUN} AS begun_at) AS b
    WHERE c.status = 'pending' AND begun_at <= :now
    """  # noqa: S608 - made of constants only
)
# What the scan that gives notices looks for (``notices.lock_unannounced``, ``lock_changes``). A
# period is not told of before the one before it was billed, or before the subscription was there.
_NOTICES_DUE = text(
    f"""
    SELECT count(*) AS waiting, min(due_at) AS oldest_at FROM (
        SELECT greatest(
            next_renewal_at + (:now - CASE WHEN status = 'trialing' THEN :trial ELSE :renewal END),
            coalesce(
                (SELECT max(i.created_at) FROM invoices i WHERE i.subscription_id = s.id),
                s.created_at
            )
        ) AS due_at
        FROM subscriptions s
        WHERE next_renewal_at > :now AND noticed_index < next_period_index
          AND (cancel_at IS NULL OR cancel_at > next_renewal_at)
          AND (pause_at IS NULL OR pause_at > next_renewal_at)
          AND ({one_of("status", BILLABLE - {SubscriptionStatus.TRIALING})}
               AND next_renewal_at <= :renewal
               OR status = 'trialing' AND next_renewal_at <= :trial)
        UNION ALL
        SELECT c.notice_at FROM agreement_changes c JOIN subscriptions s ON s.id = c.subscription_id
        WHERE c.status = 'pending' AND c.noticed_at IS NULL AND c.notice_at <= :now
          AND {one_of("s.status", BILLABLE)}
          AND (s.cancel_at IS NULL OR s.cancel_at > c.effective_at)
          AND (s.pause_at IS NULL OR s.pause_at > c.effective_at)
    ) AS due
    """  # noqa: S608 - made of constants only
)
_EVENTS_WAITING = _waiting("events", "created_at", "relayed_at IS NULL")
# To an endpoint that is disabled nothing is brought, which is told by itself.
_DELIVERIES_DUE = _waiting(
    "deliveries d JOIN endpoints e ON e.id = d.endpoint_id AND e.status = 'enabled'",
    "d.next_try_at",
    "d.status = 'waiting' AND d.next_try_at <= :now",
)
