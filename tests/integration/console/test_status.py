"""`dalmada status`."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Concatenate, ParamSpec

import pytest
from redis import Redis
from sqlalchemy.ext.asyncio import AsyncConnection

from deploy.launcher.ports import free_port
from shared.billing.calendar import BillingCycle, Interval, IntervalUnit
from shared.billing.outcome import Unknown
from shared.clock import WallClock
from shared.db import dead_letters, holds, installation
from tests.integration.console.commands import Commands, Printed
from tests.integration.console.proxies import silent_server
from tests.support.billing import QUIET, World
from tests.support.keys import Shop
from tests.support.refunds import RefundDesk
from tests.support.reservations import Reserving

P = ParamSpec("P")

QUEUES = {
    "billing.charge": 0,
    "billing.inquiry": 0,
    "billing.refund": 0,
    "billing.command": 0,
    "billing.webhook": 0,
    "billing.event": 0,
    "billing.scan": 0,
}
ENDPOINT = """
    INSERT INTO endpoints (url, secrets)
    VALUES ('https://merchant.example/hook', ARRAY['whsec_c2VjcmV0'])
"""
DELIVERY = """
    INSERT INTO deliveries (endpoint_id, event_id, subscription_id, status, next_try_at)
    SELECT e.id, v.id, v.subscription_id, CAST(:status AS text),
        CASE WHEN :status = 'waiting' THEN now() - interval '11 minutes' END
    FROM endpoints e, events v LIMIT 1
"""
NOTHING = {"count": 0, "oldest_at": None, "oldest_age_s": None}
LATE = timedelta(minutes=11)
IN_TIME = timedelta(minutes=9)


@pytest.fixture(autouse=True)
def _empty_broker(redis: Redis) -> None:
    """Every test here counts messages."""


def codes(done: Printed) -> list[str]:
    return [reason["code"] for reason in done.json["reasons"]]


def transact(
    world: World,
    work: Callable[Concatenate[AsyncConnection, P], Awaitable[None]],
    *args: P.args,
    **kwargs: P.kwargs,
) -> None:
    world.run(world.database.run(lambda connection: work(connection, *args, **kwargs)))


def relayed(world: World) -> None:
    world.run(world.rows("UPDATE events SET relayed_at = now()"))


def delivery(world: World, status: str) -> None:
    """Write an event, an endpoint and what is between them; what waits has waited too long."""
    world.run(world.subscribe())
    relayed(world)
    world.run(world.rows(ENDPOINT))
    world.run(world.rows(DELIVERY, status=status))


class TestWhenBillingGoesOn:
    def test_gives_programs_one_document_and_ends_with_0(self, dalmada: Commands) -> None:
        done = dalmada.process("status", "--json")
        assert (done.status, done.err) == (0, "")
        document = done.json
        assert document.pop("at").endswith("+00:00")
        assert document == {
            "healthy": True,
            "reasons": [],
            "database": {"reachable": True, "error": None},
            "redis": {"reachable": True, "error": None},
            "queues": QUEUES,
            "subscriptions": {
                "trialing": 0,
                "active": 0,
                "past_due": 0,
                "paused": 0,
                "canceled": 0,
            },
            "invoices": {"open": 0, "paid": 0, "uncollectible": 0, "void": 0},
            "attempts_unresolved": {"claimed": 0, "waiting": 0, "unknown": 0, "parked": 0},
            "refunds_unresolved": {"waiting": 0, "claimed": 0, "unknown": 0, "parked": 0},
            "renewals_due": NOTHING,
            "invoices_due": NOTHING,
            "inquiries_due": NOTHING,
            "refunds_due": NOTHING,
            "refund_inquiries_due": NOTHING,
            "hints_due": NOTHING,
            "windows_due": NOTHING,
            "removals_due": NOTHING,
            "endings_due": NOTHING,
            "reservations_due": NOTHING,
            "pauses_due": NOTHING,
            "changes_due": NOTHING,
            "notices_due": NOTHING,
            "events_unrelayed": NOTHING,
            "deliveries_due": NOTHING,
            "deliveries_given_up": 0,
            "endpoints_disabled": 0,
            "discrepancies_open": 0,
            "reconciliation_fault": None,
            "dead_letters": {"count": 0, "newest": []},
            "gateway_hold": None,
            "restored": None,
        }

    def test_tells_people_so_and_colours_no_pipe(self, dalmada: Commands) -> None:
        done = dalmada.process("status", FORCE_COLOR="1")
        assert (done.status, done.err) == (0, "")
        assert done.out.startswith("Billing goes on by itself.\n")
        fields = done.fields()
        assert fields["database"] == "reachable"
        assert fields["redis"] == "reachable"
        assert fields["attempts unresolved"] == "claimed 0 · waiting 0 · unknown 0 · parked 0"
        assert fields["gateway hold"] == "none"
        assert "\x1b" not in done.out

    def test_counts_what_is_under_way_without_alarm(
        self, dalmada: Commands, world: World, redis: Redis
    ) -> None:
        world.clock.instant -= IN_TIME
        paid, unknown, _ = world.run(world.open_invoices(3))
        world.run(world.charge([paid]))
        world.gateway.script.append(Unknown("ReadTimeout"))
        world.run(world.charge([unknown]))
        redis.rpush("billing.charge", "a", "b")
        redis.rpush("billing.scan", "c")
        done = dalmada("status", "--json")
        document = done.json
        assert (done.status, codes(done)) == (0, [])
        assert document["subscriptions"]["active"] == 3
        assert document["invoices"] == {"open": 2, "paid": 1, "uncollectible": 0, "void": 0}
        assert document["attempts_unresolved"]["unknown"] == 1
        assert document["invoices_due"]["count"] == 1
        age_s = document["invoices_due"]["oldest_age_s"]
        assert IN_TIME.total_seconds() <= age_s < LATE.total_seconds()
        assert document["events_unrelayed"]["count"] > 0
        assert document["queues"] == {**QUEUES, "billing.charge": 2, "billing.scan": 1}


class TestWhenAPersonIsNeeded:
    def test_a_parked_attempt_and_its_dead_letter_are_shown(
        self, dalmada: Commands, world: World
    ) -> None:
        world.clock.instant -= timedelta(days=1)
        (invoice_id,) = world.run(world.open_invoices())
        world.gateway.script.append(Unknown("ReadTimeout"))
        world.run(world.charge([invoice_id]))
        world.pass_time(QUIET)
        attempt = world.run(world.attempt(invoice_id))
        cause = "다른 금액: the gateway holds [1,000] KRW"
        transact(
            world,
            dead_letters.bury_attempt,
            dead_letters.AttemptLetter(attempt.id, cause, {}),
        )
        world.run(world.rows("UPDATE payment_attempts SET status = 'parked', inquire_at = NULL"))
        relayed(world)
        done = dalmada("status", "--json")
        assert done.status == 1
        assert codes(done) == ["attempts_parked", "dead_letters"]
        assert done.json["healthy"] is False
        assert done.json["attempts_unresolved"]["parked"] == 1
        assert done.json["dead_letters"]["count"] == 1
        (letter,) = done.json["dead_letters"]["newest"]
        assert (letter["kind"], letter["attempt_id"]) == ("attempt", attempt.id)
        assert letter["cause"] == cause
        people = dalmada("status")
        assert people.status == 1
        assert people.out.startswith("This needs a person:\n  attempts_parked: ")
        assert cause in people.out

    def test_only_the_newest_dead_letters_are_shown_but_all_are_counted(
        self, dalmada: Commands, world: World
    ) -> None:
        for number in range(7):
            transact(
                world,
                dead_letters.bury_message,
                "invoice.charge",
                f"cause {number}",
                {},
            )
        done = dalmada("status", "--json")
        assert done.status == 1
        assert done.json["dead_letters"]["count"] == 7
        causes = [letter["cause"] for letter in done.json["dead_letters"]["newest"]]
        assert causes == ["cause 6", "cause 5", "cause 4", "cause 3", "cause 2"]

    def test_a_hold_on_the_gateway_is_told_with_its_cause(
        self, dalmada: Commands, world: World
    ) -> None:
        now = WallClock().now()
        until = now + timedelta(minutes=5)
        transact(world, holds.hold, "API 호출 권한이 없습니다", until, now)
        done = dalmada("status", "--json")
        assert (done.status, codes(done)) == (1, ["gateway_hold"])
        assert done.json["gateway_hold"] == {
            "cause": "API 호출 권한이 없습니다",
            "held_until": until.isoformat(),
            "raised_at": now.isoformat(),
        }
        assert "API 호출 권한이 없습니다" in dalmada("status").fields()["gateway hold"]

    def test_a_restored_database_is_told_with_what_shows_it_and_what_to_do(
        self, dalmada: Commands, world: World
    ) -> None:
        now = world.clock.now()
        cause = "its mark is 3, 7 was seen"
        world.run(world.database.run(lambda c: installation.hold(c, cause, now)))
        done = dalmada("status", "--json")
        assert (done.status, codes(done)) == (1, ["database_restored"])
        restored = {"cause": cause, "restored_at": now.isoformat()}
        assert done.json["restored"] == restored
        assert "`dalmada recover`" in done.json["reasons"][0]["text"]
        told = dalmada("status").fields()["set back"]
        assert told == f"restored from a backup: {cause}"

    def test_a_hold_that_is_over_alarms_nobody(self, dalmada: Commands, world: World) -> None:
        now = WallClock().now()
        transact(world, holds.hold, "over", now, now)
        done = dalmada("status", "--json")
        assert (done.status, done.json["gateway_hold"]) == (0, None)

    def test_a_due_invoice_that_nobody_collects(self, dalmada: Commands, world: World) -> None:
        world.clock.instant -= LATE
        world.run(world.open_invoices(2))
        relayed(world)
        done = dalmada("status", "--json")
        assert (done.status, codes(done)) == (1, ["invoices_late"])
        assert done.json["reasons"][0]["text"] == (
            "the oldest of 2 invoices waits for 11 min: nobody collects them."
        )
        assert dalmada("status").fields()["invoices due"] == "2, the oldest for 11 min"

    def test_a_renewal_that_the_scheduler_does_not_open(
        self, dalmada: Commands, world: World
    ) -> None:
        world.clock.instant -= LATE
        world.run(world.subscribe())
        relayed(world)
        done = dalmada("status", "--json")
        assert (done.status, codes(done)) == (1, ["renewals_late"])
        assert done.json["renewals_due"]["count"] == 1

    def test_an_attempt_about_which_nobody_asks(self, dalmada: Commands, world: World) -> None:
        world.clock.instant -= LATE + QUIET
        invoice_ids = world.run(world.open_invoices())
        world.run(world.claim(invoice_ids))
        relayed(world)
        done = dalmada("status", "--json")
        assert (done.status, codes(done)) == (1, ["inquiries_late"])
        assert done.json["attempts_unresolved"]["claimed"] == 1

    def test_an_event_that_nobody_relays(self, dalmada: Commands, world: World) -> None:
        world.run(world.subscribe())
        world.run(world.rows("UPDATE events SET created_at = now() - interval '11 minutes'"))
        done = dalmada("status", "--json")
        assert (done.status, codes(done)) == (1, ["events_late"])

    def test_a_difference_between_the_books_and_a_day_that_was_not_compared(
        self, dalmada: Commands, world: World
    ) -> None:
        world.run(
            world.rows(
                """
                WITH run AS (
                    INSERT INTO reconciliation_runs (
                        cause, since, until, lease_until, status, fault, finished_at
                    ) VALUES ('daily', now() - interval '1 day', now(), now(), 'failed',
                        'GatewayUnavailable: nobody there', now())
                    RETURNING id
                )
                INSERT INTO discrepancies (
                    imp_uid, difference, status, repair, owner, amount, theirs, found_by, seen_by,
                    seen_at
                ) SELECT 'imp_1', 'foreign', 'open', 'mark', 'merchant', 1, '{}', id, id, now()
                FROM run
                """
            )
        )
        done = dalmada("status", "--json")
        assert (done.status, codes(done)) == (1, ["discrepancies", "reconciliation_failed"])
        assert done.json["discrepancies_open"] == 1
        assert done.json["reconciliation_fault"] == "GatewayUnavailable: nobody there"

    def test_an_endpoint_that_is_disabled_and_what_was_given_up(
        self, dalmada: Commands, world: World
    ) -> None:
        delivery(world, "given_up")
        world.run(
            world.rows(
                """
                UPDATE endpoints SET status = 'disabled', disabled_at = now(),
                    disabled_reason = 'failed for 5 days', failing_since = now()
                """
            )
        )
        done = dalmada("status", "--json")
        assert (done.status, codes(done)) == (1, ["endpoints_disabled"])
        assert (done.json["endpoints_disabled"], done.json["deliveries_given_up"]) == (1, 1)

    def test_an_endpoint_that_somebody_has_disabled_alarms_nobody(
        self, dalmada: Commands, world: World
    ) -> None:
        delivery(world, "waiting")
        world.run(world.rows("UPDATE endpoints SET failing_since = now()"))
        (endpoint,) = dalmada("endpoint", "list", "--json").json["endpoints"]
        why = ("--reason", "moved", "--yes")
        assert dalmada("endpoint", "disable", str(endpoint["id"]), *why).status == 0
        done = dalmada("status", "--json")
        assert (done.status, codes(done)) == (0, [])
        assert done.json["endpoints_disabled"] == 0

    def test_a_delivery_that_nobody_makes(self, dalmada: Commands, world: World) -> None:
        delivery(world, "waiting")
        done = dalmada("status", "--json")
        assert (done.status, codes(done)) == (1, ["deliveries_late"])
        assert done.json["deliveries_due"]["count"] == 1

    def test_a_letter_that_somebody_has_decided_alarms_nobody(
        self, dalmada: Commands, world: World
    ) -> None:
        for cause in ("decided", "waits"):
            transact(world, dead_letters.bury_message, "invoice.charge", cause, {})
        world.run(
            world.rows(
                """
                UPDATE dead_letters SET resolution = 'discarded', resolved_at = now()
                WHERE cause = 'decided'
                """
            )
        )
        done = dalmada("status", "--json")
        assert (done.status, codes(done)) == (1, ["dead_letters"])
        assert done.json["dead_letters"]["count"] == 1
        assert [letter["cause"] for letter in done.json["dead_letters"]["newest"]] == ["waits"]


class TestWhenRefundsStand:
    @pytest.fixture(autouse=True)
    def _in_the_past(self, world: World) -> None:
        world.clock.instant -= LATE

    def asked(self, desk: RefundDesk) -> int:
        (payment,) = desk.world.run(desk.payments())
        refund_id = desk.world.run(desk.ask(payment, 3_000))
        relayed(desk.world)
        return refund_id

    def test_one_that_nobody_sends(self, dalmada: Commands, desk: RefundDesk) -> None:
        self.asked(desk)
        done = dalmada("status", "--json")
        assert (done.status, codes(done)) == (1, ["refunds_late"])
        assert done.json["reasons"][0]["text"] == (
            "the oldest of 1 refunds waits for 11 min: nobody sends them."
        )
        assert done.json["refunds_unresolved"]["waiting"] == 1
        assert dalmada("status").fields()["refunds due"] == "1, the oldest for 11 min"

    def test_one_about_which_nobody_asks(self, dalmada: Commands, desk: RefundDesk) -> None:
        desk.world.clock.instant -= QUIET
        desk.world.run(desk.claim([self.asked(desk)]))
        done = dalmada("status", "--json")
        assert (done.status, codes(done)) == (1, ["refund_inquiries_late"])
        assert done.json["refund_inquiries_due"]["count"] == 1

    def test_one_that_is_parked_and_those_that_wait_for_it(
        self, dalmada: Commands, desk: RefundDesk
    ) -> None:
        world = desk.world
        (payment,) = world.run(desk.payments())
        world.run(desk.ask(payment, 3_000))
        desk.gateway.cancel_in_the_console(payment.imp_uid, 3_000)
        assert world.run(desk.finish())[-1] == "parked"
        world.run(desk.ask(payment, 100))
        relayed(world)
        done = dalmada("status", "--json")
        # The other one waits for the parked one, and for nobody else.
        assert (done.status, codes(done)) == (1, ["refunds_parked", "dead_letters"])
        assert done.json["refunds_unresolved"] == {
            "waiting": 1,
            "claimed": 0,
            "unknown": 0,
            "parked": 1,
        }


# How a subscription whose first period is paid comes to have waited since ``:at``.
_LIVES = {
    "pauses": """
        UPDATE subscriptions SET status = 'paused', pause_at = CAST(:at AS timestamptz) - interval
            '1 day', resume_at = :at, pause_keeps = 'calendar'
    """,
    # Of the period that it was billed by already.
    "changes": """
        WITH moved AS (UPDATE invoices SET period_start_at = :at RETURNING subscription_id)
        INSERT INTO agreement_changes (
            subscription_id, effective_at, quantity, requester, command_id, created_at
        )
        SELECT subscription_id, :at, 2, 'admin', 'c-1', '2020-01-01' FROM moved
    """,
    "notices": """
        INSERT INTO agreement_changes (
            subscription_id, effective_at, quantity, requester, command_id, notice_at
        )
        SELECT id, next_renewal_at, 2, 'admin', 'c-1', :at FROM subscriptions
    """,
}


class TestWhenSomethingElseWaits:
    @pytest.mark.parametrize(("waits", "late"), [(LATE, True), (IN_TIME, False)])
    @pytest.mark.parametrize(
        "code",
        [
            *("hints", "windows", "removals", "endings", "reservations", "pauses", "changes"),
            "notices",
        ],
    )
    def test_is_told_after_ten_minutes(
        self, dalmada: Commands, world: World, code: str, waits: timedelta, late: bool
    ) -> None:
        shop, at = Shop(world), world.clock.now() - waits
        if code == "hints":
            world.run(shop.webhook("imp_1"))
            statement = "UPDATE hints SET next_read_at = :at"
        elif code == "windows":
            world.run(shop.ask())
            statement = "UPDATE windows SET next_step_at = :at"
        elif code == "removals":
            world.run(shop.ask())
            world.run(shop.delete())
            statement = "UPDATE billing_keys SET delete_asked_at = :at"
        elif code == "reservations":
            self.plan(Reserving.on(world))
            statement = "UPDATE reservations SET look_at = :at"
        elif code in _LIVES:
            world.run(world.subscribe())
            world.run(world.renew())
            world.run(world.charge_all())
            statement = _LIVES[code]
        else:
            world.run(world.subscribe())
            world.run(world.renew())
            world.run(world.charge_all())
            statement = """
                UPDATE subscriptions SET cancel_at = :at, cancel_reason = 'x',
                    cancel_requester = 'admin', cancel_refund = 'none', cancel_late_payment = 'full'
            """
        world.run(world.rows(statement, at=at))
        relayed(world)
        done = dalmada("status", "--json")
        assert (done.status, codes(done)) == ((1, [f"{code}_late"]) if late else (0, []))
        assert done.json[f"{code}_due"]["count"] == 1

    def plan(self, here: Reserving) -> None:
        """Have a period planned that PortOne is to be asked to collect."""
        world = here.world
        cycle = BillingCycle(world.clock.now(), Interval(IntervalUnit.DAY, 2))
        (subscription_id,) = world.run(world.subscribe(cycle=cycle))
        world.run(world.renew())
        world.run(world.charge_all())
        world.run(here.collect(subscription_id))
        assert len(world.run(here.plan())) == 1

    def test_a_renewal_that_nobody_was_told_of(self, dalmada: Commands, world: World) -> None:
        # It was to be told three days before, and could be once the day before it was billed.
        cycle = BillingCycle(world.clock.now(), Interval(IntervalUnit.DAY))
        world.run(world.subscribe(cycle=cycle))
        world.run(world.renew())
        world.run(world.charge_all())
        relayed(world)
        assert dalmada("status", "--json").json["notices_due"]["count"] == 1
        world.run(world.rows("UPDATE invoices SET created_at = now() - interval '11 minutes'"))
        assert codes(dalmada("status", "--json")) == ["notices_late"]
        hurried = dalmada("status", "--json", DALMADA_NOTICE_RENEWAL_DAYS="0")
        assert (hurried.status, hurried.json["notices_due"]) == (0, NOTHING)
        world.run(world.rows("UPDATE subscriptions SET noticed_index = next_period_index"))
        assert dalmada("status", "--json").status == 0


class TestWhenAServerIsOutOfReach:
    def test_redis_is_reported_and_the_rows_are_read(self, dalmada: Commands, world: World) -> None:
        world.run(world.subscribe(2))
        nowhere = f"redis://:planted-password@127.0.0.1:{free_port()}/0"
        done = dalmada.process("status", "--json", DALMADA_REDIS_URL=nowhere)
        assert (done.status, done.err, codes(done)) == (1, "", ["redis_unreachable"])
        assert done.json["redis"]["reachable"] is False
        assert "Redis cannot be reached" in done.json["redis"]["error"]
        assert done.json["queues"] is None
        assert done.json["subscriptions"]["active"] == 2
        assert "planted-password" not in done.out
        people = dalmada("status", DALMADA_REDIS_URL=nowhere)
        assert people.fields()["redis"] == "out of reach"

    def test_redis_that_says_nothing_is_given_up(self, dalmada: Commands) -> None:
        with silent_server() as port:
            done = dalmada("status", "--json", DALMADA_REDIS_URL=f"redis://127.0.0.1:{port}/0")
        assert (done.status, codes(done)) == (1, ["redis_unreachable"])

    def test_redis_that_holds_something_else_is_reported(
        self, dalmada: Commands, redis: Redis
    ) -> None:
        redis.set("billing.charge", "not a list")
        done = dalmada("status", "--json")
        assert (done.status, codes(done)) == (1, ["redis_unreachable"])

    @pytest.mark.usefixtures("impatient")
    def test_the_database_is_reported_and_redis_is_read(
        self, dalmada: Commands, redis: Redis
    ) -> None:
        redis.rpush("billing.event", "a")
        nowhere = f"postgresql://dalmada:planted-password@127.0.0.1:{free_port()}/dalmada"
        done = dalmada.process("status", "--json", DALMADA_DATABASE_URL=nowhere)
        assert (done.status, done.err, codes(done)) == (1, "", ["database_unreachable"])
        document = done.json
        assert document["database"]["reachable"] is False
        assert "cannot be reached" in document["database"]["error"]
        assert document["queues"] == {**QUEUES, "billing.event": 1}
        for key in ("subscriptions", "invoices", "invoices_due", "dead_letters", "gateway_hold"):
            assert document[key] is None
        assert "planted-password" not in done.out
        people = dalmada("status", DALMADA_DATABASE_URL=nowhere)
        assert people.status == 1
        assert people.fields()["database"] == "out of reach"

    @pytest.mark.usefixtures("impatient")
    def test_both_are_reported_at_once(self, dalmada: Commands) -> None:
        done = dalmada(
            *("status", "--json"),
            DALMADA_DATABASE_URL=f"postgresql://127.0.0.1:{free_port()}/dalmada",
            DALMADA_REDIS_URL=f"redis://127.0.0.1:{free_port()}/0",
        )
        assert done.status == 1
        assert codes(done) == ["database_unreachable", "redis_unreachable"]
