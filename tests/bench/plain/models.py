"""Subscriptions, invoices and payment attempts as ORM models."""

import enum
from datetime import datetime
from typing import ClassVar

from sqlalchemy import (
    BigInteger,
    DateTime,
    Enum,
    ForeignKey,
    Index,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class InvoiceStatus(enum.StrEnum):
    OPEN = "open"
    # Claimed by an attempt whose outcome is not known yet.
    COLLECTING = "collecting"
    PAID = "paid"


class AttemptStatus(enum.StrEnum):
    CLAIMED = "claimed"
    PAID = "paid"
    DECLINED = "declined"
    NOT_SENT = "not_sent"
    UNKNOWN = "unknown"


def _values(kind: type[enum.StrEnum]) -> list[str]:
    return [member.value for member in kind]


class Base(DeclarativeBase):
    type_annotation_map: ClassVar = {
        int: BigInteger,
        str: Text,
        enum.StrEnum: Enum(enum.StrEnum, native_enum=False, values_callable=_values),
        datetime: DateTime(timezone=True),
    }


class Subscription(Base):
    __tablename__ = "subscriptions"

    id: Mapped[int] = mapped_column(primary_key=True)
    customer_uid: Mapped[str] = mapped_column(unique=True)
    buyer_name: Mapped[str | None]
    buyer_email: Mapped[str | None]
    buyer_tel: Mapped[str | None]
    order_name: Mapped[str]


class Invoice(Base):
    __tablename__ = "invoices"
    __table_args__ = (
        UniqueConstraint("subscription_id", "period_index"),
        Index("invoices_due_idx", "due_at", postgresql_where=text("status = 'open'")),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    subscription_id: Mapped[int] = mapped_column(ForeignKey("subscriptions.id"))
    period_index: Mapped[int]
    amount: Mapped[int]
    tax_free: Mapped[int]
    status: Mapped[InvoiceStatus] = mapped_column(default=InvoiceStatus.OPEN)
    due_at: Mapped[datetime] = mapped_column(server_default=func.now())
    attempts: Mapped[int] = mapped_column(default=0)
    paid_at: Mapped[datetime | None]

    subscription: Mapped[Subscription] = relationship()


class PaymentAttempt(Base):
    __tablename__ = "payment_attempts"
    __table_args__ = (UniqueConstraint("invoice_id", "number"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    invoice_id: Mapped[int] = mapped_column(ForeignKey("invoices.id"))
    number: Mapped[int]
    merchant_uid: Mapped[str] = mapped_column(unique=True)
    status: Mapped[AttemptStatus] = mapped_column(default=AttemptStatus.CLAIMED)
    imp_uid: Mapped[str | None]
    receipt_url: Mapped[str | None]
    message: Mapped[str | None]
    claimed_at: Mapped[datetime] = mapped_column(server_default=func.now())
    settled_at: Mapped[datetime | None]

    invoice: Mapped[Invoice] = relationship()
