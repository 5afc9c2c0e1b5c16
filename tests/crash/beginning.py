"""Where a life begins: with nothing, or where an undisturbed one stood.

Most lives about refunds, windows and ends begin with a subscription that was paid for. That way is
died on in lives of its own; here it is walked once, and what it left is put in place for each life.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any
from uuid import UUID

from deploy.sandbox.webhooks import Notice
from shared.db.outbox import StoredEvent
from tests.crash.rows import Rows, gather, put
from tests.crash.standing import CALLBACK, copied
from tests.simulation.installation import Installation


@dataclass(frozen=True, slots=True)
class Beginning:
    """What an undisturbed life left, with no message and no request under way."""

    rows: Rows
    book: Mapping[str, Any]
    notices: Sequence[Notice]
    stream: Sequence[StoredEvent]
    ids: Sequence[UUID]
    end_s: float


# Whatever follows is not of the same instant.
_LATER_S = 60.0


def keep(life: Installation, ids: Sequence[UUID]) -> Beginning:
    """Return where a life stands."""
    book = life.sandbox.book
    return Beginning(
        gather(life.host.reader),
        {
            each.name: copied(getattr(book, each.name))
            for each in fields(book)
            if each.name != CALLBACK
        },
        life.sandbox.webhooks.notices,
        tuple(life.broker.stream),
        tuple(ids),
        life.host.loop.time(),
    )


def begin_with(life: Installation, beginning: Beginning) -> None:
    """Put in place what was kept, in a life that has not begun, and go on from there in time."""
    life.host.loop.now_s = beginning.end_s + _LATER_S
    put(life.host.reader, beginning.rows)
    for name, value in beginning.book.items():
        setattr(life.sandbox.book, name, copied(value))
    life.sandbox.webhooks._notices = list(beginning.notices)
    life.broker.stream = list(beginning.stream)
