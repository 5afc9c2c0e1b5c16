"""The house rules that no linter knows; each check returns its faults, one line each."""

import ast
import re
from collections.abc import Iterator
from pathlib import PurePath

PYTHON_MIN = (3, 11)
FUNCTION_LINES_MAX = 70
MODULE_LINES_MAX = 400
NAMELESS_MODULES = frozenset({"utils", "helpers", "common", "base"})

# A migration is one list of statements that is written once and never read in parts.
_MIGRATIONS = "shared/db/migrations/versions/"

# The clocks of the sandbox and of the launcher are no business of the billing's one clock.
_WALL_CLOCK_READERS = ("shared/clock.py", "deploy/sandbox/clock.py")
_WALL_CLOCK_CALLS = frozenset({"datetime.now", "datetime.utcnow", "date.today", "time.time"})

# Put together, so that this file does not hold what it looks for.
_MACHINE_PATHS = tuple(f"/{folder}/" for folder in ("work", "root"))
_REGISTRIES = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("deb", "debian", "org"),
        ("proxy", "golang", "org"),
    )
)
_NOT_PART_OF_A_PATH = r"(?<![\w.~$}/-])"
_FOREIGN = re.compile(
    "|".join(
        [
            *(_NOT_PART_OF_A_PATH + re.escape(path) for path in _MACHINE_PATHS),
            *(re.escape(host) for host in _REGISTRIES),
        ]
    )
)

_SECTION = re.compile(r"\[(?P<name>[\w.-]+)\]")
_CODES = re.compile(r'"(?P<code>[A-Z]+[0-9]*)"')


def faults(path: str, text: str) -> list[str]:
    """Everything that is untidy in one Python file of ours."""
    try:
        tree = ast.parse(text, feature_version=PYTHON_MIN)
    except SyntaxError as error:
        return [f"{path}:{error.lineno}: Python 3.11 cannot read it: {error.msg}"]
    return [
        *_long_functions(path, tree),
        *_long_module(path, text),
        *_nameless_module(path),
        *_wall_clock_readers(path, tree),
        *_silent_package(path, tree),
    ]


def _long_functions(path: str, tree: ast.Module) -> Iterator[str]:
    if path.startswith(_MIGRATIONS):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                yield f"{path}:{node.lineno}: {node.name} has {lines} lines"


def _long_module(path: str, text: str) -> Iterator[str]:
    lines = len(text.splitlines())
    if lines > MODULE_LINES_MAX and not path.startswith("tests/"):
        yield f"{path}: {lines} lines"


def _nameless_module(path: str) -> Iterator[str]:
    found = NAMELESS_MODULES.intersection(PurePath(path).with_suffix("").parts)
    if found:
        yield f"{path}: {', '.join(found)} says nothing about what is inside"


def _wall_clock_readers(path: str, tree: ast.Module) -> Iterator[str]:
    if path in _WALL_CLOCK_READERS:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            # `datetime.datetime.now` and `datetime.now` are one.
            name = ".".join(ast.unparse(node).split(".")[-2:])
            if name in _WALL_CLOCK_CALLS:
                yield f"{path}:{node.lineno}: {name} is for shared.clock"


def _silent_package(path: str, tree: ast.Module) -> Iterator[str]:
    if PurePath(path).name == "__init__.py" and not ast.get_docstring(tree):
        yield f"{path}: the package does not say what it is"


def foreign_words(path: str, text: str) -> list[str]:
    """Places that name this machine's folders or a package registry's host."""
    return [
        f"{path}:{number}: {match[0]}"
        for number, line in enumerate(text.splitlines(), start=1)
        for match in _FOREIGN.finditer(line)
    ]


def unexplained_ignores(pyproject: str) -> list[str]:
    """Ruff rules that pyproject.toml leaves out without saying why on the same line."""
    section, listed = "", False
    found = []
    for number, line in enumerate(pyproject.splitlines(), start=1):
        if heading := _SECTION.fullmatch(line.strip()):
            section, listed = heading["name"], False
        if not section.startswith("tool.ruff.lint"):
            continue
        listed = section.endswith("per-file-ignores") or line.startswith("ignore") or listed
        value, _, reason = line.partition("#")
        codes = _CODES.findall(value) if listed else []
        found += [f"{number}: {code}" for code in codes if not reason.strip()]
        listed = listed and not value.strip().startswith("]")
    return found
