"""The live view: bars where a person looks on, a line now and then where only a log does."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from deploy.demo.progress import Progress

_LINE_EVERY_S = 3.0


class Screen:
    """Shows progress until left."""

    def __init__(self, console: Console, total: int) -> None:
        """Take where to show it, and how many subscriptions there are."""
        self._console = console
        self._total = total
        self._live = Live(console=console, refresh_per_second=8) if console.is_terminal else None
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

    def show(self, now: Progress) -> None:
        """Show the counts of this moment."""
        if self._live:
            self._live.update(self._table(now))
        elif time.monotonic() >= self._line_at_s:
            self._line_at_s = time.monotonic() + _LINE_EVERY_S
            self._console.print(
                f"renewed {now.renewed} · charged {now.charged} · declined {now.declined}"
                f" · unknown {now.unknown} · resolved {now.resolved}"
            )

    def _table(self, now: Progress) -> Table:
        grid = Table.grid(padding=(0, 2))
        grid.add_column(width=12)
        grid.add_column(justify="right", width=7)
        grid.add_column(width=40)
        for label, count, style in (
            ("renewed", now.renewed, "cyan"),
            ("charged", now.charged, "green"),
            ("declined", now.declined, "yellow"),
            ("key dead", now.method_dead, "yellow"),
            ("given up", now.given_up, "yellow"),
            ("unknown", now.unknown, "red"),
            ("resolved", now.resolved, "magenta"),
        ):
            bar = ProgressBar(self._total, min(count, self._total), complete_style=style)
            grid.add_row(label, f"{count:,}", bar)
        return grid
