"""Looks at the invariants, and what they found, kept from one look to the next."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db.invariant import Bounds, Finding, Invariant, Stretch, find, lot_after, newest_rows
from shared.db.text import to_json

# What a walk takes at a time, and the newest rows beside it: those are wrong soonest.
LOT: Final = 10_000
NEWEST: Final = 2_000
# A walk finds some in every lot: of one fault in every row no more than these are kept.
KNOWN_MAX: Final = 500
# Any number that no other advisory lock of ours uses: one look at a time is enough.
_LOOK_LOCK: Final = 726_582_005


@dataclass(frozen=True, slots=True)
class Known:
    """A finding as it is kept.

    Attributes:
        known_at: When it was found first.
    """

    finding: Finding
    known_at: datetime


@dataclass(frozen=True, slots=True)
class Check:
    """What is known of one invariant.

    Attributes:
        checked_at: When it was looked at last.
        walked_to: Up to which id a walk has come.
        walked_at: When a walk came to the end of its table last, or None while none has.
    """

    name: str
    checked_at: datetime
    walked_to: int = 0
    walked_at: datetime | None = None
    known: tuple[Known, ...] = ()


@dataclass(frozen=True, slots=True)
class Looked:
    """One look: what is known after it, and what it changed.

    Attributes:
        appeared: What was not known before.
        gone: How much of what was known is no more.
    """

    check: Check
    appeared: tuple[Finding, ...]
    gone: int


async def lock(connection: AsyncConnection) -> bool:
    """Let nobody else look until the transaction ends; False if somebody looks already."""
    free = await connection.scalar(
        text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": _LOOK_LOCK}
    )
    return bool(free)


async def look(
    connection: AsyncConnection,
    invariant: Invariant,
    bounds: Bounds,
    before: Check | None,
    now: datetime,
) -> Looked:
    """Look at an invariant once, and return what is known of it then.

    What was known is kept where nobody has looked, and forgotten where nothing was found again.
    """
    check = before or Check(invariant.name, now)
    stretches: tuple[Stretch, ...] = ()
    walked_to, walked_at = check.walked_to, check.walked_at
    if invariant.walks is not None:
        stretches, walked_to = await _stretches(connection, invariant.walks, check.walked_to)
        walked_at = now if walked_to == 0 else walked_at
    found = await find(connection, invariant, bounds, now, stretches)
    return _compared(
        replace(check, checked_at=now, walked_to=walked_to, walked_at=walked_at), found, stretches
    )


async def _stretches(
    connection: AsyncConnection, table: str, walked_to: int
) -> tuple[tuple[Stretch, ...], int]:
    """Return the rows that are looked at next, and how far the walk has come with them.

    A walk that comes to the end begins anew, and so does one whose table has lost its end, as in
    an older backup.
    """
    newest = await newest_rows(connection, table, NEWEST)
    if newest is None:
        return (), 0
    lot = await lot_after(connection, table, walked_to, LOT)
    if lot is None:
        lot = await lot_after(connection, table, 0, LOT) or newest
    beside = Stretch(max(newest.low, lot.high), newest.high)
    stretches = (lot, beside) if beside.low < beside.high else (lot,)
    return stretches, lot.high if lot.high < newest.high else 0


def _compared(check: Check, found: Sequence[Finding], stretches: Sequence[Stretch]) -> Looked:
    known = {each.finding.subject: each for each in check.known}
    subjects = {finding.subject for finding in found}
    kept = [
        each
        for each in check.known
        if each.finding.subject not in subjects and _is_beside(each.finding, stretches)
    ]
    again = [
        Known(finding, known[finding.subject].known_at if finding.subject in known else at)
        for finding in found
        for at in (check.checked_at,)
    ]
    appeared = tuple(finding for finding in found if finding.subject not in known)
    now_known = tuple(sorted([*kept, *again], key=lambda each: each.known_at))
    gone = len(check.known) + len(appeared) - len(now_known)
    return Looked(replace(check, known=now_known[:KNOWN_MAX]), appeared, gone)


def _is_beside(finding: Finding, stretches: Sequence[Stretch]) -> bool:
    """Say whether a finding lies where nobody has looked this time."""
    if finding.position is None:
        return False
    return not any(finding.position in stretch for stretch in stretches)


async def read(connection: AsyncConnection) -> dict[str, Check]:
    """Return what is known of every invariant that was ever looked at."""
    rows = await connection.execute(
        text("SELECT name, checked_at, walked_to, walked_at, findings FROM invariant_checks")
    )
    return {row.name: _check(row) for row in rows}


async def write(connection: AsyncConnection, checks: Sequence[Check]) -> None:
    """Keep what is known of invariants."""
    rows = [
        {
            "name": check.name,
            "checked_at": check.checked_at.isoformat(),
            "walked_to": check.walked_to,
            "walked_at": check.walked_at and check.walked_at.isoformat(),
            "findings": [_told(each) for each in check.known],
        }
        for check in checks
    ]
    await connection.execute(_WRITE, {"rows": to_json(rows)})


_WRITE = text(
    """
    INSERT INTO invariant_checks AS c (name, checked_at, walked_to, walked_at, findings)
    SELECT name, checked_at, walked_to, walked_at, findings
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS n (
        name text, checked_at timestamptz, walked_to bigint, walked_at timestamptz, findings jsonb
    )
    ON CONFLICT (name) DO UPDATE
    SET checked_at = excluded.checked_at, walked_to = excluded.walked_to,
        walked_at = excluded.walked_at, findings = excluded.findings
    """
)


def _told(known: Known) -> dict[str, object]:
    finding = known.finding
    return {
        "subject": finding.subject,
        "since": finding.since and finding.since.isoformat(),
        "position": finding.position,
        "known_at": known.known_at.isoformat(),
    }


def _check(row: Row[Any]) -> Check:
    return Check(
        row.name,
        row.checked_at,
        row.walked_to,
        row.walked_at,
        tuple(_known(said) for said in row.findings),
    )


def _known(said: Mapping[str, Any]) -> Known:
    since = said["since"] and datetime.fromisoformat(said["since"])
    return Known(
        Finding(said["subject"], since, said["position"]),
        datetime.fromisoformat(said["known_at"]),
    )
