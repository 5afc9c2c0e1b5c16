"""Where a merchant's endpoint may be: addresses of the internet, unless the operator allows more.

Whoever can name an endpoint could else have us post to whatever our network reaches: the database's
neighbours, a cloud's metadata service, our own broker.
"""

import ipaddress
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import TypeAlias
from urllib.parse import urlsplit

from shared.billing.delivery import URL_LENGTH_MAX

Address: TypeAlias = IPv4Address | IPv6Address

# What 100.64.0.0/10 is: behind a provider's NAT, and in many clouds the inside.
_CARRIER_GRADE_NAT = ipaddress.ip_network("100.64.0.0/10")
# IPv6 in which an IPv4 address is written, which is where a packet ends up.
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_IPV4_COMPATIBLE = ipaddress.ip_network("::/96")


def refusal(host: str, *, allow_private: bool) -> str | None:
    """Return why nothing is sent to an IP address, None if it may be."""
    address = ipaddress.ip_address(host)
    kind = _kind(_inner(address))
    if kind is None or (allow_private and kind in {"private", "loopback"}):
        return None
    return f"{host} is a {kind} address"


def _inner(address: Address) -> Address:
    """Return the address that a packet to this one ends up at."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    is_small = address.is_unspecified or address.is_loopback
    if address in _NAT64 or (address in _IPV4_COMPATIBLE and not is_small):
        return IPv4Address(address.packed[-4:])
    return address


def _kind(address: Address) -> str | None:
    """Return what is special about an address, None if it is one of the internet's."""
    kinds = {
        "multicast": address.is_multicast,
        "unspecified": address.is_unspecified,
        "loopback": address.is_loopback,
        # A cloud's metadata service is at such a one: allowed to nobody.
        "link-local": address.is_link_local,
        "private": address in _CARRIER_GRADE_NAT or _is_within(address),
        "reserved": address.is_reserved or not address.is_global,
    }
    return next((kind for kind, applies in kinds.items() if applies), None)


_WITHIN = tuple(
    ipaddress.ip_network(network)
    for network in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
)


def _is_within(address: Address) -> bool:
    return any(address in network for network in _WITHIN)


def url_fault(url: str, *, allow_private: bool) -> str | None:
    """Return what is wrong with an endpoint's address as it is written, None if nothing is.

    Where its name leads to is looked at whenever something is sent: it may lead elsewhere by then.
    """
    fault = next(_faults(url, allow_private=allow_private), None)
    if fault is not None:
        return fault
    try:
        return refusal(urlsplit(url).hostname or "", allow_private=allow_private)
    except ValueError:
        # A name, not an address.
        return None


def _faults(url: str, *, allow_private: bool) -> Iterator[str]:
    if len(url) > URL_LENGTH_MAX or not url.isascii() or not url.isprintable() or " " in url:
        yield f"an address is at most {URL_LENGTH_MAX} visible ASCII characters"
        return
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        yield "it is no address: https://shop.example.com/webhooks"
        return
    if parts.scheme != "https" and not (parts.scheme == "http" and allow_private):
        yield "it must begin with https:// (http:// is for private addresses, where allowed)"
    if not host:
        yield "it names no host: https://shop.example.com/webhooks"
    if parts.username is not None or parts.password is not None or parts.fragment:
        yield "a user, a password or a fragment (#…) has no place in it"
