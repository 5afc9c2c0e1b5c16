"""`dalmada subscription list` and `dalmada subscription show`."""

import uuid
from datetime import timedelta

import pytest

from shared.billing.calendar import BillingCycle, Interval, IntervalUnit
from shared.billing.lifecycle import SubscriptionStatus
from shared.billing.merchant_uid import merchant_uid
from shared.billing.outcome import Declined, MethodDead
from shared.clock import WallClock
from shared.db import subscriptions
from tests.integration.console.commands import KEY, Commands
from tests.support.billing import World

BUYER = ("--buyer-name", "홍길동", "--buyer-email", "gildong@example.com")
TEL = "010-1234-5678"
DAILY = Interval(IntervalUnit.DAY)


def set_status(world: World, subscription_id: uuid.UUID, status: SubscriptionStatus) -> None:
    world.run(
        world.database.run(
            lambda connection: subscriptions.change_status(
                connection, {subscription_id: status}, world.clock.now()
            )
        )
    )


class TestList:
    def test_shows_people_the_newest_first(self, dalmada: Commands) -> None:
        older = dalmada.add("--anchor", "2031-01-31", "--name", "Slim 요금제").id
        newer = dalmada.add("--anchor", "2032-01-01", "--every", "week", "--count", "2").id
        done = dalmada("subscription", "list")
        assert done.status == 0
        lines = [line for line in done.out.splitlines() if "active" in line]
        assert [line.split()[0] for line in lines] == [str(newer), str(older)]
        assert "2 weeks" in lines[0]
        assert "Slim 요금제" in lines[1]
        assert "9,900 KRW" in lines[1]
        assert "2031-01-31 00:00:00 KST" in lines[1]

    def test_gives_programs_one_document(self, dalmada: Commands) -> None:
        added = dalmada.add("--anchor", "2031-01-31", "--tax-free", "900")
        done = dalmada.process("subscription", "list", "--json")
        assert done.err == ""
        (item,) = done.json["subscriptions"]
        assert item.pop("created_at").endswith("+00:00")
        assert done.json["more"] is False
        assert item == {
            "id": str(added.id),
            "status": "active",
            "amount": 9_900,
            "tax_free": 900,
            "quantity": 1,
            "order_name": "Slim 요금제",
            "product": None,
            "buyer_ref": None,
            "interval_unit": "month",
            "interval_count": 1,
            "anchor_at": "2031-01-30T15:00:00+00:00",
            "time_zone": "Asia/Seoul",
            "trial_end_at": None,
            "next_period_index": 0,
            "next_renewal_at": "2031-01-30T15:00:00+00:00",
            "pause_at": None,
            "resume_at": None,
            "pause_keeps": None,
            "cancel_at": None,
            "billing_key_status": "active",
        }

    def test_of_nothing_is_a_document_too(self, dalmada: Commands) -> None:
        assert dalmada("subscription", "list", "--json").json == {
            "subscriptions": [],
            "more": False,
        }

    def test_can_be_kept_to_one_status(self, dalmada: Commands, world: World) -> None:
        kept, canceled = dalmada.add().id, dalmada.add().id
        set_status(world, canceled, SubscriptionStatus.CANCELED)
        for status, expected in (("active", [kept]), ("canceled", [canceled]), ("past_due", [])):
            done = dalmada("subscription", "list", "--status", status, "--json")
            assert [uuid.UUID(item["id"]) for item in done.json["subscriptions"]] == expected

    def test_says_when_there_are_more(self, dalmada: Commands, world: World) -> None:
        world.run(world.subscribe(3))
        assert dalmada("subscription", "list", "--limit", "3", "--json").json["more"] is False
        done = dalmada("subscription", "list", "--limit", "2", "--json")
        assert len(done.json["subscriptions"]) == 2
        assert done.json["more"] is True
        people = dalmada("subscription", "list", "--limit", "2")
        assert people.out.count("active") == 4
        assert "Only the newest 2 are shown; --limit shows more." in people.out

    @pytest.mark.parametrize(
        "arguments", [("--limit", "0"), ("--limit", "1001"), ("--limit", "x"), ("--status", "open")]
    )
    def test_refuses_a_wrong_value(self, dalmada: Commands, arguments: tuple[str, ...]) -> None:
        done = dalmada("subscription", "list", *arguments)
        assert (done.status, done.out) == (2, "")
        assert arguments[0] in done.err


class TestShow:
    def test_tells_people_the_terms_and_the_next_three_periods(self, dalmada: Commands) -> None:
        identity = dalmada.add("--anchor", "2031-01-31", "--tax-free", "900").id
        done = dalmada("subscription", "show", str(identity))
        assert done.status == 0
        fields = done.fields()
        assert fields["status"] == "active"
        assert fields["amount"] == "9,900 KRW (900 KRW tax-free)"
        assert fields["next renewal"] == "2031-01-31 00:00:00 KST (2031-01-30T15:00:00+00:00)"
        assert fields["billing key"] == "active"
        periods = [line.split("   ") for line in done.out.splitlines() if "p0n1" in line]
        assert len(periods) == 1
        for index, ending in enumerate(("02-28", "03-31", "04-30")):
            (line,) = [line for line in done.out.splitlines() if f"p{index}n1" in line]
            assert f"2031-{ending} 00:00:00 KST" in line
            assert merchant_uid(identity, index, 1) in line
        assert "No invoice was opened yet." in done.out

    def test_gives_programs_one_document(self, dalmada: Commands, world: World) -> None:
        identity = dalmada.add("--every", "day", *BUYER).id
        # Its period began when it was added, which may be a second after the world was made.
        world.clock.instant = WallClock().now()
        world.run(world.renew())
        done = dalmada.process("subscription", "show", str(identity), "--json")
        document = done.json
        assert done.err == ""
        assert document["id"] == str(identity)
        assert document["next_period_index"] == 1
        assert [period["index"] for period in document["next_periods"]] == [1, 2, 3]
        assert document["next_periods"][0] == {
            "index": 1,
            "start_at": document["next_renewal_at"],
            "end_at": document["next_periods"][1]["start_at"],
            "first_merchant_uid": merchant_uid(identity, 1, 1),
        }
        (invoice,) = document["invoices"]
        assert (invoice["period_index"], invoice["status"]) == (0, "open")
        assert document["more_invoices"] is False
        assert document["billing_key"] == {
            "status": "active",
            "customer_uid_masked": "plan…41",
            "buyer_name_masked": "홍…",
            "buyer_email_masked": "gild…om",
            "buyer_tel_masked": None,
        }

    def test_never_shows_the_billing_key_or_the_buyer_in_full(self, dalmada: Commands) -> None:
        identity = str(dalmada.add(*BUYER, "--buyer-tel", TEL).id)
        for form in ((), ("--json",)):
            done = dalmada("subscription", "show", identity, *form)
            assert done.status == 0
            assert "plan…41" in done.out
            assert "010-…78" in done.out
            for secret in (KEY, "홍길동", "gildong@example.com", TEL):
                assert secret not in done.out + done.err

    def test_shows_the_newest_invoices_and_says_when_there_are_more(
        self, dalmada: Commands, world: World
    ) -> None:
        world.clock.instant -= timedelta(days=21)
        (identity,) = world.run(
            world.subscribe(cycle=BillingCycle(world.clock.now() - timedelta(hours=1), DAILY))
        )
        for _ in range(21):
            world.run(world.renew())
            world.pass_time(timedelta(days=1))
        done = dalmada("subscription", "show", str(identity), "--json")
        assert [item["period_index"] for item in done.json["invoices"]] == list(range(20, 0, -1))
        assert done.json["more_invoices"] is True
        people = dalmada("subscription", "show", str(identity))
        assert f"`dalmada invoice list --subscription {identity}` shows more." in people.out

    def test_shows_a_dead_billing_key(self, dalmada: Commands, world: World) -> None:
        (identity,) = world.run(world.subscribe())
        world.run(world.renew())
        world.gateway.script.append(MethodDead("등록되지 않은 구매자입니다"))
        world.run(world.charge_all())
        done = dalmada("subscription", "show", str(identity), "--json")
        assert done.json["billing_key_status"] == "dead"
        listed = dalmada("subscription", "list")
        assert listed.out.rstrip().endswith("dead")

    def test_shows_that_a_subscription_is_past_due(self, dalmada: Commands, world: World) -> None:
        (identity,) = world.run(world.subscribe())
        world.run(world.renew())
        world.gateway.script.append(Declined("[결제포인트] 잔액이 부족합니다", None))
        world.run(world.charge_all())
        done = dalmada("subscription", "show", str(identity))
        assert done.fields()["status"] == "past_due"
        assert "[결제포인트] 잔액이 부족합니다" in done.out

    def test_foretells_nothing_once_a_subscription_is_canceled(
        self, dalmada: Commands, world: World
    ) -> None:
        identity = dalmada.add().id
        set_status(world, identity, SubscriptionStatus.CANCELED)
        done = dalmada("subscription", "show", str(identity), "--json")
        assert done.json["next_periods"] == []
        assert done.json["next_renewal_at"] is None
        assert dalmada("subscription", "show", str(identity)).fields()["next renewal"] == "-"

    def test_foretells_no_period_beyond_the_calendar(self, dalmada: Commands) -> None:
        identity = dalmada.add("--anchor", "9997-06-01", "--every", "year").id
        done = dalmada("subscription", "show", str(identity), "--json")
        assert [period["index"] for period in done.json["next_periods"]] == [0, 1]
        assert dalmada("subscription", "show", str(identity)).status == 0

    def test_of_one_that_does_not_exist_says_so(self, dalmada: Commands) -> None:
        nobody = str(uuid.UUID(int=7))
        for form in ((), ("--json",)):
            done = dalmada("subscription", "show", nobody, *form)
            assert (done.status, done.out) == (1, "")
            assert f"there is no subscription {nobody}" in done.err

    def test_refuses_what_is_no_id(self, dalmada: Commands) -> None:
        done = dalmada("subscription", "show", "7")
        assert (done.status, done.out) == (2, "")
        assert "ID" in done.err

    def test_of_a_zone_that_is_gone_is_refused_in_words(
        self, dalmada: Commands, world: World
    ) -> None:
        identity = dalmada.add().id
        world.run(world.rows("UPDATE subscriptions SET time_zone = 'Mars/Olympus'"))
        done = dalmada("subscription", "show", str(identity))
        assert (done.status, done.out) == (1, "")
        assert "'Mars/Olympus' is not an IANA time zone" in done.err
