"""Single statements: what they read through, what they can store, what they say when they fail."""

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.calendar import BillingCycle
from shared.billing.money import Price
from shared.billing.subscription import Agreement, Buyer
from shared.db import backlogs, dead_letters, holds, invoices, letters, subscriptions
from shared.db.dead_letters import AttemptLetter
from shared.db.subscriptions import NewSubscription
from shared.db.text import storable, to_json
from tests.support.billing import MONTHLY, World

HOLD = timedelta(minutes=5)


def scans_of(world: World) -> dict[str, Any]:
    return {
        "subscriptions_due_idx": world.renew,
        "invoices_due_idx": world.dispatch,
        "payment_attempts_inquire_idx": world.scan_inquiries,
        "events_unrelayed_idx": world.scan_relay,
    }


@pytest.mark.parametrize(
    "index",
    [
        "subscriptions_due_idx",
        "invoices_due_idx",
        "payment_attempts_inquire_idx",
        "events_unrelayed_idx",
    ],
)
def test_a_scan_reads_through_its_partial_index(world: World, index: str) -> None:
    """A predicate that the planner cannot match would read the whole history every tick."""
    seen: list[tuple[str, Any]] = []

    def remember(_c: object, _k: object, statement: str, values: Any, *_: object) -> None:
        seen.append((statement, values))

    world.run(world.open_invoices())
    event.listen(world.database.engine.sync_engine, "before_cursor_execute", remember)
    world.run(scans_of(world)[index]())
    event.remove(world.database.engine.sync_engine, "before_cursor_execute", remember)

    async def plans() -> str:
        async with world.database.transaction() as connection:
            await connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
            lines = [
                str(row[0])
                for statement, values in seen
                for row in await connection.exec_driver_sql(f"EXPLAIN {statement}", values)
            ]
        return "\n".join(lines)

    assert index in world.run(plans())


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ("잔액이 부족합니다. 😀 👨‍👩‍👧", None),
        ("  trailing spaces and newline \n\t\r\n", None),
        ("e\u0301 stays decomposed, é composed, \ufeff and \u200b too", None),
        ("\\u0000 as six letters, 'quotes', \"both\", \\", None),
        ("nul\x00inside", "nul\ufffdinside"),
        ("lone \ud83d surrogate", "lone ? surrogate"),
    ],
)
def test_texts_are_stored_byte_for_byte_but_for_what_postgresql_cannot_hold(
    world: World, value: str, stored: str | None
) -> None:
    async def write(connection: AsyncConnection) -> None:
        await dead_letters.bury_message(connection, "invoice.charge", value, {value: [value, 1]})

    world.run(world.database.run(write))
    row = world.run(world.rows("SELECT cause, payload FROM dead_letters"))[0]
    expected = value if stored is None else stored
    assert row.cause == expected
    assert row.payload == {"task": "invoice.charge", "message": {expected: [expected, 1]}}
    assert storable(value) == expected


def test_json_keeps_what_is_no_text_as_it_is() -> None:
    assert to_json({"a": [1, None, True, ("x",)]}) == '{"a":[1,null,true,["x"]]}'


def test_a_letter_about_an_attempt_is_kept_once_for_each_cause(world: World) -> None:
    invoice_id = world.run(world.open_invoices())[0]
    attempt_id = world.run(world.claim([invoice_id]))[0].attempt_id
    for cause in ("one", "one", "two"):
        letter = AttemptLetter(attempt_id, cause, {"invoice_id": invoice_id})
        world.run(world.database.run(partial(dead_letters.bury_attempt, letter=letter)))
    assert world.run(world.letters()) == ["one", "two"]

    async def newest(connection: AsyncConnection) -> list[str]:
        return [letter.cause for letter in await letters.newest(connection, limit=1)]

    assert world.run(world.database.run(newest)) == ["two"]


def test_a_hold_is_lengthened_but_never_shortened(world: World) -> None:
    now = world.clock.now()

    async def scenario(connection: AsyncConnection) -> list[tuple[str, object]]:
        seen: list[tuple[str, object]] = []
        for cause, until in (("long", now + HOLD), ("short", now + HOLD / 2), ("x", now + HOLD)):
            await holds.hold(connection, cause, until, now)
            held = await holds.current(connection, now)
            assert held is not None
            seen.append((held.cause, held.held_until))
        await holds.hold(connection, "longer", now + 2 * HOLD, now)
        held = await holds.current(connection, now)
        assert held is not None
        seen.append((held.cause, held.held_until))
        assert await holds.current(connection, now + 2 * HOLD) is None
        await holds.release(connection)
        assert await holds.current(connection, now) is None
        return seen

    assert world.run(world.database.run(scenario)) == [
        ("long", now + HOLD),
        ("long", now + HOLD),
        ("long", now + HOLD),
        ("longer", now + 2 * HOLD),
    ]


def test_subscriptions_that_share_a_key_store_it_once(world: World) -> None:
    agreement = Agreement(Price(9_900), "슬림", BillingCycle(world.clock.now(), MONTHLY))

    def new(buyer: Buyer) -> NewSubscription:
        return NewSubscription(world.new_id(), "shared-key", buyer, agreement)

    async def add(connection: AsyncConnection) -> None:
        both = [new(Buyer("홍길동")), new(Buyer("홍길동"))]
        await subscriptions.add(connection, both, world.clock.now())
        later = [new(Buyer(email="hong@example.com"))]
        await subscriptions.add(connection, later, world.clock.now())

    world.run(world.database.run(add))
    keys = world.run(world.rows("SELECT customer_uid, buyer_name, buyer_email FROM billing_keys"))
    assert [tuple(key) for key in keys] == [("shared-key", "홍길동", "hong@example.com")]
    assert len(world.run(world.events("subscription.created"))) == 3


def test_the_repositories_read_what_was_written(world: World) -> None:
    invoice_id = world.run(world.open_invoices(price=0))[0]
    world.run(world.charge([invoice_id]))

    async def read(connection: AsyncConnection) -> None:
        invoice = await invoices.get(connection, invoice_id)
        assert invoice is not None
        assert await invoices.newest(connection, limit=1) == [invoice]
        assert await invoices.get(connection, invoice_id + 1) is None
        assert await invoices.counts(connection) == {invoice.status: 1}
        assert await invoices.due_backlog(connection, world.clock.now()) == (0, None)
        subscription = await subscriptions.get(connection, invoice.subscription_id)
        assert subscription is not None
        assert await subscriptions.newest(connection, limit=1) == [subscription]
        assert subscription.next_renewal_at == invoice.period.end_at
        assert await subscriptions.counts(connection) == {subscription.status: 1}
        assert (await backlogs.events_waiting(connection)).count == 3

    world.run(world.database.run(read))


def test_an_error_of_the_database_does_not_repeat_a_billing_key(world: World) -> None:
    key = "planted-billing-key" + "x" * 80
    agreement = Agreement(Price(9_900), "슬림", BillingCycle(world.clock.now(), MONTHLY))
    new = NewSubscription(world.new_id(), key, Buyer("홍길동"), agreement)
    with pytest.raises(IntegrityError) as caught:
        world.run(world.database.run(lambda c: subscriptions.add(c, [new], world.clock.now())))
    assert "planted-billing-key" not in str(caught.value)
