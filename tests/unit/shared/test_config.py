"""Settings: every fault at once, in words, and never a secret in them."""

import os
import traceback
from datetime import date, timedelta

import pytest
from pydantic import SecretStr, ValidationError

from shared.billing.catch_up import CatchUp
from shared.billing.decline import DeclineClass
from shared.billing.dunning import TerminalAction
from shared.config import ReceiverSettings, Settings, SettingsError, load, load_receiver

SECRETS = {
    "DATABASE_URL": "postgresql://dalmada:planted-database-password@127.0.0.1/x",
    "REDIS_URL": "redis://:planted-redis-password@127.0.0.1:6379/0",
    "PORTONE_IMP_KEY": "planted-imp-key",
    "PORTONE_IMP_SECRET": "planted-imp-secret",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin with what must be set, and nothing of this machine's."""
    for name in [name for name in os.environ if name.upper().startswith("DALMADA_")]:
        monkeypatch.delenv(name)
    put(monkeypatch, **SECRETS)


def put(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    for name, value in values.items():
        monkeypatch.setenv(f"DALMADA_{name}", value)


def refusal() -> str:
    with pytest.raises(SettingsError) as caught:
        load()
    return str(caught.value)


def test_the_secrets_are_enough() -> None:
    settings = load()
    assert settings.database_url.get_secret_value() == SECRETS["DATABASE_URL"]
    assert settings.minimum_amount == 10
    assert settings.collection_rules.leases == settings.leases
    assert settings.catch_up_policy.choice is CatchUp.BILL_LATEST


def test_everything_that_is_missing_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRETS:
        monkeypatch.delenv(f"DALMADA_{name}")
    text = refusal()
    for name in SECRETS:
        assert f"DALMADA_{name}: Field required" in text
    assert len(text.splitlines()) == 1 + len(SECRETS)


def test_everything_that_is_wrong_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = {
        "SCAN_ROWS_MAX": "0",
        "CATCH_UP": "never",
        "HOLD_S": "-1",
        "LOG_FORMAT": "xml",
        "CHARGE_BATCH_SIZE": "many",
        "INQUIRY_GAPS_S": "[]",
        "DUNNING_DELAYS_S": "[1, 0]",
        "NO_RECORDS_NEEDED": "0",
    }
    put(monkeypatch, **wrong)
    monkeypatch.delenv("DALMADA_REDIS_URL")
    text = refusal()
    for name in (*wrong, "REDIS_URL"):
        assert f"DALMADA_{name}" in text
    assert len(text.splitlines()) == 2 + len(wrong)


def test_an_unknown_variable_harms_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    put(monkeypatch, SOMETHING_ELSE="1")
    assert load().minimum_amount == 10


def test_lists_are_read_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    put(monkeypatch, DUNNING_DELAYS_S="[60, 120.5]", INQUIRY_GAPS_S="[1]")
    rules = load().collection_rules
    assert rules.dunning.delays == (timedelta(seconds=60), timedelta(seconds=120.5))
    assert rules.inquiry.gaps == (timedelta(seconds=1),)


def test_no_dunning_at_all_is_a_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    put(monkeypatch, DUNNING_DELAYS_S="[]")
    assert load().collection_rules.dunning.delays == ()


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        load().minimum_amount = 5  # type: ignore[misc]


class TestSecrets:
    def test_none_stands_in_settings_that_are_shown(self) -> None:
        settings = load()
        shown = f"{settings} {settings!r} {settings.model_dump()} {settings.model_dump_json()}"
        assert "planted" not in shown

    @pytest.mark.parametrize(
        "wrong",
        [
            {"SCAN_ROWS_MAX": "planted-0"},
            {"LEASE_S": "1"},
            {"GATEWAY_TOTAL_TIMEOUT_S": "61", "GATEWAY_READ_TIMEOUT_S": "62"},
            {"CATCH_UP": "planted"},
        ],
        ids=str,
    )
    def test_none_stands_in_a_refusal_nor_in_its_traceback(
        self, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, str]
    ) -> None:
        put(monkeypatch, **wrong)
        with pytest.raises(SettingsError) as caught:
            load()
        assert "planted" not in "".join(traceback.format_exception(caught.value))
        assert "planted" not in repr(caught.value)

    @pytest.mark.parametrize("name", list(SECRETS))
    def test_an_empty_one_is_refused(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        """An empty key once made every attempt unknown."""
        put(monkeypatch, **{name: ""})
        assert f"DALMADA_{name}" in refusal()


class TestContradictions:
    @pytest.mark.parametrize("lease_s", ["1", "105", "104.9"])
    def test_a_lease_that_a_request_could_outlast_is_refused(
        self, monkeypatch: pytest.MonkeyPatch, lease_s: str
    ) -> None:
        put(monkeypatch, LEASE_S=lease_s)
        assert "lease" in refusal()
        assert "longer than the send window" in refusal()

    def test_the_shortest_lease_is_taken(self, monkeypatch: pytest.MonkeyPatch) -> None:
        put(monkeypatch, LEASE_S="105.1")
        assert load().leases.lease == timedelta(seconds=105.1)

    @pytest.mark.parametrize("part", ["CONNECT", "READ"])
    def test_a_total_timeout_that_is_shorter_than_a_part_is_refused(
        self, monkeypatch: pytest.MonkeyPatch, part: str
    ) -> None:
        put(monkeypatch, **{f"GATEWAY_{part}_TIMEOUT_S": "80"})
        assert "gateway_total_timeout_s" in refusal()

    @pytest.mark.parametrize("written", ["4:30", "24:00", "morning"])
    def test_a_time_of_day_that_is_none_is_refused(
        self, monkeypatch: pytest.MonkeyPatch, written: str
    ) -> None:
        put(monkeypatch, RECONCILE_AT=written)
        assert f"written like 04:30, not {written!r}" in refusal()

    def test_all_are_told_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        put(monkeypatch, LEASE_S="1", GATEWAY_READ_TIMEOUT_S="80")
        assert len(refusal().splitlines()) == 3

    def test_they_are_told_beside_single_faults(self, monkeypatch: pytest.MonkeyPatch) -> None:
        put(monkeypatch, LEASE_S="1", SCAN_ROWS_MAX="0")
        assert len(refusal().splitlines()) == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DUNNING_DELAYS_S", "60,120"),
        ("DEAD_METHOD_MARKERS", "사용 정지"),
        ("LEASE_S", "inf"),
        ("HOLD_S", "1e300"),
    ],
)
def test_a_value_that_cannot_be_read_is_a_fault_like_others(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    put(monkeypatch, **{name: value})
    assert f"DALMADA_{name}" in refusal()


def test_a_log_level_that_nobody_knows_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    put(monkeypatch, LOG_LEVEL="LOUD")
    assert "DALMADA_LOG_LEVEL" in refusal()


def test_settings_are_built_without_an_environment_as_well() -> None:
    settings = Settings(lease_s=200.0)
    assert settings.leases.lease == timedelta(seconds=200)


class TestReceiver:
    def test_its_settings_are_the_workers_of_which_one_is_a_secret(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in SECRETS:
            if name != "REDIS_URL":
                monkeypatch.delenv(f"DALMADA_{name}")
        put(monkeypatch, WEBHOOK_ALLOWED_IPS='["52.78.100.19", "2001:db8::/32"]')
        settings = load_receiver()
        assert [str(one) for one in settings.webhook_allowed_ips] == [
            "52.78.100.19/32",
            "2001:db8::/32",
        ]
        secret = {
            name
            for name, field in ReceiverSettings.model_fields.items()
            if field.annotation is SecretStr
        }
        assert secret == {"redis_url"}
        assert set(ReceiverSettings.model_fields) < set(Settings.model_fields)

    @pytest.mark.parametrize(
        ("name", "value", "words"),
        [
            ("WEBHOOK_ALLOWED_IPS", '["52.78.100"]', "DALMADA_WEBHOOK_ALLOWED_IPS_0: value is not"),
            ("WEBHOOK_ALLOWED_IPS", "52.78.100.19", "a list is written as JSON"),
            ("WEBHOOK_TRUSTED_PROXIES", '["proxy"]', "DALMADA_WEBHOOK_TRUSTED_PROXIES_0: value"),
            ("RECEIVER_PORT", "65536", "DALMADA_RECEIVER_PORT: "),
            ("WEBHOOK_QUEUE_MAX", "0", "DALMADA_WEBHOOK_QUEUE_MAX: "),
        ],
    )
    def test_a_fault_is_named(
        self, monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
    ) -> None:
        put(monkeypatch, **{name: value})
        with pytest.raises(SettingsError) as caught:
            load_receiver()
        assert words in str(caught.value)


class TestCollecting:
    def test_charges_are_made_at_all_hours_by_default(self) -> None:
        hours = load().collection_rules.hours
        assert (hours.binds, hours.spread) == (False, timedelta(0))

    def test_hours_are_read_and_given_to_renewals_and_to_claims(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put(
            monkeypatch,
            CHARGE_HOURS="09:00-22:00",
            MAINTENANCE_HOURS='["23:30-00:30", "12:00-12:10"]',
            CHARGE_SPREAD_S="600",
            CHARGE_ON_HOLIDAYS="false",
        )
        hours = load().collection_rules.hours
        assert str(hours.open) == "09:00-22:00"
        assert [str(one) for one in hours.maintenance] == ["23:30-00:30", "12:00-12:10"]
        assert hours.spread == timedelta(minutes=10)
        assert hours.is_day_off is not None
        assert [hours.is_day_off(date(2026, 5, day)) for day in (1, 4, 5)] == [True, False, True]
        assert load().renewal_policies.hours == hours

    def test_classes_have_schedules_of_their_own_beside_the_general_one(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put(
            monkeypatch,
            DUNNING_DELAYS_S="[60]",
            DUNNING_CLASS_DELAYS_S='{"limit": [90, 90], "method": null, "unknown": []}',
            DECLINE_MARKERS='{"method": ["분실"]}',
            GRACE_PERIOD_S="3600",
            DUNNING_TERMINAL_ACTION="pause",
        )
        policy = load().dunning_policy
        seconds = {
            decline_class: [delay.total_seconds() for delay in policy.delays_of(decline_class)]
            for decline_class in DeclineClass
        }
        assert seconds == {
            DeclineClass.INSUFFICIENT_BALANCE: [60],
            DeclineClass.LIMIT: [90, 90],
            DeclineClass.METHOD: [60],
            DeclineClass.GATEWAY_TROUBLE: [86_400, 172_800, 345_600],
            DeclineClass.UNKNOWN: [],
        }
        assert policy.class_of("분실된 카드") is DeclineClass.METHOD
        assert policy.grace == timedelta(hours=1)
        assert policy.terminal_action is TerminalAction.PAUSE

    def test_where_nothing_is_tried_again_no_class_is(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put(monkeypatch, DUNNING_DELAYS_S="[]")
        policy = load().dunning_policy
        assert [policy.delays_of(decline_class) for decline_class in DeclineClass] == [()] * 5

    @pytest.mark.parametrize(
        ("wrong", "told"),
        [
            ({"CHARGE_HOURS": "9-22"}, "written like 09:00-22:00, not '9-22'"),
            ({"CHARGE_HOURS": "09:00-09:00"}, "begin and end must differ"),
            ({"MAINTENANCE_HOURS": '["23:30"]'}, "written like 09:00-22:00"),
            (
                {"CHARGE_HOURS": "09:00-10:00", "MAINTENANCE_HOURS": '["08:00-09:55"]'},
                "leave less than 0:10:00 open",
            ),
            ({"CHARGE_SPREAD_S": "86401"}, "the spread of charges must be"),
            ({"CHARGE_HOURS": "09:00-22:00", "SEND_WINDOW_S": "600", "LEASE_S": "900"}, "shorter"),
            ({"DUNNING_ATTEMPTS_MAX": "3"}, "3 delays makes 4 attempts"),
            ({"DUNNING_PAY_DAYS": "[32]"}, "days of a month"),
            ({"DECLINE_MARKERS": '{"limit": [""]}'}, "must not be empty"),
            ({"DECLINE_MARKERS": '{"limit": ["x"], "method": ["x"]}'}, "stands for limit and"),
            ({"DECLINE_MARKERS": '{"poverty": ["x"]}'}, "DALMADA_DECLINE_MARKERS"),
            ({"DUNNING_CLASS_DELAYS_S": '{"limit": [0]}'}, "DALMADA_DUNNING_CLASS_DELAYS_S"),
            ({"GRACE_PERIOD_S": "-1"}, "DALMADA_GRACE_PERIOD_S"),
            ({"DUNNING_TERMINAL_ACTION": "forget"}, "DALMADA_DUNNING_TERMINAL_ACTION"),
        ],
        ids=str,
    )
    def test_what_cannot_be_followed_is_refused_in_words(
        self, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, str], told: str
    ) -> None:
        put(monkeypatch, **wrong)
        assert told in refusal()
