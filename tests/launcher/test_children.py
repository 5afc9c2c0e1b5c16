import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from deploy.launcher import processes
from deploy.launcher.children import Child, stop_together
from deploy.launcher.errors import ChildDiedError, WaitTimeoutError
from deploy.launcher.waiting import wait_until
from tests.launcher.probes import everything_below, expect_gone

DEAF = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True)"
)
SLEEP = "import time; print('up', flush=True); time.sleep(600)"
# A child in the same group, and one that has left it for a session of its own.
FAMILY = (
    "import subprocess, sys, time\n"
    "for own in (False, True):\n"
    "    subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'],"
    " start_new_session=own)\n"
    "print('family', flush=True)\n"
    "time.sleep(600)\n"
)


def python(name: str, program: str, folder: Path, **options: float) -> Child:
    return Child(
        name,
        [sys.executable, "-c", program],
        log=folder / f"{name}.log",
        stop_timeout_s=options.get("stop_timeout_s", 10.0),
    )


class TestStopping:
    def test_a_child_that_ignores_the_polite_end_is_ended_all_the_same(
        self, tmp_path: Path
    ) -> None:
        child = python("deaf", f"{DEAF}; time.sleep(600)", tmp_path, stop_timeout_s=0.3)
        child.start()
        child.wait_for_log("deaf", timeout_s=10)
        assert child.stop() == -signal.SIGKILL

    def test_a_child_that_was_paused_still_ends_politely(self, tmp_path: Path) -> None:
        child = python("paused", SLEEP, tmp_path)
        child.start()
        child.wait_for_log("up", timeout_s=10)
        child.signal(signal.SIGSTOP)
        assert child.stop() == -signal.SIGTERM

    def test_its_whole_family_goes_with_a_killed_child(self, tmp_path: Path) -> None:
        child = python("family", FAMILY, tmp_path)
        child.start()
        child.wait_for_log("family", timeout_s=10)
        family = everything_below(child.pid)
        assert len(family) == 3
        child.kill()
        expect_gone(family, timeout_s=0.1)

    def test_what_a_dead_child_left_in_its_group_is_ended_by_stop(self, tmp_path: Path) -> None:
        program = FAMILY.replace("time.sleep(600)\n", "", 1).replace("(False, True)", "(False,)")
        child = python("orphans", program.rstrip().removesuffix("time.sleep(600)"), tmp_path)
        child.start()
        child.wait_for_log("family", timeout_s=10)
        assert child.wait(10) == 0
        orphans = child.tree()
        assert len(orphans) == 1
        child.stop()
        expect_gone(orphans, timeout_s=0.1)

    def test_several_children_end_in_the_time_of_the_slowest(self, tmp_path: Path) -> None:
        children = [
            python(f"deaf{number}", f"{DEAF}; time.sleep(600)", tmp_path, stop_timeout_s=1.0)
            for number in range(3)
        ]
        for child in children:
            child.start()
        for child in children:
            child.wait_for_log("deaf", timeout_s=10)
        started_at = time.monotonic()
        stop_together(children)
        assert time.monotonic() - started_at < 2.5
        assert not any(child.is_alive for child in children)

    def test_stopping_what_never_ran_does_nothing(self, tmp_path: Path) -> None:
        assert python("never", SLEEP, tmp_path).stop() is None


class TestDying:
    def test_death_is_told_with_its_status_and_the_logs_last_twenty_lines(
        self, tmp_path: Path
    ) -> None:
        child = python(
            "brief", "for n in range(50): print('line', n)\nraise SystemExit(3)", tmp_path
        )
        child.start()
        child.wait(10)
        with pytest.raises(ChildDiedError, match="brief ended unexpectedly: exit status 3") as told:
            child.require_alive()
        lines = told.value.remedy.splitlines()
        assert lines[1:] == [f"  line {number}" for number in range(30, 50)]

    def test_a_signal_is_told_by_its_name(self, tmp_path: Path) -> None:
        child = python("shot", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", tmp_path)
        child.start()
        child.wait(10)
        with pytest.raises(ChildDiedError, match="signal SIGSEGV"):
            child.require_alive()

    def test_a_program_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        child = Child("absent", ["/nowhere/at-all"], log=tmp_path / "absent.log")
        child.start()
        assert child.wait(10) == 127
        with pytest.raises(ChildDiedError) as told:
            child.require_alive()
        assert "cannot run /nowhere/at-all" in told.value.remedy


class TestLogs:
    def test_waiting_ends_at_once_when_the_child_dies_without_a_word(self, tmp_path: Path) -> None:
        child = python("mute", "raise SystemExit('no reason')", tmp_path)
        child.start()
        with pytest.raises(ChildDiedError) as told:
            child.wait_for_log("never said", timeout_s=30)
        assert "no reason" in told.value.remedy

    def test_waiting_ends_at_its_bound_and_shows_the_log(self, tmp_path: Path) -> None:
        child = python("slow", SLEEP, tmp_path)
        child.start()
        child.wait_for_log("up", timeout_s=10)
        try:
            with pytest.raises(WaitTimeoutError) as told:
                child.wait_for_log("never said", timeout_s=0.2)
            assert "  up" in told.value.remedy
        finally:
            child.stop()

    def test_a_second_run_is_not_taken_for_the_first(self, tmp_path: Path) -> None:
        child = python("twice", "import os; print('run of', os.getpid())", tmp_path)
        child.start()
        first = child.wait_for_log(r"run of (\d+)", timeout_s=10)[1]
        child.wait(10)
        child.start()
        second = child.wait_for_log(r"run of (\d+)", timeout_s=10)[1]
        child.wait(10)
        assert first != second
        assert first in (tmp_path / "twice.log").read_text(encoding="utf-8")


def test_a_child_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    child = python("threaded", SLEEP, tmp_path)
    thread = threading.Thread(target=child.start)
    thread.start()
    thread.join()
    child.wait_for_log("up", timeout_s=10)
    with pytest.raises(WaitTimeoutError):
        wait_until(lambda: not child.is_alive, "the child has died", timeout_s=0.5)
    child.stop()


def test_a_process_is_told_from_a_later_one_with_its_number(tmp_path: Path) -> None:
    child = python("sleeper", SLEEP, tmp_path)
    child.start()
    now = processes.lookup(child.pid)
    assert now is not None
    later = processes.Process(now.pid, now.parent, now.group, f"{now.started}0")
    assert processes.is_running(now)
    assert not processes.is_running(later)
    child.stop()
    assert not processes.is_running(now)
