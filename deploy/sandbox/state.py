"""Everything one running sandbox holds, and its return to the beginning."""

from collections.abc import Callable
from dataclasses import dataclass, field

from deploy.sandbox.book import Book
from deploy.sandbox.census import Census
from deploy.sandbox.clock import SandboxClock
from deploy.sandbox.endings import CommandEnding, Ending, Script
from deploy.sandbox.lists import Lists
from deploy.sandbox.naver import NaverAccounts
from deploy.sandbox.schedules import Timetable
from deploy.sandbox.settings import Settings
from deploy.sandbox.tokens import TokenDesk
from deploy.sandbox.webhooks import Webhooks
from deploy.sandbox.window_desk import WindowDesk


def _new_book(clock: SandboxClock) -> Book:
    # Counting on from the microsecond of the start keeps imp_uids apart over restarts and resets,
    # as long as fewer than a million payments are booked in a second.
    return Book(first_number=int(clock.now() * 1_000_000))


@dataclass(slots=True)
class Sandbox:
    """One merchant's gateway.

    Requests that wait keep the book and the census they began with, so that a reset cannot be
    followed by a late booking from the time before it.

    Attributes:
        scripts: What single customers' charges end in.
        cancel_scripts: What cancels of single payments end in, by imp_uid.
        lists: The book in the order that lists are asked for; it follows the book by itself.
        naver: What buyers have registered at Naver; it follows the book when a key ends.
    """

    tokens: TokenDesk
    initial: Settings = field(default_factory=Settings)
    clock: SandboxClock = field(default_factory=SandboxClock)
    make_book: Callable[[SandboxClock], Book] = _new_book
    settings: Settings = field(init=False)
    book: Book = field(init=False)
    lists: Lists = field(init=False)
    census: Census = field(init=False)
    timetable: Timetable = field(init=False)
    scripts: dict[str, Script[Ending]] = field(init=False)
    cancel_scripts: dict[str, Script[CommandEnding]] = field(init=False)
    webhooks: Webhooks = field(init=False)
    naver: NaverAccounts = field(init=False)
    windows: WindowDesk = field(init=False)

    def __post_init__(self) -> None:
        self.webhooks = Webhooks(self.clock, lambda: self.settings)
        self.reset()

    def reset(self) -> None:
        """Begin anew, with nothing booked, told or counted and the settings of the start."""
        self.clock.offset_s = 0.0
        self.settings = self.initial
        self.book = self.make_book(self.clock)
        self.lists = Lists(self.book)
        self.naver = naver = NaverAccounts()
        self.book.on_key_end = lambda customer_uid: naver.end(customer_uid, at=self.clock.now())
        self.windows = WindowDesk()
        self.census = Census()
        self.timetable = Timetable()
        self.scripts = {}
        self.cancel_scripts = {}
        self.webhooks.reset()
        self.tokens.revoke()
