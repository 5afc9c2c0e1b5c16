"""A change of the payment method: everything owed is due at once, and no late ending undoes it."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from datetime import timedelta
from typing import Any, TypeAlias

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.attempt import Claim
from shared.billing.collection import Move, after_send
from shared.billing.dunning import DunningPolicy, TerminalAction
from shared.billing.outcome import Declined, MethodDead, Outcome, Paid, Unknown
from shared.billing.rules import CollectionRules
from shared.billing.window import Confirmed, Window
from shared.db import subscriptions, windows
from tests.support.billing import LEASES, QUIET, World, until
from tests.support.book import Ending
from tests.support.keys import CUSTOMER, Shop, owing
from worker.services import window_confirming
from worker.services.settle import SettleMoves

BROKE = Declined("잔액 부족", "imp_failed")
DEAD = MethodDead("등록되지 않은 구매자입니다")
LATER = timedelta(seconds=10)

Step: TypeAlias = Callable[[AsyncConnection], Coroutine[Any, Any, None]]


@pytest.fixture
def shop(world: World) -> Shop:
    """A shop whose customer has a living key."""
    shop = Shop(world)

    async def register() -> None:
        asked = await shop.ask()
        await shop.confirm(asked, shop.book.register(asked))
        assert await shop.read() == ["confirmed"]

    world.run(register())
    return shop


async def change(shop: Shop) -> None:
    """Have the customer's method changed from beginning to end, some seconds later."""
    shop.world.pass_time(LATER)
    asked = await shop.change()
    await shop.confirm(asked, shop.book.register(asked))
    assert await shop.read() == ["confirmed"]


async def end(world: World, claim: Claim, outcome: Outcome) -> Move:
    """Settle one send as it ended, whenever that is."""
    move = after_send(claim, outcome, world.rules, world.clock.now())
    (written,) = await SettleMoves(world.database, world.clock, world.rules)([move])
    return written


async def claimed(world: World) -> Claim:
    """Return a charge of the customer's that is under way."""
    (claim,) = await world.claim(await owing(world))
    return claim


def is_due(world: World, invoice_id: int) -> bool:
    at = world.run(world.invoice(invoice_id)).next_attempt_at
    return at is not None and at <= world.clock.now()


class TestDueAtOnce:
    def test_what_was_declined_is_charged_at_once_under_a_new_number(
        self, world: World, shop: Shop
    ) -> None:
        world.gateway.script.append(Ending.DECLINED)
        (invoice_id,) = world.run(owing(world))
        world.run(world.charge_all())
        assert not is_due(world, invoice_id)
        world.run(change(shop))
        assert is_due(world, invoice_id)
        assert world.run(world.charge_all()) == ["paid"]
        first, second = world.run(world.attempts(invoice_id))
        assert (first.status, second.status) == ("declined", "paid")
        assert first.merchant_uid != second.merchant_uid
        assert (first.key_generation, second.key_generation) == (1, 2)
        assert world.run(world.subscription(invoice_id)).status == "active"

    def test_what_waited_for_a_living_method_is_charged_at_once(
        self, world: World, shop: Shop
    ) -> None:
        world.gateway.script.append(Ending.METHOD_DEAD)
        first, second = world.run(owing(world, count=2))
        world.run(world.charge([first]))
        assert world.run(shop.key()).status == "dead"
        assert world.run(world.charge([second])) == ["open unsent"]
        assert "dead" in world.run(world.invoice(second)).message
        world.run(change(shop))
        assert world.run(shop.key()).status == "active"
        assert sorted(world.run(world.charge_all())) == ["paid", "paid"]
        assert world.run(world.subscription(first)).status == "active"

    def test_a_first_registration_pays_what_waited_for_it(self, world: World) -> None:
        shop = Shop(world)
        asked = world.run(shop.ask())
        (invoice_id,) = world.run(owing(world))
        assert world.run(world.charge_all()) == ["open unsent"]
        assert "pending" in world.run(world.invoice(invoice_id)).message
        world.run(shop.confirm(asked, shop.book.register(asked)))
        world.run(shop.read())
        assert world.run(world.charge_all()) == ["paid"]
        (told,) = world.run(world.events("billing_key.registered"))
        assert told["invoices_due"] == 1

    def test_each_is_charged_once_however_often_it_is_said(self, world: World, shop: Shop) -> None:
        world.gateway.script.append(Ending.DECLINED)
        world.run(owing(world))
        world.run(world.charge_all())
        asked = world.run(shop.change())
        imp_uid = shop.book.register(asked)
        for _ in range(3):
            world.run(shop.confirm(asked, imp_uid))
            world.run(shop.webhook(imp_uid))
            world.run(shop.read())
            world.run(world.charge_all())
        assert len(world.gateway.paid()) == 1
        assert world.run(shop.key()).generation == 2

    @pytest.mark.parametrize(
        "spoilt",
        [
            "UPDATE invoices SET collection_stopped = true, next_attempt_at = NULL",
            "UPDATE invoices SET status = 'uncollectible', next_attempt_at = NULL",
            """
            UPDATE subscriptions SET cancel_at = created_at, cancel_reason = '해지',
                cancel_requester = 'admin', cancel_refund = 'none', cancel_late_payment = 'none'
            """,
        ],
    )
    def test_what_is_not_collected_any_more_is_left_alone(
        self, world: World, shop: Shop, spoilt: str
    ) -> None:
        world.gateway.script.append(Ending.DECLINED)
        (invoice_id,) = world.run(owing(world))
        world.run(world.charge_all())
        world.run(world.rows("UPDATE subscriptions SET created_at = :n", n=world.clock.now()))
        world.run(world.rows(spoilt))
        before = world.run(world.invoice(invoice_id)).next_attempt_at
        world.run(change(shop))
        assert world.run(world.invoice(invoice_id)).next_attempt_at == before
        (told,) = world.run(world.events("billing_key.changed"))
        assert told["invoices_due"] == 0

    @pytest.mark.parametrize("status", ["claimed", "unknown", "parked"])
    def test_what_may_have_moved_money_is_left_to_its_owner(
        self, world: World, shop: Shop, status: str
    ) -> None:
        claim = world.run(claimed(world))
        world.run(
            world.rows(
                "UPDATE payment_attempts SET status = :s,"
                " inquire_at = CASE WHEN :s <> 'parked' THEN inquire_at END",
                s=status,
            )
        )
        world.run(change(shop))
        assert world.run(world.invoice(claim.invoice_id)).next_attempt_at is None
        assert world.run(world.charge_all()) == []

    def test_what_was_certainly_not_sent_goes_out_at_once_under_its_own_number(
        self, world: World, shop: Shop
    ) -> None:
        world.gateway.script.append(Ending.NOT_SENT)
        (invoice_id,) = world.run(owing(world))
        world.run(world.charge_all())
        world.run(change(shop))
        assert world.run(world.charge_all()) == ["paid"]
        (attempt,) = world.run(world.attempts(invoice_id))
        assert (attempt.number, attempt.send_number, attempt.key_generation) == (1, 2, 2)

    def test_another_buyers_invoices_are_not_touched(self, world: World, shop: Shop) -> None:
        world.gateway.script.extend([Ending.DECLINED, Ending.DECLINED])
        (mine,) = world.run(owing(world))
        (theirs,) = world.run(world.open_invoices())
        world.run(world.charge_all())
        world.run(change(shop))
        assert is_due(world, mine)
        assert not is_due(world, theirs)


class TestLateEndings:
    """An attempt was under way while the buyer changed the method."""

    def test_a_decline_of_the_old_method_waits_for_no_delay(self, world: World, shop: Shop) -> None:
        claim = world.run(claimed(world))
        world.run(change(shop))
        world.run(end(world, claim, BROKE))
        assert is_due(world, claim.invoice_id)
        assert world.run(world.invoice(claim.invoice_id)).declines == 1
        assert world.run(world.subscription(claim.invoice_id)).status == "past_due"
        (told,) = world.run(world.events("payment.declined"))
        assert told["fail_reason"] == "잔액 부족"
        assert world.run(world.charge_all()) == ["paid"]
        assert world.run(world.subscription(claim.invoice_id)).status == "active"

    @pytest.mark.parametrize("action", list(TerminalAction))
    def test_the_last_decline_of_the_old_method_gives_nothing_up(
        self, world: World, shop: Shop, action: TerminalAction
    ) -> None:
        world.rules = CollectionRules(LEASES, dunning=DunningPolicy((), action))
        claim = world.run(claimed(world))
        world.run(change(shop))
        world.run(end(world, claim, BROKE))
        invoice = world.run(world.invoice(claim.invoice_id))
        assert invoice.status == "open"
        assert is_due(world, claim.invoice_id)
        assert world.run(world.subscription(claim.invoice_id)).status == "past_due"
        assert world.run(world.events("invoice.uncollectible")) == []
        assert world.run(world.charge_all()) == ["paid"]

    def test_the_death_of_the_old_method_does_not_bury_the_key(
        self, world: World, shop: Shop
    ) -> None:
        claim = world.run(claimed(world))
        world.run(change(shop))
        world.run(end(world, claim, DEAD))
        assert world.run(shop.key()).status == "active"
        assert world.run(world.events("billing_key.dead")) == []
        (told,) = world.run(world.events("payment.declined"))
        assert told["fail_reason"] == DEAD.message
        assert world.run(world.charge_all()) == ["paid"]
        assert world.run(world.subscription(claim.invoice_id)).status == "active"

    def test_a_payment_by_the_old_method_is_a_payment(self, world: World, shop: Shop) -> None:
        claim = world.run(claimed(world))
        world.run(change(shop))
        world.run(end(world, claim, Paid("imp_1", None)))
        assert world.run(world.invoice(claim.invoice_id)).status == "paid"
        assert world.run(world.charge_all()) == []

    def test_unknown_and_then_declined_is_due_at_once(self, world: World, shop: Shop) -> None:
        world.gateway.script.append(Ending.DECLINED_REPLY_LOST)
        (invoice_id,) = world.run(owing(world))
        world.run(world.charge_all())
        world.run(change(shop))
        world.pass_time(QUIET)
        assert world.run(world.inquire_all()) == ["declined"]
        assert is_due(world, invoice_id)
        assert world.run(world.charge_all()) == ["paid"]

    def test_unknown_and_then_paid_is_not_charged_again(self, world: World, shop: Shop) -> None:
        world.gateway.script.append(Ending.PAID_REPLY_LOST)
        world.run(owing(world))
        world.run(world.charge_all())
        world.run(change(shop))
        world.pass_time(QUIET)
        assert world.run(world.inquire_all()) == ["paid"]
        assert world.run(world.charge_all()) == []
        assert len(world.gateway.paid()) == 1

    def test_sent_again_after_the_change_it_speaks_of_the_new_method(
        self, world: World, shop: Shop
    ) -> None:
        world.gateway.script.append(Ending.NOT_SENT)
        (invoice_id,) = world.run(owing(world))
        world.run(world.charge_all())
        world.run(change(shop))
        world.gateway.script.append(Ending.METHOD_DEAD)
        assert world.run(world.charge_all()) == ["method_dead"]
        assert world.run(shop.key()).status == "dead"
        assert not is_due(world, invoice_id)

    def test_two_changes_in_a_row_overtake_one_attempt(self, world: World, shop: Shop) -> None:
        claim = world.run(claimed(world))
        world.run(change(shop))
        world.run(change(shop))
        assert world.run(shop.key()).generation == 3
        world.run(end(world, claim, DEAD))
        assert world.run(shop.key()).status == "active"
        assert world.run(world.charge_all()) == ["paid"]

    def test_the_death_of_the_present_method_buries_the_key(self, world: World, shop: Shop) -> None:
        world.run(change(shop))
        claim = world.run(claimed(world))
        world.run(end(world, claim, DEAD))
        assert world.run(shop.key()).status == "dead"
        assert len(world.run(world.events("billing_key.dead"))) == 1

    def test_an_unknown_ending_is_neither(self, world: World, shop: Shop) -> None:
        claim = world.run(claimed(world))
        world.run(change(shop))
        world.run(end(world, claim, Unknown("ReadTimeout")))
        assert world.run(world.attempt(claim.invoice_id)).status == "unknown"
        assert world.run(world.invoice(claim.invoice_id)).next_attempt_at is None


class TestOrder:
    def test_a_registration_that_is_told_late_does_not_wake_a_dead_key(
        self, world: World, shop: Shop
    ) -> None:
        first = world.run(shop.change())
        earlier = shop.book.register(first)
        world.run(change(shop))
        claim = world.run(claimed(world))
        world.run(end(world, claim, DEAD))
        world.run(shop.webhook(earlier))
        assert world.run(shop.read()) == ["confirmed"]
        key = world.run(shop.key())
        assert (key.status, key.generation) == ("dead", 2)
        assert world.run(shop.window(first)).status == "confirmed"

    def test_told_in_order_each_change_counts(self, world: World, shop: Shop) -> None:
        for generation in (2, 3, 4):
            world.run(change(shop))
            assert world.run(shop.key()).generation == generation
        told = world.run(world.events("billing_key.changed"))
        assert [event["generation"] for event in told] == [2, 3, 4]

    def test_a_dead_key_is_registered_anew(self, world: World, shop: Shop) -> None:
        claim = world.run(claimed(world))
        world.run(end(world, claim, DEAD))
        world.pass_time(LATER)
        asked = world.run(shop.ask())
        world.run(shop.confirm(asked, shop.book.register(asked)))
        assert world.run(shop.read()) == ["confirmed"]
        key = world.run(shop.key())
        assert (key.status, key.generation) == ("active", 2)
        assert world.run(world.charge_all()) == ["paid"]


async def prepared_change(shop: Shop) -> tuple[Window, Confirmed]:
    """Return a change that the buyer has done and that nobody has confirmed yet."""
    shop.world.pass_time(LATER)
    asked = await shop.change()
    imp_uid = shop.book.register(asked)
    async with shop.world.database.transaction() as connection:
        stored = await windows.named(connection, asked["merchant_uid"])
    assert stored is not None
    return stored.window, Confirmed(imp_uid, shop.world.clock.now())


async def waits_for_a_lock(world: World) -> bool:
    return bool(await world.rows("SELECT FROM pg_locks WHERE NOT granted"))


class TestAtOnce:
    """Each pair of transactions meets in both orders, on real rows."""

    @pytest.mark.parametrize("outcome", [BROKE, DEAD], ids=["declined", "dead"])
    @pytest.mark.parametrize("first", ["change", "ending"])
    def test_a_change_and_a_refusal_meet(
        self, world: World, shop: Shop, first: str, outcome: Outcome
    ) -> None:
        claim = world.run(claimed(world))
        window, found = world.run(prepared_change(shop))
        move = after_send(claim, outcome, world.rules, world.clock.now())
        settle = SettleMoves(world.database, world.clock, world.rules)

        async def confirm(connection: AsyncConnection) -> None:
            await window_confirming.confirm(connection, window, found, world.clock.now())

        async def write(connection: AsyncConnection) -> None:
            await settle._write(connection, [move])

        steps: list[Step] = [confirm, write] if first == "change" else [write, confirm]
        world.run(meet(world, steps))
        key = world.run(shop.key())
        assert (key.status, key.generation) == ("active", 2)
        assert is_due(world, claim.invoice_id)
        assert world.run(world.charge_all()) == ["paid"]
        assert len(world.gateway.paid()) == 1

    @pytest.mark.parametrize("first", ["change", "claim"])
    def test_a_change_and_a_claim_meet(self, world: World, shop: Shop, first: str) -> None:
        (invoice_id,) = world.run(owing(world))
        window, found = world.run(prepared_change(shop))
        taken: list[Claim] = []

        async def confirm(connection: AsyncConnection) -> None:
            await window_confirming.confirm(connection, window, found, world.clock.now())

        async def claim() -> None:
            taken.extend(await world.claim([invoice_id]))

        async def change_first() -> None:
            async with world.database.transaction() as connection:
                await confirm(connection)
                # The invoice is held: the message ends, and the scan sends it again.
                await claim()

        async def claim_first() -> None:
            await claim()
            await world.database.run(confirm)

        world.run(change_first() if first == "change" else claim_first())
        if first == "claim":
            world.run(end(world, taken[0], BROKE))
        assert is_due(world, invoice_id)
        assert world.run(world.charge_all()) == ["paid"]

    def test_the_key_is_looked_at_again_before_an_invoice_is_put_to_sleep(
        self, world: World, shop: Shop
    ) -> None:
        """A charge's look at the key is older than its lock on the invoice."""
        (invoice_id,) = world.run(owing(world))
        world.run(world.rows("UPDATE billing_keys SET status = 'dead'"))

        async def scenario() -> list[str]:
            async with world.database.transaction() as connection:
                await connection.exec_driver_sql("UPDATE billing_keys SET status = 'active'")
                charging = asyncio.create_task(world.charge([invoice_id]))
                await until(lambda: waits_for_a_lock(world))
            return await charging

        assert world.run(scenario()) == []
        assert is_due(world, invoice_id)
        assert world.run(shop.key()).status == "active"

    def test_many_confirmations_and_charges_at_once_end_well(
        self, world: World, shop: Shop
    ) -> None:
        world.gateway.script.extend([Ending.DECLINED] * 4)
        ids = world.run(owing(world, count=4))
        world.run(world.charge(ids))
        other = shop.beside(world.twin())

        async def scenario() -> None:
            for _ in range(3):
                world.pass_time(LATER)
                asked = await shop.change()
                imp_uid = shop.book.register(asked)
                await shop.confirm(asked, imp_uid)
                await shop.webhook(imp_uid)
                hint_ids = [row.id for row in await world.rows("SELECT id FROM hints")]
                world.gateway.script.extend([Ending.DECLINED, Ending.METHOD_DEAD, Ending.DECLINED])
                await asyncio.gather(
                    *(one.read_hints(hint_ids) for one in [shop, other] * 2),
                    *(one.charge(ids) for one in [world, other.world] * 2),
                )

        world.run(scenario())
        assert world.run(shop.key()).generation == 4
        world.gateway.script.clear()
        world.run(change(shop))
        world.pass_time(QUIET)
        world.run(world.charge_all())
        assert {world.run(world.invoice(id_)).status for id_ in ids} == {"paid"}
        assert len(world.gateway.paid()) == 4


async def meet(world: World, steps: Sequence[Step]) -> None:
    """Run two transactions; the second begins, and waits, before the first has committed."""
    first, second = steps
    async with world.database.transaction() as connection:
        await first(connection)
        later = asyncio.create_task(world.database.run(second))
        await until(lambda: waits_for_a_lock(world))
    await later


def test_an_attempt_of_an_earlier_generation_buries_no_key(world: World, shop: Shop) -> None:
    claim = world.run(claimed(world))
    attempt_ids = [claim.attempt_id]

    async def bury(connection: AsyncConnection) -> None:
        await subscriptions.bury_keys(connection, attempt_ids)

    world.run(change(shop))
    world.run(world.database.run(bury))
    assert world.run(shop.key()).status == "active"
    world.run(world.rows("UPDATE payment_attempts SET key_generation = 2"))
    world.run(world.database.run(bury))
    assert world.run(shop.key()).status == "dead"


def test_the_key_never_stands_in_an_event(world: World, shop: Shop) -> None:
    world.run(change(shop))
    assert CUSTOMER not in str(world.run(world.events()))
