"""Foresee a day: who will be charged what, and why, as all rows stand at one instant."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias, TypeVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.charge_hours import ChargeHours
from shared.billing.daily import DailyTime
from shared.billing.dunning import DunningPolicy
from shared.billing.errors import BillingError, InvalidForecastError
from shared.billing.forecast import (
    DAYS_AHEAD_MAX,
    Day,
    Digest,
    Expected,
    Forecast,
    Totals,
    head_of,
)
from shared.billing.renewal import NOTHING
from shared.clock import Clock
from shared.db import forecast_readings, forecasts, renewals
from shared.db.engine import Database
from worker.services.forecast_rows import (
    ForecastRules,
    in_order,
    of_faulty,
    of_invoice,
    of_renewals,
)

R = TypeVar("R")

# Takes the rows of a lot, in order.
Take: TypeAlias = Callable[[Sequence[Expected]], None]


def _nowhere(_rows: Sequence[Expected]) -> None:
    """Take nothing: who stores a forecast need not see it."""


@dataclass(frozen=True, slots=True)
class ForeseeDays:
    """Make forecasts; nothing is written but the forecast itself, and that only where asked.

    Attributes:
        kept_for: After so long a day's forecasts are let go of when another one is kept.
    """

    database: Database
    clock: Clock
    rules: ForecastRules
    kept_for: timedelta

    async def __call__(self, day: Day, *, is_kept: bool, take: Take = _nowhere) -> Forecast:
        """Foresee a day, lot by lot: the memory does not grow with the subscriptions.

        Raises:
            InvalidForecastError: The day is over, or lies too far ahead.
        """
        return await self._at_one_instant(
            lambda connection: self._foresee(connection, day, is_kept=is_kept, take=take)
        )

    async def daily(self, at: DailyTime) -> str:
        """Keep a forecast of the day after the last time at which it was due, unless there is one.

        Returns how that ended, for people.
        """
        due_at = at.latest(self.clock.now())
        day = Day.of(due_at).following

        async def work(connection: AsyncConnection) -> str:
            if not await forecasts.begin(connection):
                return "under way"
            if await forecasts.is_made(connection, day, due_at):
                return "nothing due"
            made = await self._foresee(connection, day, is_kept=True, take=_nowhere)
            return f"foreseen {made.totals['charges']['count']}"

        return await self._at_one_instant(work)

    async def _at_one_instant(self, work: Callable[[AsyncConnection], Awaitable[R]]) -> R:
        """Do something in a transaction that sees one instant; it is kept as a whole, or not."""
        async with self.database.transaction() as connection:
            await forecast_readings.take_snapshot(connection)
            return await work(connection)

    async def _foresee(
        self, connection: AsyncConnection, day: Day, *, is_kept: bool, take: Take
    ) -> Forecast:
        now = self.clock.now()
        _require_ahead(day, now)
        events_until = await forecast_readings.newest_event(connection)
        told = rules_told(self.rules)
        head, totals = head_of(day, now, events_until, told), Totals()
        digest = Digest(head)
        forecast = Forecast(day, now, events_until, told, {}, "")
        async for rows in self._lots(connection, now, day.ends_at):
            for row in rows:
                totals.add(row, day)
            digest.add(rows)
            if is_kept:
                await forecasts.add(connection, forecast.id, rows)
            take(rows)
        sums = totals.as_json()
        done = Forecast(day, now, events_until, told, sums, digest.end(sums))
        if is_kept:
            await forecasts.keep(connection, done)
            await forecasts.forget(connection, Day.of(now - self.kept_for))
        return done

    async def _lots(
        self, connection: AsyncConnection, now: datetime, until: datetime
    ) -> AsyncIterator[list[Expected]]:
        """Return what is due until then, in order, in lots."""
        async for ids in forecast_readings.due(connection, until):
            rows = await self._renewals(connection, ids, now, until)
            due, faulty = await forecast_readings.due_invoices(connection, ids, until)
            rows += [of_faulty(each, now) for each in faulty]
            rows += [
                expected
                for item, cancel_at in due
                if (expected := of_invoice(item, cancel_at, self.rules, now)).at < until
            ]
            yield in_order(rows)

    async def _renewals(
        self,
        connection: AsyncConnection,
        ids: Sequence[UUID],
        now: datetime,
        until: datetime,
    ) -> list[Expected]:
        sound, faulty = await forecast_readings.standing(connection, ids, until)
        rows = [of_faulty(each, now) for each in faulty]
        gathered = await renewals.gather(connection, [each.subscription for each in sound], until)
        for standing in sound:
            subscription = standing.subscription
            try:
                if (fault := gathered.faulty.get(subscription.id)) is not None:
                    raise InvalidForecastError(fault)
                outstanding = gathered.of.get(subscription.id, NOTHING)
                rows += of_renewals(standing, outstanding, self.rules, now, until)
            except BillingError as error:
                rows.append(
                    of_faulty(
                        forecast_readings.Faulty(
                            subscription.id,
                            subscription.next_period_index,
                            subscription.next_renewal_at,
                            str(error),
                        ),
                        now,
                    )
                )
        return rows


@dataclass(frozen=True, slots=True)
class ForeseeDay:
    """Foresee the day after, once a day.

    Attributes:
        at: From when on, or None where it is switched off.
    """

    foresee: ForeseeDays
    at: DailyTime | None

    async def __call__(self) -> str:
        """Return how it ended, for people."""
        return "switched off" if self.at is None else await self.foresee.daily(self.at)


def _require_ahead(day: Day, now: datetime) -> None:
    """Refuse a day that is over, and one of which too much may change."""
    ahead = (day.date - Day.of(now).date).days
    if 0 <= ahead <= DAYS_AHEAD_MAX:
        return
    first = Day.of(now)
    last = Day.of(now + timedelta(days=DAYS_AHEAD_MAX))
    message = f"a day from {first} to {last} can be foreseen, not {day}"
    raise InvalidForecastError(message)


def rules_told(rules: ForecastRules) -> Mapping[str, Any]:
    """Return the settings that a forecast rests on, so that later ones can be held against them."""
    renewals_by = rules.renewals
    consent = renewals_by.consent
    return {
        "catch_up": renewals_by.catch_up.choice,
        "catch_up_periods_max": renewals_by.catch_up.periods_max,
        "consent_required": consent.required,
        "consent_days": consent.valid_for.days,
        "without_consent": consent.without,
        "minimum_amount": rules.minimum_amount,
        **_hours_told(rules.hours),
        **_dunning_told(rules.collection.dunning),
    }


def _hours_told(hours: ChargeHours) -> dict[str, Any]:
    return {
        "charge_hours": None if hours.open is None else str(hours.open),
        "maintenance_hours": [str(each) for each in hours.maintenance],
        "charge_spread_s": int(hours.spread.total_seconds()),
        "charge_on_holidays": hours.is_day_off is None,
    }


def _dunning_told(dunning: DunningPolicy) -> dict[str, Any]:
    return {
        "dunning_enabled": dunning.enabled,
        "dunning_key_attempts_max": dunning.key_attempts_max,
        "grace_period_s": None if dunning.grace is None else int(dunning.grace.total_seconds()),
    }
