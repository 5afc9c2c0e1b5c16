"""Hold a day against what was foreseen of it, and explain every difference."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.errors import InvalidForecastError
from shared.billing.forecast import Day, Forecast, Sum, canonical
from shared.billing.forecast_explained import explain
from shared.billing.forecast_facts import Asked, Explained, Reason
from shared.clock import Clock
from shared.db import forecast_readings, forecast_verdicts, forecasts
from shared.db.engine import Database
from worker.services.forecast import rules_told
from worker.services.forecast_rows import ForecastRules

# Takes the differences of a lot, in order.
Take: TypeAlias = Callable[[Sequence[Explained]], None]


@dataclass(slots=True)
class Outcome:
    """How many periods came out in one way, and what that meant in won."""

    count: int = 0
    foreseen: int = 0
    collected: int = 0

    def as_json(self) -> dict[str, int]:
        """Return it for machines."""
        difference = self.collected - self.foreseen
        return {
            "count": self.count,
            "foreseen": self.foreseen,
            "collected": self.collected,
            "difference": difference,
        }


@dataclass(slots=True)
class Verdict:
    """What became of a forecast.

    Attributes:
        is_intact: Whether its rows are those that were kept, by its digest.
        settings_differ: Whether the settings are others by now.
        left_alone: How many periods were not to be charged, and were not.
        outcomes: What became of everything else, by reason: their sums lead from what was foreseen
            to what was collected.
    """

    forecast: Forecast
    is_intact: bool
    settings_differ: bool
    left_alone: int = 0
    outcomes: dict[Reason, Outcome] = field(default_factory=dict)

    def add(self, explained: Explained) -> None:
        """Count what became of a period."""
        outcome = self.outcomes.setdefault(explained.reason, Outcome())
        outcome.count += 1
        outcome.foreseen += explained.foreseen
        outcome.collected += explained.collected

    @property
    def foreseen(self) -> Sum:
        """What was to be charged on the day."""
        return Sum(**self.forecast.totals["charges"])

    @property
    def collected(self) -> int:
        """What was paid on the day, in won."""
        return sum(outcome.collected for outcome in self.outcomes.values())

    @property
    def unexplained(self) -> int:
        """Of how many periods nobody can say why they came out as they did."""
        return self.outcomes.get(Reason.UNEXPLAINED, Outcome()).count

    @property
    def is_good(self) -> bool:
        """Whether nobody needs to look."""
        return self.is_intact and not self.unexplained

    def as_json(self) -> dict[str, Any]:
        """Return it for machines."""
        return {
            "forecast": self.forecast.as_json(),
            "intact": self.is_intact,
            "settings_differ": self.settings_differ,
            "foreseen": self.foreseen.as_json(),
            "collected": self.collected,
            "left_alone": self.left_alone,
            "outcomes": {
                reason: self.outcomes[reason].as_json()
                for reason in Reason
                if reason in self.outcomes
            },
            "unexplained": self.unexplained,
        }


def _nowhere(_explained: Sequence[Explained]) -> None:
    """Take nothing: the sums are enough."""


@dataclass(frozen=True, slots=True)
class VerifyForecasts:
    """Compare a day that is over with its forecast; nothing is written."""

    database: Database
    clock: Clock
    rules: ForecastRules

    async def __call__(self, day: Day, take: Take = _nowhere) -> Verdict:
        """Return what became of the forecast of a day.

        Raises:
            InvalidForecastError: The day is not over, or no forecast of it was kept.
        """
        async with self.database.transaction() as connection:
            await forecast_readings.take_snapshot(connection)
            return await self._verify(connection, day, take)

    async def _verify(self, connection: AsyncConnection, day: Day, take: Take) -> Verdict:
        if self.clock.now() < day.ends_at:
            message = f"{day} is not over: it can be verified from {day.ends_at.isoformat()} on"
            raise InvalidForecastError(message)
        forecast = await forecasts.of_day(connection, day)
        if forecast is None:
            message = f"no forecast of {day} was kept: keep one before the day, with --store"
            raise InvalidForecastError(message)
        differ = _differ(forecast.rules, rules_told(self.rules))
        digest = await forecasts.digest_of(connection, forecast)
        verdict = Verdict(forecast, digest == forecast.digest, differ)
        agreed = await forecast_verdicts.agreed(connection, forecast)
        verdict.left_alone = agreed.left_alone
        if agreed.paid:
            verdict.outcomes[Reason.AS_FORESEEN] = Outcome(
                agreed.paid, agreed.amount, agreed.amount
            )
        asked = Asked(day, forecast.made_at, differ)
        async for keys in forecast_verdicts.different(connection, forecast):
            facts = await forecast_verdicts.facts_of(connection, forecast, keys)
            explained = [explain(each, asked) for each in facts]
            for each in explained:
                verdict.add(each)
            take(explained)
        return verdict


def _differ(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    return canonical(before) != canonical(now)
