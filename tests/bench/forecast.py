"""`python -m tests.bench.forecast`: foreseeing a day, and verifying it, of so many subscriptions.

A database of its own holds as many subscriptions, all of which renew on the day unless it is said
otherwise. The day is foreseen and kept, then charged by one statement, and verified. Some of it is
charged otherwise, and no figure is printed unless exactly that was found.
"""

import argparse
import asyncio
import json
import resource
import sys
import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeVar

import psycopg

from deploy.launcher.servers import temporary_servers
from shared.billing.attempt import Leases
from shared.billing.forecast import Day
from shared.billing.forecast_facts import Explained, Reason
from shared.billing.renewal import RenewalPolicies
from shared.billing.rules import CollectionRules
from shared.clock import FixedClock
from shared.db.engine import Database, connect
from tests.support.databases import fresh_database, make_template
from worker.services.forecast import ForeseeDays
from worker.services.forecast_rows import ForecastRules
from worker.services.forecast_verify import VerifyForecasts

R = TypeVar("R")

_DAY = Day(date(2026, 2, 3))
_MADE_AT = datetime(2026, 2, 2, 12, tzinfo=UTC)
_AMOUNT = 9_900
# Of so many charges one is declined, and one is of another sum than was foreseen.
_EVERY = 1_000
_LEASES = Leases(*(timedelta(seconds=each) for each in (30, 75, 120, 180)))
_RULES = ForecastRules(RenewalPolicies(minimum_amount=10), CollectionRules(_LEASES))

_FILL = """
    WITH numbered AS (SELECT number FROM generate_series(1, %(count)s) AS number), keys AS (
        INSERT INTO billing_keys (id, customer_uid) OVERRIDING SYSTEM VALUE
        SELECT number, 'customer-' || number FROM numbered
    )
    INSERT INTO subscriptions (
        id, billing_key_id, amount, tax_free, order_name, interval_unit, interval_count,
        anchor_at, time_zone, next_period_index, next_renewal_at, consented_amount
    )
    SELECT CAST(md5(CAST(number AS text)) AS uuid), number, %(amount)s, 0, '구독', 'month', 1,
        begins_at - interval '1 month', 'Asia/Seoul', 1, begins_at, %(amount)s
    FROM numbered, LATERAL (
        SELECT CAST('2026-02-02 15:00Z' AS timestamptz) + make_interval(
            days => number %% %(days)s, secs => number %% 86400) AS begins_at
    ) AS due
"""
_CHARGE = """
    WITH foreseen AS (
        SELECT row_number() OVER (ORDER BY subscription_id) AS number, e.*
        FROM expected_charges e
    ), opened AS (
        INSERT INTO invoices (
            id, subscription_id, period_index, period_start_at, period_end_at, amount, tax_free,
            order_name, lines, status, paid_at
        ) OVERRIDING SYSTEM VALUE
        SELECT number, subscription_id, period_index, at, at + interval '1 month', amount, 0,
            '구독', '[]', CASE WHEN number %% %(every)s = 1 THEN 'open' ELSE 'paid' END,
            CASE WHEN number %% %(every)s <> 1 THEN at END
        FROM foreseen
    ), tried AS (
        INSERT INTO payment_attempts (
            id, invoice_id, number, send_number, merchant_uid, billing_key_id, amount, tax_free,
            status, claimed_at, lease_until, imp_uid, settled_at
        ) OVERRIDING SYSTEM VALUE
        SELECT number, number, 1, 1, 'uid-' || number, 1,
            amount + CASE WHEN number %% %(every)s = 2 THEN 1 ELSE 0 END, 0,
            CASE WHEN number %% %(every)s = 1 THEN 'declined' ELSE 'paid' END, at, at,
            'imp_' || number, at
        FROM foreseen
    )
    INSERT INTO payments (id, imp_uid, merchant_uid, attempt_id, amount, tax_free, paid_at)
    OVERRIDING SYSTEM VALUE
    SELECT number, 'imp_' || number, 'uid-' || number, number, amount, 0, at FROM foreseen
    WHERE number %% %(every)s <> 1
"""


@dataclass
class Unexplained:
    """Counts what a verification finds."""

    found: int = 0

    def __call__(self, differences: Sequence[Explained]) -> None:
        """Count those that nothing explains."""
        self.found += sum(each.reason is Reason.UNEXPLAINED for each in differences)


async def measure(database: Database, url: str) -> dict[str, Any]:
    """Foresee the day, charge it, verify it; raise unless what was found is what was planted."""
    clock = FixedClock(_MADE_AT)
    make = ForeseeDays(database, clock, _RULES, timedelta(days=90))
    made, foresee_s = await _timed(make(_DAY, is_kept=True))
    foreseen_mb = _peak_mb()
    charges = made.totals["charges"]["count"]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_CHARGE, {"every": _EVERY})
        connection.execute("VACUUM ANALYZE")
    clock.instant = _DAY.ends_at
    unexplained = Unexplained()
    check = VerifyForecasts(database, clock, _RULES)
    verdict, verify_s = await _timed(check(_DAY, unexplained))
    declined = verdict.outcomes[Reason.DECLINED].count
    planted = {"declined": -(-charges // _EVERY), "unexplained": -(-(charges - 1) // _EVERY)}
    if {"declined": declined, "unexplained": unexplained.found} != planted:
        message = f"{declined} declined and {unexplained.found} unexplained, not {planted}"
        raise AssertionError(message)
    return {
        "charges": charges,
        "foresee_s": round(foresee_s, 1),
        "foresee_peak_mb": foreseen_mb,
        "verify_s": round(verify_s, 1),
        "verify_peak_mb": _peak_mb(),
        "planted_and_found": planted,
    }


async def _timed(work: Awaitable[R]) -> tuple[R, float]:
    begun_s = time.monotonic()
    return await work, time.monotonic() - begun_s


def _peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1_024


async def _run(url: str, count: int, days: int) -> dict[str, Any]:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_FILL, {"count": count, "amount": _AMOUNT, "days": days})
        connection.execute("VACUUM ANALYZE")
    database = connect(url, connections_max=1, statement_timeout_s=600)
    try:
        return {"subscriptions": count, **await measure(database, url)}
    finally:
        await database.aclose()


def main() -> int:
    """Measure and print one line."""
    parser = argparse.ArgumentParser(prog="forecast", description=__doc__)
    parser.add_argument("--subscriptions", type=int, default=1_000_000)
    parser.add_argument("--days", type=int, default=1, help="over how many days they renew (1)")
    options = parser.parse_args()
    with temporary_servers() as servers:
        make_template(servers.postgres)
        with fresh_database(servers.postgres) as url:
            print(json.dumps(asyncio.run(_run(url, options.subscriptions, options.days))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
