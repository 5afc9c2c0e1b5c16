"""What an operator may do with a difference between the books, which the console alone gives."""

from datetime import datetime
from typing import ClassVar

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.events import Json
from shared.billing.reconciliation import Repair
from shared.jobs.command import Command, Reason
from shared.jobs.contracts import Id
from worker.services.reconcile_repair import repair


class RepairDiscrepancy(Command):
    """Have a difference repaired as it is proposed, or mark it."""

    task: ClassVar[str] = "reconciliation.repair"
    # No worker works it.
    queue: ClassVar[str] = ""

    discrepancy_id: Id
    repair: Repair | None = None
    reason: Reason


async def repair_discrepancy(
    connection: AsyncConnection, command: RepairDiscrepancy, now: datetime
) -> dict[str, Json]:
    """Handle ``reconciliation.repair``."""
    return await repair(
        connection,
        command.discrepancy_id,
        command.repair,
        command.reason,
        command.command_id,
        now,
    )
