"""A running sandbox, steered over its control API."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import httpx

from tests.support.certificates import trusted

IMP_KEY = "test-key"
IMP_SECRET = "test-secret"


class SandboxControl:
    """What a test may ask of the sandbox; everything goes over HTTP."""

    def __init__(self, url: str) -> None:
        """Take the sandbox's address."""
        self.url = url
        self._client = httpx.Client(base_url=url, timeout=10, trust_env=False, verify=trusted())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._client.close()

    def reset(self) -> None:
        """Forget everything."""
        self._ask("POST", "/_sandbox/reset")

    def register(self, customer_uids: Sequence[str]) -> None:
        """Register billing keys without the buyer's window."""
        self._ask("POST", "/_sandbox/billing-keys", {"customer_uids": list(customer_uids)})

    def behave(
        self, customer_uid: str, script: Sequence[str | Mapping[str, Any]], then: str = "paid"
    ) -> None:
        """Script the endings of a buyer's next charges."""
        body = {"script": list(script), "then": then}
        self._ask("PUT", f"/_sandbox/behaviours/{customer_uid}", body)

    def faults(self, **settings: Any) -> None:
        """Change settings and fault rates."""
        self._ask("PUT", "/_sandbox/faults", settings)

    def book(self) -> list[dict[str, Any]]:
        """Return every payment record."""
        return list(self._ask("GET", "/_sandbox/payments")["payments"])

    def paid(self) -> list[dict[str, Any]]:
        """Return the records of money that moved."""
        return [record for record in self.book() if record["status"] == "paid"]

    def requests(self, merchant_uid: str | None = None) -> Any:
        """Return counts of requests, or the charges seen for one ``merchant_uid``."""
        suffix = f"?merchant_uid={merchant_uid}" if merchant_uid else ""
        return self._ask("GET", f"/_sandbox/requests{suffix}")

    def cancel_script(self, imp_uid: str, script: Sequence[str | Mapping[str, Any]]) -> None:
        """Script the endings of a payment's next cancels; later ones are done."""
        self._ask("PUT", f"/_sandbox/cancel-behaviours/{imp_uid}", {"script": list(script)})

    def cancels_of(self, imp_uid: str) -> list[dict[str, Any]]:
        """Return the cancel requests seen for a payment, in order."""
        return list(self._ask("GET", f"/_sandbox/requests?imp_uid={imp_uid}")["requests"])

    def cancel_in_console(self, imp_uid: str, amount: int, reason: str) -> None:
        """Cancel like a person in the gateway's console."""
        body = {"imp_uid": imp_uid, "amount": amount, "reason": reason}
        self._ask("POST", "/_sandbox/console/cancel", body)

    def enter(self, payments: Sequence[Mapping[str, Any]]) -> list[str]:
        """Put records into the book that nobody of ours asked for; return their ids."""
        booked = self._ask("POST", "/_sandbox/payments", {"payments": list(payments)})
        return list(booked["imp_uids"])

    def revoke_token(self) -> None:
        """End the live token."""
        self._ask("DELETE", "/_sandbox/token")

    def set_clock(self, offset_s: float) -> None:
        """Move the sandbox's clock away from the machine's."""
        self._ask("PUT", "/_sandbox/clock", {"offset_s": offset_s})

    def shop(self, parameters: Mapping[str, Any]) -> str:
        """Return the address of a shop's page that opens the window with these parameters."""
        return self.url + str(self._ask("POST", "/_sandbox/shop", dict(parameters))["url"])

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        response = self._client.request(method, path, json=body)
        assert response.is_success, f"{method} {path}: {response.status_code} {response.text}"
        return response.json()
