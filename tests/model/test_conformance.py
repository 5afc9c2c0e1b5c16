"""The rows of random lives move as the models say they may, and what they do not is noticed."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from deploy.launcher.servers import OwnServers
from tests.model import observing
from tests.model.conformance import (
    Allowed,
    ChargeRows,
    Observation,
    RefundRows,
    charges,
    refunds,
)
from tests.model.observing import Observed
from tests.simulation.installation import host_on
from tests.simulation.lives import STORM, Climate, live
from tests.support.billing import World, world_of
from tests.support.databases import fresh_database

LIVES = range(1, 5)
# Stormier than other lives, and with more money asked back.
OBSERVED = Climate(
    subscriptions=12,
    days=45,
    storms=3,
    weights={**STORM, "refund": 16},
    outages=0,
    observed_every=1,
)
# So many of the model's steps such lives take at the least; people and ends are not in them.
CHARGE_STEPS_MIN = 15
REFUND_STEPS_MIN = 10

DUE = ChargeRows("open", planned=True)
CLAIMED = ChargeRows("open", False, "claimed", number=1, sends=1)
UNKNOWN = ChargeRows("open", False, "unknown", in_doubt=True, number=1, sends=1)
WAITING = UNKNOWN._replace(attempt="waiting", planned=True)


@pytest.mark.parametrize("allowed", [charges, refunds])
def test_the_lives_that_the_steps_are_read_from_harm_nothing(
    allowed: Callable[[], Allowed[Any]],
) -> None:
    for name, report in allowed().reports.items():
        assert report.complete, name
        assert not report.traces, (name, report.traces)


def test_rows_move_as_the_models_say(servers: OwnServers) -> None:
    steps: set[str] = set()
    with fresh_database(servers.postgres) as url, host_on(url) as host:
        for seed in LIVES:
            verdict = live(host, seed, OBSERVED)
            assert not verdict.violations, (verdict.violations, verdict.notes)
            steps |= verdict.steps

    taken = Counter(step.split(":")[0] for step in steps)
    print(f"{taken} of {len(charges().steps)} and {len(refunds().steps)} steps")
    assert taken["charge"] >= CHARGE_STEPS_MIN
    assert taken["refund"] >= REFUND_STEPS_MIN


async def read(world: World) -> Observed:
    return await world.database.run(observing.read)


def test_what_is_rolled_back_was_never_seen(database_url: str) -> None:
    with world_of(database_url) as world:
        world.run(world.database.run(observing.install))
        (invoice_id,) = world.run(world.open_invoices())
        assert len(world.run(read(world)).charges) == 1

        async def fail(connection: AsyncConnection) -> None:
            await connection.exec_driver_sql(
                "UPDATE invoices SET status = 'void', next_attempt_at = NULL"
            )
            raise InterruptedError

        with pytest.raises(InterruptedError):
            world.run(world.database.run(fail))
        assert not world.run(read(world)).charges

        world.run(
            world.rows("UPDATE invoices SET status = 'uncollectible', next_attempt_at = NULL")
        )
        (seen,) = world.run(read(world)).charges
    assert (seen.before, seen.after) == (DUE, ChargeRows("uncollectible", planned=False))
    assert f"invoice {invoice_id}," in seen.event


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, DUE),
        (DUE, CLAIMED),
        (CLAIMED, UNKNOWN),
        (UNKNOWN, UNKNOWN._replace(seen=1)),
        (UNKNOWN._replace(seen=1), WAITING),
        (WAITING, CLAIMED._replace(in_doubt=True, sends=2)),
    ],
)
def test_what_the_code_does_is_allowed(before: ChargeRows | None, after: ChargeRows) -> None:
    assert charges().check([Observation(before, after)]) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(WAITING, CLAIMED._replace(number=2), id="a new number for a lost send"),
        pytest.param(WAITING, CLAIMED._replace(in_doubt=True), id="a send that is not counted"),
        pytest.param(WAITING, CLAIMED._replace(sends=2), id="a doubt that is forgotten"),
        pytest.param(CLAIMED, DUE, id="an attempt that is gone"),
        pytest.param(DUE, CLAIMED._replace(sends=2), id="a first send that is the second"),
        pytest.param(
            UNKNOWN,
            ChargeRows("paid", False, "unknown", in_doubt=True, number=1, sends=1),
            id="paid while unknown",
        ),
        pytest.param(
            ChargeRows("paid", False, "paid", number=1, sends=1), WAITING, id="paid and sent again"
        ),
    ],
)
def test_what_the_code_must_not_do_is_noticed(before: ChargeRows, after: ChargeRows) -> None:
    (fault,) = charges().check([Observation(before, after, "invoice 7")])

    assert fault.startswith("invoice 7: ")
    assert "no step of the model" in fault


def test_one_transaction_may_hold_two_endings() -> None:
    together = Observation(CLAIMED, WAITING, between=(UNKNOWN, UNKNOWN._replace(seen=1)))
    apart = Observation(CLAIMED, WAITING)

    assert charges().check([together]) == []
    # The fewest that explain it: a reply that comes late may write the last one at once.
    assert len(charges().covered([together])) == 2
    assert charges().check([apart]) != []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            RefundRows("claimed", checksum=9_900, sends=1),
            RefundRows("refused", checksum=9_900, sends=1),
        ),
        (
            RefundRows("waiting", in_doubt=True, checksum=9_900, sends=1),
            RefundRows("claimed", in_doubt=True, checksum=8_900, sends=2),
        ),
        (RefundRows("waiting"), RefundRows("claimed", sends=1)),
    ],
    ids=["refused unread", "another checksum in doubt", "sent without a checksum"],
)
def test_what_a_refund_must_not_do_is_noticed(before: RefundRows, after: RefundRows) -> None:
    assert len(refunds().check([Observation(before, after)])) == 1


def test_what_was_not_seen_is_told_by_action() -> None:
    unseen = charges().uncovered([Observation(None, DUE), Observation(DUE, CLAIMED)])

    assert "the invoice is opened" not in unseen
    assert "a worker settles: paid" in unseen
