"""What the tables of payments and refunds refuse, whoever writes to them."""

from collections.abc import Iterator

import psycopg
import pytest

from tests.integration.db.test_constraints import NOW, Tables

IN_FLIGHT = {"status": "unknown", "next_send_at": None, "inquire_at": NOW, "checksum": 9_900}


@pytest.fixture
def tables(module_url: str) -> Iterator[Tables]:
    with psycopg.connect(module_url) as connection:
        yield Tables(connection)
        connection.rollback()


@pytest.mark.parametrize(
    ("constraint", "changes"),
    [
        ("payments_cancelled_check", {"cancelled_amount": 9_901}),
        ("payments_cancelled_check", {"cancelled_amount": -1}),
        ("payments_cancelled_check", {"cancelled_amount": 1, "cancelled_tax_free": 2}),
        ("payments_cancelled_check", {"cancelled_amount": 9_900, "cancelled_tax_free": 899}),
        ("payments_cancelled_check", {"cancelled_amount": 9_001, "cancelled_tax_free": 0}),
        ("payments_cancelled_check", {"cancelled_amount": 9_900, "cancelled_tax_free": 901}),
        ("payments_origin_check", {"attempt_id": None}),
        ("refunds_amount_check", {"amount": 0}),
        ("refunds_money_check", {"tax_free": 1_001}),
        ("refunds_reason_check", {"reason": ""}),
        ("refunds_reason_check", {"reason": "가" * 257}),
        ("refunds_requester_check", {"requester": "somebody"}),
        ("refunds_cause_check", {"cause": "whim"}),
        ("refunds_status_check", {"status": "lost", "next_send_at": None}),
        ("refunds_checksum_check", {**IN_FLIGHT, "checksum": 999}),
        ("refunds_in_flight_check", {**IN_FLIGHT, "checksum": None}),
        ("refunds_inquire_check", {**IN_FLIGHT, "inquire_at": None}),
        ("refunds_next_send_check", {"next_send_at": None}),
        ("refunds_next_send_check", {"status": "done"}),
    ],
)
def test_a_row_that_breaks_a_promise_is_refused(
    tables: Tables, constraint: str, changes: dict[str, object]
) -> None:
    tables.refuses(constraint, constraint.split("_", maxsplit=1)[0], **changes)


def test_one_refund_of_a_payment_is_under_way(tables: Tables) -> None:
    payment_id = tables.payments()
    tables.refunds(payment_id=payment_id, checksum=9_900)
    tables.refunds(payment_id=payment_id)
    tables.refuses("refunds_one_under_way_idx", "refunds", payment_id=payment_id, **IN_FLIGHT)
    parked = {"status": "parked", "next_send_at": None, "checksum": 9_900}
    tables.refuses("refunds_one_under_way_idx", "refunds", payment_id=payment_id, **parked)
    # What has ended stands in nobody's way.
    tables.refunds(payment_id=payment_id, checksum=9_900, status="done", next_send_at=None)


def test_a_command_asks_once_and_what_goes_back_by_itself_does_so_once(tables: Tables) -> None:
    payment_id = tables.payments()
    tables.refunds(payment_id=payment_id, command_id="refund-1", cause="cancellation")
    tables.refuses(
        "refunds_command_id_key", "refunds", payment_id=payment_id, command_id="refund-1"
    )
    tables.refuses(
        "refunds_one_by_itself_idx", "refunds", payment_id=payment_id, cause="late_payment"
    )
