"""Redis as Celery's broker, with what is no message kept from ending the worker.

Messages are hostile input, and anyone who can write to the broker can push anything onto a list.
Left to itself, the consumer ends the process on text that is no JSON, and takes half an envelope
for a lost connection. It has been popped by then and cannot be worked, so it is logged and dropped.
"""

import base64
from typing import Any

import structlog
from kombu.transport import TRANSPORT_ALIASES, redis

log = structlog.get_logger(__name__)


class CarefulChannel(redis.Channel):
    """Reads one list after another, past what cannot be read."""

    def _brpop_read(self, **options: Any) -> Any:
        try:
            # The stubs leave it out.
            return super()._brpop_read(**options)  # type: ignore[misc]
        except (ValueError, RecursionError) as error:
            log.error("message_unreadable", error=type(error).__name__)  # noqa: TRY400
            return None


class CarefulTransport(redis.Transport):
    """Hands on only what has the form of an envelope."""

    Channel = CarefulChannel

    def _deliver(self, message: Any, queue: str | None) -> None:
        if not _is_envelope(message):
            log.error("message_without_envelope", queue=queue)
            return
        super()._deliver(message, queue)


def _is_envelope(message: Any) -> bool:
    """Say whether a payload has the parts that the consumer takes for granted."""
    if not isinstance(message, dict) or "body" not in message:
        return False
    properties = message.get("properties")
    if not isinstance(properties, dict) or not isinstance(message.get("headers"), dict):
        return False
    delivery = properties.get("delivery_info")
    return (
        isinstance(delivery, dict)
        and {"exchange", "routing_key"} <= delivery.keys()
        and isinstance(properties.get("delivery_tag"), str)
        and _is_decodable(message["body"], properties.get("body_encoding"))
    )


def _is_decodable(body: Any, encoding: object) -> bool:
    """Say whether a body is what its encoding says; what it then holds is looked at later."""
    if not encoding or not body or (isinstance(encoding, str) and encoding.lower() == "utf-8"):
        return True
    if encoding != "base64":
        return False
    try:
        base64.b64decode(body)
    except (TypeError, ValueError):
        return False
    return True


def read_messages_with_care() -> None:
    """Have every ``redis://`` and ``rediss://`` broker of this process read through the above."""
    path = f"{CarefulTransport.__module__}:{CarefulTransport.__qualname__}"
    TRANSPORT_ALIASES.update(redis=path, rediss=path)
