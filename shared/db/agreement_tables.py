"""The tables of what is agreed: billing keys, subscriptions, and what will change of them."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
    true,
)

from shared.billing.calendar import IntervalUnit
from shared.billing.cancellation import RefundChoice
from shared.billing.change import ChangeStatus
from shared.billing.consent import ConsentKind
from shared.billing.lifecycle import BILLABLE, Happening, SubscriptionStatus, sources
from shared.billing.lines import AdjustmentKind
from shared.billing.pause import PauseKeeps
from shared.billing.refund import Requester
from shared.billing.reserving import CollectBy
from shared.billing.subscription import (
    BUYER_EMAIL_LENGTH_MAX,
    BUYER_NAME_LENGTH_MAX,
    BUYER_REF_LENGTH_MAX,
    BUYER_TEL_LENGTH_MAX,
    CUSTOMER_UID_LENGTH_MAX,
    ORDER_NAME_LENGTH_MAX,
    PRODUCT_LENGTH_MAX,
    QUANTITY_MAX,
    BillingKeyStatus,
)
from shared.db.columns import created, instant, metadata, money, one_of

billing_keys = Table(
    "billing_keys",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("customer_uid", Text, nullable=False),
    Column("status", Text, nullable=False, server_default=BillingKeyStatus.ACTIVE),
    # Raised when the means behind the key changes: what was tried before says nothing of it.
    Column("generation", Integer, nullable=False, server_default=text("1")),
    Column("buyer_name", Text),
    Column("buyer_email", Text),
    Column("buyer_tel", Text),
    Column("delete_reason", Text),
    Column("delete_requester", Text),
    instant("delete_asked_at"),
    instant("dispatched_at"),
    created(),
    UniqueConstraint("customer_uid"),
    CheckConstraint("generation >= 1", name="generation"),
    CheckConstraint(
        "status NOT IN ('deleting', 'deleted')"
        f" OR (delete_reason IS NOT NULL AND {one_of('delete_requester', Requester)})",
        name="delete",
    ),
    Index("billing_keys_deleting_idx", "id", postgresql_where=text("status = 'deleting'")),
    CheckConstraint(one_of("status", BillingKeyStatus), name="status"),
    CheckConstraint(
        f"char_length(customer_uid) BETWEEN 1 AND {CUSTOMER_UID_LENGTH_MAX}", name="customer_uid"
    ),
    CheckConstraint(
        f"char_length(buyer_name) BETWEEN 1 AND {BUYER_NAME_LENGTH_MAX}"
        f" AND char_length(buyer_email) BETWEEN 1 AND {BUYER_EMAIL_LENGTH_MAX}"
        f" AND char_length(buyer_tel) BETWEEN 1 AND {BUYER_TEL_LENGTH_MAX}",
        name="buyer",
    ),
)

subscriptions = Table(
    "subscriptions",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("billing_key_id", ForeignKey("billing_keys.id"), nullable=False),
    *money(),
    # How many units are had; the amount is that of one.
    Column("quantity", Integer, nullable=False, server_default=text("1")),
    Column("order_name", Text, nullable=False),
    Column("product", Text),
    Column("buyer_ref", Text),
    Column("interval_unit", Text, nullable=False),
    Column("interval_count", Integer, nullable=False),
    instant("anchor_at", nullable=False),
    # The period that begins at the anchor; those before it belong to an earlier cycle.
    Column("anchor_index", Integer, nullable=False, server_default=text("0")),
    Column("time_zone", Text, nullable=False),
    Column("status", Text, nullable=False, server_default=SubscriptionStatus.ACTIVE),
    instant("trial_end_at"),
    Column("next_period_index", Integer, nullable=False),
    instant("next_renewal_at"),
    # The period of which the buyer was last told that it comes.
    Column("noticed_index", Integer, nullable=False, server_default=text("-1")),
    # The most that the buyer has agreed to pay for a period, in won.
    Column("consented_amount", BigInteger, nullable=False),
    # Whether declined invoices are tried again by themselves.
    Column("dunning_enabled", Boolean, nullable=False, server_default=true()),
    # Who makes its charges: we, or PortOne at an instant that is reserved ahead.
    Column("collect_by", Text, nullable=False, server_default=CollectBy.CHARGE),
    # When it was last looked at whether its next period is to be reserved.
    instant("reserving_at"),
    # The pause that was asked for or is on: no period begins from ``pause_at`` on.
    instant("pause_at"),
    instant("resume_at"),
    Column("pause_keeps", Text),
    # The end that was asked for: nothing is billed or collected from ``cancel_at`` on.
    instant("cancel_at"),
    instant("canceled_at"),
    # Set once nothing that the end left behind is under way, owed or to be given back.
    instant("closed_at"),
    Column("cancel_reason", Text),
    Column("cancel_requester", Text),
    Column("cancel_refund", Text),
    Column("cancel_late_payment", Text),
    instant("dispatched_at"),
    created(),
    CheckConstraint(one_of("status", SubscriptionStatus), name="status"),
    CheckConstraint(
        "cancel_at IS NULL OR (num_nulls(cancel_reason, cancel_requester, cancel_refund,"
        " cancel_late_payment) = 0"
        f" AND {one_of('cancel_requester', Requester)} AND {one_of('cancel_refund', RefundChoice)}"
        f" AND {one_of('cancel_late_payment', RefundChoice)})",
        name="cancel",
    ),
    CheckConstraint(one_of("collect_by", CollectBy), name="collect_by"),
    CheckConstraint("canceled_at IS NULL OR status = 'canceled'", name="canceled"),
    CheckConstraint("closed_at IS NULL OR status = 'canceled'", name="closed"),
    CheckConstraint(one_of("interval_unit", IntervalUnit), name="interval_unit"),
    CheckConstraint("interval_count >= 1", name="interval_count"),
    CheckConstraint("next_period_index >= 0", name="next_period_index"),
    CheckConstraint(
        f"char_length(order_name) BETWEEN 1 AND {ORDER_NAME_LENGTH_MAX}", name="order_name"
    ),
    CheckConstraint(f"quantity BETWEEN 1 AND {QUANTITY_MAX}", name="quantity"),
    CheckConstraint(
        f"char_length(product) BETWEEN 1 AND {PRODUCT_LENGTH_MAX}"
        f" AND char_length(buyer_ref) BETWEEN 1 AND {BUYER_REF_LENGTH_MAX}",
        name="names",
    ),
    CheckConstraint("anchor_index BETWEEN 0 AND next_period_index", name="anchor_index"),
    CheckConstraint("consented_amount >= 0", name="consented_amount"),
    CheckConstraint("status <> 'trialing' OR trial_end_at IS NOT NULL", name="trial"),
    CheckConstraint(
        f"CASE WHEN pause_at IS NULL THEN status <> 'paused' AND num_nonnulls(resume_at,"
        f" pause_keeps) = 0 ELSE {one_of('pause_keeps', PauseKeeps)}"
        f" AND (resume_at IS NULL OR resume_at > pause_at) END",
        name="pause",
    ),
    # A billable subscription always has a next renewal: without one it would be missed for ever.
    # A paused one has it where the calendar goes on: its periods are skipped as they begin.
    CheckConstraint(
        f"CASE WHEN {one_of('status', BILLABLE)} THEN next_renewal_at IS NOT NULL"
        " ELSE next_renewal_at IS NULL OR status = 'paused' END",
        name="next_renewal",
    ),
    Index(
        "subscriptions_due_idx",
        "next_renewal_at",
        postgresql_where=text("next_renewal_at IS NOT NULL"),
    ),
    Index(
        "subscriptions_unnoticed_idx",
        "next_renewal_at",
        postgresql_where=text("next_renewal_at IS NOT NULL AND noticed_index < next_period_index"),
    ),
    Index(
        "subscriptions_resume_idx",
        "resume_at",
        postgresql_where=text("status = 'paused' AND resume_at IS NOT NULL"),
    ),
    Index(
        "subscriptions_pause_idx",
        "pause_at",
        postgresql_where=text(
            f"{one_of('status', sources(Happening.PAUSE))} AND pause_at IS NOT NULL"
        ),
    ),
    # Whose next period PortOne is to collect.
    Index(
        "subscriptions_reserving_idx",
        "next_renewal_at",
        postgresql_where=text("collect_by = 'reservation' AND status = 'active'"),
    ),
    Index("subscriptions_product_idx", "product", postgresql_where=text("product IS NOT NULL")),
    Index("subscriptions_billing_key_id_idx", "billing_key_id"),
    Index(
        "subscriptions_ending_idx",
        "cancel_at",
        postgresql_where=text("cancel_at IS NOT NULL AND closed_at IS NULL"),
    ),
    Index(
        "subscriptions_unclosed_idx",
        "id",
        postgresql_where=text("status = 'canceled' AND closed_at IS NULL"),
    ),
)

agreement_changes = Table(
    "agreement_changes",
    metadata,
    # What will be different from a date on; what is not named stays as it is.
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("subscription_id", ForeignKey("subscriptions.id"), nullable=False),
    # The first period that begins then, or later, is the first to be changed.
    instant("effective_at", nullable=False),
    Column("amount", BigInteger),
    Column("tax_free", BigInteger),
    Column("quantity", Integer),
    Column("order_name", Text),
    Column("interval_unit", Text),
    Column("interval_count", Integer),
    Column("requester", Text, nullable=False),
    Column("status", Text, nullable=False, server_default=ChangeStatus.PENDING),
    # When the buyer is to be told of it, and when that was done.
    instant("notice_at"),
    instant("noticed_at"),
    # The first period that was billed by it.
    Column("applied_index", Integer),
    Column("message", Text),
    Column("command_id", Text, nullable=False),
    created(),
    UniqueConstraint("command_id", "subscription_id"),
    CheckConstraint(one_of("status", ChangeStatus), name="status"),
    CheckConstraint(one_of("requester", Requester), name="requester"),
    CheckConstraint("(amount IS NULL) = (tax_free IS NULL)", name="price"),
    CheckConstraint("amount >= 0 AND tax_free BETWEEN 0 AND amount", name="money"),
    CheckConstraint(f"quantity BETWEEN 1 AND {QUANTITY_MAX}", name="quantity"),
    CheckConstraint(
        "(interval_unit IS NULL) = (interval_count IS NULL)"
        f" AND {one_of('interval_unit', IntervalUnit)} AND interval_count >= 1",
        name="interval",
    ),
    CheckConstraint(
        f"char_length(order_name) BETWEEN 1 AND {ORDER_NAME_LENGTH_MAX}", name="order_name"
    ),
    CheckConstraint("(status = 'applied') = (applied_index IS NOT NULL)", name="applied"),
    Index(
        "agreement_changes_pending_idx",
        "subscription_id",
        "effective_at",
        postgresql_where=text("status = 'pending'"),
    ),
    Index(
        "agreement_changes_notice_idx",
        "notice_at",
        postgresql_where=text("status = 'pending' AND noticed_at IS NULL"),
    ),
)

adjustments = Table(
    "adjustments",
    metadata,
    # What invoices to come differ by from the agreement: credits, discounts, prorations.
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("subscription_id", ForeignKey("subscriptions.id"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("description", Text, nullable=False),
    # Won of a credit, a proration, or a discount by amount; nothing for a discount by share.
    *money(),
    Column("percent", Integer),
    # What is left of a credit or a proration to be set against invoices to come.
    Column("amount_left", BigInteger, nullable=False),
    Column("tax_free_left", BigInteger, nullable=False),
    # For how many periods more a discount is given.
    Column("periods_left", Integer),
    Column("command_id", Text, nullable=False),
    created(),
    CheckConstraint(one_of("kind", AdjustmentKind), name="kind"),
    CheckConstraint(
        "amount_left BETWEEN 0 AND amount AND tax_free_left BETWEEN 0 AND amount_left", name="left"
    ),
    CheckConstraint(
        "CASE WHEN kind = 'discount' THEN periods_left >= 0 AND (percent IS NULL) = (amount > 0)"
        " AND (percent IS NULL OR percent BETWEEN 1 AND 100)"
        " ELSE amount > 0 AND num_nonnulls(percent, periods_left) = 0 END",
        name="what",
    ),
    CheckConstraint("char_length(description) BETWEEN 1 AND 200", name="description"),
    Index(
        "adjustments_open_idx",
        "subscription_id",
        postgresql_where=text("amount_left > 0 OR periods_left > 0"),
    ),
)

consents = Table(
    "consents",
    metadata,
    # What the buyer has agreed to, and how that can be shown; rows are added and never changed.
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("subscription_id", ForeignKey("subscriptions.id"), nullable=False),
    Column("kind", Text, nullable=False),
    # What a period costs before and after, in won.
    Column("amount_before", BigInteger),
    Column("amount_after", BigInteger, nullable=False),
    instant("effective_at"),
    instant("given_at", nullable=False),
    # By what it will be paid for, as the buyer was told.
    Column("payment_method", Text),
    Column("shown", Text, nullable=False),
    Column("evidence", Text, nullable=False),
    Column("command_id", Text, nullable=False),
    created(),
    CheckConstraint(one_of("kind", ConsentKind), name="kind"),
    CheckConstraint("amount_before >= 0 AND amount_after >= 0", name="amounts"),
    CheckConstraint(
        "char_length(shown) BETWEEN 1 AND 200 AND char_length(evidence) BETWEEN 1 AND 2000"
        " AND char_length(payment_method) BETWEEN 1 AND 100",
        name="evidence",
    ),
    Index("consents_subscription_id_idx", "subscription_id"),
)

trials = Table(
    "trials",
    metadata,
    # Who has had a free trial of what: where the policy gives one only, this is what remembers.
    Column("buyer_ref", Text, nullable=False),
    Column("product", Text, nullable=False),
    Column("subscription_id", ForeignKey("subscriptions.id"), nullable=False),
    created(),
    PrimaryKeyConstraint("buyer_ref", "product"),
)
