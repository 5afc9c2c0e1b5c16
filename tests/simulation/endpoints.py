"""A merchant's endpoint in a simulated life: it fails now and then, and is told in order anyhow.

fanned out   every event that it wants and that was relayed is a delivery of its own
in order     of one subscription, nothing is handed over before what happened earlier
told         what is said to be delivered was taken in, and nothing is left lying
signed       by the convention, as a kept library signs, with the timestamp of the try
"""

import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from standardwebhooks import Webhook

from shared.billing.delivery import Answer
from shared.billing.events import EventName
from shared.db.deliveries import Parcel
from tests.simulation.installation import Installation
from worker.events.http import packed

# Those that tell of trouble: enough of them to come in the wrong order, few enough to be quick.
WANTED = (
    EventName.PAYMENT_DECLINED,
    EventName.INVOICE_UNCOLLECTIBLE,
    EventName.SUBSCRIPTION_PAST_DUE,
    EventName.SUBSCRIPTION_RECOVERED,
    EventName.SUBSCRIPTION_CANCELED,
    EventName.PAYMENT_REFUND_REQUESTED,
    EventName.PAYMENT_REFUNDED,
)
_FAILS_ONE_IN = 4
_SECRET = "whsec_c2ltdWxhdGVkLCBhbmQgbm9ib2R5J3Mgc2VjcmV0"
_ADD = """
    INSERT INTO endpoints (url, secrets, event_names)
    VALUES ('https://shop.example.com/hooks', ARRAY[:secret], CAST(:names AS text[]))
"""
# What an endpoint answers that cannot tell who has posted.
_UNSIGNED = 401


async def add(life: Installation, names: Sequence[EventName] = WANTED) -> None:
    """Add an endpoint that fails now and then, by the event and the try."""
    await life.rows(_ADD, names=list(names), secret=_SECRET)
    life.broker.answer = partial(_answer, life)


def _answer(life: Installation, parcel: Parcel) -> Answer:
    """Take in what is signed, or fail now and then."""
    return fickle(parcel) if _is_signed(parcel, life.now) else Answer(_UNSIGNED, "HTTP 401")


def _is_signed(parcel: Parcel, now: datetime) -> bool:
    """Say whether a try at this instant is signed as receivers expect it."""
    body, headers = packed(parcel, now)
    at = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
    expected = Webhook(_SECRET).sign(headers["webhook-id"], at, body.decode())
    return headers["webhook-signature"] == expected and at <= now


def fickle(parcel: Parcel) -> Answer:
    """Fail now and then, without dice."""
    number = zlib.crc32(f"{parcel.event_id} {parcel.try_number}".encode())
    return Answer(503, "HTTP 503") if number % _FAILS_ONE_IN == 0 else Answer(204)


def wrongs(
    rows: Mapping[str, Sequence[Mapping[str, Any]]],
    posted: Sequence[tuple[Parcel, Answer]],
    now: datetime,
    slack: timedelta,
) -> list[str]:
    """Return whatever went wrong on the way to endpoints."""
    return [
        *_not_fanned_out(rows),
        *_out_of_order(posted),
        *_unsigned(posted),
        *_untrue(rows, posted),
        *_left_lying(rows, now - slack),
    ]


def _not_fanned_out(rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterator[str]:
    known = {(row["endpoint_id"], row["event_id"]) for row in rows["deliveries"]}
    for endpoint in rows["endpoints"]:
        for event in rows["events"]:
            is_wanted = endpoint["event_names"] is None or event["name"] in endpoint["event_names"]
            was_there = event["relayed_at"] is not None and (
                datetime.fromisoformat(endpoint["created_at"])
                <= datetime.fromisoformat(event["created_at"])
            )
            if is_wanted and was_there and (endpoint["id"], event["id"]) not in known:
                yield f"event {event['id']} {event['name']} is not sent to {endpoint['id']}"


def _out_of_order(posted: Sequence[tuple[Parcel, Answer]]) -> Iterator[str]:
    newest: dict[object, int] = defaultdict(int)
    known: set[tuple[int, int]] = set()
    for parcel, _ in posted:
        place = (parcel.endpoint_id, parcel.event_id)
        if parcel.subscription_id is None or place in known:
            continue
        known.add(place)
        owner = (parcel.endpoint_id, parcel.subscription_id)
        if parcel.event_id < newest[owner]:
            yield f"event {parcel.event_id} was posted after {newest[owner]}"
        newest[owner] = parcel.event_id


def _unsigned(posted: Sequence[tuple[Parcel, Answer]]) -> Iterator[str]:
    for parcel, answer in posted:
        if answer.status == _UNSIGNED:
            yield f"event {parcel.event_id} was posted with a signature that does not fit"


def _untrue(
    rows: Mapping[str, Sequence[Mapping[str, Any]]], posted: Sequence[tuple[Parcel, Answer]]
) -> Iterator[str]:
    taken = {(p.endpoint_id, p.event_id) for p, answer in posted if answer.is_delivered}
    for row in rows["deliveries"]:
        if row["status"] == "delivered" and (row["endpoint_id"], row["event_id"]) not in taken:
            yield f"delivery {row['id']} is said to be done and is not"


def _left_lying(rows: Mapping[str, Sequence[Mapping[str, Any]]], before: datetime) -> Iterator[str]:
    enabled = {row["id"] for row in rows["endpoints"] if row["status"] == "enabled"}
    waiting = [row for row in rows["deliveries"] if row["status"] == "waiting"]
    first: dict[object, int] = {}
    for row in sorted(waiting, key=lambda row: row["event_id"]):
        owner = row["subscription_id"] or row["id"]
        first.setdefault((row["endpoint_id"], owner), row["id"])
    for row in waiting:
        due_at = datetime.fromisoformat(row["next_try_at"])
        is_first = row["id"] in first.values()
        if row["endpoint_id"] in enabled and is_first and due_at <= before:
            yield f"delivery {row['id']} waits since {row['next_try_at']}"
