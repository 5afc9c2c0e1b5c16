"""docs/guide-pages.md names code and tests that exist, and leaves no parameter out."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

import pytest

from tests.architecture.checkout import CHECKOUT, read

PAGE: Final = "docs/guide-pages.md"

# The parameter lists and samples of the two guide pages, in their order, section by section.
LISTED: Final = {
    "A one-off payment": (
        *("pg", "merchant_uid", "amount", "naverUseCfm", "name", "naverPopupMode"),
        *("m_redirect_url", "naverPurchaserName", "naverPurchaserBirthday", "naverProducts"),
        *("categoryType", "categoryId", "uid", "count", "sellerId", "payReferrer"),
        *("naverChainId", "naverCultureBenefit", "naverMerchantUserKey"),
        *("buyer_email", "buyer_name", "buyer_tel", "buyer_addr", "buyer_postcode"),
    ),
    "The registration of a billing key": (
        *("pg", "customer_uid", "merchant_uid", "amount", "naverProductCode"),
        *("naverProductCount", "name", "naverPopupMode", "m_redirect_url", "naverActionType"),
        *("buyer_email", "buyer_name", "buyer_tel", "buyer_addr", "buyer_postcode"),
    ),
    "A charge": (
        *("customer_uid", "merchant_uid", "amount", "tax_free", "name", "extra.naverUseCfm"),
    ),
    "A reservation": (
        *("customer_uid", "schedules", "merchant_uid", "schedule_at", "amount"),
        "extra.naverUseCfm",
    ),
    "A cancellation": ("imp_uid", "amount", "reason", "extra.requester"),
}
# What else the pages ask for, each by a word that its row must hold.
RULES: Final = ("callback", "error_msg", "10 won", "API 호출 권한이 없습니다", "검수")
DIFFERENCES: Final = (
    *("minimum", "naverActionType", "naverChainId", "naverProductCount", "pg"),
    *("cancel", "delete"),
)

_REFERENCE: Final = re.compile(
    r"`(?P<path>[\w./-]+\.(?:py|md|html))(?P<separator>::?)?(?P<name>\w+)?`"
)


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table."""

    section: str
    cells: tuple[str, ...]

    @property
    def subjects(self) -> list[str]:
        """What the first cell is about: everything that it quotes."""
        return re.findall(r"`([^`]+)`", self.cells[0])


def rows(text: str) -> Iterator[Row]:
    """Return the rows of every table, without heads and rulers."""
    section, in_table = "", False
    for line in text.splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ").strip()
        if not line.startswith("|"):
            in_table = False
            continue
        cells = tuple(cell.strip() for cell in line.strip().strip("|").split("|"))
        if in_table and not set(line) <= set("|- "):
            yield Row(section, cells)
        in_table = True


def missing(text: str) -> list[str]:
    """Return every reference to a file, a name in it or a test that is not there."""
    return [
        f"{match[0]}: {fault}"
        for match in _REFERENCE.finditer(text)
        if (fault := _fault(match["path"], match["separator"], match["name"]))
    ]


def _fault(path: str, separator: str | None, name: str | None) -> str | None:
    if not (CHECKOUT / path).is_file():
        return "no such file"
    if (separator is None) != (name is None):
        return "half a reference"
    if name is not None and separator == "::" and not name.startswith("test_"):
        return ":: names a test"
    if name is not None and separator == ":" and path.startswith("tests/"):
        return "a test is named with ::"
    if name is not None and name not in _names_in(path):
        return "no such name in it"
    return None


@cache
def _names_in(path: str) -> frozenset[str]:
    """Every function, class, method and constant that a file defines."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(read(path))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names.update(target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return frozenset(names)


def test_everything_that_the_table_names_exists() -> None:
    found = missing(read(PAGE))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("section", LISTED)
def test_every_parameter_of_the_guide_pages_has_a_row(section: str) -> None:
    subjects = [name for row in rows(read(PAGE)) if row.section == section for name in row.subjects]
    assert [name for name in LISTED[section] if name not in subjects] == []


def test_every_rule_of_the_guide_pages_has_a_row() -> None:
    ruled = [row.cells[0] for row in rows(read(PAGE)) if row.section == "Rules"]
    assert [rule for rule in RULES if not any(rule in cell for cell in ruled)] == []


def test_every_difference_between_the_pages_says_which_is_followed_and_why() -> None:
    differing = [row for row in rows(read(PAGE)) if row.section == "Where the pages differ"]
    assert [
        word for word in DIFFERENCES if not any(word in row.cells[0] for row in differing)
    ] == []
    assert all(len(row.cells) == 5 and all(row.cells) for row in differing)


def test_every_row_names_code_and_a_test() -> None:
    bare = []
    for row in rows(read(PAGE)):
        if row.section == "Where the pages differ":
            continue
        references = [match.groupdict() for match in _REFERENCE.finditer(" ".join(row.cells))]
        is_tested = any(reference["separator"] == "::" for reference in references)
        is_coded = any(not str(reference["path"]).startswith("tests/") for reference in references)
        if not (is_tested and is_coded):
            bare.append(f"{row.section}: {row.cells[0]}")
    assert bare == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("`shared/billing/nowhere.py`", "no such file"),
        ("`shared/billing/money.py:nothing`", "no such name in it"),
        ("`tests/unit/billing/test_money.py::test_nothing`", "no such name in it"),
        ("`tests/unit/billing/test_money.py:NO_WHOLE_WON`", "a test is named with ::"),
        ("`shared/billing/money.py::Price`", ":: names a test"),
        ("`shared/billing/money.py:`", "half a reference"),
    ],
)
def test_a_reference_to_what_is_not_there_is_reported(text: str, fault: str) -> None:
    assert missing(f"| x | {text} |") == [f"{text}: {fault}"]


def test_a_reference_to_what_is_there_is_not_reported() -> None:
    there = (
        "`shared/billing/money.py` `shared/billing/money.py:Price` "
        "`shared/billing/refund.py:REASON_LENGTH_MAX` "
        "`tests/unit/billing/test_money.py::test_a_missing_tax_free_part_is_nothing`"
    )
    assert missing(there) == []


def test_tables_are_read_row_by_row() -> None:
    text = "## One\n\n| a | b |\n| --- | --- |\n| `x`, `y` | 1 |\n\n## Two\n| a |\n|---|\n| z |\n"
    assert [(row.section, row.cells) for row in rows(text)] == [
        ("One", ("`x`, `y`", "1")),
        ("Two", ("z",)),
    ]
    assert [row.subjects for row in rows(text)] == [["x", "y"], []]
