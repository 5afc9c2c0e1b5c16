"""Who sent a request, as far as that can be known behind proxies."""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from starlette.requests import Request

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def sender(request: Request, trusted_proxies: Sequence[Network]) -> Address | None:
    """Return the address a request came from, or None if nobody can say.

    ``X-Forwarded-For`` can be written by anyone, so it is believed as far as our own proxies wrote
    it: the first address from the right that is none of theirs is the sender's.
    """
    peer = _address(request.client.host) if request.client else None
    hops = [hop for line in request.headers.getlist("x-forwarded-for") for hop in line.split(",")]
    found = peer
    while found is not None and is_within(found, trusted_proxies) and hops:
        found = _address(hops.pop())
    return found


def is_within(address: Address, networks: Iterable[Network]) -> bool:
    """Say whether an address lies in one of some networks."""
    return any(address in network for network in networks)


def _address(text: str) -> Address | None:
    """Return an address as it stands in the header: alone, in brackets, or with a port."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # ::ffff:52.78.100.19 is how a socket for both kinds writes 52.78.100.19.
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
