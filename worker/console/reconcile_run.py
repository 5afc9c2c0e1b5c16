"""One comparison of the books for an operator, who sees how far it is."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from shared.billing.events import Json
from shared.clock import WallClock
from shared.config import Settings
from shared.db import engine
from shared.db import reconciliation_runs as runs
from shared.db.engine import Database
from worker.bootstrap import books, gateway
from worker.console import session
from worker.console.endings import RefusedError
from worker.console.progress import progress
from worker.services.reconcile import LEASE, Watch

if TYPE_CHECKING:
    from shared.db.reconciliation_runs import Run

_CONNECTIONS_MAX = 2
_STATEMENT_TIMEOUT_S = 120.0
_BEGIN_RETRY_FOR_S = 3.0


def compare(settings: Settings, since: datetime, until: datetime) -> Mapping[str, Json]:
    """Compare the books of ``[since, until)`` and return the report.

    Raises:
        RefusedError: It could not be done; the text says why.
        DatabaseFaultError: The database is out of reach or refuses.
    """
    with (
        session.quietly(),
        session.faults_in_words(_STATEMENT_TIMEOUT_S),
        progress("asking the gateway") as watch,
    ):
        return asyncio.run(_compare(settings, since, until, watch))


async def _compare(
    settings: Settings, since: datetime, until: datetime, watch: Watch
) -> Mapping[str, Json]:
    clock = WallClock()
    database = engine.connect(
        settings.database_url.get_secret_value(),
        connections_max=_CONNECTIONS_MAX,
        statement_timeout_s=_STATEMENT_TIMEOUT_S,
    )
    try:
        async with gateway(settings, clock) as portone:
            reconcile = books(settings, database, portone, clock, watch)
            # A person waits; once it has begun, a server that restarts is waited for.
            hasty = Database(database.engine, retry_for_s=_BEGIN_RETRY_FOR_S)
            run = await _begin(hasty, since, until, clock.now() + LEASE)
            report = await reconcile(run)
            return report if report is not None else await _refuse(database, run)
    finally:
        await database.aclose()


async def _begin(
    database: Database, since: datetime, until: datetime, lease_until: datetime
) -> "Run":
    return await database.run(lambda connection: runs.begin(connection, since, until, lease_until))


async def _refuse(database: Database, run: "Run") -> Mapping[str, Json]:
    failed = await database.run(lambda connection: runs.get(connection, run.id))
    fault = None if failed is None else failed.fault
    raise RefusedError(
        f"the books could not be compared (run {run.id}): {fault or 'nobody knows why'}. Nothing"
        " was concluded; compare them again."
    )
