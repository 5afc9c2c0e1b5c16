"""What merchants and buyers do in the life of a subscription, each under its name in the plan."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from deploy.sandbox.records import BillingKey
from shared.billing.lifecycle import SubscriptionStatus
from shared.jobs.life_commands import (
    AdjustSubscription,
    ChangePrice,
    ChangeSubscription,
    CollectSubscription,
    PauseSubscription,
    ReactivateSubscription,
    RecordConsent,
    ResumeSubscription,
    RetryInvoice,
    StartSubscription,
    SwitchDunning,
)
from tests.simulation.life import Life
from tests.simulation.merchant import REASON

# What prices of are changed by, and trials are given of once.
PRODUCT: Final = "slim"
_WISH: Final[Mapping[str, Any]] = {"reason": REASON, "requester": "customer"}
_TERMS: Final[tuple[Mapping[str, Any], ...]] = (
    {"amount": 12_000, "tax_free": 1_000},
    {"amount": 5_500},
    {"quantity": 3},
    {"order_name": "두꺼운 요금제"},
    {"interval": "week", "interval_count": 2},
    {"interval": "month", "interval_count": 1},
)
_ADJUSTMENTS: Final[tuple[Mapping[str, Any], ...]] = (
    {"credit": 3_000},
    {"credit": 50_000},
    {"discount": 1_000, "periods": 3},
    {"percent": 50, "periods": 2},
    {"percent": 100, "periods": 1},
)


def _consent(life: Life) -> Mapping[str, Any]:
    return {"given_at": life.now, "shown": "결제 화면", "evidence": "동의 버튼"}


async def _anybody(life: Life) -> UUID:
    rows = await life.installation.rows("SELECT id FROM subscriptions ORDER BY id")
    found: UUID = life.dice.choice(rows).id
    return found


async def start_subscription(life: Life) -> None:
    """Have a buyer begin, mostly with a free trial, perhaps with a setup to be paid for."""
    sandbox = life.installation.sandbox
    number = life.dice.randrange(10**6)
    customer_uid, at = f"beginner-{number}", sandbox.clock.now()
    sandbox.book.register(BillingKey(customer_uid, inserted_at=at, updated_at=at))
    given: dict[str, Any] = {"customer_uid": customer_uid, "order_name": "슬림 요금제"}
    given |= {"amount": 9_900, "tax_free": 900, "product": PRODUCT, "buyer_ref": f"b{number % 40}"}
    if life.dice.random() < 0.7:
        given["trial_days"] = life.dice.choice((7, 14, 31))
    if life.dice.random() < 0.3:
        given |= {"setup_amount": 20_000, "setup_description": "설치비"}
    life.merchant.ask(StartSubscription, **given)


async def pause_subscription(life: Life) -> None:
    """Ask for a pause, with an end or without, that keeps the calendar or the time."""
    given: dict[str, Any] = {
        "when": life.dice.choice(("now", "period_end")),
        "keeps": life.dice.choice(("calendar", "time")),
    }
    if life.dice.random() < 0.7:
        given["resume_at"] = life.now + timedelta(days=life.dice.choice((32, 45, 100)))
    life.merchant.ask(PauseSubscription, subscription_id=await _anybody(life), **given, **_WISH)


async def resume_subscriptions(life: Life) -> None:
    """Have everybody go on who has a pause without an end."""
    for row in await life.installation.rows(
        "SELECT id FROM subscriptions"
        " WHERE pause_at IS NOT NULL AND resume_at IS NULL AND status <> 'canceled' ORDER BY id"
    ):
        life.merchant.ask(ResumeSubscription, subscription_id=row.id)


async def change_plan(life: Life) -> None:
    """Ask for other terms, at once or later, with a consent to them or without."""
    terms = life.dice.choice(_TERMS)
    given: dict[str, Any] = {"at_renewal": life.dice.random() < 0.5, "requester": "customer"}
    if life.dice.random() < 0.8:
        given["consent"] = _consent(life)
    life.merchant.ask(ChangeSubscription, subscription_id=await _anybody(life), **terms, **given)


async def change_price(life: Life) -> None:
    """Change the price of a product for everybody who has it."""
    life.merchant.ask(
        ChangePrice,
        product=PRODUCT,
        amount=life.dice.choice((8_800, 9_900, 11_000, 13_000)),
        effective_at=life.now + timedelta(days=40),
    )


async def give_consents(life: Life) -> None:
    """Have most buyers agree to what will be charged: prices to come, and ends of trials."""
    for row in await life.installation.rows(
        "SELECT s.id, s.status, s.amount * s.quantity AS total, max(c.amount) AS next_amount,"
        " s.quantity FROM subscriptions s LEFT JOIN agreement_changes c"
        " ON c.subscription_id = s.id AND c.status = 'pending'"
        " WHERE s.status <> 'canceled' AND (c.id IS NOT NULL OR s.status = 'trialing')"
        " GROUP BY s.id ORDER BY s.id"
    ):
        if life.dice.random() < 0.3:
            continue
        is_trial = row.status == SubscriptionStatus.TRIALING
        life.merchant.ask(
            RecordConsent,
            subscription_id=row.id,
            kind="trial_conversion" if is_trial else "price_increase",
            amount_after=max(row.total, (row.next_amount or 0) * row.quantity),
            consent=_consent(life),
        )


async def adjust(life: Life) -> None:
    """Give somebody a credit or a discount."""
    given = life.dice.choice(_ADJUSTMENTS)
    life.merchant.ask(
        AdjustSubscription, subscription_id=await _anybody(life), description="쿠폰", **given
    )


async def retry_invoices(life: Life) -> None:
    """Have buyers press the button who owe something."""
    for row in await life.installation.rows(
        "SELECT id FROM invoices WHERE status = 'open' ORDER BY id DESC LIMIT 3"
    ):
        life.merchant.ask(RetryInvoice, invoice_id=row.id)


async def switch_dunning(life: Life) -> None:
    """Have somebody's declined invoices left alone, or taken up again."""
    life.merchant.ask(
        SwitchDunning, subscription_id=await _anybody(life), enabled=life.dice.random() < 0.6
    )


async def switch_collection(life: Life) -> None:
    """Have somebody's periods collected by PortOne, or by us again."""
    life.merchant.ask(
        CollectSubscription,
        subscription_id=await _anybody(life),
        by="reservation" if life.dice.random() < 0.7 else "charge",
    )


async def revoke_elsewhere(life: Life) -> None:
    """Have what is reserved with a buyer's method revoked in PortOne's console."""
    sandbox = life.installation.sandbox
    pending = [
        each.order.customer_uid
        for each in sandbox.timetable.schedules()
        if not each.executed_at and not each.revoked_at
    ]
    if pending:
        sandbox.timetable.revoke(life.dice.choice(pending), None, at=sandbox.clock.now())


async def come_back(life: Life) -> None:
    """Have buyers come back whose subscription ended, or is about to."""
    ended = await life.installation.rows(
        "SELECT id FROM subscriptions WHERE cancel_at IS NOT NULL OR status = 'canceled'"
        " ORDER BY id"
    )
    for row in life.dice.sample(ended, min(2, len(ended))):
        life.merchant.ask(ReactivateSubscription, subscription_id=row.id, consent=_consent(life))


LIVING: Final = (
    start_subscription,
    pause_subscription,
    resume_subscriptions,
    change_plan,
    change_price,
    give_consents,
    adjust,
    retry_invoices,
    switch_dunning,
    switch_collection,
    revoke_elsewhere,
    come_back,
)
