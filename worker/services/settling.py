"""What settlements of charges and of refunds share: written together or apart, and the hold."""

from collections import Counter
from collections.abc import Awaitable, Callable, Hashable, Sequence
from datetime import datetime
from typing import Protocol, TypeVar

import structlog
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db import holds

log = structlog.get_logger(__name__)
M = TypeVar("M")


class Holding(Protocol):
    """An ending that may ask everyone to wait."""

    @property
    def hold_until(self) -> datetime | None:
        """Until when nothing at all may be sent."""

    @property
    def message(self) -> str | None:
        """Why."""


async def together_or_apart(
    group: Sequence[M],
    write: Callable[[Sequence[M]], Awaitable[list[M]]],
    instead: Callable[[M, DBAPIError], M],
) -> list[M]:
    """Write a group in one transaction, or one by one where the database refuses one of them.

    One row the database refuses must not take its neighbours along: ``instead`` is written of it.
    Whatever else goes wrong (a lock, the server) is left to the inquiry, which reads the gateway
    again.
    """
    try:
        return await write(group)
    except (DataError, IntegrityError) as error:
        if len(group) > 1:
            return [
                written
                for move in group
                for written in await together_or_apart([move], write, instead)
            ]
        return await write([instead(group[0], error)])


def waves(
    group: Sequence[M], key: Callable[[M], Hashable], is_money: Callable[[M], bool]
) -> list[list[M]]:
    """Split moves so that no two of one ``key`` are written together, those about money first.

    Two messages about one row may be worked side by side. In one statement, rows that belong
    together could be written from different endings, and what is done be done again.
    """
    ordered = sorted(group, key=lambda move: not is_money(move))
    split: list[list[M]] = []
    seen: Counter[Hashable] = Counter()
    for move in ordered:
        number = seen[key(move)]
        seen[key(move)] += 1
        if number == len(split):
            split.append([])
        split[number].append(move)
    return split


async def hold_for_longest(
    connection: AsyncConnection, group: Sequence[Holding], now: datetime
) -> None:
    """Hold the gateway for the longest that any of the endings asks for."""
    if longest := max(
        (move for move in group if move.hold_until),
        key=lambda move: move.hold_until or now,
        default=None,
    ):
        until = longest.hold_until or now
        log.error("gateway_held", cause=longest.message, until=until.isoformat())
        await holds.hold(connection, longest.message or "", until, now)
