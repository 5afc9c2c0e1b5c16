"""Whether PortOne's book and our rows agree at the end of a life, as an operator would ask."""

from datetime import timedelta

from shared.db import reconciliation_runs as runs
from tests.simulation.installation import START_AT, Installation
from tests.simulation.process import current_process
from worker.bootstrap import Services
from worker.services.reconcile import LEASE

_DAY = timedelta(days=1)


async def disagreements(installation: Installation) -> list[str]:
    """Compare the books of a whole life that is at rest; whatever waits for a person is wrong.

    Of what is parked nothing is said here: a dead letter says it, and the run watches it.
    """
    worker = installation.start_worker()
    assert isinstance(worker.services, Services)
    now = installation.now
    run = await installation.host.database.run(
        lambda connection: runs.begin(connection, START_AT - _DAY, now, now + LEASE)
    )
    token = current_process.set(worker.process)
    try:
        report = await worker.services.reconcile_day.reconcile(run)
    finally:
        current_process.reset(token)
        installation.kill(worker)
    if report is None:
        return ["the books could not be compared"]
    rows = await installation.rows(
        "SELECT difference, imp_uid, theirs, ours FROM discrepancies WHERE status = 'open'"
    )
    return [f"books differ: {row.difference} {row.imp_uid} {row.theirs} {row.ours}" for row in rows]
