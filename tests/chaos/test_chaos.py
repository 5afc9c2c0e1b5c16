"""A minute of chaos: everything dies, freezes, is cut off and restarted, and every won is right."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy.launcher.children import Child
from tests.chaos.plan import plan
from tests.support.system import CHECKOUT

# The gateway of this seed takes any merchant_uid again: what is sent twice is charged twice.
SEED, SECONDS = 3, 60.0
_CALM_S = 120.0
_LINE = re.compile(
    r"chaos: seed=\d+ kills=\d+ faults=\d+ charges=\d+ double_charges=0 missed=0 stuck=0"
)


@pytest.mark.timeout(300)
def test_a_minute_of_chaos_charges_nobody_twice_misses_nothing_and_leaves_nothing_stuck(
    tmp_path: Path,
) -> None:
    child = Child(
        "chaos",
        [
            *(sys.executable, "-m", "tests.chaos", "--json"),
            *("--seconds", str(SECONDS), "--seed", str(SEED), "--calm-seconds", str(_CALM_S)),
        ],
        log=tmp_path / "chaos.log",
        cwd=CHECKOUT,
    )
    child.start()
    try:
        status = child.wait(timeout_s=280)
    finally:
        child.stop()
    report = result(child.output())

    assert status == 0, child.output()
    assert _LINE.fullmatch(report["line"]), report["line"]
    assert report["duplicate_policy"] == "none"
    # A run that disturbs nothing, or charges nobody, proves nothing.
    assert report["kills"] >= 8
    assert report["faults"] >= len(plan(SEED, SECONDS)) // 2
    assert report["charges"] >= 100
    assert report["given_back"] >= 3


def result(output: str) -> dict[str, Any]:
    """Return the report, which is the last line on stdout."""
    lines = [line for line in output.splitlines() if line.startswith('{"seed"')]
    assert lines, output
    report: dict[str, Any] = json.loads(lines[-1])
    return report
