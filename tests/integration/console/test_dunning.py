"""`dalmada dunning simulate`."""

from datetime import timedelta

import pytest

from shared.clock import WallClock
from tests.integration.console.commands import Commands
from tests.support.billing import World
from tests.support.book import Ending
from tests.support.wishes import try_invoice

DAY = timedelta(days=1)


@pytest.fixture
def history(world: World) -> None:
    """One invoice paid at the third attempt, one never paid, one by its buyer, one at once."""
    world.clock.instant = WallClock().now() - 60 * DAY

    async def live() -> None:
        declined = [Ending.DECLINED]
        script = world.gateway.script
        await world.open_invoices()
        script.extend(declined)
        await world.charge_all()
        for ending in (declined, []):
            world.pass_time(5 * DAY)
            script.extend(ending)
            await world.charge_all()
        await world.open_invoices()
        for wait in (0, 5, 5, 7):
            world.pass_time(wait * DAY)
            script.extend(declined)
            await world.charge_all()
        (buyers,) = await world.open_invoices()
        script.extend(declined)
        await world.charge_all()
        world.pass_time(DAY)
        await try_invoice(world, buyers)
        await world.charge_all()
        await world.open_invoices()
        await world.charge_all()

    world.run(live())


@pytest.mark.usefixtures("history")
class TestAReplay:
    def test_gives_programs_one_document(self, dalmada: Commands) -> None:
        done = dalmada("dunning", "simulate", "--delays", "10d", "--json")
        assert done.status == 0
        document = done.json
        assert document["policy"]["delays_s"] == [864_000]
        assert (document["invoices"], document["amount"]) == (3, 29_700)
        assert document["history"]["paid"] == 2
        assert document["history"]["attempts"] == 3 + 4 + 1
        replayed = document["replayed"]
        assert (replayed["paid_at_least"], replayed["paid_at_most"]) == (2, 2)
        assert replayed["endings"]["recovered"] == {"invoices": 1, "amount": 9_900}
        assert replayed["endings"]["by_buyer"]["invoices"] == 1
        assert replayed["endings"]["unpaid"]["invoices"] == 1
        assert replayed["attempts"] == 2 + 2 + 1

    def test_tells_people_what_it_rests_on(self, dalmada: Commands) -> None:
        done = dalmada("dunning", "simulate", "--delays", "1d")
        assert done.status == 0
        assert "paid in fact" in done.out
        assert "Assumed: what was refused at some instant" in done.out
        assert "lost" in done.out

    def test_looks_back_no_further_than_asked(self, dalmada: Commands) -> None:
        done = dalmada("dunning", "simulate", "--days", "1")
        assert done.status == 0
        assert "there is nothing to replay" in done.out

    def test_changes_nothing(self, dalmada: Commands, world: World) -> None:
        tables = "invoices", "payment_attempts", "events", "subscriptions"
        before = [world.run(world.rows(f"SELECT * FROM {table}")) for table in tables]  # noqa: S608
        assert dalmada("dunning", "simulate", "--grace", "14d").status == 0
        after = [world.run(world.rows(f"SELECT * FROM {table}")) for table in tables]  # noqa: S608
        assert before == after


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--delays", "2"), "a time is written like 2d"),
        (("--delays", "0d"), "a time is written like 2d"),
        (("--class-delays", "poverty=2d"), "begins with one of"),
        (("--delays", ",".join(["1d"] * 15)), "makes 16 attempts"),
        (("--attempts-max", "3"), "makes 4 attempts"),
        (("--pay-days", "10th"), "takes days of the month, such as 10,25"),
        (("--pay-days", "32"), "pay-days must be days of a month"),
    ],
)
def test_a_policy_that_cannot_be_followed_is_refused_in_words(
    dalmada: Commands, arguments: tuple[str, ...], why: str
) -> None:
    done = dalmada("dunning", "simulate", *arguments)
    assert done.status == 2
    assert why in done.err
    assert "Traceback" not in done.err


def test_a_class_may_follow_the_general_schedule(dalmada: Commands) -> None:
    done = dalmada(
        "dunning",
        "simulate",
        *("--class-delays", "gateway_trouble=general", "--class-delays", "limit=1d,20d"),
        *("--grace", "0d", "--pay-day-within", "0", "--pay-days", "5", "--attempts-max", "4"),
        "--json",
    )
    assert done.status == 0
    assert done.json["policy"]["class_delays_s"] == {"limit": [86_400, 1_728_000]}
    assert (done.json["policy"]["pay_days"], done.json["policy"]["attempts_max"]) == ([5], 4)
    assert done.json["policy"]["grace_period_s"] is None
