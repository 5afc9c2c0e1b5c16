"""The gateway's book of a window as a run compares it: staged, and beside what our rows say.

However long the window is, a process holds a slice of it at most: the records stand in a table
while they are compared, and SQL leaves out those in which both sides agree.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.attempt import AttemptStatus
from shared.billing.events import iso
from shared.billing.inquiry import REGISTRATION, PaymentRecord, RecordStatus
from shared.billing.merchant_uid import parse
from shared.billing.reconciliation import KeptPayment, KnownAttempt, KnownWindow, Ours, Theirs
from shared.billing.refund import REFUND_UNSETTLED
from shared.billing.window import WindowKind, WindowStatus, is_window_merchant_uid
from shared.db.tables import one_of
from shared.db.text import storable, to_json

_PAID: Final = "('paid', 'cancelled')"
_MONEY: Final = f"r.status IN {_PAID} AND r.usage IS DISTINCT FROM '{REGISTRATION}'"


@dataclass(frozen=True, slots=True)
class Pair:
    """What either side says of one payment of the gateway's.

    Attributes:
        subscription_id: Whose it is, where a row of ours says so.
    """

    imp_uid: str
    merchant_uid: str | None
    theirs: Theirs | None
    ours: Ours
    subscription_id: UUID | None


async def look_up_by_index(connection: AsyncConnection) -> None:
    """Have the rest of a transaction look rows up one by one, however large their tables are.

    What is asked for is a slice of a fixed size. To hash a whole table for it can look cheaper to
    the planner, and makes the comparison of a window quadratic in its length.
    """
    await connection.execute(_BY_INDEX)


_BY_INDEX = text(
    """
    SELECT set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)
    """
)


async def stage(connection: AsyncConnection, run_id: int, records: Sequence[PaymentRecord]) -> int:
    """Keep records of the gateway's for a run; return how many of them were not kept yet.

    One that was shown before counts as it is shown last.
    """
    await look_up_by_index(connection)
    by_uid = {record.imp_uid: _row(record) for record in records}
    values = {"run": run_id, "rows": to_json(list(by_uid.values()))}
    return sum(row.is_new for row in await connection.execute(_STAGE, values))


_STAGE = text(
    """
    INSERT INTO gateway_records (
        run_id, imp_uid, merchant_uid, status, usage, amount, cancelled_amount, paid_at, changed_at,
        billing_key_id, of_our_shape, subscription_id, period_index
    )
    SELECT :run, r.imp_uid, r.merchant_uid, r.status, r.usage, r.amount, r.cancelled_amount,
        r.paid_at, r.changed_at, k.id, r.of_our_shape, r.subscription_id,
        r.period_index
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (
        imp_uid text, merchant_uid text, status text, usage text, amount bigint,
        cancelled_amount bigint, paid_at timestamptz, changed_at timestamptz, customer_uid text,
        of_our_shape boolean, subscription_id uuid, period_index int
    )
    LEFT JOIN billing_keys k ON k.customer_uid = r.customer_uid
    ON CONFLICT (run_id, imp_uid) DO UPDATE
    SET status = excluded.status, amount = excluded.amount, paid_at = excluded.paid_at,
        cancelled_amount = excluded.cancelled_amount, changed_at = excluded.changed_at
    RETURNING xmax = 0 AS is_new
    """
)


async def unstage(connection: AsyncConnection, run_id: int, imp_uids: Sequence[str]) -> int:
    """Forget records that the gateway does not show any more; return how many there were."""
    gone = await connection.execute(
        text(
            """
            DELETE FROM gateway_records
            WHERE run_id = :run AND imp_uid = ANY(CAST(:imp_uids AS text[]))
            """
        ),
        {"run": run_id, "imp_uids": list(imp_uids)},
    )
    return gone.rowcount


async def clear(connection: AsyncConnection, run_id: int, limit: int) -> int:
    """Forget some of the records of a run; return how many these were."""
    gone = await connection.execute(
        text(
            """
            DELETE FROM gateway_records WHERE run_id = :run AND imp_uid IN (
                SELECT imp_uid FROM gateway_records
                WHERE run_id = :run ORDER BY imp_uid LIMIT :limit
            )
            """
        ),
        {"run": run_id, "limit": limit},
    )
    return gone.rowcount


async def left_behind(connection: AsyncConnection, now: datetime) -> list[int]:
    """Return the runs that are over, or whose process is gone, and whose records are still kept."""
    rows = await connection.execute(
        text(
            """
            SELECT n.id FROM reconciliation_runs n
            WHERE (n.status <> 'running' OR n.lease_until <= :now)
              AND EXISTS (SELECT FROM gateway_records r WHERE r.run_id = n.id)
            ORDER BY n.id
            """
        ),
        {"now": now},
    )
    return [row.id for row in rows]


@dataclass(frozen=True, slots=True)
class Slice:
    """A run of staged records in the order of their ids.

    Attributes:
        last: The id of its last record.
        foreign: How many payments of it are nobody's here, and how much money they hold.
    """

    last: str
    records: int
    registrations: int
    unpaid: int
    foreign: int
    foreign_held: int


async def slice_after(
    connection: AsyncConnection, run_id: int, after: str, limit: int
) -> Slice | None:
    """Return the figures of the next records after an id, or None at the end."""
    await look_up_by_index(connection)
    row = (await connection.execute(_SLICE, {"run": run_id, "after": after, "limit": limit})).one()
    return Slice(*row) if row.records else None


async def pairs_in(
    connection: AsyncConnection, run_id: int, after: str, last: str, *, foreign: bool
) -> list[Pair]:
    """Return the records of a slice in which the two sides may differ.

    Payments that are nobody's here are among them only where ``foreign`` is asked for.
    """
    await look_up_by_index(connection)
    values = {"run": run_id, "after": after, "last": last, "foreign": foreign}
    return [_pair(row) for row in await connection.execute(_PAIRS_IN, values)]


async def pairs_of(connection: AsyncConnection, run_id: int, imp_uids: Sequence[str]) -> list[Pair]:
    """Return what either side says of payments, whether a record of them is staged or not."""
    await look_up_by_index(connection)
    values = {"run": run_id, "imp_uids": list(imp_uids)}
    return [_pair(row) for row in await connection.execute(_PAIRS_OF, values)]


_KNOWN = """
    LEFT JOIN payments p ON p.imp_uid = s.imp_uid
    LEFT JOIN payment_attempts a ON a.merchant_uid = coalesce(r.merchant_uid, p.merchant_uid)
    LEFT JOIN windows w ON w.merchant_uid = coalesce(r.merchant_uid, p.merchant_uid)
"""
_FOREIGN = f"""
    {_MONEY} AND p.id IS NULL AND a.id IS NULL AND w.id IS NULL AND NOT r.of_our_shape
    AND r.billing_key_id IS NULL
"""
_SLICE_ROWS = """
    SELECT * FROM gateway_records
    WHERE run_id = :run AND imp_uid > :after ORDER BY imp_uid LIMIT :limit
"""
_SLICE = text(
    f"""
    WITH s AS MATERIALIZED ({_SLICE_ROWS})
    SELECT max(r.imp_uid) AS last, count(*) AS records,
        count(*) FILTER (WHERE r.usage = '{REGISTRATION}') AS registrations,
        count(*) FILTER (
            WHERE r.status NOT IN {_PAID} AND r.usage IS DISTINCT FROM '{REGISTRATION}'
        ) AS unpaid,
        count(*) FILTER (WHERE {_FOREIGN}) AS foreign,
        coalesce(sum(r.amount - r.cancelled_amount) FILTER (WHERE {_FOREIGN}), 0)::bigint
            AS foreign_held
    FROM s JOIN gateway_records r ON r.run_id = :run AND r.imp_uid = s.imp_uid
    {_KNOWN}
    """  # noqa: S608 - made of constants only
)

# Who else holds money for the same period: another payment of ours, as the gateway shows it where
# its record is staged, or another record under a merchant_uid of the period. Of several the one
# that settled the invoice came first, then one that is kept, then the older one.
_RANK = "NOT coalesce({attempt}.status = 'paid' AND {attempt}.imp_uid = {imp_uid}, false)"
_OTHERS = f"""
    SELECT FROM payment_attempts oa JOIN payments o ON o.attempt_id = oa.id
    LEFT JOIN gateway_records og ON og.run_id = :run AND og.imp_uid = o.imp_uid
    WHERE oa.invoice_id = i.id AND o.imp_uid <> s.imp_uid
      AND CASE WHEN og.imp_uid IS NULL THEN o.amount > o.cancelled_amount
          ELSE og.status IN {_PAID} AND og.amount > og.cancelled_amount END
      AND ({_RANK.format(attempt="oa", imp_uid="o.imp_uid")}, false, o.paid_at, o.imp_uid)
        < ({_RANK.format(attempt="a", imp_uid="s.imp_uid")}, p.id IS NULL,
            coalesce(p.paid_at, r.paid_at, 'infinity'), s.imp_uid)
"""
_OTHER_RECORDS = f"""
    SELECT FROM gateway_records r2
    WHERE r2.run_id = :run AND r2.subscription_id = r.subscription_id
      AND r2.period_index = r.period_index AND r2.imp_uid <> r.imp_uid
      AND r2.status IN {_PAID} AND r2.usage IS DISTINCT FROM '{REGISTRATION}'
      AND r2.amount > r2.cancelled_amount AND p.id IS NULL
      AND NOT EXISTS (SELECT FROM payments p2 WHERE p2.imp_uid = r2.imp_uid)
      AND (coalesce(r2.paid_at, 'infinity'), r2.imp_uid)
        < (coalesce(r.paid_at, 'infinity'), r.imp_uid)
"""  # noqa: S608 - made of constants only
_TOO_MANY = f"""(
    {_MONEY} AND r.amount > r.cancelled_amount
    AND (EXISTS ({_OTHERS}) OR EXISTS ({_OTHER_RECORDS}))
)"""
# Those others are about to go back by themselves: of this one nobody decides until they have.
_FIRST_GIVEN_BACK = f"""(
    {_TOO_MANY} AND NOT EXISTS ({_OTHER_RECORDS}) AND NOT EXISTS ({_OTHERS}
      AND NOT EXISTS (
          SELECT FROM refunds b
          WHERE b.payment_id = o.id AND b.{one_of("status", REFUND_UNSETTLED)}
      ))
)"""
_COLUMNS = f"""
    s.imp_uid, r.merchant_uid AS their_merchant_uid, r.status, r.usage, r.amount,
    r.cancelled_amount, r.changed_at, r.of_our_shape,
    r.billing_key_id IS NOT NULL AS on_our_key,
    p.id AS payment_id, p.merchant_uid AS our_merchant_uid, p.amount AS our_amount,
    p.cancelled_amount AS our_cancelled,
    a.id AS attempt_id, a.status AS attempt_status, a.amount AS attempt_amount,
    a.imp_uid = s.imp_uid AS attempt_is_of_it, w.kind AS window_kind, w.status AS window_status,
    coalesce(i.subscription_id, ai.subscription_id) AS subscription_id,
    {_TOO_MANY} AS is_one_too_many, {_FIRST_GIVEN_BACK} AS is_first_given_back,
    EXISTS (
        SELECT FROM refunds f WHERE f.payment_id = p.id AND {one_of("f.status", REFUND_UNSETTLED)}
    ) AS is_refund_under_way,
    EXISTS (
        SELECT FROM hints h WHERE h.imp_uid = s.imp_uid AND h.next_read_at IS NOT NULL
    ) AS is_read_again,
    greatest(
        a.settled_at, w.settled_at,
        (SELECT max(f.settled_at) FROM refunds f WHERE f.payment_id = p.id),
        (SELECT max(h.read_at) FROM hints h WHERE h.imp_uid = s.imp_uid)
    ) AS our_changed_at
"""  # noqa: S608 - made of constants only
_FROM = f"""
    FROM s LEFT JOIN gateway_records r ON r.run_id = :run AND r.imp_uid = s.imp_uid
    {_KNOWN}
    LEFT JOIN invoices ai ON ai.id = a.invoice_id
    LEFT JOIN invoices i
        ON i.subscription_id = r.subscription_id AND i.period_index = r.period_index
"""
# Both sides hold it and say the same; or no money came, and none is kept.
_AGREES = f"""coalesce(
    p.id IS NULL AND r.usage = '{REGISTRATION}'
    OR p.id IS NULL AND r.status NOT IN {_PAID}
        AND NOT coalesce(a.status = 'paid' AND a.imp_uid = s.imp_uid, false)
    OR {_MONEY} AND p.merchant_uid = r.merchant_uid AND p.amount = r.amount
        AND p.cancelled_amount = r.cancelled_amount AND NOT {_TOO_MANY},
    false
)"""
_PAIRS_IN = text(
    f"""
    WITH s AS MATERIALIZED (
        SELECT imp_uid FROM gateway_records
        WHERE run_id = :run AND imp_uid > :after AND imp_uid <= :last
    )
    SELECT {_COLUMNS} {_FROM}
    WHERE NOT {_AGREES} AND (:foreign OR NOT ({_FOREIGN}))
    ORDER BY s.imp_uid
    """  # noqa: S608 - made of constants only
)
_PAIRS_OF = text(
    f"""
    WITH s AS MATERIALIZED (SELECT unnest(CAST(:imp_uids AS text[])) AS imp_uid)
    SELECT {_COLUMNS} {_FROM}
    """
)


def _row(record: PaymentRecord) -> dict[str, object]:
    """Return a record as it is staged; what it says of itself may be anything."""
    name = parse(record.merchant_uid)
    cancelled = [cancel.cancelled_at for cancel in record.cancels]
    instants = [at for at in (record.started_at, record.paid_at, *cancelled) if at is not None]
    return {
        "imp_uid": storable(record.imp_uid),
        "merchant_uid": storable(record.merchant_uid),
        "status": record.status,
        "usage": None if record.usage is None else storable(record.usage),
        "amount": record.amount,
        "cancelled_amount": record.cancel_amount,
        "paid_at": iso(record.paid_at),
        "changed_at": iso(max(instants, default=None)),
        "customer_uid": record.customer_uid,
        "of_our_shape": name is not None or is_window_merchant_uid(record.merchant_uid),
        "subscription_id": None if name is None else str(name.subscription_id),
        "period_index": None if name is None else name.period_index,
    }


def _pair(row: Row[Any]) -> Pair:
    return Pair(
        row.imp_uid,
        row.their_merchant_uid or row.our_merchant_uid,
        None if row.status is None else _theirs(row),
        _ours(row),
        row.subscription_id,
    )


def _theirs(row: Row[Any]) -> Theirs:
    return Theirs(
        merchant_uid=row.their_merchant_uid,
        status=RecordStatus(row.status),
        usage=row.usage,
        amount=row.amount,
        cancelled=row.cancelled_amount,
        of_our_shape=row.of_our_shape,
        on_our_key=row.on_our_key,
        changed_at=row.changed_at,
    )


def _ours(row: Row[Any]) -> Ours:
    payment = attempt = window = None
    if row.payment_id is not None:
        payment = KeptPayment(
            row.payment_id,
            row.our_merchant_uid,
            row.our_amount,
            row.our_cancelled,
            row.is_refund_under_way,
        )
    if row.attempt_id is not None:
        attempt = KnownAttempt(
            row.attempt_id,
            AttemptStatus(row.attempt_status),
            row.attempt_amount,
            bool(row.attempt_is_of_it),
        )
    if row.window_kind is not None:
        window = KnownWindow(WindowKind(row.window_kind), WindowStatus(row.window_status))
    return Ours(
        payment,
        attempt,
        window,
        is_one_too_many=bool(row.is_one_too_many),
        is_first_given_back=bool(row.is_first_given_back),
        is_read_again=row.is_read_again,
        changed_at=row.our_changed_at,
    )
