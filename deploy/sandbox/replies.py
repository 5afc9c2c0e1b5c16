"""What goes back over the wire: status, envelope and, where asked, a fault of the connection."""

import json
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

_JSON_TYPE: Final = "application/json; charset=utf-8"

# ASCII with \u escapes, as in the captures of the real server.
to_json = json.JSONEncoder(separators=(",", ":")).encode


class Wire(Enum):
    """What happens to a reply on its way."""

    DELIVER = auto()
    CLOSE = auto()  # the connection is closed, no byte of the reply is sent
    RESET = auto()  # likewise, by TCP RST
    TRUNCATE = auto()  # half of the declared body, then closed
    HANG = auto()  # nothing, until the client leaves


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer; with any `wire` but DELIVER the client sees less than what it says.

    Attributes:
        closing: The connection is closed after the whole reply, without having announced it.
    """

    status: int = 200
    body: bytes = b""
    content_type: str = _JSON_TYPE
    headers: tuple[tuple[str, str], ...] = ()
    wire: Wire = Wire.DELIVER
    closing: bool = False


LOST: Final = Reply(status=0, wire=Wire.CLOSE)
RESET: Final = Reply(status=0, wire=Wire.RESET)
HANGING: Final = Reply(status=0, wire=Wire.HANG)


def processed(response_json: str, *, status: int = 200) -> Reply:
    """Answer that the request was processed (code 0); whether money moved is in the response."""
    body = f'{{"code":0,"message":null,"response":{response_json}}}'.encode()
    return Reply(status=status, body=body)


def done() -> Reply:
    """Answer that something was done of which there is nothing to tell."""
    return Reply(body=b'{"code":0,"message":null}')


def refused(message: str, *, code: int = 1) -> Reply:
    """Answer HTTP 200 with a code other than 0: nothing was done."""
    return Reply(body=_envelope(code, message))


def failed(
    status: int,
    message: str,
    *,
    headers: tuple[tuple[str, str], ...] = (),
) -> Reply:
    """Answer with an HTTP error status and code -1."""
    return Reply(status=status, body=_envelope(-1, message), headers=headers)


def bad_gateway() -> Reply:
    """Answer as a proxy would whose upstream is gone: 502 and a page of HTML."""
    page = (
        b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n"
        b"<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n"
    )
    return Reply(status=502, body=page, content_type="text/html")


def garbled(reply: Reply) -> Reply:
    """Make the body unreadable, keeping status and headers."""
    half = len(reply.body) // 2
    return Reply(status=reply.status, body=reply.body[:half] + b"\x00\xff<!-- ")


def control(value: object, *, status: int = 200) -> Reply:
    """Answer a control request with plain JSON, legible in a terminal."""
    try:
        body = json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # a lone surrogate that came in by an escape
        body = json.dumps(value).encode()
    return Reply(status=status, body=body + b"\n")


def _envelope(code: int, message: str) -> bytes:
    return to_json({"code": code, "message": message, "response": None}).encode()
