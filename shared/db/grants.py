"""What each of our processes may do in the database: one table, from which every grant comes.

Columns are named one by one wherever something is written. So the scheduler cannot open an invoice
that counts as paid, nobody rewrites a ``merchant_uid``, what is owed or what was written down of a
person's deed, and nobody but the owner truncates, drops or grants anything.
"""

from collections.abc import Mapping

from shared.db import grants_of_books as books
from shared.db.granting import EVERY, Grant, Role

__all__ = ["EVERY", "GRANTS", "HIDDEN", "UNGRANTED", "Grant", "Role"]

_TELL = "subscription_id name data"
_ASK_WINDOW = """
    id kind status merchant_uid billing_key_id amount tax_free order_name parameters expires_at
    next_step_at command_id
"""
_ASK_REFUND = "payment_id amount tax_free reason requester cause command_id next_send_at"
_ASK_END = """
    cancel_at cancel_reason cancel_requester cancel_refund cancel_late_payment dispatched_at
"""
_ASK_REMOVAL = "status delete_reason delete_requester delete_asked_at dispatched_at"
# What a renewal moves on: the period, and the agreement where a change of it comes into effect.
_RENEW = """
    amount tax_free quantity order_name interval_unit interval_count anchor_at anchor_index status
    next_period_index next_renewal_at noticed_index consented_amount pause_at resume_at pause_keeps
"""
_START = """
    id billing_key_id amount tax_free quantity order_name product buyer_ref interval_unit
    interval_count anchor_at anchor_index time_zone status trial_end_at consented_amount
    next_period_index next_renewal_at
"""
_CHANGE = """
    subscription_id effective_at amount tax_free quantity order_name interval_unit interval_count
    requester notice_at command_id
"""
_ADJUST = """
    subscription_id kind description amount tax_free percent amount_left tax_free_left periods_left
    command_id
"""
_CONSENT = """
    subscription_id kind amount_before amount_after effective_at given_at payment_method shown
    evidence command_id
"""
_LIVE = {
    "agreement_changes": Grant(select=EVERY, insert=_CHANGE, update="status message notice_at"),
    "adjustments": Grant(
        select=EVERY, insert=_ADJUST, update="amount_left tax_free_left periods_left"
    ),
    "consents": Grant(select=EVERY, insert=_CONSENT),
    "trials": Grant(select=EVERY, insert="buyer_ref product subscription_id"),
}
_KEY = "customer_uid status buyer_name buyer_email buyer_tel"
_FORECAST = {
    "forecasts": Grant(
        select=EVERY, insert="id day made_at events_until rules totals digest", delete=True
    ),
    "expected_charges": Grant(
        select=EVERY,
        insert="""
            forecast_id subscription_id period_index at amount tax_free why outlook note invoice_id
            details
        """,
    ),
}
# A reservation moves with every step of it, and with its period.
_RESERVATION = """
    status send_number claimed_at look_at dispatched_at looks no_records by_others message ended_at
    attempt_id
"""
_COLLECT = "collect_by reserving_at"
_OPEN = """
    subscription_id period_index period_start_at period_end_at amount tax_free order_name lines
    next_attempt_at
"""
_RESERVED_ATTEMPT = """
    invoice_id number send_number merchant_uid billing_key_id key_generation amount tax_free status
    claimed_at lease_until inquire_at unknown_since reserved_for
"""
# Whoever looks at the invariants keeps what it found.
_LOOK = "checked_at walked_to walked_at findings"
_HOLD = "id installation_id mark marked_at restored_at cause"
_HINT = """
    imp_uid merchant_uid said_status cancellation_id command_id known next_read_at created_at
"""
_DELIVERY = "endpoint_id event_id subscription_id next_try_at"
_BUYER = "buyer_name buyer_email buyer_tel"

# Sees what is due and notes that it was sent; opens invoices, and moves no money.
_SCHEDULER = {
    "billing_keys": Grant(
        select="id status generation delete_asked_at dispatched_at created_at",
        update="dispatched_at",
    ),
    "reservations": Grant(
        select=EVERY,
        insert="""
            subscription_id period_index period_start_at period_end_at merchant_uid billing_key_id
            amount tax_free order_name lines schedule_at look_at
        """,
        update=_RESERVATION,
    ),
    "subscriptions": Grant(
        select="""
            id billing_key_id amount tax_free quantity order_name product buyer_ref interval_unit
            interval_count anchor_at anchor_index time_zone status trial_end_at next_period_index
            next_renewal_at noticed_index consented_amount cancel_at canceled_at pause_at resume_at
            pause_keeps closed_at dispatched_at created_at collect_by reserving_at
        """,
        update=f"{_RENEW} {_ASK_END} reserving_at",
    ),
    "agreement_changes": Grant(
        select=EVERY, update="status notice_at noticed_at applied_index message"
    ),
    "adjustments": Grant(
        select=EVERY, insert=_ADJUST, update="amount_left tax_free_left periods_left"
    ),
    "consents": Grant(
        select="id subscription_id kind amount_before amount_after effective_at given_at"
    ),
    "invoices": Grant(
        select="""
            id subscription_id period_index period_start_at period_end_at counted_from amount
            tax_free status past_due_at lines next_attempt_at dispatched_at
        """,
        insert=_OPEN,
        # What is reserved is collected by PortOne: its invoice waits for no attempt of ours.
        update="""
            dispatched_at period_end_at counted_from next_attempt_at attempts collection_stopped
        """,
    ),
    "payment_attempts": Grant(
        select="id invoice_id status inquire_at dispatched_at",
        insert=_RESERVED_ATTEMPT,
        update="dispatched_at",
    ),
    "refunds": Grant(
        select="id payment_id status checksum next_send_at inquire_at dispatched_at",
        update="dispatched_at",
    ),
    "windows": Grant(
        select="id status expires_at next_step_at dispatched_at", update="dispatched_at"
    ),
    "hints": Grant(
        select="id known next_read_at dispatched_at finding created_at",
        update="dispatched_at",
        delete=True,
    ),
    "events": Grant(select="relayed_at", insert=_TELL),
    "endpoints": Grant(select="id status failing_since"),
    "deliveries": Grant(
        select="""
            id endpoint_id event_id subscription_id status next_try_at lease_until dispatched_at
        """,
        update="dispatched_at",
    ),
    "gateway_holds": Grant(select="held_until"),
    "installation": Grant(select=EVERY, insert=_HOLD, update="mark marked_at restored_at cause"),
}

# Works commands and hints, claims, and settles what the gateway says.
_WORKER = {
    "billing_keys": Grant(select=EVERY, insert=_KEY, update=f"{_ASK_REMOVAL} generation {_BUYER}"),
    "subscriptions": Grant(
        select=EVERY,
        insert=_START,
        update=f"{_ASK_END} {_RENEW} canceled_at closed_at dunning_enabled {_COLLECT}",
    ),
    **_LIVE,
    **_FORECAST,
    **books.COMPARES,
    "invariant_checks": Grant(select=EVERY, insert=f"name {_LOOK}", update=_LOOK),
    "reservations": Grant(select=EVERY, update=_RESERVATION),
    "invoices": Grant(
        select=EVERY,
        insert=_OPEN,
        update="""
            status attempts declines next_attempt_at dispatched_at paid_at collection_stopped
            message past_due_at retry_asked_at planned_attempt_at period_end_at counted_from
        """,
    ),
    "payment_attempts": Grant(
        select=EVERY,
        insert="""
            invoice_id number send_number merchant_uid billing_key_id key_generation amount tax_free
            status claimed_at lease_until inquire_at origin unknown_since reserved_for
        """,
        update="""
            send_number billing_key_id key_generation status claimed_at lease_until unknown_since
            inquire_at dispatched_at inquiries no_records held_by_gateway imp_uid receipt_url
            message settled_at
        """,
    ),
    "payments": Grant(
        select=EVERY,
        insert="imp_uid merchant_uid attempt_id window_id amount tax_free paid_at",
        update="cancelled_amount cancelled_tax_free",
    ),
    "refunds": Grant(
        select=EVERY,
        insert=_ASK_REFUND,
        update="""
            status checksum send_number next_send_at claimed_at lease_until unknown_since inquire_at
            dispatched_at inquiries refusal message cancellation_id settled_at
        """,
    ),
    "windows": Grant(
        select=EVERY,
        insert=_ASK_WINDOW,
        update="status next_step_at dispatched_at imp_uid paid_at message settled_at",
    ),
    "hints": Grant(
        select=EVERY,
        insert=_HINT,
        update="""
            merchant_uid command_id known next_read_at dispatched_at reads repeats finding read_at
        """,
    ),
    "commands": Grant(select=EVERY, insert="command_id task digest result", update="result"),
    "dead_letters": Grant(select=EVERY, insert="kind attempt_id refund_id cause payload"),
    "events": Grant(select=EVERY, insert=_TELL, update="relayed_at"),
    "endpoints": Grant(select=EVERY, update="status failing_since disabled_at disabled_reason"),
    "deliveries": Grant(
        select=EVERY,
        insert=_DELIVERY,
        update="""
            status tries failures next_try_at lease_until last_status last_error dispatched_at
            delivered_at
        """,
    ),
    "installation": Grant(select=EVERY, insert=_HOLD, update="restored_at cause recover_since"),
    "gateway_holds": Grant(
        select=EVERY,
        insert="id cause held_until raised_at",
        update="cause held_until raised_at",
    ),
}

# Shows everything to an operator, works their commands and decides dead letters.
_CONSOLE = {
    "billing_keys": Grant(select=EVERY, insert=_KEY, update=f"{_ASK_REMOVAL} {_BUYER}"),
    "subscriptions": Grant(
        select=EVERY,
        insert=_START,
        update=f"{_ASK_END} {_RENEW} canceled_at closed_at dunning_enabled {_COLLECT}",
    ),
    **_LIVE,
    "reservations": Grant(select=EVERY, update=_RESERVATION),
    **_FORECAST,
    **books.COMPARES,
    "invariant_checks": Grant(select=EVERY),
    "invoices": Grant(
        select=EVERY,
        update="""
            status next_attempt_at dispatched_at message retry_asked_at planned_attempt_at
            period_end_at counted_from
        """,
    ),
    "payment_attempts": Grant(
        select=EVERY,
        update="status unknown_since inquire_at dispatched_at inquiries no_records message",
    ),
    # Whoever asks for a refund locks the payment, which takes a column to update: one without use.
    "payments": Grant(select=EVERY, update="created_at"),
    "refunds": Grant(
        select=EVERY,
        insert=_ASK_REFUND,
        update="""
            status unknown_since inquire_at dispatched_at inquiries refusal message settled_at
        """,
    ),
    "windows": Grant(
        select=EVERY,
        insert=_ASK_WINDOW,
        update="status next_step_at dispatched_at message settled_at",
    ),
    "hints": Grant(
        select=EVERY,
        insert=_HINT,
        update="merchant_uid command_id known next_read_at dispatched_at reads repeats finding",
    ),
    "commands": Grant(select=EVERY, insert="command_id task digest result", update="result"),
    "dead_letters": Grant(
        select=EVERY, insert="kind cause payload", update="resolution resolved_at"
    ),
    "audit_log": Grant(select=EVERY, insert="actor action subject reason details"),
    "events": Grant(select=EVERY, insert=_TELL),
    "endpoints": Grant(
        select=EVERY,
        insert="url secrets event_names allow_private",
        update="secrets status failing_since disabled_at disabled_reason",
    ),
    "deliveries": Grant(
        select=EVERY,
        insert=_DELIVERY,
        update="status failures next_try_at lease_until dispatched_at delivered_at",
    ),
    "installation": Grant(select=EVERY),
    "gateway_holds": Grant(select=EVERY),
}

# What of a table is shown to nobody who only looks: billing keys, people, and what may speak of
# them, which is every text that a person or a merchant's command has written.
HIDDEN: Mapping[str, str] = {
    "billing_keys": "customer_uid buyer_name buyer_email buyer_tel delete_reason",
    "subscriptions": "cancel_reason buyer_ref",
    "adjustments": "description command_id",
    "consents": "payment_method shown evidence command_id",
    "trials": "buyer_ref",
    "payment_attempts": "receipt_url",
    "windows": "parameters",
    "refunds": "reason",
    "commands": "digest result",
    "dead_letters": "cause payload",
    "events": "data",
    "endpoints": "url secrets disabled_reason",
    "audit_log": "reason details",
}

# Looks at figures; a new column is hidden until it is named here.
_READONLY = {
    "billing_keys": Grant(
        select="""
            id status generation delete_requester delete_asked_at dispatched_at created_at
        """
    ),
    "subscriptions": Grant(
        select="""
            id billing_key_id amount tax_free quantity order_name product interval_unit
            interval_count anchor_at anchor_index time_zone status trial_end_at next_period_index
            next_renewal_at noticed_index consented_amount dunning_enabled collect_by reserving_at
            pause_at resume_at pause_keeps cancel_at canceled_at closed_at cancel_requester
            cancel_refund cancel_late_payment dispatched_at created_at
        """
    ),
    "agreement_changes": Grant(select=EVERY),
    "adjustments": Grant(
        select="""
            id subscription_id kind amount tax_free percent amount_left tax_free_left periods_left
            created_at
        """
    ),
    "consents": Grant(
        select="""
            id subscription_id kind amount_before amount_after effective_at given_at created_at
        """
    ),
    "trials": Grant(select="product subscription_id created_at"),
    "invoices": Grant(select=EVERY),
    "payment_attempts": Grant(
        select="""
            id invoice_id number send_number merchant_uid billing_key_id key_generation amount
            tax_free status claimed_at lease_until unknown_since inquire_at dispatched_at inquiries
            no_records held_by_gateway origin reserved_for imp_uid message settled_at created_at
        """
    ),
    "reservations": Grant(select=EVERY),
    "payments": Grant(select=EVERY),
    "refunds": Grant(
        select="""
            id payment_id amount tax_free requester cause command_id status checksum send_number
            next_send_at claimed_at lease_until unknown_since inquire_at dispatched_at inquiries
            refusal message cancellation_id settled_at created_at
        """
    ),
    "windows": Grant(
        select="""
            id kind status merchant_uid billing_key_id amount tax_free order_name expires_at
            next_step_at dispatched_at imp_uid paid_at message command_id settled_at created_at
        """
    ),
    "hints": Grant(select=EVERY),
    "commands": Grant(select="command_id task created_at"),
    "dead_letters": Grant(select="id kind attempt_id refund_id resolution resolved_at created_at"),
    "events": Grant(select="id subscription_id name created_at relayed_at"),
    "endpoints": Grant(
        select="id event_names allow_private status failing_since disabled_at created_at"
    ),
    "deliveries": Grant(select=EVERY),
    "forecasts": Grant(select=EVERY),
    "expected_charges": Grant(select=EVERY),
    **books.LOOKS,
    "invariant_checks": Grant(select=EVERY),
    "audit_log": Grant(select="id actor action subject created_at"),
    "installation": Grant(select=EVERY),
    "gateway_holds": Grant(select=EVERY),
}

GRANTS: Mapping[Role, Mapping[str, Grant]] = {
    Role.SCHEDULER: _SCHEDULER,
    Role.WORKER: _WORKER,
    Role.CONSOLE: _CONSOLE,
    Role.READONLY: _READONLY,
}
# Tables of which no role is granted anything, each with its reason.
UNGRANTED: Mapping[str, str] = {"alembic_version": "only who migrates reads and writes it"}
