"""How billing keys look: masked everywhere, but for the window that was just asked for."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from shared.billing.refund import Requester
from shared.billing.subscription import Buyer
from shared.billing.use_confirmation import KST
from shared.billing.window_people import WindowBuyer
from worker.console.buyers import masked_document, masked_fields
from worker.console.rendering import (
    Json,
    both,
    iso,
    local,
    mask,
    print_fields,
    print_json,
    print_line,
    print_more,
    print_table,
)

if TYPE_CHECKING:
    from shared.db.readings import KeyCard, OpenWindow

_OF_A_KNOWN_KEY = ("naverProductCode", "naverProductCount")


def write_list(found: Sequence["KeyCard"], limit: int) -> None:
    """Print at most ``limit`` billing keys for programs, and whether there are more."""
    print_json(
        {"billing_keys": [_document(card) for card in found[:limit]], "more": len(found) > limit}
    )


def print_list(found: Sequence["KeyCard"], limit: int) -> None:
    """Print at most ``limit`` billing keys as a table."""
    print_table(
        ("key", "customer_uid", "status", "generation", "subscriptions", "window", "added"),
        (
            (
                str(card.id),
                mask(card.key.customer_uid),
                card.key.status,
                str(card.generation),
                str(card.subscriptions),
                "-" if card.window is None else f"{card.window.kind} {card.window.status}",
                local(card.created_at, KST.key),
            )
            for card in found[:limit]
        ),
    )
    if len(found) > limit:
        print_more(limit)


def write_card(card: "KeyCard", subscriptions: Sequence[UUID]) -> None:
    """Print a billing key with the subscriptions that are billed with it, for programs."""
    print_json({**_document(card), "subscription_ids": [str(id_) for id_ in subscriptions]})


def print_card(card: "KeyCard", subscriptions: Sequence[UUID]) -> None:
    """Print a billing key with the subscriptions that are billed with it, for people."""
    print_fields(
        {
            "key": str(card.id),
            "status": card.key.status,
            "generation": str(card.generation),
            **masked_fields(card.key),
            "window": "-" if card.window is None else _window(card.window),
            "added": both(card.created_at, KST.key),
            **_removal_fields(card),
        }
    )
    print_line()
    print_table(("billed with it",), ((str(id_),) for id_ in subscriptions))


def window_fields(
    known: "KeyCard | None", customer_uid: str, buyer: Buyer, told: Mapping[str, Json]
) -> dict[str, str]:
    """Return what a window is about, for whoever confirms it."""
    parameters = _parameters(told)
    # A key that is new gets its number, and the product code made of it, when it is written.
    shown = ("name", "amount", "naverActionType", *(() if known is None else _OF_A_KNOWN_KEY))
    texts = {"buyer name": buyer.name, "buyer e-mail": buyer.email, "buyer telephone": buyer.tel}
    return {
        "billing key": f"{mask(customer_uid)}, which is new"
        if known is None
        else f"{mask(customer_uid)}, number {known.id}, {known.key.status}",
        **{label: mask(text) for label, text in texts.items() if text is not None},
        **{name: str(parameters[name]) for name in shown if name in parameters},
        **(
            {"takes the place of": _window(known.window)}
            if known is not None and known.window is not None
            else {}
        ),
        "expires": both(datetime.fromisoformat(str(told["expires_at"])), KST.key),
    }


def write_window(result: Mapping[str, Json], customer_uid: str, buyer: Buyer) -> None:
    """Print what the buyer's page calls ``IMP.request_pay`` with, for programs."""
    print_json({**result, "parameters": _whole(result, customer_uid, buyer)})


def print_window(result: Mapping[str, Json], customer_uid: str, buyer: Buyer) -> None:
    """Print what the buyer's page calls ``IMP.request_pay`` with, for people."""
    print_fields(
        {
            "window": str(result["window_id"]),
            "merchant_uid": str(result["merchant_uid"]),
            "expires": both(datetime.fromisoformat(str(result["expires_at"])), KST.key),
            "command": str(result["command_id"]),
        }
    )
    print_line()
    print_line("IMP.request_pay(")
    for line in json.dumps(
        _whole(result, customer_uid, buyer), ensure_ascii=False, indent=2
    ).splitlines():
        print_line(line)
    print_line(")")


def removal_fields(card: "KeyCard", reason: str, requester: Requester) -> dict[str, str]:
    """Return what a removal is about, for whoever confirms it."""
    return {
        "key": str(card.id),
        "status": card.key.status,
        **masked_fields(card.key),
        **({} if card.window is None else {"window given up": _window(card.window)}),
        "reason": reason,
        "requester": requester,
    }


def write_result(result: Mapping[str, Json]) -> None:
    """Print what was done, for programs."""
    print_json(result)


def print_removal(result: Mapping[str, Json]) -> None:
    """Print what was done, for people."""
    print_fields({"key": str(result["billing_key_id"]), "status": str(result["status"])})
    print_line(
        f"It is not charged any more; `dalmada billing-key show {result['billing_key_id']}` tells"
        " when it is gone at PortOne."
    )


def _document(card: "KeyCard") -> dict[str, Json]:
    window = card.window
    return {
        "id": card.id,
        "status": card.key.status,
        "generation": card.generation,
        **masked_document(card.key),
        "subscriptions": card.subscriptions,
        "window": None
        if window is None
        else {
            "id": str(window.id),
            "kind": window.kind,
            "status": window.status,
            "merchant_uid": window.merchant_uid,
            "expires_at": iso(window.expires_at),
        },
        "delete_reason": card.delete_reason,
        "delete_requester": card.delete_requester,
        "delete_asked_at": iso(card.delete_asked_at),
        "created_at": iso(card.created_at),
    }


def _removal_fields(card: "KeyCard") -> dict[str, str]:
    if card.delete_reason is None:
        return {}
    return {
        "deletion": both(card.delete_asked_at, KST.key),
        "reason": card.delete_reason,
        "requester": card.delete_requester or "-",
    }


def _window(window: "OpenWindow") -> str:
    until = both(window.expires_at, KST.key)
    return f"{window.kind} {window.status} until {until}, merchant_uid {window.merchant_uid}"


def _whole(result: Mapping[str, Json], customer_uid: str, buyer: Buyer) -> dict[str, Json]:
    """Return the parameters of a window with what is kept out of events and rows."""
    return {
        **_parameters(result),
        "customer_uid": customer_uid,
        **{name: str(value) for name, value in WindowBuyer(buyer).parameters().items()},
    }


def _parameters(told: Mapping[str, Json]) -> Mapping[str, Json]:
    parameters = told["parameters"]
    return parameters if isinstance(parameters, Mapping) else {}
