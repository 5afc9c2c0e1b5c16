"""Whatever is said to the command intake, with every handler at work: nobody's row changes by it.

The tables hold a subscription, an invoice that is owed and one that is paid. No input names them,
so whatever comes of an input, they stay as they were.
"""

import json
import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from deploy.launcher.servers import OwnServers
from shared.billing.window_channel import Channel
from shared.jobs.commands import COMMANDS, ReceiveWebhook
from shared.jobs.contracts import Job
from tests.architecture.messages_page import example
from tests.integration.services.intake_desk import Intake
from tests.support.billing import World
from worker.handlers import handlers
from worker.services.command_desk import CommandDesk
from worker.services.hints import ReceiveWebhooks
from worker.services.life.rules import LifeRules
from worker.services.window_requests import WindowTerms
from worker.tasks import kept as kept_module

CONTRACTS: tuple[type[Job], ...] = (*COMMANDS, ReceiveWebhook)
SECRET = "planted-0a1b2c"
# Beyond what an input says by chance: nobody's invoice is named by a small number.
FIRST_INVOICE = 2**40
# Money and agreements; what a command may write by itself is another matter.
GUARDED = (
    *("subscriptions", "invoices", "payment_attempts", "payments", "refunds", "gateway_holds"),
    "audit_log",
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=40)
    | st.sampled_from(["now", "all", "full", "customer", "", "\x00", "\ud800", 0, -1, 2**63])
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


def valid(contract: type[Job]) -> dict[str, Any]:
    """An example that keeps the contract, of a command_id of its own, and names nobody here."""
    section = "Webhooks" if contract is ReceiveWebhook else "Commands"
    said = example(section, contract.task)
    if "command_id" in said:
        said["command_id"] = str(uuid.uuid4())
    if "customer_uid" in said:
        said["customer_uid"] = f"{SECRET}-{uuid.uuid4()}"
    if "buyer_name" in said:
        said["buyer_name"] = SECRET
    return said


@st.composite
def messages(draw: st.DrawFn) -> tuple[type[Job], list[Any], dict[str, Any]]:
    """A message: valid, valid but for a few fields, or anything."""
    contract = draw(st.sampled_from(CONTRACTS))
    args: list[Any] = draw(st.just([]) | st.just([]) | st.lists(values, max_size=2))
    if draw(st.integers(0, 9)) == 0:
        return contract, args, draw(st.dictionaries(st.text(max_size=12), values, max_size=6))
    said = valid(contract)
    names = st.sampled_from(sorted(contract.model_fields)) | st.text(max_size=8)
    for name in draw(st.lists(names, max_size=2)):
        if draw(st.booleans()):
            said[name] = draw(values)
        else:
            said.pop(name, None)
    return contract, args, said


@pytest.fixture
def intake(world: World, servers: OwnServers, monkeypatch: pytest.MonkeyPatch) -> Iterator[Intake]:
    redis = Redis.from_url(servers.valkey.url)
    terms = WindowTerms(Channel("naverpay.partner", None), timedelta(minutes=30), 10)
    desk = CommandDesk(
        world.database,
        world.clock,
        handlers(terms, LifeRules()),
        ReceiveWebhooks(world.database, world.clock),
    )
    made = Intake(world, desk, redis)
    made.install(monkeypatch)
    monkeypatch.setattr(kept_module, "_PAUSE_S", 0.0)
    yield made
    world.run(redis.aclose())


def guarded(world: World) -> dict[str, list[Any]]:
    """Every guarded row, as text."""
    return {
        table: sorted(
            str(tuple(row))
            for row in world.run(world.rows(f"SELECT * FROM {table}"))  # noqa: S608 - constants
        )
        for table in GUARDED
    }


def endings(world: World) -> tuple[int, int]:
    """How many results and how many dead letters there are."""
    (row,) = world.run(
        world.rows(
            "SELECT (SELECT count(*) FROM commands) AS results,"
            " (SELECT count(*) FROM dead_letters) AS letters"
        )
    )
    return row.results, row.letters


def test_it_ends_as_a_result_or_a_dead_letter_and_changes_nothing_else(
    world: World, intake: Intake
) -> None:
    world.run(world.rows(f"ALTER TABLE invoices ALTER COLUMN id RESTART WITH {FIRST_INVOICE}"))
    paid, owed = world.run(world.open_invoices(2))
    assert paid == FIRST_INVOICE
    world.run(world.charge([paid]))
    before = guarded(world)
    assert before["payments"]
    outcomes: Counter[str] = Counter()
    results = letters = 0

    @settings(
        max_examples=2_100,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(message=messages())
    def take(message: tuple[type[Job], list[Any], dict[str, Any]]) -> None:
        nonlocal results, letters
        contract, args, said = message
        # As it comes out of the broker.
        outcome = intake.take(contract, json.loads(json.dumps(said)), *args)
        outcomes[outcome] += 1
        match outcome:
            case "done" | "refused":
                results += 1
            case "malformed" | "conflicting":
                letters += 1
            case "stored" | "let go" | "seen before":
                pass
            case _:
                raise AssertionError(outcome)
        assert endings(world) == (results, letters)

    take()

    after = guarded(world)
    # Some inputs begin subscriptions of their own.
    assert set(before["subscriptions"]) < set(after.pop("subscriptions"))
    assert after == {table: rows for table, rows in before.items() if table != "subscriptions"}
    assert owed
    # Each ending was met, or the inputs prove little; a fault of ours (parked) never.
    assert outcomes.keys() >= {"done", "refused", "malformed", "stored"}
    assert outcomes["malformed"] >= 200
    assert SECRET not in str(world.run(world.events()))
    assert SECRET not in str(world.run(world.rows("SELECT result FROM commands")))
