"""A person decides a dead letter once: what was parked goes on, or is given up."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar

import pytest
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.inquiry import RecordStatus, StillUnresolved
from shared.db import dead_letters, letters
from shared.db.letters import Letter
from shared.jobs.commands import RefundPayment
from tests.support.billing import LEASES, QUIET, World
from tests.support.book import Ending, record_of
from tests.support.keys import Shop
from tests.support.refunds import RefundBook, RefundDesk, Way
from worker.services.command_desk import message_of
from worker.services.commanding import CommandRefusedError
from worker.services.letters import Parcel, discard, requeue

R = TypeVar("R")

NOT_NOW = StillUnresolved("HTTP 500")
CANCELLED_THERE = "the payment was cancelled at the gateway"
COMMAND = RefundPayment(
    command_id="refund-1",
    imp_uid="imp_1",
    amount="all",
    reason="고객 변심",
    requester="customer",
)


@pytest.fixture
def desk(world: World) -> RefundDesk:
    return RefundDesk(world, RefundBook(world.clock))


def transact(world: World, work: Callable[[AsyncConnection], Awaitable[R]]) -> R:
    return world.run(world.database.run(work))


def again(world: World, letter_id: int | None = None) -> Parcel | None:
    """Take a letter up again, the newest unless another is named."""
    id_ = letter_id or newest(world).id
    return transact(world, lambda c: requeue(c, id_, LEASES.settle_delay, world.clock.now()))


def put_away(world: World, letter_id: int | None = None) -> Letter:
    id_ = letter_id or newest(world).id
    return transact(world, lambda c: discard(c, id_, world.clock.now()))


def newest(world: World) -> Letter:
    """The newest letter, decided or not."""
    return transact(world, lambda c: letters.newest(c, limit=1, resolved=True))[0]


def count(world: World) -> int:
    """How many letters nobody has decided."""
    return transact(world, letters.open_count)


def bury(world: World, task: str, message: object) -> Letter:
    transact(world, lambda c: dead_letters.bury_message(c, task, "cause", message))
    return newest(world)


def cancelled_there(world: World) -> int:
    """An attempt whose payment somebody has cancelled at the gateway: a person must look."""
    (invoice_id,) = world.run(world.open_invoices())
    (claim,) = world.run(world.claim([invoice_id]))
    record = record_of(
        claim,
        RecordStatus.CANCELLED,
        world.clock.now(),
        cancel_amount=claim.price.amount,
    )
    world.gateway.enter(record, claim)
    world.pass_time(QUIET)
    assert world.run(world.inquire_all()) == ["parked"]
    return invoice_id


def unanswered(world: World, ending: Ending) -> int:
    """An attempt about which the gateway has said nothing for a day."""
    (invoice_id,) = world.run(world.open_invoices())
    world.gateway.script.append(ending)
    world.run(world.charge([invoice_id]))
    world.gateway.lookups.extend([NOT_NOW] * 200)
    endings: list[str] = []
    for _ in range(200):
        world.pass_time(timedelta(minutes=15))
        endings += world.run(world.inquire_all())
        if "parked" in endings:
            world.gateway.lookups.clear()
            return invoice_id
    raise AssertionError(endings)


class TestAnAttempt:
    def test_taken_up_again_is_collected_if_the_gateway_shows_the_payment(
        self, world: World
    ) -> None:
        invoice_id = unanswered(world, Ending.PAID_REPLY_LOST)
        letter = newest(world)
        assert (letter.kind, letter.attempt_status) == ("attempt", "parked")
        assert again(world) is None
        assert world.run(world.inquire_all()) == ["paid"]
        assert world.run(world.invoice(invoice_id)).status == "paid"
        assert len(world.gateway.paid()) == 1
        decided = newest(world)
        assert (decided.resolution, decided.resolved_at) == ("requeued", world.clock.now())
        assert count(world) == 0

    def test_has_a_day_more_before_a_person_is_called_once_more(self, world: World) -> None:
        unanswered(world, Ending.PAID_REPLY_LOST)
        again(world)
        world.gateway.lookups.append(NOT_NOW)
        assert world.run(world.inquire_all()) == ["unknown"]
        assert count(world) == 0

    def test_that_the_gateway_does_not_know_is_sent_again_under_the_same_uid(
        self, world: World
    ) -> None:
        invoice_id = unanswered(world, Ending.REQUEST_LOST)
        again(world)
        assert world.run(world.inquire_all()) == ["unknown"]
        world.pass_time(timedelta(hours=1))
        assert world.run(world.inquire_all()) == ["waiting"]
        assert world.run(world.charge_all()) == ["paid"]
        assert world.run(world.invoice(invoice_id)).status == "paid"
        assert len({sent.claim.merchant_uid for sent in world.gateway.sent}) == 1

    def test_that_is_parked_for_the_same_cause_has_a_letter_of_its_own(self, world: World) -> None:
        cancelled_there(world)
        first = newest(world)
        again(world)
        assert world.run(world.inquire_all()) == ["parked"]
        second = newest(world)
        assert second.id > first.id
        assert (second.cause, second.resolution) == (CANCELLED_THERE, None)
        assert count(world) == 1

    def test_that_was_parked_a_moment_ago_is_not_asked_about_while_it_may_be_under_way(
        self, world: World
    ) -> None:
        (invoice_id,) = world.run(world.open_invoices())
        (claim,) = world.run(world.claim([invoice_id]))
        world.run(world.rows("UPDATE payment_attempts SET status = 'parked', inquire_at = NULL"))
        transact(
            world,
            lambda c: dead_letters.bury_attempt(
                c, dead_letters.AttemptLetter(claim.attempt_id, "refused by the database", {})
            ),
        )
        again(world)
        assert world.run(world.attempt(invoice_id)).inquire_at == claim.claimed_at + QUIET
        assert world.run(world.inquire_all()) == []

    def test_given_up_ends_without_a_payment_and_its_invoice_is_uncollectible(
        self, world: World
    ) -> None:
        invoice_id = cancelled_there(world)
        subscription_id = world.run(world.subscription(invoice_id)).id
        put_away(world)
        invoice, attempt = (
            world.run(world.invoice(invoice_id)),
            world.run(world.attempt(invoice_id)),
        )
        assert (attempt.status, invoice.status) == ("void", "uncollectible")
        assert invoice.message == f"given up by hand: {CANCELLED_THERE}"
        (told,) = world.run(world.events("invoice.uncollectible"))
        assert told == {
            "invoice_id": invoice_id,
            "period_index": 0,
            "amount": 9_900,
            "tax_free": 0,
            "declines": 0,
            "cause": f"given up by hand: {CANCELLED_THERE}",
            "at": world.clock.now().isoformat(),
        }
        (row,) = world.run(
            world.rows("SELECT subscription_id FROM events WHERE name = 'invoice.uncollectible'")
        )
        assert row.subscription_id == subscription_id
        assert newest(world).resolution == "discarded"
        world.pass_time(timedelta(days=30))
        assert world.run(world.inquire_all()) == []
        assert world.run(world.charge([invoice_id])) == []

    def test_given_up_whose_money_turns_up_calls_a_person_again(self, world: World) -> None:
        invoice_id = unanswered(world, Ending.PAID_HIDDEN)
        put_away(world)
        world.gateway.entries()
        (paid,) = world.gateway.paid()
        shop = Shop(world)
        world.run(shop.webhook(paid.record.imp_uid, paid.record.merchant_uid))
        assert world.run(shop.read()) == ["paid"]
        assert newest(world).cause == "paid at the gateway after it had ended as void"
        assert count(world) == 1
        assert world.run(world.invoice(invoice_id)).status == "uncollectible"
        (payment,) = world.run(world.rows("SELECT * FROM payments"))
        assert payment.imp_uid == paid.record.imp_uid

    def test_whose_invoice_was_closed_tells_of_no_invoice(self, world: World) -> None:
        invoice_id = cancelled_there(world)
        world.run(world.rows("UPDATE invoices SET status = 'void', next_attempt_at = NULL"))
        put_away(world)
        assert world.run(world.invoice(invoice_id)).status == "void"
        assert world.run(world.events("invoice.uncollectible")) == []
        assert world.run(world.attempt(invoice_id)).status == "void"

    def test_that_has_ended_is_not_asked_about_but_its_letter_may_be_put_away(
        self, world: World
    ) -> None:
        invoice_id = unanswered(world, Ending.PAID_HIDDEN)
        put_away(world)
        (paid,) = world.gateway.paid()
        shop = Shop(world)
        world.run(shop.webhook(paid.record.imp_uid, paid.record.merchant_uid))
        world.run(shop.read())
        with pytest.raises(CommandRefusedError, match=r"ended as void.*dalmada payment refund"):
            again(world)
        assert count(world) == 1
        put_away(world)
        assert count(world) == 0
        assert world.run(world.attempt(invoice_id)).status == "void"
        assert len(world.run(world.events("invoice.uncollectible"))) == 1

    def test_that_goes_on_by_itself_is_said_to(self, world: World) -> None:
        (invoice_id,) = world.run(world.open_invoices())
        (claim,) = world.run(world.claim([invoice_id]))
        letter = dead_letters.AttemptLetter(claim.attempt_id, "cause", {})
        transact(world, lambda c: dead_letters.bury_attempt(c, letter))
        with pytest.raises(CommandRefusedError, match="is claimed, so it goes on by itself"):
            again(world)
        put_away(world)
        assert world.run(world.attempt(invoice_id)).status == "claimed"


class TestARefund:
    def parked(self, desk: RefundDesk, ending: Way) -> tuple[Row[Any], int]:
        """A refund whose payment nobody could read for a day."""
        world = desk.world
        (payment,) = world.run(desk.payments())
        refund_id = world.run(desk.ask(payment, 3_000))
        desk.gateway.script.append(ending)
        desk.gateway.lookups.extend([NOT_NOW] * 100)
        assert world.run(desk.finish(200))[-1] == "parked"
        desk.gateway.lookups.clear()
        return payment, refund_id

    def test_taken_up_again_is_done_if_the_gateway_shows_it(self, desk: RefundDesk) -> None:
        _, refund_id = self.parked(desk, Way.DONE_REPLY_LOST)
        assert (newest(desk.world).kind, newest(desk.world).refund_status) == ("refund", "parked")
        assert again(desk.world) is None
        assert desk.world.run(desk.finish()) == ["done"]
        assert desk.gateway.given_back(refund_id) == 1
        assert newest(desk.world).resolution == "requeued"

    def test_taken_up_again_is_sent_once_more_under_its_checksum(self, desk: RefundDesk) -> None:
        _, refund_id = self.parked(desk, Way.REQUEST_LOST)
        again(desk.world)
        assert desk.world.run(desk.finish()) == ["waiting", "done"]
        assert desk.gateway.given_back(refund_id) == 1
        assert {sent.claim.checksum for sent in desk.gateway.sent} == {9_900}

    def test_that_is_parked_for_the_same_cause_has_a_letter_of_its_own(
        self, desk: RefundDesk
    ) -> None:
        world = desk.world
        (payment,) = world.run(desk.payments())
        world.run(desk.ask(payment, 3_000))
        desk.gateway.cancel_in_the_console(payment.imp_uid, 3_000)
        assert world.run(desk.finish())[-1] == "parked"
        first = newest(world)
        again(world)
        assert world.run(desk.finish())[-1] == "parked"
        assert newest(world).cause == first.cause
        assert newest(world).id > first.id

    def test_given_up_gives_nothing_back_and_lets_the_next_one_go(self, desk: RefundDesk) -> None:
        world = desk.world
        payment, refund_id = self.parked(desk, Way.REQUEST_LOST)
        cause = newest(world).cause
        other = world.run(desk.ask(payment, 100))
        assert world.run(desk.work_all()) == []
        put_away(world)
        refund = world.run(desk.refund(refund_id))
        assert (refund.status, refund.settled_at) == ("void", world.clock.now())
        (told,) = world.run(world.events("payment.refund_refused"))
        assert told == {
            "refund_id": refund_id,
            "imp_uid": payment.imp_uid,
            "merchant_uid": payment.merchant_uid,
            "amount": 3_000,
            "tax_free": 0,
            "reason": refund.reason,
            "requester": "customer",
            "cause": f"given up by hand: {cause}",
            "message": None,
            "at": world.clock.now().isoformat(),
        }
        assert world.run(desk.finish()) == ["done"]
        assert (desk.gateway.given_back(refund_id), desk.gateway.given_back(other)) == (0, 1)

    def test_given_up_that_was_done_after_all_is_taken_over_as_done_elsewhere(
        self, desk: RefundDesk
    ) -> None:
        world = desk.world
        payment, refund_id = self.parked(desk, Way.DONE_REPLY_LOST)
        put_away(world)
        other = world.run(desk.ask(payment, 6_900))
        world.run(desk.finish())
        assert (desk.gateway.given_back(refund_id), desk.gateway.given_back(other)) == (1, 1)
        row = world.run(desk.payment(payment))
        assert row.cancelled_amount == row.amount
        (told,) = world.run(world.events("payment.cancelled_elsewhere"))
        assert told["amount"] == 3_000

    def test_that_has_ended_is_asked_for_anew(self, desk: RefundDesk) -> None:
        world = desk.world
        (payment,) = world.run(desk.payments())
        world.run(desk.ask(payment, 3_000))
        desk.gateway.script.append(Way.REFUSED)
        world.run(desk.finish())
        with pytest.raises(CommandRefusedError, match=r"ended as refused.*ask for it anew"):
            again(world)
        put_away(world)
        assert len(world.run(world.events("payment.refund_refused"))) == 1


class TestAMessage:
    def test_is_handed_back_as_it_came(self, world: World) -> None:
        letter = bury(world, COMMAND.task, message_of(COMMAND))
        parcel = again(world)
        assert parcel == Parcel("payment.refund", "billing.command", [], COMMAND.model_dump())
        assert "고객 변심" not in repr(parcel)
        assert newest(world).resolution == "requeued"
        assert "고객" not in repr(letter)

    def test_that_broke_its_contract_is_handed_back_all_the_same(self, world: World) -> None:
        message = {"queue": "elsewhere", "args": ["x"], "kwargs": {"command_id": 7}}
        bury(world, "subscription.cancel", message)
        parcel = again(world)
        # The queue is that of its name: a letter sends nothing anywhere else.
        assert parcel == Parcel("subscription.cancel", "billing.command", ["x"], {"command_id": 7})

    @pytest.mark.parametrize(
        ("task", "message", "words"),
        [
            ("payment.refund", '{"queue": "billing.command", "args": [], "kwa', "not kept whole"),
            ("payment.refund", {"queue": "billing.command", "cut": "{"}, "not kept whole"),
            ("payment.refund", {"args": "x", "kwargs": {}}, "not kept whole"),
            ("payment.refund", {"args": [], "kwargs": []}, "not kept whole"),
            ("payment.refund", None, "not kept whole"),
            ("dead_letter.discard", message_of(COMMAND), "no worker works a message of this name"),
            ("os.system", message_of(COMMAND), "no worker works a message of this name"),
        ],
    )
    def test_that_cannot_be_sent_again_is_refused_in_words(
        self, world: World, task: str, message: object, words: str
    ) -> None:
        bury(world, task, message)
        with pytest.raises(CommandRefusedError, match=words):
            again(world)
        assert count(world) == 1
        put_away(world)
        assert count(world) == 0

    def test_put_away_changes_nothing_else(self, world: World) -> None:
        bury(world, COMMAND.task, message_of(COMMAND))
        put_away(world)
        assert world.run(world.events()) == []
        assert newest(world).payload["message"]["kwargs"]["command_id"] == "refund-1"


class TestAPayment:
    def test_that_nobody_knew_is_read_again_and_told_again(self, world: World) -> None:
        shop = Shop(world)
        imp_uid = shop.book.enter("nobodys", 5_000)
        world.run(shop.webhook(imp_uid, "nobodys"))
        assert world.run(shop.read()) == ["unrecognized"]
        first = newest(world)
        assert first.kind == "payment"
        again(world)
        assert world.run(shop.read()) == ["unrecognized"]
        assert newest(world).id > first.id
        assert len(world.run(world.events("payment.unrecognized"))) == 2

    def test_of_which_nobody_said_anything_is_refused_in_words(self, world: World) -> None:
        transact(
            world, lambda c: dead_letters.bury_payment(c, "nobody's", {"imp_uid": "imp_nobody"})
        )
        with pytest.raises(CommandRefusedError, match="nobody has said anything of this payment"):
            again(world)
        put_away(world)
        assert count(world) == 0


class TestOnceOnly:
    @pytest.mark.parametrize("kind", ["attempt", "refund", "message", "payment"])
    @pytest.mark.parametrize("verbs", [("again", "again"), ("away", "away"), ("again", "away")])
    def test_two_people_at_once_decide_it_once(
        self, world: World, desk: RefundDesk, kind: str, verbs: tuple[str, str]
    ) -> None:
        make: dict[str, Callable[[], object]] = {
            "attempt": lambda: cancelled_there(world),
            "refund": lambda: TestARefund().parked(desk, Way.REQUEST_LOST),
            "message": lambda: bury(world, COMMAND.task, message_of(COMMAND)),
            "payment": lambda: self.unrecognized(world),
        }
        make[kind]()
        letter, now = newest(world), world.clock.now()
        told = len(world.run(world.events()))
        others = [world, world.twin()]

        async def decide(verb: str, other: World) -> str:
            async def work(connection: AsyncConnection) -> str:
                if verb == "again":
                    await requeue(connection, letter.id, LEASES.settle_delay, now)
                else:
                    await discard(connection, letter.id, now)
                return "requeued" if verb == "again" else "discarded"

            try:
                return await other.database.run(work)
            except CommandRefusedError as error:
                return str(error)

        async def scenario() -> list[str]:
            return await asyncio.gather(
                *(decide(verb, other) for verb, other in zip(verbs, others, strict=True))
            )

        endings = world.run(scenario())
        (done,) = [ending for ending in endings if ending in {"requeued", "discarded"}]
        (refused,) = [ending for ending in endings if ending != done or endings.count(done) > 1]
        assert f"was {done} before" in refused
        assert newest(world).resolution == done
        gave_up = done == "discarded" and kind in {"attempt", "refund"}
        assert len(world.run(world.events())) == told + gave_up

    def unrecognized(self, world: World) -> None:
        shop = Shop(world)
        world.run(shop.webhook(shop.book.enter("nobodys", 5_000), "nobodys"))
        world.run(shop.read())

    def test_one_that_does_not_exist_is_refused_in_words(self, world: World) -> None:
        for decide in (again, put_away):
            with pytest.raises(CommandRefusedError, match="there is no dead letter 7;"):
                decide(world, 7)
