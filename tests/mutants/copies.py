"""Copies of the checkout, in which a mutant may be planted without anybody else seeing it."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.mutants.mutant import Mutant, patched

# What a life needs; the rest of the checkout is left behind.
_PARTS = ("deploy", "scheduler", "shared", "tests", "worker", "pyproject.toml")


@contextmanager
def copy_of(checkout: Path, mutant: Mutant | None) -> Iterator[Path]:
    """Yield a folder with the checkout's code, and with the mutant in it if there is one.

    Files are linked where that can be: only those that the mutant changes are written.

    Raises:
        PatchError: The mutant does not fit.
    """
    texts = patched(checkout, mutant) if mutant else {}
    with TemporaryDirectory(prefix="dalmada-mutant-") as folder:
        copy = Path(folder)
        for part in _PARTS:
            if (checkout / part).is_dir():
                shutil.copytree(checkout / part, copy / part, copy_function=_link)
            else:
                _link(str(checkout / part), str(copy / part))
        for file, text in texts.items():
            # Unlinked first: a link that is written to would change the checkout.
            (copy / file).unlink()
            (copy / file).write_text(text, encoding="utf-8")
            for compiled in (copy / file).parent.glob(f"__pycache__/{(copy / file).stem}.*"):
                compiled.unlink()
        yield copy


def _link(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:
        # Another file system.
        shutil.copy2(source, target)
    return target
