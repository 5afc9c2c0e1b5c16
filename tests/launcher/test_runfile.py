import json
import signal
import sys
from pathlib import Path

import pytest

from deploy.launcher import processes, runfile
from deploy.launcher.children import Child
from deploy.launcher.errors import LauncherError


def sleeper(folder: Path) -> Child:
    program = "import time; print('up', flush=True); time.sleep(600)"
    child = Child("sleeper", [sys.executable, "-c", program], log=folder / "sleeper.log")
    child.start()
    child.wait_for_log("up", timeout_s=10)
    return child


def note(state: Path, pid: int, started: str) -> None:
    text = json.dumps({"pid": pid, "started": started, "flower": ""})
    (state / "up.json").write_text(text, encoding="ascii")


def test_a_recycled_number_is_nobody_we_know_and_is_never_signalled(tmp_path: Path) -> None:
    stranger = sleeper(tmp_path)
    now = processes.lookup(stranger.pid)
    assert now is not None
    note(tmp_path, stranger.pid, f"{now.started}0")
    assert runfile.current_run(tmp_path) is None
    recycled = runfile.Run(stranger.pid, f"{now.started}0")
    runfile.end(recycled, signal.SIGKILL, timeout_s=1, check=lambda: None)
    assert stranger.is_alive
    stranger.stop()


def test_the_noted_process_itself_is_ended_and_waited_for(tmp_path: Path) -> None:
    ours = sleeper(tmp_path)
    now = processes.lookup(ours.pid)
    assert now is not None
    note(tmp_path, ours.pid, now.started)
    run = runfile.current_run(tmp_path)
    assert run is not None
    runfile.end(run, signal.SIGTERM, timeout_s=10, check=lambda: None)
    assert not ours.is_alive


def test_only_one_runs_at_a_time_and_the_second_is_told_where_the_first_is(tmp_path: Path) -> None:
    with runfile.only_run(tmp_path):
        runfile.note(tmp_path, "http://127.0.0.1:5555")
        with (
            pytest.raises(LauncherError, match=r"runs already \(pid \d+\), Flower is at http"),
            runfile.only_run(tmp_path),
        ):
            pass
        assert runfile.current_run(tmp_path) is not None
    assert runfile.current_run(tmp_path) is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}', '{"unknown": 2}'])
def test_a_damaged_note_counts_as_none(content: str, tmp_path: Path) -> None:
    (tmp_path / "up.json").write_text(content, encoding="ascii")
    assert runfile.current_run(tmp_path) is None
