import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from deploy.launcher.waiting import wait_until
from tests.bench.cpu import Sample, Sampler, is_measurable, members, proportional_memory_mb

pytestmark = pytest.mark.skipif(not is_measurable(), reason="the system has no /proc")

BURNT_S = 0.3
BURN = f"""
import time
while time.process_time() < {BURNT_S}: pass
"""
# Its child burns and is buried before anything is printed.
PARENT = f"""
import subprocess, sys
sys.stdin.readline()
subprocess.run([sys.executable, "-I", "-S", "-c", {BURN!r}], check=True)
print("buried", flush=True)
sys.stdin.read()
"""
IDLE = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-I", "-S", "-c", "input()"], stdin=subprocess.PIPE)
print(child.pid, flush=True)
sys.stdin.read()
child.communicate(b"\\n")
"""


@contextmanager
def running(program: str) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.communicate()


def first_line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_the_time_of_a_child_that_has_ended_is_its_parents() -> None:
    with running(PARENT) as process:
        with Sampler({"tree": [process.pid]}, time.monotonic) as sampler:
            wait_until(lambda: sampler.samples, "a first sample", timeout_s=10)
            begin_s = sampler.samples[0].at_s
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
            assert first_line(process) == "buried"
            buried_s = time.monotonic()

        assert sampler.used_s("tree", begin_s + 1e-6, buried_s) >= BURNT_S * 0.8


def test_a_tree_has_the_children_of_its_root() -> None:
    with running(IDLE) as process:
        child = int(first_line(process))

        assert members([process.pid]) == sorted([process.pid, child])
        assert proportional_memory_mb([process.pid]) > proportional_memory_mb([child]) > 0


def test_the_time_between_two_samples_is_interpolated() -> None:
    sampler = Sampler({}, time.monotonic)
    sampler.samples = [Sample(10.0, {"x": 1.0}), Sample(12.0, {"x": 2.0}), Sample(14.0, {"x": 6.0})]

    assert sampler.used_s("x", 11.0, 13.0) == pytest.approx(2.5)


@pytest.mark.parametrize("at_s", [9.0, 15.0])
def test_an_instant_without_samples_around_it_is_refused(at_s: float) -> None:
    sampler = Sampler({}, time.monotonic)
    sampler.samples = [Sample(10.0, {"x": 1.0}), Sample(14.0, {"x": 2.0})]

    with pytest.raises(ValueError, match="no samples on both sides"):
        sampler.used_s("x", at_s, 13.0)
