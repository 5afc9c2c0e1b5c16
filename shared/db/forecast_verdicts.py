"""What was charged on a day beside what was foreseen of it: counted, or read where they differ."""

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.attempt import UNSETTLED, AttemptOrigin, AttemptStatus
from shared.billing.events import EventName
from shared.billing.forecast import Day, Expected, Forecast
from shared.billing.forecast_explained import NAMES
from shared.billing.forecast_facts import MARGIN, Bill, Facts, Subscriber, Told, Try
from shared.billing.invoice import InvoiceStatus
from shared.billing.subscription import BillingKeyStatus
from shared.db.columns import one_of
from shared.db.forecasts import EXPECTED, expected_of

# Periods that are explained together: what bounds the memory.
_LOT = 2_000

Key: TypeAlias = tuple[UUID, int]

# When an attempt counts as made: when the gateway took the money, and else when it was last sent,
# or when PortOne was to make it by itself.
_AT = """
    coalesce(
        CASE WHEN a.status = 'paid' THEN p.paid_at END, greatest(a.claimed_at, a.reserved_for)
    )
"""
_ATTEMPTS = """
    payment_attempts a JOIN invoices i ON i.id = a.invoice_id
    LEFT JOIN payments p ON p.attempt_id = a.id AND p.imp_uid = a.imp_uid
"""
# Both sides of a day, and whether they simply agree: due and paid once, as it was foreseen; or not
# to be charged, and not charged.
_BOTH = f"""
    foreseen AS (
        SELECT subscription_id, period_index, amount, outlook = 'charged' AS is_due
        FROM expected_charges
        WHERE forecast_id = :id AND at >= :begins_at AND at < :ends_at
    ), charged AS (
        SELECT i.subscription_id, i.period_index, count(*) AS tries, min(a.amount) AS amount,
            count(*) FILTER (WHERE a.status = 'paid') AS paid
        FROM {_ATTEMPTS}
        -- Whatever was made on the day was settled then or later, or is not settled; what is void
        -- was not made. Each part has an index of its own, whatever the table has grown to.
        WHERE (a.settled_at >= :since OR a.{one_of("status", UNSETTLED)}) AND a.status <> 'void'
          AND {_AT} >= :begins_at AND {_AT} < :ends_at
        GROUP BY 1, 2
    ), compared AS (
        SELECT subscription_id, period_index, f.amount AS foreseen, coalesce(f.is_due, false)
            AS is_due, CASE
                WHEN f.is_due THEN c.tries = 1 AND c.paid = 1 AND c.amount = f.amount
                ELSE c.tries IS NULL
            END IS TRUE AS agrees
        FROM foreseen f FULL JOIN charged c USING (subscription_id, period_index)
    )
"""  # noqa: S608 - made of constants only


@dataclass(frozen=True, slots=True)
class Agreed:
    """Where both sides agree.

    Attributes:
        paid: How many were charged and paid as foreseen, and ``amount`` how many won.
        left_alone: How many were not to be charged, and were not.
    """

    paid: int
    amount: int
    left_alone: int


async def agreed(connection: AsyncConnection, forecast: Forecast) -> Agreed:
    """Return where what was foreseen of a day came true."""
    row = (await connection.execute(_AGREED, _values(forecast))).one()
    return Agreed(row.paid, int(row.amount), row.left_alone)


_AGREED = text(
    f"""
    WITH {_BOTH}
    SELECT count(*) FILTER (WHERE is_due) AS paid, count(*) FILTER (WHERE NOT is_due) AS left_alone,
        coalesce(sum(foreseen) FILTER (WHERE is_due), 0) AS amount
    FROM compared WHERE agrees
    """  # noqa: S608 - made of constants only
)


async def different(connection: AsyncConnection, forecast: Forecast) -> AsyncIterator[list[Key]]:
    """Return the periods that came otherwise than foreseen, in order, in lots."""
    found = await connection.stream(
        _DIFFERENT, _values(forecast), execution_options={"yield_per": _LOT}
    )
    async for lot in found.partitions(_LOT):
        yield [(row.subscription_id, row.period_index) for row in lot]


_DIFFERENT = text(
    f"""
    WITH {_BOTH}
    SELECT subscription_id, period_index FROM compared WHERE NOT agrees
    ORDER BY subscription_id, period_index
    """  # noqa: S608 - made of constants only
)


def _values(forecast: Forecast) -> dict[str, Any]:
    day: Day = forecast.day
    return {
        "id": forecast.id,
        "begins_at": day.begins_at,
        "ends_at": day.ends_at,
        "since": day.begins_at - MARGIN,
    }


async def facts_of(
    connection: AsyncConnection, forecast: Forecast, keys: Sequence[Key]
) -> list[Facts]:
    """Return all that is known of periods, in order."""
    ids = [key[0] for key in keys]
    values = {
        "forecast": forecast.id,
        "subscriptions": ids,
        "periods": [key[1] for key in keys],
    }
    expected = {
        (row.subscription_id, row.period_index): expected_of(row)
        for row in await connection.execute(_EXPECTED, values)
    }
    bills: dict[Key, Bill] = {}
    for row in await connection.execute(_BILLS, values):
        bills[row.subscription_id, row.period_index] = _bill(row)
    tries = await _tries(connection, [bill.id for bill in bills.values()])
    subscribers, keys_of = await _subscribers(connection, ids)
    told = await _told(connection, forecast, keys_of)
    return [_facts(key, expected, bills, tries, subscribers, told) for key in keys]


_PERIODS = """
    (subscription_id, period_index) IN (
        SELECT * FROM unnest(CAST(:subscriptions AS uuid[]), CAST(:periods AS int[]))
    )
"""
_EXPECTED = text(
    f"""
    SELECT {EXPECTED} FROM expected_charges WHERE forecast_id = :forecast AND {_PERIODS}
    """  # noqa: S608 - made of constants only
)
_BILLS = text(
    f"""
    SELECT id, subscription_id, period_index, status, amount, period_start_at, next_attempt_at,
        past_due_at, collection_stopped, message
    FROM invoices WHERE {_PERIODS}
    """  # noqa: S608 - made of constants only
)
_TRIES = text(
    f"""
    SELECT a.invoice_id, a.number, a.status, {_AT} AS at, a.amount, a.origin, a.send_number,
        a.settled_at
    FROM {_ATTEMPTS} WHERE a.invoice_id = ANY(CAST(:ids AS bigint[]))
    ORDER BY a.invoice_id, a.number
    """  # noqa: S608 - made of constants only
)
_SUBSCRIBERS = text(
    """
    SELECT s.id, s.billing_key_id, s.dunning_enabled, s.next_period_index,
        s.next_renewal_at, s.cancel_at, k.status AS key_status
    FROM subscriptions s JOIN billing_keys k ON k.id = s.billing_key_id
    WHERE s.id = ANY(CAST(:ids AS uuid[]))
    """
)
# What windows tell belongs to a billing key, and with it to every subscription that it pays.
_TOLD = text(
    f"""
    SELECT subscription_id, name, CAST(data ->> 'at' AS timestamptz) AS at,
        CAST(data ->> 'period_index' AS int) AS period_index,
        CAST(data ->> 'invoice_id' AS bigint) AS invoice_id,
        CAST(data ->> 'billing_key_id' AS bigint) AS billing_key_id
    FROM events
    WHERE id > :events_until AND {one_of("name", NAMES)}
      AND (subscription_id = ANY(CAST(:ids AS uuid[])) OR subscription_id IS NULL
           AND CAST(data ->> 'billing_key_id' AS bigint) = ANY(CAST(:keys AS bigint[])))
      AND CAST(data ->> 'at' AS timestamptz) >= :since
    ORDER BY id
    """  # noqa: S608 - made of constants only
)


async def _tries(connection: AsyncConnection, ids: Sequence[int]) -> Mapping[int, list[Try]]:
    found: defaultdict[int, list[Try]] = defaultdict(list)
    for row in await connection.execute(_TRIES, {"ids": list(ids)}):
        found[row.invoice_id].append(
            Try(
                row.number,
                AttemptStatus(row.status),
                row.at,
                row.amount,
                AttemptOrigin(row.origin),
                row.send_number,
                row.settled_at,
            )
        )
    return found


async def _subscribers(
    connection: AsyncConnection, ids: Sequence[UUID]
) -> tuple[Mapping[UUID, Subscriber], Mapping[UUID, int]]:
    """Return subscriptions as they stand, and their billing keys."""
    rows = list(await connection.execute(_SUBSCRIBERS, {"ids": list(ids)}))
    subscribers = {
        row.id: Subscriber(
            BillingKeyStatus(row.key_status),
            row.dunning_enabled,
            row.next_period_index,
            row.next_renewal_at,
            row.cancel_at,
        )
        for row in rows
    }
    return subscribers, {row.id: row.billing_key_id for row in rows}


async def _told(
    connection: AsyncConnection, forecast: Forecast, keys_of: Mapping[UUID, int]
) -> Mapping[UUID, list[Told]]:
    """Return what was told of subscriptions since a forecast was made."""
    owners: defaultdict[int, list[UUID]] = defaultdict(list)
    for id_, key_id in keys_of.items():
        owners[key_id].append(id_)
    values = {
        "events_until": forecast.events_until,
        "since": forecast.made_at - MARGIN,
        "ids": list(keys_of),
        "keys": list(owners),
    }
    found: defaultdict[UUID, list[Told]] = defaultdict(list)
    for row in await connection.execute(_TOLD, values):
        told = Told(EventName(row.name), row.at, row.period_index, row.invoice_id)
        of = owners[row.billing_key_id] if row.subscription_id is None else [row.subscription_id]
        for id_ in of:
            found[id_].append(told)
    return found


def _facts(
    key: Key,
    expected: Mapping[Key, Expected],
    bills: Mapping[Key, Bill],
    tries: Mapping[int, Sequence[Try]],
    subscribers: Mapping[UUID, Subscriber],
    told: Mapping[UUID, Sequence[Told]],
) -> Facts:
    bill = bills.get(key)
    return Facts(
        key[0],
        key[1],
        expected.get(key),
        bill,
        () if bill is None else tuple(tries.get(bill.id, ())),
        subscribers[key[0]],
        tuple(told.get(key[0], ())),
    )


def _bill(row: Row[Any]) -> Bill:
    return Bill(
        row.id,
        InvoiceStatus(row.status),
        row.amount,
        row.period_start_at,
        row.next_attempt_at,
        row.past_due_at,
        row.collection_stopped,
        row.message,
    )
