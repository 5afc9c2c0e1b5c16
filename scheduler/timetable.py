"""When to look: a table of scans. Beat only says "look now"; every scan asks "<= now"."""

from typing import Any

from shared.config import Settings
from shared.jobs import contracts

SCANS: tuple[type[contracts.Job], ...] = (
    contracts.RenewSubscriptions,
    contracts.DispatchInvoices,
    contracts.DispatchInquiries,
    contracts.DispatchRefunds,
    contracts.DispatchRelay,
    contracts.DispatchDeliveries,
    contracts.DispatchEndings,
    contracts.DispatchHints,
    contracts.AdvanceWindows,
    contracts.DispatchRemovals,
    contracts.GiveNotices,
    contracts.ResumeSubscriptions,
)


def timetable(settings: Settings) -> dict[str, dict[str, Any]]:
    """Return beat's schedule.

    A tick expires when the next one comes, so a scan worker that was away is not greeted by a pile.
    """
    return {
        scan.task: {
            "task": scan.task,
            "schedule": settings.scan_interval_s,
            "options": {"queue": scan.queue, "expires": max(1.0, settings.scan_interval_s)},
        }
        for scan in SCANS
    }
