"""`dalmada reservation`, and what reservations do to the other commands."""

import uuid
from datetime import timedelta

import pytest

from shared.billing.calendar import BillingCycle, Interval, IntervalUnit
from tests.integration.console.commands import ADD, KEY, Commands
from tests.integration.console.deeds import assert_untold, plant
from tests.support.billing import World
from tests.support.reservations import Reserving

DONE = ("--yes", "--json")
TWO_DAYS = Interval(IntervalUnit.DAY, 2)


@pytest.fixture
def here(world: World) -> Reserving:
    """A process whose periods PortOne collects."""
    return Reserving.on(world)


@pytest.fixture
def identity(world: World, here: Reserving) -> uuid.UUID:
    """A subscription whose next period was reserved ten minutes ago."""
    world.clock.instant -= timedelta(minutes=10)
    cycle = BillingCycle(world.clock.now(), TWO_DAYS)
    (made,) = world.run(world.subscribe(1, 10_000, 1_000, cycle=cycle))
    world.run(world.renew())
    world.run(world.charge_all())
    world.run(here.collect(made))
    assert world.run(here.reserve()) == ["reserved"]
    world.clock.instant += timedelta(minutes=10)
    return made


def test_they_are_listed_newest_first(
    dalmada: Commands, world: World, here: Reserving, identity: uuid.UUID
) -> None:
    world.run(here.collect(identity, "charge"))
    world.run(here.reserve())
    world.run(here.collect(identity))
    assert world.run(here.reserve()) == ["reserved"]
    document = dalmada("reservation", "list", "--json").json
    assert not document["more"]
    newest, oldest = document["reservations"]
    assert newest["id"] > oldest["id"]
    assert (newest["status"], oldest["status"]) == ("reserved", "revoked")
    row = world.run(here.rows())[-1]
    assert newest == {
        "id": row.id,
        "subscription_id": str(identity),
        "merchant_uid": row.merchant_uid,
        "period_index": 1,
        "period_start_at": row.period_start_at.isoformat(),
        "period_end_at": row.period_end_at.isoformat(),
        "amount": 10_000,
        "tax_free": 1_000,
        "schedule_at": row.schedule_at.isoformat(),
        "status": "reserved",
        "send_number": 1,
        "by_others": False,
        "message": None,
        "created_at": row.created_at.isoformat(),
        "ended_at": None,
    }
    assert oldest["message"] == "revoked at PortOne"

    def ids(*arguments: str) -> list[int]:
        found = dalmada("reservation", "list", *arguments, "--json").json["reservations"]
        return [each["id"] for each in found]

    assert ids("--status", "revoked") == [oldest["id"]]
    assert ids("--subscription", str(identity)) == [newest["id"], oldest["id"]]
    assert ids("--limit", "1") == [newest["id"]]
    assert "Only the newest 1 are shown" in dalmada("reservation", "list", "--limit", "1").out


@pytest.mark.usefixtures("identity")
def test_they_are_shown_to_people_without_a_billing_key(
    dalmada: Commands, world: World, here: Reserving
) -> None:
    (uid,) = here.timetable.held
    here.timetable.revoke(uid)
    plant(world)
    world.pass_time(timedelta(days=1))
    assert world.run(here.reserve()) == ["revoked"]
    shown = dalmada("reservation", "list")
    fields = shown.out
    assert uid in fields
    assert "by others" in fields
    assert "10,000 KRW" in fields
    assert "revoked at PortOne, by somebody else: charged by us when its period begins" in fields
    assert_untold(fields)


def test_nothing_and_nobody_are_said_in_words(dalmada: Commands) -> None:
    assert dalmada("reservation", "list").out.strip() == "(none)"
    assert dalmada("reservation", "list", "--json").json == {"reservations": [], "more": False}
    unknown = dalmada("reservation", "list", "--subscription", str(uuid.UUID(int=1)))
    assert (unknown.status, unknown.out) == (1, "")
    assert "there is no subscription" in unknown.err


def test_what_is_reserved_is_shown_of_its_subscription(
    dalmada: Commands, identity: uuid.UUID
) -> None:
    shown = dalmada("subscription", "show", str(identity))
    assert shown.fields()["at PortOne"].startswith("reserved: period 1, 10,000 KRW at ")
    document = dalmada("subscription", "show", str(identity), "--json").json
    assert document["reservation"]["status"] == "reserved"


@pytest.mark.parametrize(
    "deed",
    [
        ("cancel", "--when", "period_end", "--reason", "요청", "--requester", "customer"),
        ("pause", "--reason", "요청", "--requester", "customer"),
        ("adjust", "--for", "보상", "--credit", "1000"),
        ("collect", "--by", "charge"),
    ],
    ids=lambda deed: deed[0],
)
def test_whatever_an_operator_changes_is_revoked_first(
    dalmada: Commands, world: World, here: Reserving, identity: uuid.UUID, deed: tuple[str, ...]
) -> None:
    name, *arguments = deed
    done = dalmada("subscription", name, str(identity), *arguments, *DONE)
    assert done.status == 0, done.err
    assert world.run(here.statuses()) == ["revoking"]
    shown = dalmada("subscription", "show", str(identity)).fields()
    assert shown["at PortOne"].startswith("revoking: period 1")


def test_one_that_was_agreed_elsewhere_may_be_collected_by_portone_from_the_start(
    dalmada: Commands, world: World
) -> None:
    added = dalmada(*ADD, "--customer-uid", "-", "--collect-by", "reservation", "--json", stdin=KEY)
    assert added.status == 0, added.err
    document = dalmada("subscription", "show", str(added.id), "--json").json
    assert document["collect_by"] == "reservation"
    told = world.run(world.events("subscription.collection_switched"))
    assert [event["by"] for event in told] == ["reservation"]
    assert dalmada(*ADD, "--customer-uid", "-", "--json", stdin=KEY).status == 0
    assert len(world.run(world.events("subscription.collection_switched"))) == 1
