"""Which addresses a merchant's endpoint may have."""

import socket

import pytest

from worker.events.addresses import refusal, url_fault
from worker.events.http import checked_socket

# Both kinds for each reason; every one of them has been used against somebody.
ALWAYS_REFUSED = [
    ("169.254.169.254", "link-local"),
    ("fe80::1", "link-local"),
    ("fe80::1%eth0", "link-local"),
    ("::ffff:169.254.169.254", "link-local"),
    ("224.0.0.1", "multicast"),
    ("ff02::1", "multicast"),
    ("0.0.0.0", "unspecified"),  # noqa: S104 - nobody listens there
    ("::", "unspecified"),
    ("0.1.2.3", "reserved"),
    ("240.0.0.1", "reserved"),
    ("255.255.255.255", "reserved"),
    ("192.0.2.1", "reserved"),
    ("198.18.0.1", "reserved"),
    ("198.51.100.7", "reserved"),
    ("203.0.113.7", "reserved"),
    ("2001:db8::1", "reserved"),
    ("100::1", "reserved"),
    ("64:ff9b::a9fe:a9fe", "link-local"),
    ("2002:a9fe:a9fe::1", "link-local"),
]
REFUSED_UNLESS_ALLOWED = [
    ("127.0.0.1", "loopback"),
    ("127.8.8.8", "loopback"),
    ("::1", "loopback"),
    ("::ffff:127.0.0.1", "loopback"),
    ("::127.0.0.1", "loopback"),
    ("10.0.0.5", "private"),
    ("172.16.0.1", "private"),
    ("172.31.255.255", "private"),
    ("192.168.1.1", "private"),
    ("::ffff:192.168.1.1", "private"),
    ("100.64.0.1", "private"),
    ("100.127.255.254", "private"),
    ("fc00::1", "private"),
    ("fd12:3456::1", "private"),
    ("64:ff9b::a00:5", "private"),
    ("2002:a00:5::1", "private"),
]
TAKEN = [
    *("1.1.1.1", "8.8.8.8", "172.15.0.1", "172.32.0.1", "100.63.255.255", "100.128.0.1"),
    *("2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"),
]


@pytest.mark.parametrize("allow_private", [False, True])
@pytest.mark.parametrize(("host", "kind"), ALWAYS_REFUSED)
def test_nobody_is_let_to_what_no_endpoint_can_be(
    host: str, kind: str, allow_private: bool
) -> None:
    assert refusal(host, allow_private=allow_private) == f"{host} is a {kind} address"


@pytest.mark.parametrize(("host", "kind"), REFUSED_UNLESS_ALLOWED)
def test_what_the_internet_does_not_reach_must_be_allowed(host: str, kind: str) -> None:
    assert refusal(host, allow_private=False) == f"{host} is a {kind} address"
    assert refusal(host, allow_private=True) is None


@pytest.mark.parametrize("allow_private", [False, True])
@pytest.mark.parametrize("host", TAKEN)
def test_what_the_internet_reaches_is_taken(host: str, allow_private: bool) -> None:
    assert refusal(host, allow_private=allow_private) is None


def test_no_socket_is_made_for_an_address_that_is_refused() -> None:
    def info(place: tuple[str, int]) -> tuple[int, int, int, str, tuple[str, int]]:
        return (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", place)

    with pytest.raises(OSError, match="10\\.0\\.0\\.5 is a private address"):
        checked_socket(info(("10.0.0.5", 443)), allow_private=False)
    checked_socket(info(("10.0.0.5", 443)), allow_private=True).close()


@pytest.mark.parametrize(
    ("url", "private", "fault"),
    [
        ("http://shop.example.com/", False, "must begin with https://"),
        ("ftp://shop.example.com/", True, "must begin with https://"),
        ("shop.example.com", False, "must begin with https://"),
        ("https://", False, "names no host"),
        ("https://user:word@shop.example.com/", False, "a user, a password"),
        ("https://shop.example.com/#part", False, "a fragment"),
        ("https://shop.example.com:99999/", False, "it is no address"),
        ("https://[::1/", False, "it is no address"),
        ("https://shop example.com/", False, "visible ASCII"),
        ("https://shop.example.com/\r\nX: y", False, "visible ASCII"),
        ("https://가게.example.com/", False, "visible ASCII"),
        ("https://shop.example.com/" + "a" * 2_000, False, "at most 2000"),
        ("https://127.0.0.1/", False, "loopback"),
        ("https://[::1]:8443/", False, "loopback"),
        ("https://169.254.169.254/latest/meta-data", True, "link-local"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_in_words(
    url: str, private: bool, fault: str
) -> None:
    assert fault in str(url_fault(url, allow_private=private))


@pytest.mark.parametrize(
    ("url", "private"),
    [
        ("https://shop.example.com/hooks?token=1", False),
        ("https://shop.example.com:8443", False),
        ("https://8.8.8.8/", False),
        ("http://127.0.0.1:8080/hooks", True),
        ("http://shop.internal/", True),
    ],
)
def test_an_address_that_can_be_used_is_taken(url: str, private: bool) -> None:
    assert url_fault(url, allow_private=private) is None
