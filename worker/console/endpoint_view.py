"""How endpoints look: a secret is shown to whoever asked for it, once, and a query to nobody."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from shared.billing.use_confirmation import KST
from worker.console.rendering import (
    Json,
    both,
    iso,
    local,
    print_fields,
    print_json,
    print_line,
    print_more,
    print_table,
)

if TYPE_CHECKING:
    from shared.db.endpoints import DeliveryCard, Endpoint


def without_query(url: str) -> str:
    """Return an address without its query, where tokens are."""
    path, mark, _ = url.partition("?")
    return f"{path}?…" if mark else path


def write_list(found: Sequence["Endpoint"], limit: int) -> None:
    """Print at most ``limit`` endpoints for programs, and whether there are more."""
    print_json(
        {"endpoints": [_document(each) for each in found[:limit]], "more": len(found) > limit}
    )


def print_list(found: Sequence["Endpoint"], limit: int) -> None:
    """Print at most ``limit`` endpoints as a table."""
    print_table(
        ("endpoint", "address", "status", "waiting", "given up", "failing since", "events"),
        (
            (
                str(each.id),
                without_query(each.url),
                each.status,
                str(each.waiting),
                str(each.given_up),
                local(each.failing_since, KST.key),
                "all" if each.event_names is None else str(len(each.event_names)),
            )
            for each in found[:limit]
        ),
    )
    if len(found) > limit:
        print_more(limit)


def write_card(endpoint: "Endpoint") -> None:
    """Print an endpoint for programs."""
    print_json(_document(endpoint))


def print_card(endpoint: "Endpoint") -> None:
    """Print an endpoint for people."""
    print_fields(fields(endpoint))


def fields(endpoint: "Endpoint") -> dict[str, str]:
    """Return an endpoint for people."""
    disabled = {
        "disabled": both(endpoint.disabled_at, KST.key),
        "because": endpoint.disabled_reason or "-",
    }
    return {
        "endpoint": str(endpoint.id),
        "address": without_query(endpoint.url),
        "status": endpoint.status,
        "events": "all" if endpoint.event_names is None else ", ".join(endpoint.event_names),
        "private addresses": "allowed" if endpoint.allow_private else "refused",
        "secrets": str(endpoint.secrets),
        "waiting": str(endpoint.waiting),
        "oldest waiting": both(endpoint.oldest_at, KST.key),
        "delivered": str(endpoint.delivered),
        "given up": str(endpoint.given_up),
        "failing since": both(endpoint.failing_since, KST.key),
        **(disabled if endpoint.disabled_at else {}),
        "added": both(endpoint.created_at, KST.key),
    }


def write_deliveries(found: Sequence["DeliveryCard"], limit: int) -> None:
    """Print at most ``limit`` deliveries for programs, and whether there are more."""
    print_json(
        {
            "deliveries": [
                {
                    "id": each.id,
                    "event_id": each.event_id,
                    "name": each.name,
                    "subscription_id": each.subscription_id,
                    "status": each.status,
                    "tries": each.tries,
                    "next_try_at": iso(each.next_try_at),
                    "last_status": each.last_status,
                    "last_error": each.last_error,
                    "delivered_at": iso(each.delivered_at),
                    "created_at": iso(each.created_at),
                }
                for each in found[:limit]
            ],
            "more": len(found) > limit,
        }
    )


def print_deliveries(found: Sequence["DeliveryCard"], limit: int) -> None:
    """Print at most ``limit`` deliveries as a table."""
    print_table(
        ("event", "name", "subscription", "status", "tries", "next try", "last answer"),
        (
            (
                str(each.event_id),
                each.name,
                each.subscription_id or "-",
                each.status,
                str(each.tries),
                local(each.next_try_at, KST.key),
                each.last_error or ("-" if each.last_status is None else str(each.last_status)),
            )
            for each in found[:limit]
        ),
    )
    if len(found) > limit:
        print_more(limit)


def write_result(result: Mapping[str, Json], secret: str | None = None) -> None:
    """Print what was done for programs, and the secret that came of it."""
    print_json({**result, **({} if secret is None else {"secret": secret})})


def print_result(result: Mapping[str, Json], secret: str | None = None) -> None:
    """Print what was done for people, and the secret that came of it."""
    print_fields({name.replace("_", " "): str(value) for name, value in result.items()})
    if secret is not None:
        print_line()
        print_fields({"secret": secret})
        print_line("Give it to the receiver: it is not shown again.")


def _document(endpoint: "Endpoint") -> dict[str, Json]:
    return {
        "id": endpoint.id,
        "url": without_query(endpoint.url),
        "status": endpoint.status,
        "event_names": endpoint.event_names,
        "allow_private": endpoint.allow_private,
        "secrets": endpoint.secrets,
        "waiting": endpoint.waiting,
        "oldest_waiting_at": iso(endpoint.oldest_at),
        "delivered": endpoint.delivered,
        "given_up": endpoint.given_up,
        "failing_since": iso(endpoint.failing_since),
        "disabled_at": iso(endpoint.disabled_at),
        "disabled_reason": endpoint.disabled_reason,
        "created_at": iso(endpoint.created_at),
    }
