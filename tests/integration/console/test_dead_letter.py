"""`dalmada dead-letter list`, `show`, `requeue` and `discard`."""

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from redis import Redis

from deploy.launcher.ports import free_port
from shared.billing.inquiry import RecordStatus
from shared.db import dead_letters, letters
from shared.db.letters import Letter
from shared.jobs.commands import DeleteBillingKey, RegisterBillingKey
from tests.integration.console.commands import Commands
from tests.integration.console.deeds import (
    ACTOR,
    PLANTED,
    assert_untold,
    audited,
    everything_told,
)
from tests.integration.console.proxies import silent_server
from tests.integration.console.terminals import at_terminal
from tests.support.billing import QUIET, World
from tests.support.book import ProcessDiedError, record_of
from tests.support.refunds import RefundDesk
from worker.console import deeds
from worker.services.command_desk import message_of
from worker.tasks.intake import KEPT_LENGTH_MAX

KEY, NAME, TEL = PLANTED
QUEUE = "billing.command"
REGISTER = RegisterBillingKey(
    command_id="register-1",
    customer_uid=KEY,
    amount=9_900,
    order_name=NAME,
    buyer_name=NAME,
    buyer_tel=TEL,
)


@pytest.fixture(autouse=True)
def _empty_broker(redis: Redis) -> None:
    """Every test here counts messages."""


def bury(world: World, task: str, message: object, cause: str = "the validator's words") -> int:
    """Keep a message, and return its letter's number."""
    world.run(world.database.run(lambda c: dead_letters.bury_message(c, task, cause, message)))
    return newest(world).id


def newest(world: World) -> Letter:
    found = world.run(world.database.run(lambda c: letters.newest(c, limit=1, resolved=True)))
    return found[0]


def parked_attempt(world: World) -> int:
    """Park an attempt whose payment was cancelled at the gateway; return its invoice."""
    world.clock.instant -= timedelta(days=1)
    (invoice_id,) = world.run(world.open_invoices())
    (claim,) = world.run(world.claim([invoice_id]))
    record = record_of(claim, RecordStatus.CANCELLED, world.clock.now(), cancel_amount=1)
    world.gateway.enter(record, claim)
    world.pass_time(QUIET)
    assert world.run(world.inquire_all()) == ["parked"]
    return invoice_id


def waiting(redis: Redis, queue: str = QUEUE) -> list[Any]:
    """The messages of a queue as (task, [args, kwargs, embed]), oldest first."""
    found: Any = redis.lrange(queue, 0, -1)
    messages = [json.loads(raw) for raw in reversed(found)]
    return [
        (message["headers"]["task"], json.loads(base64.b64decode(message["body"])))
        for message in messages
    ]


class TestList:
    def test_shows_what_nobody_has_decided_and_the_rest_if_asked(
        self, dalmada: Commands, world: World
    ) -> None:
        first = bury(world, "payment.refund", message_of(REGISTER), "잘못된 [금액]")
        second = bury(world, "webhook.receive", {})
        dalmada("dead-letter", "discard", str(first), "--reason", "seen", "--yes")
        done = dalmada.process("dead-letter", "list", "--json", DALMADA_REDIS_URL=None)
        assert (done.status, done.err) == (0, "")
        letter = newest(world)
        assert done.json == {
            "dead_letters": [
                {
                    "id": second,
                    "kind": "message",
                    "cause": "the validator's words",
                    "task": "webhook.receive",
                    "attempt_id": None,
                    "attempt_status": None,
                    "refund_id": None,
                    "refund_status": None,
                    "resolution": None,
                    "resolved_at": None,
                    "created_at": letter.created_at.isoformat(),
                }
            ],
            "more": False,
        }
        everything = dalmada("dead-letter", "list", "--all", "--json").json["dead_letters"]
        assert [item["id"] for item in everything] == [second, first]
        assert everything[1]["resolution"] == "discarded"
        people = dalmada("dead-letter", "list", "--all")
        assert "잘못된 [금액]" in people.out
        assert_untold(people.out, done.out)

    def test_says_when_there_are_more(self, dalmada: Commands, world: World) -> None:
        for _ in range(3):
            bury(world, "webhook.receive", {})
        done = dalmada("dead-letter", "list", "--limit", "2", "--json")
        assert (len(done.json["dead_letters"]), done.json["more"]) == (2, True)


class TestShow:
    def test_of_a_merchants_message_shows_names_and_ids_and_hides_the_rest(
        self, dalmada: Commands, world: World
    ) -> None:
        letter_id = bury(world, REGISTER.task, message_of(REGISTER))
        done = dalmada("dead-letter", "show", str(letter_id), "--json")
        payload = done.json["payload"]
        assert payload["command_id"] == "register-1"
        assert payload["amount"] == 9_900
        for name in ("customer_uid", "buyer_name", "buyer_tel", "order_name", "redirect_url"):
            assert payload[name] == "(hidden)"
        people = dalmada("dead-letter", "show", str(letter_id))
        assert "\n  command_id     register-1\n" in people.out
        assert "\n  customer_uid   (hidden)\n" in people.out
        assert f"table dead_letters, column payload, id {letter_id}." in people.out
        assert_untold(done.out, people.out)

    @pytest.mark.parametrize(
        "message",
        [
            {"queue": QUEUE, "args": [KEY], "kwargs": {}},
            {"queue": QUEUE, "args": [], "kwargs": {"command_id": f"{NAME} {TEL}"}},
            {"queue": QUEUE, "args": [], "kwargs": {"command_id": {"a": KEY}}},
            {"queue": QUEUE, "args": [], "kwargs": {"invoice_ids": [1, [KEY]]}},
            {"queue": QUEUE, "args": [], "kwargs": {NAME: 1, f"x {KEY}": 2}},
            {"queue": KEY, "args": KEY, "kwargs": KEY, KEY: KEY},
            f'{{"args": [], "kwargs": {{"customer_uid": "{KEY}"',
            [KEY],
        ],
    )
    def test_of_any_message_says_nothing_that_may_be_secret(
        self, dalmada: Commands, world: World, message: object
    ) -> None:
        letter_id = bury(world, "payment.refund", message)
        for form in ((), ("--json",)):
            done = dalmada("dead-letter", "show", str(letter_id), *form)
            assert done.status == 0, done.err
            assert "(hidden)" in done.out
            assert_untold(done.out, done.err)

    def test_of_an_attempt_shows_everything(self, dalmada: Commands, world: World) -> None:
        invoice_id = parked_attempt(world)
        attempt, letter = world.run(world.attempt(invoice_id)), newest(world)
        done = dalmada("dead-letter", "show", str(letter.id), "--json")
        assert (done.json["attempt_id"], done.json["attempt_status"]) == (attempt.id, "parked")
        assert done.json["payload"]["merchant_uid"] == attempt.merchant_uid
        people = dalmada("dead-letter", "show", str(letter.id))
        assert people.fields()["about"] == f"attempt {attempt.id}, parked"
        assert "dead_letters, column" not in people.out

    def test_of_one_that_does_not_exist_says_so(self, dalmada: Commands) -> None:
        done = dalmada("dead-letter", "show", "7")
        assert (done.status, done.out) == (1, "")
        assert "there is no dead letter 7" in done.err


class TestRequeue:
    def test_publishes_a_message_once_as_it_came(
        self, dalmada: Commands, world: World, redis: Redis
    ) -> None:
        letter_id = bury(world, REGISTER.task, message_of(REGISTER))
        done = dalmada.process("dead-letter", "requeue", str(letter_id), "--yes", "--json")
        assert (done.status, done.err) == (0, "")
        assert waiting(redis) == [
            (REGISTER.task, [[], REGISTER.model_dump(mode="json"), {}]),
        ]
        (entry,) = audited(world)
        assert done.json == {
            "command_id": entry.details["command_id"],
            "letter_id": letter_id,
            "resolution": "requeued",
            "published": "billing_key.register",
        }
        assert (entry.actor, entry.action) == (ACTOR, "dead-letter requeue")
        assert (entry.subject, entry.reason) == (f"dead letter {letter_id}", None)
        again = dalmada("dead-letter", "requeue", str(letter_id), "--yes")
        assert (again.status, again.out) == (1, "")
        assert f"dead letter {letter_id} was requeued before" in again.err
        assert len(waiting(redis)) == 1
        assert_untold(done.out, again.err, everything_told(world))

    def test_of_a_parked_attempt_has_it_asked_about_and_publishes_nothing(
        self, dalmada: Commands, world: World, redis: Redis
    ) -> None:
        invoice_id = parked_attempt(world)
        attempt_id = world.run(world.attempt(invoice_id)).id
        done = at_terminal(
            dalmada,
            *("dead-letter", "requeue", str(newest(world).id), "--reason", "seen at PortOne"),
            answer="y",
        )
        assert done.status == 0, done.err
        assert f"the gateway is asked about attempt {attempt_id}, with a new deadline" in done.err
        assert "was taken up again." in done.out
        assert world.run(world.attempt(invoice_id)).status == "unknown"
        assert redis.keys("*") == []
        assert audited(world)[0].reason == "seen at PortOne"

    def test_asks_before_it_publishes(self, dalmada: Commands, world: World, redis: Redis) -> None:
        letter_id = bury(world, REGISTER.task, message_of(REGISTER))
        done = at_terminal(dalmada, "dead-letter", "requeue", str(letter_id), answer="n")
        assert (done.status, done.out) == (1, "")
        assert "the message billing_key.register is published once more, as it came" in done.err
        assert waiting(redis) == []
        assert newest(world).resolution is None
        piped = dalmada("dead-letter", "requeue", str(letter_id), stdin="y\n")
        assert (piped.status, piped.out) == (2, "")
        assert_untold(done.err)

    def test_by_two_people_at_once_publishes_once(
        self, dalmada: Commands, world: World, redis: Redis
    ) -> None:
        letter_id = bury(world, REGISTER.task, message_of(REGISTER))
        with ThreadPoolExecutor() as pool:
            both = [
                pool.submit(dalmada.process, "dead-letter", "requeue", str(letter_id), "--yes")
                for _ in range(2)
            ]
            done = [future.result() for future in both]
        assert sorted(item.status for item in done) == [0, 1]
        assert len(waiting(redis)) == 1
        assert len(audited(world)) == 1

    @pytest.mark.parametrize("silent", [False, True])
    def test_without_redis_leaves_the_letter_as_it_was(
        self, dalmada: Commands, world: World, silent: bool
    ) -> None:
        letter_id = bury(world, REGISTER.task, message_of(REGISTER))
        with silent_server() as port:
            url = f"redis://:planted-password@127.0.0.1:{port if silent else free_port()}/0"
            done = dalmada("dead-letter", "requeue", str(letter_id), "--yes", DALMADA_REDIS_URL=url)
        assert (done.status, done.out) == (1, "")
        assert "Redis cannot be reached" in done.err
        assert "The letter waits as before" in done.err
        assert "planted" not in done.err
        assert newest(world).resolution is None
        assert audited(world) == []

    def test_with_a_redis_url_that_is_none_is_refused_without_repeating_it(
        self, dalmada: Commands, world: World
    ) -> None:
        letter_id = str(bury(world, REGISTER.task, message_of(REGISTER)))
        for url in (None, "planted", "redis://:planted@127.0.0.1:port/0"):
            done = dalmada("dead-letter", "requeue", letter_id, "--yes", DALMADA_REDIS_URL=url)
            assert (done.status, done.out) == (2, "")
            assert "DALMADA_REDIS_URL" in done.err
            assert "planted" not in done.err

    def test_by_a_process_that_dies_before_the_commit_loses_no_message(
        self,
        dalmada: Commands,
        world: World,
        redis: Redis,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        letter_id = bury(world, REGISTER.task, message_of(REGISTER))

        def die(*_: object) -> None:
            raise ProcessDiedError

        with monkeypatch.context() as patched:
            patched.setattr(deeds, "_note", die)
            with pytest.raises(ProcessDiedError):
                dalmada("dead-letter", "requeue", str(letter_id), "--yes")
        assert newest(world).resolution is None
        assert dalmada("dead-letter", "requeue", str(letter_id), "--yes").status == 0
        first, second = waiting(redis)
        assert first == second
        assert first[1][1]["command_id"] == "register-1"

    def test_of_what_cannot_be_sent_again_says_what_can_be_done(
        self, dalmada: Commands, world: World, redis: Redis
    ) -> None:
        letter_id = bury(world, REGISTER.task, "x" * KEPT_LENGTH_MAX)
        done = dalmada("dead-letter", "requeue", str(letter_id), "--yes")
        assert (done.status, done.out) == (1, "")
        assert "publish it again from where it came, then discard the letter." in done.err
        assert waiting(redis) == []


class TestDiscard:
    def test_of_a_parked_attempt_gives_it_up_and_is_written_down(
        self, dalmada: Commands, world: World
    ) -> None:
        invoice_id = parked_attempt(world)
        attempt_id, letter_id = world.run(world.attempt(invoice_id)).id, newest(world).id
        done = at_terminal(
            dalmada,
            *("dead-letter", "discard", str(letter_id), "--reason", "계좌로 입금됨", "--json"),
            answer="y",
        )
        assert done.status == 0, done.err
        assert f"attempt {attempt_id} ends without a payment" in done.err
        (entry,) = audited(world)
        assert done.json == {
            "command_id": entry.details["command_id"],
            "letter_id": letter_id,
            "resolution": "discarded",
            "attempt_id": attempt_id,
            "refund_id": None,
        }
        assert (entry.actor, entry.action) == (ACTOR, "dead-letter discard")
        assert (entry.subject, entry.reason) == (f"dead letter {letter_id}", "계좌로 입금됨")
        assert world.run(world.invoice(invoice_id)).status == "uncollectible"
        assert dalmada("status", "--json").json["dead_letters"] == {"count": 0, "newest": []}

    def test_of_a_parked_refund_gives_it_up(self, dalmada: Commands, desk: RefundDesk) -> None:
        world = desk.world
        (payment,) = world.run(desk.payments())
        refund_id = world.run(desk.ask(payment, 3_000))
        desk.gateway.cancel_in_the_console(payment.imp_uid, 3_000)
        assert world.run(desk.finish())[-1] == "parked"
        listed = dalmada("dead-letter", "list")
        assert f"refund {refund_id}, parked" in listed.out
        done = dalmada("dead-letter", "discard", str(newest(world).id), "--reason", "x", "--yes")
        assert done.status == 0, done.err
        assert f"refund {refund_id} ends with nothing given back" in done.err
        assert world.run(desk.refund(refund_id)).status == "void"

    def test_needs_a_reason_and_an_answer(self, dalmada: Commands, world: World) -> None:
        letter_id = str(bury(world, "webhook.receive", {}))
        for arguments, status in (
            (("--yes",), 2),
            (("--reason", "", "--yes"), 2),
            (("--reason", " ", "--yes"), 1),
            (("--reason", "seen"), 2),
        ):
            done = dalmada("dead-letter", "discard", letter_id, *arguments)
            assert (done.status, done.out) == (status, "")
        assert newest(world).resolution is None

    def test_of_a_message_never_prints_what_it_says(self, dalmada: Commands, world: World) -> None:
        command = DeleteBillingKey(
            command_id="delete-1", customer_uid=KEY, reason=NAME, requester="customer"
        )
        letter_id = bury(world, command.task, message_of(command))
        done = at_terminal(
            dalmada, "dead-letter", "discard", str(letter_id), "--reason", "x", answer="y"
        )
        assert done.status == 0
        assert "the message is never worked" in done.err
        assert_untold(done.out, done.err, everything_told(world))

    def test_of_one_that_does_not_exist_says_so(self, dalmada: Commands) -> None:
        done = dalmada("dead-letter", "discard", "7", "--reason", "x", "--yes")
        assert (done.status, done.out) == (1, "")
        assert "there is no dead letter 7;" in done.err
