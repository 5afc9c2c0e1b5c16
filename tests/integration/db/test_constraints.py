"""What the tables refuse, whoever writes to them."""

import itertools
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import errors, sql

NOW = datetime(2026, 1, 31, tzinfo=UTC)
LATER = NOW + timedelta(days=28)
PAUSE = {"pause_at": NOW, "pause_keeps": "time"}
WISH = {
    "cancel_at": NOW,
    "cancel_reason": "이사",
    "cancel_requester": "customer",
    "cancel_refund": "none",
    "cancel_late_payment": "full",
}
_numbers = itertools.count(1)


class Tables:
    """Rows that are valid but for what a test changes; everything is taken back at the end."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self.connection = connection

    def insert(self, table: str, **values: object) -> Any:
        """Insert one row and return its id."""
        statement = sql.SQL("INSERT INTO {} ({}) VALUES ({}) RETURNING id").format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, values)),
            sql.SQL(", ").join(sql.Placeholder() * len(values)),
        )
        row = self.connection.execute(statement, list(values.values())).fetchone()
        assert row is not None
        return row[0]

    def billing_keys(self, **changes: object) -> Any:
        """Insert a billing key."""
        return self.insert(
            "billing_keys", **{"customer_uid": f"customer-{next(_numbers)}", **changes}
        )

    def subscriptions(self, **changes: object) -> Any:
        """Insert an active subscription."""
        return self.insert(
            "subscriptions",
            **{
                "id": uuid.uuid4(),
                "billing_key_id": changes.get("billing_key_id") or self.billing_keys(),
                "amount": 9_900,
                "tax_free": 0,
                "order_name": "슬림 요금제",
                "interval_unit": "month",
                "interval_count": 1,
                "anchor_at": NOW,
                "time_zone": "Asia/Seoul",
                "next_period_index": 0,
                "next_renewal_at": NOW,
                "consented_amount": 9_900,
                **changes,
            },
        )

    def invoices(self, **changes: object) -> Any:
        """Insert an open invoice of period 0."""
        return self.insert(
            "invoices",
            **{
                "subscription_id": changes.get("subscription_id") or self.subscriptions(),
                "period_index": 0,
                "period_start_at": NOW,
                "period_end_at": LATER,
                "amount": 9_900,
                "tax_free": 0,
                "order_name": "슬림 요금제",
                "lines": "[]",
                **changes,
            },
        )

    def payment_attempts(self, **changes: object) -> Any:
        """Insert a declined attempt."""
        return self.insert(
            "payment_attempts",
            **{
                "invoice_id": changes.get("invoice_id") or self.invoices(),
                "number": 1,
                "send_number": 1,
                "merchant_uid": f"uid{next(_numbers)}",
                "billing_key_id": self.billing_keys(),
                "amount": 9_900,
                "tax_free": 0,
                "status": "declined",
                "claimed_at": NOW,
                "lease_until": NOW + timedelta(minutes=2),
                **changes,
            },
        )

    def payments(self, **changes: object) -> Any:
        """Insert a payment of 9,900 won, 900 of them tax-free, of which nothing went back."""
        return self.insert(
            "payments",
            **{
                "imp_uid": "imp_a",
                "merchant_uid": "uid",
                "attempt_id": changes.get("attempt_id") or self.payment_attempts(),
                "amount": 9_900,
                "tax_free": 900,
                "paid_at": NOW,
                **changes,
            },
        )

    def refunds(self, **changes: object) -> Any:
        """Insert a refund that waits."""
        return self.insert(
            "refunds",
            **{
                "payment_id": changes.get("payment_id") or self.payments(),
                "amount": 1_000,
                "tax_free": 0,
                "reason": "고객 변심",
                "requester": "customer",
                "cause": "command",
                "status": "waiting",
                "next_send_at": NOW,
                **changes,
            },
        )

    def refuses(self, constraint: str, table: str, **changes: object) -> None:
        """Insert a row that must be refused by one constraint, and take it back."""
        kind = errors.UniqueViolation if constraint.endswith(("_key", "_idx")) else None
        with pytest.raises(kind or errors.IntegrityError) as caught, self.connection.transaction():
            getattr(self, table)(**changes)
        assert caught.value.diag.constraint_name == constraint


@pytest.fixture
def tables(module_url: str) -> Iterator[Tables]:
    with psycopg.connect(module_url) as connection:
        yield Tables(connection)
        connection.rollback()


@pytest.mark.parametrize(
    ("constraint", "changes"),
    [
        ("billing_keys_customer_uid_check", {"customer_uid": ""}),
        ("billing_keys_customer_uid_check", {"customer_uid": "가" * 81}),
        ("billing_keys_status_check", {"status": "asleep"}),
        ("billing_keys_buyer_check", {"buyer_name": "가" * 17}),
        ("billing_keys_buyer_check", {"buyer_email": "e" * 65}),
        ("billing_keys_buyer_check", {"buyer_tel": "0" * 17}),
        ("subscriptions_money_check", {"amount": -1}),
        ("subscriptions_money_check", {"tax_free": -1}),
        ("subscriptions_money_check", {"tax_free": 9_901}),
        ("subscriptions_order_name_check", {"order_name": ""}),
        ("subscriptions_order_name_check", {"order_name": "가" * 41}),
        ("subscriptions_interval_unit_check", {"interval_unit": "fortnight"}),
        ("subscriptions_interval_count_check", {"interval_count": 0}),
        ("subscriptions_anchor_index_check", {"next_period_index": -1}),
        ("subscriptions_anchor_index_check", {"anchor_index": 1}),
        ("subscriptions_status_check", {"status": "forgotten", "next_renewal_at": None}),
        ("subscriptions_pause_check", {"status": "paused", "next_renewal_at": None}),
        ("subscriptions_pause_check", {"pause_at": NOW, "pause_keeps": "nothing"}),
        ("subscriptions_pause_check", {**PAUSE, "resume_at": NOW}),
        ("subscriptions_trial_check", {"status": "trialing"}),
        ("subscriptions_quantity_check", {"quantity": 0}),
        ("subscriptions_names_check", {"product": "가" * 65}),
        ("subscriptions_consented_amount_check", {"consented_amount": -1}),
        ("subscriptions_next_renewal_check", {"next_renewal_at": None}),
        ("subscriptions_next_renewal_check", {"status": "past_due", "next_renewal_at": None}),
        ("subscriptions_next_renewal_check", {"status": "canceled"}),
        ("subscriptions_billing_key_id_fkey", {"billing_key_id": 10**15}),
        ("subscriptions_cancel_check", {"cancel_at": NOW}),
        ("subscriptions_cancel_check", {**WISH, "cancel_reason": None}),
        ("subscriptions_cancel_check", {**WISH, "cancel_requester": "nobody"}),
        ("subscriptions_cancel_check", {**WISH, "cancel_refund": "half"}),
        ("subscriptions_cancel_check", {**WISH, "cancel_late_payment": None}),
        ("subscriptions_canceled_check", {**WISH, "canceled_at": NOW}),
        ("subscriptions_closed_check", {**WISH, "closed_at": NOW}),
        ("invoices_money_check", {"amount": -1}),
        ("invoices_money_check", {"tax_free": 9_901}),
        ("invoices_status_check", {"status": "draft"}),
        ("invoices_period_check", {"period_end_at": NOW}),
        ("invoices_paid_check", {"status": "paid"}),
        ("invoices_paid_check", {"paid_at": NOW}),
        ("invoices_next_attempt_check", {"status": "void", "next_attempt_at": NOW}),
        (
            "invoices_next_attempt_check",
            {"status": "paid", "paid_at": NOW, "next_attempt_at": NOW},
        ),
        ("invoices_subscription_id_fkey", {"subscription_id": uuid.UUID(int=0)}),
        ("payment_attempts_money_check", {"amount": -1}),
        ("payment_attempts_money_check", {"tax_free": 9_901}),
        ("payment_attempts_status_check", {"status": "failed"}),
        ("payment_attempts_numbers_check", {"number": 0}),
        ("payment_attempts_numbers_check", {"send_number": 0}),
        ("payment_attempts_paid_check", {"status": "paid"}),
        ("payment_attempts_inquire_check", {"status": "claimed"}),
        ("payment_attempts_inquire_check", {"status": "unknown"}),
        ("payment_attempts_inquire_check", {"status": "waiting", "inquire_at": NOW}),
        ("payment_attempts_inquire_check", {"status": "parked", "inquire_at": NOW}),
        ("payment_attempts_invoice_id_fkey", {"invoice_id": 10**15}),
    ],
    ids=str,
)
def test_a_row_that_breaks_a_promise_is_refused_by_name(
    tables: Tables, constraint: str, changes: dict[str, object]
) -> None:
    table = next(
        name
        for name in ("billing_keys", "subscriptions", "invoices", "payment_attempts")
        if constraint.startswith(name)
    )
    tables.refuses(constraint, table, **changes)


@pytest.mark.parametrize(
    ("constraint", "values"),
    [
        ("dead_letters_kind_check", {"kind": "letter"}),
        ("dead_letters_attempt_check", {"kind": "attempt"}),
        ("gateway_holds_one_row_check", {"id": 2, "held_until": NOW, "raised_at": NOW}),
        (
            "events_subscription_id_fkey",
            {"subscription_id": uuid.UUID(int=0), "name": "n", "data": "{}"},
        ),
    ],
    ids=str,
)
def test_the_smaller_tables_refuse_what_means_nothing(
    tables: Tables, constraint: str, values: dict[str, object]
) -> None:
    table = constraint.rsplit("_", 2 if constraint.startswith(("dead", "gateway")) else 3)[0]
    table = {"gateway_holds_one": "gateway_holds"}.get(table, table)
    cause = {} if table == "events" else {"cause": "why"}
    with pytest.raises(errors.IntegrityError) as caught, tables.connection.transaction():
        tables.insert(table, **cause, **values)
    assert caught.value.diag.constraint_name == constraint


def test_a_message_letter_names_no_attempt(tables: Tables) -> None:
    attempt_id = tables.payment_attempts()
    with pytest.raises(errors.CheckViolation) as caught, tables.connection.transaction():
        tables.insert("dead_letters", kind="message", cause="why", attempt_id=attempt_id)
    assert caught.value.diag.constraint_name == "dead_letters_attempt_check"


def test_a_period_has_one_invoice(tables: Tables) -> None:
    subscription_id = tables.subscriptions()
    tables.invoices(subscription_id=subscription_id, status="void")
    tables.refuses(
        "invoices_subscription_id_period_index_key", "invoices", subscription_id=subscription_id
    )
    tables.invoices(subscription_id=subscription_id, period_index=1)
    tables.invoices()


def test_a_billing_key_is_stored_once(tables: Tables) -> None:
    tables.billing_keys(customer_uid="once")
    tables.refuses("billing_keys_customer_uid_key", "billing_keys", customer_uid="once")


UNSETTLED = ("claimed", "waiting", "unknown", "parked")


@pytest.mark.parametrize("second", UNSETTLED)
@pytest.mark.parametrize("first", UNSETTLED)
def test_an_invoice_has_one_unsettled_attempt(tables: Tables, first: str, second: str) -> None:
    def asked(status: str) -> datetime | None:
        return NOW if status in {"claimed", "unknown"} else None

    invoice_id = tables.invoices()
    tables.payment_attempts(invoice_id=invoice_id, status=first, inquire_at=asked(first))
    tables.refuses(
        "payment_attempts_one_unsettled_idx",
        "payment_attempts",
        invoice_id=invoice_id,
        number=2,
        status=second,
        inquire_at=asked(second),
    )
    for number, status in enumerate(("declined", "method_dead", "void"), start=3):
        tables.payment_attempts(invoice_id=invoice_id, number=number, status=status)


def test_an_invoice_has_one_paid_attempt(tables: Tables) -> None:
    invoice_id = tables.invoices()
    tables.payment_attempts(invoice_id=invoice_id, status="paid", imp_uid="imp_a")
    tables.refuses(
        "payment_attempts_one_paid_idx",
        "payment_attempts",
        invoice_id=invoice_id,
        number=2,
        status="paid",
        imp_uid="imp_b",
    )


def test_a_payment_of_the_gateway_settles_one_attempt(tables: Tables) -> None:
    tables.payments(attempt_id=tables.payment_attempts(status="paid", imp_uid="imp_a"))
    other = tables.payment_attempts(status="paid", imp_uid="imp_a")
    tables.refuses("payments_imp_uid_key", "payments", attempt_id=other)
    # A failed record and the payment that came of it may share their id.
    tables.payment_attempts(status="declined", imp_uid="imp_a")


def test_a_merchant_uid_and_a_number_are_used_once(tables: Tables) -> None:
    invoice_id = tables.invoices()
    tables.payment_attempts(invoice_id=invoice_id, merchant_uid="uid")
    tables.refuses("payment_attempts_merchant_uid_key", "payment_attempts", merchant_uid="uid")
    tables.refuses(
        "payment_attempts_invoice_id_number_key", "payment_attempts", invoice_id=invoice_id
    )
