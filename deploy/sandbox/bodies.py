"""Request bodies in the two content types of the API, as one shape."""

import json
from dataclasses import dataclass
from typing import Any, Final, NoReturn
from urllib.parse import parse_qsl

_FIELDS_MAX: Final = 10_000
_DEPTH_MAX: Final = 6
_INDEX_DIGITS_MAX: Final = 6

_JSON: Final = "application/json"
_FORM: Final = "application/x-www-form-urlencoded"


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_decoder = json.JSONDecoder(parse_constant=_refuse_constant)


class BadBodyError(ValueError):
    """The body cannot be read; `status` is the HTTP status that says so."""

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a body said; `typed` is false when everything in it is text (a form)."""

    values: dict[str, Any]
    typed: bool


def read_parameters(raw: bytes, content_type: str) -> Parameters:
    """Read a body as JSON or as a form with bracket nesting.

    Raises:
        BadBodyError: it is neither, or it is not an object.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == _FORM:
        return Parameters(_read_form(raw), typed=False)
    if media_type in {_JSON, ""}:
        return Parameters(read_json_object(raw), typed=True)
    message = f"content type {media_type!r} is not accepted; send {_JSON} or {_FORM}"
    raise BadBodyError(message, status=415)


def read_json_object(raw: bytes) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        BadBodyError: it is not valid JSON, or not an object.
    """
    if not raw:
        return {}
    try:
        value = _decoder.decode(raw.decode())
    except RecursionError:
        raise BadBodyError("the JSON is nested too deeply") from None
    except ValueError as error:
        raise BadBodyError(f"the body is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise BadBodyError("the body must be a JSON object")
    return value


def _read_form(raw: bytes) -> dict[str, Any]:
    try:
        text = raw.decode()
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=_FIELDS_MAX)
    except ValueError as error:
        raise BadBodyError(f"the body is not a valid form: {error}") from None
    root: dict[str, Any] = {}
    for name, value in pairs:
        _put(root, _path(name), value)
    return {key: _with_lists(value) for key, value in root.items()}


def _path(name: str) -> list[str]:
    """Split `schedules[0][extra][naverUseCfm]` into its steps; an empty step appends."""
    head, bracket, rest = name.partition("[")
    if not bracket:
        return [name]
    if not head or not rest.endswith("]"):
        raise BadBodyError(f"the form field {name!r} has unbalanced brackets")
    steps = [head, *rest[:-1].split("][")]
    if len(steps) > _DEPTH_MAX or any("[" in step or "]" in step for step in steps):
        raise BadBodyError(f"the form field {name!r} cannot be read")
    return steps


def _put(root: dict[str, Any], path: list[str], value: str) -> None:
    node = root
    for step in path[:-1]:
        node = node.setdefault(step or str(len(node)), {})
        if not isinstance(node, dict):
            raise BadBodyError(f"the form field {path[0]!r} is both a value and an object")
    last = path[-1] or str(len(node))
    if isinstance(node.get(last), dict):
        raise BadBodyError(f"the form field {path[0]!r} is both a value and an object")
    node[last] = value


def _with_lists(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    if node and all(key.isdecimal() and len(key) <= _INDEX_DIGITS_MAX for key in node):
        return [_with_lists(node[key]) for key in sorted(node, key=int)]
    return {key: _with_lists(value) for key, value in node.items()}
