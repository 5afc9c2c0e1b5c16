"""A client for the sandbox that is none of ours, made of the standard library."""

import json
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

from tests.contract.validation import faults_of_reply, operation_of

IMP_KEY: Final = "test-key"
IMP_SECRET: Final = "test-secret"
WAIT_S: Final = 10.0

JSON_TYPE: Final = "application/json"
FORM_TYPE: Final = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def code(self) -> int:
        """The envelope's code."""
        value: int = self.json["code"]
        return value

    @property
    def message(self) -> str | None:
        """The envelope's message."""
        value: str | None = self.json["message"]
        return value

    @property
    def response(self) -> Any:
        """The envelope's response."""
        return self.json["response"]

    @property
    def refusal(self) -> tuple[int, int, str | None]:
        """HTTP status, code and message of an answer that must carry no response."""
        assert self.response is None
        return self.status, self.code, self.message


@dataclass
class Gateway:
    """Speak to one sandbox as any HTTP client would.

    Attributes:
        is_documented: Whether every reply must be what PortOne documents.
    """

    host: str
    port: int
    is_documented: bool = True
    _token: str | None = field(default=None, init=False)

    def call(
        self,
        method: str,
        path: str,
        *,
        json_body: object = None,
        form: dict[str, str] | None = None,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        timeout_s: float = WAIT_S,
    ) -> Answer:
        """Send one request on a connection of its own, with no token unless `headers` has one."""
        sent = dict(headers or {})
        if json_body is not None:
            body = json.dumps(json_body).encode()
            sent.setdefault("Content-Type", JSON_TYPE)
        elif form is not None:
            body = urlencode(form).encode()
            sent.setdefault("Content-Type", FORM_TYPE)
        connection = HTTPConnection(self.host, self.port, timeout=timeout_s)
        try:
            connection.request(method, path, body, sent)
            reply = connection.getresponse()
            received = {name.lower(): value for name, value in reply.getheaders()}
            answer = Answer(reply.status, received, reply.read())
        finally:
            connection.close()
        if self.is_documented:
            _hold_to_the_documents(method, path, answer)
        return answer

    def raw(self, data: bytes, *, timeout_s: float = WAIT_S) -> bytes:
        """Send bytes and give everything that comes back until the server closes."""
        with socket.create_connection((self.host, self.port), timeout=timeout_s) as connection:
            connection.sendall(data)
            received = b""
            while chunk := connection.recv(65536):
                received += chunk
            return received

    @property
    def token(self) -> str:
        """A token, fetched once after each reset."""
        if self._token is None:
            credentials = {"imp_key": IMP_KEY, "imp_secret": IMP_SECRET}
            answer = self.call("POST", "/users/getToken", json_body=credentials)
            self._token = str(answer.response["access_token"])
        return self._token

    @property
    def bearer(self) -> dict[str, str]:
        """The header that carries the token."""
        return {"Authorization": f"Bearer {self.token}"}

    def get(self, path: str, **options: Any) -> Answer:
        """Ask one of the gateway's lookups."""
        return self.call("GET", path, headers=self.bearer, **options)

    def order(self, **changes: Any) -> dict[str, Any]:
        """Give a complete charge request; a change to None leaves the parameter out."""
        order = {"customer_uid": "buyer", "merchant_uid": "m1", "amount": 1004, "name": "구독"}
        return {name: value for name, value in {**order, **changes}.items() if value is not None}

    def again(self, *, timeout_s: float = WAIT_S, **changes: Any) -> Answer:
        """Charge; the buyer is `buyer` and the merchant_uid `m1` unless told otherwise."""
        return self.call(
            "POST",
            "/subscribe/payments/again",
            json_body=self.order(**changes),
            headers=self.bearer,
            timeout_s=timeout_s,
        )

    def cancel(self, *, timeout_s: float = WAIT_S, **wanted: Any) -> Answer:
        """Cancel; without an imp_uid or merchant_uid the payment of `m1` is meant."""
        if not {"imp_uid", "merchant_uid"} & set(wanted):
            wanted["merchant_uid"] = "m1"
        return self.post("/payments/cancel", timeout_s=timeout_s, **wanted)

    def post(self, path: str, *, timeout_s: float = WAIT_S, **body: Any) -> Answer:
        """Send a request of the gateway with a JSON body."""
        headers = self.bearer
        return self.call("POST", path, json_body=body, headers=headers, timeout_s=timeout_s)

    def post_form(self, path: str, form: dict[str, str], *, method: str = "POST") -> Answer:
        """Send a request of the gateway with a form."""
        return self.call(method, path, form=form, headers=self.bearer)

    def delete(self, path: str) -> Answer:
        """Send a DELETE request of the gateway."""
        return self.call("DELETE", path, headers=self.bearer)

    def again_bytes(self, **changes: Any) -> bytes:
        """Give the bytes of a charge request."""
        body = json.dumps(self.order(**changes)).encode()
        head = (
            "POST /subscribe/payments/again HTTP/1.1\r\nHost: sandbox\r\n"
            f"Authorization: Bearer {self.token}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    def control(self, method: str, path: str, body: object = None, *, status: int = 200) -> Any:
        """Use the control API and insist on the status."""
        answer = self.call(method, f"/_sandbox/{path}", json_body=body)
        assert answer.status == status, answer.body
        return answer.json

    def register(self, *customer_uids: str) -> None:
        """Register billing keys."""
        self.control("POST", "billing-keys", {"customer_uids": list(customer_uids)})

    def behave(self, *script: object, customer_uid: str = "buyer", **then: object) -> None:
        """Script a customer."""
        path = f"behaviours/{quote(customer_uid, safe='')}"
        self.control("PUT", path, {"script": list(script), **then})

    def behave_on_cancel(self, imp_uid: str, *script: object, **then: object) -> None:
        """Script the cancels of a payment."""
        self.control("PUT", f"cancel-behaviours/{imp_uid}", {"script": list(script), **then})

    def faults(self, **settings: object) -> dict[str, Any]:
        """Change settings."""
        result: dict[str, Any] = self.control("PUT", "faults", settings)
        return result

    def booked(self, merchant_uid: str | None = None) -> list[dict[str, Any]]:
        """Read the book, of one merchant_uid or all of it."""
        query = "" if merchant_uid is None else f"?merchant_uid={quote(merchant_uid)}"
        rows: list[dict[str, Any]] = self.control("GET", f"payments{query}")["payments"]
        return rows

    def seen(self, merchant_uid: str = "m1") -> list[dict[str, Any]]:
        """Read what charge requests the sandbox saw for a merchant_uid."""
        path = f"requests?merchant_uid={quote(merchant_uid)}"
        rows: list[dict[str, Any]] = self.control("GET", path)["requests"]
        return rows

    def seen_cancels(self, imp_uid: str) -> list[dict[str, Any]]:
        """Read what cancel requests the sandbox saw for a payment."""
        rows: list[dict[str, Any]] = self.control("GET", f"requests?imp_uid={imp_uid}")["requests"]
        return rows

    def webhooks(self) -> list[dict[str, Any]]:
        """Read the webhooks that were due."""
        rows: list[dict[str, Any]] = self.control("GET", "webhooks")["webhooks"]
        return rows

    def counts(self) -> dict[str, Any]:
        """Read the counts of the run."""
        result: dict[str, Any] = self.control("GET", "requests")
        return result

    def reset(self) -> None:
        """Begin anew with one registered buyer."""
        self.control("POST", "reset")
        self._token = None
        self.is_documented = True
        self.register("buyer")


def _hold_to_the_documents(method: str, path: str, answer: Answer) -> None:
    """Insist that a reply of the gateway has no field, type or value that is not documented.

    What is no JSON was broken on purpose.
    """
    raw_path = path.partition("?")[0]
    if operation_of(method, raw_path) is None:
        return
    try:
        json.loads(answer.body)
    except ValueError:
        return
    faults = faults_of_reply(method, raw_path, answer.status, answer.body)
    assert not faults, "; ".join(faults)


@dataclass(frozen=True, slots=True)
class Running:
    """A sandbox process and the client for it."""

    process: "subprocess.Popen[str]"
    first_line: str
    gateway: Gateway
    errors: Path


Launch = Callable[..., Running]
WaitUntil = Callable[[Callable[[], bool]], None]
