"""Log lines of every process, Celery's own among them: JSON for machines, colours for people.

One canonical line a task tells what it did, with its ids, outcome and duration. Neither a billing
key nor anything of a person is ever a value in a line: tasks carry ids only, and the HTTP client's
own lines, which hold addresses, are silenced. DEBUG is for lines of ours: at that level libraries
repeat whole messages.
"""

import logging
import sys

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from shared.config import LogFormat

_SECRET_KEYS = frozenset({"customer_uid", "imp_key", "imp_secret", "access_token", "authorization"})
_OURS = ("dalmada", "scheduler", "shared", "worker")
# Below WARNING these write addresses of requests, which carry ids of payments and buyers.
_QUIET = ("httpx", "httpcore", "aiohttp", "stamina")


def configure(log_format: LogFormat, level: str) -> None:
    """Set up structlog and the standard library's logging for this process."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        redact,
    ]
    renderer: list[Processor]
    if log_format is LogFormat.JSON:
        renderer = [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ]
    else:
        renderer = [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(),
                exception_formatter=structlog.dev.plain_traceback,
            )
        ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    threshold = logging.getLevelNamesMapping()[level.upper()]
    # Celery's pool writes what a task is called with, which is what a merchant's command says.
    root.setLevel(max(threshold, logging.INFO))
    for name in _OURS:
        logging.getLogger(name).setLevel(threshold)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Hide values whose key says that they are secret."""
    for key, value in event.items():
        event[key] = _redacted(key, value)
    return event


def _redacted(key: str, value: object) -> object:
    if key.lower() in _SECRET_KEYS:
        return "…"
    if isinstance(value, dict):
        return {inner: _redacted(str(inner), item) for inner, item in value.items()}
    return value
