"""Refunds in real processes: killed at every point, sent ten times, lost on the way; back once."""

import signal
import uuid
from collections.abc import Iterator
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


def started(system: System, workers: int = 1) -> list[Child]:
    """Start everything that refunds need; return the charge workers."""
    children = system.start(workers=workers)
    for child in [system.command_worker(f"command{number}") for number in range(workers)]:
        ready(child)
    return children


def paid(system: System) -> str:
    """Have the renewal of one more subscription paid, and return the payment's ``imp_uid``."""
    before = {record["imp_uid"] for record in system.sandbox.book()}
    system.subscribe()
    system.wait_until_collected()
    (imp_uid,) = {record["imp_uid"] for record in system.sandbox.paid()} - before
    return str(imp_uid)


def order(imp_uid: str, amount: int = PART, command_id: str | None = None) -> RefundPayment:
    """Return a merchant's wish to give a part back."""
    return RefundPayment(
        command_id=command_id or uuid.uuid4().hex,
        imp_uid=imp_uid,
        amount=amount,
        reason=REASON,
        requester=Requester.CUSTOMER,
    )


def refunds_of(system: System, imp_uid: str, condition: str = "true") -> list[dict[str, Any]]:
    """Return the refunds of one payment for which a condition holds."""
    statement = f"""
        SELECT r.* FROM refunds r JOIN payments p ON p.id = r.payment_id
        WHERE p.imp_uid = %s AND ({condition})
    """  # noqa: S608 - made of constants only
    return system.rows(statement, imp_uid)


def wait_for_refund(system: System, imp_uid: str) -> None:
    """Wait until a payment's one refund has ended: done."""
    (refund,) = system.wait(
        lambda: refunds_of(system, imp_uid, "r.settled_at IS NOT NULL"), "the refund has ended"
    )
    assert refund["status"] == "done", refund["message"]


def assert_back_once(system: System, imp_uid: str, amount: int = PART) -> None:
    """The gateway gave the money back once, and our rows say the same."""
    record = booked(system, imp_uid)
    assert record["cancel_amount"] == amount
    assert [entry["reason"] for entry in record["cancels"]] == [REASON]
    (payment,) = system.rows("SELECT * FROM payments WHERE imp_uid = %s", imp_uid)
    assert payment["cancelled_amount"] == amount
    told = system.rows("SELECT data FROM events WHERE name = 'payment.refunded'")
    of_it = [event["data"] for event in told if event["data"]["imp_uid"] == imp_uid]
    assert [data["amount"] for data in of_it] == [amount]
    assert len(refunds_of(system, imp_uid)) == 1
    assert system.value("SELECT count(*) FROM dead_letters") == 0


@contextmanager
def row_locked(system: System, table: str) -> Iterator[None]:
    """Hold the rows of a table as a person at the database would, so that nothing can settle."""
    with psycopg.connect(system.database_url) as connection:
        connection.execute(f"SELECT FROM {table} FOR UPDATE".encode())
        yield
        connection.rollback()


def booked(system: System, imp_uid: str) -> dict[str, Any]:
    """Return the gateway's record of a payment."""
    return next(record for record in system.sandbox.book() if record["imp_uid"] == imp_uid)


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
        lambda: refunds_of(system, imp_uid, "r.dispatched_at IS NOT NULL"),
        "the refund's message is sent",
    )


def killed_before_the_call(system: System, imp_uid: str, workers: list[Child]) -> None:
    """The claim is committed, and the worker waits for a token: no byte has left."""
    system.sandbox.revoke_token()
    system.sandbox.faults(endpoint_latency_ms={"getToken": 60_000})
    system.publish(order(imp_uid))
    system.wait(
        lambda: refunds_of(system, imp_uid, "r.status = 'claimed'"),
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
        lambda: booked(system, imp_uid)["cancel_amount"],
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
            lambda: booked(system, imp_uid)["cancel_amount"],
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


@pytest.mark.timeout(480)  # Five deaths, one after the other.
def test_a_worker_killed_at_any_point_of_a_refund_gives_the_money_back_once(
    system: System,
) -> None:
    workers = started(system)

    for kill in (
        killed_after_the_row,
        killed_before_the_call,
        killed_during_the_call,
        killed_before_the_reply_is_read,
        killed_before_the_settlement,
    ):
        imp_uid = paid(system)
        kill(system, imp_uid, workers)
        workers = [system.worker("successor")]
        ready(workers[0])
        wait_for_refund(system, imp_uid)
        assert_back_once(system, imp_uid)


def test_a_refund_that_is_asked_for_many_times_is_sent_once(system: System) -> None:
    started(system, workers=2)
    commanded, messaged = paid(system), paid(system)

    # The same command ten times at once.
    system.sandbox.faults(latency_ms=200)
    wish = order(commanded)
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(system.publish, [wish] * 10))
    wait_for_refund(system, commanded)

    # The messages of one refund twenty times.
    system.sandbox.faults(latency_ms=300)
    system.publish(order(messaged))
    (refund,) = system.wait(lambda: refunds_of(system, messaged), "it is asked for")
    for _ in range(10):
        system.publish(
            SendRefunds(refund_ids=(refund["id"],)), InquireRefunds(refund_ids=(refund["id"],))
        )
    wait_for_refund(system, messaged)

    system.wait(system.idle, "every message is worked")
    for imp_uid in (commanded, messaged):
        assert_back_once(system, imp_uid)
        assert len(cancels_seen(system, imp_uid)) == 1


def test_a_refund_not_heard_of_is_read_if_it_was_done_and_else_sent_again(system: System) -> None:
    done_endings = ("lost_reply", "error_500_done", "bad_gateway_done", "garbage")
    started(system)
    done = [paid(system) for _ in done_endings]
    lost = paid(system)
    for imp_uid, ending in zip(done, done_endings, strict=True):
        system.sandbox.cancel_script(imp_uid, [ending])
    system.sandbox.cancel_script(lost, ["lost_request"])

    system.publish(*(order(imp_uid) for imp_uid in (*done, lost)))

    for imp_uid in (*done, lost):
        wait_for_refund(system, imp_uid)
        assert_back_once(system, imp_uid)
    for imp_uid, ending in zip(done, done_endings, strict=True):
        # Not repeated.
        assert len(cancels_seen(system, imp_uid)) == 1, ending
    # What never arrived is sent again under the same checksum.
    seen = cancels_seen(system, lost)
    assert [request["body"]["checksum"] for request in seen] == [PRICE, PRICE]
