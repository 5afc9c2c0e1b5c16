"""Requests no client should send: answered, never a crash."""

import gzip
import json
import socket

import pytest

from tests.sandbox.client import Gateway

AGAIN = "/subscribe/payments/again"
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        (JSON, b"{", 400),
        (JSON, b"null", 400),
        (JSON, b"[]", 400),
        (JSON, b'"text"', 400),
        (JSON, b"\xff\xfe\x00", 400),
        (JSON, b'{"amount": NaN}', 400),
        (JSON, b'{"amount": Infinity}', 400),
        (JSON, b'{"amount": 1e999}', 400),
        (JSON, b'{"amount": ' + b"9" * 5000 + b"}", 400),
        (JSON, b'{"a":' * 100_000 + b"1" + b"}" * 100_000, 400),
        (JSON, b"", 400),
        (JSON, b'{"customer_uid": "\xed\xa0\x80"}', 400),
        (FORM, b"amount=%ff%fe&=&&&", 400),
        (FORM, b"\xff\xfe", 400),
        (FORM, b"extra[naverUseCfm=1", 400),
        (FORM, b"extra[a][b][c][d][e][f][g]=1", 400),
        (FORM, b"extra=1&extra[naverUseCfm]=2", 400),
        (FORM, b"extra[naverUseCfm]=2&extra=1", 400),
        (FORM, b"[x]=1", 400),
        (FORM, b"extra[" + b"9" * 5000 + b"]=1", 400),
        (FORM, b"&".join(b"a%d=1" % n for n in range(20_000)), 400),
        ("text/plain", b"{}", 415),
        ("multipart/form-data; boundary=x", b"--x--", 415),
    ],
)
def test_an_unreadable_body_is_refused(
    gateway: Gateway, content_type: str, body: bytes, status: int
) -> None:
    headers = {**gateway.bearer, "Content-Type": content_type}
    answer = gateway.call("POST", AGAIN, body=body, headers=headers)

    assert answer.status == status
    assert answer.response is None
    assert gateway.again().code == 0


@pytest.mark.parametrize("path", ["/users/getToken", "/_sandbox/faults", "/_sandbox/behaviours/x"])
def test_bad_json_is_refused_everywhere(gateway: Gateway, path: str) -> None:
    method = "POST" if path.startswith("/users") else "PUT"
    for body in (b"{", b"[1]", b"\xff"):
        headers = {"Content-Type": JSON}
        assert gateway.call(method, path, body=body, headers=headers).status == 400


def test_a_body_of_more_than_a_mebibyte_is_too_large(gateway: Gateway) -> None:
    filler = "x" * 1024**2
    answer = gateway.again(custom_data=filler)
    assert answer.refusal == (413, -1, "sandbox: the body is too large")

    assert gateway.again(custom_data=filler[: 1024**2 - 500]).code == 0


def test_a_compressed_body_is_not_unpacked(gateway: Gateway) -> None:
    headers = {**gateway.bearer, "Content-Type": JSON, "Content-Encoding": "gzip"}
    packed = gzip.compress(json.dumps(gateway.order()).encode())

    assert gateway.call("POST", AGAIN, body=packed, headers=headers).status == 400


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", AGAIN, "POST"),
        ("PUT", "/users/getToken", "POST"),
        ("DELETE", "/payments/findAll/m1", "GET"),
        ("POST", "/subscribe/customers/buyer", "DELETE, GET"),
        ("GET", "/subscribe/payments/unschedule", "POST"),
        ("DELETE", "/payments/prepare", "GET, POST, PUT"),
    ],
)
def test_a_wrong_method_is_405_and_the_right_one_is_named(
    gateway: Gateway, method: str, path: str, allow: str
) -> None:
    answer = gateway.call(method, path, headers=gateway.bearer)

    assert (answer.status, answer.headers["allow"]) == (405, allow)
    assert answer.response is None


@pytest.mark.parametrize(
    "path", ["/", "/nope", "/payments/a/b/c/d", "/payments/find/a/b/c", "//", "/%00"]
)
def test_an_unknown_path_is_404(gateway: Gateway, path: str) -> None:
    answer = gateway.get(path)

    assert answer.refusal == (404, -1, "sandbox: no such endpoint")


@pytest.mark.parametrize("path", ["/payments/%ff%fe", "/payments/findAll/%00", "/payments/%"])
def test_odd_percent_encoding_is_just_an_unknown_payment(gateway: Gateway, path: str) -> None:
    assert gateway.get(path).status == 404


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /users/getToken HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /users/getToken HTTP/1.1\r\nHost: x\r\nContent-Length: a\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 10_000 + b"\r\n",
        b"POST /users/getToken HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_not_http_is_refused_and_the_connection_closed(
    gateway: Gateway, data: bytes
) -> None:
    try:
        received = gateway.raw(data)
    except ConnectionResetError:  # closed while the rest was still being sent
        received = b""

    assert received == b"" or b" 400 " in received.split(b"\r\n")[0]
    assert gateway.again().code == 0


def test_a_client_that_leaves_in_the_middle_of_its_request_harms_nothing(
    gateway: Gateway,
) -> None:
    whole = gateway.again_bytes()
    for cut in (1, 20, len(whole) // 2, len(whole) - 1):
        with socket.create_connection((gateway.host, gateway.port)) as connection:
            connection.sendall(whole[:cut])

    assert gateway.again().code == 0
    assert len(gateway.booked()) == 1


def test_a_chunked_body_is_read(gateway: Gateway) -> None:
    body = json.dumps(gateway.order()).encode()
    head = (
        f"POST {AGAIN} HTTP/1.1\r\nHost: x\r\nAuthorization: {gateway.token}\r\n"
        "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    )
    chunks = b"".join(b"%x\r\n%s\r\n" % (1, body[n : n + 1]) for n in range(len(body)))

    assert b'"status":"paid"' in gateway.raw(head.encode() + chunks + b"0\r\n\r\n")
