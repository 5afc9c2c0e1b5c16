"""What a first version of a billing worker does: the stand-ins that each exhibit is laid beside."""

import calendar
from collections.abc import Sequence
from datetime import date, datetime, timedelta


def chained_months(first: date, count: int) -> list[date]:
    """Count each renewal from the one before: what was clamped once stays clamped."""
    days = [first]
    while len(days) < count:
        days.append(_a_month_after(days[-1]))
    return days


def utc_months(anchor_at: datetime, count: int) -> list[datetime]:
    """Count months in UTC, whatever the buyer's calendar says."""
    found = []
    for number in range(count):
        years, month = divmod(anchor_at.month - 1 + number, 12)
        year, month = anchor_at.year + years, month + 1
        last = calendar.monthrange(year, month)[1]
        found.append(anchor_at.replace(year=year, month=month, day=min(anchor_at.day, last)))
    return found


def thirty_days(anchor_at: datetime, count: int) -> list[datetime]:
    """Take a month for thirty days."""
    return [anchor_at + timedelta(days=30 * number) for number in range(count)]


def same_wall_offset(anchor_at: datetime, count: int) -> list[datetime]:
    """Count days by their length in hours: a clock change moves the hour."""
    return [anchor_at + timedelta(hours=24 * number) for number in range(count)]


def found_by_equality(due_on: Sequence[date], looked_on: Sequence[date]) -> list[date]:
    """Look for what is due today: what was due while nobody looked is never found."""
    return [day for day in due_on if day in looked_on]


def found_in_a_window(
    due_at: Sequence[datetime], looked_at: Sequence[datetime], window: timedelta
) -> list[datetime]:
    """Look for what fell due within the last while; an outage that is longer loses it."""
    return [at for at in due_at if any(look - window <= at <= look for look in looked_at)]


def retried_on_timeout(replies: Sequence[str]) -> int:
    """Send again under a fresh id on every time-out; return how often money moved.

    A reply that was lost belongs to a charge that was made.
    """
    charged = 0
    for reply in replies:
        charged += reply in {"paid", "reply lost"}
        if reply != "reply lost":
            break
    return charged


def _a_month_after(day: date) -> date:
    year, month = day.year + day.month // 12, day.month % 12 + 1
    return date(year, month, min(day.day, calendar.monthrange(year, month)[1]))
