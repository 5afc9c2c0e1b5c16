"""When each scan has something to find: what lets a calm year be jumped over instead of ticked.

This is a shortcut of the simulation's, not a truth: whatever it overlooks is found by the full
ticks that come now and then, or is missed at the end.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from scheduler.timetable import SCANS
from shared.billing.lifecycle import BILLABLE
from shared.db.columns import one_of
from shared.jobs.contracts import Job
from tests.simulation.installation import Installation

# An end that awaits something looks again and again; here it is looked at every so often.
_AWAITED_S: Final = 3600
_REMOVED_S: Final = 900
# A period that was not reserved is thought of again after so long.
_REPLANNED_S: Final = 600
_SCANS: Final[Mapping[str, type[Job]]] = {scan.__name__: scan for scan in SCANS}
_NEVER: Final = datetime.max.replace(tzinfo=UTC)
_AGAIN = "dispatched_at + %(again)s * interval '1 second'"
_BILLABLE = one_of("s.status", BILLABLE)
_LEAD = "CASE s.status WHEN 'trialing' THEN %(trial)s ELSE %(renewal)s END"
DUE: Final = f"""
    WITH held AS (SELECT max(held_until) AS until FROM gateway_holds)
    SELECT 'RenewSubscriptions' AS scan, min(next_renewal_at) AS at FROM subscriptions
    WHERE next_renewal_at IS NOT NULL AND (cancel_at IS NULL OR next_renewal_at < cancel_at)
      AND (status <> 'paused' OR resume_at IS NULL OR next_renewal_at < resume_at)
      AND NOT EXISTS (SELECT FROM reservations r
        WHERE r.subscription_id = subscriptions.id AND r.status = 'revoking')
    UNION ALL
    SELECT 'DispatchReservations', min(greatest(look_at, {_AGAIN}))
    FROM reservations WHERE look_at IS NOT NULL
    UNION ALL
    SELECT 'DispatchReservations', min(greatest(
        s.next_renewal_at - %(ahead)s * interval '1 second',
        s.reserving_at + {_REPLANNED_S} * interval '1 second'))
    FROM subscriptions s JOIN billing_keys k ON k.id = s.billing_key_id
    WHERE s.collect_by = 'reservation' AND s.status = 'active' AND k.status = 'active'
      AND s.next_renewal_at > %(now)s + %(lead)s * interval '1 second'
      AND (s.cancel_at IS NULL OR s.cancel_at > s.next_renewal_at)
      AND (s.pause_at IS NULL OR s.pause_at > s.next_renewal_at)
      AND NOT EXISTS (SELECT FROM reservations r WHERE r.subscription_id = s.id AND (
        r.ended_at IS NULL
        OR r.period_index = s.next_period_index AND (r.by_others OR r.status = 'refused')))
    UNION ALL
    SELECT 'DispatchInvoices', min(greatest(i.next_attempt_at, i.{_AGAIN}, held.until))
    FROM invoices i JOIN subscriptions s ON s.id = i.subscription_id, held
    WHERE i.status = 'open' AND i.next_attempt_at IS NOT NULL
      AND (s.cancel_at IS NULL OR s.cancel_at > %(now)s OR s.closed_at IS NOT NULL)
    UNION ALL
    SELECT 'DispatchInquiries', min(greatest(inquire_at, {_AGAIN}))
    FROM payment_attempts WHERE status IN ('claimed', 'unknown')
    UNION ALL
    SELECT 'DispatchRefunds', min(greatest(coalesce(inquire_at, next_send_at), {_AGAIN},
        CASE WHEN next_send_at IS NOT NULL THEN held.until END))
    FROM refunds r, held WHERE status IN ('waiting', 'claimed', 'unknown') AND NOT EXISTS (
        -- One that a person must look at keeps those behind it back.
        SELECT FROM refunds o WHERE o.payment_id = r.payment_id AND o.status = 'parked')
    UNION ALL
    SELECT 'DispatchRelay', CASE WHEN EXISTS (
        SELECT FROM events WHERE relayed_at IS NULL) THEN to_timestamp(0) END
    UNION ALL
    SELECT 'DispatchDeliveries', min(greatest(d.next_try_at, d.lease_until, d.{_AGAIN}))
    FROM deliveries d JOIN endpoints e ON e.id = d.endpoint_id
    WHERE d.status = 'waiting' AND e.status = 'enabled' AND NOT EXISTS (
        SELECT FROM deliveries o WHERE o.status = 'waiting' AND o.endpoint_id = d.endpoint_id
          AND o.subscription_id = d.subscription_id AND o.event_id < d.event_id)
    UNION ALL
    SELECT 'DispatchEndings', min(CASE
        WHEN status = 'canceled'
        THEN coalesce(dispatched_at + {_AWAITED_S} * interval '1 second', to_timestamp(0))
        ELSE greatest(cancel_at, {_AGAIN}) END)
    FROM subscriptions WHERE closed_at IS NULL AND (status = 'canceled' OR cancel_at IS NOT NULL)
    UNION ALL
    SELECT 'DispatchHints', min(greatest(next_read_at, {_AGAIN}))
    FROM hints WHERE next_read_at IS NOT NULL
    UNION ALL
    SELECT 'AdvanceWindows', min(greatest(next_step_at, {_AGAIN}))
    FROM windows WHERE next_step_at IS NOT NULL
    UNION ALL
    SELECT 'DispatchRemovals', min(
        coalesce(dispatched_at + {_REMOVED_S} * interval '1 second', to_timestamp(0)))
    FROM billing_keys WHERE status = 'deleting'
    UNION ALL
    SELECT 'GiveNotices', min(s.next_renewal_at - {_LEAD} * interval '1 second')
    FROM subscriptions s
    WHERE {_BILLABLE} AND s.next_renewal_at > %(now)s AND s.noticed_index < s.next_period_index
      AND (s.cancel_at IS NULL OR s.cancel_at > s.next_renewal_at)
      AND (s.pause_at IS NULL OR s.pause_at > s.next_renewal_at) AND {_LEAD} > 0
    UNION ALL
    SELECT 'GiveNotices', min(c.notice_at)
    FROM agreement_changes c JOIN subscriptions s ON s.id = c.subscription_id
    WHERE c.status = 'pending' AND c.noticed_at IS NULL AND c.notice_at IS NOT NULL AND {_BILLABLE}
      AND (s.cancel_at IS NULL OR s.cancel_at > c.effective_at)
      AND (s.pause_at IS NULL OR s.pause_at > c.effective_at)
    UNION ALL
    SELECT 'ResumeSubscriptions', min(pause_at) FROM subscriptions
    WHERE status IN ('active', 'past_due') AND next_renewal_at >= pause_at
      AND (cancel_at IS NULL OR cancel_at > pause_at)
    UNION ALL
    SELECT 'ResumeSubscriptions', min(resume_at) FROM subscriptions
    WHERE status = 'paused' AND (cancel_at IS NULL OR cancel_at > resume_at)
"""  # noqa: S608 - constants only


class Outlook:
    """Looks into the rows over the host's reader: nobody's turn is spent on it."""

    def __init__(self, installation: Installation) -> None:
        """Take the installation whose rows are looked at."""
        self._installation = installation

    def due(self) -> dict[type[Job], datetime]:
        """Return, for every scan that rows wait for, the instant from which it finds something."""
        settings = self._installation.settings
        found = self._installation.host.reader.execute(
            DUE,
            {
                "now": self._installation.now,
                "again": settings.redispatch_after_s,
                "renewal": settings.notice_leads.renewal.total_seconds(),
                "trial": settings.notice_leads.trial.total_seconds(),
                "ahead": settings.reserve_policy.ahead.total_seconds(),
                "lead": settings.reserve_policy.lead_min.total_seconds(),
            },
        )
        due: dict[type[Job], datetime] = {}
        for name, at in found:
            if at is not None:
                scan = _SCANS[name]
                due[scan] = min(at.astimezone(UTC), due.get(scan, _NEVER))
        return due
