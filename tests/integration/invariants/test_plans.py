"""Invariants cost little however large the tables are: an index serves every look at them.

The plans are made as for tables where a scan would be dear; what no index serves is scanned whole
all the same, and found here. What a look costs at a million invoices is measured by
``python -m tests.bench.invariants``.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db.invariant import Invariant
from shared.db.invariants import INVARIANTS
from tests.integration.invariants.household import Household

# There are a handful of merchants' endpoints, and one hold and one installation at most.
SMALL = {"endpoints", "gateway_holds", "installation"}
DEAR = ("enable_seqscan", "enable_hashjoin", "enable_mergejoin")
UNSERVED = Invariant(
    "unserved",
    "Never.",
    "Nothing.",
    """
    SELECT 'invoice ' || id AS subject, paid_at AS since FROM invoices
    WHERE order_name = 'nothing' LIMIT :limit
    """,
)


@pytest.mark.parametrize("invariant", INVARIANTS, ids=lambda invariant: invariant.name)
def test_no_table_is_read_whole(house: Household, invariant: Invariant) -> None:
    assert house.world.run(_unserved(house, invariant)) == []


def test_a_table_that_is_read_whole_is_found(house: Household) -> None:
    (unserved,) = house.world.run(_unserved(house, UNSERVED))
    assert "invoices" in unserved


async def _unserved(house: Household, invariant: Invariant) -> list[str]:
    """Return every look at a table that no condition on an index narrows."""
    async with house.world.database.engine.connect() as connection:
        for setting in DEAR:
            await connection.execute(text(f"SET LOCAL {setting} = off"))
        partial = await _partial_indexes(connection)
        plan = await _plan(connection, house, invariant)
        await connection.rollback()
    return [
        f"{node['Node Type']} of {node.get('Relation Name', node.get('Index Name'))}"
        for node in _nodes(plan)
        if _reads_all(node, partial)
    ]


async def _partial_indexes(connection: AsyncConnection) -> set[str]:
    rows = await connection.execute(
        text("SELECT CAST(CAST(indexrelid AS regclass) AS text) FROM pg_index WHERE indpred <> ''")
    )
    return set(rows.scalars())


async def _plan(
    connection: AsyncConnection, house: Household, invariant: Invariant
) -> Mapping[str, Any]:
    values: dict[str, Any] = {
        "now": house.now,
        "before": house.now,
        "deadline": timedelta(days=1),
        "limit": 100,
        "consent_required": True,
        "low": 0,
        "high": 10_000,
    }
    said = await connection.scalar(text(f"EXPLAIN (FORMAT JSON) {invariant.query}"), values)
    plans = said if isinstance(said, list) else json.loads(str(said))
    plan: Mapping[str, Any] = plans[0]["Plan"]
    return plan


def _nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from _nodes(below)


def _reads_all(node: Mapping[str, Any], partial: set[str]) -> bool:
    kind = node["Node Type"]
    if kind == "Seq Scan":
        return node["Relation Name"] not in SMALL
    if "Index" not in kind or node.get("Relation Name") in SMALL:
        return False
    return "Index Cond" not in node and node["Index Name"] not in partial
