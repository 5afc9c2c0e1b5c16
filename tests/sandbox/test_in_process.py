"""The gateway without HTTP, as a simulation uses it: values in, values out, time handed in."""

import ast
import json
import sys
from pathlib import Path

import pytest

from deploy.sandbox import again, cancel
from deploy.sandbox.annotations import payment_json
from deploy.sandbox.book import Book, DuplicatePolicy, Refusal
from deploy.sandbox.calls import Call
from deploy.sandbox.endings import DOING, CommandEnding, Ending, Script, Step, draw, odds, pick
from deploy.sandbox.records import (
    APPROVED,
    BillingKey,
    Channel,
    Order,
    Payment,
    Prepared,
    Status,
    Usage,
    Verdict,
)
from deploy.sandbox.replies import Wire
from deploy.sandbox.settings import Settings
from deploy.sandbox.state import Sandbox
from deploy.sandbox.tokens import TokenDesk
from deploy.sandbox.webhooks import Outcome

PACKAGE = Path(again.__file__).parent
ORDER = Order("buyer", "m1", 1004, "구독")


@pytest.fixture
def book() -> Book:
    """A book with one billing key."""
    book = Book(first_number=1)
    book.register(BillingKey("buyer", inserted_at=0.0, updated_at=0.0))
    return book


def _charge(book: Book, verdict: Verdict = APPROVED, *, at: float = 100.0) -> Payment | Refusal:
    policy = DuplicatePolicy.REFUSED_IF_PAID
    return book.charge(ORDER, verdict, started_at=at - 1, at=at, policy=policy)


def test_the_book_takes_its_time_from_the_caller(book: Book) -> None:
    payment = _charge(book)

    assert isinstance(payment, Payment)
    assert (payment.started_at, payment.paid_at, payment.failed_at) == (99.0, 100.0, 0.0)
    assert payment.imp_uid == "imps_1"


def test_equal_books_do_equal_things() -> None:
    def run() -> list[Payment | Refusal]:
        book = Book(first_number=1)
        book.register(BillingKey("buyer", inserted_at=0.0, updated_at=0.0))
        verdicts = [Verdict(Status.FAILED, "잔액 부족"), APPROVED, APPROVED]
        return [_charge(book, verdict, at=float(n)) for n, verdict in enumerate(verdicts)]

    assert run() == run()
    assert run()[2] is Refusal.DUPLICATE_ORDER


def test_an_unknown_buyer_is_refused_before_the_merchant_uid_is_looked_at(book: Book) -> None:
    _charge(book)
    book.end_key("buyer")

    assert _charge(book) is Refusal.UNKNOWN_BUYER


def test_a_charge_can_be_walked_through_without_a_loop() -> None:
    sandbox = Sandbox(TokenDesk("k", "s"))
    sandbox.book.register(BillingKey("buyer", inserted_at=0.0, updated_at=0.0))
    sandbox.scripts["buyer"] = Script(then=Step(Ending.LATE_SUCCESS, delay_s=40.0))
    order = {"customer_uid": "buyer", "merchant_uid": "m1", "amount": 1004, "name": "구독"}
    call = Call("/subscribe/payments/again", {}, body=json.dumps(order).encode())

    charge = again.arrive(sandbox, call)
    assert (charge.fate.delay_s, charge.fate.late_s) == (0.0, 40.0)
    assert again.conclude(sandbox, charge).wire is Wire.CLOSE
    assert sandbox.book.payment_count == 0
    again.book(sandbox, charge)
    assert [payment.status for payment in sandbox.book.payments_of("m1")] == [Status.PAID]


def test_a_window_is_booked_under_a_number_of_its_own_kind(book: Book) -> None:
    policy = DuplicatePolicy.REFUSED_IF_PAID
    key = book.register(BillingKey("other", inserted_at=50.0, updated_at=50.0))
    registration = book.enter_window(
        Order("other", "r1", 1004, "구독"),
        APPROVED,
        usage=Usage.ISSUE,
        channel=Channel.MOBILE,
        started_at=40.0,
        at=50.0,
        policy=policy,
        key=key,
    )
    single = book.enter_window(
        Order(None, "w1", 2008, "책"),
        Verdict(Status.FAILED, "사용자 취소"),
        usage=None,
        channel=Channel.PC,
        started_at=60.0,
        at=70.0,
        policy=policy,
    )

    assert isinstance(registration, Payment)
    assert isinstance(single, Payment)
    assert (registration.imp_uid, single.imp_uid) == ("imp_1", "imp_2")
    shown = json.loads(payment_json(registration))
    assert (shown["status"], shown["customer_uid_usage"]) == ("paid", "issue")
    assert (shown["channel"], shown["card_name"]) == ("mobile", "테스트카드")
    shown = json.loads(payment_json(single))
    assert (shown["status"], shown["fail_reason"]) == ("failed", "사용자 취소")
    assert (shown["customer_uid"], shown["customer_uid_usage"]) == (None, None)
    assert (shown["channel"], shown["card_name"], shown["pg_tid"]) == ("pc", None, None)
    repeated = Order("other", "r1", 1004, "구독")
    assert book.is_used_up("r1", policy)
    assert book.charge(repeated, APPROVED, started_at=80.0, at=80.0, policy=policy) is (
        Refusal.DUPLICATE_ORDER
    )


def test_a_registration_moved_no_money_and_gives_none_back(book: Book) -> None:
    registration = book.enter_window(
        ORDER,
        APPROVED,
        usage=Usage.ISSUE,
        channel=Channel.PC,
        started_at=1.0,
        at=2.0,
        policy=DuplicatePolicy.REFUSED_IF_PAID,
        key=book.key("buyer"),
    )
    assert isinstance(registration, Payment)
    sandbox = Sandbox(TokenDesk("k", "s"), make_book=lambda _clock: book)
    body = json.dumps({"imp_uid": registration.imp_uid}).encode()
    cancelling = cancel.arrive(sandbox, Call("/payments/cancel", {}, body=body))
    reply = cancel.conclude(sandbox, cancelling)

    assert json.loads(reply.body)["message"].startswith("sandbox: a registration ")
    assert book.payment(registration.imp_uid) == registration


def test_a_window_is_bound_to_the_amount_prepared_for_it(book: Book) -> None:
    assert book.prepared_amount("w1") is None
    assert book.prepare(Prepared("w1", 1004))
    assert not book.prepare(Prepared("w1", 2008))
    assert book.prepared_amount("w1") == 1004
    assert book.change_prepared(Prepared("w1", 2008))
    assert book.prepared_amount("w1") == 2008
    assert not book.change_prepared(Prepared("w2", 2008))


def test_webhooks_without_a_server_are_kept_for_whoever_looks() -> None:
    sandbox = Sandbox(TokenDesk("k", "s"), Settings(webhook_url="http://127.0.0.1:9/"))
    sandbox.book.register(BillingKey("buyer", inserted_at=0.0, updated_at=0.0))
    order = {"customer_uid": "buyer", "merchant_uid": "m1", "amount": 1004, "name": "구독"}
    again.conclude(sandbox, again.arrive(sandbox, Call("/", {}, body=json.dumps(order).encode())))

    (notice,) = sandbox.webhooks.notices
    assert (notice.body["merchant_uid"], notice.outcome) == ("m1", Outcome.PENDING)


def test_every_ending_of_a_cancel_is_answered() -> None:
    """No ending may be forgotten in the tables that say what it does."""
    for ending in CommandEnding:
        sandbox = Sandbox(TokenDesk("k", "s"))
        sandbox.book.register(BillingKey("buyer", inserted_at=0.0, updated_at=0.0))
        charged = _charge(sandbox.book)
        assert isinstance(charged, Payment)
        sandbox.cancel_scripts[charged.imp_uid] = Script(then=Step(ending))
        body = json.dumps({"imp_uid": charged.imp_uid}).encode()
        reply = cancel.conclude(sandbox, cancel.arrive(sandbox, Call("/", {}, body=body)))
        assert reply.status or reply.wire is not Wire.DELIVER, ending
        cancelled = sandbox.book.payment(charged.imp_uid)
        assert cancelled is not None
        is_done = ending in DOING - {CommandEnding.LATE_SUCCESS}
        assert (cancelled.status is Status.CANCELLED) is is_done, ending


def test_draws_are_even_and_belong_to_their_request() -> None:
    numbers = [draw(1, f"m{n}", 0) for n in range(2_000)]

    assert draw(1, "m5", 0) == numbers[5]
    assert len({number.ending for number in numbers}) == 2_000
    for name in ("ending", "latency", "closing"):
        mean = sum(getattr(number, name) for number in numbers) / 2_000
        assert 0.47 < mean < 0.53
    assert draw(1, "m5", 1) != numbers[5] != draw(2, "m5", 0)


def test_rates_are_laid_out_by_name_not_by_the_order_they_were_given_in() -> None:
    one = odds({Ending.PAID: 0.2, Ending.DECLINED: 0.3})
    other = odds({Ending.DECLINED: 0.3, Ending.PAID: 0.2})

    assert one == other
    assert [pick(one, number) for number in (0.0, 0.29, 0.3, 0.49, 0.5, 0.99)] == [
        Ending.DECLINED,
        Ending.DECLINED,
        Ending.PAID,
        Ending.PAID,
        None,
        None,
    ]


def test_every_ending_is_answered() -> None:
    """No ending may be forgotten in the tables that say what it does."""
    for ending in Ending:
        sandbox = Sandbox(TokenDesk("k", "s"))
        sandbox.book.register(BillingKey("buyer", inserted_at=0.0, updated_at=0.0))
        sandbox.scripts["buyer"] = Script(then=Step(ending))
        order = {"customer_uid": "buyer", "merchant_uid": "m1", "amount": 1004, "name": "구독"}
        charge = again.arrive(sandbox, Call("/", {}, body=json.dumps(order).encode()))
        reply = again.conclude(sandbox, charge)
        assert reply.status or reply.wire is not Wire.DELIVER, ending


def test_it_imports_nothing_of_ours() -> None:
    allowed = {*sys.stdlib_module_names, "deploy", "aiohttp", "pydantic", "uvloop"}
    for path in PACKAGE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, path
                names = [node.module or ""]
            for name in names:
                assert name.partition(".")[0] in allowed, (path, name)
                if name.startswith("deploy"):
                    assert name.startswith("deploy.sandbox"), (path, name)
