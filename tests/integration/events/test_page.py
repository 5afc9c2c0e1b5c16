"""docs/events.md: its receivers verify what a worker posts, and it says what the settings are."""

import asyncio
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from deploy.launcher.children import Child
from shared.clock import WallClock
from shared.config import Settings
from shared.db.deliveries import Parcel
from tests.architecture.checkout import CHECKOUT, read
from tests.architecture.messages_page import blocks
from tests.support.endpoints import PATIENCE, posting
from worker.events.signature import make_secret

PAGE = "docs/events.md"
NODE = shutil.which("node")
SECRET = make_secret()


def parcel(url: str, *secrets: str) -> Parcel:
    return Parcel(
        delivery_id=1,
        endpoint_id=2,
        try_number=1,
        failures=0,
        url=url,
        secrets=secrets,
        allow_private=True,
        event_id=1204,
        name="invoice.paid",
        subscription_id=None,
        data={"reason": "구매자 요청"},
        created_at=WallClock().now(),
    )


async def statuses(url: str) -> list[int | None]:
    """How a post, the same again, one between two secrets and a forged one are answered."""
    other = make_secret()
    async with posting(PATIENCE) as poster:
        return [
            (await poster(parcel(url, *secrets), WallClock().now())).status
            for secrets in ((SECRET,), (SECRET,), (other, SECRET), (other,))
        ]


@pytest.mark.parametrize("language", ["python", "js"])
def test_the_receivers_of_the_page_take_what_is_ours_and_nothing_else(
    language: str, tmp_path: Path
) -> None:
    if language == "js" and NODE is None:
        pytest.skip("there is no node on this machine's PATH")
    (program,) = blocks(read(PAGE), language)
    file = tmp_path / f"receiver.{language}"
    file.write_text(program)
    child = Child(
        "receiver",
        [sys.executable if language == "python" else str(NODE), str(file)],
        log=tmp_path / "receiver.log",
        env={**os.environ, "WEBHOOK_SECRET": SECRET, "PORT": "0"},
        cwd=CHECKOUT,
    )
    child.start()
    try:
        port = child.wait_for_log(r"^listening on (\d+)$", timeout_s=30)[1]
        found = asyncio.run(statuses(f"http://127.0.0.1:{port}/"))
        child.wait_for_log(r"^invoice\.paid 1204$", timeout_s=30)
    finally:
        child.stop()
    assert found == [204, 204, 204, 400]
    assert (tmp_path / "receiver.log").read_text().count("invoice.paid 1204") == 1


def test_the_schedule_that_is_told_is_the_one_that_is_kept() -> None:
    units = {"s": 1, "min": 60, "h": 3600}
    (told,) = re.findall(r"^Tries follow the first one after (.+?) \(", read(PAGE), re.MULTILINE)
    waits: list[float] = []
    for times, number, unit in re.findall(r"(three times )?(\d+) (s|min|h)\b", told):
        waits += [float(number) * units[unit]] * (3 if times else 1)
    assert tuple(waits) == Settings.model_fields["endpoint_retry_gaps_s"].default
    assert Settings.model_fields["endpoint_disable_after_s"].default == 5 * 86_400
    assert Settings.model_fields["endpoint_retry_after_max_s"].default == 86_400
    assert Settings.model_fields["endpoint_total_timeout_s"].default == 15
