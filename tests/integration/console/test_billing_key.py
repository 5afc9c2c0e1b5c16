"""`dalmada billing-key list`, `show`, `register`, `change` and `delete`."""

import json
from typing import Any

import pytest
from sqlalchemy import Row

from shared.billing.window import window_merchant_uid
from tests.integration.console.commands import Commands, Printed
from tests.integration.console.deeds import (
    ACTOR,
    PLANTED,
    assert_untold,
    audited,
    everything_told,
    plant,
)
from tests.integration.console.terminals import at_terminal
from tests.support.billing import World

KEY, NAME, TEL = PLANTED
CHANNEL = "channel-key-of-the-test"
REGISTER = (
    *("billing-key", "register", "--customer-uid", "-", "--amount", "9900"),
    *("--name", "슬림 요금제", "--buyer-name", NAME, "--buyer-tel", TEL),
)
CHANGE = ("billing-key", "change", *REGISTER[2:])
BECAUSE = ("--reason", "해지 요청", "--requester", "customer")


def opened(dalmada: Commands, *arguments: str, **variables: str | None) -> Printed:
    environment = {"DALMADA_PORTONE_CHANNEL_KEY": CHANNEL, **variables}
    return dalmada(*arguments, stdin=KEY, **environment)


def rows(world: World, table: str) -> list[Row[Any]]:
    return world.run(world.rows(f"SELECT * FROM {table} ORDER BY created_at"))  # noqa: S608


@pytest.fixture
def key(world: World) -> Row[Any]:
    """A living key with one subscription."""
    world.run(world.subscribe())
    plant(world)
    return rows(world, "billing_keys")[0]


class TestListAndShow:
    def test_give_programs_documents_with_everything_secret_masked(
        self, dalmada: Commands, world: World, key: Row[Any]
    ) -> None:
        document = {
            "id": key.id,
            "status": "active",
            "generation": 1,
            "customer_uid_masked": "plan…41",
            "buyer_name_masked": "심청…미",
            "buyer_email_masked": None,
            "buyer_tel_masked": "010-…41",
            "subscriptions": 1,
            "window": None,
            "delete_reason": None,
            "delete_requester": None,
            "delete_asked_at": None,
            "created_at": key.created_at.isoformat(),
        }
        listed = dalmada.process("billing-key", "list", "--json", DALMADA_REDIS_URL=None)
        assert (listed.status, listed.err) == (0, "")
        assert listed.json == {"billing_keys": [document], "more": False}
        (subscription,) = rows(world, "subscriptions")
        shown = dalmada("billing-key", "show", str(key.id), "--json")
        assert shown.json == {**document, "subscription_ids": [str(subscription.id)]}
        assert_untold(listed.out, shown.out)

    def test_tell_people_the_same(self, dalmada: Commands, world: World, key: Row[Any]) -> None:
        opened(dalmada, *CHANGE, "--yes")
        (window,) = rows(world, "windows")
        listed = dalmada("billing-key", "list")
        assert "change ready" in listed.out
        shown = dalmada("billing-key", "show", str(key.id))
        assert shown.fields()["customer_uid"] == "plan…41"
        assert window.merchant_uid in shown.fields()["window"]
        assert window.expires_at.isoformat() in shown.fields()["window"]
        assert_untold(listed.out, listed.err, shown.out, shown.err)

    def test_can_be_kept_to_a_status(self, dalmada: Commands, world: World, key: Row[Any]) -> None:
        world.run(world.subscribe(2))
        world.run(world.rows("UPDATE billing_keys SET status = 'dead' WHERE id = :i", i=key.id))
        done = dalmada("billing-key", "list", "--status", "dead", "--json")
        assert [item["id"] for item in done.json["billing_keys"]] == [key.id]
        done = dalmada("billing-key", "list", "--limit", "1", "--json")
        assert (len(done.json["billing_keys"]), done.json["more"]) == (1, True)

    def test_of_one_that_does_not_exist_says_so(self, dalmada: Commands) -> None:
        done = dalmada("billing-key", "show", "7")
        assert (done.status, done.out) == (1, "")
        assert "there is no billing key 7" in done.err


class TestAWindow:
    def test_prints_what_the_page_calls_with_for_programs(
        self, dalmada: Commands, world: World
    ) -> None:
        done = opened(dalmada, *REGISTER, "--yes", "--json", DALMADA_REDIS_URL=None)
        assert (done.status, done.err) == (0, "")
        (window,), (key,) = rows(world, "windows"), rows(world, "billing_keys")
        assert done.json == {
            "command_id": window.command_id,
            "window_id": str(window.id),
            "merchant_uid": window_merchant_uid(window.id),
            "status": "ready",
            "expires_at": window.expires_at.isoformat(),
            "parameters": {
                "channelKey": CHANNEL,
                "merchant_uid": window.merchant_uid,
                "name": "슬림 요금제",
                "amount": 9_900,
                "naverPopupMode": True,
                "naverProductCode": window.parameters["naverProductCode"],
                "naverProductCount": 1,
                "customer_uid": KEY,
                "buyer_name": NAME,
                "buyer_tel": TEL,
            },
        }
        assert (key.status, key.customer_uid, key.buyer_tel) == ("pending", KEY, TEL)
        assert str(key.id) in window.parameters["naverProductCode"]
        (entry,) = audited(world)
        assert (entry.actor, entry.action) == (ACTOR, "billing-key register")
        assert (entry.subject, entry.reason) == ("a new billing key", None)
        assert entry.details["window_id"] == str(window.id)
        assert_untold(everything_told(world))

    def test_prints_it_for_people_as_a_call(self, dalmada: Commands, world: World) -> None:
        done = opened(dalmada, *REGISTER, "--yes")
        head, call = done.out.split("\n\n")
        (window,) = rows(world, "windows")
        assert window.merchant_uid in head
        assert call.startswith("IMP.request_pay(\n{")
        parameters = json.loads(call.removeprefix("IMP.request_pay(").rstrip().removesuffix(")"))
        assert (parameters["customer_uid"], parameters["buyer_tel"]) == (KEY, TEL)
        # What is shown before goes where logs may go.
        assert_untold(done.err)

    def test_of_a_living_key_may_only_be_a_change(
        self, dalmada: Commands, world: World, key: Row[Any]
    ) -> None:
        refused = opened(dalmada, *REGISTER, "--yes")
        assert (refused.status, refused.out) == (1, "")
        assert "CHANGE" in refused.err
        assert_untold(refused.err)
        assert rows(world, "windows") == []
        done = opened(dalmada, *CHANGE, "--yes", "--json")
        assert done.status == 0, done.err
        assert done.json["parameters"]["naverActionType"] == "CHANGE"
        (entry,) = audited(world)
        assert entry.subject == f"billing key {key.id}"
        assert rows(world, "billing_keys")[0].status == "active"

    def test_shows_which_window_it_takes_the_place_of(
        self, dalmada: Commands, world: World, key: Row[Any]
    ) -> None:
        opened(dalmada, *CHANGE, "--yes")
        (first,) = rows(world, "windows")
        done = at_terminal(
            dalmada,
            *(item for item in CHANGE if item not in {"--customer-uid", "-"}),
            answer="n",
            DALMADA_PORTONE_CHANNEL_KEY=CHANNEL,
            DALMADA_CUSTOMER_UID=KEY,
        )
        assert done.status == 1
        assert f"billing key         plan…41, number {key.id}, active" in done.err
        assert first.merchant_uid in done.err.partition("takes the place of")[2]
        assert "naverActionType     CHANGE" in done.err
        assert "buyer name          심청…미" in done.err
        assert_untold(done.out, done.err)
        assert [row.status for row in rows(world, "windows")] == ["ready"]

    @pytest.mark.parametrize(
        ("command", "variables", "status", "words"),
        [
            (REGISTER, {"DALMADA_PORTONE_CHANNEL_KEY": None}, 1, "DALMADA_PORTONE_CHANNEL_KEY"),
            (REGISTER, {"DALMADA_PORTONE_PG": "naverpay.x"}, 2, "set one of them"),
            (
                REGISTER,
                {"DALMADA_PORTONE_CHANNEL_KEY": None, "DALMADA_PORTONE_PG": "kakaopay"},
                2,
                "pg must be 'naverpay'",
            ),
            (CHANGE, {"DALMADA_NAVER_CHANGE_ENABLED": "false"}, 1, "CHANGE"),
            (REGISTER, {"DALMADA_MINIMUM_AMOUNT": "10000"}, 1, "최소 결제 금액은 10,000원입니다."),
            (REGISTER, {"DALMADA_WINDOW_TTL_S": "0"}, 2, "DALMADA_WINDOW_TTL_S"),
        ],
    )
    def test_that_the_settings_do_not_allow_is_refused_in_words(
        self,
        dalmada: Commands,
        world: World,
        command: tuple[str, ...],
        variables: dict[str, str | None],
        status: int,
        words: str,
    ) -> None:
        if command is CHANGE:
            world.run(world.subscribe())
            plant(world)
        done = opened(dalmada, *command, "--yes", **variables)
        assert (done.status, done.out) == (status, "")
        assert words in done.err
        assert_untold(done.err)
        assert rows(world, "windows") == []

    def test_of_a_key_that_nobody_knows_cannot_be_a_change(
        self, dalmada: Commands, world: World
    ) -> None:
        done = opened(dalmada, *CHANGE, "--yes")
        assert (done.status, done.out) == (1, "")
        assert_untold(done.err)
        assert rows(world, "billing_keys") == []

    @pytest.mark.parametrize(
        ("arguments", "fault"),
        [
            (("--customer-uid", KEY), "process list"),
            (("--amount", "0"), "--amount"),
            (("--name", "가" * 41), "--name"),
            (("--buyer-tel", "0" * 17), "buyer telephone"),
            (("--product-count", "0"), "--product-count"),
        ],
    )
    def test_with_a_wrong_value_is_refused_in_words(
        self, dalmada: Commands, arguments: tuple[str, ...], fault: str
    ) -> None:
        done = opened(dalmada, *REGISTER, *arguments, "--yes")
        assert (done.status, done.out) == (2, "")
        assert fault in done.err
        assert_untold(done.err)

    def test_without_a_terminal_needs_yes(self, dalmada: Commands, world: World) -> None:
        done = opened(dalmada, *REGISTER)
        assert (done.status, done.out) == (2, "")
        assert "--yes" in done.err
        assert rows(world, "windows") == []


class TestDelete:
    def test_is_refused_while_anybody_is_billed_with_it(
        self, dalmada: Commands, world: World, key: Row[Any]
    ) -> None:
        done = dalmada("billing-key", "delete", str(key.id), *BECAUSE, "--yes")
        assert (done.status, done.out) == (1, "")
        assert "1 subscriptions are billed with the billing key" in done.err
        assert rows(world, "billing_keys")[0].status == "active"
        assert audited(world) == []

    def test_is_asked_for_once_and_written_down(
        self, dalmada: Commands, world: World, key: Row[Any]
    ) -> None:
        world.run(
            world.rows("UPDATE subscriptions SET status = 'canceled', next_renewal_at = NULL")
        )
        done = at_terminal(
            dalmada, "billing-key", "delete", str(key.id), *BECAUSE, "--json", answer="y"
        )
        assert done.status == 0, done.err
        (row,), (entry,) = rows(world, "billing_keys"), audited(world)
        assert (row.status, row.delete_reason) == ("deleting", "해지 요청")
        assert row.delete_requester == "customer"
        assert done.json == {
            "command_id": entry.details["command_id"],
            "billing_key_id": key.id,
            "status": "deleting",
        }
        assert (entry.actor, entry.action) == (ACTOR, "billing-key delete")
        assert (entry.subject, entry.reason) == (f"billing key {key.id}", "해지 요청")
        assert "customer_uid  plan…41" in done.err
        assert_untold(done.out, done.err, everything_told(world))
        shown = dalmada("billing-key", "show", str(key.id))
        assert shown.fields()["reason"] == "해지 요청"
        again = dalmada("billing-key", "delete", str(key.id), *BECAUSE, "--yes")
        assert again.status == 1
        assert "is deleting already" in again.err

    def test_of_one_that_does_not_exist_says_so(self, dalmada: Commands) -> None:
        done = dalmada("billing-key", "delete", "7", *BECAUSE, "--yes")
        assert (done.status, done.out) == (1, "")
        assert "there is no billing key 7" in done.err
