"""PortOne's own file (Swagger 2.0) as the table of facts, with its known faults repaired.

``python -m tests.contract.specification FILE`` writes ``v1_surface.toml`` anew. The file is no
valid Swagger; where it contradicts itself or its own words, ``_REPAIRS`` says what holds.
"""

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tests.contract.surface import SCALARS, TABLE, Field, Operation, Source, Surface

Json = Mapping[str, Any]

_REF: Final = "#/definitions/"
_NAVER: Final = "naverpay"
_PLACES: Final = {"path": "path", "query": "query", "formData": "body"}
# Lists of codes of banks and cards, and of sub-merchants.
_OF_NO_PAYMENT: Final = ("/banks", "/cards", "/tiers")
# Support is told under either name; the second is a slip.
_SUPPORTED: Final = ("x-portone-supported-pgs", "x-portone-supported_pgs")
# Where two shapes are possible, the second is of keys that Naver Pay does not issue.
_KEY_RESPONSE: Final = "CustomerResponse"
_ENVELOPE: Final = "ResponseAnnotation"
_TOKEN: Final = "POST /users/getToken"
_UNAUTHORIZED: Final = 401

# What holds instead of what the file says, by operation or definition and by field.
_REPAIRS: Final[dict[tuple[str, str], dict[str, Any]]] = {
    # An array of nothing; the words name one field of an object.
    ("POST /payments/cancel", "extra"): {"type": "CancelExtra"},
    # An array whose members are described beside it; one alone may be given.
    ("POST /subscribe/payments/unschedule", "merchant_uid"): {"type": "string[]"},
    # As many as a request may name, in the words about the whole.
    ("GET /payments", "imp_uid[]"): {"least": 1, "most": 100},
    ("GET /payments", "merchant_uid[]"): {"least": 1, "most": 100},
    # Demanded at Naver Pay's inspection (opi/ko/integration/pg/v1/naver.mdx).
    ("DELETE /subscribe/customers/{customer_uid}", "reason"): {"naver": True},
    ("DELETE /subscribe/customers/{customer_uid}", "extra[requester]"): {
        "naver": True,
        "values": ("customer", "admin"),
    },
}
# Copied from another definition, or naming what is no field.
_NOT_REQUIRED: Final = frozenset({"PaymentPrepareAnnotation", "VbankDepositAnnotation"})
# What the words of the file list, and no `enum`.
_VALUES_IN_WORDS: Final[dict[tuple[str, str], tuple[str, ...]]] = {
    ("POST /payments/{imp_uid}/naver/confirm", "requester"): ("admin", "customer"),
    ("GET /payments/find/{merchant_uid}/{payment_status}", "payment_status"): (
        ("ready", "paid", "failed", "cancelled")
    ),
    ("GET /payments/findAll/{merchant_uid}/{payment_status}", "payment_status"): (
        ("ready", "paid", "failed", "cancelled")
    ),
    ("GET /subscribe/payments/schedule", "sorting"): ("scheduled",),
    ("PaymentAnnotation", "status"): ("ready", "paid", "cancelled", "failed"),
    ("PaymentAnnotation", "channel"): ("pc", "mobile", "api"),
    ("PaymentAnnotation", "customer_uid_usage"): ("issue", "payment", "payment.scheduled"),
    ("ScheduleResultAnnotation", "schedule_status"): ("scheduled", "executed", "revoked"),
    ("ScheduleResultAnnotation", "payment_status"): ("paid", "failed", "cancelled"),
    ("PgSettingAnnotation", "type"): ("payment", "api_payment", "certification"),
}
# An object that the file has in words alone.
_ADDED: Final = {
    "CancelExtra": (
        Field("requester", "field", "string", values=("customer", "admin"), naver=True),
    )
}


class SpecificationError(ValueError):
    """The file does not say what a repair takes for granted."""


class _Reader:
    def __init__(self, spec: Json) -> None:
        self.definitions: Json = spec["definitions"]
        # What a definition refers to is read when it is first met.
        self.annotations: dict[str, tuple[Field, ...]] = dict(_ADDED)
        # What every answer has around it.
        self._annotation(_ENVELOPE, self.definitions[_ENVELOPE])

    def operation(self, method: str, path: str, said: Json) -> Operation:
        name = f"{method} {path}"
        takes = [
            self._field(name, each["name"], _PLACES[each["in"]], each, each.get("required", False))
            for each in said.get("parameters", ())
        ]
        answers = {
            int(status): self._answer(answer) for status, answer in said["responses"].items()
        }
        # Not said of every operation, and true of all but one.
        if name != _TOKEN:
            answers.setdefault(_UNAUTHORIZED, "")
        return Operation(
            method, path, bool(_supported(said)), tuple(takes), dict(sorted(answers.items()))
        )

    def _answer(self, answer: Json) -> str:
        schema = answer.get("schema")
        if schema is None:
            return ""
        if "$ref" not in schema:
            schema = schema["properties"][_KEY_RESPONSE]
        definition = self.definitions[schema["$ref"].removeprefix(_REF)]
        for part in definition.get("allOf", ()):
            if "response" in part.get("properties", {}):
                return self._type("", "response", part["properties"]["response"])
        return ""

    def _annotation(self, name: str, definition: Json) -> None:
        if name in self.annotations:
            return
        # Known before its fields are read: one may be of its own type.
        self.annotations[name] = ()
        required = () if name in _NOT_REQUIRED else definition.get("required", ())
        self.annotations[name] = tuple(
            self._field(name, field, "field", said, field in required)
            for field, said in definition["properties"].items()
        )

    def _field(self, owner: str, name: str, place: str, said: Json, required: object) -> Field:
        repair = _REPAIRS.get((owner, name), {})
        values = _VALUES_IN_WORDS.get((owner, name))
        if values is not None:
            words = f"{said.get('description')} {said.get('x-portone-description')}"
            missing = [value for value in values if value not in words]
            if missing or "enum" in said:
                raise SpecificationError(f"{owner}: {name} is not said to be {missing}")
        facts: dict[str, Any] = {
            "type": "" if "type" in repair else self._type(owner, name, said),
            "longest": _number(said, "maxLength"),
            "least": _number(said, "minimum"),
            "most": _number(said, "maximum"),
            "values": values or tuple(said.get("enum", ())),
            "naver": _naver(said),
        }
        return Field(name, place, required=bool(required), **{**facts, **repair})

    def _type(self, owner: str, name: str, said: Json) -> str:
        """Name a type; the definition behind it is read, too."""
        inner = said.get("schema", said)
        if "$ref" in inner:
            target = inner["$ref"].removeprefix(_REF)
            self._annotation(target, self.definitions[target])
            return str(target)
        if said["type"] == "array":
            items = said["items"]
            of = items if isinstance(items, str) else self._type(owner, name, items)
            return f"{of}[]"
        if "properties" in said:
            inline = f"{owner}.{name}"
            self._annotation(inline, said)
            return inline
        if said["type"] not in SCALARS:
            raise SpecificationError(f"{owner}: {name} is a {said['type']}")
        return str(said["type"])


def _number(said: Json, name: str) -> int | None:
    # Written as a text as often as not.
    return int(said[name]) if name in said else None


def _naver(said: Json) -> bool | None:
    if said.get("x-portone-per-pg", {}).get(_NAVER, {}).get("required"):
        return True
    others = said.get("x-portone-supported-pgs")
    if others is not None and _NAVER not in others:
        return False
    return False if _NAVER in said.get("x-portone-unsupported-pgs", ()) else None


def _operations(spec: Json) -> Iterator[tuple[str, str, Json]]:
    for path, methods in spec["paths"].items():
        for method, said in methods.items():
            yield method.upper(), path, said


def _supported(said: Json) -> Sequence[str]:
    """List the payment companies that are named; none where it is of all of them."""
    for name in _SUPPORTED:
        if name in said:
            companies: Sequence[str] = said[name]
            return companies
    return ()


def _is_for_naver(said: Json) -> bool:
    """Say whether an operation is for Naver Pay, or not of one payment company at all."""
    supported = _supported(said)
    return not supported or _NAVER in supported


def read(spec: Json) -> Surface:
    """Read PortOne's file.

    Raises:
        SpecificationError: It says something else than the repairs take for granted.
    """
    reader = _Reader(spec)
    operations: dict[str, Operation] = {}
    for_others: list[str] = []
    of_no_payment: list[str] = []
    for method, path, said in _operations(spec):
        name = f"{method} {path}"
        if path.startswith(_OF_NO_PAYMENT):
            of_no_payment.append(name)
        elif _is_for_naver(said):
            operations[name] = reader.operation(method, path, said)
        else:
            for_others.append(name)
    annotations = dict(sorted(reader.annotations.items()))
    return Surface(operations, annotations, tuple(for_others), tuple(of_no_payment))


_HEAD: Final = """\
# What PortOne's REST API V1 takes and answers, as far as Naver Pay goes: facts of the file named
# below, with its known faults repaired. Written by `python -m tests.contract.specification FILE`,
# which tests compare with the file where there is one.
#
# A line is a name, where it stands, its type (`!` if it is required), and what limits it: length,
# range, values, and whether Naver Pay demands it or it is not for Naver Pay.
"""


def written(surface: Surface, source: Source) -> str:
    """Give the table as it is kept."""
    parts = [_HEAD, "[source]"]
    parts += [
        f'repository = "{source.repository}"',
        f'path = "{source.path}"',
        f'commit = "{source.commit}"',
        f"size = {source.size}",
        f'sha256 = "{source.sha256}"',
        "",
        "[left_out]",
        _array("for_others", surface.for_others),
        _array("of_no_payment", surface.of_no_payment),
    ]
    for name, operation in surface.operations.items():
        answers = [f"{status} {of}".rstrip() for status, of in operation.answers.items()]
        parts += [
            "",
            f'[operations."{name}"]',
            f"names_naver = {json.dumps(operation.names_naver)}",
            _array("takes", [field.line for field in operation.takes]),
            f"answers = {json.dumps(answers)}",
        ]
    parts += ["", "[annotations]"]
    parts += [
        _array(f'"{name}"', [field.line for field in fields])
        for name, fields in surface.annotations.items()
    ]
    return "\n".join(parts) + "\n"


def _array(name: str, lines: object) -> str:
    assert isinstance(lines, list | tuple)
    if not lines:
        return f"{name} = []"
    listed = "\n".join(f"  {json.dumps(line, ensure_ascii=False)}," for line in lines)
    return f"{name} = [\n{listed}\n]"


def source_of(raw: bytes) -> Source:
    """Say which file this is."""
    return Source(
        repository="https://github.com/portone-io/developers.portone.io",
        path="src/schema/v1.openapi.json",
        # The last one that changed it, of 27 July 2026.
        commit="0a8743aa",
        size=len(raw),
        sha256=hashlib.sha256(raw).hexdigest(),
    )


def main(arguments: list[str]) -> None:
    """Write the table anew."""
    (path,) = arguments
    raw = Path(path).read_bytes()
    TABLE.write_text(written(read(json.loads(raw)), source_of(raw)), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
