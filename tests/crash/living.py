"""The lives about the life of a subscription: trials, pauses, changes, consents, retries."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from deploy.sandbox.records import BillingKey
from shared.jobs.command import Command
from shared.jobs.life_commands import (
    AdjustSubscription,
    ChangePrice,
    ChangeSubscription,
    PauseSubscription,
    ReactivateSubscription,
    RecordConsent,
    ResumeSubscription,
    RetryInvoice,
    StartSubscription,
    SwitchDunning,
)
from tests.crash.story import Deed, Life, Scenario, after_payment
from tests.simulation.merchant import REASON

_BUYER = "buyer-1"
_PRODUCT = "slim"
_WISH: Mapping[str, Any] = {"reason": REASON, "requester": "customer"}


def _consent(life: Life) -> Mapping[str, Any]:
    return {"given_at": life.installation.now, "shown": "결제 화면", "evidence": "동의 버튼"}


async def _subscription(life: Life) -> UUID | None:
    """Return the one subscription, once it is there."""
    rows = await life.installation.rows("SELECT id FROM subscriptions")
    return rows[0].id if rows else None


def asked(contract: type[Command], *, needs: str = "true", **given: Any) -> Deed:
    """Return the deed of a command about the one subscription, once a condition holds of it.

    Args:
        contract: Which command.
        needs: SQL over ``s`` that must hold before it is sent.
        given: What it says beside the subscription; a function is asked when it is sent.
    """

    async def deed(life: Life) -> bool:
        rows = await life.installation.rows(
            f"SELECT s.id FROM subscriptions s WHERE {needs}"  # noqa: S608 - constants only
        )
        if not rows:
            return False
        said = {name: value(life) if callable(value) else value for name, value in given.items()}
        life.merchant.ask(contract, subscription_id=rows[0].id, **said)
        return True

    return deed


def _in_days(days: float) -> Any:
    return lambda life: life.installation.now + timedelta(days=days)


def started(**given: Any) -> Deed:
    """Return the deed of a buyer who begins by command."""

    async def deed(life: Life) -> bool:
        sandbox = life.installation.sandbox
        if sandbox.book.key(_BUYER) is None:
            at = sandbox.clock.now()
            sandbox.book.register(BillingKey(_BUYER, inserted_at=at, updated_at=at))
        said = {"customer_uid": _BUYER, "order_name": "슬림 요금제", "amount": 9_900}
        said |= {"product": _PRODUCT, "buyer_ref": "b-1", **given}
        life.merchant.ask(StartSubscription, **said)
        return True

    return deed


async def _price_changed(life: Life) -> bool:
    """Change the price of the product."""
    if await _subscription(life) is None:
        return False
    effective_at = life.installation.now + timedelta(days=8)
    life.merchant.ask(ChangePrice, product=_PRODUCT, amount=12_000, effective_at=effective_at)
    return True


async def _retried(life: Life) -> bool:
    """Have the buyer press the button once the first charge was declined."""
    rows = await life.installation.rows(
        "SELECT id FROM invoices WHERE status = 'open' AND declines > 0"
    )
    if not rows:
        return False
    life.merchant.ask(RetryInvoice, invoice_id=rows[0].id)
    return True


async def _declined(life: Life) -> bool:
    """Begin, with a first charge that is declined."""
    life.script(_BUYER, "declined")
    return await life.subscribe(_BUYER)


async def _ended(life: Life) -> bool:
    """End the subscription at once."""
    life.merchant.cancel(life.ids[0], "now")
    return True


async def _ended_later(life: Life) -> bool:
    """End the subscription with its period."""
    life.merchant.cancel(life.ids[0], "period_end")
    return True


PAUSED = "s.status = 'paused'"
# Before that a resumption has the period billed whole, which is as right.
_SKIPPED = (
    "s.status = 'paused' AND EXISTS (SELECT FROM events e"
    " WHERE e.subscription_id = s.id AND e.name = 'period.skipped')"
)
_OWING = (
    "EXISTS (SELECT FROM invoices i"
    " WHERE i.subscription_id = s.id AND i.status = 'open' AND i.declines > 0)"
)
_PENDING = (
    "EXISTS (SELECT FROM agreement_changes c"
    " WHERE c.subscription_id = s.id AND c.status = 'pending')"
)
_CONVERSION: Mapping[str, Any] = {
    "kind": "trial_conversion",
    "amount_after": 9_900,
    "consent": _consent,
}
_INCREASE: Mapping[str, Any] = {
    "kind": "price_increase",
    "amount_after": 12_000,
    "consent": _consent,
}
_WEEKLY: Mapping[str, Any] = {"interval": "week", "interval_count": 1}

LIVING = (
    Scenario(
        "trial, agreed to",
        [started(trial_days=2), asked(RecordConsent, **_CONVERSION)],
        days=5,
    ),
    Scenario("trial, not agreed to", [started(trial_days=2)], days=5),
    Scenario(
        "start with a setup to be paid",
        [started(setup_amount=20_000, setup_description="설치비")],
    ),
    after_payment(
        "pause that keeps the calendar, resumed",
        [asked(PauseSubscription, **_WISH), asked(ResumeSubscription, needs=PAUSED)],
        days=40,
    ),
    after_payment(
        "pause over a renewal, resumed by itself",
        [asked(PauseSubscription, resume_at=_in_days(40), **_WISH)],
        days=75,
    ),
    after_payment(
        "pause that keeps the time, resumed by itself",
        [asked(PauseSubscription, keeps="time", resume_at=_in_days(10), **_WISH)],
        days=50,
    ),
    after_payment(
        "pause from the next renewal on",
        [
            asked(PauseSubscription, when="period_end", **_WISH),
            asked(ResumeSubscription, needs=_SKIPPED),
        ],
        days=70,
        varies={"payments": "the rest of a period is counted by the day of the resumption"},
    ),
    after_payment(
        "change at the renewal",
        [asked(ChangeSubscription, amount=5_000, tax_free=0, requester="customer")],
        days=35,
    ),
    after_payment(
        "change at once, prorated",
        [
            asked(
                ChangeSubscription,
                amount=12_000,
                tax_free=0,
                at_renewal=False,
                requester="customer",
                consent=_consent,
            )
        ],
        days=35,
    ),
    after_payment(
        "another interval at once",
        [
            asked(
                ChangeSubscription,
                interval="week",
                at_renewal=False,
                requester="customer",
                consent=_consent,
            )
        ],
        days=3,
    ),
    Scenario(
        "price change, agreed to",
        [started(**_WEEKLY), _price_changed, asked(RecordConsent, needs=_PENDING, **_INCREASE)],
        days=16,
    ),
    Scenario("price change, not agreed to", [started(**_WEEKLY), _price_changed], days=16),
    Scenario(
        "price change, not agreed to, ended",
        [started(**_WEEKLY), _price_changed],
        settings={"without_consent": "end"},
        days=16,
    ),
    after_payment(
        "credit and discount",
        [
            asked(AdjustSubscription, description="쿠폰", credit=12_000),
            asked(AdjustSubscription, description="할인", percent=50, periods=1),
        ],
        days=62,
    ),
    after_payment(
        "end, and back again",
        [
            _ended,
            asked(ReactivateSubscription, needs="s.closed_at IS NOT NULL", consent=_consent),
        ],
    ),
    after_payment(
        "end withdrawn",
        [_ended_later, asked(ReactivateSubscription, needs="s.cancel_at IS NOT NULL")],
        days=32,
    ),
    Scenario("declined, tried again by the buyer", [_declined, _retried]),
    Scenario(
        "dunning switched off, then on",
        [
            _declined,
            asked(SwitchDunning, needs=_OWING, enabled=False),
            asked(SwitchDunning, needs="NOT s.dunning_enabled", enabled=True),
        ],
        days=4,
    ),
)
