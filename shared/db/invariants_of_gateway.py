"""Live invariants about what stands at the gateway beside us: reservations, and its book."""

from datetime import timedelta
from typing import Final

from shared.billing.reserving import LIVE, LOOKED_AT
from shared.db.columns import one_of
from shared.db.invariant import Invariant, Severity
from shared.db.invariants_of_work import NOT_RESTORED

_RESERVED: Final = (
    Invariant(
        "reservation_late",
        "Nobody takes the next step of a reservation at PortOne.",
        "See that beat and workers of `billing.inquiry` run and that the gateway answers.",
        f"""
        SELECT 'reservation ' || id AS subject, look_at AS since FROM reservations
        WHERE {one_of("status", LOOKED_AT)} AND look_at <= :before
        ORDER BY look_at LIMIT :limit
        """,  # noqa: S608 - made of constants only
        settle=timedelta(minutes=30),
    ),
    Invariant(
        "reservation_unbilled",
        "PortOne has executed a reservation, and no invoice of ours knows of it.",
        "Look the `merchant_uid` up in PortOne's console: bill the period, or give it back.",
        f"""
        SELECT 'reservation ' || id AS subject, schedule_at AS since FROM reservations
        WHERE {one_of("status", LIVE)} AND status = 'executed' AND schedule_at <= :before
        ORDER BY schedule_at LIMIT :limit
        """,  # noqa: S608 - made of constants only
        settle=timedelta(hours=2),
    ),
    Invariant(
        "period_held_back",
        "A period has begun and is not billed, because its reservation is still being revoked.",
        "See in PortOne's console what the reservation has come to, and why it cannot be revoked.",
        f"""
        SELECT 'subscription ' || s.id AS subject, s.next_renewal_at AS since
        FROM reservations r JOIN subscriptions s ON s.id = r.subscription_id
        WHERE r.{one_of("status", LOOKED_AT)} AND r.status = 'revoking'
          AND s.next_renewal_at <= :before
        ORDER BY s.next_renewal_at LIMIT :limit
        """,  # noqa: S608 - made of constants only
        settle=timedelta(hours=6),
    ),
)

_COMPARED: Final = (
    Invariant(
        "discrepancy_undecided",
        "PortOne's book and ours differ, and nobody has decided what to do.",
        "See `dalmada reconcile list`, and repair or dismiss it; docs/reconciliation.md.",
        """
        SELECT 'discrepancy ' || id AS subject, created_at AS since FROM discrepancies
        WHERE status = 'open' AND created_at <= :before ORDER BY id LIMIT :limit
        """,
        severity=Severity.TICKET,
        settle=timedelta(days=1),
    ),
    Invariant(
        "day_not_compared",
        "A day of PortOne's book was to be compared with ours, and was not.",
        "See the run's fault, and compare it by hand: `dalmada reconcile --from … --to …`.",
        f"""
        WITH daily AS (
            SELECT id, until, status, coalesce(finished_at, lease_until) AS seen_at,
                lag(until) OVER (ORDER BY until) AS before_it
            FROM reconciliation_runs WHERE cause = 'daily'
        ), missed AS (
            SELECT 'reconciliation ' || id AS subject, until AS since FROM daily
            WHERE status <> 'done'
            UNION ALL
            -- Between two days that were begun there are days without a row.
            SELECT 'day ' || to_char(
                ended AT TIME ZONE 'Asia/Seoul' - interval '24 hours', 'YYYY-MM-DD'
            ), ended
            FROM daily, LATERAL generate_series(
                before_it + interval '24 hours', until - interval '24 hours', interval '24 hours'
            ) AS ended
        ), found AS (
            SELECT subject, since FROM missed WHERE NOT EXISTS (
                SELECT FROM reconciliation_runs c
                WHERE c.status = 'done' AND c.until >= missed.since
                  AND c.since <= missed.since - interval '24 hours'
            )
            UNION ALL
            -- A day begins every day: none has for 36 hours, with those that it may take anyway.
            SELECT 'reconciliation ' || max(id), max(seen_at) + interval '12 hours' FROM daily
            HAVING {NOT_RESTORED}
        )
        SELECT subject, min(since) AS since FROM found
        -- What was let lie for two weeks is not asked about for ever.
        WHERE since <= :before AND since > :before - interval '14 days'
        GROUP BY subject ORDER BY since LIMIT :limit
        """,  # noqa: S608 - made of constants only
        severity=Severity.TICKET,
        settle=timedelta(days=1),
    ),
)

GATEWAY: Final = (*_RESERVED, *_COMPARED)
