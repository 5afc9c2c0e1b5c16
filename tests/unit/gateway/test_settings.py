"""Settings under which no call could be right are refused."""

from typing import Any

import pytest
from pydantic import SecretStr

from shared.billing.window_channel import Channel
from shared.config import SettingsError, load
from worker.bootstrap import channel_terms, gateway_settings
from worker.gateway.settings import GatewaySettings
from worker.services.channel_check import ChannelTerms


def settings(**changes: Any) -> GatewaySettings:
    usual: dict[str, Any] = {
        "base_url": "https://api.iamport.kr",
        "imp_key": SecretStr("planted-key"),
        "imp_secret": SecretStr("planted-secret"),
    }
    return GatewaySettings(**{**usual, **changes})


def test_the_usual_settings_wait_a_minute_for_a_reply() -> None:
    usual = settings()

    assert usual.read_timeout_s >= 60
    assert usual.total_timeout_s > usual.read_timeout_s
    assert usual.minimum_amount == 10


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "https://api.iamport.kr/", "http://[::1]/x"])
def test_an_address_may_be_any_http(url: str) -> None:
    assert settings(base_url=url).base_url == url


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"base_url": "api.iamport.kr"}, "base_url must be an http"),
        ({"base_url": "ftp://api.iamport.kr"}, "base_url must be an http"),
        ({"base_url": "https://"}, "base_url must be an http"),
        ({"base_url": "https://a:b@c"}, "no query, fragment or credentials"),
        ({"base_url": "https://c?_token=x"}, "no query, fragment or credentials"),
        ({"imp_key": SecretStr("")}, "imp_key must not be empty"),
        ({"imp_secret": SecretStr("")}, "imp_secret must not be empty"),
        ({"read_timeout_s": 0}, "read_timeout_s must be a positive number"),
        ({"write_timeout_s": -1.0}, "write_timeout_s must be a positive number"),
        ({"total_timeout_s": float("inf")}, "total_timeout_s must be a positive number"),
        ({"pool_timeout_s": float("nan")}, "pool_timeout_s must be a positive number"),
        ({"connections_max": 0}, "connections_max must be 1 or more"),
        ({"minimum_amount": 0}, "minimum_amount must be 1 or more"),
        ({"dead_method_markers": ("EXPIRED", "")}, "would match every refusal"),
    ],
    ids=str,
)
def test_each_fault_is_refused_in_words(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        settings(**changes)


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(ValueError, match=r"read_timeout_s .*; minimum_amount .*; base_url"):
        settings(read_timeout_s=0, minimum_amount=0, base_url="")


def test_the_repr_of_the_settings_holds_no_secret() -> None:
    assert "planted" not in repr(settings())


def test_the_environment_says_how_bodies_are_written_and_which_channels_are_meant(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("DATABASE_URL", "REDIS_URL", "PORTONE_IMP_KEY", "PORTONE_IMP_SECRET"):
        monkeypatch.setenv(f"DALMADA_{name}", "given")
    assert gateway_settings(load()).body_format == "json"
    assert channel_terms(load()) == ChannelTerms(is_test=False)

    monkeypatch.setenv("DALMADA_PORTONE_BODY_FORMAT", "form")
    monkeypatch.setenv("DALMADA_PORTONE_TEST_MODE", "true")
    monkeypatch.setenv("DALMADA_PORTONE_PG", "naverpay.partner")
    assert gateway_settings(load()).body_format == "form"
    assert channel_terms(load()) == ChannelTerms(True, Channel(pg="naverpay.partner"))

    monkeypatch.setenv("DALMADA_PORTONE_BODY_FORMAT", "xml")
    with pytest.raises(SettingsError, match="DALMADA_PORTONE_BODY_FORMAT"):
        load()
