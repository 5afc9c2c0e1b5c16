"""A subscription begins: at once, from a date on, after a free trial; or it is refused in words."""

import asyncio
import uuid
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from shared.jobs.life_commands import StartSubscription
from tests.support.billing import START_AT
from tests.support.living import TERMS_OF_START, Living, made
from worker.services.life.rules import LifeRules

DAY = timedelta(days=1)
TRIAL = {"trial_days": 14, "buyer_ref": "buyer-1", "product": "slim"}


def start(living: Living, **values: Any) -> Any:
    return living.run(living.do(StartSubscription, **{**TERMS_OF_START, **values}))


def refused(living: Living, **values: Any) -> str:
    return str(living.run(living.refused(StartSubscription, **{**TERMS_OF_START, **values})))


class TestAtOnce:
    def test_the_first_period_begins_and_is_paid(self, living: Living) -> None:
        told = start(living, tax_free=3_000, quantity=2, buyer_name="홍길동")
        id_ = uuid.UUID(told["subscription_id"])
        assert told == {
            "subscription_id": str(id_),
            "status": "active",
            "trial_end_at": None,
            "first_period_index": 0,
            "first_period_at": START_AT.isoformat(),
        }
        assert living.run(living.tick()) == ["paid"]
        (invoice,) = living.run(living.invoices(id_))
        assert (invoice.amount, invoice.tax_free) == (60_000, 6_000)
        row = living.run(living.row(id_))
        assert (row.status, row.consented_amount, row.next_period_index) == ("active", 60_000, 1)
        (created,) = living.run(living.world.events("subscription.created"))
        assert created["amount"] == 30_000
        keys = living.run(living.world.rows("SELECT * FROM billing_keys"))
        assert [(key.customer_uid, key.status, key.buyer_name) for key in keys] == [
            ("customer-1", "active", "홍길동")
        ]

    def test_a_paid_setup_is_a_line_of_the_first_invoice(self, living: Living) -> None:
        setup = {"setup_amount": 5_000, "setup_tax_free": 500, "setup_description": "설치비"}
        id_ = living.run(living.start(**setup))
        living.run(living.tick())
        living.run(living.go_to(datetime.fromisoformat("2026-02-28T00:00:00+00:00")))
        assert living.run(living.lines(id_)) == [
            [("recurring", 30_000), ("setup", 5_000)],
            [("recurring", 30_000)],
        ]
        first, second = living.run(living.invoices(id_))
        assert (first.amount, first.tax_free, first.status) == (35_000, 500, "paid")
        assert (second.amount, second.status) == (30_000, "paid")

    def test_from_a_date_on(self, living: Living) -> None:
        told = start(living, anchor_at=START_AT + 5 * DAY)
        assert told["first_period_at"] == (START_AT + 5 * DAY).isoformat()
        assert living.run(living.tick()) == []
        assert living.run(living.go_to(START_AT + 5 * DAY)) == ["paid"]

    def test_from_the_start_of_the_period_that_runs(self, living: Living) -> None:
        """A message that was under way for a while does not lose its first period."""
        start(living, anchor_at=START_AT - 20 * DAY)
        assert living.run(living.tick()) == ["paid"]

    def test_what_was_agreed_to_is_kept(self, living: Living) -> None:
        method = "네이버페이 신한카드 "
        consent = {**living.consent(START_AT - DAY), "payment_method": method}
        id_ = living.run(living.start(consent=consent))
        (row,) = living.run(living.world.rows("SELECT * FROM consents"))
        assert (row.subscription_id, row.kind, row.amount_after) == (id_, "sign_up", 30_000)
        assert (row.shown, row.evidence) == ("결제 화면", "click 1")
        assert row.payment_method == method
        (event,) = living.run(living.world.events("consent.given"))
        assert "click 1" not in str(event)
        assert "신한카드" not in str(event)
        # What was agreed to at sign-up does for no later charge.
        assert event["valid_until"] is None

    def test_the_same_command_names_the_same_subscription(self, living: Living) -> None:
        command = made(StartSubscription, **TERMS_OF_START)
        first = living.run(living.said(command))
        assert living.run(living.give(command)) == "seen before"
        # Even where the table of commands was lost.
        living.run(living.world.rows("DELETE FROM commands"))
        again = living.run(living.said(command))
        assert again["status"] == "refused"
        assert first["result"]["subscription_id"] in again["error"]
        assert len(living.run(living.world.rows("SELECT FROM subscriptions"))) == 1

    def test_of_two_at_once_under_one_id_one_begins(self, living: Living) -> None:
        other, id_ = living.twin(), uuid.uuid4()
        both = [made(StartSubscription, subscription_id=id_, **TERMS_OF_START) for _ in range(2)]

        async def race() -> list[str]:
            return list(await asyncio.gather(living.give(both[0]), other.give(both[1])))

        assert sorted(living.run(race())) == ["done", "refused"]
        assert len(living.run(living.world.rows("SELECT FROM subscriptions"))) == 1


class TestATrial:
    def test_it_costs_nothing_until_its_end(self, living: Living) -> None:
        told = start(living, **TRIAL)
        end = START_AT + 14 * DAY
        assert (told["status"], told["trial_end_at"]) == ("trialing", end.isoformat())
        assert told["first_period_at"] == end.isoformat()
        row = living.run(living.row(uuid.UUID(told["subscription_id"])))
        assert (row.status, row.consented_amount) == ("trialing", 0)
        assert living.run(living.go_to(end - timedelta(seconds=1))) == []

    def test_its_days_are_those_of_the_zone(self, living: Living) -> None:
        """Clocks in New York go forward on 8 March 2026: 23 hours of that day are a day, too."""
        living.world.clock.instant = datetime.fromisoformat("2026-03-07T17:00:00+00:00")
        told = start(living, **{**TRIAL, "trial_days": 2, "time_zone": "America/New_York"})
        assert told["trial_end_at"] == "2026-03-09T16:00:00+00:00"

    def test_the_first_period_begins_no_earlier_than_it_ends(self, living: Living) -> None:
        end, later = START_AT + 3 * DAY, START_AT + 9 * DAY
        told = start(living, **{**TRIAL, "trial_days": None}, trial_end_at=end, anchor_at=later)
        assert (told["trial_end_at"], told["first_period_at"]) == (
            end.isoformat(),
            later.isoformat(),
        )
        told = start(
            living,
            **{**TRIAL, "trial_days": None, "product": "other"},
            trial_end_at=later,
            anchor_at=end,
        )
        assert told["first_period_at"] == later.isoformat()

    def test_a_buyer_has_one_of_a_product(self, living: Living) -> None:
        start(living, **TRIAL)
        assert "has had a free trial of slim" in refused(living, **TRIAL)
        assert "give buyer_ref and product" in refused(living, trial_days=3, product="slim")
        assert "give buyer_ref and product" in refused(living, trial_days=3, buyer_ref="buyer-1")
        start(living, **{**TRIAL, "product": "other"})
        start(living, **{**TRIAL, "buyer_ref": "buyer-2"})
        start(living, **{**TRIAL, "trial_days": None})
        assert len(living.run(living.world.rows("SELECT FROM subscriptions"))) == 4

    def test_or_as_many_as_the_policy_gives(self, living: Living) -> None:
        living.rules = replace(living.rules, trial_once=False)
        start(living, trial_days=3)
        start(living, trial_days=3)
        assert living.run(living.world.rows("SELECT FROM trials")) == []

    def test_of_two_at_once_one_is_given(self, living: Living) -> None:
        other = living.twin()

        async def race() -> list[str]:
            both = [made(StartSubscription, **TERMS_OF_START, **TRIAL) for _ in range(2)]
            return list(await asyncio.gather(living.give(both[0]), other.give(both[1])))

        assert sorted(living.run(race())) == ["done", "refused"]
        assert len(living.run(living.world.rows("SELECT FROM subscriptions"))) == 1


class TestRefused:
    @pytest.mark.parametrize(
        ("values", "words"),
        [
            ({"amount": 9}, "최소 결제 금액은 10원입니다. Naver Pay charges 10 won or more, not 9"),
            ({"amount": 3, "quantity": 3}, "최소 결제 금액은 10원입니다."),
            (
                {"amount": 0, "setup_amount": 9, "setup_description": "설치비"},
                "최소 결제 금액은 10원입니다.",
            ),
            ({"amount": 2**53 - 1, "quantity": 2}, "is the most that can be billed"),
            ({"tax_free": 30_001}, "must not exceed amount"),
            ({"time_zone": "Asia/Busan"}, "is not an IANA time zone"),
            ({"anchor_at": START_AT - 40 * DAY}, "lies more than a period back"),
            ({"trial_end_at": START_AT}, "has passed: leave the trial out"),
            ({"order_name": "한\n줄"}, "control characters"),
            ({"buyer_name": " "}, "buyer name must not be empty"),
            (
                {"consent": {"given_at": START_AT + DAY, "shown": "a", "evidence": "b"}},
                "lies ahead",
            ),
        ],
    )
    def test_in_words_and_nothing_is_left(
        self, living: Living, values: dict[str, Any], words: str
    ) -> None:
        assert words in refused(living, **values)
        for table in ("subscriptions", "billing_keys", "adjustments", "consents", "trials"):
            assert living.run(living.world.rows(f"SELECT FROM {table}")) == []

    @pytest.mark.parametrize("status", ["dead", "deleting", "deleted"])
    def test_with_a_key_that_is_gone(self, living: Living, status: str) -> None:
        living.run(
            living.world.rows(
                "INSERT INTO billing_keys (customer_uid, status, delete_reason, delete_requester)"
                " VALUES ('customer-1', :status, '요청', 'customer')",
                status=status,
            )
        )
        words = refused(living, buyer_name="홍길동")
        assert f"the billing key is {status}" in words
        assert "customer-1" not in words
        (key,) = living.run(living.world.rows("SELECT * FROM billing_keys"))
        assert key.buyer_name is None

    def test_a_key_that_the_buyer_has_still_to_register_is_waited_for(self, living: Living) -> None:
        living.run(
            living.world.rows(
                "INSERT INTO billing_keys (customer_uid, status) VALUES ('customer-1', 'pending')"
            )
        )
        id_ = living.run(living.start())
        living.run(living.tick())
        (invoice,) = living.run(living.invoices(id_))
        assert (invoice.status, invoice.next_attempt_at) == ("open", None)
        assert living.world.gateway.sent == []

    def test_free_is_free(self, living: Living) -> None:
        living.rules = LifeRules()
        id_ = living.run(living.start(amount=0))
        living.run(living.tick())
        assert [invoice.status for invoice in living.run(living.invoices(id_))] == ["paid"]
        assert living.world.gateway.sent == []
