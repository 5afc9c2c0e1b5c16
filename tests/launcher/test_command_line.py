import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.launcher.cli import _split
from deploy.launcher.environment import Environment
from deploy.launcher.lint import Check, Outcome, locks_hold_no_address, run_lint, yaml_files
from deploy.launcher.terminal import Terminal
from tests.launcher.probes import CHECKOUT


@pytest.mark.parametrize(
    ("argv", "own", "passed_on"),
    [
        (["test"], ["test"], []),
        (["test", "-k", "demo", "-x"], ["test"], ["-k", "demo", "-x"]),
        (["--no-sync", "bench", "--help"], ["--no-sync", "bench"], ["--help"]),
        (["demo", "--no-sync"], ["demo", "--no-sync"], []),
        (["run", "--", "ls", "--all"], ["run"], ["ls", "--all"]),
        (["run", "--no-migrate", "--", "test", "--"], ["run", "--no-migrate"], ["test", "--"]),
        (["--help"], ["--help"], []),
    ],
)
def test_arguments_after_a_passing_command_are_not_ours(
    argv: list[str], own: list[str], passed_on: list[str]
) -> None:
    assert _split(argv) == (own, passed_on)


def test_it_runs_from_any_directory_by_a_python_without_packages(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-S", CHECKOUT / "deploy" / "local.py", "--help"],
        cwd=tmp_path,
        env={"PATH": os.defpath},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "commands:" in done.stdout


def test_a_command_that_does_not_exist_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, CHECKOUT / "deploy" / "local.py", "dmeo"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "'demo'" in done.stderr


def test_run_without_a_command_says_what_would_be_right() -> None:
    done = subprocess.run(
        [sys.executable, CHECKOUT / "deploy" / "local.py", "run"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "run -- COMMAND" in done.stderr


class TestMake:
    def test_its_default_goal_is_the_help_that_lists_every_command(self) -> None:
        done = subprocess.run(
            ["make", "-C", CHECKOUT],
            capture_output=True,
            text=True,
            check=True,
            env={"PATH": os.defpath},
        )
        for command in ("demo", "up", "down", "test", "lint", "check", "bench", "clean", "help"):
            assert f"  make {command} " in done.stdout

    def test_the_readmes_test_command_is_what_ci_ends_with(self) -> None:
        lines = (CHECKOUT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
        commands = [line for line in lines if line.startswith("make ")]
        assert commands == ["make lint", "make test"]
        assert lines[-1] == "make test"
        assert "make test" in (CHECKOUT / "README.md").read_text(encoding="utf-8")


class TestLint:
    def test_one_failure_stops_no_other_check_and_fails_the_whole(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        planted = [
            Check("first", lambda: Outcome(passed=False, output="what is wrong")),
            Check("second", lambda: Outcome(passed=True, output="never shown")),
        ]
        monkeypatch.setattr("deploy.launcher.lint.checks", lambda *_: planted)
        terminal = Terminal()
        assert run_lint(CHECKOUT, Environment(CHECKOUT, terminal), terminal) == 1
        said = capsys.readouterr().err
        assert "what is wrong" in said
        assert "never shown" not in said
        assert "lint: 1 passed, 1 failed" in said

    def test_an_address_in_a_lock_is_found_with_its_line(self, tmp_path: Path) -> None:
        (tmp_path / "requirements.lock").write_text("one==1\n", encoding="utf-8")
        address = "two @ https" + "://example.invalid/two.whl\n"
        (tmp_path / "requirements-dev.lock").write_text(f"one==1\n{address}", encoding="utf-8")
        outcome = locks_hold_no_address(tmp_path)
        assert not outcome.passed
        assert outcome.output.startswith("requirements-dev.lock:2: ")

    def test_yaml_files_of_hidden_folders_are_not_ours(self, tmp_path: Path) -> None:
        for name in (".venv/a.yaml", "deploy/b.yaml", "c.yml", ".pre-commit-config.yaml"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).touch()
        assert yaml_files(tmp_path) == [".pre-commit-config.yaml", "c.yml", "deploy/b.yaml"]
