"""What a webhook says: PortOne sends JSON or a form, as the merchant chose in its console."""

import json
from collections.abc import Iterable
from urllib.parse import parse_qsl

from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request

from shared.jobs.command import MerchantUid
from shared.jobs.commands import ReceiveWebhook

# Four short fields; PortOne may add others.
LENGTH_MAX = 16_384
_FIELDS_MAX = 100
_JSON = "application/json"
_FORM = "application/x-www-form-urlencoded"
_MERCHANT_UID = TypeAdapter[str](MerchantUid)


class UnreadableError(Exception):
    """A request holds no webhook; the text says why, and ``status`` is the answer's."""

    def __init__(self, status: int, words: str) -> None:
        """Take the status to answer with, and the words."""
        super().__init__(words)
        self.status = status


async def read(request: Request) -> ReceiveWebhook:
    """Return the webhook that a request holds; fields that nobody knows are ignored.

    Raises:
        UnreadableError: It is too long, of another kind, or says nothing that can be looked up.
    """
    if {"content-length", "transfer-encoding"} <= set(request.headers):
        # A proxy before us may have believed the other one, and taken the rest for a request.
        raise UnreadableError(400, "send content-length or transfer-encoding, and one of them only")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in {_JSON, _FORM}:
        raise UnreadableError(415, f"send {_JSON} or {_FORM}")
    body = await _body(request)
    try:
        text = body.decode("utf-8")
        fields = _json(text) if kind == _JSON else _form(text)
    except (ValueError, RecursionError) as error:
        if isinstance(error, _RepeatedError):
            raise UnreadableError(400, str(error)) from None
        raise UnreadableError(400, f"the body is no {kind} in UTF-8") from None
    return _webhook(fields)


async def _body(request: Request) -> bytes:
    """Return the whole body, and stop reading as soon as it is too long."""
    too_long = UnreadableError(413, f"the body is longer than {LENGTH_MAX} bytes")
    said = request.headers.get("content-length", "0")
    if said.isdecimal() and int(said[:19]) > LENGTH_MAX:
        raise too_long
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LENGTH_MAX:
            raise too_long
    return bytes(body)


class _RepeatedError(ValueError):
    """A field stands twice in one body, so nobody knows which is meant."""


def _json(text: str) -> dict[str, object]:
    fields = json.loads(text, object_pairs_hook=_once)
    if not isinstance(fields, dict):
        raise _RepeatedError("the body must be a JSON object")
    return fields


def _form(text: str) -> dict[str, object]:
    return _once(
        parse_qsl(
            text,
            keep_blank_values=True,
            strict_parsing=bool(text),
            errors="strict",
            max_num_fields=_FIELDS_MAX,
        )
    )


def _once(pairs: Iterable[tuple[str, object]]) -> dict[str, object]:
    fields: dict[str, object] = {}
    for name, value in pairs:
        if name in ReceiveWebhook.model_fields and name in fields:
            raise _RepeatedError(f"{name} is given twice")
        fields[name] = value
    return fields


def _webhook(fields: dict[str, object]) -> ReceiveWebhook:
    # Absent, null and empty mean the same.
    given = {name: fields.get(name) for name in ReceiveWebhook.model_fields}
    said = {name: value for name, value in given.items() if value is not None and value != ""}
    try:
        _MERCHANT_UID.validate_python(said.get("merchant_uid"))
    except ValidationError:
        # An order of another system of the merchant's may be called anything; the payment is
        # looked up by its imp_uid.
        said.pop("merchant_uid", None)
    try:
        return ReceiveWebhook.model_validate(said)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        words = "; ".join(f"{fault['loc'][0]}: {fault['msg']}" for fault in faults)
        raise UnreadableError(400, words) from None
