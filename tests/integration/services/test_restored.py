"""A database that was set back is recognised, and until it is proven nothing is charged from it."""

import asyncio
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from redis import Redis as PlainRedis
from redis.asyncio import Redis

import shared.jobs.marks
from deploy.launcher.servers import OwnServers
from deploy.sandbox.records import BillingKey
from scheduler.scans.mark import MarkDatabase
from shared.billing.collection import settle
from shared.billing.installation import NEVER_MARKED, PROOF_VALID, UNPROVEN, Mark, Proof
from shared.billing.outcome import Paid
from shared.billing.refund import RefundCause, Requester
from shared.clock import FixedClock, WallClock
from shared.db import holds, installation
from shared.jobs.contracts import ChargeInvoices, Job, ProveDatabase
from shared.jobs.marks import MarksUnreachableError, RedisMarks
from tests.integration.services.drilling import drill_on, run, set_back
from tests.support.billing import START_AT, World
from tests.support.books import Books
from tests.support.drill import DAY, Drill
from tests.support.sandbox import SandboxControl
from worker.services.grouping import Grouping
from worker.services.proof import ProveDatabase as Prove
from worker.services.refund import SendRefunds
from worker.services.refund_requests import RefundRequest, request_refund
from worker.services.refund_settlement import SettleRefunds

HOUR = timedelta(hours=1)


@pytest.fixture
def drill(servers: OwnServers, sandbox: SandboxControl) -> Iterator[Drill]:
    """An installation of which nothing is there yet."""
    with drill_on(servers, sandbox) as made:
        yield made


async def subscribed(drill: Drill) -> None:
    """Two invoices are due, and nobody has looked at them yet."""
    await drill.subscribe(2)
    await drill.scans.mark()
    await drill.scans.renew()


async def charged(drill: Drill) -> None:
    await drill.live(HOUR)
    assert len(drill.paid()) == 2


def test_a_worker_claims_nothing_before_anybody_has_recognised_it(drill: Drill) -> None:
    """The broker still holds the message, and the worker's memory is enough."""
    set_back(drill, lambda: subscribed(drill), lambda: charged(drill))

    async def after() -> None:
        invoices = [row.id for row in await drill.rows("SELECT id FROM invoices")]
        assert len(invoices) == 2
        due = "SELECT count(*) FROM invoices WHERE next_attempt_at <= :now"
        assert await drill.value(due, now=drill.clock.now()) == 2
        assert await drill.work(ChargeInvoices(invoice_ids=tuple(invoices))) == []
        # Nor is anything opened, which would leave out what was charged.
        assert await drill.value("SELECT restored_at IS NULL FROM installation")
        drill.pass_time(40 * DAY)
        assert await drill.scans.renew() == 0
        assert await drill.scans.mark() == 0
        assert await drill.value("SELECT restored_at IS NOT NULL FROM installation")
        await drill.tick()
        assert await drill.value("SELECT count(*) FROM payment_attempts") == 0

    run(drill, after)
    assert len(drill.sandbox.book()) == 2


def test_the_gateway_tells_where_nobody_remembers(drill: Drill) -> None:
    set_back(drill, lambda: subscribed(drill), lambda: charged(drill))
    drill.memory.kept = None

    async def after() -> None:
        await drill.scans.mark()
        assert drill.queue.take() == [ProveDatabase()]
        drill.sandbox.faults(inquiry_rates={"error_500": 1})
        assert await drill.work(ProveDatabase()) == "nobody can say"
        await drill.tick()
        assert await drill.value("SELECT count(*) FROM payment_attempts") == 0
        drill.sandbox.faults(inquiry_rates={})
        assert await drill.work(ProveDatabase()) == "restored"
        assert await drill.work(ProveDatabase()) == "restored"
        cause = await drill.value("SELECT cause FROM installation")
        assert cause.startswith("the gateway holds ")
        assert not (await drill.recover()).needs_a_person
        await drill.live(HOUR)

    run(drill, after)
    assert len(drill.sandbox.book()) == 2


@pytest.mark.parametrize("forgets", ["everything", "nothing, but is old"])
def test_a_database_that_was_not_set_back_goes_on_once_the_gateway_was_asked(
    drill: Drill, forgets: str
) -> None:
    async def life() -> None:
        await charged_before(drill)
        if forgets == "everything":
            drill.memory.kept = None
        else:
            assert drill.memory.kept is not None
            at = drill.clock.now() - PROOF_VALID - HOUR
            drill.memory.kept = replace(drill.memory.kept, at=at)
        await drill.subscribe()
        await drill.scans.renew()
        await drill.tick()
        assert await drill.value("SELECT count(*) FROM payment_attempts") == 2
        await drill.live(HOUR)
        assert await drill.value("SELECT count(*) FROM payment_attempts") == 3
        assert await drill.value("SELECT restored_at IS NULL FROM installation")

    run(drill, life)
    assert len(drill.paid()) == 3


async def charged_before(drill: Drill) -> None:
    await subscribed(drill)
    await charged(drill)


def test_under_the_hold_nothing_moves_whatever_is_due(world: World) -> None:
    async def life() -> None:
        (invoice,) = await world.open_invoices()
        now = world.clock.now()
        await world.database.run(lambda c: installation.hold(c, "a test", now))
        assert not await world.database.run(lambda c: installation.hold(c, "again", now))
        proof = Proof((await world.rows("SELECT installation_id FROM installation"))[0][0], 0)
        for each in (NEVER_MARKED, UNPROVEN, proof):
            marks = _Told(each)
            assert await world.charge([invoice], marks) == []
        assert await world.dispatch() == 0
        await world.subscribe()
        assert await world.renew() == 0
        assert await world.database.run(installation.is_held)
        # What lets other holds go leaves this one.
        await world.database.run(holds.release)
        assert await world.charge([invoice], _Told(proof)) == []
        mark = await world.database.run(lambda c: installation.recover(c, None, now))
        assert mark is not None
        assert await world.database.run(lambda c: installation.recover(c, None, now)) is None
        assert await world.charge([invoice], _Told(Proof(mark.installation_id, mark.number))) == [
            "paid"
        ]

    world.run(life())


class _Told:
    """Whoever is told what the database must show."""

    def __init__(self, told: Proof) -> None:
        self.told = told

    async def seen(self) -> Mark | None:
        return None

    async def publish(self, mark: Mark) -> None:
        """Forget it."""

    async def proof(self) -> Proof:
        return self.told


class _Slow(_Told):
    """Whoever takes long to find out what the database must show."""

    def __init__(self, world: World) -> None:
        super().__init__(NEVER_MARKED)
        self.world = world

    async def proof(self) -> Proof:
        self.world.pass_time(HOUR)
        return self.told


def test_the_time_to_send_begins_after_what_the_database_must_show_is_known(world: World) -> None:
    """Waiting for the broker would use it up, and nothing would ever leave."""
    books = Books(world)

    async def life() -> None:
        (payment,) = await books.live(1)
        await world.subscribe()
        (new,) = await world.rows(
            "SELECT k.customer_uid FROM billing_keys k JOIN subscriptions s"
            " ON s.billing_key_id = k.id ORDER BY s.created_at DESC, s.id DESC LIMIT 1"
        )
        at = books.sandbox.clock.now()
        books.sandbox.book.register(BillingKey(new.customer_uid, at, at))
        await world.renew()
        ((invoice,),) = await world.rows("SELECT id FROM invoices WHERE status = 'open'")
        assert await world.charge([invoice], _Slow(world)) == ["paid"]

        ((payment_id,),) = await world.rows(
            "SELECT id FROM payments WHERE imp_uid = :uid", uid=payment.imp_uid
        )
        request = RefundRequest(
            payment_id, 2_000, None, "환불", Requester.ADMIN, RefundCause.COMMAND, "command-1"
        )
        now = world.clock.now()
        await world.database.run(lambda c: request_refund(c, request, now))
        settle_refund = Grouping(SettleRefunds(world.database, world.clock), linger_s=0.001)
        send = SendRefunds(
            world.database, books.gateway, settle_refund, world.clock, world.rules, _Slow(world)
        )
        waiting = await world.rows("SELECT id FROM refunds")
        assert await send([row.id for row in waiting]) == ["done"]

    world.run(life())


def test_two_schedulers_that_mark_at_once_take_each_other_for_nothing(drill: Drill) -> None:
    async def life() -> None:
        for _ in range(20):
            await asyncio.gather(*(drill.scans.mark() for _ in range(5)))
        assert await drill.value("SELECT restored_at IS NULL FROM installation")
        assert await drill.value("SELECT mark >= 20 FROM installation")

    run(drill, life)


def test_an_answer_to_a_claim_that_is_gone_settles_no_other_and_stops_everything(
    world: World,
) -> None:
    """A replica took over that lacked the last claim, and gave its number to another one."""

    async def life() -> None:
        lost, other = await world.open_invoices(2)
        (gone,) = await world.claim([lost])
        await world.rows("DELETE FROM payment_attempts")
        await world.rows("UPDATE invoices SET attempts = 0")
        (there,) = await world.claim([other])
        assert there.send_number == gone.send_number
        answered = replace(gone, attempt_id=there.attempt_id)
        paid = Paid("imp_lost", world.clock.now())

        await world.settle(settle(answered, paid, world.rules.dunning, world.clock.now()))

        (attempt,) = await world.rows("SELECT status, imp_uid FROM payment_attempts")
        assert (attempt.status, attempt.imp_uid) == ("claimed", None)
        assert await world.rows("SELECT id FROM payments") == []
        (held,) = await world.rows("SELECT cause FROM installation WHERE restored_at IS NOT NULL")
        assert held.cause == f"the claim of {gone.merchant_uid} was committed and is gone"

    world.run(life())


class TestTheBroker:
    @pytest.fixture
    def address(self, servers: OwnServers) -> str:
        url = servers.valkey.url.removesuffix("/0") + "/9"
        with PlainRedis.from_url(url) as client:
            client.flushdb()
        return url

    def test_keeps_the_highest_mark_and_learns_from_whoever_lives(self, address: str) -> None:
        asyncio.run(self._tell(address))

    async def _tell(self, address: str) -> None:
        clock = WallClock()
        client = Redis.from_url(address)
        one, other, late = (RedisMarks(client, clock) for _ in range(3))
        ours = uuid.uuid4()
        assert await one.seen() is None
        assert await one.proof() == NEVER_MARKED
        await one.publish(Mark(ours, 7, clock.now()))
        await other.publish(Mark(ours, 5, clock.now()))
        assert (await other.proof()).number == 7
        # The broker is emptied: who lives tells it, who comes later learns it.
        await client.flushdb()
        assert await late.seen() is None
        assert (await one.seen() or Mark(ours, 0, clock.now())).number == 7
        assert await RedisMarks(client, clock).proof() == Proof(ours, 7)
        # Another database takes its place only where it is proven.
        another = uuid.uuid4()
        await late.publish(Mark(another, 1, clock.now()))
        await one.seen()
        assert await one.proof() == Proof(another, 1)
        # What was seen long ago proves nothing, and shows nevertheless what is behind it.
        await client.flushdb()
        old = RedisMarks(client, clock)
        await old.publish(Mark(ours, 9, clock.now() - 2 * PROOF_VALID))
        assert await RedisMarks(client, clock).proof() == UNPROVEN
        assert (await RedisMarks(client, clock).seen() or Mark(ours, 0, clock.now())).number == 9
        await client.aclose()

    def test_that_cannot_be_asked_has_not_said_that_nobody_ever_saw_a_mark(
        self, address: str, world: World
    ) -> None:
        """A worker that has just been started beside a restored database, and a broker away."""

        async def tell() -> None:
            client, nobody = Redis.from_url(address), Redis.from_url("redis://127.0.0.1:1")
            (invoice,) = await world.open_invoices()
            marks = RedisMarks(nobody, world.clock)
            assert await marks.proof() == UNPROVEN
            with pytest.raises(MarksUnreachableError):
                await marks.seen()
            assert await world.charge([invoice], marks) == []
            sent: list[Job] = []
            scan = MarkDatabase(world.database, marks, sent.append, world.clock)  # type: ignore[arg-type]
            with pytest.raises(MarksUnreachableError):
                await scan()
            assert await world.rows("SELECT id FROM installation") == []
            prove = Prove(world.database, client, marks, world.clock)  # type: ignore[arg-type]
            assert await prove() == "nobody can say"
            assert sent == []
            # Once it answers that there is none, there is none.
            world.pass_time(timedelta(seconds=2))
            marks._meet = RedisMarks(client, world.clock)._meet
            assert await marks.proof() == NEVER_MARKED
            assert await world.charge([invoice], marks) == ["paid"]
            await nobody.aclose()
            await client.aclose()

        world.run(tell())

    def test_that_hangs_is_waited_for_no_longer_than_is_said_and_once(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Every batch begins with the question, and holds a message meanwhile."""
        monkeypatch.setattr(shared.jobs.marks, "_ANSWER_WITHIN_S", 0.1)
        connected: list[asyncio.StreamWriter] = []

        async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connected.append(writer)
            await reader.read()

        async def ask() -> None:
            server = await asyncio.start_server(never, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            client = Redis.from_url(f"redis://127.0.0.1:{port}", socket_timeout=None)
            clock = FixedClock(START_AT)
            marks, mark = RedisMarks(client, clock), Mark(uuid.uuid4(), 3, START_AT)
            async with asyncio.timeout(20):
                assert await marks.proof() == UNPROVEN
                await marks.publish(mark)
                asked = len(connected)
                # Not asked again within the second.
                assert await marks.proof() == Proof(mark.installation_id, 3)
                assert len(connected) == asked
                clock.instant += timedelta(seconds=2)
                assert await marks.proof() == Proof(mark.installation_id, 3)
                assert len(connected) > asked
            await client.aclose()
            server.close()
            for writer in connected:
                writer.close()
                await writer.wait_closed()

        asyncio.run(ask())

    def test_may_be_away_while_a_process_remembers(self, address: str) -> None:
        async def tell() -> None:
            clock = WallClock()
            client = Redis.from_url(address)
            marks = RedisMarks(client, clock)
            ours = uuid.uuid4()
            await marks.publish(Mark(ours, 3, clock.now()))
            nobody = Redis.from_url("redis://127.0.0.1:1")
            marks._meet = nobody.register_script("return 1")
            assert await marks.proof() == Proof(ours, 3)
            await marks.publish(Mark(ours, 4, clock.now()))
            assert await marks.proof() == Proof(ours, 4)
            await nobody.aclose()
            await client.aclose()

        asyncio.run(tell())
