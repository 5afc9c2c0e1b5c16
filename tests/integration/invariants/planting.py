"""One thing wrong for every invariant, planted in rows that are well.

Each plant breaks one promise and no other, in SQL of its own; its last statement says what the
finding must be about. ``:now``, ``:hours_ago``, ``:days_ago``, ``:long_ago`` and ``:soon`` are
instants of the world. Where a constraint forbids the fault it is taken away first: that somebody
has done so is what the invariant is for.
"""

from dataclasses import dataclass

# What statements name. Of two subscriptions with two invoices each, one has the second one declined
# and open; the other has paid twice, and of its latest payment nothing went back.
_NAMED = {
    "$OPEN": "(SELECT id FROM invoices WHERE status = 'open')",
    "$PAYMENT": """(
        SELECT p.id FROM payments p JOIN payment_attempts a ON a.id = p.attempt_id
        WHERE a.invoice_id = $PAID
    )""",
    "$PAYING": "(SELECT subscription_id FROM invoices WHERE id = $PAID)",
    "$PAID": "(SELECT max(id) FROM invoices WHERE status = 'paid')",
}


@dataclass(frozen=True, slots=True)
class Plant:
    """What makes one invariant find something."""

    name: str
    statements: tuple[str, ...]


def plant(name: str, *statements: str) -> Plant:
    """Return a plant of one statement or more."""
    return Plant(name, tuple(map(_spelt_out, statements)))


def _spelt_out(statement: str, **values: str) -> str:
    """Return a statement with whatever it names put in its place."""
    for name, value in {**{f"${key}": value for key, value in values.items()}, **_NAMED}.items():
        statement = statement.replace(name, value)
    return statement


def attempt(
    invoice: str,
    status: str,
    *,
    claimed_at: str = ":now",
    inquire_at: str = "NULL",
    number: int = 90,
    settled_at: str = "NULL",
) -> str:
    """Return a statement that adds an attempt at an invoice, as if it had been claimed."""
    return _spelt_out(
        """
        INSERT INTO payment_attempts (
            invoice_id, number, send_number, merchant_uid, billing_key_id, amount, tax_free, status,
            claimed_at, lease_until, inquire_at, settled_at
        )
        SELECT i.id, $number, 1, 'planted$number', s.billing_key_id, i.amount, i.tax_free,
            '$status', $claimed_at, $claimed_at, $inquire_at, $settled_at
        FROM invoices i JOIN subscriptions s ON s.id = i.subscription_id WHERE i.id = $invoice
        RETURNING 'attempt ' || id
        """,
        invoice=invoice,
        status=status,
        claimed_at=claimed_at,
        inquire_at=inquire_at,
        number=str(number),
        settled_at=settled_at,
    )


def refund(status: str, **columns: str) -> str:
    """Return a statement that adds a refund of a payment of which nothing went back."""
    return _spelt_out(
        """
        INSERT INTO refunds (
            payment_id, amount, tax_free, reason, requester, cause, status, $columns
        )
        SELECT $PAYMENT, 1000, 0, '고객 변심', 'customer', 'command', '$status', $values
        RETURNING 'refund ' || id
        """,
        status=status,
        columns=", ".join(columns),
        values=", ".join(columns.values()),
    )


def in_doubt(status: str, *, claimed_at: str, inquire_at: str) -> str:
    """Return a statement that adds a refund of which nobody knows whether it was done."""
    return refund(
        status,
        checksum="9900",
        claimed_at=claimed_at,
        lease_until=claimed_at,
        inquire_at=inquire_at,
    )


def reservation(status: str, *, schedule_at: str = ":soon", look_at: str = "NULL") -> str:
    """Return a statement that adds a reservation of the paying subscription's next period."""
    return _spelt_out(
        """
        INSERT INTO reservations (
            subscription_id, period_index, period_start_at, period_end_at, merchant_uid,
            billing_key_id, amount, tax_free, order_name, lines, schedule_at, status, look_at
        )
        SELECT id, next_period_index, CAST(:long_ago AS timestamptz),
            next_renewal_at + interval '1 month', 'planted', billing_key_id, amount, tax_free,
            order_name, '[]', $schedule_at, '$status', $look_at
        FROM subscriptions WHERE id = $PAYING RETURNING 'reservation ' || id
        """,
        status=status,
        schedule_at=schedule_at,
        look_at=look_at,
    )


# A day of the gateway's book that was to be compared with ours.
_COMPARED = """
    INSERT INTO reconciliation_runs (
        cause, since, until, status, lease_until, finished_at, report
    )
    VALUES ('daily', :long_ago, :days_ago, '$status', :hours_ago, :hours_ago, $report)
    RETURNING 'reconciliation ' || id
"""
# As a claim leaves the invoice: nothing is planned while an attempt is under way.
_CLAIMED = "UPDATE invoices SET next_attempt_at = NULL WHERE id = $OPEN"
_EVENT = """
    INSERT INTO events (name, data, created_at, relayed_at)
    VALUES ('planted', '{}', $at, $relayed_at) RETURNING 'event ' || id
"""

_WORK = (
    plant(
        "renewal_late",
        """
        UPDATE subscriptions SET next_renewal_at = :hours_ago WHERE id = $PAYING
        RETURNING 'subscription ' || id
        """,
    ),
    plant(
        "invoice_late",
        """
        UPDATE invoices SET next_attempt_at = :hours_ago WHERE id = $OPEN
        RETURNING 'invoice ' || id
        """,
    ),
    plant(
        "inquiry_late",
        _CLAIMED,
        attempt("$OPEN", "unknown", claimed_at=":hours_ago", inquire_at=":hours_ago"),
    ),
    plant(
        "attempt_past_deadline",
        _CLAIMED,
        attempt("$OPEN", "unknown", claimed_at=":days_ago", inquire_at=":soon"),
    ),
    plant(
        "attempts_unsettled_twice",
        "DROP INDEX payment_attempts_one_unsettled_idx",
        _CLAIMED,
        attempt("$OPEN", "claimed", inquire_at=":soon"),
        attempt("$OPEN", "claimed", inquire_at=":soon", number=91),
        "SELECT 'invoice ' || id FROM invoices WHERE id = $OPEN",
    ),
    plant("attempt_left_waiting", attempt("$PAID", "waiting")),
    plant("attempt_parked_unseen", _CLAIMED, attempt("$OPEN", "parked")),
    plant("refund_late", refund("waiting", next_send_at=":hours_ago")),
    plant(
        "refund_inquiry_late",
        in_doubt("unknown", claimed_at=":hours_ago", inquire_at=":hours_ago"),
    ),
    plant(
        "refund_past_deadline",
        in_doubt("claimed", claimed_at=":days_ago", inquire_at=":soon"),
    ),
    plant("refund_parked_unseen", refund("parked", checksum="9900", claimed_at=":days_ago")),
    plant(
        "end_late",
        """
        UPDATE subscriptions
        SET cancel_at = :hours_ago, cancel_reason = '요청', cancel_requester = 'customer',
            cancel_refund = 'none', cancel_late_payment = 'none'
        WHERE id = $PAYING RETURNING 'subscription ' || id
        """,
    ),
    plant(
        "end_unclosed",
        "UPDATE payments SET created_at = :long_ago",
        """
        UPDATE subscriptions
        SET status = 'canceled', canceled_at = :long_ago, next_renewal_at = NULL
        WHERE id = $PAYING RETURNING 'subscription ' || id
        """,
    ),
    plant(
        "pause_late",
        """
        UPDATE subscriptions SET pause_at = :hours_ago, pause_keeps = 'calendar'
        WHERE id = $PAYING RETURNING 'subscription ' || id
        """,
    ),
    plant(
        "change_late",
        """
        INSERT INTO agreement_changes (
            subscription_id, effective_at, order_name, requester, command_id, created_at
        )
        SELECT subscription_id, period_start_at, '다른 요금제', 'admin', 'planted', :long_ago
        FROM invoices WHERE id = $PAID RETURNING 'change ' || id
        """,
    ),
    plant(
        "hint_late",
        """
        INSERT INTO hints (imp_uid, said_status, known, next_read_at)
        VALUES ('imp_planted', 'paid', true, :hours_ago) RETURNING 'hint ' || id
        """,
    ),
    plant(
        "window_late",
        """
        INSERT INTO windows (
            id, kind, status, merchant_uid, amount, tax_free, order_name, parameters, expires_at,
            next_step_at, command_id
        )
        VALUES (
            '8a1d6c1e-5c38-4d6f-9df2-52f0e7c4a0b1', 'payment', 'ready', 'planted', 1000, 0, '한 번',
            '{}', :hours_ago, :hours_ago, 'planted'
        )
        RETURNING 'window ' || id
        """,
    ),
    plant(
        "key_left_deleting",
        """
        INSERT INTO billing_keys (
            customer_uid, status, delete_reason, delete_requester, delete_asked_at
        )
        VALUES ('planted', 'deleting', '해지', 'customer', :hours_ago)
        RETURNING 'billing key ' || id
        """,
    ),
    plant("event_late", _spelt_out(_EVENT, at=":hours_ago", relayed_at="NULL")),
    plant(
        "delivery_late",
        _spelt_out(_EVENT, at=":hours_ago", relayed_at=":hours_ago"),
        "INSERT INTO endpoints (url, secrets) VALUES ('https://merchant.example.com/', '{a}')",
        """
        INSERT INTO deliveries (endpoint_id, event_id, next_try_at)
        SELECT e.id, v.id, :hours_ago FROM endpoints e, events v WHERE v.name = 'planted'
        RETURNING 'delivery ' || id
        """,
    ),
)

_GATEWAY = (
    plant("reservation_late", reservation("reserved", look_at=":hours_ago")),
    plant(
        "reservation_unbilled", reservation("executed", schedule_at=":hours_ago", look_at=":soon")
    ),
    plant(
        "period_held_back",
        "UPDATE subscriptions SET next_renewal_at = :days_ago WHERE id = $PAYING",
        reservation("revoking", look_at=":soon"),
        "SELECT 'subscription ' || id FROM subscriptions WHERE id = $PAYING",
    ),
    plant(
        "discrepancy_undecided",
        _spelt_out(_COMPARED, status="done", report="'{}'"),
        """
        INSERT INTO discrepancies (
            imp_uid, difference, status, repair, owner, amount, theirs, found_by, seen_by, seen_at,
            created_at
        )
        SELECT 'imp_planted', 'theirs_only', 'open', 'adopt', 'finance', 1000, '{}', id, id,
            :days_ago, :days_ago
        FROM reconciliation_runs RETURNING 'discrepancy ' || id
        """,
    ),
    plant("day_not_compared", _spelt_out(_COMPARED, status="failed", report="NULL")),
)

_MONEY = (
    plant("invoice_unattended", f"{_CLAIMED} RETURNING 'invoice ' || id"),
    plant(
        "invoice_lines_differ",
        "UPDATE invoices SET lines = '[]' WHERE id = $PAID RETURNING 'invoice ' || id",
    ),
    plant(
        "periods_overlap",
        """
        UPDATE invoices SET period_start_at = period_start_at - interval '1 day' WHERE id = $PAID
        RETURNING 'invoice ' || id
        """,
    ),
    plant(
        "price_raised_without_consent",
        """
        UPDATE invoices
        SET amount = 19900, lines = jsonb_set(lines, CAST('{0,amount}' AS text[]), '19900')
        WHERE id = $OPEN RETURNING 'invoice ' || id
        """,
    ),
    plant(
        "trial_charged_without_consent",
        "UPDATE subscriptions SET trial_end_at = anchor_at WHERE id = $PAYING",
        """
        SELECT 'invoice ' || min(id) FROM invoices WHERE subscription_id = $PAYING
        """,
    ),
    plant(
        "invoice_paid_without_payment",
        "DELETE FROM payments WHERE id = $PAYMENT",
        "SELECT 'invoice ' || $PAID",
    ),
    plant(
        "invoice_paid_twice",
        attempt("$PAID", "declined", settled_at=":now"),
        """
        INSERT INTO payments (imp_uid, merchant_uid, attempt_id, amount, tax_free, paid_at)
        SELECT 'imp_again', merchant_uid, id, amount, tax_free, :now FROM payment_attempts
        WHERE merchant_uid = 'planted90' RETURNING 'payment ' || id
        """,
    ),
    plant(
        "payment_unexplained",
        """
        UPDATE invoices i SET status = 'void', paid_at = NULL
        FROM payment_attempts a JOIN payments p ON p.attempt_id = a.id
        WHERE a.invoice_id = i.id AND i.id = $PAID RETURNING 'payment ' || p.id
        """,
    ),
    plant(
        "payment_amount_differs",
        "UPDATE payments SET amount = amount + 100 WHERE id = $PAYMENT RETURNING 'payment ' || id",
    ),
    plant(
        "refunds_exceed_payment",
        """
        UPDATE payments SET cancelled_amount = 500 WHERE cancelled_amount > 0
        RETURNING 'payment ' || id
        """,
    ),
)

PLANTS = (*_WORK, *_GATEWAY, *_MONEY)
