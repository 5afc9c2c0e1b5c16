"""The tables of books compared: the gateway's of a window, and what it says otherwise than ours."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from shared.billing.inquiry import RecordStatus
from shared.billing.reconciliation import (
    LOOKED_AT_AGAIN,
    Difference,
    DifferenceStatus,
    Owner,
    Repair,
    RunCause,
    RunStatus,
)
from shared.db.columns import count, created, instant, metadata, one_of

reconciliation_runs = Table(
    "reconciliation_runs",
    metadata,
    # One comparison of the gateway's book of a window with our rows.
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("cause", Text, nullable=False),
    instant("since", nullable=False),
    instant("until", nullable=False),
    Column("status", Text, nullable=False, server_default=RunStatus.RUNNING),
    # Until when whoever runs it is taken for alive; a daily one is begun again after that.
    instant("lease_until", nullable=False),
    count("tries"),
    # What was found, as the report tells it; nothing before it is done.
    Column("report", JSONB),
    Column("fault", Text),
    instant("finished_at"),
    created(),
    CheckConstraint("since < until", name="window"),
    CheckConstraint(one_of("cause", RunCause), name="cause"),
    CheckConstraint(one_of("status", RunStatus), name="status"),
    CheckConstraint(
        "(status = 'done') = (report IS NOT NULL) AND (status = 'running') = (finished_at IS NULL)",
        name="finished",
    ),
    # Whether somebody has compared a day by hand.
    Index("reconciliation_runs_done_idx", "until", postgresql_where=text("status = 'done'")),
    # A day is compared once by itself, whoever is told to look and however often.
    Index(
        "reconciliation_runs_one_daily_idx",
        "until",
        unique=True,
        postgresql_where=text("cause = 'daily'"),
    ),
)

gateway_records = Table(
    "gateway_records",
    metadata,
    # The gateway's book of a window, only while a run compares it: a crash of the server may empty
    # it, and the run is begun again. No billing key stands here, only whether it is one of ours.
    Column("run_id", BigInteger, nullable=False, primary_key=True),
    Column("imp_uid", Text, nullable=False, primary_key=True),
    Column("merchant_uid", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("usage", Text),
    Column("amount", BigInteger, nullable=False),
    Column("cancelled_amount", BigInteger, nullable=False),
    instant("paid_at"),
    instant("changed_at"),
    Column("billing_key_id", BigInteger),
    # Whether its merchant_uid is written as only ours are, and what it says where it is a charge's.
    Column("of_our_shape", Boolean, nullable=False),
    Column("subscription_id", Uuid),
    Column("period_index", Integer),
    CheckConstraint(one_of("status", RecordStatus), name="status"),
    Index(
        "gateway_records_period_idx",
        "run_id",
        "subscription_id",
        "period_index",
        postgresql_where=text("subscription_id IS NOT NULL"),
    ),
    prefixes=["UNLOGGED"],
)

discrepancies = Table(
    "discrepancies",
    metadata,
    # What the two books say differently of one payment, until it is repaired or explained.
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("imp_uid", Text, nullable=False),
    Column("merchant_uid", Text),
    Column("difference", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("repair", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    # What either side says: statuses and amounts, never a billing key or a person.
    Column("theirs", JSONB),
    Column("ours", JSONB),
    Column("payment_id", ForeignKey("payments.id")),
    Column("subscription_id", ForeignKey("subscriptions.id")),
    Column("found_by", ForeignKey("reconciliation_runs.id"), nullable=False),
    # The last run that looked at it.
    Column("seen_by", ForeignKey("reconciliation_runs.id"), nullable=False),
    instant("seen_at", nullable=False),
    instant("decided_at"),
    created(),
    # Whichever run finds it: the same difference is the same row.
    UniqueConstraint("imp_uid", "difference"),
    CheckConstraint(one_of("difference", Difference), name="difference"),
    CheckConstraint(one_of("status", DifferenceStatus), name="status"),
    CheckConstraint(one_of("repair", Repair), name="repair"),
    CheckConstraint(one_of("owner", Owner), name="owner"),
    CheckConstraint("theirs IS NOT NULL OR ours IS NOT NULL", name="sides"),
    CheckConstraint(
        "(status IN ('dismissed', 'repaired')) = (decided_at IS NOT NULL)", name="decided"
    ),
    Index(
        "discrepancies_looked_at_again_idx",
        "id",
        postgresql_where=text(one_of("status", LOOKED_AT_AGAIN)),
    ),
)
