"""A command ends as rows or as a dead letter, and never in nothing."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

import psycopg
import pytest
from celery.exceptions import Reject
from redis.asyncio import Redis
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from deploy.launcher.servers import OwnServers
from shared.billing.events import Json
from shared.jobs.command import Command
from shared.jobs.commands import COMMANDS, CancelSubscription, ReceiveWebhook
from tests.integration.services.intake_desk import Intake
from tests.support.billing import World
from worker.services.command_desk import CommandDesk
from worker.tasks import intake as intake_module
from worker.tasks import kept as kept_module
from worker.tasks.kept import REDELIVERIES_MAX

SECRET = "planted-secret"
CANCEL = {
    "command_id": "c-1",
    "subscription_id": "0c6f4a9e-3f0b-4a77-9d57-2f4bb0a7c1d5",
    "when": "now",
    "reason": "그만",
    "requester": "customer",
}
AWAY = DBAPIError("SELECT", {}, psycopg.OperationalError("gone"))


@pytest.fixture
def done() -> list[str]:
    """The ids of the commands that a handler was asked to do."""
    return []


@pytest.fixture
def intake(
    world: World, servers: OwnServers, done: list[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Intake]:
    async def do(_: AsyncConnection, command: Command, _now: datetime) -> dict[str, Json]:
        done.append(command.command_id)
        return {}

    async def receive(webhook: ReceiveWebhook) -> str:
        return f"stored {webhook.imp_uid}"

    redis = Redis.from_url(servers.valkey.url)
    desk = CommandDesk(world.database, world.clock, dict.fromkeys(COMMANDS, do), receive)
    made = Intake(world, desk, redis)
    made.install(monkeypatch)
    monkeypatch.setattr(kept_module, "_PAUSE_S", 0.0)

    async def empty() -> None:
        await redis.flushall()

    world.run(empty())
    yield made
    world.run(redis.aclose())


def letters(world: World) -> list[Any]:
    return world.run(world.rows("SELECT cause, payload FROM dead_letters ORDER BY id"))


def told(world: World) -> list[tuple[str, Any]]:
    return [(event["name"], event["command_id"]) for event in world.run(world.events())]


class TestMalformed:
    @pytest.mark.parametrize(
        ("said", "cause"),
        [
            ({**CANCEL, "when": "soon"}, "when: Input should be 'now' or 'period_end'"),
            ({**CANCEL, "amount": 1}, "amount: Extra inputs are not permitted"),
            ({**CANCEL, SECRET + " 홍길동": 1}, "…: Extra inputs are not permitted"),
            ({**CANCEL, "reason": "x" * 300}, "reason: String should have at most 256 characters"),
            (
                {**CANCEL, "subscription_id": SECRET},
                "subscription_id: Input should be a valid UUID",
            ),
            (
                {**CANCEL, "reason": "\ud800"},
                "message: Input should be a valid string, unable to parse",
            ),
            ({"command_id": "c-1"}, "subscription_id: Field required; when: Field required"),
        ],
    )
    def test_it_is_kept_whole_with_the_validators_words(
        self, intake: Intake, world: World, done: list[str], said: dict[str, Any], cause: str
    ) -> None:
        assert intake.take(CancelSubscription, said) == "malformed"

        (letter,) = letters(world)
        assert letter.cause.startswith(cause)
        assert SECRET not in letter.cause
        message = letter.payload["message"]
        assert message["kwargs"].keys() == said.keys()
        assert (message["queue"], message["args"]) == ("billing.command", [])
        assert told(world) == [("message.malformed", "c-1")]
        assert done == []

    def test_positional_arguments_are_refused_in_words(self, intake: Intake, world: World) -> None:
        assert intake.take(CancelSubscription, CANCEL, "now", [1]) == "malformed"
        (letter,) = letters(world)
        assert letter.cause.startswith("takes no positional arguments, only ['command_id', ")
        assert letter.payload["message"]["args"] == ["now", [1]]

    @pytest.mark.parametrize("id_", [None, 1, ["c-1"], "", "두 단어", "x" * 129, "a b"])
    def test_a_command_id_is_told_if_there_is_one(
        self, intake: Intake, world: World, id_: object
    ) -> None:
        assert intake.take(CancelSubscription, {**CANCEL, "command_id": id_}) == "malformed"
        readable = id_[:128] if isinstance(id_, str) else None
        assert told(world) == [("message.malformed", readable)]

    def test_one_that_is_too_long_leaves_its_beginning(self, intake: Intake, world: World) -> None:
        said = {**CANCEL, "reason": "가" * 70_000}
        assert intake.take(CancelSubscription, said) == "malformed"
        (letter,) = letters(world)
        assert letter.cause == "is longer than 65536 characters"
        # Text is what nobody can send again.
        assert isinstance(letter.payload["message"], str)
        assert len(letter.payload["message"]) == 4_000
        assert told(world) == [("message.malformed", "c-1")]

    def test_the_longest_that_is_worked_can_be_kept_whole(
        self, intake: Intake, world: World
    ) -> None:
        said = {**CANCEL, "command_id": "c-2", "when": "soon", "reason": ""}
        room = intake_module.MESSAGE_LENGTH_MAX - len(json.dumps(said, ensure_ascii=False))
        assert intake.take(CancelSubscription, {**said, "reason": "x" * room}) == "malformed"
        (letter,) = letters(world)
        assert letter.payload["message"]["kwargs"]["reason"] == "x" * room

    def test_what_it_says_is_in_no_log(
        self, intake: Intake, capsys: pytest.CaptureFixture[str]
    ) -> None:
        intake.take(CancelSubscription, {**CANCEL, "buyer_name": SECRET, SECRET: SECRET}, SECRET)
        written = "".join(capsys.readouterr())
        assert "message_malformed" in written
        assert SECRET not in written


class TestGivenBack:
    def test_a_message_is_given_back_while_the_database_is_away(
        self, intake: Intake, world: World, done: list[str]
    ) -> None:
        for said in (CANCEL, {**CANCEL, "when": "soon"}):
            intake.away = AWAY
            with pytest.raises(Reject) as rejected:
                intake.take(CancelSubscription, said)
            assert vars(rejected.value)["requeue"] is True
        assert (letters(world), told(world), done) == ([], [], [])

        intake.away = None
        assert intake.take(CancelSubscription, CANCEL, redelivered_as="tag") == "done"
        assert done == ["c-1"]

    def test_that_does_not_count_as_a_death(self, intake: Intake) -> None:
        async def away(_: ReceiveWebhook) -> str:
            raise AWAY

        intake.desk = replace(intake.desk, receive_webhook=away)
        for _ in range(REDELIVERIES_MAX + 3):
            with pytest.raises(Reject):
                intake.take(ReceiveWebhook, {"imp_uid": "imp_1"}, redelivered_as="tag")


class TestWhoseWorkerDied:
    def die(self, intake: Intake) -> None:
        """Begin to work a message and die: nothing is ended."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(kept_module, "intake", self._killed)
            with pytest.raises(KeyboardInterrupt):
                intake.take(CancelSubscription, CANCEL, redelivered_as="tag")

    @staticmethod
    def _killed(*_: object) -> str:
        raise KeyboardInterrupt

    def test_it_is_worked_as_often_as_it_may_come(
        self, intake: Intake, done: list[str], world: World
    ) -> None:
        for _ in range(REDELIVERIES_MAX - 1):
            self.die(intake)
        assert intake.take(CancelSubscription, CANCEL, redelivered_as="tag") == "done"
        assert (done, letters(world)) == (["c-1"], [])

    def test_then_it_is_kept_unworked(self, intake: Intake, done: list[str], world: World) -> None:
        for _ in range(REDELIVERIES_MAX):
            self.die(intake)
        assert intake.take(CancelSubscription, CANCEL, redelivered_as="tag") == "parked"
        assert done == []
        (letter,) = letters(world)
        assert letter.cause == "delivered 5 times again, and each time its worker died"
        assert letter.payload["message"]["kwargs"] == CANCEL
        assert told(world) == [("command.parked", "c-1")]

    def test_an_end_is_the_end_of_the_count(self, intake: Intake, done: list[str]) -> None:
        for _ in range(3):
            for _ in range(REDELIVERIES_MAX - 1):
                self.die(intake)
            intake.take(CancelSubscription, CANCEL, redelivered_as="tag")
        assert done == ["c-1"]

    def test_messages_are_counted_apart_and_fresh_ones_not_at_all(
        self, intake: Intake, done: list[str]
    ) -> None:
        for _ in range(REDELIVERIES_MAX):
            self.die(intake)
        assert intake.take(CancelSubscription, CANCEL) == "done"
        other = {**CANCEL, "command_id": "c-2"}
        assert intake.take(CancelSubscription, other, redelivered_as="other") == "done"
        assert done == ["c-1", "c-2"]


def test_a_webhook_is_handed_on(intake: Intake) -> None:
    said = {"imp_uid": "imp_1", "status": "paid"}
    assert intake.take(ReceiveWebhook, said) == "stored imp_1"
