"""What follows a decline on real rows: schedules, grace, caps, and both switches."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared.billing.decline import DeclineClass
from shared.billing.dunning import KEY_WINDOW, DunningPolicy, TerminalAction
from shared.billing.outcome import Declined
from shared.billing.rules import CollectionRules
from shared.clock import FixedClock
from shared.db import claims, subscriptions
from tests.integration.services.locking import locked
from tests.support.billing import LEASES, START_AT, World
from tests.support.book import Ending
from tests.support.keys import Shop, owing
from tests.support.wishes import charged_at, declined_once, end, ruled, switch_dunning, try_invoice
from worker.services.charge import _without_switched_on

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
DECLINED = Ending.DECLINED
RESTS = "dunning is switched off for this subscription: waits for the buyer"


def decline(world: World, times: int) -> None:
    world.gateway.script.extend([DECLINED] * times)


def only_id(world: World) -> Any:
    (row,) = world.run(world.rows("SELECT id FROM subscriptions"))
    return row.id


@pytest.mark.parametrize(
    ("fail_reason", "wait"),
    [
        ("한도초과", 2 * DAY),
        ("거래정지카드", 2 * DAY),
        ("(PG사 결제 장애) Internal error", DAY),
        ("처음 보는 말", 2 * DAY),
    ],
)
def test_the_next_attempt_is_that_of_the_declines_class(
    world: World, fail_reason: str, wait: timedelta
) -> None:
    (invoice_id,) = world.run(world.open_invoices())
    (claim,) = world.run(world.claim([invoice_id]))
    world.run(end(world, claim, Declined(fail_reason, "imp_1")))
    invoice = world.run(world.invoice(invoice_id))
    assert invoice.next_attempt_at == world.clock.now() + wait
    assert invoice.past_due_at == world.clock.now()
    assert invoice.message == fail_reason


class TestGrace:
    GRACE = timedelta(days=4)

    @pytest.mark.parametrize(
        ("action", "status"),
        [
            (TerminalAction.CANCEL, "canceled"),
            (TerminalAction.PAUSE, "paused"),
            (TerminalAction.LEAVE_PAST_DUE, "past_due"),
        ],
    )
    def test_it_ends_with_the_terminal_action_and_without_a_charge(
        self, module_url: str, action: TerminalAction, status: str
    ) -> None:
        with ruled(module_url, grace=self.GRACE, terminal_action=action) as world:
            decline(world, 2)
            invoice_id = world.run(declined_once(world))
            # The second step would be due after the end of the grace period.
            assert world.run(charged_at(world, 2 * DAY)) == ["declined"]
            waiting = world.run(world.invoice(invoice_id))
            assert (waiting.status, waiting.next_attempt_at) == ("open", START_AT + self.GRACE)
            assert world.run(charged_at(world, 2 * DAY)) == ["uncollectible unsent"]
            invoice = world.run(world.invoice(invoice_id))
            assert (invoice.status, invoice.next_attempt_at) == ("uncollectible", None)
            assert len(world.run(world.attempts(invoice_id))) == 2
            assert world.run(world.subscription(invoice_id)).status == status
            (told,) = world.run(world.events("invoice.uncollectible"))
            assert told["message"] == "not paid within the grace period"

    def test_the_buyer_can_pay_until_its_end(self, module_url: str) -> None:
        with ruled(module_url, delays=(), grace=self.GRACE) as world:
            decline(world, 1)
            invoice_id = world.run(declined_once(world))
            world.pass_time(3 * DAY)
            world.run(try_invoice(world, invoice_id))
            assert world.run(world.charge_all()) == ["paid"]
            assert world.run(world.subscription(invoice_id)).status == "active"
            world.pass_time(2 * DAY)
            assert world.run(world.charge_all()) == []

    def test_a_dead_method_waits_for_another_one_until_then(self, module_url: str) -> None:
        pause = TerminalAction.PAUSE
        with ruled(module_url, grace=self.GRACE, terminal_action=pause) as world:
            world.gateway.script.append(Ending.METHOD_DEAD)
            (invoice_id,) = world.run(world.open_invoices())
            assert world.run(world.charge_all()) == ["method_dead"]
            assert world.run(world.invoice(invoice_id)).next_attempt_at == START_AT + self.GRACE
            assert world.run(charged_at(world, self.GRACE)) == ["uncollectible unsent"]
            assert world.run(world.subscription(invoice_id)).status == "paused"

    def test_an_invoice_that_met_a_dead_key_has_one_too(self, module_url: str) -> None:
        """It was never tried, so no decline begins its grace period: that it waits does."""
        with ruled(module_url, grace=self.GRACE) as world:
            (invoice_id,) = world.run(world.open_invoices())
            world.run(world.rows("UPDATE billing_keys SET status = 'dead'"))
            assert world.run(world.charge_all()) == ["open unsent"]
            invoice = world.run(world.invoice(invoice_id))
            assert invoice.past_due_at == START_AT
            assert world.run(charged_at(world, self.GRACE)) == ["uncollectible unsent"]

    def test_what_may_have_been_paid_is_never_given_up_by_it(self, module_url: str) -> None:
        """A send was lost after a decline: it is looked for, and sent again, past the end."""
        with ruled(module_url, grace=self.GRACE) as world:
            world.gateway.script.extend([DECLINED, Ending.REQUEST_LOST])
            invoice_id = world.run(declined_once(world))
            assert world.run(charged_at(world, 2 * DAY)) == ["unknown"]
            world.pass_time(self.GRACE)
            world.run(world.inquire_all())
            world.pass_time(HOUR)
            world.run(world.inquire_all())
            assert world.run(world.attempt(invoice_id)).status == "waiting"
            assert world.run(world.charge_all()) == ["paid"]


class TestTheSwitchOfASubscription:
    def test_lets_a_declined_invoice_rest_when_its_step_comes(self, world: World) -> None:
        decline(world, 1)
        invoice_id = world.run(declined_once(world))
        told = world.run(switch_dunning(world, only_id(world), enabled=False))
        assert told == {
            "subscription_id": str(only_id(world)),
            "enabled": False,
            "invoices_due": 0,
        }
        assert world.run(charged_at(world, 2 * DAY)) == ["open unsent"]
        invoice = world.run(world.invoice(invoice_id))
        assert invoice.next_attempt_at is None
        assert invoice.planned_attempt_at == START_AT + 2 * DAY
        assert invoice.message.startswith(RESTS)
        assert world.run(charged_at(world, 60 * DAY)) == []

    def test_on_again_makes_due_what_has_rested(self, world: World) -> None:
        decline(world, 1)
        invoice_id = world.run(declined_once(world))
        world.run(switch_dunning(world, only_id(world), enabled=False))
        world.run(charged_at(world, 2 * DAY))
        world.pass_time(9 * DAY)
        told = world.run(switch_dunning(world, only_id(world), enabled=True))
        assert told["invoices_due"] == 1
        assert world.run(world.charge_all()) == ["paid"]
        assert [attempt.origin for attempt in world.run(world.attempts(invoice_id))] == [
            "schedule",
            "schedule",
        ]
        switches = world.run(world.events("subscription.dunning_switched"))
        assert [(told["enabled"], told["invoices_due"]) for told in switches] == [
            (False, 0),
            (True, 1),
        ]

    def test_switched_as_it_stands_tells_nothing(self, world: World) -> None:
        world.run(world.subscribe())
        world.run(switch_dunning(world, only_id(world), enabled=True))
        assert world.run(world.events("subscription.dunning_switched")) == []

    def test_keeps_no_first_attempt_back(self, world: World) -> None:
        world.run(world.subscribe())
        world.run(switch_dunning(world, only_id(world), enabled=False))
        world.run(world.renew())
        assert world.run(world.charge_all()) == ["paid"]

    def test_keeps_the_buyer_from_nothing_and_rests_again(self, world: World) -> None:
        decline(world, 2)
        invoice_id = world.run(declined_once(world))
        world.run(switch_dunning(world, only_id(world), enabled=False))
        world.run(charged_at(world, 2 * DAY))
        world.run(try_invoice(world, invoice_id))
        assert world.run(world.charge_all()) == ["declined"]
        # Our step is past, so it is looked at after a while, and rests as before.
        assert world.run(charged_at(world, 2 * HOUR)) == ["open unsent"]
        invoice = world.run(world.invoice(invoice_id))
        assert (invoice.next_attempt_at, invoice.declines) == (None, 1)
        assert invoice.planned_attempt_at is not None
        told = world.run(switch_dunning(world, only_id(world), enabled=True))
        assert told["invoices_due"] == 1
        assert world.run(world.charge_all()) == ["paid"]

    def test_ends_with_the_grace_period(self, module_url: str) -> None:
        grace = timedelta(days=20)
        with ruled(module_url, grace=grace, terminal_action=TerminalAction.CANCEL) as world:
            decline(world, 1)
            invoice_id = world.run(declined_once(world))
            world.run(switch_dunning(world, only_id(world), enabled=False))
            assert world.run(charged_at(world, 2 * DAY)) == ["open unsent"]
            assert world.run(world.invoice(invoice_id)).next_attempt_at == START_AT + grace
            assert world.run(charged_at(world, 18 * DAY)) == ["uncollectible unsent"]
            assert world.run(world.subscription(invoice_id)).status == "canceled"

    def test_is_looked_at_once_more_by_whoever_lets_an_invoice_rest(self, world: World) -> None:
        """The look at the switch is older than the lock: turned in between, none would wake it."""
        decline(world, 1)
        invoice_id = world.run(declined_once(world))
        world.pass_time(2 * DAY)

        async def work(connection: Any) -> list[Any]:
            due = await claims.lock_due(connection, [invoice_id], world.clock.now())
            seen = [replace(item, dunning_enabled=False) for item in due.workable]
            assert [item.is_dunning for item in seen] == [True]
            return list(await _without_switched_on(connection, seen))

        assert world.run(world.database.run(work)) == []
        assert world.run(world.charge_all()) == ["paid"]

    def test_is_looked_at_with_every_key_held_that_is_counted_by(self, world: World) -> None:
        """Keys are locked before subscriptions, as by whoever buries a key, or changes one."""
        decline(world, 2)
        resting, other = world.run(world.open_invoices(2))
        assert world.run(world.charge([resting, other])) == ["declined"] * 2
        subscription_id = world.run(world.invoice(resting)).subscription_id
        world.run(switch_dunning(world, subscription_id, enabled=False))
        world.pass_time(2 * DAY)
        with locked(world) as tables:
            assert world.run(world.charge([resting, other])) == ["open unsent", "paid"]
        of_both = [table for table in tables if table in {"billing_keys", "subscriptions"}]
        assert of_both[:3] == ["billing_keys", "subscriptions", "billing_keys"], tables

    def test_a_new_method_is_charged_although_it_is_off(self, world: World) -> None:
        shop = Shop(world)

        async def live() -> list[str]:
            asked = await shop.ask()
            await shop.confirm(asked, shop.book.register(asked))
            await shop.read()
            await owing(world)
            decline(world, 1)
            await world.charge_all()
            (row,) = await world.rows("SELECT id FROM subscriptions")
            await switch_dunning(world, row.id, enabled=False)
            assert await charged_at(world, 2 * DAY) == ["open unsent"]
            world.pass_time(DAY)
            asked = await shop.change()
            await shop.confirm(asked, shop.book.register(asked))
            await shop.read()
            return await world.charge_all()

        assert world.run(live()) == ["paid"]


class TestTheSwitchOfTheSettings:
    def test_lets_everything_rest_and_looks_again_every_hour(self, module_url: str) -> None:
        """A setting tells no row that it was changed: what it stops must be looked at again."""
        with ruled(module_url) as world:
            decline(world, 1)
            invoice_id = world.run(declined_once(world))
            world.rules = CollectionRules(LEASES, DunningPolicy(enabled=False))
            assert world.run(charged_at(world, 2 * DAY)) == ["open unsent"]
            invoice = world.run(world.invoice(invoice_id))
            assert invoice.next_attempt_at == world.clock.now() + HOUR
            assert "switched off by the settings" in invoice.message
            assert world.run(charged_at(world, HOUR)) == ["open unsent"]
            world.rules = CollectionRules(LEASES)
            assert world.run(charged_at(world, HOUR)) == ["paid"]

    def test_keeps_no_first_attempt_and_no_buyer_back(self, module_url: str) -> None:
        with ruled(module_url, enabled=False) as world:
            decline(world, 1)
            invoice_id = world.run(declined_once(world))
            world.run(try_invoice(world, invoice_id))
            assert world.run(world.charge_all()) == ["paid"]


class TestHowOftenAMethodIsTried:
    def test_further_attempts_wait_until_the_oldest_is_thirty_days_old(
        self, module_url: str
    ) -> None:
        with ruled(module_url, delays=(DAY,) * 5, key_attempts_max=3) as world:
            decline(world, 4)
            invoice_id = world.run(declined_once(world))
            assert world.run(charged_at(world, DAY)) == ["declined"]
            assert world.run(charged_at(world, DAY)) == ["declined"]
            assert world.run(charged_at(world, DAY)) == []
            assert world.run(world.invoice(invoice_id)).next_attempt_at == START_AT + KEY_WINDOW
            assert world.run(charged_at(world, 27 * DAY)) == ["declined"]
            assert len(world.run(world.attempts(invoice_id))) == 4

    def test_is_counted_over_all_that_is_owed_with_it(self, module_url: str) -> None:
        """Two invoices of one method, due in one batch: the second one sees the first."""
        with ruled(module_url, delays=(DAY,) * 5, key_attempts_max=3) as world:
            decline(world, 3)
            (first,) = world.run(world.open_invoices())
            (other,) = world.run(world.open_invoices())
            statement = (
                "UPDATE subscriptions SET billing_key_id = (SELECT min(id) FROM billing_keys)"
            )
            world.run(world.rows(statement))
            assert world.run(world.charge([first, other])) == ["declined"] * 2
            world.pass_time(DAY)
            assert world.run(world.charge([first, other])) == ["declined"]
            assert world.run(world.invoice(first)).declines == 2
            waiting = world.run(world.invoice(other))
            assert waiting.next_attempt_at == START_AT + KEY_WINDOW

    def test_counts_the_first_attempts_of_what_is_past_due(self, module_url: str) -> None:
        """Every further period would bring one more try of a method that is in trouble."""
        with ruled(module_url, delays=(DAY,) * 5, key_attempts_max=2) as world:
            decline(world, 2)
            world.run(declined_once(world))
            assert world.run(charged_at(world, DAY)) == ["declined"]
            world.pass_time(28 * DAY)
            world.run(world.renew())
            assert world.run(world.charge_all()) == []
            (first, further) = world.run(world.rows("SELECT * FROM invoices ORDER BY period_index"))
            assert (further.attempts, further.next_attempt_at) == (0, START_AT + KEY_WINDOW)
            assert first.next_attempt_at == START_AT + KEY_WINDOW
            # One of the two is old by then, and the other one a day later.
            assert world.run(charged_at(world, DAY)) == ["paid"]
            assert world.run(charged_at(world, DAY)) == ["paid"]
            assert world.run(world.subscription(first.id)).status == "active"

    def test_counts_no_first_attempt_of_what_is_not_past_due(self, module_url: str) -> None:
        """Another subscription of the same method has not been refused anything."""
        with ruled(module_url, delays=(DAY,) * 5, key_attempts_max=1) as world:
            decline(world, 1)
            world.run(declined_once(world))
            (other,) = world.run(world.open_invoices())
            world.run(
                world.rows(
                    "UPDATE subscriptions SET billing_key_id = (SELECT min(id) FROM billing_keys)"
                )
            )
            assert world.run(world.charge([other])) == ["paid"]

    def test_a_new_method_begins_anew(self, module_url: str) -> None:
        with ruled(module_url, delays=(DAY,) * 5, key_attempts_max=1) as world:
            decline(world, 1)
            invoice_id = world.run(declined_once(world))
            assert world.run(charged_at(world, DAY)) == []
            world.run(world.rows("UPDATE billing_keys SET generation = generation + 1"))
            world.run(
                world.rows("UPDATE invoices SET next_attempt_at = :now", now=world.clock.now())
            )
            assert world.run(world.charge([invoice_id])) == ["paid"]

    def test_waits_no_longer_than_the_grace_period(self, module_url: str) -> None:
        grace = timedelta(days=10)
        with ruled(module_url, delays=(DAY,) * 5, key_attempts_max=1, grace=grace) as world:
            decline(world, 1)
            invoice_id = world.run(declined_once(world))
            assert world.run(charged_at(world, DAY)) == []
            assert world.run(world.invoice(invoice_id)).next_attempt_at == START_AT + grace
            assert world.run(charged_at(world, 9 * DAY)) == ["uncollectible unsent"]


def test_a_decline_moves_no_subscription_that_is_paused(world: World) -> None:
    """What was owed before goes on being collected; that it is past due is told on resumption."""
    assert isinstance(world.clock, FixedClock)
    (invoice_id,) = world.run(world.open_invoices())
    world.run(
        world.rows(
            "UPDATE subscriptions SET status = 'paused', pause_at = :now, pause_keeps = 'calendar'",
            now=world.clock.now(),
        )
    )
    decline(world, 1)
    assert world.run(world.charge_all()) == ["declined"]
    assert world.run(world.subscription(invoice_id)).status == "paused"
    assert world.run(world.events("subscription.past_due")) == []
    assert world.run(charged_at(world, 2 * DAY)) == ["paid"]


def test_a_decline_of_the_buyers_own_try_keeps_a_subscription_from_being_active(
    world: World,
) -> None:
    """Its count of declines is untouched, and it is owed all the same."""
    first, second = world.run(world.open_invoices(2))
    statement = "UPDATE invoices SET subscription_id = :s, period_index = 1 WHERE id = :id"
    subscription_id = world.run(world.invoice(first)).subscription_id
    world.run(world.rows(statement, s=subscription_id, id=second))
    world.run(try_invoice(world, second))
    decline(world, 1)
    assert world.run(world.charge([second])) == ["declined"]
    assert world.run(world.invoice(second)).declines == 0
    assert world.run(world.charge([first])) == ["paid"]
    assert world.run(world.subscription(first)).status == "past_due"


def test_what_was_never_tried_and_is_past_due_keeps_a_subscription_from_being_active(
    world: World,
) -> None:
    """It met a dead key, so no attempt of it was declined; that it is owed says its own row."""
    first, second = world.run(world.open_invoices(2))
    statement = "UPDATE invoices SET subscription_id = :s, period_index = 1 WHERE id = :id"
    subscription_id = world.run(world.invoice(first)).subscription_id
    world.run(world.rows(statement, s=subscription_id, id=second))
    decline(world, 1)
    assert world.run(world.charge([first])) == ["declined"]
    world.run(world.rows("UPDATE billing_keys SET status = 'dead'"))
    assert world.run(world.charge([second])) == ["open unsent"]
    assert world.run(world.attempts(second)) == []
    world.run(world.rows("UPDATE billing_keys SET status = 'active'"))
    world.run(world.rows("UPDATE invoices SET next_attempt_at = :now", now=world.clock.now()))
    assert world.run(world.charge([first])) == ["paid"]
    assert world.run(world.subscription(first)).status == "past_due"
    assert world.run(world.events("subscription.recovered")) == []
    assert world.run(world.charge([second])) == ["paid"]
    assert world.run(world.subscription(first)).status == "active"
    assert len(world.run(world.events("subscription.recovered"))) == 1


def test_a_class_of_its_own_schedule_ends_earlier(module_url: str) -> None:
    schedules = {DeclineClass.INSUFFICIENT_BALANCE: (DAY,)}
    with ruled(module_url, class_delays=schedules) as world:
        decline(world, 2)
        invoice_id = world.run(declined_once(world))
        assert world.run(charged_at(world, DAY)) == ["declined"]
        assert world.run(world.invoice(invoice_id)).status == "uncollectible"


def test_the_statement_that_reads_the_switch_names_who_it_is_on_for(world: World) -> None:
    on, off = world.run(world.subscribe(2))
    world.run(switch_dunning(world, off, enabled=False))
    found = world.run(world.database.run(lambda c: subscriptions.with_dunning(c, {on, off})))
    assert found == {on}
