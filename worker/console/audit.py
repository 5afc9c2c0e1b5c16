"""`dalmada audit`: what people did by hand, and why."""

import json
from typing import TYPE_CHECKING

import typer

from shared.billing.use_confirmation import KST
from worker.console import options
from worker.console.endings import ends_in_words
from worker.console.rendering import iso, local, print_json, print_more, print_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.db.audit import AuditEntry

app = typer.Typer(
    help="What people did by hand, and why.", no_args_is_help=True, rich_markup_mode=None
)


@app.command("list")
@ends_in_words
def list_(*, limit: options.Limit = options.LIMIT, as_json: options.AsJson = False) -> None:
    """List what was done, newest first; entries are never altered."""
    from shared.db import audit  # noqa: PLC0415 - see app.py
    from worker.console import session  # noqa: PLC0415

    found = session.ask(
        session.load(session.ConsoleSettings),
        # One more than is shown tells whether there are more.
        lambda connection: audit.newest(connection, limit + 1),
    )
    if as_json:
        _write(found, limit)
    else:
        _print(found, limit)


def _write(found: "Sequence[AuditEntry]", limit: int) -> None:
    print_json(
        {
            "entries": [
                {
                    "id": entry.id,
                    "actor": entry.actor,
                    "action": entry.action,
                    "subject": entry.subject,
                    "reason": entry.reason,
                    "details": entry.details,
                    "created_at": iso(entry.created_at),
                }
                for entry in found[:limit]
            ],
            "more": len(found) > limit,
        }
    )


def _print(found: "Sequence[AuditEntry]", limit: int) -> None:
    print_table(
        ("entry", "at", "actor", "action", "subject", "reason", "details"),
        (
            (
                str(entry.id),
                local(entry.created_at, KST.key),
                entry.actor,
                entry.action,
                entry.subject,
                entry.reason or "-",
                json.dumps(entry.details, ensure_ascii=False),
            )
            for entry in found[:limit]
        ),
    )
    if len(found) > limit:
        print_more(limit)
