"""Removal: reservations first, then the key, with the true reason, and never while it is used."""

import asyncio
from datetime import timedelta

import pytest

from scheduler.scans.removals import DispatchRemovals
from shared.billing.inquiry import StillUnresolved
from tests.support.billing import RESEND_AFTER, World
from tests.support.keys import CUSTOMER, Shop, owing
from worker.services.key_removal import RemoveBillingKeys

NOT_NOW = StillUnresolved("예약된 결제가 있습니다")


@pytest.fixture
def shop(world: World) -> Shop:
    """A shop whose customer has a living key, with a reservation at the gateway."""
    shop = Shop(world)

    async def register() -> None:
        asked = await shop.ask()
        await shop.confirm(asked, shop.book.register(asked))
        assert await shop.read() == ["confirmed"]

    world.run(register())
    shop.book.schedules.add(CUSTOMER)
    shop.book.calls.clear()
    return shop


async def cancel_all(world: World) -> None:
    await world.rows("UPDATE subscriptions SET status = 'canceled', next_renewal_at = NULL")


class TestDone:
    def test_reservations_go_first_then_the_key_with_reason_and_requester(
        self, world: World, shop: Shop
    ) -> None:
        reason = "구매자 요청: 탈퇴 "
        result = world.run(shop.delete(reason=reason, requester="customer"))
        assert result["status"] == "deleting"
        assert world.run(shop.key()).status == "deleting"
        assert world.run(shop.remove()) == ["deleted"]
        assert shop.book.calls == [
            ("revoke_schedules", CUSTOMER),
            ("delete_key", CUSTOMER, reason, "customer"),
        ]
        assert world.run(shop.key()).status == "deleted"
        (told,) = world.run(world.events("billing_key.deleted"))
        assert (told["reason"], told["requester"]) == (reason, "customer")
        assert CUSTOMER not in str(world.run(world.events()))
        assert world.run(shop.remove()) == []

    def test_a_key_that_was_never_registered_goes_too(self, world: World, shop: Shop) -> None:
        world.run(shop.ask(customer_uid="another"))
        world.run(shop.delete(customer_uid="another"))
        assert world.run(shop.remove()) == ["deleted"]

    def test_its_open_windows_are_not_waited_for(self, world: World, shop: Shop) -> None:
        asked = world.run(shop.change())
        world.run(shop.delete())
        assert world.run(shop.window(asked)).status == "expired"
        assert len(world.run(world.events("billing_key.change_expired"))) == 1

    def test_two_at_once_delete_it_once(self, world: World, shop: Shop) -> None:
        world.run(shop.delete())
        twin = world.twin()

        async def scenario() -> list[list[str]]:
            key_id = (await shop.key()).id
            works = [
                RemoveBillingKeys(one.database, shop.book, world.clock, timedelta(days=1))
                for one in [world, twin] * 2
            ]
            return await asyncio.gather(*(work([key_id]) for work in works))

        endings = [ending for some in world.run(scenario()) for ending in some]
        assert endings.count("deleted") == 1
        assert len(world.run(world.events("billing_key.deleted"))) == 1


class TestRefused:
    def test_while_subscriptions_are_billed_with_it(self, world: World, shop: Shop) -> None:
        world.run(owing(world, count=2))
        before = world.run(shop.state())
        result = world.run(shop.delete())
        assert result["error"].startswith("2 subscriptions are billed with the billing key: cancel")
        assert world.run(shop.state()) == before

    @pytest.mark.parametrize("status", ["claimed", "unknown"])
    def test_while_a_charge_is_under_way(self, world: World, shop: Shop, status: str) -> None:
        world.run(world.claim(world.run(owing(world))))
        world.run(world.rows("UPDATE payment_attempts SET status = :s", s=status))
        world.run(cancel_all(world))
        assert "under way" in world.run(shop.delete())["error"]
        assert world.run(shop.key()).status == "active"

    def test_a_key_that_nobody_knows(self, world: World, shop: Shop) -> None:
        result = world.run(shop.delete(customer_uid="stranger"))
        assert "no billing key" in result["error"]
        assert "stranger" not in result["error"]

    def test_a_key_that_is_going_or_gone(self, world: World, shop: Shop) -> None:
        world.run(shop.delete())
        assert "deleting already" in world.run(shop.delete())["error"]
        world.run(shop.remove())
        assert "deleted already" in world.run(shop.delete())["error"]

    @pytest.mark.parametrize("reason", [" ", "a\x07b"])
    def test_a_reason_that_says_nothing(self, world: World, shop: Shop, reason: str) -> None:
        assert "reason" in world.run(shop.delete(reason=reason))["error"]
        assert world.run(shop.key()).status == "active"


class TestNotYet:
    @pytest.mark.parametrize("failing", [0, 1])
    def test_what_the_gateway_does_not_confirm_is_tried_again(
        self, world: World, shop: Shop, failing: int
    ) -> None:
        world.run(shop.delete())
        shop.book.silences.extend([*[None] * failing, NOT_NOW])
        assert world.run(shop.remove()) == ["later"]
        assert world.run(shop.key()).status == "deleting"
        assert world.run(shop.remove()) == []
        world.pass_time(RESEND_AFTER)
        assert world.run(shop.remove()) == ["deleted"]

    def test_the_waits_grow_to_an_hour(self, world: World, shop: Shop) -> None:
        world.run(shop.delete())
        shop.book.silences.extend([NOT_NOW] * 1_000)
        tries = 0
        for _ in range(24 * 60):
            tries += len(world.run(shop.remove()))
            world.pass_time(timedelta(minutes=1))
        assert 25 < tries < 60

    def test_after_a_day_a_person_is_called_once_and_it_is_tried_on(
        self, world: World, shop: Shop
    ) -> None:
        world.run(shop.delete())
        shop.book.silences.extend([NOT_NOW, NOT_NOW, RuntimeError("a fault of ours")])
        assert world.run(shop.remove()) == ["later"]
        assert world.run(world.letters()) == []
        for _ in range(2):
            world.pass_time(timedelta(days=1))
            assert world.run(shop.remove()) == ["later"]
        (letter,) = world.run(world.rows("SELECT * FROM dead_letters"))
        assert NOT_NOW.cause in letter.cause
        assert letter.payload["task"] == "billing_key.remove"
        key = world.run(shop.key())
        assert letter.payload["message"]["kwargs"] == {"billing_key_ids": [key.id]}
        world.pass_time(timedelta(hours=1))
        assert world.run(shop.remove()) == ["deleted"]

    def test_a_message_that_was_lost_is_sent_again(self, world: World, shop: Shop) -> None:
        world.run(shop.delete())
        scan = DispatchRemovals(world.database, world.queue, world.clock, 25, 100, RESEND_AFTER)
        assert world.run(scan()) == 1
        world.queue.take()
        assert world.run(scan()) == 0
        world.pass_time(RESEND_AFTER)
        assert world.run(scan()) == 1


class TestNeverCharged:
    @pytest.mark.parametrize("status", ["pending", "dead", "deleting", "deleted"])
    @pytest.mark.usefixtures("shop")
    def test_only_an_active_key_is_charged(self, world: World, status: str) -> None:
        (invoice_id,) = world.run(owing(world))
        world.run(
            world.rows(
                """
                UPDATE billing_keys SET status = :s, delete_reason = '구매자 요청',
                    delete_requester = 'customer'
                WHERE customer_uid = :uid
                """,
                s=status,
                uid=CUSTOMER,
            )
        )
        assert world.run(world.charge_all()) == ["open unsent"]
        assert world.gateway.sent == []
        message = world.run(world.invoice(invoice_id)).message
        assert message == f"the billing key is {status}: waits for a new payment method"


class TestRegisteredAnew:
    def test_a_deleted_key_is_registered_anew_and_charged(self, world: World, shop: Shop) -> None:
        world.run(shop.delete())
        world.run(shop.remove())
        (invoice_id,) = world.run(owing(world))
        world.run(world.charge_all())
        world.pass_time(timedelta(minutes=1))
        asked = world.run(shop.ask())
        assert world.run(shop.key()).status == "deleted"
        world.run(shop.confirm(asked, shop.book.register(asked)))
        assert world.run(shop.read()) == ["confirmed"]
        key = world.run(shop.key())
        assert (key.status, key.generation, key.delete_reason) == ("active", 2, None)
        assert world.run(world.charge_all()) == ["paid"]
        assert world.run(world.invoice(invoice_id)).status == "paid"

    def test_while_it_is_being_deleted_nothing_is_registered(
        self, world: World, shop: Shop
    ) -> None:
        changing = world.run(shop.change())
        world.run(shop.delete())
        assert "being deleted" in world.run(shop.ask())["error"]
        # The buyer uses the window that was open: the deletion takes that method along.
        world.run(shop.confirm(changing, shop.book.register(changing)))
        assert world.run(shop.read()) == ["rejected"]
        assert world.run(shop.key()).status == "deleting"
        assert world.run(shop.remove()) == ["deleted"]
        assert shop.book.keys == {}

    def test_an_old_registration_does_not_wake_a_deleted_key(
        self, world: World, shop: Shop
    ) -> None:
        asked = world.run(shop.change())
        imp_uid = shop.book.register(asked)
        world.run(shop.delete())
        world.run(shop.remove())
        world.run(shop.confirm(asked, imp_uid))
        assert world.run(shop.read_on())[-1] == "given up"
        assert world.run(shop.key()).status == "deleted"
