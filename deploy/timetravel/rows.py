"""What the tables hold at the end, read once: what the ledger and the audit are made from."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

Row: TypeAlias = Any

_SUBSCRIPTIONS: Final = """
    SELECT s.*, k.status AS key_status,
        (SELECT CAST(e.data ->> 'first_period_index' AS int) FROM events e
         WHERE e.subscription_id = s.id AND e.name = 'subscription.created'
         ORDER BY e.id LIMIT 1) AS first_index
    FROM subscriptions s JOIN billing_keys k ON k.id = s.billing_key_id
"""
_INVOICES: Final = """
    SELECT id, subscription_id, period_index, period_start_at, period_end_at, amount, tax_free,
        status, declines, next_attempt_at, collection_stopped, paid_at,
        (SELECT coalesce(sum(CAST(l ->> 'amount' AS bigint)), 0)
         FROM jsonb_array_elements(lines) AS l) AS lines_amount,
        (SELECT coalesce(sum(CAST(l ->> 'tax_free' AS bigint)), 0)
         FROM jsonb_array_elements(lines) AS l) AS lines_tax_free
    FROM invoices
"""
_SKIPPED: Final = """
    SELECT subscription_id, CAST(data ->> 'period_index' AS int) AS period_index,
        CAST(data ->> 'period_start_at' AS timestamptz) AS period_start_at,
        CAST(data ->> 'period_end_at' AS timestamptz) AS period_end_at, data ->> 'reason' AS reason
    FROM events WHERE name = 'period.skipped'
"""
_TOLD: Final = """
    SELECT name, CAST(data ->> 'invoice_id' AS bigint) AS invoice_id, count(*) AS count
    FROM events WHERE name IN ('invoice.paid', 'invoice.uncollectible', 'invoice.voided')
    GROUP BY 1, 2
"""
_TURNS: Final = """
    SELECT subscription_id, name, CAST(data ->> 'at' AS timestamptz) AS at FROM events
    WHERE name IN ('subscription.paused', 'subscription.resumed', 'subscription.changed',
        'subscription.reactivated') ORDER BY id
"""
_PLAIN: Final = {
    "attempts": "SELECT id, invoice_id, merchant_uid, status, imp_uid FROM payment_attempts",
    "payments": "SELECT id, imp_uid, amount, tax_free, cancelled_amount FROM payments",
    "refunds": """
        SELECT r.id, r.amount, r.status, p.imp_uid FROM refunds r
        JOIN payments p ON p.id = r.payment_id""",
    "windows": "SELECT merchant_uid, status FROM windows",
    "letters": "SELECT id, kind, cause FROM dead_letters",
}


@dataclass(frozen=True, slots=True)
class Rows:
    """Everything that is compared.

    Attributes:
        told: How often each end of an invoice was told, by (name, invoice).
        turns: What changed the course of a subscription's periods, by subscription.
    """

    subscriptions: Sequence[Row]
    invoices: Sequence[Row]
    skipped: Sequence[Row]
    told: Mapping[tuple[str, int], int]
    turns: Mapping[Any, Sequence[Row]]
    attempts: Sequence[Row]
    payments: Sequence[Row]
    refunds: Sequence[Row]
    windows: Sequence[Row]
    letters: Sequence[Row]


async def read(connection: AsyncConnection) -> Rows:
    """Read everything at one instant."""

    async def all_of(statement: str) -> list[Row]:
        return list(await connection.execute(text(statement)))

    turns: defaultdict[Any, list[Row]] = defaultdict(list)
    for row in await all_of(_TURNS):
        turns[row.subscription_id].append(row)
    return Rows(
        subscriptions=await all_of(_SUBSCRIPTIONS),
        invoices=await all_of(_INVOICES),
        skipped=await all_of(_SKIPPED),
        told={(row.name, row.invoice_id): row.count for row in await all_of(_TOLD)},
        turns=turns,
        **{name: await all_of(statement) for name, statement in _PLAIN.items()},
    )
