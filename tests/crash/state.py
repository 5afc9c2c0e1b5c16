"""What a death leaves behind, as one short name: what two deaths leave alike, is recovered alike.

The dead process's memory is gone, and whoever lives on stands idle, since one message is worked at
a time. So what follows depends on this alone: the committed rows, what the broker holds, what the
gateway holds and still has under way, what the world has done so far, the instant, and whether the
living worker knows a token. The server's own notes (``created_at``) decide nothing, hints' apart,
which are ours.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from shared.db.tables import metadata
from tests.crash.beginning import CALLBACK
from tests.crash.story import Life
from tests.simulation.broker import Message
from tests.simulation.process import current_process
from tests.simulation.seam import Point
from worker.bootstrap import Services


def _of(table: str, key: str) -> str:
    rows = "to_jsonb(t)" if table == "hints" else "to_jsonb(t) - 'created_at'"
    return f"(SELECT string_agg(({rows})::text, '' ORDER BY {key}) FROM {table} t)"  # noqa: S608


_ROWS = "SELECT md5(concat_ws('|', {}))".format(
    ", ".join(
        f"coalesce({_of(table.name, next(iter(table.primary_key)).name)}, '')"
        for table in metadata.sorted_tables
    )
)


def state_of(life: Life, point: Point) -> bytes:
    """Return the name of what would be left if the process died at this point."""
    row = life.installation.host.reader.execute(_ROWS).fetchone()
    assert row is not None
    digest = hashlib.blake2b(row[0].encode(), digest_size=16)
    for part in _world(life, point):
        digest.update(repr(part).encode())
    return digest.digest()


def _world(life: Life, point: Point) -> Iterator[Any]:
    installation = life.installation
    broker, sandbox = installation.broker, installation.sandbox
    yield installation.now, life.done, life.merchant.heard, len(life.merchant.windows)
    for message in broker.everything():
        yield _message(broker.deliveries[message.tag], message)
    for back_at, message in broker.unacknowledged.values():
        yield back_at, _message(broker.deliveries[message.tag], message)
    yield [event.id for event in broker.stream]
    # A request that is under way is done although nobody waits for it: whose it is says what.
    yield point if sandbox.census.in_flight else None
    # Everything that the gateway remembers; the callback is its own.
    yield [
        getattr(sandbox.book, each.name) for each in fields(sandbox.book) if each.name != CALLBACK
    ]
    yield sandbox.naver, sandbox.settings, len(sandbox.webhooks.notices)
    yield list(sandbox.timetable.schedules())
    yield sandbox.scripts, sandbox.cancel_scripts
    census = sandbox.census
    for seen in census.seen.values():
        yield [(each.at, each.ending, each.result) for each in seen]
    for asked in census.seen_cancels.values():
        yield [(each.at, each.ending, each.result) for each in asked]
    # What chance says depends on how often it was asked.
    yield sorted(census.asked.items()) if sandbox.settings.draws else None
    yield _token(life)


def _message(count: int, message: Message) -> Any:
    return message.task, sorted(message.kwargs.items()), message.redelivered, count


def _token(life: Life) -> Any:
    """Say what the gateway and the living worker know of a token."""
    sandbox = life.installation.sandbox
    live = sandbox.tokens._live
    known = None
    for worker in life.installation.workers:
        if worker.process is current_process.get() or not isinstance(worker.services, Services):
            continue
        gateway: Any = worker.services.charge_invoices.gateway
        token = gateway._client._tokens._token
        if token is not None:
            admitted = sandbox.tokens.admits(token.text, at=sandbox.clock.now())
            known = token.refresh_at_s, admitted
    return known, live and live.expires_at
