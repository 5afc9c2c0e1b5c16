"""What the tables have in common: names of constraints, and the kinds of column."""

import enum

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Integer,
    MetaData,
    func,
    text,
)

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    }
)


def one_of(column: str, members: frozenset[enum.StrEnum] | type[enum.StrEnum]) -> str:
    """Return SQL that holds when ``column`` is one of ``members``, in a stable order."""
    values = ", ".join(f"'{value}'" for value in sorted(str(member) for member in members))
    return f"{column} IN ({values})"


def instant(name: str, *, nullable: bool = True) -> Column[object]:
    """Return a column for an instant in UTC."""
    return Column(name, DateTime(timezone=True), nullable=nullable)


def created() -> Column[object]:
    """Return the column that says since when a row exists."""
    return Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now())


def count(name: str) -> Column[object]:
    """Return a column that counts from 0."""
    return Column(name, Integer, nullable=False, server_default=text("0"))


def money() -> tuple[Column[object], Column[object], CheckConstraint]:
    """Return the columns of an amount and its tax-free part, and what holds of the two."""
    return (
        Column("amount", BigInteger, nullable=False),
        Column("tax_free", BigInteger, nullable=False),
        CheckConstraint("amount >= 0 AND tax_free BETWEEN 0 AND amount", name="money"),
    )
