"""The whole stack on stand-ins: demo, up and down as a person calls them."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.launcher.children import Child
from deploy.launcher.directories import scratch_directory
from deploy.launcher.stack import DEMO_TIMINGS
from tests.launcher.checkouts import borrow_environment, make_checkout
from tests.launcher.probes import clean_environment, everything_below, expect_gone, ping, query


@pytest.fixture
def launcher(tmp_path: Path) -> Path:
    root = tmp_path / "checkout"
    program = make_checkout(root)
    borrow_environment(root)
    return program


@pytest.fixture
def state() -> Iterator[Path]:
    # Where also the user that PostgreSQL runs as under root can reach it.
    with scratch_directory() as path:
        yield path


def call(launcher: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, launcher, *arguments],
        env=clean_environment(DALMADA_CHARGE_WORKERS="1", **variables),
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )


class TestDemo:
    def test_it_runs_on_a_complete_stack_and_has_the_last_word(self, launcher: Path) -> None:
        done = call(launcher, "demo", "--no-sync", DEMO_STATUS="3")
        assert done.returncode == 3, done.stderr
        first, last = done.stdout.splitlines()
        assert last == "demo: the last line"
        variables = json.loads(first)
        assert variables.items() >= DEMO_TIMINGS.items()
        assert variables["DALMADA_PORTONE_BASE_URL"] == variables["DALMADA_SANDBOX_URL"]
        assert variables["DALMADA_FLOWER_URL"].startswith("http://127.0.0.1:")
        assert variables["DALMADA_RECEIVER_URL"].startswith("http://127.0.0.1:")
        assert not Path(variables["DALMADA_STATE_DIR"]).exists()
        # Both streams in one terminal must end with the demo's own line.
        assert done.stderr.splitlines()[-1].startswith("dalmada: Flower http://")

    def test_a_worker_that_dies_ends_it_with_the_workers_last_words(self, launcher: Path) -> None:
        done = call(launcher, "demo", "--no-sync", BREAK_WORKERS="scheduler", DALMADA_KEEP_LOGS="1")
        assert done.returncode == 1
        # Beat and the scan worker both stand on it; either may be the first to fall.
        assert re.search("(scan|beat) ended unexpectedly: exit status 1", done.stderr)
        assert "  planted: the scheduler does not start" in done.stderr
        # And its logs are kept, as was asked for.
        folder = Path(done.stderr.splitlines()[0].partition("logs are kept in ")[2])
        assert {"postgres.log", "valkey.log", "sandbox.log", "scan.log"} <= {
            path.name for path in folder.iterdir()
        }

    @pytest.mark.skipif(not Path("/proc/self").exists(), reason="finds its victim through /proc")
    def test_a_part_that_dies_in_mid_run_ends_it(self, launcher: Path) -> None:
        done = call(launcher, "demo", "--no-sync", KILL_NAME="celerybeat-schedule")
        assert done.returncode == 1
        assert "beat ended unexpectedly: signal SIGKILL" in done.stderr
        assert "logs are kept" not in done.stderr

    def test_a_given_url_that_does_not_answer_is_named(self, launcher: Path) -> None:
        done = call(launcher, "demo", "--no-sync", DALMADA_REDIS_URL="redis://127.0.0.1:1/0")
        assert done.returncode == 1
        assert "DALMADA_REDIS_URL names a server that can't be reached" in done.stderr


class TestUp:
    @pytest.fixture
    def up(self, launcher: Path, state: Path, tmp_path: Path) -> Iterator[Child]:
        child = Child(
            "up",
            [sys.executable, launcher, "up", "--no-sync"],
            log=tmp_path / "up.log",
            env=clean_environment(DALMADA_STATE_DIR=str(state), DALMADA_CHARGE_WORKERS="1"),
            stop_timeout_s=60,
        )
        yield child
        child.stop()

    @staticmethod
    def sourced(state: Path) -> dict[str, str]:
        show = "import json, os; print(json.dumps(dict(os.environ)))"
        shell = f'. "{state}/env" && exec "{sys.executable}" -c "{show}"'
        done = subprocess.run(["/bin/sh", "-c", shell], capture_output=True, text=True, check=True)
        return dict(json.loads(done.stdout))

    def test_it_keeps_its_data_between_two_runs(
        self, up: Child, launcher: Path, state: Path
    ) -> None:
        for run in (1, 2):
            up.start()
            up.wait_for_log(r"Flower +http://", timeout_s=120)
            variables = self.sourced(state)
            assert query(variables["DALMADA_DATABASE_URL"], "SELECT count(*) FROM migrated") == run
            assert ping(variables["DALMADA_REDIS_URL"])
            assert (state / "env").stat().st_mode & 0o777 == 0o600
            everything = everything_below(up.pid)
            if run == 1:
                second = call(launcher, "up", "--no-sync", DALMADA_STATE_DIR=str(state))
                assert second.returncode == 1
                assert f"up runs already (pid {up.pid}), Flower is at http://" in second.stderr
            down = call(launcher, "down", DALMADA_STATE_DIR=str(state))
            assert down.returncode == 0, down.stderr
            expect_gone(everything, timeout_s=1.0)
            assert up.wait(10) == 0
            assert not (state / "env").exists()
        again = call(launcher, "down", DALMADA_STATE_DIR=str(state))
        assert (again.returncode, again.stderr) == (0, "dalmada: down: nothing is running\n")
