"""Faults left to chance: rates, latency and closed connections, repeatable by their seed."""

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPException

import pytest

from deploy.sandbox.endings import draw
from deploy.sandbox.settings import Settings
from tests.sandbox.client import Gateway

RATES = {"declined": 0.3, "error_500": 0.2, "lost_reply": 0.1, "limit_exceeded": 0.1}


def _run(gateway: Gateway, order: list[int], *, threads: int = 1, seed: int = 7) -> list[str]:
    gateway.reset()
    gateway.faults(seed=seed, rates=RATES)
    assert gateway.token

    def charge(n: int) -> None:
        for _ in range(2):
            with suppress(HTTPException, OSError):
                gateway.again(merchant_uid=f"m{n}")

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(charge, order))
    return [",".join(seen["ending"] for seen in gateway.seen(f"m{n}")) for n in range(len(order))]


def test_a_run_repeats_by_its_seed_whatever_order_the_requests_arrive_in(
    gateway: Gateway,
) -> None:
    forwards = _run(gateway, list(range(60)))
    backwards = _run(gateway, list(reversed(range(60))), threads=8)

    assert forwards == backwards
    assert len(set(forwards)) > 5
    assert _run(gateway, list(range(60)), seed=8) != forwards


def test_rates_are_shares_of_the_requests(gateway: Gateway) -> None:
    gateway.faults(rates={"declined": 0.5})
    for n in range(400):
        gateway.again(merchant_uid=f"m{n}")
    endings = gateway.counts()["endings"]

    assert 150 < endings["declined"] < 250
    assert endings["declined"] + endings["paid"] == 400


def test_a_rate_of_one_hits_every_request_and_none_after_it_is_taken_back(
    gateway: Gateway,
) -> None:
    gateway.faults(rates={"throttled": 1})
    assert {gateway.again(merchant_uid=f"m{n}").status for n in range(20)} == {429}
    gateway.faults(rates={})

    assert {gateway.again(merchant_uid=f"m{n}").status for n in range(20)} == {200}


def test_a_script_wins_over_the_rates(gateway: Gateway) -> None:
    gateway.faults(rates={"error_500": 1})
    gateway.behave("declined")
    assert gateway.again().response["status"] == "failed"
    assert gateway.again().response["status"] == "paid"
    gateway.control("DELETE", "behaviours/buyer")

    assert gateway.again(merchant_uid="m2").status == 500


@pytest.mark.parametrize(
    ("ending", "status"), [("error_500", 500), ("bad_gateway", 502), ("throttled", 429)]
)
def test_lookups_have_rates_of_their_own(gateway: Gateway, ending: str, status: int) -> None:
    gateway.faults(inquiry_rates={ending: 1})
    imp_uid = gateway.again().response["imp_uid"]

    for path in (
        "/payments/findAll/m1",
        "/payments/find/m1",
        f"/payments/{imp_uid}",
        "/subscribe/customers/buyer",
    ):
        answer = gateway.get(path)
        assert answer.status == status, path
        assert ("retry-after" in answer.headers) is (status == 429)
    assert gateway.counts()["inquiry_endings"] == {ending: 4}


def test_a_lookup_can_lose_its_reply_or_be_slow(gateway: Gateway) -> None:
    gateway.again()
    gateway.faults(inquiry_rates={"lost_reply": 1})
    with pytest.raises(ConnectionError):
        gateway.get("/payments/findAll/m1")
    gateway.faults(inquiry_rates={"slow": 1}, delay_s=0.3)
    begin = time.monotonic()

    assert gateway.get("/payments/findAll/m1").response["total"] == 1
    assert time.monotonic() - begin >= 0.3


def _seconds(gateway: Gateway, merchant_uid: str) -> float:
    begin = time.monotonic()
    gateway.again(merchant_uid=merchant_uid)
    return time.monotonic() - begin


def test_latency_varies_by_its_jitter_and_repeats_by_the_seed(gateway: Gateway) -> None:
    turned = {"latency_ms": 150, "latency_jitter": 1, "duplicate_policy": "none"}
    settings = Settings().changed(turned)
    drawn = [settings.latency_s("again", draw(settings.seed, f"m{n}", 0).latency) for n in range(5)]
    assert max(drawn) - min(drawn) > 0.1
    for _ in range(2):
        gateway.reset()
        assert gateway.token
        gateway.faults(**turned)
        # The machine adds what it likes; nothing answers before its time.
        for n, latency_s in enumerate(drawn):
            assert _seconds(gateway, f"m{n}") >= latency_s


def test_an_endpoint_may_have_a_latency_of_its_own(gateway: Gateway) -> None:
    assert gateway.token
    gateway.faults(latency_ms=60_000, endpoint_latency_ms={"again": 0, "findAll": 300})
    assert _seconds(gateway, "m1") < 5
    begin = time.monotonic()
    gateway.get("/payments/findAll/m1")

    assert time.monotonic() - begin >= 0.3


def test_a_kept_connection_can_be_closed_right_after_a_reply_without_a_word(
    gateway: Gateway,
) -> None:
    gateway.faults(close_after_reply_rate=1)
    received = gateway.raw(gateway.again_bytes())

    assert received.startswith(b"HTTP/1.1 200 OK")
    assert received.endswith(b"}}")
    assert b"connection: close" not in received.lower()
    assert gateway.booked("m1")[0]["status"] == "paid"


def test_a_connection_is_kept_for_many_requests_otherwise(gateway: Gateway) -> None:
    with socket.create_connection((gateway.host, gateway.port), timeout=10) as connection:
        for n in range(3):
            connection.sendall(gateway.again_bytes(merchant_uid=f"m{n}"))
            received = b""
            while not received.endswith(b"}}"):
                chunk = connection.recv(65536)
                assert chunk
                received += chunk
    assert len(gateway.booked()) == 3
