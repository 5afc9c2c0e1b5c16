"""The directories the launcher makes for itself: scratch for one run, state between runs."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.launcher.errors import LauncherError
from deploy.launcher.guard import guard


def make_directory(path: Path) -> Path:
    """Make a directory of ours, with its parents, that a server running as another user can pass.

    Only what is made here gets its mode; directories that exist are left as they are.
    """
    missing = [parent for parent in (path, *path.parents) if not parent.exists()]
    try:
        for directory in reversed(missing):
            directory.mkdir(exist_ok=True)
            # Root's umask may hide it from the user that a server of root's runs as.
            directory.chmod(0o711 if os.geteuid() == 0 else 0o700)
    except OSError as error:
        problem = f"can't make the directory {path}: {error.strerror}"
        raise LauncherError(problem, "its parent must be a directory you can write") from None
    return path


@contextmanager
def scratch_directory() -> Iterator[Path]:
    """A new directory that is removed at the end, also when this process is killed."""
    path = Path(tempfile.mkdtemp(prefix="dalmada-"))
    guard().remove_at_end(path)
    if os.geteuid() == 0:
        path.chmod(0o711)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        if not path.exists():
            guard().keep(path)


def state_directory(checkout: Path) -> Path:
    """Where what lasts between runs is kept: DALMADA_STATE_DIR or `.dalmada` in the checkout."""
    chosen = os.environ.get("DALMADA_STATE_DIR")
    return make_directory(Path(chosen).resolve()) if chosen else checkout_state(checkout)


def checkout_state(checkout: Path) -> Path:
    """The checkout's own `.dalmada`, which keeps itself out of version control."""
    path = make_directory(checkout / ".dalmada")
    ignore = path / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n", encoding="ascii")
    return path
