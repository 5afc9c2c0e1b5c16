"""Refunds in real processes: killed at every point, sent ten times, lost on the way; back once."""

import signal
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from deploy.launcher.children import Child
from shared.billing.refund import Requester
from shared.jobs.commands import RefundPayment
from shared.jobs.contracts import InquireRefunds, SendRefunds
from tests.support.system import System, ready

REASON = "구매자 변심"
PRICE, PART = 9_900, 4_000


def paid(system: System, workers: int = 1) -> tuple[str, list[Child]]:
    """Have one renewal paid; return the payment's ``imp_uid`` and the charge workers."""
    system.subscribe()
    children = system.start(workers=workers)
    commands = [system.command_worker(f"command{number}") for number in range(workers)]
    for child in commands:
        ready(child)
    system.wait_until_collected()
    (record,) = system.sandbox.paid()
    return str(record["imp_uid"]), children


def order(imp_uid: str, amount: int = PART, command_id: str | None = None) -> RefundPayment:
    """Return a merchant's wish to give a part back."""
    return RefundPayment(
        command_id=command_id or uuid.uuid4().hex,
        imp_uid=imp_uid,
        amount=amount,
        reason=REASON,
        requester=Requester.CUSTOMER,
    )


def wait_for_refund(system: System, status: str = "done") -> dict[str, Any]:
    """Wait until the one refund has ended, and return its row."""

    ended = "SELECT * FROM refunds WHERE settled_at IS NOT NULL"
    (refund,) = system.wait(lambda: system.rows(ended), "the refund has ended")
    assert refund["status"] == status, refund["message"]
    return refund


def assert_back_once(system: System, imp_uid: str, amount: int = PART) -> None:
    """The gateway gave the money back once, and our rows say the same."""
    record = next(record for record in system.sandbox.book() if record["imp_uid"] == imp_uid)
    assert record["cancel_amount"] == amount
    assert [entry["reason"] for entry in record["cancels"]] == [REASON]
    (payment,) = system.rows("SELECT * FROM payments WHERE imp_uid = %s", imp_uid)
    assert payment["cancelled_amount"] == amount
    told = system.rows("SELECT data FROM events WHERE name = 'payment.refunded'")
    assert [event["data"]["amount"] for event in told] == [amount]
    assert system.value("SELECT count(*) FROM refunds") == 1
    assert system.value("SELECT count(*) FROM dead_letters") == 0


@contextmanager
def row_locked(system: System, table: str) -> Iterator[None]:
    """Hold the rows of a table as a person at the database would, so that nothing can settle."""
    with psycopg.connect(system.database_url) as connection:
        connection.execute(f"SELECT FROM {table} FOR UPDATE".encode())
        yield
        connection.rollback()


def cancels_seen(system: System, imp_uid: str) -> list[dict[str, Any]]:
    """Return the cancel requests that reached the gateway."""
    seen: list[dict[str, Any]] = system.sandbox.cancels_of(imp_uid)
    return seen


def killed_after_the_row(system: System, imp_uid: str, workers: list[Child]) -> None:
    """The refund is asked for and committed; whoever would send it is gone."""
    for worker in workers:
        worker.signal(signal.SIGKILL)
    system.publish(order(imp_uid))
    system.wait(
        lambda: system.value("SELECT count(*) FROM refunds WHERE dispatched_at IS NOT NULL") == 1,
        "the refund's message is sent",
    )


def killed_before_the_call(system: System, imp_uid: str, workers: list[Child]) -> None:
    """The claim is committed, and the worker waits for a token: no byte has left."""
    system.sandbox.revoke_token()
    system.sandbox.faults(endpoint_latency_ms={"getToken": 60_000})
    system.publish(order(imp_uid))
    system.wait(
        lambda: system.value("SELECT count(*) FROM refunds WHERE status = 'claimed'") == 1,
        "the refund is claimed",
    )
    for worker in workers:
        worker.signal(signal.SIGKILL)
    system.sandbox.faults(endpoint_latency_ms={})


def killed_during_the_call(system: System, imp_uid: str, workers: list[Child]) -> None:
    """The request is at the gateway, which gives the money back after the worker's death."""
    system.sandbox.cancel_script(imp_uid, [{"ending": "slow", "delay_s": 1.5}])
    system.publish(order(imp_uid))
    system.wait(lambda: cancels_seen(system, imp_uid), "the cancel is at the gateway")
    for worker in workers:
        worker.signal(signal.SIGKILL)


def killed_before_the_reply_is_read(system: System, imp_uid: str, workers: list[Child]) -> None:
    """The gateway has given the money back; its reply never comes, and the worker dies waiting."""
    system.sandbox.cancel_script(imp_uid, [{"ending": "late_success", "delay_s": 0, "hang": True}])
    system.publish(order(imp_uid))
    system.wait(
        lambda: any(record["cancel_amount"] for record in system.sandbox.book()),
        "the gateway has given the money back",
    )
    for worker in workers:
        worker.signal(signal.SIGKILL)


def killed_before_the_settlement(system: System, imp_uid: str, workers: list[Child]) -> None:
    """The reply is in, and the row cannot be written before the worker dies."""
    system.sandbox.cancel_script(imp_uid, [{"ending": "slow", "delay_s": 1.0}])
    system.publish(order(imp_uid))
    system.wait(lambda: cancels_seen(system, imp_uid), "the cancel is at the gateway")
    with row_locked(system, "refunds"):
        system.wait(
            lambda: any(record["cancel_amount"] for record in system.sandbox.book()),
            "the gateway has given the money back",
        )
        system.wait(
            lambda: (
                system.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
                > 0
            ),
            "the settlement waits for the row",
        )
        for worker in workers:
            worker.signal(signal.SIGKILL)


@pytest.mark.parametrize(
    "kill",
    [
        killed_after_the_row,
        killed_before_the_call,
        killed_during_the_call,
        killed_before_the_reply_is_read,
        killed_before_the_settlement,
    ],
)
def test_a_worker_killed_at_any_point_of_a_refund_gives_the_money_back_once(
    system: System, kill: Callable[[System, str, list[Child]], None]
) -> None:
    imp_uid, workers = paid(system)

    kill(system, imp_uid, workers)
    ready(system.worker("successor"))

    wait_for_refund(system)
    assert_back_once(system, imp_uid)


def test_the_same_command_ten_times_at_once_gives_back_once(system: System) -> None:
    imp_uid, _ = paid(system, workers=2)
    wish = order(imp_uid)
    system.sandbox.faults(latency_ms=200)

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(system.publish, [wish] * 10))

    wait_for_refund(system)
    system.wait(system.idle, "every message is worked")
    assert_back_once(system, imp_uid)
    assert len(cancels_seen(system, imp_uid)) == 1


def test_the_messages_of_one_refund_twenty_times_send_it_once(system: System) -> None:
    imp_uid, _ = paid(system, workers=2)
    system.sandbox.faults(latency_ms=300)
    system.publish(order(imp_uid))
    refund_id = system.wait(
        lambda: [row["id"] for row in system.rows("SELECT id FROM refunds")], "it is asked for"
    )[0]

    for _ in range(10):
        system.publish(
            SendRefunds(refund_ids=(refund_id,)), InquireRefunds(refund_ids=(refund_id,))
        )

    wait_for_refund(system)
    system.wait(system.idle, "every message is worked")
    assert_back_once(system, imp_uid)
    assert len(cancels_seen(system, imp_uid)) == 1


@pytest.mark.parametrize("ending", ["lost_reply", "error_500_done", "bad_gateway_done", "garbage"])
def test_a_refund_that_was_done_and_not_heard_of_is_read_and_not_repeated(
    system: System, ending: str
) -> None:
    imp_uid, _ = paid(system)
    system.sandbox.cancel_script(imp_uid, [ending])

    system.publish(order(imp_uid))

    wait_for_refund(system)
    assert_back_once(system, imp_uid)
    assert len(cancels_seen(system, imp_uid)) == 1


def test_a_refund_that_never_arrived_is_sent_again_under_the_same_checksum(
    system: System,
) -> None:
    imp_uid, _ = paid(system)
    system.sandbox.cancel_script(imp_uid, ["lost_request"])

    system.publish(order(imp_uid))

    wait_for_refund(system)
    assert_back_once(system, imp_uid)
    seen = cancels_seen(system, imp_uid)
    assert [request["body"]["checksum"] for request in seen] == [PRICE, PRICE]
