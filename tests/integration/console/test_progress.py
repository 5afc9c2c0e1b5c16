"""Progress: on a terminal, and nowhere else."""

import io
import sys

import pytest

from worker.console.progress import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_is_told_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress("begins") as tell:
        tell("reads [red]", 1_234)
    assert "reads [red]: 1,234" in terminal.getvalue()


def test_a_file_is_told_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.StringIO()
    monkeypatch.setattr(sys, "stderr", file)
    with progress("begins") as tell:
        tell("reads", 1)
        tell("waits", None)
    assert file.getvalue() == ""
