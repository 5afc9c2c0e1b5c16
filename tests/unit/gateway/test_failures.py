"""Every way in which a call can fail to bring a reply, by name."""

import asyncio
import errno
import inspect
import ssl

import aiohttp
import httpx
import pytest

from shared.billing.outcome import FaultScope, Misconfigured, NotSent, Unknown
from worker.gateway.errors import GatewayError, GatewayMisconfigured, GatewayUnavailable
from worker.gateway.failures import (
    HTTPX_FAILURES,
    Sign,
    TotalTimeout,
    describe,
    outcome_of_failure,
    sign_of,
)
from worker.gateway.fence import FenceExpired
from worker.gateway.refusals import error_of_failure
from worker.gateway.transport import AIOHTTP_FAILURES, renamed

EXPORTED = sorted(
    name
    for name, kind in inspect.getmembers(httpx, inspect.isclass)
    if issubclass(kind, BaseException)
)


def of(name: str) -> Exception:
    """Return an exception that httpx exports."""
    if name == "HTTPStatusError":
        request = httpx.Request("GET", "http://localhost")
        return httpx.HTTPStatusError("?", request=request, response=httpx.Response(500))
    kind: type[Exception] = getattr(httpx, name)
    wordless = {"StreamConsumed", "StreamClosed", "ResponseNotRead", "RequestNotRead"}
    return kind() if name in wordless else kind("?")


def test_every_exception_that_httpx_exports_is_in_the_table_and_no_other() -> None:
    assert sorted(HTTPX_FAILURES) == EXPORTED


@pytest.mark.parametrize("name", EXPORTED)
def test_after_a_byte_may_have_left_nothing_is_certain_whatever_the_name(name: str) -> None:
    assert isinstance(outcome_of_failure(of(name), bytes_may_have_left=True), Unknown)


@pytest.mark.parametrize("name", EXPORTED)
def test_before_a_byte_left_the_name_may_only_doubt_it(name: str) -> None:
    expected = {
        Sign.BEFORE: NotSent,
        Sign.EITHER: NotSent,
        Sign.AFTER: Unknown,
        Sign.OUR_FAULT: Misconfigured,
    }

    result = outcome_of_failure(of(name), bytes_may_have_left=False)

    assert type(result) is expected[HTTPX_FAILURES[name]]


@pytest.mark.parametrize("name", EXPORTED)
def test_without_a_record_only_a_name_that_is_sure_says_not_sent(name: str) -> None:
    expected = {
        Sign.BEFORE: NotSent,
        Sign.EITHER: Unknown,
        Sign.AFTER: Unknown,
        Sign.OUR_FAULT: Misconfigured,
    }

    assert type(outcome_of_failure(of(name))) is expected[HTTPX_FAILURES[name]]


def test_the_names_that_are_sure_that_nothing_was_sent_are_few() -> None:
    before = {name for name, sign in HTTPX_FAILURES.items() if sign is Sign.BEFORE}

    assert before == {"ConnectError", "ConnectTimeout", "PoolTimeout"}


def test_a_malformed_request_is_our_fault_and_its_header_is_not_told() -> None:
    error = httpx.LocalProtocolError("Illegal header value b'Bearer planted'")

    assert outcome_of_failure(error) == Misconfigured("LocalProtocolError", FaultScope.GATEWAY)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EPIPE, "http://address/planted"),
        TimeoutError(),
        asyncio.IncompleteReadError(b"", 1),
        aiohttp.ClientPayloadError("http://address/planted"),
        ssl.SSLError("http://address/planted"),
        UnicodeError("planted"),
        RuntimeError("planted"),
        TotalTimeout("not over within 1 s"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_is_not_httpx_is_unknown_unless_the_record_says_that_nothing_left(
    error: Exception,
) -> None:
    assert isinstance(outcome_of_failure(error), Unknown)
    assert isinstance(outcome_of_failure(error, bytes_may_have_left=True), Unknown)
    assert isinstance(outcome_of_failure(error, bytes_may_have_left=False), NotSent)
    assert "planted" not in describe(error)


def test_an_expired_fence_says_not_sent_unless_the_record_denies_it() -> None:
    late = FenceExpired("31 s")

    assert outcome_of_failure(late) == NotSent("FenceExpired: 31 s")
    assert outcome_of_failure(late, bytes_may_have_left=False) == NotSent("FenceExpired: 31 s")
    assert outcome_of_failure(late, bytes_may_have_left=True) == Unknown("FenceExpired: 31 s")


def test_a_failure_is_known_by_the_nearest_name_of_httpx() -> None:
    class ReadError(httpx.ConnectError):
        """Of another library, with a name that misleads."""

    assert sign_of(ReadError("?")) is Sign.BEFORE


def test_a_failure_is_told_without_the_texts_of_others() -> None:
    assert describe(httpx.ReadTimeout("")) == "ReadTimeout"
    assert describe(httpx.ReadTimeout("1 s")) == "ReadTimeout: 1 s"
    assert describe(ConnectionResetError(errno.ECONNRESET, "x")).endswith("reset by peer")
    assert describe(KeyError("planted")) == "KeyError"


AIOHTTP_EXPORTED = [
    kind
    for _, kind in inspect.getmembers(aiohttp, inspect.isclass)
    if issubclass(kind, aiohttp.ClientError)
]


def aiohttp_error(kind: type[aiohttp.ClientError]) -> aiohttp.ClientError:
    """Return an error of aiohttp's without its constructor, which wants a connection."""
    error = kind.__new__(kind)
    error._conn_key = aiohttp.client_reqrep.ConnectionKey(  # type: ignore[attr-defined]
        "gateway", 443, True, True, None, None, None
    )
    error._os_error = OSError(errno.ECONNREFUSED, "Connection refused")  # type: ignore[attr-defined]
    error._certificate_error = error._os_error  # type: ignore[attr-defined]
    error._path = "/"  # type: ignore[attr-defined]
    return error


@pytest.mark.parametrize("kind", AIOHTTP_EXPORTED, ids=lambda kind: kind.__name__)
def test_every_failure_of_aiohttp_gets_a_name_of_httpx_that_is_not_surer_than_its_own(
    kind: type[aiohttp.ClientError],
) -> None:
    sign = sign_of(renamed(aiohttp_error(kind)))

    if issubclass(kind, aiohttp.InvalidURL | aiohttp.NonHttpUrlClientError):
        assert sign is Sign.OUR_FAULT
    elif sign is Sign.BEFORE:
        # All that is raised while the connection is made, and nothing else.
        assert issubclass(
            kind,
            aiohttp.ClientConnectorError
            | aiohttp.ConnectionTimeoutError
            | aiohttp.ServerFingerprintMismatch,
        )
    else:
        assert sign in {Sign.EITHER, Sign.AFTER}


def test_a_connection_lost_in_mid_charge_is_never_named_like_one_never_made() -> None:
    for kind in (
        aiohttp.ServerDisconnectedError,
        aiohttp.ClientOSError,
        aiohttp.ClientConnectionError,
        aiohttp.ClientConnectionResetError,
        aiohttp.SocketTimeoutError,
        aiohttp.ServerTimeoutError,
        aiohttp.ClientPayloadError,
    ):
        assert sign_of(renamed(aiohttp_error(kind))) is not Sign.BEFORE


def test_a_failure_is_renamed_without_its_address() -> None:
    lost = aiohttp.ClientOSError(errno.EPIPE, "Can not write request body for http://x/planted")
    late = aiohttp.ConnectionTimeoutError("Connection timeout to host http://x/planted")

    assert str(renamed(lost)) == "ClientOSError: Broken pipe"
    assert str(renamed(late)) == "ConnectionTimeoutError"


def test_every_name_given_is_one_that_is_classified() -> None:
    assert {kind.__name__ for kind in AIOHTTP_FAILURES.values()} <= set(HTTPX_FAILURES)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (httpx.UnsupportedProtocol("?"), GatewayMisconfigured),
        (httpx.ConnectError("?"), GatewayUnavailable),
        (httpx.ReadTimeout("?"), GatewayUnavailable),
        (RuntimeError("?"), GatewayUnavailable),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_lookup_that_fails_is_unavailable_unless_it_was_malformed(
    error: Exception, told: type[GatewayError]
) -> None:
    assert type(error_of_failure(error)) is told
