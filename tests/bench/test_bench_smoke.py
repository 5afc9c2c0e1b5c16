import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.cpu import is_measurable
from tests.bench.side import CHECKOUT

LAST_LINE = re.compile(
    r"bench: ours_cpu_per_1k=(?P<ours>\d+\.\d{3}) plain_cpu_per_1k=(?P<plain>\d+\.\d{3})"
    r" plain_ratio=(?P<ratio>\d+\.\d) charges_per_s=(?P<rate>\d+)"
)

pytestmark = pytest.mark.skipif(not is_measurable(), reason="the system has no /proc")


def bench(state: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {k: v for k, v in os.environ.items() if not k.startswith("DALMADA_")}
    return subprocess.run(
        [sys.executable, "-m", "tests.bench", *arguments],
        cwd=CHECKOUT,
        env={**environment, "DALMADA_STATE_DIR": str(state)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )


def test_a_quick_bench_ends_with_the_line_that_scripts_read(tmp_path: Path) -> None:
    ran = bench(tmp_path, "--quick", "--json")

    assert ran.returncode == 0, ran.stdout + ran.stderr
    document, last = ran.stdout.splitlines()
    figures = LAST_LINE.fullmatch(last)
    assert figures is not None, last
    measured = json.loads(document)
    assert f"{measured['medians']['plain_ratio']:.1f}" == figures["ratio"]
    assert [json.loads(path.read_text()) for path in tmp_path.glob("bench/*/result.json")] == [
        measured
    ]
    assert [side["charges"] for side in measured["rounds"]["ours"]] == [1_000]
    assert float(figures["plain"]) > float(figures["ours"]) > 0


def test_a_charge_too_many_ends_the_bench_without_figures(tmp_path: Path) -> None:
    ran = bench(tmp_path, "--quick", "--charges", "100", "--plant-double-charge")

    assert ran.returncode == 1
    assert "ours is not correct" in ran.stdout
    assert "holds 101 paid records, 100 were due" in ran.stdout
    assert "buyers were charged more than once: bench_" in ran.stdout
    assert "bench: ours_cpu" not in ran.stdout
    assert list(tmp_path.glob("bench/*/logs/charge1.log"))
    assert not list(tmp_path.glob("bench/*/result.json"))
