"""Webhooks through every process: the sandbox tells, the receiver takes in, the worker looks."""

import asyncio
import signal
from collections import Counter
from typing import Any

import httpx
import redis

from shared.jobs.contracts import WEBHOOK_QUEUE
from tests.support.system import System, ready

GUARDED = ("subscriptions", "invoices", "payment_attempts", "payments", "refunds")


def collected(system: System, count: int = 1) -> str:
    """Have subscriptions collected by a whole system; the receiver's address."""
    address = system.receiver()
    system.subscribe(count)
    command = system.command_worker()
    system.start(workers=1)
    ready(command)
    system.wait_until_collected()
    return address


def guarded(system: System) -> dict[str, Any]:
    return {name: system.rows(f"SELECT * FROM {name} ORDER BY id") for name in GUARDED}  # noqa: S608


def events(system: System, name: str) -> list[dict[str, Any]]:
    return [row["data"] for row in system.rows("SELECT data FROM events WHERE name = %s", name)]


def test_a_cancellation_in_the_console_is_heard_of_by_webhook_alone(system: System) -> None:
    address = collected(system, 2)
    for record, kind in zip(system.sandbox.paid(), ("json", "form"), strict=True):
        system.sandbox.faults(
            webhook_url=f"{address}/webhooks/portone",
            webhook_content_type=kind,
            # Everything comes twice.
            webhook_duplicate_rate=1.0,
        )

        system.sandbox.cancel_in_console(record["imp_uid"], 900, "관리자 취소")

        (told,) = system.wait(lambda: cancellations(system, record), "the cancellation is told")  # noqa: B023
        assert told["amount"] == 900
        assert told["reason"] == "관리자 취소"
        (hint,) = system.rows("SELECT * FROM hints WHERE imp_uid = %s", record["imp_uid"])
        assert hint["said_status"] == "cancelled"
        system.wait(
            lambda: system.value("SELECT count(*) FROM hints WHERE read_at IS NULL") == 0,
            "it is read",
        )
        assert len(cancellations(system, record)) == 1


def cancellations(system: System, record: dict[str, Any]) -> list[dict[str, Any]]:
    told = events(system, "payment.cancelled_elsewhere")
    return [data for data in told if data["imp_uid"] == record["imp_uid"]]


def test_what_is_forged_changes_nothing(system: System) -> None:
    address = collected(system)
    (record,) = system.sandbox.paid()
    before = guarded(system)
    forged = [
        {"imp_uid": record["imp_uid"], "merchant_uid": record["merchant_uid"], "status": status}
        for status in ("cancelled", "failed", "ready", "paid", "부정")
    ]
    forged += [
        {"imp_uid": "imp_000000000001", "merchant_uid": record["merchant_uid"], "status": "paid"},
        {"imp_uid": "imp_000000000002", "status": "cancelled", "cancellation_id": "x"},
    ]
    with httpx.Client(base_url=address, timeout=10) as anybody:
        for said in forged:
            assert anybody.post("/webhooks/portone", json=said).status_code == 200

    system.wait(
        lambda: (
            system.value("SELECT count(*) FROM hints WHERE next_read_at IS NULL OR reads > 0")
            == len(forged)
        ),
        # That a payment is paid which we know to be paid is no news.
        "every hint was looked at",
    )
    assert guarded(system) == before
    assert events(system, "payment.cancelled_elsewhere") == []
    assert system.verdict().clean


def test_a_flood_of_webhooks_and_garbage_delays_no_charge(system: System) -> None:
    address = system.receiver()
    command = system.command_worker()
    (charge,) = system.start(workers=1)
    ready(command)

    async def flood() -> Counter[int]:
        limits = httpx.Limits(max_connections=20)
        # How long the flood itself queues for its connections is no matter of the receiver's.
        timeout = httpx.Timeout(30, pool=None)
        async with httpx.AsyncClient(base_url=address, timeout=timeout, limits=limits) as anybody:
            bodies = [{"imp_uid": f"imp_{n % 100}", "status": "paid"} for n in range(1_000)]
            garbage = [{"imp_uid": ["?"] * 50}] * 200
            answers = await asyncio.gather(
                *(anybody.post("/webhooks/portone", json=body) for body in [*bodies, *garbage])
            )
        return Counter(answer.status_code for answer in answers)

    assert asyncio.run(flood()) == {200: 1_000, 400: 200}
    system.subscribe(30)
    system.wait_until_collected()

    assert system.verdict().clean
    assert len(system.sandbox.paid()) == 30
    assert charge.is_alive
    assert command.is_alive
    assert system.value("SELECT count(*) FROM dead_letters") == 0


def test_the_receiver_answers_while_everything_else_is_dead_and_nothing_is_lost(
    system: System,
) -> None:
    address = system.receiver()
    said = {"imp_uid": "imp_1", "status": "paid"}
    assert httpx.post(f"{address}/webhooks/portone", json=said, timeout=10).status_code == 200
    with redis.Redis.from_url(system.servers.valkey.url) as client:
        assert client.llen(WEBHOOK_QUEUE) == 1

    ready(system.command_worker())
    system.wait(lambda: system.value("SELECT count(*) FROM hints") == 1, "the hint is stored")


def test_the_receiver_ends_when_it_is_told_to(system: System) -> None:
    address = system.receiver()
    (receiver,) = system.children
    assert httpx.get(f"{address}/healthz", timeout=10).status_code == 200
    receiver.signal(signal.SIGTERM)
    # Uvicorn raises the signal once more when it has wound up.
    assert receiver.wait(timeout_s=20) in {0, -signal.SIGTERM}
    assert "Traceback" not in receiver.output()
