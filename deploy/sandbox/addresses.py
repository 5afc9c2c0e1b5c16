"""Which addresses the sandbox will ever call: this machine's, so that no test can leave it."""

from ipaddress import ip_address
from urllib.parse import urlsplit


def fault_of(url: str) -> str | None:
    """Say why a webhook is not sent to an address; None if it is."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        return f"it is no URL: {error}"
    if parts.scheme != "http":
        return "it must begin with http://"
    if parts.username is not None or parts.password is not None:
        return "it must not hold a name or password"
    if not host or port == 0:
        return "it must name a host and a port, such as http://127.0.0.1:8080/webhook"
    if not _is_loopback(host):
        return f"the host must be a loopback address such as 127.0.0.1, and {host!r} is none"
    return None


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
