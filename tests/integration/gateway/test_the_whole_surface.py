"""Every method of the client, as JSON and as a form, over the sandbox."""

import inspect

import pytest
from pydantic import SecretStr

from tests.contract.calls import CALLS, CUSTOMER_UID, World
from tests.integration.gateway.clients import client_of
from tests.support.sandbox import IMP_KEY, IMP_SECRET, SandboxControl
from worker.gateway.client import PortOne

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """The loop of production alone: how bytes leave is looked at elsewhere, on both."""
    return "asyncio", {"use_uvloop": True}


@pytest.mark.parametrize("body_format", ["json", "form"])
async def test_every_call_ends_as_it_should(sandbox: SandboxControl, body_format: str) -> None:
    sandbox.register([CUSTOMER_UID])
    world, wrong = World(), []
    async with client_of(
        sandbox.url,
        imp_key=SecretStr(IMP_KEY),
        imp_secret=SecretStr(IMP_SECRET),
        body_format=body_format,
    ) as client:
        for call in CALLS:
            ending = await call.make(client, world)
            if not call.is_right(ending):
                wrong.append(f"{call.name}: {ending}")

    assert wrong == []


def test_every_method_has_its_example() -> None:
    public = {
        name
        for name, _ in inspect.getmembers(PortOne, inspect.isfunction)
        if not name.startswith("_")
    }
    assert public - {"aclose"} == {call.method for call in CALLS}
