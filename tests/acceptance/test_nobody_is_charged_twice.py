"""Messages that come again, workers that die, servers that are lost: one payment a period."""

import signal

import redis

from shared.jobs.contracts import ChargeInvoices, RenewSubscriptions
from tests.support.system import System, ready

TWENTY_FIVE = 25


def open_invoices(system: System) -> list[int]:
    """Open the due invoices through the real scan, and return their ids."""
    ready(system.scan_worker())
    system.publish(RenewSubscriptions())
    expected = system.value("SELECT count(*) FROM subscriptions")
    system.wait(
        lambda: system.value("SELECT count(*) FROM invoices") == expected, "invoices are opened"
    )
    return [row["id"] for row in system.rows("SELECT id FROM invoices ORDER BY id")]


def assert_collected_once(system: System, subscriptions: int) -> None:
    """Every subscription has paid exactly once, by our rows and by the gateway's book."""
    verdict = system.verdict()
    assert verdict.disagreements == ()
    assert verdict.double_charges == 0
    assert verdict.missed == 0
    assert dict(verdict.invoices) == {"paid": subscriptions}
    assert len(system.sandbox.paid()) == subscriptions


def test_the_same_message_twenty_times_to_two_workers_pays_once(system: System) -> None:
    system.subscribe(TWENTY_FIVE)
    system.sandbox.faults(duplicate_policy="none", latency_ms=200, latency_jitter=0.5)
    invoices = open_invoices(system)
    for worker in [system.worker("charge1"), system.worker("charge2")]:
        ready(worker)

    system.publish(*[ChargeInvoices(invoice_ids=tuple(invoices)) for _ in range(20)])
    system.wait_until_collected()

    assert_collected_once(system, TWENTY_FIVE)
    assert system.sandbox.requests()["endpoints"]["again"] == TWENTY_FIVE
    assert len(system.sandbox.book()) == TWENTY_FIVE


def test_a_worker_killed_during_a_slow_charge_is_resolved_by_inquiry(system: System) -> None:
    (worker,) = system.start(workers=1)

    for count, policy in enumerate(("never_reusable", "refused_if_paid", "none"), start=1):
        system.sandbox.faults(duplicate_policy=policy)
        system.sandbox.behave(policy, [{"ending": "slow", "delay_s": 1.5}])
        system.subscribe(customer_uid=policy)
        system.wait(
            lambda: system.sandbox.requests()["in_flight"] == 1, "the charge is at the gateway"
        )

        worker.signal(signal.SIGKILL)
        worker = system.worker("successor")
        ready(worker)
        system.wait_until_collected()

        assert_collected_once(system, count)
    attempts = system.rows("SELECT number, send_number, status FROM payment_attempts")
    assert attempts == [{"number": 1, "send_number": 1, "status": "paid"}] * 3


def test_a_worker_killed_before_its_request_left_is_sent_again_under_the_same_uid(
    system: System,
) -> None:
    (subscription,) = system.subscribe()
    system.sandbox.behave(subscription.customer_uid, [{"ending": "hang"}])
    (worker,) = system.start(workers=1)
    system.wait(lambda: system.sandbox.requests()["in_flight"] == 1, "the charge is at the gateway")

    worker.signal(signal.SIGKILL)
    ready(system.worker("successor"))
    system.wait_until_collected()

    assert_collected_once(system, 1)
    (attempt,) = system.rows("SELECT number, send_number, merchant_uid FROM payment_attempts")
    assert (attempt["number"], attempt["send_number"]) == (1, 2)
    seen = system.sandbox.requests(attempt["merchant_uid"])["requests"]
    assert [request["ending"] for request in seen] == ["hang", "paid"]


def test_a_worker_that_is_told_to_stop_settles_what_it_has_sent(system: System) -> None:
    (subscription,) = system.subscribe()
    system.sandbox.behave(subscription.customer_uid, [{"ending": "slow", "delay_s": 1.5}])
    (worker,) = system.start(workers=1)
    system.wait(lambda: system.sandbox.requests()["in_flight"] == 1, "the charge is at the gateway")

    worker.signal(signal.SIGTERM)
    assert worker.wait(timeout_s=30) == 0

    # Nobody had to ask the gateway: the worker stayed until the reply was written down.
    (attempt,) = system.rows(
        "SELECT status, settled_at <= lease_until AS kept FROM payment_attempts"
    )
    assert attempt == {"status": "paid", "kept": True}


def test_an_emptied_broker_loses_nothing(system: System) -> None:
    system.subscribe(300)
    system.sandbox.faults(latency_ms=300, latency_jitter=0.5)
    system.start(workers=2)
    with redis.Redis.from_url(system.servers.valkey.url) as client:
        for paid in (30, 150):
            system.wait(
                lambda paid=paid: len(system.sandbox.paid()) >= paid,  # type: ignore[misc]
                f"{paid} charges are paid",
            )
            client.flushall()

    system.wait_until_collected()

    assert_collected_once(system, 300)


def test_a_gateway_that_answers_500_to_everything_loses_and_doubles_nothing(
    system: System,
) -> None:
    system.subscribe(60)
    system.sandbox.faults(fail_all="error_500", duplicate_policy="none")
    system.start(workers=2)
    system.wait(
        lambda: (
            system.value("SELECT count(*) FROM payment_attempts WHERE status = 'unknown'") == 60
        ),
        "every outcome is unknown",
    )
    assert system.value("SELECT count(*) FROM invoices WHERE declines > 0") == 0

    system.sandbox.faults(fail_all=None)
    system.wait_until_collected()

    assert_collected_once(system, 60)
    assert system.value("SELECT count(*) FROM payment_attempts") == 60


def test_a_gateway_that_books_and_then_answers_500_is_believed_only_by_its_book(
    system: System,
) -> None:
    system.subscribe(60)
    system.sandbox.faults(fail_all="error_500_paid", duplicate_policy="none")
    system.start(workers=2)

    system.wait_until_collected()

    assert_collected_once(system, 60)
    assert system.sandbox.requests()["endpoints"]["again"] == 60


def test_a_restarted_database_loses_and_doubles_nothing(system: System) -> None:
    system.subscribe(300)
    system.sandbox.faults(latency_ms=300, latency_jitter=0.5, duplicate_policy="none")
    system.start(workers=2)
    system.wait(lambda: len(system.sandbox.paid()) >= 30, "30 charges are paid")

    system.servers.postgres.restart()
    system.wait_until_collected()

    assert_collected_once(system, 300)


def test_a_worker_frozen_past_its_lease_does_not_charge_when_it_thaws(system: System) -> None:
    (subscription,) = system.subscribe()
    system.sandbox.faults(duplicate_policy="none")
    system.sandbox.behave(subscription.customer_uid, [{"ending": "slow", "delay_s": 1.0}])
    (worker,) = system.start(workers=1)
    system.wait(lambda: system.sandbox.requests()["in_flight"] == 1, "the charge is at the gateway")

    worker.signal(signal.SIGSTOP)
    ready(system.worker("successor"))
    system.wait_until_collected()
    worker.signal(signal.SIGCONT)
    system.publish(ChargeInvoices(invoice_ids=(1,)))
    system.wait(lambda: "nothing due" in system.written(), "the message was worked again")

    assert_collected_once(system, 1)
