"""Races: what is wished for, and PortOne executing what was reserved, at the same moment.

In each life many buyers' periods begin within minutes, all of them reserved at PortOne. While that
happens the merchant ends, changes, pauses and takes back in any order, processes die, messages are
lost and come twice, and replies do not arrive. Each subscription is a race of its own.
"""

import random
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from deploy.sandbox.book import DuplicatePolicy
from shared.billing.calendar import BillingCycle, Interval, IntervalUnit
from shared.billing.money import Price
from shared.billing.subscription import Agreement
from shared.jobs.life_commands import (
    AdjustSubscription,
    ChangeSubscription,
    CollectSubscription,
    PauseSubscription,
    ResumeSubscription,
)
from tests.simulation.installation import Host, settings_for
from tests.simulation.life import Life
from tests.simulation.lives import Verdict, come_to_rest, judge, new_life, subscribe
from tests.simulation.merchant import REASON
from tests.simulation.mishaps import STEPS
from tests.simulation.weather import CANCEL_FAULTS, INQUIRY_FAULTS, rates

SUBSCRIPTIONS: Final = 25
_APART_S: Final = 9.0
_STEPS: Final = 200
# From how long before the first instant to how long after the last one everything happens.
_AROUND_S: Final = 120.0
_STEP_S: Final = (_APART_S * SUBSCRIPTIONS + 2 * _AROUND_S) / _STEPS
# What may happen in a step, beside the merchant's wishes, by weight.
_WEIGHTS: Final[Mapping[str, int]] = {
    "tick": 24,
    "deliver": 40,
    "go_on": 24,
    "lose": 2,
    "double": 3,
    "delay": 2,
    "come_again": 4,
    "redeliver": 3,
    "kill": 2,
    "die_soon": 6,
    "pause": 2,
    "wake": 3,
}
_POLICIES: Final = tuple(DuplicatePolicy)
_BY_US: Final[Mapping[str, Any]] = {"by": "charge"}
_BY_PORTONE: Final[Mapping[str, Any]] = {"by": "reservation"}


def race(host: Host, seed: int) -> Verdict:
    """Live the races of a seed, and judge them."""
    host.run(host.warm_up())
    return host.run(_race(host, seed))


async def _race(host: Host, seed: int) -> Verdict:
    dice = random.Random(f"race {seed}")  # noqa: S311 - a life, not a secret
    policy = _POLICIES[seed % len(_POLICIES)]
    settings = settings_for(charge_batch_size=dice.choice((1, 5)))
    life, trace = new_life(host, seed, dice, policy, settings)
    try:
        await _reserve(life)
        await _meet(life)
        await come_to_rest(life)
        return await judge(life, trace.copy(), policy)
    finally:
        await life.installation.end()


async def _reserve(life: Life) -> None:
    """Have everybody subscribe, pay for a first period, and the next one reserved."""
    made = [
        (f"racer-{number}", Agreement(Price(9_900, 900), "슬림 요금제", _cycle(life, number)))
        for number in range(SUBSCRIPTIONS)
    ]
    ids = await subscribe(life, made)
    life.start()
    await life.wait_until(life.now + timedelta(hours=1))
    for id_ in ids:
        life.merchant.ask(CollectSubscription, subscription_id=id_, **_BY_PORTONE)
    begins_at = made[0][1].cycle.period(1).start_at
    await life.wait_until(begins_at - timedelta(seconds=_AROUND_S))


def _cycle(life: Life, number: int) -> BillingCycle:
    anchor_at = life.now + timedelta(seconds=_APART_S * number)
    return BillingCycle(anchor_at, Interval(IntervalUnit.WEEK))


async def _meet(life: Life) -> None:
    """Have the instants come at which PortOne charges, and everything else with them."""
    dice = life.dice
    share = dice.choice((0.0, 0.0, 0.3, 0.6))
    life.set_weather(
        {
            "command_rates": rates(CANCEL_FAULTS, share),
            "inquiry_rates": rates(INQUIRY_FAULTS, share / 2),
            "rates": {"declined": dice.choice((0.0, 0.2))},
            "delay_s": dice.choice((5, 60)),
        },
        "race",
    )
    # In the order of their instants, so that wish and instant meet.
    left = list(life.agreements)[::-1]
    for _ in range(_STEPS):
        if left and dice.random() < SUBSCRIPTIONS / _STEPS:
            _wish(life, left.pop())
        name = life.choose(_WEIGHTS)
        life.note(name)
        await STEPS[name](life)
        life.replace_the_dead()
        await life.breathe(dice.uniform(0, 2 * _STEP_S))
    life.dies_in = None
    executed = [
        each for each in life.installation.sandbox.timetable.schedules() if each.executed_at
    ]
    assert executed, "nothing was executed while anybody wished for anything"
    life.note(f"{len(executed)} were executed meanwhile")
    for id_ in left:
        _wish(life, id_)


def _wish(life: Life, id_: UUID) -> None:
    """Have the merchant want it otherwise."""
    ask, dice = life.merchant.ask, life.dice
    wish = {"subscription_id": id_, "reason": REASON, "requester": "customer"}
    match dice.randrange(7):
        case 0:
            life.merchant.cancel(id_, "now", refund=dice.choice(("none", "full", "pro_rata")))
        case 1:
            life.merchant.cancel(id_, "period_end")
        case 2:
            ask(CollectSubscription, subscription_id=id_, **_BY_US)
        case 3:
            ask(
                ChangeSubscription,
                subscription_id=id_,
                amount=5_000,
                tax_free=0,
                requester="customer",
            )
        case 4:
            ask(AdjustSubscription, subscription_id=id_, description="쿠폰", credit=2_000)
        case 5:
            ask(PauseSubscription, when=dice.choice(("now", "period_end")), **wish)
        case _:
            ask(CollectSubscription, subscription_id=id_, **_BY_US)
            ask(CollectSubscription, subscription_id=id_, **_BY_PORTONE)
            if dice.random() < 0.5:
                ask(PauseSubscription, **wish)
                ask(ResumeSubscription, subscription_id=id_)
