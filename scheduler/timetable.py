"""When to look: a table of scans. Beat only says "look now"; every scan asks "<= now"."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from shared.billing.daily import DailyTime
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
    contracts.DispatchReservations,
)

# How often beat says "look" about what is done once a day.
DAILY_LOOK_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class Daily:
    """What is done once a day of Korea's, from a time of day on.

    Beat says "look" all day long. Whoever is told asks rows whether the newest day that is due
    (``DailyTime.latest``) has been done: so a beat that was away at the time, a message that was
    lost and a work that was broken off cost some minutes, never the day.

    Attributes:
        at: From when on it is due by the settings, or None where it is switched off.
    """

    job: type[contracts.Job]
    at: Callable[[Settings], DailyTime | None]


DAILY: tuple[Daily, ...] = (
    Daily(contracts.ReconcileBooks, lambda settings: settings.reconcile_time),
    Daily(contracts.ForeseeDay, lambda settings: settings.forecast_time),
)


def timetable(settings: Settings) -> dict[str, dict[str, Any]]:
    """Return beat's schedule.

    A tick expires when the next one comes, so a scan worker that was away is not greeted by a pile.
    """
    looks = [(scan, settings.scan_interval_s) for scan in SCANS]
    # Not among the scans: it looks at the database as a whole, and no row waits for it.
    looks.append((contracts.MarkDatabase, settings.scan_interval_s))
    looks += [(daily.job, DAILY_LOOK_S) for daily in DAILY if daily.at(settings) is not None]
    looks.append((contracts.CheckInvariants, settings.check_interval_s))
    return {
        job.task: {
            "task": job.task,
            "schedule": interval_s,
            "options": {"queue": job.queue, "expires": max(1.0, interval_s)},
        }
        for job, interval_s in looks
    }
