"""Which statuses the SQL of ``shared/db`` writes, and over which, as far as its text says."""

import ast
import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from types import ModuleType

from tests.architecture.checkout import CHECKOUT

# Stands for what only a running program knows, a parameter for example.
UNREAD = "…"
_UPDATE = re.compile(
    r"UPDATE (?P<table>\w+)(?: (?!SET\b)(?P<alias>\w+))?\s+SET (?P<rest>.*?)"
    r"(?=\bUPDATE \w+(?: \w+)?\s+SET |\bRETURNING\b|\Z)",
    re.DOTALL,
)
_WRITTEN = re.compile(r"\bstatus = '(?P<to>\w+)'")
_ONE_OF = re.compile(r"status IN \((?P<among>[^)]*)\)")
_IS = re.compile(r"status = '(?P<one>\w+)'")
_IS_NOT = re.compile(r"status <> '(?P<other>\w+)'")


@dataclass(frozen=True, slots=True)
class Written:
    """A status that a statement writes.

    Attributes:
        before: What the statement asks the status to be before, or None where it does not say.
        not_before: What it must not be.
    """

    module: str
    table: str
    to: str
    before: frozenset[str] | None
    not_before: frozenset[str]


@cache
def written() -> tuple[Written, ...]:
    """Every status that a statement names as what it writes."""
    found = []
    for path in sorted((CHECKOUT / "shared" / "db").glob("*.py")):
        module = importlib.import_module(f"shared.db.{path.stem}")
        for text in _texts(ast.parse(path.read_text("utf-8")), module):
            found += [_written(path.stem, match) for match in _UPDATE.finditer(text)]
    return tuple(each for each in found if each is not None)


def _written(module: str, match: re.Match[str]) -> Written | None:
    changes, _, condition = match["rest"].partition("WHERE")
    to = _WRITTEN.search(_without_cases(changes))
    if to is None:
        return None
    own = _own(condition, match["alias"])
    before = [frozenset(re.findall(r"\w+", among["among"])) for among in _ONE_OF.finditer(own)]
    before += [frozenset({one["one"]}) for one in _IS.finditer(own)]
    return Written(
        module,
        match["table"],
        to["to"],
        frozenset.intersection(*before) if before else None,
        frozenset(other["other"] for other in _IS_NOT.finditer(own)),
    )


def _without_cases(changes: str) -> str:
    """Leave out what a CASE asks: it writes no status."""
    return re.sub(r"CASE.*?END", "", changes, flags=re.DOTALL)


def _own(condition: str, alias: str | None) -> str:
    """Return what a condition says of the row itself, and not of one that it is joined with."""
    top, depth = [], 0
    for part in re.split(r"(\bEXISTS \(|\(SELECT|\(|\))", condition):
        if part in {"EXISTS (", "(SELECT"} or (part == "(" and depth):
            depth += 1
        elif part == ")" and depth:
            depth -= 1
        elif not depth:
            top.append(part)
    own = "".join(top)
    # A name of another row's column carries that row's alias.
    foreign = (
        rf"\b(?!{alias}\.)\w+\.status (?:=|<>|IN) \S+" if alias else r"\b\w+\.status\b \S+ \S+"
    )
    return re.sub(foreign, "", own)


def _texts(tree: ast.Module, module: ModuleType) -> Iterator[str]:
    """Yield every text of a module, with what is filled in where the module itself knows it."""
    inside = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
        for part in node.values
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(_part(part, module) for part in node.values)
        elif (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and (id(node) not in inside)
        ):
            yield node.value


def _part(part: ast.expr, module: ModuleType) -> str:
    if isinstance(part, ast.Constant):
        return str(part.value)
    assert isinstance(part, ast.FormattedValue)
    try:
        return str(eval(ast.unparse(part.value), vars(module)))  # noqa: S307 - our own source
    except NameError:
        return UNREAD
