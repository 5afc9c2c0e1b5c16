"""Every test here runs on asyncio's own loop and on uvloop, which differ in how they write."""

import pytest

from tests.integration.gateway.clients import SENDINGS, Sending
from worker.gateway import calls


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture(params=SENDINGS, ids=lambda sending: sending.name)
def sending(request: pytest.FixtureRequest) -> Sending:
    """Each of the two ways in which money moves."""
    found: Sending = request.param
    return found


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask again soon; how often is not changed."""
    monkeypatch.setattr(calls, "_RETRY_WAITS_S", (0.01, 0.02))
