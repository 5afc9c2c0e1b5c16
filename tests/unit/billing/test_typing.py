"""The type checker refuses what must never be written; it is run here to see it refuse."""

import os
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Final, get_args

import pytest

from shared.billing import inquiry, outcome

CHECKOUT: Final = Path(__file__).resolve().parents[3]
GUARANTEES: Final = CHECKOUT / "tests" / "typing" / "settle_accepts_settled_only.py"

SETTLE_UNKNOWN: Final = """
from datetime import datetime
from shared.billing.attempt import Claim
from shared.billing.collection import settle
from shared.billing.dunning import DunningPolicy
from shared.billing.outcome import Unknown

def conclude(claim: Claim, dunning: DunningPolicy, now: datetime) -> None:
    settle(claim, Unknown("ReadTimeout"), dunning, now)
"""


def members(alias: object) -> dict[str, str]:
    """Return the class names of a union, each with the module that defines it."""
    return {member.__name__: member.__module__ for member in get_args(alias)}


def matching(alias: str, names: list[str], *, default: bool) -> str:
    """Return a function that matches some members of a union, with or without ``assert_never``."""
    module, homes = UNIONS[alias]
    imports = "".join(f"from {homes[name]} import {name}\n" for name in names)
    cases = "".join(f"        case {name}():\n            return {name!r}\n" for name in names)
    end = "        case _:\n            assert_never(ending)\n" if default else "    return None\n"
    return (
        f"from typing import assert_never\nfrom {module} import {alias}\n{imports}\n"
        f"def tell(ending: {alias}) -> str | None:\n    match ending:\n{cases}{end}"
    )


UNIONS: Final = {
    "Outcome": ("shared.billing.outcome", members(outcome.Outcome)),
    "Finding": ("shared.billing.inquiry", members(inquiry.Finding)),
}
LEFT_OUT: Final = [(alias, name) for alias, (_, names) in UNIONS.items() for name in names]


def snippets() -> dict[str, str]:
    """Return the files to be read, by name."""
    files = {"settle_unknown.py": SETTLE_UNKNOWN}
    for alias, (_, names) in UNIONS.items():
        for end, default in (("asserted", True), ("open", False)):
            files[f"{alias}_whole_{end}.py"] = matching(alias, list(names), default=default)
            for left_out in names:
                rest = [name for name in names if name != left_out]
                files[f"{alias}_without_{left_out}_{end}.py"] = matching(
                    alias, rest, default=default
                )
    return files


@pytest.fixture(scope="module")
def complaints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What mypy says of every file, with the project's own settings, in one run."""
    folder = tmp_path_factory.mktemp("typing")
    for name, text in snippets().items():
        (folder / name).write_text(text, encoding="utf-8")
    done = subprocess.run(
        [
            sys.executable,
            *("-m", "mypy", "--config-file", str(CHECKOUT / "pyproject.toml")),
            *("--cache-dir", os.devnull, "--no-pretty", "--no-color-output"),
            *("--no-error-summary", "--hide-error-context"),
            str(GUARANTEES),
            *(str(folder / name) for name in snippets()),
        ],
        cwd=CHECKOUT,
        env={**os.environ, "MYPYPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    found: dict[str, list[str]] = defaultdict(list)
    for line in done.stdout.splitlines():
        form = re.fullmatch(r"(?P<path>.+?):\d+: error: (?P<text>.+)", line)
        if form:
            found[Path(form["path"]).name].append(form["text"])
    return found


def test_every_line_that_must_be_refused_still_is(complaints: dict[str, list[str]]) -> None:
    """An ignore that mypy needs no more would be reported here."""
    assert complaints.get(GUARANTEES.name, []) == []
    assert GUARANTEES.read_text(encoding="utf-8").count("# type: ignore[arg-type]") == 17


def test_an_unknown_outcome_cannot_be_settled(complaints: dict[str, list[str]]) -> None:
    [complaint] = complaints["settle_unknown.py"]
    assert 'Argument 2 to "settle" has incompatible type "Unknown"' in complaint
    assert complaint.endswith("[arg-type]")


@pytest.mark.parametrize("alias", UNIONS)
@pytest.mark.parametrize("end", ["asserted", "open"])
def test_a_match_with_every_member_is_accepted(
    complaints: dict[str, list[str]], alias: str, end: str
) -> None:
    assert complaints.get(f"{alias}_whole_{end}.py", []) == []


@pytest.mark.parametrize(("alias", "left_out"), LEFT_OUT)
def test_assert_never_names_the_member_that_was_left_out(
    complaints: dict[str, list[str]], alias: str, left_out: str
) -> None:
    [complaint] = complaints[f"{alias}_without_{left_out}_asserted.py"]
    assert f'"assert_never" has incompatible type "{left_out}"' in complaint


@pytest.mark.parametrize(("alias", "left_out"), LEFT_OUT)
def test_a_match_without_a_default_names_the_member_that_was_left_out(
    complaints: dict[str, list[str]], alias: str, left_out: str
) -> None:
    [complaint] = complaints[f"{alias}_without_{left_out}_open.py"]
    assert f'unhandled case for values of type "{left_out}"' in complaint
    assert complaint.endswith("[exhaustive-match]")


def test_the_three_groups_make_up_every_outcome_and_share_none() -> None:
    groups = [set(members(group)) for group in (outcome.Settled, outcome.Unmoved)]
    groups.append(set(members(outcome.Unresolved)))
    assert set.union(*groups) == set(members(outcome.Outcome))
    assert sum(len(group) for group in groups) == len(members(outcome.Outcome)) == 8
