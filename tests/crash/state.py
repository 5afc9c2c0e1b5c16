"""What a death leaves behind, as one short name: what two deaths leave alike, is recovered alike.

The dead process's memory is gone, and whoever lives on stands idle, since one message is worked at
a time. So what follows depends on this alone: the committed rows, what the broker holds, what the
gateway holds and still has under way, what the world has done so far, the instant, and whether the
living worker knows a token. What is judged at the end has its place in the name as well: what was
told and posted, and what tasks have raised. The server's own notes (``created_at``) decide nothing,
hints' apart, which are ours; nor do the numbers that the next rows will get.

Between two messages nobody works and nobody needs to have died: the same name says where a life
stands then, and how it goes on.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from deploy.sandbox.census import Result
from shared.db.tables import metadata
from tests.crash.standing import CALLBACK, UNDER_WAY, is_asking
from tests.crash.story import Life
from tests.simulation.broker import Message
from tests.simulation.process import current_process
from tests.simulation.seam import Point
from worker.bootstrap import Services

# When an event was told decides nothing, but whether it was.
_TOLD = """
    to_jsonb(t) - 'created_at' - 'relayed_at'
    || jsonb_build_object('is_told', t.relayed_at IS NOT NULL)
"""
# What of a row decides nothing, by its table: of the rest, it is the server's own note.
_NOTES = {"hints": "to_jsonb(t)", "events": _TOLD}


def _of(table: str, key: str) -> str:
    rows = _NOTES.get(table, "to_jsonb(t) - 'created_at'")
    return f"(SELECT string_agg(({rows})::text, '' ORDER BY {key}) FROM {table} t)"  # noqa: S608


_ROWS = "SELECT md5(concat_ws('|', {}))".format(
    ", ".join(
        f"coalesce({_of(table.name, next(iter(table.primary_key)).name)}, '')"
        for table in metadata.sorted_tables
    )
)


def state_of(life: Life, point: Point | None = None) -> bytes:
    """Return the name of what would be left if the process died at this point.

    Args:
        point: None between two messages.
    """
    digest = hashlib.blake2b(_rows(life).encode(), digest_size=16)
    for part in _world(life, point):
        digest.update(repr(part).encode())
    return digest.digest()


def _rows(life: Life) -> str:
    """Name the committed rows; they are looked at anew if anybody has committed since."""
    host = life.installation.host
    known = life.rows_seen
    if known is not None and known[0] == host.commits:
        return known[1]
    row = host.reader.execute(_ROWS).fetchone()
    assert row is not None
    # A commit under way is counted and may not be seen yet.
    life.rows_seen = None if is_asking(host) else (host.commits, row[0])
    return str(row[0])


def _world(life: Life, point: Point | None) -> Iterator[Any]:
    installation = life.installation
    broker, sandbox = installation.broker, installation.sandbox
    yield installation.now, life.done, life.is_about_scans
    yield from _merchant(life)
    for message in broker.everything():
        yield _message(broker.deliveries[message.tag], message)
    for back_at, message in broker.unacknowledged.values():
        yield back_at, _message(broker.deliveries[message.tag], message)
    # What was told once more is heard once more, and nothing else comes of it.
    told = [repr((event.id, event.name, event.data)) for event in broker.stream]
    yield list(dict.fromkeys(told)), told[life.merchant.heard :]
    yield [
        (each.endpoint_id, each.event_id, each.try_number, each.failures, each.data, answer)
        for each, answer in broker.posted
    ]
    yield installation.faults
    # A request that is under way is done although nobody waits for it: whose it is says what.
    leaves = point is not None and point.phase == UNDER_WAY
    yield point if leaves or sandbox.census.in_flight else None
    # Everything that the gateway remembers; the callback is its own.
    yield [
        getattr(sandbox.book, each.name) for each in fields(sandbox.book) if each.name != CALLBACK
    ]
    yield (
        sandbox.naver,
        sandbox.settings.model_dump_json(),
        [notice.body for notice in sandbox.webhooks.notices],
    )
    yield list(sandbox.timetable.schedules())
    yield sandbox.scripts, sandbox.cancel_scripts
    census = sandbox.census
    charges: Any = (*census.seen.values(), *census.seen_cancels.values())
    for seen in charges:
        # When one was sent decides when it is done.
        yield [
            (each.at if each.result is Result.PENDING else None, each.ending, each.result)
            for each in seen
        ]
    # What chance says depends on how often it was asked.
    yield sorted(census.asked.items()) if sandbox.settings.draws else None
    yield _token(life)


def _merchant(life: Life) -> Iterator[Any]:
    merchant = life.merchant
    yield merchant.windows, list(merchant.said), list(merchant.unanswered)
    yield merchant._noticed, life.elsewhere, sorted(life.strangers), life.notes


def _message(count: int, message: Message) -> Any:
    return message.task, sorted(message.kwargs.items()), message.redelivered, count


def _token(life: Life) -> Any:
    """Say what the gateway and the living worker know of a token."""
    sandbox = life.installation.sandbox
    now_s, live = sandbox.clock.now(), sandbox.tokens._live
    ends_at = None if live is None or live.expires_at <= now_s else live.expires_at
    known = None
    for worker in life.installation.workers:
        if worker.process is current_process.get() or not isinstance(worker.services, Services):
            continue
        gateway: Any = worker.services.charge_invoices.gateway
        token = gateway._client._tokens._token
        # One that is at its end is fetched anew, as if there were none.
        if token is not None and life.installation.host.loop.time() < token.refresh_at_s:
            known = token.refresh_at_s, sandbox.tokens.admits(token.text, at=now_s)
    return known, ends_at
