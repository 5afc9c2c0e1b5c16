"""How a send ended that got no reply: by the record of its departure and by the failure's name.

Two signs are asked, and neither alone may say that nothing was sent when the other denies it:

    the name says     the record says:   nothing left    may have left    nobody kept one
    ────────────────                     ─────────────   ──────────────   ───────────────
    BEFORE a byte                        NotSent         Unknown          NotSent
    EITHER                               NotSent         Unknown          Unknown
    AFTER a byte                         Unknown         Unknown          Unknown
    OUR_FAULT                            Misconfigured   Unknown          Misconfigured

A failure that is none of httpx's says EITHER.
"""

import enum
import os

from shared.billing.outcome import FaultScope, Misconfigured, NotSent, Unknown
from worker.gateway.fence import FenceExpired


class TotalTimeout(Exception):  # noqa: N818 - a state of the call, and reads as one
    """The call was not over in time; the name tells nothing of the moment."""


class Sign(enum.Enum):
    """What the name of a failure says of the moment in which it happened."""

    BEFORE = "before"
    EITHER = "either"
    AFTER = "after"
    OUR_FAULT = "our_fault"


# Every exception that httpx exports, by name; a test fails when it exports one that is not here.
HTTPX_FAILURES = {
    "CloseError": Sign.EITHER,
    "ConnectError": Sign.BEFORE,
    "ConnectTimeout": Sign.BEFORE,
    "CookieConflict": Sign.AFTER,
    "DecodingError": Sign.AFTER,
    "HTTPError": Sign.EITHER,
    "HTTPStatusError": Sign.AFTER,
    "InvalidURL": Sign.OUR_FAULT,
    "LocalProtocolError": Sign.OUR_FAULT,
    "NetworkError": Sign.EITHER,
    "PoolTimeout": Sign.BEFORE,
    "ProtocolError": Sign.EITHER,
    # A proxy that fails may have passed the request on; we use none.
    "ProxyError": Sign.EITHER,
    "ReadError": Sign.AFTER,
    "ReadTimeout": Sign.AFTER,
    "RemoteProtocolError": Sign.AFTER,
    "RequestError": Sign.EITHER,
    "RequestNotRead": Sign.EITHER,
    "ResponseNotRead": Sign.AFTER,
    "StreamClosed": Sign.AFTER,
    "StreamConsumed": Sign.AFTER,
    "StreamError": Sign.EITHER,
    "TimeoutException": Sign.EITHER,
    "TooManyRedirects": Sign.AFTER,
    "TransportError": Sign.EITHER,
    "UnsupportedProtocol": Sign.OUR_FAULT,
    "WriteError": Sign.EITHER,
    "WriteTimeout": Sign.EITHER,
}


def outcome_of_failure(
    error: Exception, *, bytes_may_have_left: bool | None = None
) -> NotSent | Misconfigured | Unknown:
    """Return how a send ended that raised ``error`` instead of a reply.

    Args:
        error: What was raised.
        bytes_may_have_left: The record of the departure, or None if nobody kept one.
    """
    cause = describe(error)
    if isinstance(error, FenceExpired):
        # Raised before anything is written; a record that says otherwise is believed.
        return Unknown(cause) if bytes_may_have_left else NotSent(cause)
    sign = sign_of(error)
    if bytes_may_have_left or sign is Sign.AFTER:
        return Unknown(cause)
    if sign is Sign.OUR_FAULT:
        return Misconfigured(cause, FaultScope.GATEWAY)
    if sign is Sign.BEFORE or bytes_may_have_left is False:
        return NotSent(cause)
    return Unknown(cause)


def sign_of(error: Exception) -> Sign:
    """Return what the name of a failure says, by the nearest of its classes that is httpx's."""
    for kind in type(error).__mro__:
        if kind.__module__.partition(".")[0] == "httpx" and kind.__name__ in HTTPX_FAILURES:
            return HTTPX_FAILURES[kind.__name__]
    return Sign.EITHER


def describe(error: Exception) -> str:
    """Return a failure in words that may be stored and logged.

    The texts of other libraries are left out, because they tell addresses, which hold billing keys,
    and so are those of a request httpx calls malformed, which tell the header it would not send.
    """
    name, text = type(error).__name__, ""
    is_told = isinstance(error, FenceExpired | TotalTimeout) or type(error).__module__.startswith(
        "httpx"
    )
    if is_told and sign_of(error) is not Sign.OUR_FAULT:
        text = str(error)
    elif isinstance(error, OSError) and error.errno:
        text = os.strerror(error.errno)
    return f"{name}: {text}" if text else name
