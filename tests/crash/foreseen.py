"""The life in which a day is foreseen the evening before, and held against it when it is over."""

from datetime import timedelta

from shared.billing.calendar import Interval, IntervalUnit
from shared.billing.charge_hours import KST
from shared.billing.forecast import Day
from shared.clock import FixedClock
from shared.jobs.contracts import ForeseeDay
from tests.crash.story import Life, Scenario
from worker.services.forecast_rows import ForecastRules
from worker.services.forecast_verify import VerifyForecasts

# Beat's own gap is shorter; a death is waited for no longer than this.
_LOOK_AGAIN = timedelta(minutes=10)
_EVENING = 21


async def _subscribe(life: Life) -> bool:
    """Begin with a buyer who pays every day."""
    return await life.subscribe("buyer-1", interval=Interval(IntervalUnit.DAY))


async def _foreseen(life: Life) -> bool:
    """Have beat say "look" from the evening on, until the day after is foreseen."""
    now = life.installation.now
    if await life.count("forecasts"):
        return True
    evening = now.astimezone(KST).replace(hour=_EVENING, minute=0, second=0, microsecond=0)
    life.wakes_at = max(evening, life.notes.get("look", evening))
    if now < life.wakes_at:
        return False
    life.installation.broker.push(ForeseeDay())
    life.notes["look"] = life.wakes_at = now + _LOOK_AGAIN
    life.notes["day"] = Day.of(now).following
    return False


async def _verified(life: Life) -> bool:
    """Wait until the day is over, and find nothing unexplained."""
    installation, day = life.installation, life.notes["day"]
    # What was sent in the last minutes has been settled by then.
    life.wakes_at = day.ends_at + timedelta(hours=2)
    if installation.now < life.wakes_at:
        return False
    settings = installation.settings
    rules = ForecastRules(settings.renewal_policies, settings.collection_rules)
    clock = FixedClock(installation.now)
    verdict = await VerifyForecasts(installation.host.database, clock, rules)(day)
    assert verdict.is_good, verdict.as_json()
    assert verdict.foreseen.count == len(life.ids)
    assert await life.count("forecasts") == 1
    return True


FORESEEN: tuple[Scenario, ...] = (
    Scenario("day foreseen, and verified", [_subscribe, _foreseen, _verified], days=1.8),
)
