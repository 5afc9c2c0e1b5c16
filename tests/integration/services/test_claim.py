"""Claims: what a charge message may send, however often and however many at once it comes."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.attempt import Claim
from shared.billing.lifecycle import SubscriptionStatus
from shared.billing.merchant_uid import merchant_uid
from shared.billing.use_confirmation import UseConfirmation
from shared.db import claims, holds, remains, subscriptions
from tests.support.billing import World, until
from tests.support.book import Ending

FIRST_DELAY = timedelta(days=2)
HOLD = timedelta(minutes=5)


def sends(world: World) -> Counter[int]:
    return Counter(sent.claim.invoice_id for sent in world.gateway.sent)


async def cancel(world: World, invoice_id: int) -> None:
    subscription = await world.subscription(invoice_id)
    wanted = {subscription.id: SubscriptionStatus.CANCELED}
    await world.database.run(
        lambda connection: subscriptions.change_status(connection, wanted, world.clock.now())
    )


async def make_due(world: World, invoice_id: int) -> None:
    statement = "UPDATE invoices SET next_attempt_at = :now WHERE id = :id"
    await world.rows(statement, now=world.clock.now(), id=invoice_id)


def test_a_due_invoice_is_claimed_sent_and_paid(world: World) -> None:
    invoice_id = world.run(world.open_invoices())[0]
    assert world.run(world.charge([invoice_id])) == ["paid"]
    (sent,) = world.gateway.sent
    invoice, attempt = world.run(world.invoice(invoice_id)), world.run(world.attempt(invoice_id))
    uid = merchant_uid(invoice.subscription_id, 0, 1)
    assert (sent.claim.merchant_uid, attempt.merchant_uid) == (uid, uid)
    assert (sent.claim.number, sent.claim.send_number, invoice.attempts) == (1, 1, 1)
    assert sent.claim.attempt_id == attempt.id
    assert (attempt.status, invoice.status) == ("paid", "paid")
    assert attempt.imp_uid == world.gateway.book[0].record.imp_uid
    assert invoice.paid_at == world.clock.now()


def test_the_attempt_is_committed_before_anything_is_sent(world: World) -> None:
    invoice_id = world.run(world.open_invoices())[0]
    world.gateway.door = door = asyncio.Event()

    async def scenario() -> None:
        task = asyncio.create_task(world.charge([invoice_id]))
        await until(lambda: len(world.gateway.sent) == 1)
        attempt = await world.twin().attempt(invoice_id)
        assert (attempt.status, attempt.send_number) == ("claimed", 1)
        assert attempt.lease_until == world.clock.now() + world.rules.leases.lease
        assert attempt.inquire_at == attempt.lease_until + world.rules.leases.settle_delay
        (open_transactions,) = await world.rows(
            """
            SELECT count(*) AS found FROM pg_stat_activity
            WHERE state = 'idle in transaction' AND datname = current_database()
            """
        )
        assert open_transactions.found == 0
        door.set()
        assert await task == ["paid"]

    world.run(scenario())


def test_a_message_that_comes_again_finds_nothing_due(world: World) -> None:
    ids = world.run(world.open_invoices(3))
    assert world.run(world.charge(ids)) == ["paid"] * 3
    for _ in range(3):
        assert world.run(world.charge(ids)) == []
    assert sends(world) == dict.fromkeys(ids, 1)


def test_a_message_that_names_an_invoice_twice_sends_it_once(world: World) -> None:
    invoice_id = world.run(world.open_invoices())[0]
    world.run(world.charge([invoice_id] * 5 + [10**15]))
    assert sends(world) == {invoice_id: 1}


def test_a_message_that_comes_while_its_twin_is_in_flight_sends_nothing(world: World) -> None:
    ids = world.run(world.open_invoices(3))
    world.gateway.door = door = asyncio.Event()

    async def scenario() -> None:
        first = asyncio.create_task(world.charge(ids))
        await until(lambda: len(world.gateway.sent) == 3)
        assert await world.twin().charge(ids) == []
        door.set()
        assert await first == ["paid"] * 3

    world.run(scenario())
    assert sends(world) == dict.fromkeys(ids, 1)


def test_twenty_of_the_same_message_at_two_processes_send_each_invoice_once(world: World) -> None:
    ids = world.run(world.open_invoices(5))
    other = world.twin()

    async def scenario() -> list[list[str]]:
        processes = [world, other] * 10
        return await asyncio.gather(*(process.charge(ids) for process in processes))

    endings = [ending for endings in world.run(scenario()) for ending in endings]
    assert endings == ["paid"] * 5
    assert sends(world) == dict.fromkeys(ids, 1)
    assert len(world.gateway.paid()) == 5


def test_overlapping_messages_at_once_send_each_invoice_once(world: World) -> None:
    ids = world.run(world.open_invoices(12))
    other = world.twin()

    async def scenario() -> None:
        parts = [ids[start : start + 6] for start in range(7)] + [ids[::-1]]
        await asyncio.gather(
            *(process.charge(part) for part in parts for process in (world, other))
        )
        await world.charge(ids)

    world.run(scenario())
    assert sends(world) == dict.fromkeys(ids, 1)


def test_a_claim_in_an_open_transaction_is_skipped_by_another(world: World) -> None:
    ids = world.run(world.open_invoices(2))

    async def scenario() -> None:
        now, database = world.clock.now(), world.database
        async with database.transaction() as first:
            due = (await claims.lock_due(first, ids[:1], now)).workable
            async with database.transaction() as second:
                others = (await claims.lock_due(second, ids, now)).workable
                assert [item.claim.invoice_id for item in others] == ids[1:]
            assert len(await claims.write_claims(first, due, world.rules.leases, now)) == 1

    world.run(scenario())


def test_a_claim_is_won_once_even_by_two_that_both_saw_the_invoice_due(world: World) -> None:
    """The tables refuse the second one, so that no mistake in the locks can send twice."""
    invoice_id = world.run(world.open_invoices())[0]

    async def scenario() -> list[list[Claim]]:
        now = world.clock.now()

        async def look(connection: AsyncConnection) -> Sequence[claims.DueInvoice]:
            return (await claims.lock_due(connection, [invoice_id], now)).workable

        seen = [await world.database.run(look) for _ in range(2)]

        async def write(due: Sequence[claims.DueInvoice]) -> list[Claim]:
            return await world.database.run(
                lambda connection: claims.write_claims(connection, due, world.rules.leases, now)
            )

        return await asyncio.gather(*(write(due) for due in seen))

    won = world.run(scenario())
    assert sorted(len(claimed) for claimed in won) == [0, 1]


@pytest.mark.parametrize(
    "since",
    [
        "status = 'void', next_attempt_at = NULL",
        "status = 'uncollectible', next_attempt_at = NULL",
        "next_attempt_at = NULL",
        "next_attempt_at = next_attempt_at + interval '1 hour'",
    ],
)
@pytest.mark.parametrize("waits", [False, True])
def test_a_claim_is_not_won_of_what_was_due_when_it_was_seen_and_is_not_any_more(
    world: World, since: str, waits: bool
) -> None:
    """No lock is trusted with it: the statement that claims asks the invoice itself."""
    invoice_id = world.run(world.open_invoices())[0]
    if waits:
        world.gateway.script.append(Ending.NOT_SENT)
        world.run(world.charge([invoice_id]))
        world.pass_time(timedelta(hours=1))
    before = world.run(world.attempts(invoice_id))

    async def scenario() -> list[Claim]:
        now = world.clock.now()
        async with world.database.transaction() as connection:
            seen = (await claims.lock_due(connection, [invoice_id], now)).workable
        assert len(seen) == 1
        await world.rows(f"UPDATE invoices SET {since}")  # noqa: S608 - made of constants only
        return await world.database.run(
            lambda connection: claims.write_claims(connection, seen, world.rules.leases, now)
        )

    assert world.run(scenario()) == []
    assert world.run(world.attempts(invoice_id)) == before


def test_an_end_and_a_claim_leave_out_what_the_other_one_holds(world: World) -> None:
    """Neither waits: an end that did would hold its subscription, and a claim its neighbours."""
    invoice_id, other_id = world.run(world.open_invoices(2))
    subscription_id = world.run(world.invoice(invoice_id)).subscription_id

    async def scenario() -> None:
        now, database = world.clock.now(), world.database
        async with database.transaction() as first, database.transaction() as second:
            due = (await claims.lock_due(first, [invoice_id], now)).workable
            assert await remains.lock_open_invoices(second, subscription_id) == []
            assert len(await claims.write_claims(first, due, world.rules.leases, now)) == 1
            await first.rollback()
            assert await remains.lock_open_invoices(second, subscription_id) == [invoice_id]
            async with database.transaction() as third:
                others = (await claims.lock_due(third, [invoice_id, other_id], now)).workable
                assert [item.claim.invoice_id for item in others] == [other_id]

    world.run(asyncio.wait_for(scenario(), 10))


def test_a_waiting_attempt_is_won_once_by_two_that_both_saw_it(world: World) -> None:
    invoice_id = world.run(world.open_invoices())[0]
    world.gateway.script.append(Ending.NOT_SENT)
    assert world.run(world.charge([invoice_id])) == ["waiting"]
    world.pass_time(timedelta(hours=1))

    async def scenario() -> list[int]:
        now = world.clock.now()
        async with world.database.transaction() as connection:
            seen = (await claims.lock_due(connection, [invoice_id], now)).workable
        won = []
        for _ in range(2):
            async with world.database.transaction() as connection:
                won.append(
                    len(await claims.write_claims(connection, seen, world.rules.leases, now))
                )
        return won

    assert world.run(scenario()) == [1, 0]
    attempt = world.run(world.attempt(invoice_id))
    assert (attempt.number, attempt.send_number) == (1, 2)


def test_a_redelivery_cannot_start_dunning_early(world: World) -> None:
    invoice_id = world.run(world.open_invoices())[0]
    world.gateway.script.append(Ending.DECLINED)
    assert world.run(world.charge([invoice_id])) == ["declined"]
    for wait in (timedelta(0), FIRST_DELAY - timedelta(seconds=1)):
        world.pass_time(wait)
        assert world.run(world.charge([invoice_id])) == []
    assert world.run(world.dispatch()) == 0
    world.pass_time(timedelta(seconds=1))
    assert world.run(world.charge_all()) == ["paid"]
    assert [attempt.number for attempt in world.run(world.attempts(invoice_id))] == [1, 2]


def test_nothing_is_sent_while_the_gateway_is_on_hold(world: World) -> None:
    ids = world.run(world.open_invoices(2))
    now = world.clock.now()
    world.run(world.database.run(lambda c: holds.hold(c, "told to wait", now + HOLD, now)))
    assert world.run(world.charge(ids)) == []
    assert world.run(world.dispatch()) == 0
    world.pass_time(HOLD)
    assert world.run(world.charge_all()) == ["paid"] * 2


class TestWithoutCall:
    def test_an_amount_of_nothing_is_settled(self, world: World) -> None:
        invoice_id = world.run(world.open_invoices(price=0))[0]
        assert world.run(world.charge([invoice_id])) == ["paid unsent"]
        invoice = world.run(world.invoice(invoice_id))
        assert (invoice.status, invoice.paid_at) == ("paid", world.clock.now())
        assert [event["amount"] for event in world.run(world.events("invoice.paid"))] == [0]
        assert world.run(world.attempts(invoice_id)) == []
        assert world.gateway.sent == []

    @pytest.mark.parametrize(
        ("price", "minimum", "text"),
        [
            (9, 10, "최소 결제 금액은 10원입니다."),
            (1, 1_000, "최소 결제 금액은 1,000원입니다."),
        ],
    )
    def test_an_amount_below_the_minimum_is_told_to_the_buyer(
        self, world: World, price: int, minimum: int, text: str
    ) -> None:
        world.minimum_amount = minimum
        invoice_id = world.run(world.open_invoices(price=price))[0]
        assert world.run(world.charge([invoice_id])) == ["uncollectible unsent"]
        invoice = world.run(world.invoice(invoice_id))
        assert (invoice.status, invoice.message) == ("uncollectible", text)
        (told,) = world.run(world.events("invoice.uncollectible"))
        assert told["message"] == text
        assert world.gateway.sent == []

    def test_the_minimum_itself_is_charged(self, world: World) -> None:
        invoice_id = world.run(world.open_invoices(price=10))[0]
        assert world.run(world.charge([invoice_id])) == ["paid"]

    def test_an_invoice_with_a_dead_key_stays_open_and_off_the_list(self, world: World) -> None:
        invoice_id = world.run(world.open_invoices())[0]
        world.run(world.rows("UPDATE billing_keys SET status = 'dead'"))
        assert world.run(world.charge_all()) == ["open unsent"]
        invoice = world.run(world.invoice(invoice_id))
        assert (invoice.status, invoice.next_attempt_at) == ("open", None)
        assert "dead" in invoice.message
        world.pass_time(timedelta(days=30))
        assert world.run(world.dispatch()) == 0
        assert world.gateway.sent == []

    def test_a_canceled_subscription_is_not_charged(self, world: World) -> None:
        invoice_id = world.run(world.open_invoices())[0]
        world.run(cancel(world, invoice_id))
        assert world.run(world.charge_all()) == ["void unsent"]
        assert world.run(world.invoice(invoice_id)).status == "void"
        assert len(world.run(world.events("invoice.voided"))) == 1
        assert world.gateway.sent == []

    def test_a_cancel_voids_the_attempt_that_waits_as_well(self, world: World) -> None:
        invoice_id = world.run(world.open_invoices())[0]
        world.gateway.script.append(Ending.NOT_SENT)
        world.run(world.charge([invoice_id]))
        world.run(cancel(world, invoice_id))
        world.pass_time(timedelta(hours=1))
        assert world.run(world.charge_all()) == ["void unsent"]
        assert world.run(world.attempt(invoice_id)).status == "void"
        assert len(world.gateway.sent) == 1

    def test_a_minimum_that_was_raised_ends_the_attempt_that_waits_as_well(
        self, world: World
    ) -> None:
        invoice_id = world.run(world.open_invoices(price=500))[0]
        world.gateway.script.append(Ending.NOT_SENT)
        world.run(world.charge([invoice_id]))
        world.minimum_amount = 1_000
        world.pass_time(timedelta(hours=1))
        assert world.run(world.charge_all()) == ["uncollectible unsent"]
        assert world.run(world.attempt(invoice_id)).status == "void"

    @pytest.mark.parametrize("status", ["claimed", "unknown", "parked"])
    @pytest.mark.parametrize("canceled", [False, True])
    def test_an_attempt_that_may_have_moved_money_blocks_everything(
        self, world: World, status: str, canceled: bool
    ) -> None:
        invoice_id = world.run(world.open_invoices())[0]
        world.run(world.claim([invoice_id]))
        inquire_at = None if status == "parked" else world.clock.now()
        statement = "UPDATE payment_attempts SET status = :status, inquire_at = :inquire_at"
        world.run(world.rows(statement, status=status, inquire_at=inquire_at))
        if canceled:
            world.run(cancel(world, invoice_id))
        world.run(make_due(world, invoice_id))
        assert world.run(world.charge_all()) == ["open unsent"]
        invoice = world.run(world.invoice(invoice_id))
        assert (invoice.status, invoice.next_attempt_at) == ("open", None)
        assert status in invoice.message
        assert world.gateway.sent == []


class TestFaultyRows:
    """What the tables allow and the domain does not, like a rule that was tightened since."""

    @staticmethod
    async def spoil(world: World, invoice_id: int, buyer_name: str) -> None:
        statement = """
            UPDATE billing_keys SET buyer_name = :name WHERE id = (
                SELECT s.billing_key_id FROM subscriptions s
                JOIN invoices i ON i.subscription_id = s.id WHERE i.id = :id
            )
        """
        await world.rows(statement, name=buyer_name, id=invoice_id)

    def test_one_does_not_hold_up_its_neighbours_and_is_looked_at_again(self, world: World) -> None:
        ids = world.run(world.open_invoices(3))
        world.run(self.spoil(world, ids[1], " "))
        assert world.run(world.charge(ids)) == ["paid"] * 2
        invoice = world.run(world.invoice(ids[1]))
        assert (invoice.status, invoice.next_attempt_at) == (
            "open",
            world.clock.now() + timedelta(hours=1),
        )
        assert "buyer name" in invoice.message
        world.run(self.spoil(world, ids[1], "홍길동"))
        world.pass_time(timedelta(hours=1))
        assert world.run(world.charge_all()) == ["paid"]

    def test_what_is_said_of_one_does_not_repeat_the_person(
        self, world: World, capsys: pytest.CaptureFixture[str]
    ) -> None:
        ids = world.run(world.open_invoices())
        world.run(self.spoil(world, ids[0], "홍길동\t"))
        world.run(world.charge(ids))
        assert "홍길동" not in world.run(world.invoice(ids[0])).message
        assert "홍길동" not in capsys.readouterr().out

    def test_one_that_is_unknown_calls_a_person_in_the_end(self, world: World) -> None:
        ids = world.run(world.open_invoices())
        world.gateway.script.append(Ending.PAID_REPLY_LOST)
        world.run(world.charge(ids))
        world.run(self.spoil(world, ids[0], " "))
        for _ in range(30):
            world.pass_time(timedelta(hours=1))
            world.run(world.inquire_all())
        assert world.run(world.letters()) or world.run(world.invoice(ids[0])).status == "paid"


@pytest.mark.parametrize(
    ("choice", "day"),
    [
        (UseConfirmation.NONE, None),
        (UseConfirmation.CHARGE_DAY, date(2026, 2, 3)),
        (UseConfirmation.PERIOD_END, date(2026, 2, 28)),
    ],
)
def test_the_day_of_use_is_that_of_the_send_and_not_of_the_first_try(
    world: World, choice: UseConfirmation, day: date | None
) -> None:
    world.use_confirmation = choice
    world.gateway.script.append(Ending.DECLINED)
    world.run(world.open_invoices())
    world.run(world.charge_all())
    # 2 February, 15:00 UTC is 3 February in Korea.
    world.pass_time(FIRST_DELAY + timedelta(hours=15))
    assert world.run(world.charge_all()) == ["paid"]
    assert world.gateway.sent[1].use_confirmation_on == day
