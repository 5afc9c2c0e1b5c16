"""How far long work is, on a terminal; a file or a program is told nothing before the end."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

# Takes what is being done, and how much of it has been, where that is counted.
Tell: TypeAlias = Callable[[str, int | None], None]


@contextmanager
def progress(begins: str) -> Iterator[Tell]:
    """Show on a terminal what is being done and for how long, and leave nothing of it there."""
    if not sys.stderr.isatty():
        yield _nobody
        return
    from rich.console import Console  # noqa: PLC0415 - only a terminal pays for it
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(begins)

        def tell(doing: str, done: int | None) -> None:
            shown.update(task, description=doing if done is None else f"{doing}: {done:,}")

        yield tell


def _nobody(_doing: str, _done: int | None) -> None:
    """Tell nobody."""
