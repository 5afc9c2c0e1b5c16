"""PortOne over one kept-alive ``httpx.Client``, with the token cached in the process."""

import time
from dataclasses import dataclass
from typing import Any

import httpx

from tests.bench.plain.models import AttemptStatus

_UNAUTHORIZED = 401
# PortOne gives the same token until about a minute before its end.
_REFRESH_AHEAD_S = 60.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a charge ended."""

    status: AttemptStatus
    imp_uid: str | None = None
    receipt_url: str | None = None
    paid_at_s: int | None = None
    message: str | None = None


class Gateway:
    """The gateway of one merchant, for one process."""

    def __init__(self, base_url: str, imp_key: str, imp_secret: str) -> None:
        self._credentials = {"imp_key": imp_key, "imp_secret": imp_secret}
        self._client = httpx.Client(
            base_url=base_url,
            timeout=httpx.Timeout(60.0, connect=5.0),
            trust_env=False,
        )
        self._token = ""
        self._token_until_s = 0.0

    def charge(self, body: dict[str, Any]) -> Outcome:
        """Charge a billing key once."""
        try:
            token = self._current_token()
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            return Outcome(AttemptStatus.NOT_SENT, message=f"no token: {type(error).__name__}")
        try:
            response = self._again(body, token)
            if response.status_code == _UNAUTHORIZED:
                # Refused before anything was done, so it may be sent once more.
                self._token = ""
                response = self._again(body, self._current_token())
            return _outcome(response, body)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            return Outcome(AttemptStatus.NOT_SENT, message=type(error).__name__)
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            return Outcome(AttemptStatus.UNKNOWN, message=type(error).__name__)

    def close(self) -> None:
        self._client.close()

    def _again(self, body: dict[str, Any], token: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"}
        return self._client.post("/subscribe/payments/again", json=body, headers=headers)

    def _current_token(self) -> str:
        if not self._token or time.monotonic() >= self._token_until_s:
            asked_at_s = time.monotonic()
            response = self._client.post("/users/getToken", json=self._credentials)
            answer = response.raise_for_status().json()["response"]
            life_s = answer["expired_at"] - answer["now"]
            self._token = answer["access_token"]
            self._token_until_s = asked_at_s + life_s - min(_REFRESH_AHEAD_S, life_s / 2)
        return self._token


def _outcome(response: httpx.Response, body: dict[str, Any]) -> Outcome:
    envelope = response.json()
    payment = envelope["response"] if envelope["code"] == 0 else None
    if not response.is_success or payment is None:
        return Outcome(AttemptStatus.UNKNOWN, message=envelope["message"])
    expected = body["merchant_uid"], body["amount"]
    if (payment["merchant_uid"], payment["amount"]) != expected:
        return Outcome(AttemptStatus.UNKNOWN, message="the reply is of another charge")
    if payment["status"] == "paid":
        return Outcome(
            AttemptStatus.PAID,
            imp_uid=payment["imp_uid"],
            receipt_url=payment.get("receipt_url"),
            paid_at_s=payment["paid_at"],
        )
    if payment["status"] == "failed":
        return Outcome(
            AttemptStatus.DECLINED,
            imp_uid=payment["imp_uid"],
            message=payment.get("fail_reason"),
        )
    return Outcome(AttemptStatus.UNKNOWN, message=f"status {payment['status']}")
