"""Roles: a day is foreseen by the logins of the worker and of the console."""

from datetime import timedelta

import pytest

from deploy.launcher.servers import OwnServers
from shared.billing.calendar import BillingCycle
from shared.billing.daily import DailyTime
from shared.billing.forecast import Day
from shared.billing.renewal import RenewalPolicies
from shared.clock import WallClock
from shared.db.grants import Role
from tests.integration.console.commands import Commands
from tests.integration.db.logins import (
    StaffedWorld,
    acting,
    console_environment,
)
from tests.support.billing import MONTHLY
from worker.services.forecast import ForeseeDay, ForeseeDays
from worker.services.forecast_rows import ForecastRules

AT = DailyTime.parse("21:00")


pytestmark = pytest.mark.usefixtures("logins_of_all")


def test_a_day_is_foreseen_and_verified(
    staffed: StaffedWorld, module_url: str, servers: OwnServers
) -> None:
    """The evening before by beat, in which an old one is let go of; by hand once it is over."""
    yesterday = Day.of(WallClock().now() - timedelta(days=1))
    evening = yesterday.begins_at - timedelta(hours=3)
    rules = ForecastRules(RenewalPolicies(minimum_amount=10), staffed.rules)

    async def live() -> list[str]:
        cycle = BillingCycle(yesterday.begins_at + timedelta(hours=12), MONTHLY)
        staffed.clock.instant = evening
        await staffed.subscribe(cycle=cycle)
        make = ForeseeDays(staffed.database, staffed.clock, rules, timedelta(days=1))
        endings = []
        for at in (evening - timedelta(days=9), evening):
            staffed.clock.instant = at
            with acting(Role.WORKER):
                endings.append(await ForeseeDay(make, AT)())
        staffed.clock.instant = cycle.anchor_at
        with acting(Role.SCHEDULER):
            await staffed.renew()
        await staffed.charge_all()
        return endings

    assert staffed.run(live()) == ["foreseen 0", "foreseen 1"]
    assert len(staffed.run(staffed.rows("SELECT FROM forecasts"))) == 1
    redis = servers.valkey.url.removesuffix("/0") + "/8"
    dalmada = Commands(console_environment(module_url, redis))
    for arguments in (("verify", "--json"), ("--store", "--json"), ("--json",)):
        done = dalmada("forecast", *arguments)
        assert (done.status, done.err) == (0, ""), arguments
