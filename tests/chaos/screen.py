"""Progress: a live line where a person looks on, a line now and then where only a log does."""

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from tests.chaos.deeds import Conductor

_LINE_EVERY_S = 10.0
_SHOWN = 6


class Screen:
    """Shows how far a run is until left."""

    def __init__(self, console: Console) -> None:
        """Take where to show it."""
        self._console = console
        self._live = Live(console=console, refresh_per_second=4) if console.is_terminal else None
        self._line_at_s = 0.0

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if self._live:
            self._live.stop()

    def storm(self, conductor: Conductor, seconds: float, subscriptions: int) -> None:
        """Show what has been done so far."""
        lately = [
            f"  {done.at_s:6.2f} s {done.deed.kind} {done.deed.target}{' ' + done.note[:60]}"
            for done in conductor.done[-_SHOWN:]
        ]
        self._show(
            f"chaos {conductor.now_s:.0f}/{seconds:.0f} s · {conductor.kills} kills"
            f" · {conductor.faults} faults · {subscriptions} subscriptions",
            lately,
        )

    def calm(self, left: Sequence[str]) -> None:
        """Show what is still to come to its end."""
        self._show(f"calm · {len(left)} things left to be done", [f"  {one}" for one in left[:6]])

    def say(self, text: str) -> None:
        """Show one line at once."""
        self._line_at_s = 0.0
        self._show(text, [])

    def _show(self, line: str, details: Sequence[str]) -> None:
        if self._live:
            self._live.update(Text("\n".join([line, *details])))
        elif time.monotonic() >= self._line_at_s:
            self._line_at_s = time.monotonic() + _LINE_EVERY_S
            self._console.print(line, highlight=False)
