"""The gateway's channels held against the settings: what is a fault, and what proves nothing."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
import structlog

from shared.billing.gateway_channel import GatewayChannel
from shared.billing.inquiry import StillUnresolved
from shared.billing.window_channel import Channel
from worker.services.channel_check import ChannelTerms, CheckChannels, faults_of


def channel(**changes: Any) -> GatewayChannel:
    usual: dict[str, Any] = {
        "pg_provider": "naverpay",
        "pg_id": "partner",
        "is_test": False,
        "kind": "payment",
        "name": "네이버페이",
        "key": "channel-key-1",
    }
    return GatewayChannel(**{**usual, **changes})


LIVE, TEST = channel(), channel(is_test=True, pg_id="partner-test", key="channel-key-2")
CARD = channel(pg_provider="html5_inicis", pg_id="MOI", key="channel-key-3")
IDENTITY = channel(kind="certification", pg_id="identity", key="channel-key-4")
BY_KEY, BY_PG = Channel(channel_key="channel-key-1"), Channel(pg="naverpay.partner")


@pytest.mark.parametrize(
    ("channels", "terms"),
    [
        ([LIVE], ChannelTerms(is_test=False)),
        ([TEST], ChannelTerms(is_test=True)),
        ([CARD, TEST, LIVE], ChannelTerms(is_test=False)),
        ([CARD, TEST, LIVE], ChannelTerms(is_test=True)),
        ([TEST, LIVE], ChannelTerms(False, BY_KEY)),
        ([TEST, LIVE], ChannelTerms(False, BY_PG)),
        ([TEST, LIVE], ChannelTerms(True, Channel(channel_key="channel-key-2"))),
        ([TEST, LIVE], ChannelTerms(True, Channel(pg="naverpay"))),
        # One partner id may have a channel of each kind.
        ([channel(is_test=True), LIVE], ChannelTerms(False, BY_PG)),
        # No channel tells a key: nothing can be said of ours.
        ([channel(key=None)], ChannelTerms(False, BY_KEY)),
        ([channel(kind=None)], ChannelTerms(is_test=False)),
    ],
)
def test_channels_that_fit_are_no_fault(
    channels: list[GatewayChannel], terms: ChannelTerms
) -> None:
    assert faults_of(channels, terms) == ()


@pytest.mark.parametrize(
    ("channels", "terms", "words"),
    [
        ([], ChannelTerms(is_test=False), ["no Naver Pay channel"]),
        ([CARD, IDENTITY], ChannelTerms(False, BY_KEY), ["no Naver Pay channel"]),
        ([TEST, CARD], ChannelTerms(is_test=False), ["is false, and every Naver Pay channel"]),
        ([LIVE, CARD], ChannelTerms(is_test=True), ["is true, and every Naver Pay channel"]),
        (
            [LIVE],
            ChannelTerms(False, Channel(channel_key="channel-key-9")),
            ["DALMADA_PORTONE_CHANNEL_KEY is none of the gateway's channels"],
        ),
        (
            [LIVE],
            ChannelTerms(False, Channel(pg="naverpay.other")),
            ["DALMADA_PORTONE_PG is none of the gateway's channels"],
        ),
        (
            [LIVE, CARD],
            ChannelTerms(False, Channel(channel_key="channel-key-3")),
            ["DALMADA_PORTONE_CHANNEL_KEY is a channel that Naver Pay does not collect by"],
        ),
        (
            [LIVE, IDENTITY],
            ChannelTerms(False, Channel(channel_key="channel-key-4")),
            ["DALMADA_PORTONE_CHANNEL_KEY is a channel that Naver Pay does not collect by"],
        ),
        (
            [LIVE, TEST],
            ChannelTerms(False, Channel(channel_key="channel-key-2")),
            ["DALMADA_PORTONE_CHANNEL_KEY is for tests, and DALMADA_PORTONE_TEST_MODE is false"],
        ),
        (
            [LIVE, TEST],
            ChannelTerms(True, BY_PG),
            ["DALMADA_PORTONE_PG moves real money, and DALMADA_PORTONE_TEST_MODE is true"],
        ),
        (
            [LIVE],
            ChannelTerms(True, BY_KEY),
            ["is true, and every Naver Pay channel", "DALMADA_PORTONE_CHANNEL_KEY moves real"],
        ),
    ],
)
def test_channels_that_do_not_fit_are_told_with_the_setting_to_change(
    channels: list[GatewayChannel], terms: ChannelTerms, words: list[str]
) -> None:
    faults = faults_of(channels, terms)

    assert len(faults) == len(words)
    for fault, part in zip(faults, words, strict=True):
        assert part in fault


class Console:
    """A gateway whose console shows these channels, or that cannot be asked."""

    def __init__(self, shown: Sequence[GatewayChannel] | StillUnresolved) -> None:
        self.shown = shown

    async def channels(self) -> Sequence[GatewayChannel] | StillUnresolved:
        return self.shown


def looked(
    shown: Sequence[GatewayChannel] | StillUnresolved,
) -> tuple[object, list[tuple[str, str]]]:
    with structlog.testing.capture_logs() as logs:
        answer = asyncio.run(CheckChannels(Console(shown), ChannelTerms(is_test=False))())
    return answer, [(line["log_level"], line["event"]) for line in logs]


def test_every_fault_is_an_error_in_the_log() -> None:
    assert looked([LIVE]) == ((), [])
    faults, lines = looked([TEST])
    assert isinstance(faults, tuple)
    assert len(faults) == 1
    assert lines == [("error", "channels_differ")]


def test_a_gateway_that_cannot_be_asked_is_no_fault() -> None:
    answer, lines = looked(StillUnresolved("ConnectError"))

    assert answer == StillUnresolved("ConnectError")
    assert lines == [("warning", "channels_not_checked")]
