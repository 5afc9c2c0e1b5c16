"""Whoever tells a story, and how a sentence comes by its meaning (``story``)."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from tests.support.journey import Journey

WHEN = r"(\d{4}-\d{2}-\d{2}(?: \d{2}:\d{2})?)"
NINE = " 09:00"
KOREA = "Asia/Seoul"
_MOMENT = timedelta(milliseconds=1)


class StoryError(Exception):
    """A story that cannot be read; the text says what would be right."""


class NothingToDoError(StoryError):
    """A sentence whose occasion is missing: a refund where nothing was paid."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """One kind of sentence.

    Attributes:
        example: How it reads, for whoever wrote another one.
        pattern: What it is made of; ``WHEN`` stands for an instant.
        means: What it does, given the words.
    """

    example: str
    pattern: re.Pattern[str]
    means: Callable[..., Awaitable[None]]


SENTENCES: list[Sentence] = []


def sentence(
    example: str, pattern: str
) -> Callable[[Callable[..., Awaitable[None]]], Callable[..., Awaitable[None]]]:
    """Have a function say what sentences of a pattern mean."""

    def keep(means: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        compiled = re.compile(pattern.replace("WHEN", WHEN))
        assert compiled.fullmatch(example), f"{example!r} is no example of {pattern!r}"
        SENTENCES.append(Sentence(example, compiled, means))
        return means

    return keep


class Teller:
    """Whoever tells a story: where it is, and who it is about.

    Attributes:
        subscription_id: The one that was subscribed last, of which ``expect`` speaks.
        zone: What times are read in.
        said: The last command, to be said again; ``commands`` are all of them.
        after: What ends at an instant: outages.
    """

    epoch = datetime(1970, 1, 1, tzinfo=UTC)

    def __init__(self, journey: Journey) -> None:
        """Begin."""
        self.journey = journey
        self.subscription_id: Any = None
        self.customer_uid = ""
        self.zone = KOREA
        self.said: Any = None
        self.commands: list[Any] = []
        self.numbers = 0
        self.after: list[tuple[datetime, str]] = []
        self.windows: dict[str, Any] = {}
        journey.machine.outlook.told_at = 1_000_000
        journey.machine.told.listen = self._hear

    def instant(self, said: str) -> datetime:
        """Return the instant that a story names."""
        wall = datetime.fromisoformat(said if " " in said else said + NINE)
        return wall.replace(tzinfo=ZoneInfo(self.zone)).astimezone(UTC)

    def day(self, at: datetime) -> str:
        """Return the day of an instant, as a story names it."""
        return f"{at.astimezone(ZoneInfo(self.zone)):%Y-%m-%d}"

    async def go_on(self, said: str) -> None:
        """Live until an instant, outages and their ends included."""
        at = self.instant(said)
        if at < self.journey.now:
            message = f"{said} lies before {self.day(self.journey.now)}: stories go forward"
            raise StoryError(message)
        await self._go_on(at)

    async def _go_on(self, at: datetime) -> None:
        machine = self.journey.machine
        for back_at, who in sorted(self.after):
            if back_at <= at:
                await machine.travel(back_at)
                self.set_down(who, down=False)
                self.after.remove((back_at, who))
                await machine.look()
        await machine.travel(at)
        await machine.look()

    async def go_on_before(self, said: str) -> None:
        """Live until a moment before an instant, so that what is due then comes after."""
        at = self.instant(said) - _MOMENT
        if at > self.journey.now:
            await self._go_on(at)

    async def together(self, *works: Awaitable[object]) -> None:
        """Have several things done side by side."""
        await asyncio.gather(*works)

    def set_down(self, who: str, *, down: bool) -> None:
        """Have somebody stand still, or go on."""
        machine = self.journey.machine
        if who in {"scheduler", "everything"}:
            machine.scans_are_down = down
        if who in {"workers", "everything"}:
            machine.workers_are_down = down
        if who == "look-ups":
            self.journey.gateway.settings(inquiry_rates={"error_500": 1.0} if down else {})
        if who == "gateway":
            self.journey.gateway.settings(fail_all="bad_gateway" if down else None)

    async def say(self, contract: Any, **given: Any) -> str:
        """Publish a command about the subscription and have it worked; return its id."""
        self.numbers += 1
        command_id = f"{contract.task}-{self.numbers}"
        if "subscription_id" in contract.model_fields:
            given.setdefault("subscription_id", self.subscription_id)
        self.said = contract(command_id=command_id, **given)
        self.commands.append(self.said)
        self.journey.machine.say(self.said)
        await self.journey.machine.work()
        return command_id

    async def rows(self, statement: str, **values: object) -> list[Any]:
        """Return rows that have to do with the subscription."""
        return await self.journey.rows(statement, id=self.subscription_id, **values)

    def _hear(self, event: Any) -> None:
        if "parameters" in event.data:
            self.windows[event.data["command_id"]] = event.data["parameters"]
