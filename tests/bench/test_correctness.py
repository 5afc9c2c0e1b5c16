from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import redis

from deploy.launcher.servers import OwnServers
from tests.bench.correctness import Gateway, faults_of, left_in_broker
from tests.bench.side import Ledger, SettledAttempt

COUNT = 3


def ledger() -> Ledger:
    attempts = [
        SettledAttempt(f"m{n}", f"imps_{n}", f"c{n}", 9_900, 0, "paid", 100.0 + n)
        for n in range(COUNT)
    ]
    return Ledger(COUNT, COUNT, attempts)


def book() -> list[dict[str, Any]]:
    return [
        {
            "merchant_uid": f"m{n}",
            "imp_uid": f"imps_{n}",
            "customer_uid": f"c{n}",
            "amount": 9_900,
            "tax_free": 0,
            "status": "paid",
        }
        for n in range(COUNT)
    ]


def requests(sent: int = COUNT, **results: int) -> dict[str, Any]:
    return {
        "endpoints": {"getToken": 2, "again": sent},
        "results": results or {"booked_paid": COUNT},
        "statuses": {"200": sent + 2},
    }


def found(
    rows: Ledger | None = None,
    records: list[dict[str, Any]] | None = None,
    seen: dict[str, Any] | None = None,
    left: dict[str, int] | None = None,
) -> str:
    gateway = Gateway(book() if records is None else records, seen or requests())
    return "\n".join(faults_of(COUNT, rows or ledger(), gateway, left or {}))


def test_nothing_is_said_when_everything_agrees() -> None:
    assert not found()


def test_an_invoice_that_is_not_paid_is_reported() -> None:
    assert found(replace(ledger(), paid=2)) == "2 of 3 invoices are paid, 3 were due"


def test_an_invoice_that_vanished_is_reported() -> None:
    assert found(replace(ledger(), invoices=2, paid=2)) == "2 of 2 invoices are paid, 3 were due"


def test_an_attempt_that_is_not_settled_is_reported() -> None:
    attempts = [*ledger().attempts[1:], replace(ledger().attempts[0], status="unknown")]

    assert "ended as {'paid': 2, 'unknown': 1}" in found(replace(ledger(), attempts=attempts))


def test_a_merchant_uid_used_by_two_attempts_is_reported() -> None:
    attempts = [*ledger().attempts[1:], replace(ledger().attempts[0], merchant_uid="m1")]

    assert "attempts share a merchant_uid: m1" in found(replace(ledger(), attempts=attempts))


def change(**values: object) -> Callable[[list[dict[str, Any]]], list[dict[str, Any]]]:
    return lambda records: [{**records[0], **values}, *records[1:]]


@pytest.mark.parametrize(
    ("altered", "fault"),
    [
        (lambda records: records[1:], "book holds 2 paid records, 3 were due"),
        (lambda records: [*records, records[0]], "more than one record of m0"),
        (lambda records: [*records, records[0]], "charged more than once: c0"),
        (change(status="failed"), "holds 1 records that are not paid"),
        (change(amount=9_901), "rows and book differ about m0"),
        (change(tax_free=1), "rows and book differ about m0"),
        (change(imp_uid="imps_9"), "rows and book differ about m0"),
        (change(customer_uid="c9"), "rows and book differ about m0"),
        (change(merchant_uid="m9"), "rows and book differ about m0, m9"),
    ],
)
def test_a_book_that_says_otherwise_is_reported(
    altered: Callable[[list[dict[str, Any]]], list[dict[str, Any]]], fault: str
) -> None:
    assert fault in found(records=altered(book()))


def test_a_request_too_many_is_reported() -> None:
    seen = requests(4, booked_paid=3, refused_duplicate_order=1)

    assert "4 charge requests were sent for 3 invoices" in found(seen=seen)
    assert "'refused_duplicate_order': 1" in found(seen=seen)


def test_an_answer_other_than_200_is_reported() -> None:
    seen = {**requests(), "statuses": {"200": 4, "401": 1}}

    assert found(seen=seen) == "the gateway answered with {'200': 4, '401': 1}"


def test_what_the_broker_still_holds_is_reported() -> None:
    assert found(left={"unacked": 2}) == "the broker still holds 2 in unacked"


def test_what_the_side_itself_complains_of_is_reported() -> None:
    assert found(replace(ledger(), complaints=["1 dead letters"])) == "1 dead letters"


def test_messages_that_wait_or_were_not_acknowledged_are_counted(servers: OwnServers) -> None:
    url = servers.valkey.url
    with redis.Redis.from_url(url) as client:
        client.flushall()
        assert left_in_broker(url, ["a", "b"]) == {}

        client.lpush("b", "message", "message")
        client.hset("unacked", "tag", "message")
        client.zadd("unacked_index", {"tag": 1})

        assert left_in_broker(url, ["a", "b"]) == {"queue b": 2, "unacked": 1, "unacked_index": 1}
        client.flushall()
