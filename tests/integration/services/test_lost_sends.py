"""Lost sends that are not sent again: asked about until the deadline, and then believed."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

from shared.billing.dunning import TerminalAction
from tests.support.billing import QUIET, START_AT, World
from tests.support.book import Ending
from tests.support.wishes import charged_at, declined_once, ruled

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
DEADLINE = timedelta(hours=24)
_ROUNDS_MAX = 60


def is_lost(world: World, invoice_id: int) -> None:
    """See that of an invoice a send was lost, and that it waits to be sent again."""
    world.pass_time(QUIET)
    world.run(world.inquire_all())
    world.pass_time(HOUR)
    world.run(world.inquire_all())
    attempt = world.run(world.attempt(invoice_id))
    assert (attempt.status, attempt.unknown_since is None) == ("waiting", False)


def key_dies(world: World) -> None:
    world.run(world.rows("UPDATE billing_keys SET status = 'dead'"))


def live_on(world: World) -> list[str]:
    """Have everything done that comes due, until nothing does; return how it ended."""
    endings: list[str] = []
    for _ in range(_ROUNDS_MAX):
        next_at = world.run(world.next_at())
        if next_at is None:
            return endings
        world.clock.instant = next_at
        endings += [*world.run(world.charge_all()), *world.run(world.inquire_all())]
    raise AssertionError(endings)


@contextmanager
def owed(module_url: str, **dunning: Any) -> Iterator[tuple[World, int]]:
    """Yield a world with an invoice whose first send was lost, and whose key has died since."""
    with ruled(module_url, **dunning) as world:
        world.gateway.script.append(Ending.REQUEST_LOST)
        (invoice_id,) = world.run(world.open_invoices())
        assert world.run(world.charge_all()) == ["unknown"]
        is_lost(world, invoice_id)
        key_dies(world)
        yield world, invoice_id


class TestOnADeadKey:
    def test_the_gateway_is_asked_on(self, module_url: str) -> None:
        with owed(module_url) as (world, invoice_id):
            asked = len(world.gateway.asked)
            assert world.run(world.charge_all()) == ["open unsent"]
            attempt = world.run(world.attempt(invoice_id))
            assert attempt.status == "unknown"
            assert attempt.inquire_at > world.clock.now()
            invoice = world.run(world.invoice(invoice_id))
            assert (invoice.status, invoice.next_attempt_at) == ("open", None)
            assert "a send that was lost is looked for" in invoice.message
            world.clock.instant = attempt.inquire_at
            world.run(world.inquire_all())
            assert len(world.gateway.asked) == asked + 1
            assert len(world.gateway.sent) == 1

    def test_its_silence_is_believed_once_it_has_lasted_until_the_deadline(
        self, module_url: str
    ) -> None:
        with owed(module_url) as (world, invoice_id):
            since = world.run(world.attempt(invoice_id)).unknown_since
            assert live_on(world)[-1] == "open unsent"
            # Two of the longest gaps before it: nobody is called about what moved no money.
            assert DEADLINE - 2 * HOUR <= world.clock.now() - since <= DEADLINE
            assert world.run(world.letters()) == []
            attempt = world.run(world.attempt(invoice_id))
            assert (attempt.status, attempt.unknown_since) == ("waiting", None)
            invoice = world.run(world.invoice(invoice_id))
            assert (invoice.status, invoice.next_attempt_at) == ("open", None)
            assert invoice.message == "the billing key is dead: waits for a new payment method"
            # A new method sends it again, under the name that it had.
            world.run(world.rows("UPDATE billing_keys SET status = 'active'"))
            world.run(
                world.rows("UPDATE invoices SET next_attempt_at = :now", now=world.clock.now())
            )
            assert world.run(world.charge_all()) == ["paid"]
            assert len({sent.claim.merchant_uid for sent in world.gateway.sent}) == 1

    @pytest.mark.parametrize("shown_after", [timedelta(0), 10 * HOUR])
    def test_what_the_gateway_has_booked_is_adopted(
        self, module_url: str, shown_after: timedelta
    ) -> None:
        with owed(module_url) as (world, invoice_id):
            (sent,) = world.gateway.sent
            assert world.run(world.charge_all()) == ["open unsent"]
            while world.clock.now() < START_AT + shown_after:
                next_at = world.run(world.next_at())
                assert next_at is not None
                world.clock.instant = next_at
                assert "paid" not in world.run(world.inquire_all())
                world.run(world.charge_all())
            world.gateway.enter(world.gateway.payment_of(sent.claim), sent.claim)
            assert live_on(world) == ["paid"]
            assert world.run(world.invoice(invoice_id)).status == "paid"
            assert len(world.gateway.paid()) == 1
            assert world.run(world.letters()) == []


class TestWhenTheGracePeriodIsOver:
    GRACE = timedelta(days=4)

    @contextmanager
    def owed(self, module_url: str) -> Iterator[tuple[World, int]]:
        """Yield a world whose second send was lost, days before the end of its grace period."""
        cancel = TerminalAction.CANCEL
        with ruled(module_url, grace=self.GRACE, terminal_action=cancel) as world:
            world.gateway.script.extend([Ending.DECLINED, Ending.REQUEST_LOST])
            invoice_id = world.run(declined_once(world))
            assert world.run(charged_at(world, 4 * DAY - HOUR)) == ["unknown"]
            is_lost(world, invoice_id)
            key_dies(world)
            yield world, invoice_id

    def test_it_is_given_up_after_the_silence_and_not_before(self, module_url: str) -> None:
        with self.owed(module_url) as (world, invoice_id):
            assert world.clock.now() > START_AT + self.GRACE
            assert world.run(world.charge_all()) == ["open unsent"]
            assert world.run(world.invoice(invoice_id)).status == "open"
            assert world.run(world.subscription(invoice_id)).status == "past_due"
            assert live_on(world)[-1] == "uncollectible unsent"
            assert world.clock.now() > START_AT + self.GRACE + DEADLINE - 4 * HOUR
            attempts = world.run(world.attempts(invoice_id))
            assert [attempt.status for attempt in attempts] == ["declined", "void"]
            assert world.run(world.subscription(invoice_id)).status == "canceled"
            assert world.run(world.letters()) == []

    def test_what_the_gateway_has_booked_is_adopted(self, module_url: str) -> None:
        with self.owed(module_url) as (world, invoice_id):
            sent = world.gateway.sent[-1]
            world.run(world.charge_all())
            world.gateway.enter(world.gateway.payment_of(sent.claim), sent.claim)
            assert live_on(world) == ["paid"]
            assert world.run(world.invoice(invoice_id)).status == "paid"
            assert world.run(world.events("invoice.uncollectible")) == []
