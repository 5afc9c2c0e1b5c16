"""Hold what the settings say of the gateway's channels against those that the merchant has there.

Keys of another account, a test channel in production or a production channel in a test show in no
reply to a charge, so it is asked about when a worker that charges starts. Nothing waits for the
answer: a gateway that is away says nothing about its channels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from shared.billing.gateway_channel import GatewayChannel
from shared.billing.inquiry import StillUnresolved
from shared.billing.window_channel import Channel

log = structlog.get_logger(__name__)

_NONE = (
    "the gateway has no Naver Pay channel for these keys: add one in its console, or set"
    " DALMADA_PORTONE_IMP_KEY and DALMADA_PORTONE_IMP_SECRET to those of the account that has one"
)


class ChannelGateway(Protocol):
    """Whoever knows the merchant's channels."""

    async def channels(self) -> Sequence[GatewayChannel] | StillUnresolved:
        """Return every channel of the merchant, or why nobody could say."""


@dataclass(frozen=True, slots=True)
class ChannelTerms:
    """What the settings say of channels.

    Attributes:
        is_test: Whether payments move no real money (``DALMADA_PORTONE_TEST_MODE``).
        channel: Through which one windows are opened, None where no window is asked for.
    """

    is_test: bool
    channel: Channel | None = None


@dataclass(frozen=True, slots=True)
class CheckChannels:
    """Say in the log what is wrong with the channels."""

    gateway: ChannelGateway
    terms: ChannelTerms

    async def __call__(self) -> tuple[str, ...] | StillUnresolved:
        """Return the faults, each of which is an error in the log, or why nobody could say."""
        found = await self.gateway.channels()
        if isinstance(found, StillUnresolved):
            log.warning("channels_not_checked", cause=found.cause)
            return found
        faults = faults_of(found, self.terms)
        for fault in faults:
            log.error("channels_differ", fault=fault)
        return faults


def faults_of(channels: Sequence[GatewayChannel], terms: ChannelTerms) -> tuple[str, ...]:
    """Return in words how the gateway's channels are not those that the settings speak of."""
    ours = [channel for channel in channels if channel.collects_by_naver_pay]
    if not ours:
        return (_NONE,)
    return (*_of_mode(ours, terms), *_of_windows(channels, terms))


def _of_mode(ours: Sequence[GatewayChannel], terms: ChannelTerms) -> Iterator[str]:
    """Say whether there is any channel of the kind that money is to move, or not to move, by."""
    if any(channel.is_test == terms.is_test for channel in ours):
        return
    if terms.is_test:
        yield (
            "DALMADA_PORTONE_TEST_MODE is true, and every Naver Pay channel of these keys moves"
            " real money: add a test channel in the gateway's console, or set it to false"
        )
    else:
        yield (
            "DALMADA_PORTONE_TEST_MODE is false, and every Naver Pay channel of these keys is for"
            " tests: add one that moves real money in the gateway's console, or set it to true"
        )


def _of_windows(channels: Sequence[GatewayChannel], terms: ChannelTerms) -> Iterator[str]:
    """Say what is wrong with the one channel that windows are opened through."""
    if terms.channel is None:
        return
    name, named = _named(channels, terms.channel)
    if named is None:
        return
    ours = [channel for channel in named if channel.collects_by_naver_pay]
    if not named:
        yield f"{name} is none of the gateway's channels for these keys: see its console for them"
    elif not ours:
        yield f"{name} is a channel that Naver Pay does not collect by: set it to one that does"
    elif all(channel.is_test != terms.is_test for channel in ours):
        kind = "moves real money" if terms.is_test else "is for tests"
        mode = str(terms.is_test).lower()
        yield f"{name} {kind}, and DALMADA_PORTONE_TEST_MODE is {mode}: set one like the other"


def _named(
    channels: Sequence[GatewayChannel], wanted: Channel
) -> tuple[str, list[GatewayChannel] | None]:
    """Return by which setting a channel is named and which it names; None if nobody can say."""
    if wanted.channel_key is not None:
        # An older gateway tells no keys at all, which says nothing about ours.
        tells = any(channel.key for channel in channels)
        found = [channel for channel in channels if channel.key == wanted.channel_key]
        return "DALMADA_PORTONE_CHANNEL_KEY", found if tells else None
    _, _, partner_id = (wanted.pg or "").partition(".")
    found = [channel for channel in channels if channel.pg_id == partner_id]
    return "DALMADA_PORTONE_PG", found if partner_id else None
