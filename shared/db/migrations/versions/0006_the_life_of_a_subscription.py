"""the life of a subscription."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_CHECKS = {
    "quantity": "quantity BETWEEN 1 AND 10000",
    "names": "char_length(product) BETWEEN 1 AND 64 AND char_length(buyer_ref) BETWEEN 1 AND 64",
    "anchor_index": "anchor_index BETWEEN 0 AND next_period_index",
    "consented_amount": "consented_amount >= 0",
    "trial": "status <> 'trialing' OR trial_end_at IS NOT NULL",
    "pause": """CASE WHEN pause_at IS NULL THEN status <> 'paused'
        AND num_nonnulls(resume_at, pause_keeps) = 0
        ELSE pause_keeps IN ('calendar', 'time') AND (resume_at IS NULL OR resume_at > pause_at)
        END""",
}
# Every invoice explains itself; those from before had one line each.
_LINES = """
    UPDATE invoices SET lines = jsonb_build_array(jsonb_build_object(
        'kind', 'recurring', 'description', order_name, 'amount', amount, 'tax_free', tax_free,
        'quantity', 1, 'adjustment_id', NULL
    ))
"""
# The grace period counts from the first decline, also of what was declined before.
_PAST_DUE = """
    UPDATE invoices i SET past_due_at = (
        SELECT min(a.settled_at) FROM payment_attempts a
        WHERE a.invoice_id = i.id AND a.status IN ('declined', 'method_dead')
    )
    WHERE i.status = 'open' AND i.attempts > 0
"""
_NOBODY_PAUSED = """
    DO $$
    BEGIN
        IF EXISTS (SELECT FROM subscriptions WHERE status IN ('paused', 'trialing')) THEN
            RAISE EXCEPTION 'subscriptions are in a trial or a pause, which the older version does'
                ' not know: end or resume them first';
        END IF;
    END
    $$
"""


def _replace_check(name: str, condition: str) -> None:
    constraint = op.f(f"subscriptions_{name}_check")
    op.drop_constraint(constraint, "subscriptions", type_="check")
    op.create_check_constraint(constraint, "subscriptions", condition)


def upgrade() -> None:
    """Make the change."""
    op.create_table(
        "adjustments",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("subscription_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("tax_free", sa.BigInteger(), nullable=False),
        sa.Column("percent", sa.Integer(), nullable=True),
        sa.Column("amount_left", sa.BigInteger(), nullable=False),
        sa.Column("tax_free_left", sa.BigInteger(), nullable=False),
        sa.Column("periods_left", sa.Integer(), nullable=True),
        sa.Column("command_id", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "CASE WHEN kind = 'discount' THEN periods_left >= 0 AND (percent IS NULL) = (amount > 0) AND (percent IS NULL OR percent BETWEEN 1 AND 100) ELSE amount > 0 AND num_nonnulls(percent, periods_left) = 0 END",
            name=op.f("adjustments_what_check"),
        ),
        sa.CheckConstraint(
            "kind IN ('credit', 'discount', 'proration_charge', 'proration_credit', 'setup')",
            name=op.f("adjustments_kind_check"),
        ),
        sa.CheckConstraint(
            "amount >= 0 AND tax_free BETWEEN 0 AND amount", name=op.f("adjustments_money_check")
        ),
        sa.CheckConstraint(
            "amount_left BETWEEN 0 AND amount AND tax_free_left BETWEEN 0 AND amount_left",
            name=op.f("adjustments_left_check"),
        ),
        sa.CheckConstraint(
            "char_length(description) BETWEEN 1 AND 200", name=op.f("adjustments_description_check")
        ),
        sa.ForeignKeyConstraint(
            ["subscription_id"], ["subscriptions.id"], name=op.f("adjustments_subscription_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("adjustments_pkey")),
    )
    op.create_index(
        "adjustments_open_idx",
        "adjustments",
        ["subscription_id"],
        unique=False,
        postgresql_where=sa.text("amount_left > 0 OR periods_left > 0"),
    )
    op.create_table(
        "agreement_changes",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("subscription_id", sa.Uuid(), nullable=False),
        sa.Column("effective_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=True),
        sa.Column("tax_free", sa.BigInteger(), nullable=True),
        sa.Column("quantity", sa.Integer(), nullable=True),
        sa.Column("order_name", sa.Text(), nullable=True),
        sa.Column("interval_unit", sa.Text(), nullable=True),
        sa.Column("interval_count", sa.Integer(), nullable=True),
        sa.Column("requester", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="pending", nullable=False),
        sa.Column("notice_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("noticed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("applied_index", sa.Integer(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("command_id", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "(interval_unit IS NULL) = (interval_count IS NULL) AND interval_unit IN ('day', 'month', 'week', 'year') AND interval_count >= 1",
            name=op.f("agreement_changes_interval_check"),
        ),
        sa.CheckConstraint(
            "(status = 'applied') = (applied_index IS NOT NULL)",
            name=op.f("agreement_changes_applied_check"),
        ),
        sa.CheckConstraint(
            "requester IN ('admin', 'customer')", name=op.f("agreement_changes_requester_check")
        ),
        sa.CheckConstraint(
            "status IN ('applied', 'pending', 'refused', 'withdrawn')",
            name=op.f("agreement_changes_status_check"),
        ),
        sa.CheckConstraint(
            "(amount IS NULL) = (tax_free IS NULL)", name=op.f("agreement_changes_price_check")
        ),
        sa.CheckConstraint(
            "amount >= 0 AND tax_free BETWEEN 0 AND amount",
            name=op.f("agreement_changes_money_check"),
        ),
        sa.CheckConstraint(
            "char_length(order_name) BETWEEN 1 AND 40",
            name=op.f("agreement_changes_order_name_check"),
        ),
        sa.CheckConstraint(
            "quantity BETWEEN 1 AND 10000", name=op.f("agreement_changes_quantity_check")
        ),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["subscriptions.id"],
            name=op.f("agreement_changes_subscription_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("agreement_changes_pkey")),
        sa.UniqueConstraint(
            "command_id",
            "subscription_id",
            name=op.f("agreement_changes_command_id_subscription_id_key"),
        ),
    )
    op.create_index(
        "agreement_changes_notice_idx",
        "agreement_changes",
        ["notice_at"],
        unique=False,
        postgresql_where=sa.text("status = 'pending' AND noticed_at IS NULL"),
    )
    op.create_index(
        "agreement_changes_pending_idx",
        "agreement_changes",
        ["subscription_id", "effective_at"],
        unique=False,
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.create_table(
        "consents",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("subscription_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("amount_before", sa.BigInteger(), nullable=True),
        sa.Column("amount_after", sa.BigInteger(), nullable=False),
        sa.Column("effective_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("given_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("payment_method", sa.Text(), nullable=True),
        sa.Column("shown", sa.Text(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("command_id", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "kind IN ('plan_change', 'price_increase', 'sign_up', 'trial_conversion')",
            name=op.f("consents_kind_check"),
        ),
        sa.CheckConstraint(
            "amount_before >= 0 AND amount_after >= 0", name=op.f("consents_amounts_check")
        ),
        sa.CheckConstraint(
            "char_length(shown) BETWEEN 1 AND 200 AND char_length(evidence) BETWEEN 1 AND 2000"
            " AND char_length(payment_method) BETWEEN 1 AND 100",
            name=op.f("consents_evidence_check"),
        ),
        sa.ForeignKeyConstraint(
            ["subscription_id"], ["subscriptions.id"], name=op.f("consents_subscription_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("consents_pkey")),
    )
    op.create_index("consents_subscription_id_idx", "consents", ["subscription_id"], unique=False)
    op.create_table(
        "trials",
        sa.Column("buyer_ref", sa.Text(), nullable=False),
        sa.Column("product", sa.Text(), nullable=False),
        sa.Column("subscription_id", sa.Uuid(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["subscription_id"], ["subscriptions.id"], name=op.f("trials_subscription_id_fkey")
        ),
        sa.PrimaryKeyConstraint("buyer_ref", "product", name=op.f("trials_pkey")),
    )
    op.add_column(
        "invoices", sa.Column("lines", postgresql.JSONB(astext_type=sa.Text()), nullable=True)
    )
    op.execute(_LINES)
    op.alter_column("invoices", "lines", nullable=False)
    op.add_column("invoices", sa.Column("past_due_at", sa.DateTime(timezone=True), nullable=True))
    op.execute(_PAST_DUE)
    op.add_column(
        "invoices", sa.Column("retry_asked_at", sa.DateTime(timezone=True), nullable=True)
    )
    op.add_column(
        "invoices", sa.Column("planned_attempt_at", sa.DateTime(timezone=True), nullable=True)
    )
    op.add_column("invoices", sa.Column("counted_from", sa.DateTime(timezone=True), nullable=True))
    op.add_column(
        "payment_attempts",
        sa.Column("origin", sa.Text(), server_default="schedule", nullable=False),
    )
    op.add_column(
        "subscriptions",
        sa.Column("quantity", sa.Integer(), server_default=sa.text("1"), nullable=False),
    )
    op.add_column("subscriptions", sa.Column("product", sa.Text(), nullable=True))
    op.add_column("subscriptions", sa.Column("buyer_ref", sa.Text(), nullable=True))
    op.add_column(
        "subscriptions",
        sa.Column("anchor_index", sa.Integer(), server_default=sa.text("0"), nullable=False),
    )
    op.add_column(
        "subscriptions", sa.Column("trial_end_at", sa.DateTime(timezone=True), nullable=True)
    )
    op.add_column(
        "subscriptions",
        sa.Column("noticed_index", sa.Integer(), server_default=sa.text("-1"), nullable=False),
    )
    op.add_column("subscriptions", sa.Column("consented_amount", sa.BigInteger(), nullable=True))
    op.execute("UPDATE subscriptions SET consented_amount = amount")
    op.alter_column("subscriptions", "consented_amount", nullable=False)
    op.add_column(
        "subscriptions",
        sa.Column("dunning_enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
    )
    op.add_column("subscriptions", sa.Column("pause_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column(
        "subscriptions", sa.Column("resume_at", sa.DateTime(timezone=True), nullable=True)
    )
    op.add_column("subscriptions", sa.Column("pause_keeps", sa.Text(), nullable=True))
    op.create_index(
        "subscriptions_product_idx",
        "subscriptions",
        ["product"],
        unique=False,
        postgresql_where=sa.text("product IS NOT NULL"),
    )
    op.create_index(
        "subscriptions_resume_idx",
        "subscriptions",
        ["resume_at"],
        unique=False,
        postgresql_where=sa.text("status = 'paused' AND resume_at IS NOT NULL"),
    )
    op.create_index(
        "subscriptions_pause_idx",
        "subscriptions",
        ["pause_at"],
        unique=False,
        postgresql_where=sa.text("status IN ('active', 'past_due') AND pause_at IS NOT NULL"),
    )
    op.create_index(
        "subscriptions_unnoticed_idx",
        "subscriptions",
        ["next_renewal_at"],
        unique=False,
        postgresql_where=sa.text(
            "next_renewal_at IS NOT NULL AND noticed_index < next_period_index"
        ),
    )
    op.create_check_constraint(
        op.f("payment_attempts_origin_check"), "payment_attempts", "origin IN ('buyer', 'schedule')"
    )
    _replace_check("status", "status IN ('active', 'canceled', 'past_due', 'paused', 'trialing')")
    _replace_check(
        "next_renewal",
        "CASE WHEN status IN ('active', 'past_due', 'trialing') THEN next_renewal_at IS NOT NULL ELSE next_renewal_at IS NULL OR status = 'paused' END",
    )
    for name, condition in _CHECKS.items():
        op.create_check_constraint(op.f(f"subscriptions_{name}_check"), "subscriptions", condition)
    op.drop_index("subscriptions_due_idx", table_name="subscriptions")
    op.create_index(
        "subscriptions_due_idx",
        "subscriptions",
        ["next_renewal_at"],
        postgresql_where=sa.text("next_renewal_at IS NOT NULL"),
    )


def downgrade() -> None:
    """Take it back, if nobody is in a trial or a pause: these would be billed, or be forgotten."""
    op.execute(_NOBODY_PAUSED)
    op.drop_index("subscriptions_due_idx", table_name="subscriptions")
    op.create_index(
        "subscriptions_due_idx",
        "subscriptions",
        ["next_renewal_at"],
        postgresql_where=sa.text("status IN ('active', 'past_due')"),
    )
    for name in _CHECKS:
        op.drop_constraint(op.f(f"subscriptions_{name}_check"), "subscriptions", type_="check")
    _replace_check("status", "status IN ('active', 'canceled', 'past_due')")
    _replace_check(
        "next_renewal", "(status IN ('active', 'past_due')) = (next_renewal_at IS NOT NULL)"
    )
    op.drop_constraint(op.f("payment_attempts_origin_check"), "payment_attempts", type_="check")
    op.drop_index("subscriptions_pause_idx", table_name="subscriptions")
    op.drop_index("subscriptions_unnoticed_idx", table_name="subscriptions")
    op.drop_index("subscriptions_resume_idx", table_name="subscriptions")
    op.drop_index("subscriptions_product_idx", table_name="subscriptions")
    op.drop_column("subscriptions", "pause_keeps")
    op.drop_column("subscriptions", "resume_at")
    op.drop_column("subscriptions", "pause_at")
    op.drop_column("subscriptions", "dunning_enabled")
    op.drop_column("subscriptions", "consented_amount")
    op.drop_column("subscriptions", "noticed_index")
    op.drop_column("subscriptions", "trial_end_at")
    op.drop_column("subscriptions", "anchor_index")
    op.drop_column("subscriptions", "buyer_ref")
    op.drop_column("subscriptions", "product")
    op.drop_column("subscriptions", "quantity")
    op.drop_column("payment_attempts", "origin")
    op.drop_column("invoices", "counted_from")
    op.drop_column("invoices", "planned_attempt_at")
    op.drop_column("invoices", "retry_asked_at")
    op.drop_column("invoices", "past_due_at")
    op.drop_column("invoices", "lines")
    op.drop_table("trials")
    op.drop_index("consents_subscription_id_idx", table_name="consents")
    op.drop_table("consents")
    op.drop_index("agreement_changes_pending_idx", table_name="agreement_changes")
    op.drop_index("agreement_changes_notice_idx", table_name="agreement_changes")
    op.drop_table("agreement_changes")
    op.drop_index("adjustments_open_idx", table_name="adjustments")
    op.drop_table("adjustments")
