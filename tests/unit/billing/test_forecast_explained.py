"""Why a day came otherwise than foreseen: one row a reason, and nothing without evidence."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from shared.billing.attempt import AttemptOrigin, AttemptStatus
from shared.billing.events import EventName
from shared.billing.forecast import Day, Expected, Outlook, Why
from shared.billing.forecast_explained import explain
from shared.billing.forecast_facts import (
    Asked,
    Bill,
    Explained,
    Facts,
    Reason,
    Subscriber,
    Told,
    Try,
)
from shared.billing.invoice import InvoiceStatus
from shared.billing.money import Price
from shared.billing.subscription import BillingKeyStatus

E, R, A = EventName, Reason, AttemptStatus
DAY = Day(date(2026, 2, 3))
MADE_AT = datetime(2026, 2, 2, 12, tzinfo=UTC)
ASKED = Asked(DAY, MADE_AT)
NOON = DAY.begins_at + timedelta(hours=12)
BEFORE, AFTER = DAY.begins_at - timedelta(hours=1), DAY.ends_at + timedelta(hours=1)
PRICE = 9_900
SUBSCRIBER = Subscriber(BillingKeyStatus.ACTIVE, True, 5, AFTER)
BILL = Bill(7, InvoiceStatus.OPEN, PRICE, NOON, None, None)
PAID = replace(BILL, status=InvoiceStatus.PAID)


def due(at: datetime = NOON, **changes: Any) -> Expected:
    values = {"why": Why.RENEWAL, **changes}
    return Expected(UUID(int=1), 4, at, Price(PRICE), **values)


def tried(status: AttemptStatus = A.PAID, at: datetime = NOON, **changes: Any) -> Try:
    return Try(**{"number": 1, "status": status, "at": at, "amount": PRICE, **changes})


def told(name: EventName, at: datetime = BEFORE, **of: Any) -> Told:
    return Told(name, at, **of)


def explained(
    expected: Expected | None = None,
    bill: Bill | None = None,
    tries: tuple[Try, ...] = (),
    events: tuple[Told, ...] = (),
    asked: Asked = ASKED,
    **subscriber: Any,
) -> Explained:
    who = replace(SUBSCRIBER, **subscriber)
    return explain(Facts(UUID(int=1), 4, expected, bill, tries, who, events), asked)


RETRY: dict[str, Any] = {"why": Why.RETRY, "invoice_id": 7}
FOUND: list[tuple[str, Reason, Explained]] = [
    ("paid", R.AS_FORESEEN, explained(due(), PAID, (tried(),))),
    ("left alone", R.AS_FORESEEN, explained(due(outlook=Outlook.WAITS), BILL)),
    ("declined", R.DECLINED, explained(due(), BILL, (tried(A.DECLINED, settled_at=NOON),))),
    ("dead", R.DECLINED, explained(due(), BILL, (tried(A.METHOD_DEAD, settled_at=NOON),))),
    ("unknown", R.UNDER_WAY, explained(due(), BILL, (tried(A.UNKNOWN),))),
    ("unknown since", R.UNDER_WAY, explained(due(), BILL, (tried(A.UNKNOWN, BEFORE),))),
    (
        "new",
        R.NEW,
        explained(None, PAID, (tried(),), (told(E.SUBSCRIPTION_CREATED),)),
    ),
    (
        "another price",
        R.CHANGED,
        explained(due(), PAID, (tried(amount=12_000),), (told(E.SUBSCRIPTION_CHANGED),)),
    ),
    (
        "a credit",
        R.ADJUSTED,
        explained(due(), PAID, (tried(amount=5_000),), (told(E.SUBSCRIPTION_ADJUSTED),)),
    ),
    (
        "a credit for all of it",
        R.ADJUSTED,
        explained(due(), replace(PAID, amount=0), (), (told(E.SUBSCRIPTION_ADJUSTED),)),
    ),
    (
        "days of a pause",
        R.RESUMED,
        explained(due(), PAID, (tried(amount=12_000),), (told(E.SUBSCRIPTION_RESUMED),)),
    ),
    (
        "consented",
        R.CONSENT,
        explained(due(outlook=Outlook.ENDS), PAID, (tried(),), (told(E.CONSENT_GIVEN),)),
    ),
    (
        "not consented",
        R.CONSENT,
        explained(due(), None, (), (told(E.CONSENT_MISSING, NOON, period_index=4),)),
    ),
    (
        "canceled before it was opened",
        R.CANCELED,
        explained(due(), None, (), (told(E.SUBSCRIPTION_CANCELLATION_SCHEDULED),)),
    ),
    (
        "void",
        R.CANCELED,
        explained(
            due(),
            replace(BILL, status=InvoiceStatus.VOID),
            (),
            (told(E.INVOICE_VOIDED, invoice_id=7),),
        ),
    ),
    ("ending", R.CANCELED, explained(due(), BILL, cancel_at=NOON)),
    ("paused", R.PAUSED, explained(due(), None, (), (told(E.SUBSCRIPTION_PAUSED),))),
    (
        "skipped",
        R.SKIPPED,
        explained(due(), None, (), (told(E.PERIOD_SKIPPED, AFTER, period_index=4),)),
    ),
    (
        "another interval",
        R.CHANGED,
        explained(due(), replace(PAID, begins_at=AFTER), (), (told(E.SUBSCRIPTION_CHANGED),)),
    ),
    (
        "reactivated",
        R.REACTIVATED,
        explained(None, PAID, (tried(),), (told(E.SUBSCRIPTION_REACTIVATED),)),
    ),
    (
        "moved by a pause, within the day",
        R.PAUSED,
        explained(
            due(),
            replace(PAID, begins_at=NOON + timedelta(hours=8)),
            (tried(A.PAID, AFTER),),
            (told(E.SUBSCRIPTION_PAUSED), told(E.SUBSCRIPTION_RESUMED, NOON)),
        ),
    ),
    (
        "moved, and nobody said so",
        R.UNEXPLAINED,
        explained(
            due(), replace(PAID, begins_at=NOON + timedelta(hours=8)), (tried(A.PAID, AFTER),)
        ),
    ),
    (
        "paid before",
        R.PAID_BEFORE,
        explained(due(**RETRY), PAID, (tried(A.PAID, BEFORE, origin=AttemptOrigin.BUYER),)),
    ),
    (
        "by its buyer",
        R.BY_BUYER,
        explained(
            None,
            PAID,
            (tried(origin=AttemptOrigin.BUYER),),
            (told(E.INVOICE_RETRY_ASKED, invoice_id=7),),
        ),
    ),
    (
        "tried again",
        R.TRIED_AGAIN,
        explained(
            None,
            PAID,
            (tried(A.DECLINED, BEFORE, settled_at=BEFORE), tried(number=2)),
        ),
    ),
    (
        "sent again",
        R.TRIED_AGAIN,
        explained(due(outlook=Outlook.WAITS), PAID, (tried(send_number=2),)),
    ),
    (
        "a new method",
        R.NEW_METHOD,
        explained(due(outlook=Outlook.WAITS), PAID, (tried(),), (told(E.BILLING_KEY_CHANGED),)),
    ),
    ("no method", R.NO_METHOD, explained(due(), BILL, key_status=BillingKeyStatus.DEAD)),
    (
        "no method on the day",
        R.NO_METHOD,
        explained(
            due(),
            replace(PAID, past_due_at=NOON),
            (tried(A.PAID, AFTER),),
            (told(E.BILLING_KEY_REGISTERED, AFTER),),
        ),
    ),
    (
        "dunning is off",
        R.DUNNING,
        explained(due(**RETRY), replace(BILL, past_due_at=BEFORE), dunning_enabled=False),
    ),
    (
        "dunning was off",
        R.DUNNING,
        explained(
            due(**RETRY),
            PAID,
            (tried(A.PAID, AFTER),),
            (told(E.SUBSCRIPTION_DUNNING_SWITCHED),),
        ),
    ),
    (
        "given up",
        R.GIVEN_UP,
        explained(
            due(**RETRY),
            replace(BILL, status=InvoiceStatus.UNCOLLECTIBLE),
            (),
            (told(E.INVOICE_UNCOLLECTIBLE, invoice_id=7),),
        ),
    ),
    ("put off", R.PUT_OFF, explained(due(**RETRY), replace(BILL, next_attempt_at=AFTER))),
    ("late", R.LATE, explained(due(), PAID, (tried(A.PAID, AFTER),))),
    ("late from before", R.LATE, explained(due(BEFORE), PAID, (tried(),))),
    ("not opened yet", R.LATE, explained(due(), None, next_period_index=4)),
    ("not sent yet", R.LATE, explained(due(), replace(BILL, next_attempt_at=NOON))),
    (
        "void before it was sent",
        R.LATE,
        explained(
            due(),
            replace(BILL, status=InvoiceStatus.VOID),
            (),
            (told(E.INVOICE_VOIDED, AFTER, invoice_id=7),),
        ),
    ),
    ("a person", R.BY_A_PERSON, explained(due(), replace(BILL, is_stopped=True))),
    (
        "put right",
        R.CORRECTED,
        explained(due(outlook=Outlook.FAULTY), PAID, (tried(),)),
    ),
    (
        "other settings",
        R.SETTINGS,
        explained(due(), BILL, asked=replace(ASKED, settings_differ=True)),
    ),
    ("never sent", R.UNEXPLAINED, explained(due(), BILL)),
    ("never opened", R.UNEXPLAINED, explained(due(), None)),
    ("never foreseen", R.UNEXPLAINED, explained(None, PAID, (tried(),))),
    ("another amount", R.UNEXPLAINED, explained(due(), PAID, (tried(amount=9_901),))),
    (
        "declined, of another amount",
        R.UNEXPLAINED,
        explained(due(), BILL, (tried(A.DECLINED, amount=9_901),)),
    ),
    (
        "paid twice",
        R.UNEXPLAINED,
        explained(
            due(),
            PAID,
            (tried(), tried(number=2)),
            asked=replace(ASKED, settings_differ=True),
        ),
    ),
    (
        "sent again while it was unknown",
        R.UNEXPLAINED,
        explained(due(), PAID, (tried(A.UNKNOWN), tried(number=2))),
    ),
    (
        "void, and nobody said so",
        R.UNEXPLAINED,
        explained(due(), replace(BILL, status=InvoiceStatus.VOID)),
    ),
    (
        "of a buyer who never asked",
        R.UNEXPLAINED,
        explained(None, PAID, (tried(origin=AttemptOrigin.BUYER),)),
    ),
]


@pytest.mark.parametrize(
    ("reason", "found"), [pytest.param(*rest, id=name) for name, *rest in FOUND]
)
def test_what_is_known_explains_it(reason: Reason, found: Explained) -> None:
    assert found.reason is reason, found.because
    assert found.because


def test_every_reason_is_here() -> None:
    assert {reason for _, reason, _ in FOUND} == set(Reason)


EVENTS_OF_LATER = [
    ("another price", tried(amount=12_000), E.SUBSCRIPTION_CHANGED, due()),
    ("new", tried(), E.SUBSCRIPTION_CREATED, None),
    ("a new method", tried(), E.BILLING_KEY_CHANGED, None),
]


@pytest.mark.parametrize("at", [MADE_AT - timedelta(minutes=3), DAY.ends_at])
@pytest.mark.parametrize(
    ("charge", "name", "expected"),
    [pytest.param(*rest, id=name) for name, *rest in EVENTS_OF_LATER],
)
def test_what_was_known_before_or_came_after_explains_nothing(
    charge: Try, name: EventName, expected: Expected | None, at: datetime
) -> None:
    found = explained(expected, PAID, (charge,), (told(name, at),))
    assert found.reason is Reason.UNEXPLAINED


def test_money_is_told_beside_the_reason() -> None:
    found = explained(due(), PAID, (tried(amount=12_000),), (told(E.SUBSCRIPTION_CHANGED),))
    assert (found.foreseen, found.collected) == (9_900, 12_000)
    declined = explained(due(), BILL, (tried(A.DECLINED),))
    assert (declined.foreseen, declined.collected) == (9_900, 0)
