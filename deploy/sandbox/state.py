"""Everything one running sandbox holds, and its return to the beginning."""

from collections.abc import Callable
from dataclasses import dataclass, field

from deploy.sandbox.book import Book
from deploy.sandbox.census import Census
from deploy.sandbox.clock import SandboxClock
from deploy.sandbox.endings import Script
from deploy.sandbox.settings import Settings
from deploy.sandbox.tokens import TokenDesk


def _new_book(clock: SandboxClock) -> Book:
    # Counting on from the microsecond of the start keeps imp_uids apart over restarts and resets,
    # as long as fewer than a million payments are booked in a second.
    return Book(first_number=int(clock.now() * 1_000_000))


@dataclass(slots=True)
class Sandbox:
    """One merchant's gateway.

    Requests that wait keep the book and the census they began with, so that a reset cannot be
    followed by a late booking from the time before it.
    """

    tokens: TokenDesk
    initial: Settings = field(default_factory=Settings)
    clock: SandboxClock = field(default_factory=SandboxClock)
    make_book: Callable[[SandboxClock], Book] = _new_book
    settings: Settings = field(init=False)
    book: Book = field(init=False)
    census: Census = field(init=False)
    scripts: dict[str, Script] = field(init=False)

    def __post_init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin anew, with nothing booked, told or counted and the settings of the start."""
        self.clock.offset_s = 0.0
        self.settings = self.initial
        self.book = self.make_book(self.clock)
        self.census = Census()
        self.scripts = {}
        self.tokens.revoke()
