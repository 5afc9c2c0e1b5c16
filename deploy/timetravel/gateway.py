"""The sandbox as a traveller steers it: a process of its own, whose clock is moved with ours."""

import json
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Protocol

import httpx

from deploy.launcher.children import Child

IMP_KEY: Final = "timetravel-key"
IMP_SECRET: Final = "timetravel-secret"  # noqa: S105 - of a sandbox that lives for a minute
CHECKOUT: Final = Path(__file__).resolve().parents[2]

Book = Sequence[Mapping[str, Any]]


class Gateway(Protocol):
    """What a traveller asks of the gateway beside what the workers ask."""

    async def move_clock(self, now: datetime) -> None:
        """Make it now at the gateway, too."""

    async def register(self, customer_uids: Sequence[str]) -> None:
        """Have billing keys, as if their buyers had been through the window."""

    async def behave(self, scripts: Mapping[str, Mapping[str, Any]]) -> None:
        """Say what the next charges of buyers end in."""

    async def end_key(self, customer_uid: str) -> None:
        """Have a buyer take the method away at Naver, so that the key is unknown."""

    async def use_window(self, parameters: Mapping[str, Any], account: str) -> tuple[str, str]:
        """Go through a payment window; return the ``imp_uid`` and ``merchant_uid`` it told."""

    async def book(self) -> Book:
        """Return every payment record."""


class HttpGateway:
    """The sandbox over its control API."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        """Take a client of the sandbox's address."""
        self._client = client

    async def move_clock(self, now: datetime) -> None:
        """Make it now at the gateway, too."""
        await self._ask("PUT", "/_sandbox/clock", {"now": now.timestamp()})

    async def settings(self, **settings: Any) -> None:
        """Change settings and rates."""
        await self._ask("PUT", "/_sandbox/faults", settings)

    async def register(self, customer_uids: Sequence[str]) -> None:
        """Have billing keys, as if their buyers had been through the window."""
        await self._ask("POST", "/_sandbox/billing-keys", {"customer_uids": list(customer_uids)})

    async def behave(self, scripts: Mapping[str, Mapping[str, Any]]) -> None:
        """Say what the next charges of buyers end in."""
        await self._ask("PUT", "/_sandbox/behaviours", scripts)

    async def end_key(self, customer_uid: str) -> None:
        """Have a buyer take the method away at Naver, so that the key is unknown."""
        await self._ask("DELETE", f"/_sandbox/billing-keys/{customer_uid}")

    async def use_window(self, parameters: Mapping[str, Any], account: str) -> tuple[str, str]:
        """Go through a payment window; return the ``imp_uid`` and ``merchant_uid`` it told."""
        form = {"params": json.dumps(dict(parameters)), "mode": "popup"}
        opened = await self._client.post("/_sandbox/windows", data=form)
        path = opened.headers["location"]
        ended = await self._client.post(
            f"{path}.json", data={"account": account, "decision": "approve"}
        )
        result = ended.raise_for_status().json()["result"]
        return result["imp_uid"], result["merchant_uid"]

    async def book(self) -> Book:
        """Return every payment record."""
        told: Book = (await self._ask("GET", "/_sandbox/payments"))["payments"]
        return told

    async def _ask(self, method: str, path: str, body: object = None) -> Any:
        answer = await self._client.request(method, path, json=body)
        return answer.raise_for_status().json()


@asynccontextmanager
async def sandbox_process(log: Path) -> AsyncIterator[tuple[str, HttpGateway]]:
    """Start a sandbox of our own; yield its address and what steers it, and end it."""
    child = Child(
        "sandbox",
        [
            sys.executable,
            *("-m", "deploy.sandbox", "--host", "127.0.0.1", "--port", "0"),
            *("--imp-key", IMP_KEY, "--imp-secret", IMP_SECRET),
        ],
        log=log,
        env=dict(os.environ),
        cwd=CHECKOUT,
    )
    child.start()
    try:
        url = child.wait_for_log(r"^sandbox: (http://\S+)$", timeout_s=30)[1]
        async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
            yield url, HttpGateway(client)
    finally:
        child.stop()
