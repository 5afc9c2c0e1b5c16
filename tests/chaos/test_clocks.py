"""A process that is started with our clocks follows them while it runs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from shared.clock import WallClock, boot_clock_s
from tests.chaos.clocks import CLOCK_SITE, Clocks
from tests.support.system import CHECKOUT

# Far longer than the exchange with the process takes, far shorter than any jump here.
_ABOUT_S = 100.0
_PROGRAM = """
import sys
from shared.clock import WallClock, boot_clock_s
for _ in sys.stdin:
    print(WallClock().now().timestamp(), boot_clock_s(), flush=True)
"""


def test_a_process_follows_its_own_clock_and_everyones(tmp_path: Path) -> None:
    clocks = Clocks(tmp_path)
    environment = {
        **os.environ,
        "PYTHONPATH": f"{CLOCK_SITE}:{CHECKOUT}",
        **clocks.variables("charge1"),
    }
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def offsets() -> tuple[float, float]:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write("now\n")
            process.stdin.flush()
            wall_s, boot_s = map(float, process.stdout.readline().split())
            return wall_s - WallClock().now().timestamp(), boot_s - boot_clock_s()

        assert offsets() == pytest.approx((0.0, 0.0), abs=_ABOUT_S)
        clocks.step("charge1", -1_000.0)
        assert offsets() == pytest.approx((-1_000.0, 0.0), abs=_ABOUT_S)
        clocks.sleep(7_200.0)
        assert offsets() == pytest.approx((6_200.0, 7_200.0), abs=_ABOUT_S)
        clocks.step("charge2", 50_000.0)
        assert offsets() == pytest.approx((6_200.0, 7_200.0), abs=_ABOUT_S)
        clocks.agree()
        assert offsets() == pytest.approx((7_200.0, 7_200.0), abs=_ABOUT_S)
        process.stdin.close()

    assert clocks.slept_s == 7_200.0


def test_without_our_clocks_nothing_is_moved() -> None:
    environment = {**os.environ, "PYTHONPATH": f"{CLOCK_SITE}:{CHECKOUT}"}
    environment.pop("CHAOS_CLOCKS", None)
    told = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        env=environment,
        input="now\n",
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    wall_s, boot_s = map(float, told.stdout.split())

    assert wall_s == pytest.approx(WallClock().now().timestamp(), abs=_ABOUT_S)
    assert boot_s == pytest.approx(boot_clock_s(), abs=_ABOUT_S)
