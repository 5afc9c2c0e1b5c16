"""Keeps what messages say out of all that Celery shows: events, inspection, Flower and logs.

A merchant's command names people and billing keys. Celery repeats a message's arguments in events
(``task-received``, and ``task-sent`` from the merchant's own process), to ``celery inspect``, and
whole in its logs when it makes nothing of a message. Shown is only what our own messages carry:
ids. The rest reads ``hidden``.

Messages are hostile input besides. Nothing but our own tasks can be asked for, nothing runs after
them, nothing waits in a worker, and nobody steers a worker from afar.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from celery import Task
from celery.app.events import Events
from celery.events.dispatcher import EventDispatcher
from celery.events.receiver import EventReceiver
from celery.exceptions import InvalidTaskError
from celery.utils.log import get_logger
from celery.utils.saferepr import saferepr
from celery.worker.consumer import Consumer
from celery.worker.control import Panel
from celery.worker.request import Request

from shared.jobs.contracts import JOBS

HIDDEN = "hidden"
ID_FIELDS: Mapping[str, frozenset[str]] = {
    job.task: frozenset(name for name in job.model_fields if name.endswith("_ids")) for job in JOBS
}
_ID = r"(?:\d{1,19}|'[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}')"
# As Celery writes keyword arguments that are one list of ids. What is too long for it ends in
# dots, and the last id before them may be half an id.
IDS = re.compile(
    rf"\{{'(?P<field>\w+)': \[(?P<ids>(?:{_ID}, )*)"
    rf"(?:(?P<last>{_ID})?|[0-9a-f'-]{{0,37}}(?P<cut>\.{{3}}'?(?:, \.{{3}})?|, \.{{3}}))\]\}}"
)
_NOTHING = frozenset({"", "()", "[]", "{}", "None"})
_REPR_LENGTH_MAX = 1_024
_EXCEPTION = re.compile(r"[\w.]+")
_FRAME = re.compile(r'^ +File ".*", line \d+, in .*$', re.MULTILINE)
_NO_CALL = "it is no call as Celery's protocol writes one"
_TASK = re.compile(r"[a-z_.]{1,64}")
_TASK_ID = re.compile(r"[!-~]{1,128}")
# Of a message's headers. Any other may be left out, so it is: some would run further tasks.
_HEADERS_TAKEN = ("id", "task", "expires", "argsrepr", "kwargsrepr")
_ANCESTORS = ("root_id", "parent_id")
# What may be asked of a worker over the broker: to look, and what Flower asks again and again.
ANSWERED = frozenset(
    {"active", "active_queues", "clock", "conf", "enable_events", "ping", "query_task"}
    | {"registered", "reserved", "revoked", "scheduled", "stats"}
)

log = structlog.get_logger(__name__)
_celery_log = get_logger(__name__)


def shown_arguments(task: object, text: str) -> str:
    """Return how a message's arguments may be shown, given the way Celery writes them."""
    if text in _NOTHING:
        return text
    fields = ID_FIELDS.get(str(task), frozenset())
    # An id is short, so a text made to keep the expression busy is not looked at.
    match = IDS.fullmatch(text) if len(text) <= 2 * _REPR_LENGTH_MAX else None
    return text if match is not None and match["field"] in fields else HIDDEN


def shown_exception(text: str) -> str:
    """Return the kind of an exception without its words, which may quote a row or a message."""
    found = _EXCEPTION.match(text)
    return found[0] if found else HIDDEN


def shown_traceback(text: str) -> str:
    """Return where an exception came from, without the lines that quote it."""
    return "\n".join(_FRAME.findall(text))


_SHOWN: Mapping[str, Callable[[object, str], str]] = {
    "args": shown_arguments,
    "kwargs": shown_arguments,
    "exception": lambda _, text: shown_exception(text),
    "traceback": lambda _, text: shown_traceback(text),
}


def shown_event(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return an event about a task with what it says of the message hidden."""
    name = event.get("name")
    return {
        key: _SHOWN[key](name, str(value)) if key in _SHOWN and value is not None else value
        for key, value in event.items()
    }


class QuietDispatcher(EventDispatcher):
    """Tells others of tasks, and not what their messages say."""

    def publish(self, type: str, fields: Mapping[str, Any], *args: Any, **options: Any) -> Any:  # noqa: A002 - Celery's name
        """Tell one event through a given producer."""
        return super().publish(type, shown_event(fields), *args, **options)

    def send(self, type: str, *args: Any, **fields: Any) -> Any:  # noqa: A002 - Celery's name
        """Tell one event."""
        return super().send(type, *args, **shown_event(fields))


class QuietReceiver(EventReceiver):
    """Hears what others tell of tasks, as merchants do when they send, and forgets the words."""

    def event_from_message(
        self, body: Any, *args: Any, **options: Any
    ) -> tuple[str, dict[str, Any]]:
        """Return the kind of an event and the event."""
        return super().event_from_message(shown_event(body), *args, **options)


class QuietEvents(Events):
    """The two above, as Celery wants them."""

    dispatcher_cls = f"{__name__}:{QuietDispatcher.__qualname__}"
    receiver_cls = f"{__name__}:{QuietReceiver.__qualname__}"


class EnvelopeError(InvalidTaskError):
    """A message is no call of a task; the text says why and quotes nothing."""


class QuietRequest(Request):
    """A message in a worker, which does not tell what it says."""

    _args: object
    _kwargs: object
    _argsrepr: Any
    _kwargsrepr: Any
    _payload: Any
    _request_dict: dict[str, Any]

    def __init__(self, message: Any, **options: Any) -> None:
        """Take a message, and refuse one whose parts Celery would stumble over later."""
        given = options.pop("headers", None)
        headers = _headers(message.headers if given is None else given)
        try:
            super().__init__(message, headers=headers, **options)
        except InvalidTaskError:
            raise EnvelopeError("headers.expires must be ISO 8601") from None
        except (KeyError, TypeError, ValueError):
            raise EnvelopeError(_NO_CALL) from None
        if not isinstance(self._args, list | tuple) or not isinstance(self._kwargs, dict):
            raise EnvelopeError("the body must be [[], {keyword arguments}, {}]")
        embedded: object = self._payload[2]
        if not isinstance(embedded, dict | None) or any((embedded or {}).values()):
            raise EnvelopeError("nothing may follow a message: leave callbacks and chains out")
        # Whoever does not write Celery's own headers sends no texts of the arguments.
        self._argsrepr = shown_arguments(self.type, self._text(self._argsrepr, self._args))
        self._kwargsrepr = shown_arguments(self.type, self._text(self._kwargsrepr, self._kwargs))
        self._request_dict.update(argsrepr=self._argsrepr, kwargsrepr=self._kwargsrepr)

    @staticmethod
    def _text(given: object, arguments: object) -> str:
        return given if isinstance(given, str) and given else saferepr(arguments, _REPR_LENGTH_MAX)

    def info(self, safe: bool = False) -> Any:  # noqa: ARG002, FBT001, FBT002 - Celery's
        """Return what ``celery inspect`` and Flower show of a message that is here."""
        return super().info(safe=True)


def _headers(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of a message's headers that are taken."""
    if "id" not in given:
        raise EnvelopeError(_NO_CALL)
    if not _is_id(given["id"]):
        raise EnvelopeError("headers.id must be text: 128 visible ASCII characters at most")
    if given.get("eta") is not None:
        # A worker holds a limited number of these, and then takes no more messages in.
        raise EnvelopeError("nothing waits in a worker: leave headers.eta out")
    taken = {name: given[name] for name in _HEADERS_TAKEN if name in given}
    return taken | {name: given[name] for name in _ANCESTORS if _is_id(given.get(name))}


def _is_id(value: object) -> bool:
    return isinstance(value, str) and _TASK_ID.fullmatch(value) is not None


class QuietTask(Task[Any, Any]):
    """A task whose messages are quiet."""

    Request = f"{__name__}:{QuietRequest.__qualname__}"


class QuietConsumer(Consumer):
    """Takes messages in, and neither dies of one that Celery makes nothing of nor quotes it."""

    connection_errors: tuple[type[Exception], ...]
    channel_errors: tuple[type[Exception], ...]
    strategies: dict[str, Any]

    def __init__(self, *args: Any, **options: Any) -> None:
        """Be a consumer that neither others of its kind nor anybody else tells what to do."""
        for name in Panel.data.keys() - ANSWERED:
            del Panel.data[name]
        alone = {"without_mingle": True, "without_gossip": True}
        options["worker_options"] = {**(options.get("worker_options") or {}), **alone}
        super().__init__(*args, **options)

    def update_strategies(self) -> None:
        """Know how to take in messages for our tasks, and for none that Celery brings along.

        Those run whatever tasks a message names, with whatever it says, and show it.
        """
        super().update_strategies()
        for name in [name for name in self.strategies if name.startswith("celery.")]:
            del self.strategies[name]

    def keep(self, message: Any, cause: str) -> None:
        """Keep such a message for a person; here there is nowhere to."""

    def create_task_handler(self, *args: Any, **options: Any) -> Callable[[Any], Any]:
        """Return what takes one message in."""
        handle = super().create_task_handler(*args, **options)

        def on_task_received(message: Any) -> Any:
            try:
                return handle(message)
            except (*self.connection_errors, *self.channel_errors):
                raise
            except Exception as error:  # noqa: BLE001 - hostile input must not end the worker
                return self._refuse(message, f"{_NO_CALL} ({type(error).__name__})")

        return on_task_received

    def on_decode_error(self, message: Any, exc: BaseException) -> None:  # noqa: ARG002 - Celery's
        """Refuse what cannot be read."""
        self._refuse(message, "it cannot be read as JSON in utf-8")

    def on_unknown_message(self, body: object, message: Any) -> None:  # noqa: ARG002 - Celery's
        """Refuse what names no task."""
        self._refuse(message, "it names no task: headers.task is missing")

    def on_unknown_task(self, body: object, message: Any, exc: BaseException) -> None:  # noqa: ARG002
        """Refuse what names a task that there is not."""
        self._refuse(message, f"no task of this queue is called {task_of(message)}")

    def on_invalid_task(self, body: object, message: Any, exc: BaseException) -> None:  # noqa: ARG002
        """Refuse what is no call of a task."""
        ours = isinstance(exc, EnvelopeError)
        self._refuse(message, str(exc) if ours else "it must be application/json in utf-8")

    def _refuse(self, message: Any, cause: str) -> None:
        if message.acknowledged:
            return
        log.warning("message_refused", task=task_of(message), cause=cause)
        try:
            self.keep(message, cause)
        except Exception as error:  # noqa: BLE001 - whatever it was, the message stays
            log.error("message_not_kept", error=type(error).__name__)  # noqa: TRY400 - no words
            message.reject_log_error(_celery_log, self.connection_errors, requeue=True)
        else:
            message.reject_log_error(_celery_log, self.connection_errors)


def task_of(message: Any) -> str:
    """Return the name of the task that a message asks for, unless it is something else."""
    headers = message.headers if isinstance(message.headers, Mapping) else {}
    name = headers.get("task")
    return name if isinstance(name, str) and _TASK.fullmatch(name) else HIDDEN


# What makes a Celery application a quiet one.
QUIET: Mapping[str, Any] = {
    "events": f"{__name__}:{QuietEvents.__qualname__}",
    "task_cls": f"{__name__}:{QuietTask.__qualname__}",
}
