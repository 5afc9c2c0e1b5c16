"""Live invariants: work that nobody does, and what is in doubt for too long.

Each looks at what a partial index holds (what is due, unsettled, not relayed), never at a whole
table. A time that is past by more than ``settle`` has been overlooked by the scan that owns it.
"""

from datetime import timedelta
from typing import Final

from shared.billing.attempt import INQUIRABLE, UNSETTLED
from shared.billing.lifecycle import BILLABLE, LIVING, Happening, sources
from shared.billing.refund import REFUND_INQUIRABLE, REFUND_UNSETTLED
from shared.db.changes import BEGUN
from shared.db.columns import one_of
from shared.db.invariant import Invariant, Severity
from shared.db.refunds import BEHIND_ANOTHER
from shared.db.renewals import DUE

# Scans look every few seconds.
_SOON: Final = timedelta(minutes=10)
# A burst of renewals is collected within minutes, and may wait for the gateway meanwhile.
_LATER: Final = timedelta(minutes=30)
# What the last question before a deadline, and a slow gateway, may take beyond it.
_BEYOND: Final = timedelta(hours=2)

# Nothing is late that a database which was set back has kept back until a moment ago.
NOT_RESTORED: Final = """
    NOT EXISTS (
        SELECT FROM installation
        WHERE restored_at IS NOT NULL OR coalesce(recovered_at > :before, false)
    )
"""
# Nor what the gateway's hold has.
_NOT_HELD: Final = f"""
    NOT EXISTS (SELECT FROM gateway_holds WHERE held_until > :before) AND {NOT_RESTORED}
"""
# The end of a subscription has come, or has been, and what it leaves is still wound up.
ENDING: Final = """
    (s.closed_at IS NULL AND (s.status = 'canceled' OR coalesce(s.cancel_at <= :now, false)))
"""

_COLLECTING: Final = (
    Invariant(
        "renewal_late",
        "A period has begun and no invoice is opened for it.",
        "See that beat and the scan worker run; then look for `renewal_impossible` in the log.",
        f"""
        SELECT 'subscription ' || id AS subject, next_renewal_at AS since
        FROM subscriptions WHERE {DUE.replace(":now", ":before")} AND {NOT_RESTORED}
        ORDER BY next_renewal_at LIMIT :limit
        """,  # noqa: S608 - made of constants only
        settle=_SOON,
    ),
    Invariant(
        "invoice_late",
        "An invoice is due and nobody collects it.",
        "See that charge workers run and what waits in `billing.charge`: `dalmada status`.",
        f"""
        SELECT 'invoice ' || i.id AS subject, i.next_attempt_at AS since
        FROM invoices i JOIN subscriptions s ON s.id = i.subscription_id
        WHERE i.status = 'open' AND i.next_attempt_at <= :before AND NOT {ENDING} AND {_NOT_HELD}
        ORDER BY i.next_attempt_at LIMIT :limit
        """,  # noqa: S608 - made of constants only
        settle=_LATER,
    ),
    Invariant(
        "inquiry_late",
        "Nobody asks the gateway what became of an attempt.",
        "See that workers of `billing.inquiry` run and that the gateway answers.",
        f"""
        SELECT 'attempt ' || id AS subject, inquire_at AS since FROM payment_attempts
        WHERE {one_of("status", INQUIRABLE)} AND inquire_at <= :before
        ORDER BY inquire_at LIMIT :limit
        """,  # noqa: S608 - made of constants only
        settle=_SOON,
    ),
    Invariant(
        "attempt_past_deadline",
        "It is still unknown whether an attempt moved money, although its deadline is over.",
        "Look the `merchant_uid` up in PortOne's console, and see why no inquiry has ended it.",
        f"""
        SELECT 'attempt ' || id AS subject,
            coalesce(unknown_since, claimed_at) + CAST(:deadline AS interval) AS since
        FROM payment_attempts
        WHERE {one_of("status", INQUIRABLE)} AND lease_until <= :before
          AND coalesce(unknown_since, claimed_at) + CAST(:deadline AS interval) <= :before
        ORDER BY since LIMIT :limit
        """,  # noqa: S608 - made of constants only
        settle=_BEYOND,
    ),
    Invariant(
        "attempts_unsettled_twice",
        "Two attempts at one invoice are under way at once.",
        "Stop the charge workers: a constraint that forbids this is gone; see `dalmada doctor`.",
        f"""
        SELECT 'invoice ' || invoice_id AS subject, min(claimed_at) AS since
        FROM payment_attempts WHERE {one_of("status", UNSETTLED)}
        GROUP BY invoice_id HAVING count(*) > 1 ORDER BY since LIMIT :limit
        """,  # noqa: S608 - made of constants only
    ),
    Invariant(
        "attempt_left_waiting",
        "An attempt waits to be sent again, but its invoice has ended.",
        "See how the invoice ended: `dalmada invoice show`; nothing of it is sent any more.",
        f"""
        SELECT 'attempt ' || a.id AS subject, a.claimed_at AS since
        FROM payment_attempts a JOIN invoices i ON i.id = a.invoice_id
        WHERE a.{one_of("status", UNSETTLED)} AND a.status = 'waiting' AND i.status <> 'open'
        ORDER BY a.claimed_at LIMIT :limit
        """,  # noqa: S608 - made of constants only
        severity=Severity.TICKET,
    ),
    Invariant(
        "attempt_parked_unseen",
        "An attempt waits for a person, and no dead letter tells anybody so.",
        "Look the `merchant_uid` up in PortOne's console and decide as for a dead letter.",
        f"""
        SELECT 'attempt ' || a.id AS subject, a.claimed_at AS since FROM payment_attempts a
        WHERE a.{one_of("status", UNSETTLED)} AND a.status = 'parked' AND NOT EXISTS (
            SELECT FROM dead_letters l WHERE l.attempt_id = a.id AND l.resolved_at IS NULL
        )
        ORDER BY a.claimed_at LIMIT :limit
        """,  # noqa: S608 - made of constants only
    ),
)

_GIVING_BACK: Final = (
    Invariant(
        "refund_late",
        "A refund is due and nobody sends it.",
        "See that workers of `billing.refund` run; the refund's message says if a row is faulty.",
        f"""
        SELECT 'refund ' || r.id AS subject, r.next_send_at AS since FROM refunds r
        WHERE r.status = 'waiting' AND r.next_send_at <= :before AND {_NOT_HELD}
          AND NOT {BEHIND_ANOTHER}
        ORDER BY r.next_send_at LIMIT :limit
        """,  # noqa: S608 - made of constants only
        settle=_LATER,
    ),
    Invariant(
        "refund_inquiry_late",
        "Nobody reads the payment whose refund is in doubt.",
        "See that workers of `billing.inquiry` run and that the gateway answers.",
        f"""
        SELECT 'refund ' || id AS subject, inquire_at AS since FROM refunds
        WHERE {one_of("status", REFUND_INQUIRABLE)} AND inquire_at <= :before
        ORDER BY inquire_at LIMIT :limit
        """,  # noqa: S608 - made of constants only
        settle=_SOON,
    ),
    Invariant(
        "refund_past_deadline",
        "It is still unknown whether a refund gave money back, although its deadline is over.",
        "Read the payment in PortOne's console, and see why no inquiry has ended the refund.",
        f"""
        SELECT 'refund ' || id AS subject,
            coalesce(unknown_since, claimed_at) + CAST(:deadline AS interval) AS since
        FROM refunds
        WHERE {one_of("status", REFUND_INQUIRABLE)} AND lease_until <= :before
          AND coalesce(unknown_since, claimed_at) + CAST(:deadline AS interval) <= :before
        ORDER BY since LIMIT :limit
        """,  # noqa: S608 - made of constants only
        settle=_BEYOND,
    ),
    Invariant(
        "refund_parked_unseen",
        "A refund waits for a person, and no dead letter tells anybody so.",
        "Read the payment in PortOne's console and decide as for a dead letter.",
        f"""
        SELECT 'refund ' || r.id AS subject, r.claimed_at AS since FROM refunds r
        WHERE r.{one_of("status", REFUND_UNSETTLED)} AND r.checksum IS NOT NULL
          AND r.status = 'parked' AND NOT EXISTS (
            SELECT FROM dead_letters l WHERE l.refund_id = r.id AND l.resolved_at IS NULL
        )
        ORDER BY r.claimed_at LIMIT :limit
        """,  # noqa: S608 - made of constants only
    ),
)

_LIVING: Final = (
    Invariant(
        "end_late",
        "A subscription should have ended and has not.",
        "See that workers of `billing.command` run and that PortOne revokes its reservations.",
        f"""
        SELECT 'subscription ' || id AS subject, cancel_at AS since FROM subscriptions
        WHERE {one_of("status", LIVING)} AND closed_at IS NULL AND cancel_at <= :before
          AND {NOT_RESTORED}
        ORDER BY cancel_at LIMIT :limit
        """,  # noqa: S608 - made of constants only
        settle=_LATER,
    ),
    Invariant(
        "end_unclosed",
        "A subscription has ended, nothing of it is under way, and it is not closed all the same.",
        "Look for `refund_impossible` and `end_waits_for_revocation` in the log.",
        f"""
        SELECT 'subscription ' || s.id AS subject, ended.at AS since
        FROM subscriptions s, LATERAL (
            SELECT greatest(
                coalesce(s.canceled_at, s.cancel_at, s.created_at), max(p.created_at)
            ) AS at
            FROM invoices i JOIN payment_attempts a ON a.invoice_id = i.id
            JOIN payments p ON p.attempt_id = a.id
            WHERE i.subscription_id = s.id
        ) AS ended
        WHERE s.status = 'canceled' AND s.closed_at IS NULL AND ended.at <= :before
          AND NOT EXISTS (
              SELECT FROM invoices i JOIN payment_attempts a ON a.invoice_id = i.id
              WHERE i.subscription_id = s.id AND a.{one_of("status", UNSETTLED)}
          )
        ORDER BY since LIMIT :limit
        """,  # noqa: S608 - made of constants only
        severity=Severity.TICKET,
        settle=timedelta(days=2),
    ),
    Invariant(
        "pause_late",
        "A pause should have begun, or ended, and has not.",
        "See that beat and the scan worker run.",
        f"""
        SELECT 'subscription ' || id AS subject, since FROM (
            SELECT id, resume_at AS since FROM subscriptions
            WHERE status = 'paused' AND resume_at <= :before
              AND (cancel_at IS NULL OR cancel_at > resume_at)
            UNION ALL
            SELECT id, pause_at FROM subscriptions
            WHERE {one_of("status", sources(Happening.PAUSE))} AND pause_at <= :before
              AND next_renewal_at >= pause_at AND (cancel_at IS NULL OR cancel_at > pause_at)
        ) AS late
        ORDER BY since LIMIT :limit
        """,  # noqa: S608 - made of constants only
        settle=_LATER,
    ),
    Invariant(
        "change_late",
        "A period has begun without the change of terms that was to come with it.",
        "See that beat and the scan worker run; then look for `renewal_impossible` in the log.",
        f"""
        SELECT 'change ' || c.id AS subject, b.begun_at AS since
        FROM agreement_changes c
        JOIN subscriptions s ON s.id = c.subscription_id AND {one_of("s.status", BILLABLE)},
        LATERAL (SELECT {BEGUN} AS begun_at) AS b
        WHERE c.status = 'pending' AND c.effective_at <= :before AND b.begun_at <= :before
          AND {NOT_RESTORED}
        ORDER BY since LIMIT :limit
        """,  # noqa: S608 - made of constants only
        settle=_LATER,
    ),
)

_BESIDE: Final = (
    Invariant(
        "hint_late",
        "Somebody said something of a payment of ours, and nobody has looked.",
        "See that workers of `billing.webhook` run and that the gateway answers.",
        """
        SELECT 'hint ' || id AS subject, next_read_at AS since FROM hints
        WHERE next_read_at <= :before AND known ORDER BY next_read_at LIMIT :limit
        """,
        severity=Severity.TICKET,
        settle=_SOON,
    ),
    Invariant(
        "window_late",
        "Nobody takes the next step of a payment window.",
        "See that workers of `billing.command` run and that the gateway answers.",
        """
        SELECT 'window ' || id AS subject, next_step_at AS since FROM windows
        WHERE next_step_at <= :before ORDER BY next_step_at LIMIT :limit
        """,
        severity=Severity.TICKET,
        settle=_SOON,
    ),
    Invariant(
        "key_left_deleting",
        "A billing key is to be deleted and PortOne still holds it.",
        "Look for `billing_key_not_removed` in the log: it says what the gateway answers.",
        """
        SELECT 'billing key ' || id AS subject, coalesce(delete_asked_at, created_at) AS since
        FROM billing_keys
        WHERE status = 'deleting' AND coalesce(delete_asked_at, created_at) <= :before
        ORDER BY since LIMIT :limit
        """,
        severity=Severity.TICKET,
        settle=_BEYOND,
    ),
    Invariant(
        "event_late",
        "An event was written and not relayed.",
        "See that workers of `billing.event` run and that Redis takes the stream.",
        """
        SELECT 'event ' || id AS subject, created_at AS since FROM events
        WHERE relayed_at IS NULL AND created_at <= :before ORDER BY id LIMIT :limit
        """,
        settle=_SOON,
    ),
    Invariant(
        "delivery_late",
        "An event should have been posted to an endpoint, and nobody has tried.",
        "See that workers of `billing.event` run: `dalmada endpoint list` shows what waits.",
        """
        SELECT 'delivery ' || d.id AS subject, d.next_try_at AS since
        FROM endpoints e, LATERAL (
            SELECT id, next_try_at FROM deliveries
            WHERE endpoint_id = e.id AND status = 'waiting' AND next_try_at <= :before
            ORDER BY next_try_at LIMIT :limit
        ) AS d
        WHERE e.status = 'enabled' ORDER BY since LIMIT :limit
        """,
        severity=Severity.TICKET,
        settle=timedelta(hours=1),
    ),
)

WORK: Final = (*_COLLECTING, *_GIVING_BACK, *_LIVING, *_BESIDE)
