import tomllib
from itertools import chain

import pytest

from tests.architecture.checkout import own_files, pyproject, python_files, read
from tests.architecture.tidiness import (
    FUNCTION_LINES_MAX,
    MODULE_LINES_MAX,
    faults,
    foreign_words,
    unexplained_ignores,
)

LONG_FUNCTION = "def long() -> None:\n" + "    pass\n" * FUNCTION_LINES_MAX
LONG_MODULE = "pass\n" * (MODULE_LINES_MAX + 1)


def test_every_python_file_is_tidy() -> None:
    found = [fault for path in python_files() for fault in faults(path, read(path))]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("path", "text", "fault"),
    [
        ("shared/x.py", LONG_FUNCTION, "shared/x.py:1: long has 71 lines"),
        ("tests/x.py", LONG_FUNCTION, "tests/x.py:1: long has 71 lines"),
        ("shared/x.py", LONG_MODULE, "shared/x.py: 401 lines"),
        ("shared/utils.py", "", "shared/utils.py: utils says nothing about what is inside"),
        ("shared/base/x.py", "", "shared/base/x.py: base says nothing about what is inside"),
        ("worker/x.py", "datetime.now(UTC)", "worker/x.py:1: datetime.now is for shared.clock"),
        ("worker/x.py", "f(dt.datetime.now)", "worker/x.py:1: datetime.now is for shared.clock"),
        ("deploy/x.py", "time.time()", "deploy/x.py:1: time.time is for shared.clock"),
        ("shared/__init__.py", "", "shared/__init__.py: the package does not say what it is"),
    ],
)
def test_an_untidy_file_is_reported(path: str, text: str, fault: str) -> None:
    assert faults(path, text) == [fault]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("shared/clock.py", "datetime.now(UTC)"),
        ("deploy/x.py", "time.monotonic()"),
        ("tests/x.py", LONG_MODULE),
        ("shared/db/migrations/versions/x.py", LONG_FUNCTION),
        ("shared/x.py", LONG_FUNCTION.replace("    pass\n", "", 1)),
    ],
)
def test_what_is_allowed_is_not_reported(path: str, text: str) -> None:
    assert faults(path, text) == []


def test_no_file_names_a_machine_or_a_registry() -> None:
    found = []
    for path in own_files():
        try:
            found += foreign_words(path, read(path))
        except UnicodeDecodeError:
            continue
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "word",
    ["".join(parts) for parts in (("/wo", "rk/x"), ("/ro", "ot/x"), ("py", "pi.org"))],
)
def test_a_file_that_names_a_machine_or_a_registry_is_reported(word: str) -> None:
    assert len(foreign_words("x", f"first\nsee '{word}'")) == 1
    assert foreign_words("x", "see /home/work/x, ~/root/x and $HOME/work/x") == []


def test_every_rule_that_ruff_leaves_out_has_a_reason() -> None:
    found = unexplained_ignores(read("pyproject.toml"))
    assert not found, "pyproject.toml:" + "\npyproject.toml:".join(found)


def test_a_rule_left_out_without_a_reason_is_reported() -> None:
    settings = pyproject()["tool"]["ruff"]["lint"]
    bare = "\n".join(line.partition("#")[0] for line in read("pyproject.toml").splitlines())
    codes = [*settings["ignore"], *chain(*settings["per-file-ignores"].values())]

    reported = unexplained_ignores(bare)

    assert tomllib.loads(bare)["tool"]["ruff"]["lint"] == settings
    assert [fault.split(": ")[1] for fault in reported] == codes


def test_python_3_11_is_the_floor() -> None:
    assert pyproject()["project"]["requires-python"] == ">=3.11"
    assert pyproject()["tool"]["ruff"]["target-version"] == "py311"
    assert pyproject()["tool"]["mypy"]["python_version"] == "3.11"


@pytest.mark.parametrize("newer", ["type Id = int", "def first[T](of: list[T]) -> T: ..."])
def test_syntax_newer_than_the_floor_is_reported(newer: str) -> None:
    (found,) = faults("shared/x.py", newer)
    assert found.startswith("shared/x.py:1: Python 3.11 cannot read it")
