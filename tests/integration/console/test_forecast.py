"""`dalmada forecast` and `dalmada forecast verify`."""

import uuid
from datetime import timedelta
from pathlib import Path

import pytest

from shared.billing.calendar import BillingCycle
from shared.billing.forecast import Day
from shared.billing.renewal import RenewalPolicies
from shared.clock import WallClock
from tests.integration.console.commands import Commands
from tests.support.agreements import Agreements
from tests.support.billing import MONTHLY, World
from tests.support.book import Ending
from worker.services.forecast import ForeseeDays
from worker.services.forecast_rows import ForecastRules

HOUR = timedelta(hours=1)
KEPT_FOR = timedelta(days=90)


def today() -> Day:
    return Day.of(WallClock().now())


@pytest.fixture
def tomorrow(world: World) -> Day:
    """Two renew tomorrow: one with a credit, one dearer than its buyer has agreed to."""
    day = today().following

    async def live() -> None:
        noon = BillingCycle(day.begins_at + 12 * HOUR, MONTHLY)
        cheaper, dearer = await world.subscribe(2, cycle=noon)
        await world.subscribe(cycle=BillingCycle(day.ends_at + HOUR, MONTHLY))
        agreements = Agreements(world)
        await agreements.adjust(cheaper, "credit", 900)
        await agreements.change(dearer, day.begins_at, amount=12_000)

    world.run(live())
    return day


@pytest.fixture
def yesterday(world: World) -> Day:
    """Yesterday was foreseen the evening before, and one of two charges was declined."""
    day = Day.of(WallClock().now() - timedelta(days=1))
    world.clock.instant = day.begins_at - 3 * HOUR

    async def live() -> None:
        cycle = BillingCycle(day.begins_at + 12 * HOUR, MONTHLY)
        await world.subscribe(2, cycle=cycle)
        rules = ForecastRules(RenewalPolicies(minimum_amount=10), world.rules)
        make = ForeseeDays(world.database, world.clock, rules, KEPT_FOR)
        await make(day, is_kept=True)
        world.clock.instant = day.begins_at + 12 * HOUR
        world.gateway.script.append(Ending.DECLINED)
        await world.renew()
        await world.charge_all()

    world.run(live())
    return day


class TestAForecast:
    def test_gives_programs_every_charge(self, dalmada: Commands, tomorrow: Day) -> None:
        done = dalmada("forecast", "--json")
        assert (done.status, done.err) == (0, "")
        document = done.json
        assert document["day"] == str(tomorrow)
        assert document["totals"]["charges"] == {"count": 2, "amount": 18_900}
        assert document["totals"]["consents_missing"] == {"price_increase": 1}
        assert sorted(charge["amount"] for charge in document["charges"]) == [9_000, 9_900]
        (kept,) = [charge for charge in document["charges"] if "missing" in charge]
        assert kept["missing"][0][:2] == ["price_increase", 12_000]
        (credited,) = [charge for charge in document["charges"] if "lines" in charge]
        assert credited["lines"] == [["credit", -900]]
        assert len(document["digest"]) == 64

    @pytest.mark.usefixtures("tomorrow")
    def test_writes_nothing_unless_it_is_to_be_kept(self, dalmada: Commands, world: World) -> None:
        assert dalmada("forecast").status == 0
        assert world.run(world.rows("SELECT FROM forecasts")) == []
        done = dalmada("forecast", "--date", "tomorrow", "--store", "--json")
        (row,) = world.run(world.rows("SELECT id, digest FROM forecasts"))
        assert (done.json["digest"], done.json["id"]) == (row.digest, str(row.id))
        assert len(world.run(world.rows("SELECT FROM expected_charges"))) == 2
        assert world.run(world.rows("SELECT FROM invoices")) == []

    @pytest.mark.usefixtures("tomorrow")
    def test_tells_people_the_sums_and_the_first_charges(self, dalmada: Commands) -> None:
        done = dalmada("forecast", "--limit", "1")
        assert done.fields()["will be charged"] == "2 · 18,900 KRW"
        assert done.fields()["consents missing"] == "price_increase 1"
        assert "Only 1 of 2 are shown" in done.out

    def test_is_a_page_that_loads_nothing(
        self, dalmada: Commands, tomorrow: Day, tmp_path: Path
    ) -> None:
        page = tmp_path / "forecast.html"
        done = dalmada("forecast", "--date", str(tomorrow), "--html", str(page))
        assert done.status == 0, done.err
        written = page.read_text("utf-8")
        assert "http" not in written
        assert "<script" not in written
        assert f"Charges foreseen for {tomorrow}" in written
        assert "12:00: 2 charges · 18,900 KRW" in written
        assert "12,000 KRW" in written
        assert "the price stays" in written

    @pytest.mark.parametrize(
        ("arguments", "status", "why"),
        [
            (("--date", "someday"), 2, "takes tomorrow, today, yesterday or a day like"),
            (("--date", "2020-01-01"), 1, "can be foreseen, not 2020-01-01"),
            (("--date", "2199-01-01"), 1, "can be foreseen, not 2199-01-01"),
            (("--json", "--html", "x.html"), 2, "two ways of telling it"),
            (("--html", "/no/such/folder/x.html"), 2, "No such file or directory"),
            (("verify", "--date", "today"), 1, "is not over: it can be verified from"),
            (("verify", "--date", "2020-01-01"), 1, "no forecast of 2020-01-01 was kept"),
        ],
    )
    def test_that_cannot_be_made_is_refused_in_words(
        self, dalmada: Commands, arguments: tuple[str, ...], status: int, why: str
    ) -> None:
        done = dalmada("forecast", *arguments)
        assert done.status == status
        assert why in done.err
        assert "Traceback" not in done.err

    def test_settings_that_contradict_each_other_are_refused(self, dalmada: Commands) -> None:
        done = dalmada("forecast", DALMADA_LEASE_S="20")
        assert done.status == 2
        assert "the lease" in done.err


class TestAVerification:
    @pytest.mark.usefixtures("yesterday")
    def test_leads_from_what_was_foreseen_to_what_was_collected(self, dalmada: Commands) -> None:
        done = dalmada("forecast", "verify")
        assert done.status == 0, done.out
        assert done.fields()["foreseen"] == "2 · 19,800 KRW"
        assert done.fields()["collected"] == "9,900 KRW"
        assert "refused by the buyer's means" in done.out
        assert done.fields()["unexplained"] == "0"

    def test_gives_programs_every_difference(self, dalmada: Commands, yesterday: Day) -> None:
        done = dalmada("forecast", "verify", "--date", str(yesterday), "--json")
        assert done.status == 0
        document = done.json
        assert document["intact"] is True
        assert document["settings_differ"] is False
        (declined,) = document["differences"]
        assert (declined["reason"], declined["foreseen"], declined["collected"]) == (
            "declined",
            9_900,
            0,
        )
        assert str(uuid.UUID(declined["subscription_id"])) == declined["subscription_id"]
        assert document["outcomes"]["as_foreseen"]["count"] == 1

    @pytest.mark.usefixtures("yesterday")
    def test_ends_with_1_where_nothing_explains_a_charge(
        self, dalmada: Commands, world: World
    ) -> None:
        paid = "SELECT id FROM payment_attempts WHERE status = 'paid'"
        world.run(
            world.rows(f"UPDATE payment_attempts SET amount = 1 WHERE id IN ({paid})")  # noqa: S608
        )
        done = dalmada("forecast", "verify")
        assert done.status == 1
        assert "UNEXPLAINED" in done.out
        assert "nothing that is known explains" in done.out

    @pytest.mark.usefixtures("yesterday")
    def test_ends_with_1_where_what_was_kept_was_changed(
        self, dalmada: Commands, world: World
    ) -> None:
        world.run(world.rows("UPDATE expected_charges SET note = 'another'"))
        done = dalmada("forecast", "verify")
        assert done.status == 1
        assert done.fields()["digest"] == "does NOT match what is kept"
