"""Redis as Celery's broker, with what is no message kept from ending the worker.

Messages are hostile input, and anyone who can write to the broker can push anything onto a list.
Left to itself, the consumer ends the process on text that is no JSON, and takes half an envelope
for a lost connection. It has been popped by then and cannot be worked, so it is logged and dropped.

What an envelope says of itself is believed no further than it has to be. A message goes back to the
list it was taken from, whatever it says of its way. Its body is text in UTF-8: nothing is unpacked,
since a kilobyte can be packed that unpacks to a gigabyte.
"""

import base64
from queue import Empty
from typing import Any

import structlog
from kombu.transport import TRANSPORT_ALIASES, redis

log = structlog.get_logger(__name__)


class CarefulQoS(redis.QoS):
    """Gives messages back that nobody acknowledged, past what cannot be read."""

    # The stubs leave these out, as they do below.
    channel: Any
    _delivered: Any
    _remove_from_indices: Any

    def ack(self, delivery_tag: str) -> None:
        """Take a message off what is under way, unless its channel is closed.

        A task can end after the broker was lost. Its message comes back then, which is harmless;
        to look for the connection of a closed channel would end the worker.
        """
        if self._is_closed("message_done_and_not_acknowledged"):
            return
        super().ack(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:  # noqa: FBT001, FBT002 - kombu's
        """Give a message up or back, unless its channel is closed."""
        if self._is_closed("message_not_given_back"):
            return
        super().reject(delivery_tag, requeue)

    def _is_closed(self, event: str) -> bool:
        if self.channel.connection is not None:
            return False
        log.warning(event)
        return True

    def restore_by_tag(self, tag: str, client: Any = None, leftmost: bool = False) -> None:  # noqa: FBT001, FBT002 - kombu's
        """Put one message back; forget it if there is no message under the tag."""
        try:
            super().restore_by_tag(tag, client=client, leftmost=leftmost)
        except self.channel.passed_on:
            raise
        except Exception as error:  # noqa: BLE001 - else it would stand before all others for ever
            log.error("message_not_restored", error=type(error).__name__)  # noqa: TRY400 - no words
            self._remove_from_indices(tag).execute()

    def restore_unacked(self, client: Any = None) -> None:
        """Put everything back that this process holds, as far as the broker can be reached.

        A channel is closed because the broker is lost, too. Whatever goes wrong then would end the
        worker, and what stays unacknowledged comes back when its time is over.
        """
        try:
            super().restore_unacked(client)
        except Exception as error:  # noqa: BLE001 - of a lost connection not even the address is left
            log.warning("messages_left_until_visible", error=type(error).__name__)
            self._delivered.clear()


class CarefulChannel(redis.Channel):
    """Reads one list after another, past what cannot be read."""

    QoS = CarefulQoS

    connection: Any
    _fanout_to_queue: dict[str, str]

    @property
    def passed_on(self) -> tuple[type[Exception], ...]:
        """What the consumer knows how to deal with."""
        transport = self.connection
        if transport is None:
            return (Empty,)
        return Empty, *transport.connection_errors, *transport.channel_errors

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[misc]
        except self.passed_on:
            raise
        except Exception as error:  # noqa: BLE001 - kombu's JSON builds objects, which can fail in any way
            log.error("message_unreadable", error=type(error).__name__)  # noqa: TRY400 - no words
            return None

    def _receive_one(self, client: Any) -> Any:
        try:
            return super()._receive_one(client)  # type: ignore[misc]
        except self.passed_on:
            raise
        except Exception as error:  # noqa: BLE001 - the same
            log.error("broadcast_unreadable", error=type(error).__name__)  # noqa: TRY400 - no words
            return None

    def _deliver_fanout_message(self, message: Any, exchange: str) -> bool:
        self.connection.tell(message, self._fanout_to_queue[exchange])
        return True

    def _do_restore_message(
        self,
        payload: Any,
        exchange: str,  # noqa: ARG002 - the list is known without asking the broker for the way
        routing_key: str,
        pipe: Any,
        leftmost: bool = False,  # noqa: FBT001, FBT002 - kombu's
    ) -> None:
        if _is_envelope(payload):
            super()._do_restore_message(payload, "", routing_key, pipe, leftmost)  # type: ignore[misc]
        else:
            log.error("message_not_restored", error="NoEnvelope")


class CarefulTransport(redis.Transport):
    """Hands on only what has the form of an envelope."""

    Channel = CarefulChannel

    def _deliver(self, message: Any, queue: str | None) -> None:
        if not _is_envelope(message):
            log.error("message_without_envelope", queue=queue)
            return
        _tame(message)
        properties = message["properties"]
        properties["delivery_info"] = {
            "exchange": "",
            "routing_key": queue,
            "redelivered": properties["delivery_info"].get("redelivered") is True,
        }
        super()._deliver(message, queue)

    def tell(self, message: Any, queue: str) -> None:
        """Hand on what was told to everybody; it has been popped from no list."""
        if not _is_envelope(message):
            log.error("broadcast_without_envelope")
            return
        _tame(message)
        super()._deliver(message, queue)


def _tame(message: dict[str, Any]) -> None:
    """Have a body taken for what it must be; whatever else it is cannot be read then."""
    message["headers"].pop("compression", None)
    message["content-encoding"] = "utf-8"


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
