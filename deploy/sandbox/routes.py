"""Which endpoint a method and a path mean."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from deploy.sandbox import (
    again,
    authenticate,
    cancel,
    channels,
    control,
    customers,
    lookups,
    naver_payments,
    payment_lists,
    prepare,
    retries,
    scheduling,
    window_routes,
)
from deploy.sandbox.calls import Endpoint
from deploy.sandbox.census import GET_TOKEN
from deploy.sandbox.commands import command
from deploy.sandbox.lookups import inquiry

_find_all = inquiry("findAll", lookups.find_all)
_find = inquiry("find", lookups.find)
_schedules = inquiry("schedules", scheduling.schedules)

# Earlier ones win: `find` and `findAll` are no imp_uid.
GATEWAY: Final = (
    Endpoint("POST", "/users/getToken", authenticate.serve, GET_TOKEN, needs_token=False),
    Endpoint("POST", "/subscribe/payments/again", again.serve, again.NAME),
    Endpoint("POST", "/payments/cancel", cancel.serve, cancel.NAME),
    Endpoint("POST", "/payments/prepare", command("prepare", prepare.prepare), "prepare"),
    Endpoint("PUT", "/payments/prepare", command("prepare", prepare.change), "prepare"),
    Endpoint(
        "GET",
        "/payments/prepare/{merchant_uid}",
        inquiry("prepared", prepare.prepared),
        "prepared",
    ),
    Endpoint("GET", "/payments/findAll/{merchant_uid}", _find_all, "findAll"),
    Endpoint("GET", "/payments/findAll/{merchant_uid}/{payment_status}", _find_all, "findAll"),
    Endpoint("GET", "/payments/find/{merchant_uid}", _find, "find"),
    Endpoint("GET", "/payments/find/{merchant_uid}/{payment_status}", _find, "find"),
    Endpoint("GET", "/payments", inquiry("payments", payment_lists.by_ids), "payments"),
    Endpoint(
        "GET",
        "/payments/status/{payment_status}",
        inquiry("byStatus", payment_lists.by_status),
        "byStatus",
    ),
    Endpoint("GET", "/payments/{imp_uid}", inquiry("payment", lookups.payment), "payment"),
    Endpoint(
        "POST",
        "/payments/{imp_uid}/naver/point",
        command("naverPoint", naver_payments.point),
        "naverPoint",
    ),
    Endpoint(
        "POST",
        "/payments/{imp_uid}/naver/confirm",
        command("naverConfirm", naver_payments.confirm),
        "naverConfirm",
    ),
    Endpoint(
        "GET",
        "/payments/{imp_uid}/naver/cash-amount",
        inquiry("naverCashAmount", naver_payments.cash_amount),
        "naverCashAmount",
    ),
    Endpoint("GET", "/users/pg", inquiry("channels", channels.channels), "channels"),
    Endpoint("GET", "/subscribe/customers", inquiry("customers", customers.several), "customers"),
    Endpoint(
        "GET",
        "/subscribe/customers/{customer_uid}/payments",
        inquiry("customerPayments", payment_lists.of_customer),
        "customerPayments",
    ),
    Endpoint(
        "GET",
        "/subscribe/customers/{customer_uid}",
        inquiry("customer", lookups.customer),
        "customer",
    ),
    Endpoint(
        "DELETE",
        "/subscribe/customers/{customer_uid}",
        command("deleteCustomer", customers.delete),
        "deleteCustomer",
    ),
    Endpoint(
        "POST",
        "/subscribe/payments/schedule",
        command("schedule", scheduling.schedule),
        "schedule",
    ),
    Endpoint(
        "POST",
        "/subscribe/payments/unschedule",
        command("unschedule", scheduling.unschedule),
        "unschedule",
    ),
    Endpoint("GET", "/subscribe/customers/{customer_uid}/schedules", _schedules, "schedules"),
    Endpoint(
        "GET",
        "/subscribe/payments/schedule/customers/{customer_uid}",
        _schedules,
        "schedules",
    ),
    Endpoint(
        "GET",
        "/subscribe/payments/schedule",
        inquiry("scheduleList", scheduling.all_schedules),
        "scheduleList",
    ),
    Endpoint(
        "GET",
        "/subscribe/payments/schedule/{merchant_uid}",
        inquiry("scheduled", scheduling.scheduled),
        "scheduled",
    ),
    Endpoint(
        "PUT",
        "/subscribe/payments/schedule/{merchant_uid}",
        command("moveSchedule", scheduling.move),
        "moveSchedule",
    ),
    Endpoint(
        "POST",
        "/subscribe/payments/schedule/{merchant_uid}/reschedule",
        command("reschedule", scheduling.reschedule),
        "reschedule",
    ),
    Endpoint(
        "POST",
        "/subscribe/payments/schedule/{merchant_uid}/retry",
        retries.serve,
        retries.NAME,
    ),
)

# What has no token: for tests, demos and browsers.
CONTROL: Final = (*control.ENDPOINTS, *window_routes.ENDPOINTS)


@dataclass(frozen=True, slots=True)
class Match:
    """An endpoint and the values of its path parameters."""

    endpoint: Endpoint
    parameters: dict[str, str]


class Routes:
    """Find endpoints by method and raw path; one trailing slash makes no difference."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._endpoints = tuple((endpoint, _steps(endpoint.path)) for endpoint in endpoints)
        # What has no parameters is the busiest, and needs no walk through the list.
        self._fixed = {
            (endpoint.method, endpoint.path): Match(endpoint, {})
            for endpoint, _ in self._endpoints
            if "{" not in endpoint.path
        }

    def match(self, method: str, path: str) -> Match | None:
        """Find the endpoint; parameters are decoded one by one and may hold a slash."""
        fixed = self._fixed.get((method, path))
        if fixed is not None:
            return fixed
        for endpoint, parameters in self._at(path):
            if endpoint.method == method:
                return Match(endpoint, parameters)
        return None

    def methods(self, path: str) -> list[str]:
        """List the methods that the path knows."""
        return sorted({endpoint.method for endpoint, _ in self._at(path)})

    def _at(self, path: str) -> Iterable[tuple[Endpoint, dict[str, str]]]:
        given = _steps(path)
        for endpoint, steps in self._endpoints:
            if len(steps) != len(given):
                continue
            parameters: dict[str, str] = {}
            for step, value in zip(steps, given, strict=True):
                if step.startswith("{"):
                    parameters[step[1:-1]] = unquote(value)
                elif step != value:
                    break
            else:
                yield endpoint, parameters


def _steps(path: str) -> list[str]:
    if len(path) > 1 and path.endswith("/"):
        path = path[:-1]
    return path.split("/")[1:]


ROUTES: Final = Routes((*GATEWAY, *CONTROL))
