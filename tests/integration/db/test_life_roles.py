"""Roles: commands about subscriptions are worked by the logins of the worker and of the console."""

import uuid
from datetime import timedelta

import pytest

from shared.db.grants import Role
from shared.jobs import life_commands
from tests.integration.db.logins import StaffedWorld, acting
from tests.support.billing import START_AT
from tests.support.living import Living

DAY = timedelta(days=1)


pytestmark = pytest.mark.usefixtures("logins_of_all")


@pytest.fixture
def living(staffed: StaffedWorld) -> Living:
    """What a merchant asks of that world."""
    return Living(staffed)


@pytest.mark.parametrize("role", [Role.WORKER, Role.CONSOLE])
def test_a_whole_life(living: Living, role: Role) -> None:
    """Every command once at least, and every scan that follows it up."""
    living.run(_live(living, role))
    assert {row.name for row in living.run(living.world.rows(_TOLD))} >= {
        "subscription.adjusted",
        "subscription.change_withdrawn",
        "subscription.changed",
        "subscription.pause_withdrawn",
        "subscription.resumed",
        "subscription.reactivated",
        "subscription.cancellation_withdrawn",
    }


_TOLD = "SELECT DISTINCT name FROM events"


async def _live(living: Living, role: Role) -> None:
    trial = {"trial_days": 3, "buyer_ref": "b", "product": "slim"}
    setup = {"setup_amount": 5_000, "setup_description": "설치비", "consent": living.consent()}
    with acting(role):
        await living.start(**trial)
        id_ = await living.start(product="slim", **setup)
    await living.tick()
    living.world.pass_time(DAY)
    await _change(living, role, id_)
    await living.tick()
    for keeps in ("calendar", "time"):
        living.world.pass_time(DAY)
        with acting(role):
            await living.pause(id_, keeps=keeps)
            await living.resume(id_)
            resume_at = living.world.clock.now() + 9 * DAY
            await living.pause(id_, keeps=keeps, resume_at=resume_at)
        await living.go_to(resume_at)
        with acting(role):
            await living.pause(id_, when="period_end", keeps=keeps)
            await living.resume(id_)
    with acting(role):
        await living.pause(id_, keeps="time")
        await living.cancel(id_, refund="pro_rata")
    await living.tick()
    living.world.pass_time(DAY)
    with acting(role):
        await living.reactivate(id_, consent=living.consent())
        await living.cancel(id_, "period_end")
        await living.reactivate(id_)
    await living.tick()
    assert (await living.row(id_)).status == "active"


async def _change(living: Living, role: Role, id_: uuid.UUID) -> None:
    adjust = {"subscription_id": id_, "description": "사과"}
    consent = {"kind": "price_increase", "amount_after": 70_000, "consent": living.consent()}
    price = {"product": "slim", "amount": 65_000, "effective_at": START_AT + 20 * DAY}
    with acting(role):
        await living.do(life_commands.AdjustSubscription, **adjust, credit=1_000)
        change_id = (await living.change(id_, amount=31_000))["change_id"]
        withdraw = {"subscription_id": id_, "change_id": change_id}
        await living.do(life_commands.WithdrawChange, **withdraw)
        await living.change(id_, amount=60_000, at_renewal=False)
        await living.change(id_, interval="week", at_renewal=False)
        await living.do(life_commands.RecordConsent, subscription_id=id_, **consent)
        await living.do(life_commands.ChangePrice, **price)
