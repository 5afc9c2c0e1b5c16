"""`dalmada subscription start` and what follows it, `dalmada price` and `dalmada invoice retry`."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Row

from shared.billing.calendar import BillingCycle, Interval, IntervalUnit
from shared.billing.outcome import Declined
from tests.architecture.messages_page import example, results
from tests.integration.console.commands import KEY, Commands, Printed
from tests.integration.console.deeds import (
    ACTOR,
    assert_untold,
    audited,
    everything_told,
    plant,
)
from tests.integration.console.terminals import at_terminal
from tests.support.billing import World

TEN_DAYS = Interval(IntervalUnit.DAY, 10)
MONTHLY = ("--amount", "9900", "--name", "슬림 요금제", "--every", "month")
OF_MEMBER = ("--product", "slim", "--buyer-ref", "member-7")
EVIDENCE = "심청이와공양미: click 991"
AGREED = ("--consent-shown", "mail 2", "--consent-evidence", EVIDENCE)
DONE = ("--yes", "--json")
ON_WISH = ("--requester", "customer")


def agreed(world: World) -> tuple[str, ...]:
    """Return the consent of a buyer who has just agreed."""
    return (*AGREED, "--consent-at", world.clock.now().isoformat())


@pytest.fixture
def identity(world: World) -> uuid.UUID:
    """A subscription whose period of ten days is paid and on its fourth day."""
    world.clock.instant -= timedelta(days=3)
    cycle = BillingCycle(world.clock.now(), TEN_DAYS)
    (made,) = world.run(world.subscribe(1, 10_000, 1_000, cycle=cycle, product="slim"))
    world.run(world.renew())
    world.run(world.charge_all())
    world.clock.instant += timedelta(days=3)
    return made


def stored(world: World, identity: uuid.UUID) -> Row[Any]:
    return world.run(world.rows("SELECT * FROM subscriptions WHERE id = :id", id=identity))[0]


def give(dalmada: Commands, *arguments: str, **variables: str) -> Printed:
    """Give a command as a program does, and expect that it is done."""
    done = dalmada(*arguments, *DONE, **variables)
    assert (done.status, done.err) == (0, ""), done.err
    return done


def preview(done: Printed) -> dict[str, str]:
    """Return what was shown before it was done, by the names of its lines."""
    lines = (line.strip().partition("  ") for line in done.err.splitlines())
    return {name: value.strip() for name, _, value in lines if value}


def assert_as_published(done: Printed, task: str, world: World) -> None:
    """Fail if a result or an event differs from what the pages of messages show."""
    told = set(done.json) - {"command_id"}
    assert told == results()[task]
    for event in world.run(world.rows("SELECT name, data FROM events")):
        assert event.data.keys() == example("Events", event.name).keys(), event.name


class TestStart:
    def begin(self, dalmada: Commands, *arguments: str) -> Printed:
        return dalmada(
            *("subscription", "start", *MONTHLY, *OF_MEMBER, "--customer-uid", "-", *arguments),
            stdin=KEY,
        )

    def test_a_trial_needs_a_consent_before_it_becomes_one_that_is_paid_for(
        self, dalmada: Commands, world: World
    ) -> None:
        trial = ("--trial-days", "14", "--quantity", "2")
        setup = ("--setup-amount", "5000", "--setup-name", "가입비")
        done = self.begin(dalmada, *trial, *setup, *agreed(world), *DONE)
        assert done.status == 0, done.err
        assert_as_published(done, "subscription.start", world)
        identity = uuid.UUID(done.json["subscription_id"])
        row = stored(world, identity)
        assert (row.status, row.quantity, row.consented_amount) == ("trialing", 2, 0)
        (entry,) = audited(world)
        assert (entry.actor, entry.action) == (ACTOR, "subscription start")

        shown = dalmada("subscription", "show", str(identity))
        assert row.trial_end_at.isoformat() in shown.fields()["free until"]
        assert "no consent is given: trial_conversion 19,800 KRW" in shown.fields()["it costs"]
        consented = give(
            dalmada,
            *("subscription", "consent", str(identity), "--kind", "trial_conversion"),
            *("--amount-before", "0", "--amount-after", "19800", *agreed(world)),
        )
        assert_as_published(consented, "consent.record", world)
        document = dalmada("subscription", "show", str(identity), "--json").json
        assert document["next_renewal"]["amount"] == 24_800
        assert [line["kind"] for line in document["next_renewal"]["lines"]] == [
            "recurring",
            "setup",
        ]
        assert [consent["kind"] for consent in document["consents"]] == [
            "trial_conversion",
            "sign_up",
        ]
        people = dalmada("subscription", "show", str(identity))
        assert people.fields()["it costs"] == "24,800 KRW"
        lines = [line.split("  ")[0] for line in people.out.splitlines()]
        assert lines.index("recurring") < lines.index("setup") < lines.index("total")
        # What proves it is kept, and shown nowhere.
        assert_untold(shown.out, people.out, str(document), everything_told(world))

    def test_what_it_comes_to_is_shown_before_it_is_begun(
        self, dalmada: Commands, world: World
    ) -> None:
        done = self.begin(dalmada, "--quantity", "3", "--yes")
        assert done.status == 0, done.err
        assert preview(done)["quantity"] == "3, 29,700 KRW in all"
        assert "billing key" not in done.out
        assert KEY not in done.out + done.err
        assert done.fields()["status"] == "active"
        assert len(world.run(world.events("subscription.created"))) == 1

    def test_a_second_trial_is_refused_in_the_handlers_words(self, dalmada: Commands) -> None:
        assert self.begin(dalmada, "--trial-days", "7", *DONE).status == 0
        again = self.begin(dalmada, "--trial-days", "7", *DONE)
        assert (again.status, again.out) == (1, "")
        assert "this buyer has had a free trial of slim" in again.err
        once_more = dalmada(
            *("subscription", "start", *MONTHLY, *OF_MEMBER, "--customer-uid", "-"),
            *("--trial-days", "7", *DONE),
            stdin=KEY,
            DALMADA_TRIAL_ONCE="false",
        )
        assert once_more.status == 0, once_more.err

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (("--consent-shown", "mail 2"), "a consent is told whole or not at all"),
            (("--trial-days", "7", "--trial-end", "2090-01-01"), "trial_days or trial_end_at"),
            (("--setup-amount", "100"), "setup_description"),
            (("--buyer-tel", "0" * 17), "--buyer-tel: "),
        ],
    )
    def test_what_contradicts_itself_is_refused_before_the_key_is_read(
        self, dalmada: Commands, arguments: tuple[str, ...], words: str
    ) -> None:
        done = dalmada("subscription", "start", *MONTHLY, *arguments, *DONE)
        assert (done.status, done.out) == (2, "")
        assert words in done.err


class TestPause:
    def test_it_begins_and_ends_by_command(
        self, dalmada: Commands, world: World, identity: uuid.UUID
    ) -> None:
        asked = ("subscription", "pause", str(identity), *ON_WISH, "--reason", "구매자 요청")
        done = dalmada(*asked, "--keeps", "time", "--yes")
        assert done.status == 0, done.err
        assert preview(done)["status"] == "active → paused"
        assert preview(done)["a pause keeps"] == "- → the time"
        row = stored(world, identity)
        assert (row.status, row.pause_keeps, row.next_renewal_at) == ("paused", "time", None)
        shown = dalmada("subscription", "show", str(identity)).fields()
        assert row.pause_at.isoformat() in shown["paused from"]
        assert (shown["next renewal"], shown["it costs"]) == ("-", "nothing")
        on = give(dalmada, "subscription", "resume", str(identity))
        assert_as_published(on, "subscription.resume", world)
        assert stored(world, identity).status == "active"
        assert [entry.action for entry in audited(world)] == [
            "subscription pause",
            "subscription resume",
        ]

    def test_one_that_is_to_come_is_seen_and_taken_back(
        self, dalmada: Commands, world: World, identity: uuid.UUID
    ) -> None:
        renewal_at = stored(world, identity).next_renewal_at
        until = (renewal_at + timedelta(days=15)).isoformat()
        done = give(
            dalmada,
            *("subscription", "pause", str(identity), *ON_WISH, "--reason", "구매자 요청"),
            *("--when", "period_end", "--resume-at", until),
        )
        assert_as_published(done, "subscription.pause", world)
        document = dalmada("subscription", "show", str(identity), "--json").json
        assert (document["status"], document["pause_at"]) == ("active", renewal_at.isoformat())
        assert document["next_renewal"]["skipped"] == "paused"
        back = give(dalmada, "subscription", "resume", str(identity))
        # It answers as it was asked for.
        assert_as_published(back, "subscription.pause", world)
        assert stored(world, identity).pause_at is None


class TestChange:
    def test_one_to_come_is_listed_with_what_it_will_cost_and_can_be_taken_back(
        self, dalmada: Commands, world: World, identity: uuid.UUID
    ) -> None:
        terms = ("--amount", "12000", "--tax-free", "1000")
        asked = ("subscription", "change", str(identity), *ON_WISH, *terms)
        refused = dalmada(*asked, *DONE)
        assert refused.status == 1
        assert "the buyer has not agreed to 12,000 won" in refused.err
        done = dalmada(*asked, *agreed(world), "--yes")
        assert done.status == 0, done.err
        # The renewal itself says so: that is not what the command tells, but what follows from it.
        costs = "10,000 KRW (1,000 KRW tax-free) → 12,000 KRW (1,000 KRW tax-free)"
        assert preview(done)["it costs"] == costs
        document = dalmada("subscription", "show", str(identity), "--json").json
        (change,) = document["changes"]
        assert (change["status"], change["amount"]) == ("pending", 12_000)
        assert document["next_renewal"]["amount"] == 12_000
        assert (
            "12,000 KRW (1,000 KRW tax-free) each"
            in dalmada("subscription", "show", str(identity)).out
        )
        back = give(dalmada, "subscription", "withdraw-change", str(identity), str(change["id"]))
        assert_as_published(back, "subscription.withdraw_change", world)
        document = dalmada("subscription", "show", str(identity), "--json").json
        assert document["changes"][0]["status"] == "withdrawn"
        assert document["next_renewal"]["amount"] == 10_000

    def test_one_now_is_charged_and_credited_by_the_day(
        self, dalmada: Commands, world: World, identity: uuid.UUID
    ) -> None:
        done = give(
            dalmada,
            *("subscription", "change", str(identity), *ON_WISH, "--now"),
            *("--amount", "20000", "--tax-free", "2000", *agreed(world)),
        )
        assert_as_published(done, "subscription.change", world)
        document = dalmada("subscription", "show", str(identity), "--json").json
        assert (document["amount"], document["consented_amount"]) == (20_000, 20_000)
        credit, charge = sorted(document["adjustments"], key=lambda each: each["amount"])
        assert (credit["kind"], credit["amount_left"]) == ("proration_credit", 6_000)
        assert (charge["kind"], charge["amount_left"]) == ("proration_charge", 12_000)
        assert document["next_renewal"]["amount"] == 26_000
        assert sum(line["amount"] for line in document["next_renewal"]["lines"]) == 26_000

    def test_of_nothing_is_refused(self, dalmada: Commands, identity: uuid.UUID) -> None:
        done = dalmada("subscription", "change", str(identity), *ON_WISH, *DONE)
        assert (done.status, done.out) == (1, "")


class TestGiving:
    def test_a_discount_is_shown_line_by_line(
        self, dalmada: Commands, world: World, identity: uuid.UUID
    ) -> None:
        done = give(
            dalmada,
            *("subscription", "adjust", str(identity), "--for", "장애 보상"),
            *("--percent", "30", "--periods", "2", "--reason", "outage of the 3rd"),
        )
        assert_as_published(done, "subscription.adjust", world)
        (entry,) = audited(world)
        assert (entry.action, entry.reason) == ("subscription adjust", "outage of the 3rd")
        shown = dalmada("subscription", "show", str(identity))
        assert shown.fields()["it costs"] == "7,000 KRW (700 KRW tax-free)"
        (line,) = [line for line in shown.out.splitlines() if line.startswith("discount ")]
        assert "장애 보상" in line
        assert "-3,000 KRW" in line

    @pytest.mark.parametrize(
        "arguments", [(), ("--credit", "1", "--percent", "5"), ("--discount", "5")]
    )
    def test_it_must_be_one_thing(
        self, dalmada: Commands, identity: uuid.UUID, arguments: tuple[str, ...]
    ) -> None:
        done = dalmada("subscription", "adjust", str(identity), "--for", "보상", *arguments, *DONE)
        assert (done.status, done.out) == (2, "")


def test_dunning_is_switched_off_and_the_card_says_so(
    dalmada: Commands, world: World, identity: uuid.UUID
) -> None:
    done = give(dalmada, "subscription", "dunning", str(identity), "--off")
    assert_as_published(done, "subscription.dunning", world)
    assert stored(world, identity).dunning_enabled is False
    assert dalmada("subscription", "show", str(identity)).fields()["dunning"].startswith("off")
    give(dalmada, "subscription", "dunning", str(identity), "--on")
    assert "dunning" not in dalmada("subscription", "show", str(identity)).fields()


def test_an_end_that_has_not_come_is_taken_back_once_somebody_says_so(
    dalmada: Commands, world: World, identity: uuid.UUID
) -> None:
    plant(world)
    give(
        dalmada,
        *("subscription", "cancel", str(identity), *ON_WISH, "--reason", "구매자 요청"),
        *("--when", "period_end"),
    )
    back = ("subscription", "reactivate", str(identity))
    nobody = dalmada(*back)
    assert (nobody.status, nobody.out) == (2, "")
    refused = at_terminal(dalmada, *back, answer="n")
    assert refused.status == 1
    assert preview(refused)["buyer_name"] == "심청…미"
    assert preview(refused)["ends"].endswith(" → -")
    assert stored(world, identity).cancel_at is not None
    done = give(dalmada, *back)
    assert_as_published(done, "subscription.reactivate", world)
    assert stored(world, identity).cancel_at is None
    assert_untold(refused.out, refused.err, done.out, everything_told(world))


def test_a_price_is_changed_for_everybody_and_says_who_must_agree(
    dalmada: Commands, world: World, identity: uuid.UUID
) -> None:
    dear = BillingCycle(world.clock.now() - timedelta(days=1), TEN_DAYS)
    world.run(world.subscribe(1, 30_000, cycle=dear, product="slim"))
    world.run(world.subscribe(1, 9_900, product="other"))
    world.run(world.renew())
    renewal_at = stored(world, identity).next_renewal_at
    asked = ("price", "change", "--product", "slim", "--amount", "12000")
    done = dalmada(*asked, "--from", renewal_at.isoformat(), "--yes")
    assert done.status == 0, done.err
    shown_first = preview(done)
    assert shown_first["subscriptions"] == "2"
    assert shown_first["must agree first"] == "1; without it the price stays"
    assert f"({renewal_at.isoformat()})" in shown_first["first renewal by it"]
    assert done.fields()["must agree first"] == "1"
    (entry,) = audited(world)
    assert (entry.action, entry.subject) == ("price change", "product slim")
    scheduled = world.run(world.events("subscription.change_scheduled"))
    assert [event["amount"] for event in scheduled] == [12_000, 12_000]
    shown = dalmada("subscription", "show", str(identity), "--json").json
    (missing,) = shown["next_renewal"]["consents_missing"]
    assert (missing["kind"], missing["amount"]) == ("price_increase", 12_000)
    assert shown["next_renewal"]["amount"] == 10_000

    later = (renewal_at + timedelta(days=90)).isoformat()
    again = give(dalmada, *asked[:-1], "13000", "--from", later, "--reason", "list of May")
    assert_as_published(again, "price.change", world)


def test_an_invoice_is_collected_once_more_on_the_buyers_wish(
    dalmada: Commands, world: World
) -> None:
    (invoice_id,) = world.run(world.open_invoices())
    world.gateway.script.append(Declined("잔액 부족", "imp_1"))
    world.run(world.charge_all())
    planned = world.run(world.invoice(invoice_id)).next_attempt_at
    asked = ("invoice", "retry", str(invoice_id))
    done = dalmada(*asked, "--yes")
    assert done.status == 0, done.err
    assert preview(done)["message"] == "잔액 부족"
    assert f"({planned.isoformat()}) → " in preview(done)["next attempt"]
    row = world.run(world.invoice(invoice_id))
    assert row.next_attempt_at < planned
    assert row.planned_attempt_at == planned
    (entry,) = audited(world)
    assert (entry.action, entry.subject) == ("invoice retry", f"invoice {invoice_id}")
    assert dalmada("invoice", "retry", "7777", "--yes").status == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("pause", *ON_WISH, "--reason", "x"),
        ("resume",),
        ("change", *ON_WISH, "--amount", "1000"),
        ("reactivate",),
        ("adjust", "--for", "x", "--credit", "100"),
        ("dunning", "--off"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_of_one_that_does_not_exist_says_so(dalmada: Commands, arguments: tuple[str, ...]) -> None:
    name, *others = arguments
    done = dalmada("subscription", name, str(uuid.UUID(int=7)), *others, *DONE)
    assert (done.status, done.out) == (1, "")
    assert "there is no subscription 00000000-0000-0000-0000-000000000007" in done.err


class TestCollect:
    def test_who_makes_the_charges_is_shown_and_switched(
        self, dalmada: Commands, world: World, identity: uuid.UUID
    ) -> None:
        shown = dalmada("subscription", "show", str(identity))
        assert shown.fields()["collected by"] == "us"
        done = dalmada("subscription", "collect", str(identity), "--by", "reservation", "--yes")
        assert done.status == 0, done.err
        assert preview(done)["collected by"] == "us → PortOne, at an instant reserved ahead"
        assert stored(world, identity).collect_by == "reservation"
        document = dalmada("subscription", "show", str(identity), "--json").json
        assert (document["collect_by"], document["reservation"]) == ("reservation", None)
        back = give(dalmada, "subscription", "collect", str(identity), "--by", "charge")
        assert_as_published(back, "subscription.collect", world)
        told = world.run(world.events("subscription.collection_switched"))
        assert [event["by"] for event in told] == ["reservation", "charge"]
        entries = audited(world)
        assert [entry.action for entry in entries] == ["subscription collect"] * 2
        assert {entry.actor for entry in entries} == {ACTOR}

    def test_nothing_is_done_where_nobody_confirms(
        self, dalmada: Commands, world: World, identity: uuid.UUID
    ) -> None:
        done = dalmada("subscription", "collect", str(identity), "--by", "reservation")
        assert done.status == 2
        assert stored(world, identity).collect_by == "charge"
        assert audited(world) == []
