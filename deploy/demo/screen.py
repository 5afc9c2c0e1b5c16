"""The live view of a demonstration: bars, or a line now and then."""

from rich.console import Console
from rich.progress_bar import ProgressBar
from rich.table import Table

from deploy.demo.progress import Progress
from deploy.live import LiveView


class Screen(LiveView):
    """Shows progress until left."""

    def __init__(self, console: Console, total: int) -> None:
        """Take where to show it, and how many subscriptions there are."""
        super().__init__(console, refreshes_per_s=8, line_every_s=3.0)
        self._total = total

    def counts(self, now: Progress) -> None:
        """Show the counts of this moment."""
        self.show(
            lambda: self._table(now),
            lambda: (
                f"renewed {now.renewed} · charged {now.charged} · declined {now.declined}"
                f" · unknown {now.unknown} · resolved {now.resolved}"
            ),
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
