"""What a run of chaos shows while it lasts."""

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from deploy.live import LiveView
from tests.chaos.deeds import Conductor

_SHOWN = 6


class Screen(LiveView):
    """Shows how far a run is until left."""

    def __init__(self, console: Console) -> None:
        """Take where to show it."""
        super().__init__(console, refreshes_per_s=4, line_every_s=10.0)

    def storm(self, conductor: Conductor, seconds: float, subscriptions: int) -> None:
        """Show what has been done so far."""
        lately = [
            f"  {done.at_s:6.2f} s {done.deed.kind} {done.deed.target}{' ' + done.note[:60]}"
            for done in conductor.done[-_SHOWN:]
        ]
        self._lines(
            f"chaos {conductor.now_s:.0f}/{seconds:.0f} s · {conductor.kills} kills"
            f" · {conductor.faults} faults · {subscriptions} subscriptions",
            lately,
        )

    def calm(self, left: Sequence[str]) -> None:
        """Show what is still to come to its end."""
        self._lines(f"calm · {len(left)} things left to be done", [f"  {one}" for one in left[:6]])

    def say(self, text: str) -> None:
        """Show one line at once."""
        self._lines(text, [], at_once=True)

    def _lines(self, line: str, details: Sequence[str], *, at_once: bool = False) -> None:
        self.show(lambda: Text("\n".join([line, *details])), lambda: line, at_once=at_once)
