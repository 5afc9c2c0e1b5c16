"""However the launcher ends, nothing that it started goes on."""

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.launcher.waiting import wait_until
from tests.launcher.checkouts import borrow_environment, make_checkout
from tests.launcher.probes import clean_environment, everything_below, expect_gone

# Uses the library as a test or a benchmark would, without the command line.
DRIVER = """
import sys, time
from deploy.launcher.children import Child
from deploy.launcher.servers import temporary_servers
from pathlib import Path
program = ("import subprocess, sys, time; "
           "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
           "print('up', flush=True); time.sleep(600)")
with temporary_servers() as servers:
    child = Child("family", [sys.executable, "-c", program], log=Path(sys.argv[1]))
    child.start()
    child.wait_for_log("up", timeout_s=30)
    print(f"directory {servers.postgres.directory.parent}", flush=True)
    time.sleep(600)
"""
COUNTING = """
import signal, sys, time
asked = []
signal.signal(signal.SIGINT, lambda *_: asked.append("SIGINT"))
signal.signal(signal.SIGTERM, lambda *_: asked.append("SIGTERM"))
print("command runs", flush=True)
while not asked:
    time.sleep(0.02)
time.sleep(0.3)
print("asked", asked, flush=True)
"""
# Takes the terminal on its standard input as its own, as a shell's job has it.
WITH_TERMINAL = """
import os, sys
os.open(os.ttyname(0), os.O_RDWR)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


@pytest.fixture
def launcher(tmp_path: Path) -> Path:
    root = tmp_path / "checkout"
    program = make_checkout(root)
    borrow_environment(root)
    return program


def lines_until(process: subprocess.Popen[str], word: str) -> list[str]:
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        if word in line:
            return lines
    raise AssertionError(lines)


def start_run(launcher: Path, *command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, launcher, "run", "--no-sync", "--no-migrate", "--", *command],
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_a_killed_program_that_used_the_library_leaves_nothing(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", DRIVER, tmp_path / "family.log"],
        env=clean_environment(PYTHONPATH=str(Path(__file__).resolve().parents[2])),
        stdout=subprocess.PIPE,
        text=True,
    ) as driver:
        directory = Path(lines_until(driver, "directory")[-1].partition(" ")[2])
        everything = everything_below(driver.pid)
        assert len(everything) > 6, "driver, watchdog, postgres and its own, valkey, two others"
        assert directory.is_dir()
        driver.kill()
        expect_gone(everything)
    wait_until(lambda: not directory.exists(), "the scratch is removed", timeout_s=10)


def test_a_killed_launcher_leaves_nothing(launcher: Path) -> None:
    with start_run(launcher, "python", "-c", COUNTING) as process:
        lines_until(process, "command runs")
        everything = everything_below(process.pid)
        assert any("postgres" in Path(f"/proc/{p.pid}/cmdline").read_text() for p in everything)
        process.kill()
        expect_gone(everything)


def test_sigterm_is_passed_on_and_ends_everything(launcher: Path) -> None:
    with start_run(launcher, "python", "-c", COUNTING) as process:
        lines_until(process, "command runs")
        everything = everything_below(process.pid)
        process.terminate()
        assert lines_until(process, "asked")[-1] == "asked ['SIGTERM']"
        assert process.wait(30) == 128 + signal.SIGTERM
        expect_gone(everything, timeout_s=0.1)


def test_a_second_wish_to_stop_waits_for_nothing_any_more(launcher: Path) -> None:
    deaf = COUNTING.replace("while not asked", "while print(asked, flush=True) or True")
    with start_run(launcher, "python", "-c", deaf) as process:
        lines_until(process, "command runs")
        everything = everything_below(process.pid)
        process.terminate()
        lines_until(process, "SIGTERM")
        process.terminate()
        expect_gone(everything, timeout_s=4.0)
        assert process.wait(1) == 128 + signal.SIGTERM


def test_ctrl_c_at_a_terminal_reaches_the_command_once_and_ends_everything(launcher: Path) -> None:
    ours, theirs = pty.openpty()
    try:
        with subprocess.Popen(
            [
                *(sys.executable, "-c", WITH_TERMINAL, launcher),
                *("run", "--no-sync", "--no-migrate", "--", "python", "-c", COUNTING),
            ],
            env=clean_environment(),
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            lines_until(process, "command runs")
            everything = everything_below(process.pid)
            os.write(ours, b"\x03")
            assert lines_until(process, "asked")[-1] == "asked ['SIGINT']"
            assert process.wait(30) == 128 + signal.SIGINT
            expect_gone(everything, timeout_s=0.1)
    finally:
        os.close(ours)
        os.close(theirs)


class TestRun:
    def test_the_commands_exit_status_and_output_are_passed_on(self, launcher: Path) -> None:
        program = "import os; print(os.environ['DALMADA_REDIS_URL'][:17]); raise SystemExit(7)"
        with start_run(launcher, "python", "-c", program) as process:
            assert lines_until(process, "redis://")[-1] == "redis://127.0.0.1"
            assert process.wait(30) == 7

    def test_a_command_that_is_not_there_has_the_shells_status(self, launcher: Path) -> None:
        with start_run(launcher, "no-such-command") as process:
            assert "cannot run no-such-command" in lines_until(process, "cannot run")[-1]
            assert process.wait(30) == 127

    def test_the_database_is_migrated_before_the_command(self, launcher: Path) -> None:
        program = (
            "import os, psycopg\n"
            "with psycopg.connect(os.environ['DALMADA_DATABASE_URL']) as connection:\n"
            "    print('rows', connection.execute('SELECT count(*) FROM migrated').fetchone())"
        )
        done = subprocess.run(
            [sys.executable, launcher, "run", "--no-sync", "--", "python", "-c", program],
            env=clean_environment(),
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == "rows (1,)\n"
