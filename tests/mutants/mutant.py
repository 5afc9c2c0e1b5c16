"""A mutant: exact texts of the real code, what stands in their place, and what must show it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


class PatchError(Exception):
    """A patch does not fit the code as it is; the text says which and why."""


@dataclass(frozen=True, slots=True)
class Change:
    """One place of one file.

    Attributes:
        file: Its path in the checkout.
        before: A text that occurs there exactly once.
        after: What takes its place.
    """

    file: str
    before: str
    after: str

    def apply(self, text: str) -> str:
        """Return the file's text with the change in it.

        Raises:
            PatchError: The text to be replaced is not there exactly once.
        """
        count = text.count(self.before)
        if count != 1:
            first = self.before.strip().splitlines()[0]
            raise PatchError(f"{self.file}: occurs {count} times, once is needed: {first}")
        return text.replace(self.before, self.after)


@dataclass(frozen=True, slots=True)
class Mutant:
    """A fault and how it is found.

    Attributes:
        name: Unique, and what ``--only`` takes.
        thought: What a naive engineer would think.
        changes: The patch; several places of one file are changed one after the other.
        shows: What a violation must say to show it (``shows.py``); one of these is enough.
        climate: The name of the climate in which it is looked for (``climates.py``).
        lives: Within how many seeds, counted from 0, it must be found.
        guards: Which other guard would hide the fault and is taken away with it.
    """

    name: str
    thought: str
    changes: tuple[Change, ...]
    shows: tuple[str, ...]
    climate: str
    lives: int
    guards: str = ""

    @property
    def files(self) -> tuple[str, ...]:
        """The files it changes, each once."""
        return tuple(dict.fromkeys(change.file for change in self.changes))

    @property
    def changes_schema(self) -> bool:
        """Whether the database must be built by the patched migrations."""
        return any(file.startswith("shared/db/migrations/") for file in self.files)


def patched(checkout: Path, mutant: Mutant) -> dict[str, str]:
    """Return the text of every file that a mutant changes.

    Raises:
        PatchError: A change does not fit.
    """
    texts: dict[str, str] = {}
    for change in mutant.changes:
        text = texts.get(change.file)
        if text is None:
            text = _read(checkout / change.file, change.file)
        texts[change.file] = change.apply(text)
    for file, text in texts.items():
        try:
            compile(text, file, "exec")
        except SyntaxError as error:
            raise PatchError(f"{file}: {error.msg} in line {error.lineno}") from error
    return texts


def misfits(checkout: Path, mutants: Sequence[Mutant]) -> dict[str, str]:
    """Return why patches do not fit the code as it is, by the mutants' names."""
    found = {}
    for mutant in mutants:
        try:
            patched(checkout, mutant)
        except PatchError as error:
            found[mutant.name] = str(error)
    return found


def _read(path: Path, name: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise PatchError(f"{name}: there is no such file") from None
