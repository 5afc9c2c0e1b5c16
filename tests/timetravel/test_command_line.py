"""``make simulate``: servers of its own, real HTTP, a ledger, one last line and an exit status."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy.timetravel import __main__ as command
from deploy.timetravel.ledger import Ledger, Month
from deploy.timetravel.outcome import Outcome, together
from worker.console import simulate
from worker.console.app import app

CHECKOUT = Path(__file__).resolve().parents[2]
_LAST = re.compile(
    r"simulate: periods=(\d+) paid=(\d+) dunning=(\d+) skipped=(\d+) violations=(\d+)"
)


def test_some_weeks_are_lived_on_servers_of_its_own() -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "deploy.timetravel", "--json", "--processes", "2"),
            *("--years", "0.15", "--subscriptions", "8", "--seed", "3", "--step", "168"),
        ],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    told, last = done.stdout.splitlines()
    counted = _LAST.fullmatch(last)
    assert counted, last
    periods, paid, dunning, skipped, violations = map(int, counted.groups())
    assert (periods, violations) == (paid + dunning + skipped, 0)
    ledger = json.loads(told)
    assert paid == ledger["total"]["paid"] > 8
    assert ledger["commands"]["subscription.start done"] == 8
    assert ledger["total"]["paid_won"] == sum(m["paid_won"] for m in ledger["months"].values())


@pytest.mark.parametrize("wrong", [["--years", "0"], ["--subscriptions", "x"], ["--step", "-1"]])
def test_a_number_that_cannot_be_is_answered_with_those_that_can(
    wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(wrong)
    assert ended.value.code == 2
    assert "must be a number from" in capsys.readouterr().err


def test_a_violation_of_any_part_is_in_the_last_line() -> None:
    clean = Outcome(Ledger(), {}, [], 1, 2, 3)
    month = Month(opened=3, paid=1, dunning=1, uncollectible=1, skipped=2)
    faulty = Outcome(Ledger({"2026-01": month}), {}, ["a sentence"], 1, 2, 3)
    both = together([clean, Outcome.of_json(json.loads(json.dumps(faulty.as_json())))])
    assert both.line == "simulate: periods=5 paid=1 dunning=1 skipped=3 violations=1"
    assert (both.charges, both.events, both.looks) == (2, 4, 6)


def test_the_console_says_where_it_cannot_be_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(simulate, "_CHECKOUT", tmp_path)
    done = CliRunner().invoke(app, ["simulate"])
    assert done.exit_code == 2
    assert "needs a checkout" in done.output


def test_the_console_passes_on_what_it_is_asked() -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-c", "from worker.console.app import main; main()"),
            *("simulate", "--subscriptions", "0"),
        ],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 2
    assert "must be a number from 1 to" in done.stderr
