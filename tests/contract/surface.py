"""The table of facts about PortOne's V1 API (``v1_surface.toml``), as values."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

TABLE: Final = Path(__file__).with_name("v1_surface.toml")

SCALARS: Final = frozenset({"string", "integer", "number", "boolean", "object"})
PLACES: Final = frozenset({"path", "query", "body", "field"})

_LINE: Final = re.compile(
    r"(?P<name>\S+) (?P<place>\w+) (?P<type>[\w.]+(?:\[\])?)(?P<required>!?)"
    r"(?: <=(?P<longest>\d+))?(?: (?P<least>\d+)\.\.(?P<most>\d+))?"
    r"(?: one of (?P<values>\S+))?(?P<naver> naver!| not naver)?"
)


@dataclass(frozen=True, slots=True)
class Field:
    """One parameter of a request, or one field of an annotation.

    Attributes:
        place: Where it stands: path, query, body, or field (of an annotation).
        type: A scalar of JSON or the name of an annotation; ``[]`` behind it for an array.
        longest: How many characters it has at most.
        least, most: The range of a number; of an array, of how many it has.
        values: What it may be.
        naver: True where Naver Pay demands it, False where it is not for Naver Pay.
    """

    name: str
    place: str
    type: str
    required: bool = False
    longest: int | None = None
    least: int | None = None
    most: int | None = None
    values: tuple[str, ...] = ()
    naver: bool | None = None

    @property
    def line(self) -> str:
        """The field as it is written in the table."""
        parts = [self.name, self.place, self.type + "!" * self.required]
        if self.longest is not None:
            parts.append(f"<={self.longest}")
        if self.least is not None:
            parts.append(f"{self.least}..{self.most}")
        if self.values:
            parts.append(f"one of {'|'.join(self.values)}")
        if self.naver is not None:
            parts.append("naver!" if self.naver else "not naver")
        return " ".join(parts)


@dataclass(frozen=True, slots=True)
class Operation:
    """One method and path.

    Attributes:
        names_naver: Whether Naver Pay is named among the payment companies that support it; else
            none is.
        takes: Its parameters; the header with the token is not among them.
        answers: The type of ``response`` by HTTP status, empty where there is none.
    """

    method: str
    path: str
    names_naver: bool
    takes: tuple[Field, ...]
    answers: Mapping[int, str]

    @property
    def name(self) -> str:
        """How the table and the page call it."""
        return f"{self.method} {self.path}"

    def takes_at(self, step: str) -> Field | None:
        """Find the parameter that a step of the path is; None if it is spelt out."""
        for field in self.takes:
            if step == f"{{{field.name}}}":
                return field
        return None


@dataclass(frozen=True, slots=True)
class Surface:
    """Everything that can be done with a payment through Naver Pay, and what cannot.

    Attributes:
        operations: By method and path; what Naver Pay supports, or is not of one payment company.
        annotations: The fields of every object that comes or goes, by its name.
        for_others: What only other payment companies support.
        of_no_payment: What is not about payments: lists of codes, sub-merchants.
    """

    operations: Mapping[str, Operation]
    annotations: Mapping[str, tuple[Field, ...]]
    for_others: tuple[str, ...]
    of_no_payment: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """Where the table comes from."""

    repository: str
    path: str
    commit: str
    size: int
    sha256: str


def field_of(line: str) -> Field:
    """Read a field as it is written in the table."""
    match = _LINE.fullmatch(line)
    assert match is not None, f"not a field: {line!r}"
    assert match["place"] in PLACES, f"{line!r}: the place is one of {', '.join(sorted(PLACES))}"
    longest, least, most = (
        None if match[name] is None else int(match[name]) for name in ("longest", "least", "most")
    )
    values = () if match["values"] is None else tuple(match["values"].split("|"))
    naver = None if match["naver"] is None else match["naver"] == " naver!"
    return Field(
        match["name"],
        match["place"],
        match["type"],
        bool(match["required"]),
        longest,
        least,
        most,
        values,
        naver,
    )


def _operation(name: str, row: Mapping[str, Any]) -> Operation:
    method, _, path = name.partition(" ")
    answers = {}
    for answer in row["answers"]:
        status, _, of_type = answer.partition(" ")
        answers[int(status)] = of_type
    takes = tuple(map(field_of, row["takes"]))
    return Operation(method, path, row["names_naver"], takes, answers)


@cache
def surface() -> Surface:
    """Read the table."""
    table = tomllib.loads(TABLE.read_text("utf-8"))
    return Surface(
        {name: _operation(name, row) for name, row in table["operations"].items()},
        {name: tuple(map(field_of, lines)) for name, lines in table["annotations"].items()},
        tuple(table["left_out"]["for_others"]),
        tuple(table["left_out"]["of_no_payment"]),
    )


@cache
def source() -> Source:
    """Read where the table comes from."""
    return Source(**tomllib.loads(TABLE.read_text("utf-8"))["source"])
