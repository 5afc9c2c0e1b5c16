"""A real sandbox process on a free port."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.sandbox.client import IMP_KEY, IMP_SECRET, WAIT_S, Gateway, Launch, Running, WaitUntil

ROOT: Final = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def launch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launch]:
    """Start sandbox processes; all of them are ended, and none may have printed a traceback."""
    started: list[Running] = []

    def start(*options: str) -> Running:
        errors = tmp_path_factory.mktemp("sandbox") / "stderr.txt"
        command = [sys.executable, "-m", "deploy.sandbox", "--host", "127.0.0.1", "--port", "0"]
        command += ["--imp-key", IMP_KEY, "--imp-secret", IMP_SECRET, *options]
        with errors.open("w") as stderr:
            process = subprocess.Popen(
                command, cwd=ROOT, stdout=subprocess.PIPE, stderr=stderr, text=True
            )
        assert process.stdout is not None
        first_line = process.stdout.readline()
        if not first_line:
            process.stdout.close()
            pytest.fail(f"ended with {process.wait(WAIT_S)}: {errors.read_text()}")
        host, _, port = first_line.strip().removeprefix("sandbox: http://").partition(":")
        running = Running(process, first_line, Gateway(host, int(port)), errors)
        started.append(running)
        return running

    yield start
    for running in started:
        running.process.terminate()
    for running in started:
        running.process.wait(WAIT_S)
        assert running.process.stdout is not None
        running.process.stdout.close()
    for running in started:
        assert "Traceback" not in running.errors.read_text()


@pytest.fixture(scope="session")
def shared_gateway(launch: Launch) -> Gateway:
    """One process for the whole session."""
    return launch().gateway


@pytest.fixture
def gateway(shared_gateway: Gateway) -> Gateway:
    """The session's sandbox, as if just started, with one registered buyer."""
    shared_gateway.reset()
    return shared_gateway


@pytest.fixture
def wait_until() -> WaitUntil:
    """Wait for a condition, at most ten seconds."""

    def wait(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WAIT_S
        while not condition():
            assert time.monotonic() < deadline, "the condition did not come true"
            time.sleep(0.01)

    return wait
