"""A command at a terminal, where it can ask."""

import os
import pty
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.integration.console.commands import CHECKOUT, PATIENCE_S, PROGRAM, Commands, Printed

QUESTION = "Do this? [y/N] "


def at_terminal(
    dalmada: Commands,
    *arguments: str,
    answer: str,
    meanwhile: Callable[[], object] | None = None,
    **variables: str | None,
) -> Printed:
    """Run a command that asks once, and answer; ``meanwhile`` happens while it waits."""
    with _asking(dalmada, arguments, variables) as (process, terminal):
        assert process.stderr
        asked = b""
        while not asked.decode(errors="ignore").endswith(QUESTION):
            read = process.stderr.read(1)
            assert read, asked.decode()
            asked += read
        if meanwhile is not None:
            meanwhile()
        os.write(terminal, f"{answer}\n".encode())
        out, err = process.communicate()
        return Printed(process.returncode, out.decode(), (asked + err).decode())


@contextmanager
def _asking(
    dalmada: Commands, arguments: tuple[str, ...], variables: dict[str, str | None]
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    terminal, stdin = pty.openpty()
    process = subprocess.Popen(
        [*PROGRAM, *arguments],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dalmada.process_environment(**variables),
        cwd=CHECKOUT,
        start_new_session=True,
    )
    patience = threading.Timer(PATIENCE_S, process.kill)
    patience.start()
    try:
        yield process, terminal
    finally:
        process.kill()
        process.communicate()
        patience.cancel()
        os.close(terminal)
        os.close(stdin)
