"""The comparison finds whatever rows, book and wishes say differently, and nothing else."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.chaos.findings import DOUBLE, MISSED, STUCK, SUM, World, compare

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
SUBSCRIPTION = uuid.UUID(int=1)
UID, IMP_UID = "uid-1", "imp_1"


@dataclass
class Scene:
    """One subscription that has paid its one period, a part of which went back."""

    subscription: dict[str, Any] = field(
        default_factory=lambda: {
            "id": SUBSCRIPTION,
            "status": "active",
            "interval_unit": "month",
            "interval_count": 1,
            "anchor_at": NOW - timedelta(days=3),
            "time_zone": "Asia/Seoul",
            "first_index": 0,
            "cancel_at": None,
            "next_renewal_at": NOW + timedelta(days=28),
        }
    )
    invoice: dict[str, Any] = field(
        default_factory=lambda: {
            "id": 1,
            "subscription_id": SUBSCRIPTION,
            "period_index": 0,
            "period_start_at": NOW - timedelta(days=3),
            "status": "paid",
            "amount": 9_900,
            "tax_free": 0,
            "key_status": "active",
            "next_attempt_at": None,
            "message": None,
            "cancel_at": None,
            "cancel_late_payment": None,
        }
    )
    attempt: dict[str, Any] = field(
        default_factory=lambda: {
            "id": 1,
            "invoice_id": 1,
            "merchant_uid": UID,
            "status": "paid",
            "message": None,
        }
    )
    payment: dict[str, Any] = field(
        default_factory=lambda: {
            "id": 1,
            "imp_uid": IMP_UID,
            "cancelled_amount": 400,
            "cancelled_tax_free": 0,
        }
    )
    refund: dict[str, Any] = field(
        default_factory=lambda: {
            "id": 1,
            "imp_uid": IMP_UID,
            "amount": 400,
            "status": "done",
            "message": None,
            "command_id": "c-1",
        }
    )
    record: dict[str, Any] = field(
        default_factory=lambda: {
            "imp_uid": IMP_UID,
            "merchant_uid": UID,
            "customer_uid_usage": "payment",
            "status": "cancelled",
            "amount": 9_900,
            "tax_free": 0,
            "cancel_amount": 400,
            "cancel_tax_free": 0,
            "cancels": [{"amount": 400}],
        }
    )
    more_records: list[dict[str, Any]] = field(default_factory=list)
    knows_payment: bool = True
    has_invoice: bool = True
    has_refund: bool = True
    lettered: set[tuple[str, int]] = field(default_factory=set)
    skipped: set[tuple[uuid.UUID, int]] = field(default_factory=set)
    windows: dict[str, dict[str, Any]] = field(default_factory=dict)
    used: dict[str, str] = field(default_factory=dict)
    console: dict[str, int] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)

    def world(self) -> World:
        return World(
            now=NOW,
            book=[self.record, *self.more_records],
            invoices={1: self.invoice} if self.has_invoice else {},
            attempts={UID: self.attempt} if self.has_invoice else {},
            payments={IMP_UID: self.payment} if self.knows_payment else {},
            refunds=[self.refund] if self.has_refund else [],
            windows=self.windows,
            subscriptions=[self.subscription],
            skipped=self.skipped,
            lettered=self.lettered,
            results={"c-1": {"status": "done"}},
            commands={"c-1": 400},
            used=self.used,
            console=self.console,
            left=self.left,
        )


def kinds(scene: Scene) -> list[str]:
    return [violation.kind for violation in compare(scene.world()).violations]


def test_what_agrees_is_not_complained_of() -> None:
    found = compare(Scene().world())

    assert found.violations == []
    assert (found.charges, found.given_back) == (1, 1)


def charged_twice(scene: Scene) -> None:
    scene.more_records.append({**scene.record, "imp_uid": "imp_2", "status": "paid", "cancels": []})


def given_back_twice(scene: Scene) -> None:
    scene.record |= {"cancel_amount": 800, "cancels": [{"amount": 400}] * 2}


def no_invoice(scene: Scene) -> None:
    scene.has_invoice = False


def unknown_payment(scene: Scene) -> None:
    scene.knows_payment = False


def open_without_owner(scene: Scene) -> None:
    scene.invoice["status"] = "open"
    scene.record["status"] = "failed"
    scene.knows_payment = scene.has_refund = False


def refund_never_done(scene: Scene) -> None:
    scene.record |= {"cancel_amount": 0, "cancels": [], "status": "paid"}


def refund_forgotten(scene: Scene) -> None:
    scene.has_refund = False
    scene.record |= {"cancel_amount": 0, "cancels": [], "status": "paid"}
    scene.payment["cancelled_amount"] = 0


def another_amount(scene: Scene) -> None:
    scene.record["amount"] = 9_901


def another_sum(scene: Scene) -> None:
    scene.payment["cancelled_amount"] = 300


def paid_without_money(scene: Scene) -> None:
    scene.record["status"] = "failed"


def void_and_kept(scene: Scene) -> None:
    scene.invoice |= {
        "status": "void",
        "cancel_at": NOW - timedelta(days=4),
        "cancel_late_payment": "none",
    }


def paid_and_waiting(scene: Scene) -> None:
    scene.attempt["status"] = "waiting"


def left_to_a_person(scene: Scene) -> None:
    scene.attempt |= {"status": "parked", "message": "unknown for a day"}
    scene.invoice["status"] = "open"


def refund_left_to_a_person(scene: Scene) -> None:
    scene.refund["status"] = "parked"


def window_forgotten(scene: Scene) -> None:
    scene.windows["w-1"] = {
        "kind": "register",
        "status": "expired",
        "imp_uid": None,
        "message": None,
        "key_status": "dead",
    }
    scene.used["w-1"] = "imp_3"


def never_ended(scene: Scene) -> None:
    scene.left.append("attempt 1 is unknown")


@pytest.mark.parametrize(
    ("plant", "kind"),
    [
        (charged_twice, DOUBLE),
        (given_back_twice, DOUBLE),
        (no_invoice, MISSED),
        (unknown_payment, MISSED),
        (open_without_owner, MISSED),
        (refund_never_done, MISSED),
        (refund_forgotten, MISSED),
        (void_and_kept, MISSED),
        (window_forgotten, MISSED),
        (another_amount, SUM),
        (another_sum, SUM),
        (paid_without_money, SUM),
        (paid_and_waiting, SUM),
        (left_to_a_person, STUCK),
        (refund_left_to_a_person, STUCK),
        (never_ended, STUCK),
    ],
)
def test_what_must_not_be_is_found(plant: Callable[[Scene], None], kind: str) -> None:
    scene = Scene()
    plant(scene)

    assert kind in kinds(scene)


def test_a_period_that_is_explained_is_not_missed() -> None:
    scene = Scene(skipped={(SUBSCRIPTION, 0)})
    scene.has_invoice = False

    assert not any("period 0" in v.text for v in compare(scene.world()).violations)


def test_what_the_console_gave_back_is_nobodys_refund() -> None:
    scene = Scene(console={IMP_UID: 7})
    scene.record |= {"cancel_amount": 407, "cancels": [{"amount": 400}, {"amount": 7}]}
    scene.payment["cancelled_amount"] = 407

    assert kinds(scene) == []


def test_a_registration_is_no_charge() -> None:
    scene = Scene(
        windows={"w-1": {"status": "confirmed", "imp_uid": "imp_3", "key_status": "active"}}
    )
    scene.used["w-1"] = "imp_3"
    scene.more_records.append(
        {
            **scene.record,
            "imp_uid": "imp_3",
            "merchant_uid": "w-1",
            "customer_uid_usage": "issue",
            "status": "paid",
            "cancels": [],
        }
    )

    assert compare(scene.world()).charges == 1
    assert kinds(scene) == []
