"""Who may send: an address is believed from our own proxies only."""

import pytest

from tests.integration.receiver.conftest import PORTONE, Door

PAID = {"imp_uid": "imp_1", "status": "paid"}
PROXY, OTHER_PROXY = "10.0.0.1", "10.0.0.2"


def status(door: Door, peer: str, *forwarded: str) -> int:
    door.peer = peer
    door.clients.clear()
    headers = [("x-forwarded-for", line) for line in forwarded]
    return door.ask(json=PAID, headers=headers).status_code


def test_everybody_may_send_unless_it_is_said_who(door: Door) -> None:
    assert status(door, "203.0.113.9") == 200


@pytest.mark.parametrize("address", [PORTONE, "52.78.48.223", "52.78.5.241", f"::ffff:{PORTONE}"])
def test_those_who_are_named_may(door: Door, address: str) -> None:
    door.set(webhook_allowed_ips=[PORTONE, "52.78.48.223", "52.78.5.241"])
    assert status(door, address) == 200


@pytest.mark.parametrize("address", ["203.0.113.9", "52.78.100.20", "::1", "", "unix:"])
def test_others_may_not(door: Door, address: str) -> None:
    door.set(webhook_allowed_ips=[PORTONE])
    assert status(door, address) == 403
    assert door.queued() == []


def test_networks_can_be_named(door: Door) -> None:
    door.set(webhook_allowed_ips=["52.78.0.0/16", "2001:db8::/32"])
    assert status(door, PORTONE) == 200
    assert status(door, "2001:db8::7") == 200
    assert status(door, "52.79.0.1") == 403


def test_what_a_stranger_says_of_itself_is_not_believed(door: Door) -> None:
    door.set(webhook_allowed_ips=[PORTONE], webhook_trusted_proxies=[PROXY])
    assert status(door, "203.0.113.9", PORTONE) == 403


@pytest.mark.parametrize(
    ("forwarded", "expected"),
    [
        ([PORTONE], 200),
        ([f"{PORTONE}:51234"], 200),
        ([f" {PORTONE} "], 200),
        # What the sender wrote itself stands to the left of what our proxy added.
        ([f"203.0.113.9, {PORTONE}"], 200),
        ([f"{PORTONE}, 203.0.113.9"], 403),
        ([PORTONE, "203.0.113.9"], 403),
        (["203.0.113.9", PORTONE], 200),
        # Two of our proxies, one behind the other.
        ([f"{PORTONE}, {OTHER_PROXY}"], 200),
        ([f"{PORTONE}, 203.0.113.9, {OTHER_PROXY}"], 403),
        ([f"{PORTONE}, nonsense, {OTHER_PROXY}"], 403),
        ([f"{PORTONE}, nonsense"], 403),
        ([f"{PORTONE},"], 403),
        ([""], 403),
        # Nobody but our proxies had a hand in it, so it is one of them that asks.
        ([OTHER_PROXY], 403),
        ([], 403),
    ],
)
def test_behind_our_proxies_the_last_stranger_is_the_sender(
    door: Door, forwarded: list[str], expected: int
) -> None:
    door.set(webhook_allowed_ips=[PORTONE], webhook_trusted_proxies=[PROXY, OTHER_PROXY])
    assert status(door, PROXY, *forwarded) == expected


@pytest.mark.parametrize("hop", ["2001:db8::7", "[2001:db8::7]", "[2001:db8::7]:443"])
def test_an_address_of_version_six_may_stand_in_brackets(door: Door, hop: str) -> None:
    door.set(webhook_allowed_ips=["2001:db8::7"], webhook_trusted_proxies=["10.0.0.0/8"])
    assert status(door, PROXY, hop) == 200


def test_who_was_refused_is_logged(door: Door, capsys: pytest.CaptureFixture[str]) -> None:
    door.set(webhook_allowed_ips=[PORTONE])
    status(door, "203.0.113.9")
    assert "sender='203.0.113.9'" in capsys.readouterr().out
