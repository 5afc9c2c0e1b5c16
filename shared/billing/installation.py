"""Whether a database is the one that was billed from last, or an older backup of it.

A number in the database, the *mark*, is raised every few seconds and never falls. Whoever has seen
it remembers the highest, in its own memory and on the broker, so a database that shows a lower one
has been set back: what was charged since is at the gateway, and not in its rows.

    proven      nobody has seen a higher mark, and somebody has seen one lately
    restored    somebody has seen a higher mark: nothing is charged until it is recovered
    doubtful    nobody remembers, or not lately enough: the gateway is asked for charges that the
                rows do not know, and until it has answered nothing is charged either
"""

import enum
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

# For how long what was seen proves something; far longer than any restart, far shorter than it
# takes to set a database and a broker back together.
PROOF_VALID: Final = timedelta(minutes=10)
# By how much the mark leaps when a database has been recovered: more than can have been seen of
# what was lost, at one mark a second for thirty years.
MARK_LEAP: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Mark:
    """A mark as the database held it, or as somebody remembers it.

    Attributes:
        installation_id: Drawn at random when a database is marked first; a copy has the same one.
        number: How often it has been raised, leaps included.
        at: When it was raised.
    """

    installation_id: UUID
    number: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Proof:
    """What a database must show before anything is claimed from it.

    Attributes:
        installation_id: Whose mark is known, or None where nobody has ever seen one: then it must
            show none either.
        number: The least that its mark must be.
    """

    installation_id: UUID | None = None
    number: int = 0


NEVER_MARKED: Final = Proof()
# Fits no database: somebody has seen a mark, but not lately enough to build upon.
UNPROVEN: Final = Proof(UUID(int=0), 0)


def proof_of(seen: Mark | None, now: datetime) -> Proof:
    """Return what a database must show to whoever has seen this mark last."""
    if seen is None:
        return NEVER_MARKED
    return UNPROVEN if _is_old(seen, now) else Proof(seen.installation_id, seen.number)


class Standing(enum.StrEnum):
    """What a database is, as far as can be told."""

    PROVEN = "proven"
    RESTORED = "restored"
    DOUBTFUL = "doubtful"


def standing(
    shown: Mark | None, seen: Mark | None, now: datetime, *, has_charged: bool
) -> Standing:
    """Return what a database is that shows one mark where another was seen last.

    What was seen must have been remembered before the database was read: a mark that is raised in
    between is then shown by the database, and not yet remembered.

    Args:
        shown: The mark in the database; None if it has never been marked.
        seen: The highest that anybody remembers.
        now: The present instant.
        has_charged: Whether there is any payment attempt in it.
    """
    if shown is None:
        # Empty tables beside an old broker are a new beginning; others are an old backup.
        return Standing.RESTORED if seen is not None and has_charged else Standing.PROVEN
    if seen is None or seen.installation_id != shown.installation_id:
        return Standing.DOUBTFUL
    if shown.number < seen.number:
        return Standing.RESTORED
    return Standing.DOUBTFUL if _is_old(seen, now) else Standing.PROVEN


def set_back_cause(shown: Mark | None, seen: Mark | None) -> str:
    """Return in words by what a database is known to have been set back."""
    known = "another" if seen is None else f"{seen.number} of {seen.at.isoformat()}"
    if shown is None:
        return f"it has charged and shows no mark, {known} was seen"
    return f"its mark is {shown.number} of {shown.at.isoformat()}, {known} was seen"


def later(one: Mark | None, other: Mark | None) -> Mark | None:
    """Return what two memories of one installation know together.

    Of two installations it is the other's: a database that was proven anew has taken the place of
    what is remembered here.
    """
    if one is None or other is None:
        return one or other
    if one.installation_id != other.installation_id:
        return other
    return Mark(one.installation_id, max(one.number, other.number), max(one.at, other.at))


def _is_old(seen: Mark, now: datetime) -> bool:
    return now - seen.at > PROOF_VALID
