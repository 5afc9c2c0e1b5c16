"""Invariants that walk through history: what is owed, paid, given back and agreed to must agree.

Each takes a lot of ids at a time; what it joins is found by primary keys and unique constraints.
"""

from typing import Final

from shared.billing.attempt import UNSETTLED, AttemptStatus
from shared.billing.refund import REFUND_UNSETTLED
from shared.db.columns import one_of
from shared.db.invariant import Invariant, Severity
from shared.db.invariants_of_work import ENDING

# An attempt that waits has certainly moved no money: its invoice must be due for it to go out.
_OWNED: Final = UNSETTLED - {AttemptStatus.WAITING}
_WITHIN: Final = "{0}.id > :low AND {0}.id <= :high"
_LINES: Final = "jsonb_array_elements({0}.lines) AS line"
# What the agreement itself asks for, without anything that differs from it.
_RECURRING: Final = f"""
    (SELECT coalesce(sum(CAST(line ->> 'amount' AS bigint)), 0) FROM {_LINES}
     WHERE line ->> 'kind' = 'recurring')
"""  # noqa: S608 - made of constants only
# Of what was billed earlier than this nobody is asked for a consent any more.
_LATELY: Final = "interval '40 days'"
# Clocks of two machines may differ by this.
_CLOCKS: Final = "interval '1 minute'"
_BEING_GIVEN_BACK: Final = f"""
    EXISTS (SELECT FROM refunds r WHERE r.payment_id = {{0}}.id
            AND r.{one_of("status", REFUND_UNSETTLED)})
"""

_OWED: Final = (
    Invariant(
        "invoice_unattended",
        "An invoice is open, and nothing that can happen by itself will ever collect it.",
        "Have it charged with `dalmada invoice retry`, and report it: this is a fault of Dalmada.",
        f"""
        SELECT i.id AS position, 'invoice ' || i.id AS subject,
            coalesce(i.past_due_at, i.period_start_at) AS since
        FROM invoices i
        JOIN subscriptions s ON s.id = i.subscription_id
        JOIN billing_keys k ON k.id = s.billing_key_id
        WHERE {_WITHIN.format("i")} AND i.status = 'open' AND i.next_attempt_at IS NULL
          AND NOT i.collection_stopped AND k.status = 'active' AND NOT {ENDING}
          AND NOT (i.planned_attempt_at IS NOT NULL AND NOT s.dunning_enabled)
          AND NOT EXISTS (
              SELECT FROM payment_attempts a
              WHERE a.invoice_id = i.id AND a.{one_of("status", _OWNED)}
          )
        ORDER BY i.id LIMIT :limit
        """,  # noqa: S608 - made of constants only
        walks="invoices",
    ),
    Invariant(
        "invoice_lines_differ",
        "The lines of an invoice do not add up to its amount.",
        "Compare `dalmada invoice show` with what was charged, and refund the difference.",
        f"""
        SELECT i.id AS position, 'invoice ' || i.id AS subject, i.created_at AS since
        FROM invoices i, LATERAL (
            SELECT coalesce(sum(CAST(line ->> 'amount' AS bigint)), 0) AS amount,
                coalesce(sum(CAST(line ->> 'tax_free' AS bigint)), 0) AS tax_free
            FROM {_LINES.format("i")}
        ) AS told
        WHERE {_WITHIN.format("i")}
          AND (told.amount <> i.amount OR told.tax_free <> i.tax_free)
        ORDER BY i.id LIMIT :limit
        """,  # noqa: S608 - made of constants only
        severity=Severity.TICKET,
        walks="invoices",
    ),
    Invariant(
        "periods_overlap",
        "Two periods of one subscription are billed that have days in common.",
        "Refund the days that were billed twice, and report it: this is a fault of Dalmada.",
        f"""
        SELECT i.id AS position, 'invoice ' || i.id AS subject, i.period_start_at AS since
        FROM invoices i, LATERAL (
            SELECT o.period_end_at FROM invoices o
            WHERE o.subscription_id = i.subscription_id AND o.period_index < i.period_index
              AND o.status <> 'void'
            ORDER BY o.period_index DESC LIMIT 1
        ) AS earlier
        WHERE {_WITHIN.format("i")} AND i.status <> 'void'
          AND earlier.period_end_at > i.period_start_at
        ORDER BY i.id LIMIT :limit
        """,  # noqa: S608 - made of constants only
        walks="invoices",
    ),
    Invariant(
        "price_raised_without_consent",
        "A period is billed at a higher price than the one before, and no consent to it is kept.",
        "Stop it with `dalmada subscription cancel` or refund the difference; docs/consent.md.",
        f"""
        SELECT i.id AS position, 'invoice ' || i.id AS subject, i.period_start_at AS since
        FROM invoices i
        CROSS JOIN LATERAL (SELECT {_RECURRING.format("i")} AS amount) AS asked
        CROSS JOIN LATERAL (
            SELECT {_RECURRING.format("o")} AS amount FROM invoices o
            WHERE o.subscription_id = i.subscription_id AND o.period_index < i.period_index
            ORDER BY o.period_index DESC LIMIT 1
        ) AS earlier
        WHERE {_WITHIN.format("i")} AND i.status <> 'void' AND asked.amount > earlier.amount
          AND :consent_required AND i.created_at > :now - {_LATELY} AND NOT EXISTS (
              SELECT FROM consents c
              WHERE c.subscription_id = i.subscription_id AND c.amount_after >= asked.amount
                AND c.given_at <= i.period_start_at + {_CLOCKS}
          )
        ORDER BY i.id LIMIT :limit
        """,  # noqa: S608 - made of constants only
        walks="invoices",
    ),
    Invariant(
        "trial_charged_without_consent",
        "The first period after a free trial is billed, and no consent to it is kept.",
        "Stop it with `dalmada subscription cancel`, refund what was charged; docs/consent.md.",
        f"""
        SELECT i.id AS position, 'invoice ' || i.id AS subject, i.period_start_at AS since
        FROM invoices i JOIN subscriptions s ON s.id = i.subscription_id
        WHERE {_WITHIN.format("i")} AND i.status <> 'void' AND s.trial_end_at <= i.period_start_at
          AND :consent_required AND i.created_at > :now - {_LATELY}
          AND {_RECURRING.format("i")} > 0
          AND NOT EXISTS (
              SELECT FROM invoices o
              WHERE o.subscription_id = s.id AND o.period_index < i.period_index
          )
          AND NOT EXISTS (
              SELECT FROM consents c
              WHERE c.subscription_id = s.id AND c.given_at <= i.period_start_at + {_CLOCKS}
                -- What was agreed to at the beginning is no consent to the end of the trial; what
                -- was agreed to on coming back is to what comes then, and says from when on.
                AND (c.kind = 'trial_conversion'
                     OR c.kind = 'sign_up' AND c.effective_at IS NOT NULL)
          )
        ORDER BY i.id LIMIT :limit
        """,  # noqa: S608 - made of constants only
        walks="invoices",
    ),
)

_PAID: Final = (
    Invariant(
        "invoice_paid_without_payment",
        "An invoice counts as paid, and no payment of it is kept.",
        "Look its attempts up in PortOne's console: the buyer owes it, or the payment is not kept.",
        f"""
        SELECT i.id AS position, 'invoice ' || i.id AS subject, i.paid_at AS since
        FROM invoices i
        WHERE {_WITHIN.format("i")} AND i.status = 'paid' AND i.amount > 0 AND NOT EXISTS (
            SELECT FROM payment_attempts a JOIN payments p ON p.attempt_id = a.id
            WHERE a.invoice_id = i.id
        )
        ORDER BY i.id LIMIT :limit
        """,  # noqa: S608 - made of constants only
        walks="invoices",
    ),
    Invariant(
        "invoice_paid_twice",
        "An invoice was paid twice, and neither payment is given back.",
        "Refund the later payment whole: `dalmada payment refund --imp-uid … --all`.",
        f"""
        SELECT p.id AS position, 'payment ' || p.id AS subject, p.paid_at AS since
        FROM payments p JOIN payment_attempts a ON a.id = p.attempt_id
        WHERE {_WITHIN.format("p")} AND p.cancelled_amount < p.amount
          AND NOT {_BEING_GIVEN_BACK.format("p")} AND EXISTS (
              SELECT FROM payment_attempts b JOIN payments o ON o.attempt_id = b.id
              WHERE b.invoice_id = a.invoice_id AND o.id < p.id AND o.cancelled_amount < o.amount
                AND NOT {_BEING_GIVEN_BACK.format("o")}
          )
        ORDER BY p.id LIMIT :limit
        """,  # noqa: S608 - made of constants only
        walks="payments",
    ),
    Invariant(
        "payment_unexplained",
        "A payment is kept whose invoice is not paid, or whose window is not confirmed.",
        "See `dalmada payment show`; give it back, or have the gateway asked about it again.",
        f"""
        SELECT p.id AS position, 'payment ' || p.id AS subject, p.paid_at AS since
        FROM payments p
        LEFT JOIN payment_attempts a ON a.id = p.attempt_id
        LEFT JOIN invoices i ON i.id = a.invoice_id
        LEFT JOIN windows w ON w.id = p.window_id
        WHERE {_WITHIN.format("p")} AND p.cancelled_amount < p.amount
          AND NOT coalesce(i.status = 'paid', w.status = 'confirmed')
          AND NOT {_BEING_GIVEN_BACK.format("p")}
          -- Of one that came after its invoice had ended a letter tells, whatever was decided.
          AND NOT EXISTS (SELECT FROM dead_letters l WHERE l.attempt_id = p.attempt_id)
        ORDER BY p.id LIMIT :limit
        """,  # noqa: S608 - made of constants only
        walks="payments",
    ),
    Invariant(
        "payment_amount_differs",
        "A payment is of another amount than its invoice.",
        "Compare both with PortOne's console, and refund what was charged too much.",
        f"""
        SELECT p.id AS position, 'payment ' || p.id AS subject, p.paid_at AS since
        FROM payments p
        JOIN payment_attempts a ON a.id = p.attempt_id JOIN invoices i ON i.id = a.invoice_id
        WHERE {_WITHIN.format("p")} AND (p.amount <> i.amount OR p.tax_free <> i.tax_free)
        ORDER BY p.id LIMIT :limit
        """,  # noqa: S608 - made of constants only
        walks="payments",
    ),
    Invariant(
        "refunds_exceed_payment",
        "More was given back by refunds than the payment shows as given back.",
        "Compare `dalmada payment show` with the payment's history in PortOne's console.",
        f"""
        SELECT p.id AS position, 'payment ' || p.id AS subject, p.paid_at AS since
        FROM payments p, LATERAL (
            SELECT sum(r.amount) AS amount, sum(r.tax_free) AS tax_free
            FROM refunds r WHERE r.payment_id = p.id AND r.status = 'done'
        ) AS given
        WHERE {_WITHIN.format("p")}
          AND (given.amount > p.cancelled_amount OR given.tax_free > p.cancelled_tax_free)
        ORDER BY p.id LIMIT :limit
        """,  # noqa: S608 - made of constants only
        walks="payments",
    ),
)

MONEY: Final = (*_OWED, *_PAID)
