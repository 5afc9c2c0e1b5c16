"""Requests and replies held against the table of facts; each check returns its faults, one a line.

A request may say nothing that is not in the table. A reply of the sandbox may not either: whatever
it made up, a client might come to rely on.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

from tests.contract.surface import SCALARS, Field, Operation, surface

JSON_TYPE: Final = "application/json"
FORM_TYPE: Final = "application/x-www-form-urlencoded"

_TRUTHS: Final = frozenset({"true", "false", "1", "0"})
_WHOLE: Final = re.compile(r"-?\d+")
_NUMBER: Final = re.compile(r"-?\d+(\.\d+)?")
_OK: Final = frozenset({200, 207})


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it left."""

    method: str
    path: str
    query: str = ""
    content_type: str = ""
    body: bytes = b""


def operation_of(method: str, path: str) -> Operation | None:
    """Find the operation that a method and a raw path are; None if there is none for Naver Pay."""
    given = path.rstrip("/").split("/")
    for operation, steps in _steps(method):
        if len(given) == len(steps) and all(map(_fits, given, steps)):
            return operation
    return None


@cache
def _steps(method: str) -> tuple[tuple[Operation, list[str]], ...]:
    """List the operations of a method, without and with what may be left out of a path."""
    found = []
    for operation in surface().operations.values():
        if operation.method != method:
            continue
        steps = operation.path.split("/")
        found.append((operation, steps))
        last = operation.takes_at(steps[-1])
        if last is not None and not last.required:
            found.append((operation, steps[:-1]))
    # What is spelt out comes before what stands for anything.
    found.sort(key=lambda each: sum(step.startswith("{") for step in each[1]))
    return tuple(found)


def _fits(given: str, step: str) -> bool:
    return bool(given) if step.startswith("{") else given == step


def faults_of_request(request: Request) -> list[str]:
    """Say what of a request the documents do not know, or miss."""
    operation = operation_of(request.method, request.path)
    if operation is None:
        return [f"{request.method} {request.path}: no operation for Naver Pay"]
    path, query = _in_path(request.path, operation), _in_query(request.query, operation)
    faults = [
        *_faults(path, _at(operation, "path"), "path", is_text=True),
        *_faults(query, _at(operation, "query"), "query", is_text=True),
        *_faults_of_body(request, _at(operation, "body")),
    ]
    return [f"{operation.name}: {fault}" for fault in faults]


def _at(operation: Operation, place: str) -> tuple[Field, ...]:
    return tuple(field for field in operation.takes if field.place == place)


def _in_path(path: str, operation: Operation) -> dict[str, Any]:
    pairs = zip(operation.path.split("/"), path.rstrip("/").split("/"), strict=False)
    return {step[1:-1]: unquote(given) for step, given in pairs if step.startswith("{")}


def _in_query(query: str, operation: Operation) -> dict[str, Any]:
    given: dict[str, Any] = {}
    arrays = {field.name for field in operation.takes if field.type.endswith("[]")}
    for name, value in parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)):
        if name in arrays:
            given.setdefault(name, []).append(value)
        else:
            given[name] = value
    return given


def _faults_of_body(request: Request, fields: Sequence[Field]) -> Iterator[str]:
    media_type = request.content_type.partition(";")[0].strip()
    if not request.body:
        yield from _faults({}, fields, "body", is_text=False)
    elif media_type == JSON_TYPE:
        yield from _faults(json.loads(request.body), fields, "body", is_text=False)
    elif media_type == FORM_TYPE:
        yield from _faults(_form(request.body.decode()), fields, "body", is_text=True)
    else:
        yield f"body: {media_type!r} is neither {JSON_TYPE} nor {FORM_TYPE}"


def _form(text: str) -> dict[str, Any]:
    """Read `a[0][b]=c` as the object that it means."""
    root: dict[str, Any] = {}
    for name, value in parse_qsl(text, keep_blank_values=True, strict_parsing=True):
        steps = re.findall(r"[^\[\]]+", name)
        node = root
        for step in steps[:-1]:
            node = node.setdefault(step, {})
        node[steps[-1]] = value
    return {name: _with_arrays(value) for name, value in root.items()}


def _with_arrays(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    values = {name: _with_arrays(value) for name, value in node.items()}
    return list(values.values()) if all(map(str.isdigit, values)) else values


def _faults(given: Any, fields: Sequence[Field], where: str, *, is_text: bool) -> Iterator[str]:
    """Compare an object with what it may have and must have."""
    if not isinstance(given, Mapping):
        yield f"{where}: {given!r} is no object"
        return
    known = {field.name: field for field in fields}
    for name, value in given.items():
        field = known.get(name)
        if field is None:
            yield f"{where}: no {name}; known are {', '.join(known) or 'none'}"
        elif field.naver is False and value is not None:
            yield f"{where}: {name} is not for Naver Pay"
        elif value is not None or field.required:
            yield from _faults_of_value(value, field, f"{where}.{name}", is_text=is_text)
    for field in fields:
        if (field.required or field.naver) and field.name not in given:
            yield f"{where}: {field.name} is missing"


def _faults_of_value(value: Any, field: Field, where: str, *, is_text: bool) -> Iterator[str]:
    if not field.type.endswith("[]"):
        yield from _faults_of_one(value, field, field.type, where, is_text=is_text)
        return
    if not isinstance(value, list):
        yield f"{where}: {value!r} is no array"
        return
    if field.most is not None and not (field.least or 0) <= len(value) <= field.most:
        yield f"{where}: {len(value)} of them, and {field.least} to {field.most} are allowed"
    for number, each in enumerate(value):
        of_type = field.type.removesuffix("[]")
        yield from _faults_of_one(each, field, of_type, f"{where}[{number}]", is_text=is_text)


def _faults_of_one(
    value: Any, field: Field, of_type: str, where: str, *, is_text: bool
) -> Iterator[str]:
    if of_type not in SCALARS:
        fields = surface().annotations[of_type]
        yield from _faults(value, fields, where, is_text=is_text)
    elif not (_is_text_of(value, of_type) if is_text else _is_of(value, of_type)):
        yield f"{where}: {value!r} is no {of_type}"
    else:
        yield from _beyond(value, field, where)


def _beyond(value: Any, field: Field, where: str) -> Iterator[str]:
    if field.longest is not None and len(value) > field.longest:
        yield f"{where}: {len(value)} characters, and {field.longest} are the most"
    if field.values and value not in field.values:
        yield f"{where}: {value!r} is none of {', '.join(field.values)}"
    if field.type.endswith("[]") or field.most is None:
        return
    if not (field.least or 0) <= int(value) <= field.most:
        yield f"{where}: {value} is not between {field.least} and {field.most}"


def _is_of(value: Any, of_type: str) -> bool:
    """Say whether a value of JSON is of a type."""
    match of_type:
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return type(value) is int
        case "number":
            return type(value) in {int, float}
        case _:
            return isinstance(value, Mapping)


def _is_text_of(value: Any, of_type: str) -> bool:
    """Say whether a text can be read as a type."""
    if not isinstance(value, str):
        return False
    match of_type:
        case "string":
            return True
        case "boolean":
            return value in _TRUTHS
        case "integer":
            return _WHOLE.fullmatch(value) is not None
        case "number":
            return _NUMBER.fullmatch(value) is not None
        case _:
            return False


def faults_of_reply(method: str, path: str, status: int, body: bytes) -> list[str]:
    """Say what of a reply to an operation the documents do not know, or miss."""
    operation = operation_of(method, path)
    if operation is None:
        return [f"{method} {path}: no operation for Naver Pay"]
    try:
        reply = json.loads(body)
    except ValueError:
        return [f"{operation.name}: {status} with a body that is no JSON"]
    faults = [*_faults_of_envelope(reply, status), *_faults_of_response(reply, status, operation)]
    return [f"{operation.name}: {status} {fault}" for fault in faults]


def _faults_of_envelope(reply: Any, status: int) -> Iterator[str]:
    if not isinstance(reply, dict) or not {"code", "message"} <= set(reply):
        yield "without code and message"
        return
    known = (*surface().annotations["ResponseAnnotation"], Field("response", "field", "object"))
    yield from (f"no {name} in an envelope" for name in reply if name not in _names(known))
    envelope = {name: reply[name] for name in ("code", "message")}
    yield from _faults(envelope, known, "envelope", is_text=False)
    if reply["code"] == 0 and status not in _OK:
        yield "with code 0"
    if reply["code"] != 0 and not reply["message"]:
        yield f"with code {reply['code']} and no message"
    if reply["code"] != 0 and reply.get("response") is not None:
        yield f"with code {reply['code']} and a response"


def _names(fields: Sequence[Field]) -> set[str]:
    return {field.name for field in fields}


def _faults_of_response(reply: Any, status: int, operation: Operation) -> Iterator[str]:
    if not isinstance(reply, dict) or reply.get("code") != 0:
        return
    of_type = operation.answers.get(status)
    if of_type is None:
        yield f"is not among {', '.join(map(str, operation.answers))}"
    elif not of_type:
        yield from ("with a response",) if "response" in reply else ()
    else:
        field = Field("response", "field", of_type, required=True)
        yield from _faults_of_value(reply.get("response"), field, "response", is_text=False)
