"""The token's life, counted on a clock of ours."""

import asyncio

import pytest

from worker.gateway.errors import GatewayError, GatewayUnavailable
from worker.gateway.tokens import Tokens
from worker.gateway.wire import Auth

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Issuer:
    """Hands out tokens, and counts them."""

    def __init__(self, life_s: int = 1800) -> None:
        self.now_s = 1000.0
        self.life_s = life_s
        self.given = 0
        self.fails: GatewayError | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self) -> Auth:
        self.given += 1
        number = self.given
        await self.gate.wait()
        if self.fails is not None:
            raise self.fails
        # Another machine's clock, by which nothing may be counted.
        return Auth(access_token=f"t{number}", now=5, expired_at=5 + self.life_s)

    def clock(self) -> float:
        return self.now_s


def made(life_s: int = 1800) -> tuple[Tokens, Issuer]:
    issuer = Issuer(life_s)
    return Tokens(issuer, issuer.clock), issuer


async def test_a_token_is_kept_until_a_minute_is_left() -> None:
    tokens, issuer = made()
    assert await tokens.current() == "t1"

    issuer.now_s += 1739
    assert await tokens.current() == "t1"

    issuer.now_s += 2
    assert await tokens.current() == "t2"
    assert issuer.given == 2


async def test_a_token_of_a_short_life_is_kept_for_half_of_it() -> None:
    tokens, issuer = made(life_s=10)
    await tokens.current()

    issuer.now_s += 4.9
    assert await tokens.current() == "t1"
    issuer.now_s += 0.2
    assert await tokens.current() == "t2"


async def test_a_life_is_counted_from_before_the_question() -> None:
    tokens, issuer = made(life_s=600)
    issuer.gate.clear()
    waiting = asyncio.create_task(tokens.current())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    issuer.now_s += 541
    issuer.gate.set()

    # Whoever waited takes it; it is too old to be kept.
    assert await waiting == "t1"
    assert await tokens.current() == "t2"


async def test_a_refused_token_is_forgotten_unless_it_is_an_older_one() -> None:
    tokens, issuer = made()
    tokens.refuse("t0")
    first = await tokens.current()
    tokens.refuse(first)
    second = await tokens.current()
    tokens.refuse(first)

    assert (first, second) == ("t1", "t2")
    assert await tokens.current() == "t2"
    assert issuer.given == 2


async def test_one_who_gives_up_does_not_take_the_token_from_the_others() -> None:
    tokens, issuer = made()
    issuer.gate.clear()
    waiting = [asyncio.create_task(tokens.current()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    issuer.gate.set()

    assert await asyncio.gather(*waiting[1:]) == ["t1", "t1"]
    assert issuer.given == 1


async def test_a_failure_is_told_to_all_and_asked_again_by_the_next() -> None:
    tokens, issuer = made()
    issuer.fails = GatewayUnavailable("down")
    told = await asyncio.gather(*(tokens.current() for _ in range(5)), return_exceptions=True)
    issuer.fails = None

    assert all(isinstance(error, GatewayUnavailable) for error in told)
    assert issuer.given == 1
    assert await tokens.current() == "t2"


async def test_a_failure_that_nobody_waits_for_any_more_is_no_noise() -> None:
    tokens, issuer = made()
    issuer.fails = GatewayUnavailable("down")
    issuer.gate.clear()
    waiting = asyncio.create_task(tokens.current())
    await asyncio.sleep(0)
    waiting.cancel()
    issuer.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    issuer.fails = None

    assert await tokens.current() in {"t1", "t2"}


async def test_a_token_that_has_ended_before_it_was_given_is_not_used() -> None:
    tokens, _ = made(life_s=-5)

    with pytest.raises(GatewayUnavailable, match="ended 5 s before"):
        await tokens.current()


async def test_a_closed_store_ends_its_fetch() -> None:
    tokens, issuer = made()
    await tokens.aclose()
    issuer.gate.clear()
    waiting = asyncio.create_task(tokens.current())
    await asyncio.sleep(0)
    await tokens.aclose()

    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_the_repr_of_a_kept_token_does_not_tell_it() -> None:
    tokens, _ = made()
    await tokens.current()

    assert "t1" not in repr(tokens._token)
