"""What others ask for is done once, whoever works it, and its first result stays."""

import asyncio
import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.errors import InvalidRefundError
from shared.billing.events import EventName, Json
from shared.db.engine import Database
from shared.jobs.command import Command
from shared.jobs.commands import COMMANDS, CancelSubscription, DeleteBillingKey, ReceiveWebhook
from tests.support.billing import World, until
from worker.services import command_desk
from worker.services.command_desk import CommandDesk, Unworked
from worker.services.commanding import CommandRefusedError

SECRET = "planted-customer-uid"


@dataclass
class Deed:
    """A handler that leaves a row behind each time, and fails as a test wants it to."""

    errors: list[Exception] = field(default_factory=list)
    door: asyncio.Event | None = None
    begun: int = 0

    async def __call__(
        self, connection: AsyncConnection, command: Command, now: datetime
    ) -> dict[str, Json]:
        self.begun += 1
        await connection.execute(
            text(
                "INSERT INTO audit_log (actor, action, subject, created_at)"
                " VALUES ('deed', :task, :id, :now)"
            ),
            {"task": command.task, "id": command.command_id, "now": now},
        )
        if self.door is not None:
            await self.door.wait()
        if self.errors:
            raise self.errors.pop(0)
        return {"number": self.begun, "status": "a handler's own"}


@pytest.fixture
def deed() -> Deed:
    return Deed()


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_desk, "_PAUSES_S", (0.0, 0.0))


async def never(_: ReceiveWebhook) -> str:
    raise AssertionError


def desk(world: World, deed: Deed, database: Database | None = None) -> CommandDesk:
    handlers = dict.fromkeys(COMMANDS, deed)
    return CommandDesk(database or world.database, world.clock, handlers, never)


def cancel(command_id: str = "c-1", **values: Any) -> CancelSubscription:
    said = {
        "subscription_id": uuid.UUID(int=7),
        "when": "now",
        "reason": "더 이상 필요하지 않음",
        "requester": "customer",
    }
    return CancelSubscription(command_id=command_id, **{**said, **values})


def deeds(world: World) -> int:
    return len(world.run(world.rows("SELECT FROM audit_log")))


def results(world: World) -> dict[str, Any]:
    rows = world.run(world.rows("SELECT command_id, result FROM commands"))
    return {row.command_id: row.result for row in rows}


def told(world: World) -> list[tuple[str, Any]]:
    events = world.run(world.events())
    return [(event["name"], event.get("command_id")) for event in events]


class TestOnce:
    def test_a_command_is_done_and_its_result_kept_and_told(self, world: World, deed: Deed) -> None:
        assert world.run(desk(world, deed).command(cancel())) == "done"

        told = {"number": 1, "status": "a handler's own"}
        assert results(world) == {"c-1": {"status": "done", "result": told}}
        (event,) = world.run(world.events(EventName.COMMAND_DONE))
        assert event == {
            "command_id": "c-1",
            "task": "subscription.cancel",
            "result": told,
            "at": world.clock.now().isoformat(),
        }

    def test_one_that_comes_again_changes_nothing(self, world: World, deed: Deed) -> None:
        world.run(desk(world, deed).command(cancel()))
        before = results(world)
        deed.errors = [CommandRefusedError("it would be refused by now")]

        # The same content, with a default spelt out.
        assert world.run(desk(world, deed).command(cancel(refund="none"))) == "seen before"

        assert results(world) == before
        assert deeds(world) == 1
        assert told(world) == [("command.done", "c-1")]

    def test_a_refusal_is_kept_too(self, world: World, deed: Deed) -> None:
        deed.errors = [CommandRefusedError("there is no such subscription")]
        assert world.run(desk(world, deed).command(cancel())) == "refused"
        assert world.run(desk(world, deed).command(cancel())) == "seen before"

        assert results(world) == {
            "c-1": {"status": "refused", "error": "there is no such subscription"}
        }
        assert told(world) == [("command.refused", "c-1")]

    def test_ten_at_the_same_moment_in_two_processes_are_done_once(
        self, world: World, deed: Deed
    ) -> None:
        desks = [desk(world, deed), desk(world.twin(), deed)]

        async def all_at_once() -> list[str]:
            return await asyncio.gather(*(desks[n % 2].command(cancel()) for n in range(10)))

        endings = world.run(all_at_once())

        assert sorted(endings) == ["done"] + ["seen before"] * 9
        assert (deed.begun, deeds(world)) == (1, 1)

    def test_the_second_waits_for_the_first(self, world: World, deed: Deed) -> None:
        async def work() -> list[str]:
            deed.door = asyncio.Event()
            first = asyncio.create_task(desk(world, deed).command(cancel()))
            await until(lambda: deed.begun == 1)
            second = asyncio.create_task(desk(world.twin(), deed).command(cancel()))
            await until(lambda: waits_for_a_lock(world))
            assert not second.done()
            deed.door.set()
            return [await first, await second]

        assert world.run(work()) == ["done", "seen before"]
        assert deed.begun == 1

    def test_if_the_first_comes_to_nothing_the_second_does_it(
        self, world: World, deed: Deed
    ) -> None:
        async def work() -> str:
            deed.door = asyncio.Event()
            first = asyncio.create_task(desk(world, deed).command(cancel()))
            await until(lambda: deed.begun == 1)
            second = asyncio.create_task(desk(world.twin(), deed).command(cancel()))
            await until(lambda: waits_for_a_lock(world))
            # As when its process dies.
            first.cancel()
            deed.door.set()
            return await second

        assert world.run(work()) == "done"
        assert deeds(world) == 1


async def waits_for_a_lock(world: World) -> bool:
    rows = await world.rows(
        "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        " AND datname = current_database()"
    )
    return bool(rows)


class TestAnotherContent:
    @pytest.mark.parametrize(
        "other",
        [
            pytest.param(cancel(reason="다른 이유"), id="content"),
            pytest.param(
                DeleteBillingKey(
                    command_id="c-1", customer_uid=SECRET, reason="탈퇴", requester="customer"
                ),
                id="task",
            ),
        ],
    )
    def test_under_the_same_id_is_refused_and_told_and_kept(
        self, world: World, deed: Deed, other: Command
    ) -> None:
        world.run(desk(world, deed).command(cancel()))
        before = results(world)

        assert world.run(desk(world, deed).command(other)) == "conflicting"

        assert results(world) == before
        assert deeds(world) == 1
        assert told(world) == [("command.done", "c-1"), ("command.refused", "c-1")]
        (letter,) = world.run(world.rows("SELECT kind, cause, payload FROM dead_letters"))
        assert letter.kind == "message"
        assert "needs an id of its own" in letter.cause
        kept = letter.payload["message"]
        assert type(other).model_validate(kept["kwargs"]) == other
        (refused,) = world.run(world.events(EventName.COMMAND_REFUSED))
        assert SECRET not in str(refused)
        assert refused["error"] == letter.cause


class TestRefusals:
    @pytest.mark.parametrize("kind", [CommandRefusedError, InvalidRefundError])
    def test_take_back_what_was_written_before(
        self, world: World, deed: Deed, kind: type[Exception]
    ) -> None:
        deed.errors = [kind("5000 won are left, and 6000 were asked for")]

        assert world.run(desk(world, deed).command(cancel())) == "refused"

        assert deeds(world) == 0
        (event,) = world.run(world.events(EventName.COMMAND_REFUSED))
        assert event["error"] == "5000 won are left, and 6000 were asked for"


class TestFaults:
    def test_one_that_the_next_try_does_not_meet_is_not_noticed(
        self, world: World, deed: Deed
    ) -> None:
        deed.errors = [RuntimeError("a race"), RuntimeError("another")]
        assert world.run(desk(world, deed).command(cancel())) == "done"
        assert deeds(world) == 1
        assert world.run(world.letters()) == []

    def test_one_that_stays_leaves_the_whole_message_to_a_person(
        self, world: World, deed: Deed
    ) -> None:
        command = DeleteBillingKey(
            command_id="c-1", customer_uid=SECRET, reason="탈퇴", requester="customer"
        )
        deed.errors = [RuntimeError(f"quotes {SECRET}") for _ in range(3)]

        assert world.run(desk(world, deed).command(command)) == "parked"

        assert deeds(world) == 0
        assert results(world) == {}
        (letter,) = world.run(world.rows("SELECT cause, payload FROM dead_letters"))
        assert letter.cause == "a fault of ours kept it from being worked: RuntimeError"
        assert letter.payload["task"] == "billing_key.delete"
        assert letter.payload["message"]["queue"] == "billing.command"
        assert letter.payload["message"]["args"] == []
        (event,) = world.run(world.events(EventName.COMMAND_PARKED))
        assert event["command_id"] == "c-1"
        assert SECRET not in str(event)

        # Sent again once the fault is mended.
        again = DeleteBillingKey.model_validate(letter.payload["message"]["kwargs"])
        assert world.run(desk(world, deed).command(again)) == "done"

    def test_its_words_are_in_no_log(
        self, world: World, deed: Deed, capsys: pytest.CaptureFixture[str]
    ) -> None:
        deed.errors = [RuntimeError(f"quotes {SECRET}") for _ in range(3)]
        world.run(desk(world, deed).command(cancel()))
        written = "".join(capsys.readouterr())
        assert written.count("message_faulted") == 3
        assert "test_commands.py" in written
        assert SECRET not in written

    def test_a_database_that_stays_away_leaves_it_as_if_it_had_not_come(
        self, world: World, deed: Deed
    ) -> None:
        away = DBAPIError("INSERT …", {}, psycopg.OperationalError("server closed the connection"))
        deed.errors = [away] * 100
        impatient = Database(world.database.engine, retry_for_s=0.05)
        with pytest.raises(DBAPIError):
            world.run(desk(world, deed, impatient).command(cancel()))
        assert world.run(world.letters()) == []
        assert told(world) == []
        deed.errors = []
        assert world.run(desk(world, deed).command(cancel())) == "done"


class TestWebhooks:
    def test_a_webhook_is_handed_on_and_its_outcome_named(self, world: World) -> None:
        received = []

        async def receive(webhook: ReceiveWebhook) -> str:
            received.append(webhook)
            return "stored"

        webhook = ReceiveWebhook(imp_uid="imp_1", status="paid")
        made = CommandDesk(world.database, world.clock, {}, receive)
        assert world.run(made.webhook(webhook)) == "stored"
        assert received == [webhook]

    def test_one_that_meets_a_fault_of_ours_is_kept(self, world: World) -> None:
        webhook = ReceiveWebhook(imp_uid="imp_1", merchant_uid="m-1", status="paid")
        made = CommandDesk(world.database, world.clock, {}, never)
        assert world.run(made.webhook(webhook)) == "parked"
        (letter,) = world.run(world.rows("SELECT payload FROM dead_letters"))
        assert letter.payload["message"]["queue"] == "billing.webhook"
        assert ReceiveWebhook.model_validate(letter.payload["message"]["kwargs"]) == webhook
        assert told(world) == [("command.parked", None)]


def test_what_is_no_json_of_postgresqls_is_kept_all_the_same(world: World, deed: Deed) -> None:
    message = {"queue": "q", "args": [], "kwargs": {"\x00": "\ud800", "n": float("nan")}}
    unworked = Unworked("t", "\x00 cause", message, "c-1", EventName.MESSAGE_MALFORMED)
    world.run(desk(world, deed).bury(unworked))
    (letter,) = world.run(world.rows("SELECT cause, payload FROM dead_letters"))
    assert letter.cause == "\ufffd cause"
    assert letter.payload["message"]["kwargs"] == {"\ufffd": "?", "n": "nan"}
    assert told(world) == [("message.malformed", "c-1")]


def test_what_a_command_says_is_not_in_its_repr() -> None:
    unworked = Unworked("t", "c", {"kwargs": SECRET}, None, EventName.MESSAGE_MALFORMED)
    assert SECRET not in repr(unworked)
