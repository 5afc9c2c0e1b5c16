"""Every day is compared once, whoever is told to look and however often; so are missed ones."""

from dataclasses import replace
from datetime import datetime, timedelta

import httpx
import pytest
from structlog.testing import capture_logs

from shared.billing.charge_hours import KST
from shared.billing.daily import DailyTime
from shared.db import reconciliation_runs as runs
from shared.db.invariant import Bounds, find
from shared.db.invariants import INVARIANTS
from tests.support.billing import World
from tests.support.books import DAY, Books
from worker.services.reconcile import AGAIN_AFTER, LEASE
from worker.services.reconcile_daily import DAYS_MAX, Alive, ReconcileDay
from worker.services.survey import SurveySchedules

HALF_PAST_FOUR = DailyTime.parse("04:30")


@pytest.fixture
def books(world: World) -> Books:
    """A world that charges at a sandbox of its own, at one in the morning in Korea."""
    world.clock.instant = datetime(2026, 3, 10, 1, tzinfo=KST)
    return Books(world)


def look(books: Books, at: DailyTime | None = HALF_PAST_FOUR) -> str:
    """Work the message that beat sends all day."""
    return books.world.run(reconcile_day(books, at)())


def reconcile_day(books: Books, at: DailyTime | None = HALF_PAST_FOUR) -> ReconcileDay:
    """Return the service, as a worker has it."""
    world = books.world
    survey = SurveySchedules(world.database, books.gateway, world.clock)
    return ReconcileDay(world.database, books.reconciler(), world.clock, at, survey)


def windows(books: Books, status: str = "done") -> list[tuple[str, str]]:
    """Return the windows that were compared, in Korean dates."""
    rows = books.world.run(
        books.world.rows(
            "SELECT since, until FROM reconciliation_runs WHERE status = :s ORDER BY until",
            s=status,
        )
    )
    return [tuple(f"{at.astimezone(KST):%d %H:%M}" for at in row) for row in rows]  # type: ignore[misc]


def test_yesterday_is_compared_once_and_not_before_its_time(books: Books) -> None:
    # By half past four the day before yesterday was the newest that was due.
    assert look(books) == "0 differing"
    assert windows(books) == [("08 00:00", "09 00:00")]
    assert look(books) == "nothing due"
    books.world.pass_time(timedelta(hours=3, minutes=29, seconds=59))
    assert look(books) == "nothing due"
    books.world.pass_time(timedelta(seconds=1))
    assert [look(books), look(books)] == ["0 differing", "nothing due"]
    assert windows(books) == [("08 00:00", "09 00:00"), ("09 00:00", "10 00:00")]


def test_days_that_were_missed_are_compared_one_after_the_other(books: Books) -> None:
    assert look(books) == "0 differing"
    books.world.pass_time(3 * DAY)
    assert [look(books) for _ in range(4)] == ["0 differing"] * 3 + ["nothing due"]
    assert [until for _, until in windows(books)] == [f"{day:02} 00:00" for day in range(9, 13)]


def test_a_standstill_of_weeks_is_not_made_up_for_by_itself(books: Books) -> None:
    assert look(books) == "0 differing"
    books.world.pass_time(60 * DAY)
    with capture_logs() as logged:
        looks = [look(books) for _ in range(DAYS_MAX + 1)]
    assert looks == ["0 differing"] * DAYS_MAX + ["nothing due"]
    # It is told once that days were left out for good.
    (skipped,) = [line for line in logged if line["event"] == "reconciliation_days_skipped"]
    told = {name: skipped[name] for name in ("since", "until", "days", "log_level")}
    assert told == {
        "since": "2026-03-09T00:00:00+09:00",
        "until": "2026-05-01T00:00:00+09:00",
        "days": 53,
        "log_level": "error",
    }


def missed(books: Books) -> list[str]:
    """Return the days that were to be compared and were not."""
    world = books.world
    (invariant,) = [each for each in INVARIANTS if each.name == "day_not_compared"]
    found = world.run(
        world.database.run(
            lambda connection: find(connection, invariant, Bounds(), world.clock.now())
        )
    )
    return [each.subject for each in found]


def test_days_without_a_run_between_others_are_missed_until_somebody_compares_them(
    books: Books,
) -> None:
    world = books.world
    assert look(books) == "0 differing"
    world.pass_time(10 * DAY)
    while look(books) != "nothing due":
        pass
    # The 10th to the 18th were to be compared, a week of them was.
    assert missed(books) == ["day 2026-03-09", "day 2026-03-10", "day 2026-03-11"]

    async def by_hand() -> None:
        since = datetime(2026, 3, 9, tzinfo=KST)
        lease_until = world.clock.now() + LEASE
        run = await world.database.run(
            lambda connection: runs.begin(connection, since, since + 2 * DAY, lease_until)
        )
        assert await books.reconciler()(run) is not None

    world.run(by_hand())
    assert missed(books) == ["day 2026-03-11"]
    # What was let lie for two weeks is not asked about for ever.
    for _ in range(16):
        world.pass_time(DAY)
        look(books)
    assert missed(books) == []


def test_a_run_that_never_arrives_is_missed_after_36_hours(books: Books) -> None:
    world = books.world
    assert missed(books) == []
    assert look(books) == "0 differing"
    (run,) = world.run(world.rows("SELECT id FROM reconciliation_runs"))
    world.pass_time(timedelta(hours=35, minutes=59))
    assert missed(books) == []
    world.pass_time(timedelta(minutes=1))
    assert missed(books) == [f"reconciliation {run.id}"]
    world.run(
        world.rows(
            """
            INSERT INTO installation (installation_id, mark, marked_at, restored_at, cause)
            VALUES (gen_random_uuid(), 1, now(), now(), 'older than what was billed from')
            """
        )
    )
    assert missed(books) == []


def test_a_survey_keeps_its_run_alive(books: Books) -> None:
    """However long PortOne's list is: nobody begins the run anew beside it."""
    world = books.world
    beside = []

    async def survey(alive: Alive) -> int:
        for _ in range(3):
            world.pass_time(LEASE - timedelta(seconds=1))
            await alive()
            beside.append(await reconcile_day(books)())
        return 0

    day = replace(reconcile_day(books), survey=survey)
    assert world.run(day()) == "0 differing"
    assert beside == ["nothing due"] * 3


def test_a_survey_whose_run_was_begun_anew_leaves_it_alone(books: Books) -> None:
    world = books.world
    beside = []

    async def survey(_alive: Alive) -> int:
        world.pass_time(LEASE)
        beside.append(await reconcile_day(books)())
        return 0

    day = replace(reconcile_day(books), survey=survey)
    assert world.run(day()) == "lost"
    assert beside == ["0 differing"]


def test_it_is_told_how_much_differs(books: Books) -> None:
    (payment,) = books.world.run(books.live(1))
    books.cancel(payment, 500)
    books.world.pass_time(DAY)
    # The day before the first that was ever compared is nobody's.
    books.world.pass_time(timedelta(hours=4))
    assert look(books) == "1 differing"


def test_one_that_failed_is_tried_again_later_and_does_not_hold_up_the_next(books: Books) -> None:
    world = books.world

    def away(_path: str) -> None:
        message = "no one listens"
        raise httpx.ConnectError(message)

    books.transport.before = away
    assert [look(books), look(books)] == ["failed", "nothing due"]
    books.transport.before = lambda _path: None
    world.pass_time(AGAIN_AFTER)
    assert [look(books), look(books)] == ["0 differing", "nothing due"]
    (row,) = world.run(world.rows("SELECT tries, fault FROM reconciliation_runs"))
    assert (row.tries, row.fault) == (2, None)


def test_one_whose_process_died_is_begun_anew_after_its_lease(books: Books) -> None:
    world = books.world

    def dies(_step: str, _done: int, /) -> None:
        raise KeyboardInterrupt

    world.run(books.live(1))
    world.pass_time(DAY + timedelta(hours=4))
    reconciler = replace(books.reconciler(), watch=dies)
    day = replace(reconcile_day(books), reconcile=reconciler)
    with pytest.raises(KeyboardInterrupt):
        world.run(day())
    assert look(books) == "nothing due"
    assert len(world.run(world.rows("SELECT FROM gateway_records"))) == 1
    world.pass_time(LEASE)
    assert look(books) == "0 differing"
    assert not world.run(world.rows("SELECT FROM gateway_records"))


def test_what_a_death_at_the_very_end_left_behind_is_forgotten(books: Books) -> None:
    world = books.world
    assert look(books) == "0 differing"
    world.run(
        world.rows(
            """
            INSERT INTO gateway_records (
                run_id, imp_uid, merchant_uid, status, amount, cancelled_amount, of_our_shape
            ) SELECT id, 'imp_1', 'uid', 'paid', 1, 0, false FROM reconciliation_runs
            """
        )
    )
    assert look(books) == "nothing due"
    assert not world.run(world.rows("SELECT FROM gateway_records"))


def test_a_restored_database_is_recovered_before_its_books_are_compared(books: Books) -> None:
    world = books.world
    world.run(
        world.rows(
            """
            INSERT INTO installation (installation_id, mark, marked_at, restored_at, cause)
            VALUES (gen_random_uuid(), 1, now(), now(), 'older than what was billed from')
            """
        )
    )
    assert look(books) == "nothing due"
    world.run(world.rows("UPDATE installation SET restored_at = NULL, cause = NULL"))
    assert look(books) == "0 differing"


def test_it_can_be_switched_off(books: Books) -> None:
    assert look(books, None) == "off"
    assert windows(books) == []
