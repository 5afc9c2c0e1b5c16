"""How dead letters look; what a merchant said is hidden, for it names people and billing keys."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from shared.billing.attempt import AttemptStatus
from shared.billing.refund import RefundStatus
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
    from shared.db.letters import Letter

HIDDEN = "(hidden)"
# Ids, amounts and choices. It is a list of what may be shown, not of what may not: a field that is
# added later, or that nobody knows, stays hidden.
_SHOWN = frozenset(
    {
        *("command_id", "subscription_id", "invoice_id", "imp_uid", "merchant_uid"),
        *("cancellation_id", "status", "amount", "tax_free", "when", "requester", "refund"),
        *("late_payment", "popup", "product_count"),
        *("invoice_ids", "attempt_ids", "refund_ids", "hint_ids", "window_ids"),
        *("billing_key_ids", "subscription_ids"),
    }
)
# What an id or a choice looks like; whatever else stands under such a name is hidden as well.
_PLAIN = re.compile(r"[!-~]{0,128}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,39}")


def write_list(found: Sequence["Letter"], limit: int) -> None:
    """Print at most ``limit`` letters for programs, and whether there are more."""
    print_json(
        {
            "dead_letters": [letter_document(item) for item in found[:limit]],
            "more": _more(found, limit),
        }
    )


def print_list(found: Sequence["Letter"], limit: int) -> None:
    """Print at most ``limit`` letters as a table."""
    print_letters(found[:limit])
    if _more(found, limit):
        print_more(limit)


def print_letters(found: Sequence["Letter"]) -> None:
    """Print letters as a table."""
    print_table(
        ("dead letter", "kind", "about", "since", "decided", "cause"),
        (
            (
                str(letter.id),
                letter.kind,
                _about(letter),
                local(letter.created_at, KST.key),
                letter.resolution or "-",
                letter.cause,
            )
            for letter in found
        ),
    )


def write_card(letter: "Letter") -> None:
    """Print a letter with what it says, for programs."""
    print_json({**letter_document(letter), "payload": _payload(letter)})


def print_card(letter: "Letter") -> None:
    """Print a letter with what it says, for people."""
    print_fields(
        {
            "dead letter": str(letter.id),
            "kind": letter.kind,
            "about": _about(letter),
            "cause": letter.cause,
            "since": both(letter.created_at, KST.key),
            "decided": "-"
            if letter.resolution is None
            else f"{letter.resolution}, {both(letter.resolved_at, KST.key)}",
        }
    )
    payload = _payload(letter)
    if payload:
        print_line()
        print_line("What it says:")
        print_fields({name: _text(value) for name, value in payload.items()}, indent=2)
    if HIDDEN in json.dumps(payload):
        print_line()
        print_line(
            "What is hidden may be a billing key or a person. Who may see them finds it in the"
            f" database: table dead_letters, column payload, id {letter.id}."
        )


def letter_document(letter: "Letter") -> dict[str, Json]:
    """Return a letter for programs, without what it says."""
    return {
        "id": letter.id,
        "kind": letter.kind,
        "cause": letter.cause,
        "task": _task(letter),
        "attempt_id": letter.attempt_id,
        "attempt_status": letter.attempt_status,
        "refund_id": letter.refund_id,
        "refund_status": letter.refund_status,
        "resolution": letter.resolution,
        "resolved_at": iso(letter.resolved_at),
        "created_at": iso(letter.created_at),
    }


def requeue_fields(letter: "Letter") -> dict[str, str]:
    """Return what taking a letter up again does, for whoever confirms it."""
    if letter.attempt_id is not None:
        then = f"the gateway is asked about attempt {letter.attempt_id}, with a new deadline"
    elif letter.refund_id is not None:
        then = f"the payment of refund {letter.refund_id} is read, with a new deadline"
    elif (task := _task(letter)) is not None:
        then = f"the message {task} is published once more, as it came"
    else:
        then = f"{_about(letter)} is read again"
    return {**_head(letter), "then": then}


def discard_fields(letter: "Letter", reason: str) -> dict[str, str]:
    """Return what putting a letter away does, for whoever confirms it."""
    then = "nothing but the letter changes"
    if letter.attempt_status is AttemptStatus.PARKED:
        then = (
            f"attempt {letter.attempt_id} ends without a payment, and its invoice, if it is open,"
            " is uncollectible"
        )
    elif letter.refund_status is RefundStatus.PARKED:
        then = f"refund {letter.refund_id} ends with nothing given back"
    elif letter.kind == "message":
        then = "the message is never worked"
    return {**_head(letter), "reason": reason, "then": then}


def write_result(result: Mapping[str, Json]) -> None:
    """Print what was done, for programs."""
    print_json(result)


def print_requeued(result: Mapping[str, Json]) -> None:
    """Print what was done, for people."""
    print_line(f"Dead letter {result['letter_id']} was taken up again.")
    if result["published"] is not None:
        print_line(f"The message {result['published']} was published.")


def print_discarded(result: Mapping[str, Json]) -> None:
    """Print what was done, for people."""
    print_line(f"Dead letter {result['letter_id']} was put away.")


def _head(letter: "Letter") -> dict[str, str]:
    return {
        "dead letter": str(letter.id),
        "kind": letter.kind,
        "about": _about(letter),
        "cause": letter.cause,
        "since": both(letter.created_at, KST.key),
    }


def _about(letter: "Letter") -> str:
    if letter.attempt_id is not None:
        return f"attempt {letter.attempt_id}, {letter.attempt_status}"
    if letter.refund_id is not None:
        return f"refund {letter.refund_id}, {letter.refund_status}"
    if (task := _task(letter)) is not None:
        return task
    imp_uid = letter.payload.get("imp_uid")
    return f"payment {imp_uid}" if isinstance(imp_uid, str) else "-"


def _task(letter: "Letter") -> str | None:
    task = letter.payload.get("task")
    return task if isinstance(task, str) and letter.kind == "message" else None


def _payload(letter: "Letter") -> dict[str, Json]:
    """Return what a letter says; of a message, what is certainly no secret and no person."""
    if letter.kind != "message":
        # Written by us about rows of ours.
        return dict(letter.payload)
    message = letter.payload.get("message")
    kwargs = message.get("kwargs") if isinstance(message, Mapping) else None
    if not isinstance(message, Mapping) or not isinstance(kwargs, Mapping):
        return {"message": HIDDEN}
    positional: dict[str, Json] = {"args": HIDDEN} if message.get("args") else {}
    return positional | {_named(name): _shown(name, value) for name, value in kwargs.items()}


def _named(name: str) -> str:
    return name if _NAME.fullmatch(name) else HIDDEN


def _shown(name: str, value: Any) -> Json:
    if name not in _SHOWN:
        return HIDDEN
    if isinstance(value, list):
        return value if all(_is_plain(item) for item in value) else HIDDEN
    return value if _is_plain(value) else HIDDEN


def _is_plain(value: object) -> bool:
    if isinstance(value, str):
        return _PLAIN.fullmatch(value) is not None
    return value is None or isinstance(value, int)


def _text(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _more(found: Sequence["Letter"], limit: int) -> bool:
    return len(found) > limit
