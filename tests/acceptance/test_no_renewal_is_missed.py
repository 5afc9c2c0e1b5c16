"""Beats that stop, pause and come in pairs: every period is billed, or its skip is explained."""

import signal

import pytest

from shared.billing.calendar import Interval, IntervalUnit
from shared.db.invariants import INVARIANTS
from tests.support.system import System, ready

DAILY = Interval(IntervalUnit.DAY)


def periods(system: System) -> list[int]:
    """Return how far back each invoiced period lies: 0 is the one that runs now."""
    return [
        row["ago"]
        for row in system.rows(
            """
            SELECT s.next_period_index - 1 - i.period_index AS ago
            FROM invoices i JOIN subscriptions s ON s.id = i.subscription_id ORDER BY i.id
            """
        )
    ]


@pytest.mark.parametrize(
    ("system", "billed", "skipped"),
    [
        pytest.param({"DALMADA_CATCH_UP": "bill_latest"}, [0], 3, id="bill_latest"),
        pytest.param(
            {"DALMADA_CATCH_UP": "bill_all", "DALMADA_CATCH_UP_PERIODS_MAX": "4"},
            [3, 2, 1, 0],
            0,
            id="bill_all",
        ),
        pytest.param({"DALMADA_CATCH_UP": "forgive"}, [], 4, id="forgive"),
    ],
    indirect=["system"],
)
def test_a_beat_that_stood_still_for_three_periods_catches_up_by_the_policy(
    system: System, billed: list[int], skipped: int
) -> None:
    system.subscribe(interval=DAILY, periods_ago=3)

    system.start(workers=1)
    system.wait_until_collected()

    assert periods(system) == billed
    verdict = system.verdict()
    assert verdict.clean
    assert len(system.sandbox.paid()) == len(billed)
    assert system.value("SELECT count(*) FROM events WHERE name = 'period.skipped'") == skipped


@pytest.mark.parametrize("system", [{"DALMADA_CHECK_INTERVAL_S": "1"}], indirect=True)
def test_of_two_beats_one_ticks_and_the_other_takes_over(system: System) -> None:
    ready(system.scan_worker())
    first = system.beat()
    first.wait_for_log("beat_leads", timeout_s=60)
    second = system.beat()
    second.wait_for_log("beat: Starting", timeout_s=60)
    system.wait(lambda: "Sending due task" in first.output(), "the first beat ticks")

    first.signal(signal.SIGKILL)
    second.wait_for_log("beat_leads", timeout_s=60)
    system.wait(lambda: "Sending due task" in second.output(), "the second beat ticks")
    system.subscribe()
    ready(system.worker())
    system.wait_until_collected()

    assert system.verdict().clean
    # Until it led, the second beat sent nothing.
    assert "Sending due task" not in second.output().split("beat_leads")[0]
    # The other one has the invariants looked at, too; all of them hold.
    held = "SELECT count(*) FROM invariant_checks WHERE findings = '[]'"
    system.wait(lambda: system.value(held) == len(INVARIANTS), "the invariants are looked at")


def test_a_leader_that_was_paused_past_its_lease_does_no_harm(system: System) -> None:
    for worker in (system.scan_worker(), system.worker()):
        ready(worker)
    paused = system.beat()
    paused.wait_for_log("beat_leads", timeout_s=60)
    other = system.beat()
    paused.signal(signal.SIGSTOP)
    other.wait_for_log("beat_leads", timeout_s=60)

    paused.signal(signal.SIGCONT)
    paused.wait_for_log("beat_stands_by", timeout_s=60)
    system.subscribe(20)
    system.wait_until_collected()

    assert system.verdict().clean
    assert len(system.sandbox.paid()) == 20
    assert paused.is_alive
    assert other.is_alive


def test_a_beat_outlives_its_broker(system: System) -> None:
    beat = system.beat()
    beat.wait_for_log("beat_leads", timeout_s=60)

    system.servers.valkey.stop()
    beat.wait_for_log("beat_lease_unreachable", timeout_s=60)
    system.servers.valkey.start()
    system.subscribe(5)
    for worker in (system.scan_worker(), system.worker()):
        ready(worker)
    system.wait_until_collected()

    assert system.verdict().clean
    assert beat.is_alive


def test_declines_are_collected_by_dunning_with_a_new_uid_each(system: System) -> None:
    once, never, dead = system.subscribe(3)
    system.sandbox.behave(once.customer_uid, ["declined"])
    system.sandbox.behave(never.customer_uid, [], then="declined")
    system.sandbox.behave(dead.customer_uid, ["key_ended"])

    system.start(workers=1)
    system.wait_until_collected()

    verdict = system.verdict()
    assert verdict.clean
    assert dict(verdict.invoices) == {"paid": 1, "given_up": 1, "method_dead": 1}
    uids = [record["merchant_uid"] for record in system.sandbox.book()]
    assert len(uids) == len(set(uids)) == 2 + 4
    assert {
        row["message"]
        for row in system.rows("SELECT message FROM payment_attempts WHERE status = 'declined'")
    } == {"잔액 부족"}
