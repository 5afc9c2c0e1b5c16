"""Windows: asked for by commands, handed to the merchant's page, prepared, and given up."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event

from scheduler.scans.windows import AdvanceWindows
from shared.billing.inquiry import RecordStatus, StillUnresolved
from shared.billing.naver_products import product_code_of_subscription
from shared.billing.use_confirmation import UseConfirmation
from shared.billing.window_channel import Channel
from shared.jobs.commands import RegisterBillingKey
from tests.support.billing import RESEND_AFTER, World
from tests.support.keys import CUSTOMER, TERMS, Shop, names_of, owing
from worker.services.windows import PrepareWindows

BUYER: dict[str, Any] = {
    "buyer_name": "홍길동",
    "buyer_email": "hong@example.com",
    "buyer_tel": "010-9876-5432",
}
NOT_NOW = StillUnresolved("the gateway did not answer")
LOST_AT = "결제정보 사전등록에 실패하였습니다(금액 오류)."


@pytest.fixture
def shop(world: World) -> Shop:
    return Shop(world)


def registered(shop: Shop, **values: Any) -> str:
    """Register the customer's key from beginning to end; return the registration's imp_uid."""
    asked = shop.world.run(shop.ask(**values))
    imp_uid = shop.book.register(asked)
    shop.world.run(shop.confirm(asked, imp_uid))
    assert shop.world.run(shop.read()) == ["confirmed"]
    return imp_uid


def refusal(result: Mapping[str, Any]) -> str:
    assert result["status"] == "refused", result
    return str(result["error"])


class TestRegistration:
    def test_the_page_is_handed_what_it_needs_and_nothing_of_the_buyers(self, shop: Shop) -> None:
        asked = shop.world.run(shop.ask(**BUYER, command_id="ask-1", amount=9_900))
        key = shop.world.run(shop.key())
        assert asked["parameters"] == {
            "channelKey": "channel-key-1",
            "merchant_uid": asked["merchant_uid"],
            "name": "슬림 요금제",
            "amount": 9_900,
            "naverPopupMode": True,
            "naverProductCode": f"k{key.id}",
            "naverProductCount": 1,
        }
        told = json.dumps(
            [asked, shop.world.run(shop.world.events())], ensure_ascii=False, default=str
        )
        for secret in (CUSTOMER, *BUYER.values()):
            assert secret not in told

    def test_the_event_and_the_result_say_the_same(self, shop: Shop) -> None:
        asked = shop.world.run(shop.ask(command_id="ask-1"))
        (told,) = shop.world.run(shop.world.events("billing_key.registration_requested"))
        assert told["parameters"] == asked["parameters"]
        assert told["merchant_uid"] == asked["merchant_uid"]
        assert told["command_id"] == "ask-1"
        assert asked["expires_at"] == told["expires_at"]

    def test_a_new_buyer_waits_for_the_registration(self, shop: Shop) -> None:
        shop.world.run(shop.ask(**BUYER))
        key = shop.world.run(shop.key())
        assert (key.status, key.generation) == ("pending", 1)
        assert (key.buyer_name, key.buyer_tel) == ("홍길동", "010-9876-5432")

    def test_the_same_command_again_opens_nothing(self, shop: Shop) -> None:
        first = shop.world.run(shop.ask(command_id="ask-1"))
        assert shop.world.run(shop.ask(command_id="ask-1")) == first
        assert len(shop.world.run(shop.world.rows("SELECT FROM windows"))) == 1

    def test_a_buyer_with_a_living_key_is_refused_and_told_what_to_do(self, shop: Shop) -> None:
        registered(shop)
        before = shop.world.run(shop.state())
        text = refusal(shop.world.run(shop.ask()))
        assert "CHANGE" in text
        assert "in use" in text
        assert CUSTOMER not in text
        assert shop.world.run(shop.state()) == before

    def test_a_key_that_a_subscription_brought_is_alive_too(self, world: World, shop: Shop) -> None:
        world.run(world.subscribe())
        (key,) = world.run(world.rows("SELECT customer_uid FROM billing_keys"))
        assert "CHANGE" in refusal(world.run(shop.ask(customer_uid=key.customer_uid)))

    @pytest.mark.parametrize(
        ("fault", "words"),
        [
            ({"buyer_tel": None}, "buyer_tel"),
            ({"amount": 9}, "최소 결제 금액은 10원입니다."),
            ({"order_name": "한국사 외 2개"}, "외 2개"),
            ({"popup": False}, "m_redirect_url"),
            ({"customer_uid": " "}, "customer_uid"),
        ],
    )
    def test_what_portone_would_refuse_is_refused_here_and_leaves_nothing(
        self, shop: Shop, fault: dict[str, Any], words: str
    ) -> None:
        assert words in refusal(shop.world.run(shop.ask(**fault)))
        assert shop.world.run(shop.state())["keys"] == []

    def test_without_a_channel_it_says_which_setting_is_missing(self, world: World) -> None:
        shop = Shop(world, replace(TERMS, channel=None))
        assert "DALMADA_PORTONE_CHANNEL_KEY" in refusal(world.run(shop.ask()))

    def test_the_older_way_to_name_the_channel_is_handed_on(self, world: World) -> None:
        shop = Shop(world, replace(TERMS, channel=Channel(pg="naverpay.partner")))
        assert world.run(shop.ask())["parameters"]["pg"] == "naverpay.partner"

    def test_many_at_once_leave_one_window_open(self, shop: Shop) -> None:
        async def scenario() -> None:
            await asyncio.gather(*(shop.ask() for _ in range(8)))

        shop.world.run(scenario())
        found = shop.world.run(shop.world.rows("SELECT status FROM windows"))
        assert sorted(row.status for row in found) == ["expired"] * 7 + ["ready"]
        assert len(shop.world.run(shop.world.rows("SELECT FROM billing_keys"))) == 1


class TestProductCode:
    def test_it_is_that_of_the_one_subscription(self, world: World, shop: Shop) -> None:
        world.run(shop.ask())
        world.run(owing(world))
        (row,) = world.run(world.rows("SELECT id FROM subscriptions"))
        world.run(world.rows("UPDATE windows SET parameters = parameters - 'naverProductCode'"))
        asked = world.run(shop.ask())
        assert asked["parameters"]["naverProductCode"] == product_code_of_subscription(row.id)

    def test_a_change_keeps_the_code_of_the_registration(self, world: World, shop: Shop) -> None:
        registered(shop)
        world.run(owing(world))
        key = world.run(shop.key())
        assert world.run(shop.change())["parameters"]["naverProductCode"] == f"k{key.id}"

    def test_the_merchants_own_is_kept(self, world: World, shop: Shop) -> None:
        registered(shop, product_code="요금제 A")
        assert world.run(shop.change())["parameters"]["naverProductCode"] == "요금제 A"


class TestChange:
    def test_it_says_change_under_the_same_key(self, shop: Shop) -> None:
        registered(shop)
        asked = shop.world.run(shop.change())
        assert asked["parameters"]["naverActionType"] == "CHANGE"
        assert shop.world.run(shop.window(asked)).billing_key_id == shop.world.run(shop.key()).id
        assert len(shop.world.run(shop.world.events("billing_key.change_requested"))) == 1

    def test_a_dead_key_may_be_changed(self, shop: Shop) -> None:
        registered(shop)
        shop.world.run(shop.world.rows("UPDATE billing_keys SET status = 'dead'"))
        assert shop.world.run(shop.change())["parameters"]["naverActionType"] == "CHANGE"

    def test_without_a_key_it_is_refused(self, shop: Shop) -> None:
        assert "register NEW" in refusal(shop.world.run(shop.change()))
        assert shop.world.run(shop.state())["keys"] == []

    def test_a_key_that_was_only_asked_for_cannot_be_changed(self, shop: Shop) -> None:
        shop.world.run(shop.ask())
        assert "register NEW" in refusal(shop.world.run(shop.change()))

    def test_switched_off_it_is_refused_with_the_reason(self, world: World) -> None:
        shop = Shop(world, replace(TERMS, change_enabled=False))
        registered(shop)
        assert "switched off" in refusal(world.run(shop.change()))

    def test_one_that_is_left_expires_and_the_old_method_stays(self, shop: Shop) -> None:
        registered(shop)
        before = shop.world.run(shop.key())
        asked = shop.world.run(shop.change())
        shop.world.pass_time(TERMS.ttl - timedelta(seconds=1))
        assert shop.world.run(shop.advance()) == []
        shop.world.pass_time(timedelta(seconds=1))
        assert shop.world.run(shop.advance()) == ["expired"]
        assert shop.world.run(shop.window(asked)).status == "expired"
        (told,) = shop.world.run(shop.world.events("billing_key.change_expired"))
        assert told["merchant_uid"] == asked["merchant_uid"]
        after = shop.world.run(shop.key())
        assert (after.status, after.generation) == (before.status, before.generation)


class TestSuperseded:
    def test_a_buyer_who_comes_again_gets_a_new_window(self, shop: Shop) -> None:
        first = shop.world.run(shop.ask())
        second = shop.world.run(shop.ask())
        assert first["merchant_uid"] != second["merchant_uid"]
        assert shop.world.run(shop.window(first)).status == "expired"
        assert shop.world.run(shop.window(second)).status == "ready"
        (told,) = shop.world.run(shop.world.events("billing_key.registration_expired"))
        assert told["merchant_uid"] == first["merchant_uid"]

    def test_the_earlier_window_still_counts_if_it_is_the_one_that_is_used(
        self, shop: Shop
    ) -> None:
        """Nobody can shut a window in the buyer's browser."""
        first = shop.world.run(shop.ask())
        second = shop.world.run(shop.ask())
        shop.world.run(shop.confirm(first, shop.book.register(first)))
        assert shop.world.run(shop.read()) == ["confirmed"]
        assert shop.world.run(shop.key()).status == "active"
        # The other one would register a second method with the buyer.
        assert shop.world.run(shop.window(second)).status == "expired"

    def test_it_counts_even_if_nobody_ever_says_that_it_was_used(self, shop: Shop) -> None:
        """Its confirmation and its webhook are lost: it is looked at when its time is over."""
        first = shop.world.run(shop.ask())
        second = shop.world.run(shop.ask())
        shop.book.register(first)
        assert shop.world.run(shop.advance()) == []
        shop.world.clock.instant = shop.world.run(shop.window(first)).expires_at
        assert "looked at" in shop.world.run(shop.advance())
        assert shop.world.run(shop.window(first)).status == "confirmed"
        assert shop.world.run(shop.window(second)).status == "expired"
        assert shop.world.run(shop.key()).status == "active"

    def test_a_last_look_that_finds_nothing_is_the_last(self, shop: Shop) -> None:
        first = shop.world.run(shop.ask())
        shop.world.run(shop.ask())
        shop.world.clock.instant = shop.world.run(shop.window(first)).expires_at
        assert "looked at" in shop.world.run(shop.advance())
        assert shop.world.run(shop.window(first)).next_step_at is None
        shop.world.pass_time(timedelta(days=2))
        assert "looked at" not in shop.world.run(shop.advance())
        # Its end was told when the second one was asked for, and is told once.
        names = [told["name"] for told in shop.world.run(shop.world.events())]
        assert names.count("billing_key.registration_expired") == 2

    def test_a_change_that_is_open_survives_an_earlier_one(self, shop: Shop) -> None:
        registered(shop)
        first = shop.world.run(shop.change())
        second = shop.world.run(shop.change())
        shop.world.run(shop.confirm(first, shop.book.register(first)))
        shop.world.run(shop.read())
        assert shop.world.run(shop.window(second)).status == "ready"


class TestPayment:
    def test_it_is_handed_out_once_its_amount_is_registered(self, shop: Shop) -> None:
        asked = shop.world.run(shop.request_payment(tax_free=4_000, **BUYER))
        assert asked["status"] == "requested"
        assert "parameters" not in asked
        assert shop.world.run(shop.world.events("payment.requested")) == []
        assert shop.world.run(shop.advance()) == ["ready"]
        assert shop.book.prepared == {asked["merchant_uid"]: 14_000}
        (told,) = shop.world.run(shop.world.events("payment.requested"))
        assert told["parameters"] == {
            "channelKey": "channel-key-1",
            "merchant_uid": asked["merchant_uid"],
            "name": "한국사",
            "amount": 14_000,
            "tax_free": 4_000,
            "naverPopupMode": True,
            "naverProducts": [
                {
                    "categoryType": "BOOK",
                    "categoryId": "GENERAL",
                    "uid": "107922211",
                    "name": "한국사",
                    "count": 1,
                }
            ],
        }
        everything = json.dumps(shop.world.run(shop.world.events()), ensure_ascii=False)
        assert not any(secret in everything for secret in BUYER.values())

    def test_a_gateway_that_does_not_answer_is_asked_again(self, shop: Shop) -> None:
        shop.world.run(shop.request_payment())
        shop.book.silences.extend([NOT_NOW, RuntimeError("a fault of ours")])
        assert shop.world.run(shop.advance()) == ["later"]
        assert shop.world.run(shop.advance()) == []
        shop.world.pass_time(timedelta(seconds=30))
        assert shop.world.run(shop.advance()) == ["later"]
        shop.world.pass_time(timedelta(seconds=30))
        assert shop.world.run(shop.advance()) == ["ready"]
        assert len(shop.world.run(shop.world.events("payment.requested"))) == 1

    def test_a_refusal_is_told_byte_for_byte(self, shop: Shop) -> None:
        asked = shop.world.run(shop.request_payment())
        shop.book.refusals.append(LOST_AT)
        assert shop.world.run(shop.advance()) == ["refused"]
        row = shop.world.run(shop.window(asked))
        assert (row.status, row.message) == ("failed", LOST_AT)
        (told,) = shop.world.run(shop.world.events("payment.request_refused"))
        assert told["message"] == LOST_AT
        assert shop.world.run(shop.world.events("payment.requested")) == []

    def test_one_that_could_not_be_prepared_in_time_expires(self, shop: Shop) -> None:
        shop.world.run(shop.request_payment())
        shop.world.pass_time(TERMS.ttl)
        assert shop.world.run(shop.advance()) == ["expired"]
        # Nothing was handed out, so there is nothing to be looked for.
        assert shop.book.calls == []
        assert len(shop.world.run(shop.world.events("payment.expired"))) == 1

    def test_two_messages_at_once_hand_it_out_once(self, world: World, shop: Shop) -> None:
        asked = world.run(shop.request_payment())

        async def scenario() -> None:
            ids = [(await shop.window(asked)).id]
            prepares = [
                PrepareWindows(process.database, shop.book, world.clock)
                for process in [world, world.twin()] * 2
            ]
            await asyncio.gather(*(prepare(ids) for prepare in prepares))

        world.run(scenario())
        assert len(world.run(world.events("payment.requested"))) == 1

    @pytest.mark.parametrize(
        ("fault", "words"),
        [
            ({"tax_free": 14_001}, "tax_free"),
            ({"amount": 9}, "최소 결제 금액은 10원입니다."),
            ({"order_name": "한국사 외 1건"}, "외 1건"),
        ],
    )
    def test_what_portone_would_refuse_is_refused_here(
        self, shop: Shop, fault: dict[str, Any], words: str
    ) -> None:
        assert words in refusal(shop.world.run(shop.request_payment(**fault)))
        assert shop.world.run(shop.state())["windows"] == []

    def test_what_only_some_trades_give_is_checked_and_the_person_left_out(
        self, shop: Shop
    ) -> None:
        trade = {
            "culture_benefit": True,
            "purchaser_name": "홍길동",
            "purchaser_birthday": "1990-01-31",
            "merchant_user_key": "user-7",
        }
        shop.world.run(shop.request_payment(**trade))
        shop.world.run(shop.advance())
        (told,) = shop.world.run(shop.world.events("payment.requested"))
        assert told["parameters"]["naverCultureBenefit"] is True
        everything = json.dumps(shop.world.run(shop.world.events()), ensure_ascii=False)
        assert not any(secret in everything for secret in ("홍길동", "1990", "user-7"))
        unborn = {**trade, "purchaser_birthday": "2090-01-31"}
        assert "future" in refusal(shop.world.run(shop.request_payment(**unborn)))

    def test_where_the_contract_asks_the_day_of_use_outlives_the_window(self, world: World) -> None:
        """Naver Pay takes no day before that of the payment, and midnight may come in between."""
        terms = replace(TERMS, use_confirmation=UseConfirmation.CHARGE_DAY, chain_id="chain-1")
        shop = Shop(world, terms)
        world.clock.instant = world.clock.instant.replace(hour=14, minute=50)
        world.run(shop.request_payment())
        world.run(shop.advance())
        (told,) = world.run(world.events("payment.requested"))
        # 23:50 in Korea, for half an hour.
        assert told["parameters"]["naverUseCfm"] == "20260201"
        assert told["parameters"]["naverChainId"] == "chain-1"


class TestLookBeforeGivingUp:
    """A webhook may be lost and a browser closed; what the buyer did is true all the same."""

    def test_a_payment_that_nobody_told_of_is_found(self, shop: Shop) -> None:
        asked = shop.world.run(shop.request_payment())
        shop.world.run(shop.advance())
        imp_uid = shop.book.enter(asked["merchant_uid"], 14_000)
        shop.world.pass_time(TERMS.ttl)
        assert shop.world.run(shop.advance()) == ["used"]
        row = shop.world.run(shop.window(asked))
        assert (row.status, row.imp_uid) == ("confirmed", imp_uid)
        assert shop.world.run(shop.world.events("payment.expired")) == []
        assert len(shop.world.run(shop.world.events("payment.confirmed"))) == 1

    def test_a_registration_that_nobody_told_of_is_found(self, shop: Shop) -> None:
        asked = shop.world.run(shop.ask())
        shop.book.register(asked)
        shop.world.pass_time(TERMS.ttl)
        assert shop.world.run(shop.advance()) == ["used"]
        assert shop.world.run(shop.key()).status == "active"

    def test_a_failed_try_is_no_use(self, shop: Shop) -> None:
        asked = shop.world.run(shop.ask())
        shop.book.register(asked, status=RecordStatus.FAILED)
        shop.world.pass_time(TERMS.ttl)
        assert shop.world.run(shop.advance()) == ["expired"]
        assert shop.world.run(shop.key()).status == "pending"

    def test_a_gateway_that_cannot_say_keeps_it_open_for_a_day(self, shop: Shop) -> None:
        asked = shop.world.run(shop.ask())
        shop.world.pass_time(TERMS.ttl)
        shop.book.silences.extend([NOT_NOW, RuntimeError("a fault of ours"), NOT_NOW])
        assert shop.world.run(shop.advance()) == ["later"]
        shop.world.pass_time(timedelta(hours=1))
        assert shop.world.run(shop.advance()) == ["later"]
        assert shop.world.run(shop.window(asked)).status == "ready"
        shop.world.pass_time(timedelta(days=1))
        assert shop.world.run(shop.advance()) == ["expired"]

    def test_a_payment_whose_reading_is_not_over_keeps_it_open(self, shop: Shop) -> None:
        asked = shop.world.run(shop.ask())
        shop.book.register(asked)
        shop.world.pass_time(TERMS.ttl)
        # The record is found, and cannot be read a moment later.
        shop.book.silences.extend([None, NOT_NOW])
        assert shop.world.run(shop.advance()) == ["later"]
        shop.world.pass_time(timedelta(minutes=1))
        assert shop.world.run(shop.advance()) == ["used"]
        assert shop.world.run(shop.window(asked)).status == "confirmed"


class TestLate:
    @pytest.mark.parametrize("is_told_by", ["browser", "webhook"])
    def test_a_confirmation_after_the_expiry_counts_if_it_is_true(
        self, shop: Shop, is_told_by: str
    ) -> None:
        asked = shop.world.run(shop.ask())
        shop.world.pass_time(TERMS.ttl)
        assert shop.world.run(shop.advance()) == ["expired"]
        imp_uid = shop.book.register(asked)
        if is_told_by == "browser":
            shop.world.run(shop.confirm(asked, imp_uid))
        else:
            shop.world.run(shop.webhook(imp_uid, asked["merchant_uid"]))
        assert shop.world.run(shop.read()) == ["confirmed"]
        assert shop.world.run(shop.key()).status == "active"
        assert names_of(shop.world.run(shop.world.events())) == [
            "billing_key.registration_requested",
            "billing_key.registration_expired",
            "billing_key.registered",
        ]

    def test_a_payment_in_a_window_that_could_not_be_prepared_counts_too(self, shop: Shop) -> None:
        asked = shop.world.run(shop.request_payment())
        shop.book.refusals.append(LOST_AT)
        shop.world.run(shop.advance())
        shop.world.run(shop.webhook(shop.book.enter(asked["merchant_uid"], 14_000)))
        assert shop.world.run(shop.read()) == ["confirmed"]
        assert shop.world.run(shop.window(asked)).status == "confirmed"


def test_a_lost_message_is_sent_again(world: World, shop: Shop) -> None:
    world.run(shop.request_payment())
    scan = AdvanceWindows(world.database, world.queue, world.clock, 25, 1000, RESEND_AFTER)
    assert world.run(scan()) == 1
    world.queue.take()
    assert world.run(scan()) == 0
    world.pass_time(RESEND_AFTER)
    assert world.run(scan()) == 1


@pytest.mark.parametrize(
    ("index", "scan"),
    [
        ("windows_next_step_idx", "advance"),
        ("hints_read_idx", "read"),
        ("hints_created_at_idx", "read"),
        ("billing_keys_deleting_idx", "remove"),
    ],
)
def test_a_scan_reads_through_its_index(world: World, shop: Shop, index: str, scan: str) -> None:
    """A predicate that the planner cannot match would read the whole history every tick."""
    seen: list[tuple[str, Any]] = []

    def remember(_c: object, _k: object, statement: str, values: Any, *_: object) -> None:
        seen.append((statement, values))

    engine = world.database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", remember)
    world.run(getattr(shop, scan)())
    event.remove(engine, "before_cursor_execute", remember)

    async def plans() -> str:
        async with world.database.transaction() as connection:
            await connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
            lines = [
                str(row[0])
                for statement, values in seen
                for row in await connection.exec_driver_sql(f"EXPLAIN {statement}", values)
            ]
            return "\n".join(lines)

    assert index in world.run(plans())


def test_the_models_of_commands_hide_the_key_in_their_repr() -> None:
    command = RegisterBillingKey.model_validate(
        {
            "command_id": "ask-1",
            "customer_uid": CUSTOMER,
            "order_name": "슬림 요금제",
            "amount": 9_900,
            **BUYER,
        }
    )
    assert not any(secret in repr(command) for secret in (CUSTOMER, *BUYER.values()))
