"""Status lines on standard error, so that a command's own output stays clean."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

_REDRAW_S = 0.5
_HEARTBEAT_S = 15.0


class Step:
    """One piece of work in progress, whose running time is shown while it lasts."""

    def __init__(self, text: str, out: TextIO) -> None:
        self.result = ""
        self._text = text
        self._out = out
        self._started_at = time.monotonic()
        self._live = out.isatty()
        self._next_s = _REDRAW_S if self._live else _HEARTBEAT_S

    @property
    def elapsed_s(self) -> float:
        """Seconds since the step began."""
        return time.monotonic() - self._started_at

    def tick(self) -> None:
        """Show that the step still runs; cheap enough to be called in a waiting loop."""
        elapsed_s = self.elapsed_s
        if elapsed_s < self._next_s:
            return
        self._next_s = elapsed_s + (_REDRAW_S if self._live else _HEARTBEAT_S)
        line = f"dalmada: {self._text} … {elapsed_s:.0f} s"
        self._write(f"\r{line}\x1b[K" if self._live else f"{line}\n")

    def finish(self, *, succeeded: bool) -> None:
        """Replace the progress by one closing line."""
        clear = "\r\x1b[K" if self._live else ""
        text = self.result or self._text
        ending = f"({self.elapsed_s:.1f} s)" if succeeded else f"FAILED ({self.elapsed_s:.1f} s)"
        self._write(f"{clear}dalmada: {text} {ending}\n")

    def _write(self, text: str) -> None:
        try:
            self._out.write(text)
            self._out.flush()
        except OSError:
            # A closed terminal must not keep the children from being ended.
            self._live = False


class Terminal:
    """Where the launcher tells a person what it does."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out if out is not None else sys.stderr

    def say(self, text: str) -> None:
        """Print one status line."""
        self.block(f"dalmada: {text}")

    def block(self, text: str) -> None:
        """Print lines as they are."""
        try:
            self._out.write(f"{text}\n")
            self._out.flush()
        except OSError:
            return

    @contextmanager
    def step(self, text: str) -> Iterator[Step]:
        """Show `text` with its seconds while the body runs, then one closing line."""
        step = Step(text, self._out)
        try:
            yield step
        except BaseException:
            step.finish(succeeded=False)
            raise
        step.finish(succeeded=True)
