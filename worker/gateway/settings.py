"""What the gateway client must be told: address, credentials, limits and every timeout."""

import math
from dataclasses import dataclass, fields
from typing import Literal
from urllib.parse import urlsplit

from pydantic import SecretStr

from worker.gateway.texts import DEAD_METHOD_MARKERS


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """The gateway as one merchant reaches it; no timeout is left to a library's default.

    Attributes:
        base_url: ``https://api.iamport.kr``, or a sandbox.
        imp_key: REST API key of the merchant.
        imp_secret: REST API secret of the merchant.
        test_mode: The merchant's channel is a test channel: its payments are only shown when
            asked for (``include_sandbox``, since 2026-01-26).
        minimum_amount: The least amount the gateway takes, in won.
        connect_timeout_s: TCP and TLS, one address.
        read_timeout_s: Between two arrivals of bytes. PortOne advises 60 s or more.
        write_timeout_s: How long bytes may stay unacknowledged. It is the kernel's to keep
            (``TCP_USER_TIMEOUT``, Linux); elsewhere only the total time-out bounds a write.
        pool_timeout_s: Waiting for a free connection.
        total_timeout_s: One call with everything in it. It must be shorter than what is left of
            an attempt's lease when its send window ends.
        connections_max: Connections held open at once.
        keep_alive_s: How long an idle connection is trusted; short, because a server that closes
            one just when it is used again makes the outcome of a charge unknown.
        body_format: How bodies are written: PortOne takes both, and JSON keeps amounts numbers.
        dead_method_markers: Parts of a ``fail_reason`` that say the buyer's means is gone for good.
    """

    base_url: str
    imp_key: SecretStr
    imp_secret: SecretStr
    test_mode: bool = False
    minimum_amount: int = 10
    connect_timeout_s: float = 5.0
    read_timeout_s: float = 60.0
    write_timeout_s: float = 10.0
    pool_timeout_s: float = 5.0
    total_timeout_s: float = 75.0
    connections_max: int = 500
    keep_alive_s: float = 15.0
    body_format: Literal["json", "form"] = "json"
    dead_method_markers: tuple[str, ...] = DEAD_METHOD_MARKERS

    def __post_init__(self) -> None:
        """Refuse settings under which no call could be right, all faults at once."""
        faults = [
            f"{field.name} must be a positive number"
            for field in fields(self)
            if field.name.endswith("_s") and not _is_positive(getattr(self, field.name))
        ]
        faults += [
            f"{name} must be 1 or more"
            for name in ("minimum_amount", "connections_max")
            if getattr(self, name) < 1
        ]
        faults += [
            f"{name} must not be empty"
            for name in ("imp_key", "imp_secret")
            if not getattr(self, name).get_secret_value()
        ]
        if not all(self.dead_method_markers):
            faults.append("an empty dead_method_marker would match every refusal")
        if fault := _fault_in_address(self.base_url):
            faults.append(fault)
        if faults:
            raise ValueError("; ".join(faults))


def _is_positive(value: float) -> bool:
    """Say whether a duration can be waited for."""
    return math.isfinite(value) and value > 0


def _fault_in_address(base_url: str) -> str | None:
    """Return in words why an address cannot be the gateway's, or None."""
    parts = urlsplit(base_url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return "base_url must be an http or https address"
    if parts.query or parts.fragment or parts.username or parts.password:
        return "base_url must hold no query, fragment or credentials"
    return None
