"""Progress: a live view where a person looks on, a line now and then where only a log does."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.live import Live


class LiveView:
    """Shows progress until left."""

    def __init__(self, console: Console, *, refreshes_per_s: int, line_every_s: float) -> None:
        """Take where to show it, and how often."""
        self._console = console
        terminal = console.is_terminal
        self._live = Live(console=console, refresh_per_second=refreshes_per_s) if terminal else None
        self._line_every_s = line_every_s
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

    def show(
        self, view: Callable[[], RenderableType], line: Callable[[], str], *, at_once: bool = False
    ) -> None:
        """Show the present state, as one or as the other."""
        if self._live:
            self._live.update(view())
        elif at_once or time.monotonic() >= self._line_at_s:
            self._line_at_s = time.monotonic() + self._line_every_s
            self._console.print(line(), highlight=False)
