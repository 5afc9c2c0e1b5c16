"""What moves money, now or later: it leaves once, and how that ends is always said."""

import asyncio
import inspect
import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from shared.billing.inquiry import Expectation
from shared.billing.money import Price
from shared.billing.outcome import FaultScope, Misconfigured, NotSent, Throttled, Unknown
from shared.billing.refund import RefundOutcome
from tests.support.certificates import trusted
from tests.unit.gateway.refunds import claim, order
from tests.unit.gateway.test_failures import EXPORTED, of
from worker.gateway.channel import Reply
from worker.gateway.client import PortOne
from worker.gateway.failures import HTTPX_FAILURES, Sign
from worker.gateway.fence import Departure, Fence
from worker.gateway.requests import ChargeRequest, ScheduleRequest
from worker.gateway.settings import GatewaySettings

TOKEN = json.dumps(
    {"code": 0, "response": {"access_token": "token", "now": 0, "expired_at": 1_800}}
).encode()
FAULT = json.dumps({"code": 1, "message": "?", "response": None}).encode()
FAR = datetime(2099, 1, 1, tzinfo=UTC)
PAST = datetime(2020, 1, 1, tzinfo=UTC)
EXPECTED = Expectation("sub1p1n1", 9_900, "customer-1")
NAMELESS = Expectation("", 9_900, "customer-1")
UNAUTHORIZED = Reply(401, httpx.Headers(), b'{"code": -1, "message": "Unauthorized"}')


class Line:
    """A channel that writes down what is posted and answers as it is told."""

    def __init__(self, answers: Sequence[Reply | Exception] = (), *, boards: bool = True) -> None:
        self.boards = boards
        self.answers = list(answers)
        self.posted: list[tuple[str, dict[str, Any]]] = []
        self.tokens = 0

    async def post(
        self, path: str, body: bytes, *, token: str = "", departure: Departure | None = None
    ) -> Reply:
        return await self.call("POST", path, body, token=token, departure=departure)

    async def call(
        self,
        method: str,
        path: str,
        body: bytes,
        *,
        token: str,
        departure: Departure | None = None,
    ) -> Reply:
        assert method == "POST"
        if path == "/users/getToken":
            self.tokens += 1
            return Reply(200, httpx.Headers(), TOKEN)
        assert token == "token"
        assert departure is not None
        if self.boards:
            departure.boards(lambda: None)
            departure.leaves()
        self.posted.append((path, json.loads(body)))
        answer = self.answers.pop(0) if self.answers else Reply(200, httpx.Headers(), FAULT)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def aclose(self) -> None:
        """Nothing is open."""


def client_on(line: Line) -> PortOne:
    settings = GatewaySettings("http://127.0.0.1:9", SecretStr("key"), SecretStr("secret"))
    client = PortOne(settings, ssl_context=trusted())
    client._channel = client._sends._channel = client._calls._channel = line  # type: ignore[assignment]
    return client


def open_fence() -> Fence:
    return Fence(0.0, 30.0, lambda: 1.0)


def charge(client: PortOne, fence: Fence) -> Awaitable[object]:
    return client.charge(ChargeRequest("sub1p1n1", "customer-1", Price(9_900), "구독"), fence)


def refund(client: PortOne, fence: Fence) -> Awaitable[object]:
    return client.refund(claim(), fence)


def request_for(at: datetime) -> ScheduleRequest:
    return ScheduleRequest(ChargeRequest("sub1p1n1", "customer-1", Price(9_900), "구독"), at)


def schedule(client: PortOne, fence: Fence) -> Awaitable[object]:
    return client.schedule(request_for(FAR), fence)


def reschedule(client: PortOne, fence: Fence) -> Awaitable[object]:
    return client.reschedule(EXPECTED, FAR, fence)


def retry(client: PortOne, fence: Fence) -> Awaitable[object]:
    return client.retry(EXPECTED, fence)


Send = Callable[[PortOne, Fence], Awaitable[object]]
each = pytest.mark.parametrize(
    ("send", "path"),
    [
        (charge, "/subscribe/payments/again"),
        (refund, "/payments/cancel"),
        (schedule, "/subscribe/payments/schedule"),
        (reschedule, "/subscribe/payments/schedule/sub1p1n1/reschedule"),
        (retry, "/subscribe/payments/schedule/sub1p1n1/retry"),
    ],
    ids=["charge", "refund", "schedule", "reschedule", "retry"],
)


def ending_of(send: Send, line: Line, fence: Fence | None = None) -> object:
    async def run() -> object:
        return await send(client_on(line), fence or open_fence())

    return asyncio.run(run())


@each
@pytest.mark.parametrize("name", EXPORTED)
def test_after_a_byte_may_have_left_no_failure_is_certain(send: Send, path: str, name: str) -> None:
    line = Line([of(name)])

    assert isinstance(ending_of(send, line), Unknown)
    assert [posted for posted, _ in line.posted] == [path]


@each
@pytest.mark.parametrize("name", EXPORTED)
def test_before_a_byte_left_a_failure_ends_as_its_name_says(
    send: Send, path: str, name: str
) -> None:
    expected = {
        Sign.BEFORE: NotSent,
        Sign.EITHER: NotSent,
        Sign.AFTER: Unknown,
        Sign.OUR_FAULT: Misconfigured,
    }
    line = Line([of(name)], boards=False)

    assert type(ending_of(send, line)) is expected[HTTPX_FAILURES[name]]
    assert [posted for posted, _ in line.posted] == [path]


@each
@pytest.mark.parametrize("error", [RuntimeError("?"), OSError(5, "?"), ValueError("?")], ids=repr)
def test_a_failure_of_our_own_is_unknown_once_bytes_may_have_left(
    send: Send, path: str, error: Exception
) -> None:
    assert isinstance(ending_of(send, Line([error])), Unknown)
    assert isinstance(ending_of(send, Line([error], boards=False)), NotSent)
    assert path


@each
def test_a_401_is_answered_with_a_new_token_once(send: Send, path: str) -> None:
    line = Line([UNAUTHORIZED, UNAUTHORIZED, UNAUTHORIZED])

    assert ending_of(send, line) == Misconfigured("Unauthorized", FaultScope.GATEWAY)
    assert [posted for posted, _ in line.posted] == [path] * 2
    assert line.posted[0] == line.posted[1]
    assert line.tokens == 2


@each
def test_a_failure_after_a_401_is_judged_by_the_second_departure(send: Send, path: str) -> None:
    line = Line([UNAUTHORIZED, httpx.ReadTimeout("?")])

    assert isinstance(ending_of(send, line), Unknown)
    assert [posted for posted, _ in line.posted] == [path] * 2


@each
def test_the_second_departure_waits_behind_the_same_fence(send: Send, path: str) -> None:
    line = Line([UNAUTHORIZED])
    fence = Fence(0.0, 30.0, lambda: 31.0 if line.posted else 1.0)

    assert isinstance(ending_of(send, line, fence), Unknown)
    assert [posted for posted, _ in line.posted] == [path]


@each
@pytest.mark.parametrize("status", [200, 302, 400, 403, 404, 408, 429, 500, 502, 503, 504])
def test_nothing_but_a_401_is_answered_with_a_second_request(
    send: Send, path: str, status: int
) -> None:
    line = Line([Reply(status, httpx.Headers(), b"")])

    ending_of(send, line)

    assert [posted for posted, _ in line.posted] == [path]


@each
def test_a_closed_fence_lets_nothing_out(send: Send, path: str) -> None:
    line = Line()

    ending = ending_of(send, line, Fence(0.0, 30.0, lambda: 30.0))

    # The record errs to the safe side here: only the transport knows that nothing was written.
    assert isinstance(ending, Unknown)
    assert line.posted == []
    assert path


@each
def test_a_reply_to_what_was_not_seen_to_leave_proves_nothing(send: Send, path: str) -> None:
    ending = ending_of(send, Line(boards=False))

    assert ending == Unknown("a reply came to a request that was not seen to leave")
    assert path


@each
def test_a_gateway_that_gives_no_token_gets_nothing(send: Send, path: str) -> None:
    class Closed(Line):
        async def post(self, path: str, *_args: object, **_kwargs: object) -> Reply:
            self.tokens += 1
            assert path == "/users/getToken"
            return Reply(429, httpx.Headers({"Retry-After": "7"}), b"")

    line = Closed()

    assert ending_of(send, line) == Throttled("HTTP 429", 7.0)
    assert (line.tokens, line.posted) == (1, [])
    assert path


@pytest.mark.parametrize(
    ("send", "words"),
    [
        (lambda client, fence: client.schedule(request_for(PAST), fence), "is over"),
        (lambda client, fence: client.reschedule(EXPECTED, PAST, fence), "is over"),
        (lambda client, fence: client.reschedule(NAMELESS, FAR, fence), "an id must not be empty"),
        (lambda client, fence: client.retry(NAMELESS, fence), "an id must not be empty"),
    ],
    ids=["schedule", "reschedule", "reschedule of nothing", "retry of nothing"],
)
def test_what_cannot_be_meant_is_not_sent(send: Send, words: str) -> None:
    line = Line()
    ending = ending_of(send, line)

    assert isinstance(ending, Misconfigured)
    assert ending.scope is FaultScope.REQUEST
    assert words in ending.message
    assert (line.tokens, line.posted) == (0, [])


PRICES = st.integers(1, 2**40).flatmap(
    lambda amount: st.tuples(st.just(amount), st.integers(0, amount))
)
REASONS = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=256).filter(
    lambda reason: bool(reason.strip())
)
LINE = Line()
CLIENT = client_on(LINE)


@given(
    price=PRICES,
    reason=REASONS,
    requester=st.sampled_from(["customer", "admin"]),
    left=st.integers(-5, 2**41),
    imp_uid=st.text("abcimps_0123456789", max_size=40),
    merchant_uid=st.text("abc-0123456789", max_size=60),
)
def test_every_cancel_that_leaves_says_how_much_of_what_is_left_why_and_on_whose_wish(
    price: tuple[int, int],
    reason: str,
    requester: str,
    left: int,
    imp_uid: str,
    merchant_uid: str,
) -> None:
    LINE.posted.clear()
    asked = claim(
        imp_uid=imp_uid,
        merchant_uid=merchant_uid,
        order=order(*price, reason=reason, requester=requester),
        checksum=left,
    )

    async def run() -> RefundOutcome:
        return await CLIENT.refund(asked, open_fence())

    ending = asyncio.run(run())

    is_fit = price[0] <= left and bool(imp_uid) and 0 < len(merchant_uid) <= 40
    assert len(LINE.posted) == is_fit
    assert is_fit or isinstance(ending, Misconfigured)
    for path, body in LINE.posted:
        assert path == "/payments/cancel"
        assert body == {
            "imp_uid": imp_uid,
            "merchant_uid": merchant_uid,
            "amount": price[0],
            "tax_free": price[1],
            "checksum": left,
            "reason": reason,
            "extra": {"requester": requester},
        }
        assert body["amount"] >= 1


def test_there_is_one_way_to_post_what_moves_money() -> None:
    """Whoever adds a sixth must think of the fence."""
    parts = {inspect.getmodule(part) for part in PortOne.__mro__ if part is not object}
    source = "".join(inspect.getsource(part) for part in parts if part is not None)

    assert source.count("self._sends.send(") == 5
    assert source.count("self._channel.post(") == 1
    assert source.count("self._channel.call(") == 0
