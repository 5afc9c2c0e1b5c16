"""The settings of payment windows: the channel is said in one way, or not at all."""

import pytest

from shared.billing.window_channel import Channel
from shared.config import SettingsError, load


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("DATABASE_URL", "REDIS_URL", "PORTONE_IMP_KEY", "PORTONE_IMP_SECRET"):
        monkeypatch.setenv(f"DALMADA_{name}", "given")
    return monkeypatch


def test_without_a_channel_everything_else_works() -> None:
    assert load().channel is None


@pytest.mark.parametrize(
    ("name", "value", "channel"),
    [
        ("PORTONE_CHANNEL_KEY", "channel-key-1", Channel(channel_key="channel-key-1")),
        ("PORTONE_PG", "naverpay", Channel(pg="naverpay")),
        ("PORTONE_PG", "naverpay.partner", Channel(pg="naverpay.partner")),
    ],
)
def test_either_way_names_the_channel(
    environment: pytest.MonkeyPatch, name: str, value: str, channel: Channel
) -> None:
    environment.setenv(f"DALMADA_{name}", value)
    assert load().channel == channel


def test_both_ways_at_once_are_refused(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("DALMADA_PORTONE_CHANNEL_KEY", "channel-key-1")
    environment.setenv("DALMADA_PORTONE_PG", "naverpay")
    with pytest.raises(SettingsError, match="set one of them"):
        load()


@pytest.mark.parametrize("value", ["kakaopay", "naverpay.", "naverpay partner"])
def test_another_gateway_is_refused_at_the_start(
    environment: pytest.MonkeyPatch, value: str
) -> None:
    environment.setenv("DALMADA_PORTONE_PG", value)
    with pytest.raises(SettingsError, match="naverpay"):
        load()
