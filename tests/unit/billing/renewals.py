"""Subscriptions to be renewed, and what waits for their renewals, for tests."""

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Final

from hypothesis import strategies as st

from shared.billing.calendar import BillingCycle, Interval, IntervalUnit
from shared.billing.catch_up import CatchUp, CatchUpPolicy
from shared.billing.change import Change, Terms
from shared.billing.consent import Consent, ConsentKind, ConsentPolicy, WithoutConsent
from shared.billing.lifecycle import SubscriptionStatus
from shared.billing.lines import Adjustment, AdjustmentKind
from shared.billing.money import Price
from shared.billing.pause import PauseKeeps
from shared.billing.refund import Requester
from shared.billing.renewal import Outstanding, Renewal, RenewalPolicies, renew
from shared.billing.subscription import Agreement, Subscription
from tests.unit.billing import made

DAY: Final = timedelta(days=1)
MONTHLY: Final = Interval(IntervalUnit.MONTH)
DAILY: Final = Interval(IntervalUnit.DAY)
# Midnight in Korea on the 31st.
ANCHOR_AT: Final = datetime(2026, 1, 30, 15, tzinfo=UTC)
KEEP: Final = ConsentPolicy()
END: Final = ConsentPolicy(without=WithoutConsent.END)
UNASKED: Final = ConsentPolicy(required=False)
_ids = count(1)


def subscription(
    *,
    cycle: BillingCycle | None = None,
    next_index: int = 0,
    price: Price | None = None,
    quantity: int = 1,
    **said: Any,
) -> Subscription:
    """Return a subscription that has been agreed to, with its next period where it begins."""
    cycle = cycle or BillingCycle(ANCHOR_AT, MONTHLY)
    agreement = Agreement(
        price or Price(9_900),
        "달마다 한 달",
        cycle,
        quantity=quantity,
        trial_end_at=said.pop("trial_end_at", None),
    )
    values = {
        "status": SubscriptionStatus.ACTIVE,
        "consented_amount": agreement.total.amount,
        "next_renewal_at": cycle.period(next_index).start_at,
        **said,
    }
    return Subscription(
        made.SUBSCRIPTION_ID,
        31,
        agreement,
        next_period_index=next_index,
        created_at=ANCHOR_AT,
        **values,
    )


def trial(**said: Any) -> Subscription:
    """Return a subscription whose free trial ends with its first period's beginning."""
    said = {"status": SubscriptionStatus.TRIALING, "consented_amount": 0, **said}
    return subscription(trial_end_at=ANCHOR_AT, **said)


def change(
    at: datetime,
    amount: int | None = None,
    *,
    requester: Requester = Requester.ADMIN,
    interval: Interval | None = None,
    quantity: int | None = None,
    name: str | None = None,
) -> Change:
    """Return a change from a date on."""
    price = None if amount is None else Price(amount)
    return Change(next(_ids), at, Terms(price, quantity, name, interval), requester)


def consent(kind: ConsentKind, amount: int, given_at: datetime) -> Consent:
    """Return what a buyer agreed to."""
    return Consent(kind, amount, given_at)


def credit(amount: int, tax_free: int = 0) -> Adjustment:
    """Return a credit that has not been used."""
    return Adjustment(next(_ids), AdjustmentKind.CREDIT, "사과의 뜻", Price(amount, tax_free))


def discount(percent: int, periods: int) -> Adjustment:
    """Return a discount for some periods."""
    return Adjustment(next(_ids), AdjustmentKind.DISCOUNT, "첫 달 할인", Price(0), percent, periods)


def renewed(
    of: Subscription,
    now: datetime,
    *outstanding: Change | Adjustment | Consent,
    consent_policy: ConsentPolicy = KEEP,
    catch_up: CatchUpPolicy | None = None,
) -> Renewal:
    """Return what one pass changes."""
    waits = Outstanding(
        tuple(each for each in outstanding if isinstance(each, Change)),
        tuple(each for each in outstanding if isinstance(each, Adjustment)),
        tuple(each for each in outstanding if isinstance(each, Consent)),
    )
    policies = RenewalPolicies(catch_up or CatchUpPolicy(CatchUp.BILL_ALL), consent_policy)
    return renew(of, now, policies, waits)


# Arbitrary ones.

INSTANTS: Final = st.integers(-5 * 24, 100 * 24).map(lambda hours: ANCHOR_AT + hours * DAY / 24)
INTERVALS: Final = st.builds(Interval, st.sampled_from(IntervalUnit), st.integers(1, 3))
PRICES: Final = st.integers(0, 30_000).flatmap(
    lambda amount: st.builds(Price, st.just(amount), st.integers(0, amount))
)
CHANGES: Final = st.builds(
    lambda at, price, interval, quantity, requester: Change(
        next(_ids), at, Terms(price, quantity, None, interval), requester
    ),
    INSTANTS,
    PRICES,
    st.none() | INTERVALS,
    st.none() | st.integers(1, 5),
    st.sampled_from(Requester),
)
CONSENTS: Final = st.builds(
    Consent, st.sampled_from(ConsentKind), st.integers(0, 150_000), INSTANTS
)
CREDITS: Final = PRICES.filter(lambda price: price.amount > 0).flatmap(
    lambda price: st.sampled_from(
        [
            AdjustmentKind.CREDIT,
            AdjustmentKind.PRORATION_CREDIT,
            AdjustmentKind.PRORATION_CHARGE,
        ]
    ).map(lambda kind: Adjustment(next(_ids), kind, "정산", price))
)
DISCOUNTS: Final = st.builds(discount, percent=st.integers(1, 100), periods=st.integers(1, 6))
CATCH_UPS: Final = st.builds(CatchUpPolicy, st.sampled_from(CatchUp), st.integers(1, 4))
POLICIES: Final = st.builds(
    ConsentPolicy,
    required=st.booleans(),
    without=st.sampled_from(WithoutConsent),
)


@st.composite
def subscriptions(draw: st.DrawFn) -> Subscription:
    """Any subscription that can be renewed: free, paying, about to pause or to end."""
    cycle = BillingCycle(
        ANCHOR_AT,
        draw(INTERVALS),
        draw(st.sampled_from(["Asia/Seoul", "America/New_York", "UTC"])),
        draw(st.sampled_from([0, 7])),
    )
    price = draw(PRICES)
    said: dict[str, Any] = {"cycle": cycle, "next_index": cycle.anchor_index, "price": price}
    if draw(st.booleans()):
        said["cancel_at"] = draw(INSTANTS)
    if draw(st.integers(0, 2)) == 0:
        return trial(**said)
    if draw(st.booleans()):
        said["pause_at"] = draw(INSTANTS)
        said["pause_keeps"] = draw(st.sampled_from(PauseKeeps))
        said["resume_at"] = draw(st.none() | st.just(said["pause_at"] + 40 * DAY))
    return subscription(quantity=draw(st.integers(1, 3)), **said)
