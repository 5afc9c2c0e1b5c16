"""`dalmada subscription cancel`."""

import uuid
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Row

from shared.billing.calendar import BillingCycle, Interval, IntervalUnit
from tests.integration.console.commands import Commands
from tests.integration.console.deeds import (
    ACTOR,
    assert_untold,
    audited,
    everything_told,
    plant,
)
from tests.integration.console.terminals import at_terminal
from tests.support.billing import World

REASON = "서비스 불만족"
BECAUSE = ("--reason", REASON, "--requester", "customer")
TEN_DAYS = Interval(IntervalUnit.DAY, 10)


@pytest.fixture
def subscription_id(world: World) -> uuid.UUID:
    """A subscription whose period of ten days is paid and on its fourth day."""
    world.clock.instant -= timedelta(days=3)
    cycle = BillingCycle(world.clock.now(), TEN_DAYS)
    (identity,) = world.run(world.subscribe(1, 10_000, 1_000, cycle=cycle))
    world.run(world.renew())
    world.run(world.charge_all())
    return identity


def cancel(identity: uuid.UUID, *arguments: str) -> tuple[str, ...]:
    return ("subscription", "cancel", str(identity), *BECAUSE, *arguments)


def stored(world: World, identity: uuid.UUID) -> Row[Any]:
    return world.run(world.rows("SELECT * FROM subscriptions WHERE id = :id", id=identity))[0]


def test_an_end_now_is_asked_for_once_and_written_down(
    dalmada: Commands, world: World, subscription_id: uuid.UUID
) -> None:
    done = dalmada.process(
        *cancel(subscription_id, "--when", "now", "--refund", "pro_rata", "--yes", "--json"),
        DALMADA_REDIS_URL=None,
    )
    assert (done.status, done.err) == (0, "")
    row = stored(world, subscription_id)
    command_id = done.json["command_id"]
    assert done.json == {
        "command_id": command_id,
        "subscription_id": str(subscription_id),
        "when": "now",
        "cancel_at": row.cancel_at.isoformat(),
        "replaced_cancel_at": None,
        "refund": "pro_rata",
        "late_payment": "full",
    }
    assert (row.cancel_reason, row.cancel_requester) == (REASON, "customer")
    assert (row.cancel_refund, row.cancel_late_payment) == ("pro_rata", "full")
    (entry,) = audited(world)
    assert (entry.actor, entry.action) == (ACTOR, "subscription cancel")
    assert (entry.subject, entry.reason) == (f"subscription {subscription_id}", REASON)
    assert entry.details["cancel_at"] == row.cancel_at.isoformat()
    assert len(world.run(world.events("subscription.cancellation_scheduled"))) == 1


def test_an_end_of_the_period_may_be_brought_forward(
    dalmada: Commands, world: World, subscription_id: uuid.UUID
) -> None:
    done = dalmada(*cancel(subscription_id, "--when", "period_end", "--yes"))
    assert done.status == 0, done.err
    first = stored(world, subscription_id)
    assert first.cancel_at == first.next_renewal_at
    shown = dalmada("subscription", "show", str(subscription_id))
    assert first.cancel_at.isoformat() in shown.fields()["ends"]
    again = dalmada(*cancel(subscription_id, "--when", "period_end", "--yes"))
    assert (again.status, again.out) == (1, "")
    assert "the subscription ends already at" in again.err
    sooner = at_terminal(dalmada, *cancel(subscription_id, "--when", "now"), answer="y")
    assert sooner.status == 0, sooner.err
    assert f"({first.cancel_at.isoformat()})" in sooner.err.partition("instead of")[2]
    assert stored(world, subscription_id).cancel_at < first.cancel_at
    assert len(audited(world)) == 2


@pytest.mark.parametrize(
    ("refund", "words"),
    [
        ("none", "goes back     nothing\n"),
        ("full", "goes back     10,000 KRW (1,000 KRW tax-free) of 10,000 KRW paid"),
        ("pro_rata", "goes back     6,000 KRW (600 KRW tax-free) of 10,000 KRW paid"),
    ],
)
def test_it_shows_what_goes_back_and_to_whom(
    dalmada: Commands, world: World, subscription_id: uuid.UUID, refund: str, words: str
) -> None:
    plant(world)
    done = at_terminal(
        dalmada, *cancel(subscription_id, "--when", "now", "--refund", refund), answer="y"
    )
    assert done.status == 0
    assert words in done.err
    if refund == "pro_rata":
        assert "10,000 KRW left, 6 of 10 days unused" in done.err
    assert "paid late     full of what is under way at the end" in done.err
    assert "buyer_name    심청…미" in done.err
    assert_untold(done.out, done.err, everything_told(world))
    at = datetime.fromisoformat(done.fields()["ends"].rpartition("(")[2].rstrip(")"))
    assert at == stored(world, subscription_id).cancel_at


def test_a_period_that_is_not_paid_gives_nothing_back(dalmada: Commands, world: World) -> None:
    (identity,) = world.run(world.subscribe())
    done = at_terminal(dalmada, *cancel(identity, "--when", "now", "--refund", "full"), answer="n")
    assert "goes back     nothing: the period that runs is not paid" in done.err
    assert done.status == 1
    assert stored(world, identity).cancel_at is None
    assert audited(world) == []


def test_what_contradicts_itself_is_refused_in_the_handlers_words(
    dalmada: Commands, world: World, subscription_id: uuid.UUID
) -> None:
    done = dalmada(*cancel(subscription_id, "--when", "period_end", "--refund", "full", "--yes"))
    assert (done.status, done.out) == (1, "")
    assert "a period that is used to its end is not refunded: cancel now, or refund none." in (
        done.err
    )
    assert stored(world, subscription_id).cancel_at is None


def test_one_that_does_not_exist_is_refused(dalmada: Commands) -> None:
    done = dalmada(*cancel(uuid.UUID(int=7), "--when", "now", "--yes"))
    assert (done.status, done.out) == (1, "")
    assert f"there is no subscription {uuid.UUID(int=7)}." in done.err


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ((), "--when"),
        (("--when", "soon"), "--when"),
        (("--when", "now", "--refund", "half"), "--refund"),
        (("--when", "now", "--late-payment", "some"), "--late-payment"),
        (("--when", "now", "--reason", ""), "--reason"),
    ],
)
def test_a_wrong_value_is_refused_in_words(
    dalmada: Commands, arguments: tuple[str, ...], fault: str
) -> None:
    done = dalmada(*cancel(uuid.UUID(int=7), *arguments, "--yes"))
    assert (done.status, done.out) == (2, "")
    assert fault in done.err


def test_without_a_terminal_it_needs_yes(
    dalmada: Commands, world: World, subscription_id: uuid.UUID
) -> None:
    done = dalmada.process(*cancel(subscription_id, "--when", "now"), stdin="y\n")
    assert (done.status, done.out) == (2, "")
    assert "--yes" in done.err
    assert stored(world, subscription_id).cancel_at is None
