"""The museum's page, made from its tests: ``python -m tests.museum.page`` writes it."""

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MUSEUM = Path(__file__).parent
PAGE = MUSEUM.parents[1] / "docs" / "museum.md"
ISSUE = re.compile(r"[\w.-]+/[\w.-]+#\d+")


@dataclass(frozen=True, slots=True)
class Exhibit:
    """One test of the museum."""

    issue: str
    test: str
    naive: str
    ours: str


def exhibits(path: Path) -> Iterator[Exhibit]:
    """Return the exhibits of one module, in order.

    Raises:
        ValueError: A test does not say what it shows.
    """
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if not isinstance(node, ast.FunctionDef) or not node.name.startswith("test_"):
            continue
        text = ast.get_docstring(node) or ""
        said = re.fullmatch(r"(\S+)\n\nNaive: (.+?)\nOurs: (.+)", text, re.DOTALL)
        if said is None or not ISSUE.fullmatch(said[1]):
            message = f"{node.name} must say: owner/repository#number, then Naive: …, then Ours: …"
            raise ValueError(message)
        yield Exhibit(said[1], node.name, *(" ".join(part.split()) for part in said.groups()[1:]))


def rooms() -> Iterator[tuple[str, Path]]:
    """Return the modules with exhibits, by their titles."""
    for path in sorted(MUSEUM.glob("test_*.py")):
        title = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        if title.startswith("Museum: "):
            yield title.removeprefix("Museum: ").rstrip("."), path


def page() -> str:
    """Return the whole page: its beginning as it is written there, and a table for each room."""
    beginning = PAGE.read_text(encoding="utf-8").partition("\n## ")[0]
    parts = [beginning.rstrip() + "\n"]
    for title, path in rooms():
        rows = [
            f"| [{each.issue}](https://github.com/{each.issue.replace('#', '/issues/')})"
            f" | `{each.test}` | {_cell(each.naive)} | {_cell(each.ours)} |\n"
            for each in exhibits(path)
        ]
        parts.append(
            f"## {title[0].upper()}{title[1:]}\n\n`{path.relative_to(MUSEUM.parents[1])}`\n\n"
            "| issue | test | a naive version | ours |\n| --- | --- | --- | --- |\n" + "".join(rows)
        )
    return "\n".join(parts)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.exit(0)
