"""The gate before every figure: what the rows, the gateway's book and the broker must agree on."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import redis

from tests.bench.side import Ledger

_SHOWN_MAX = 5


class IncorrectError(Exception):
    """A side charged wrongly, so how fast it was does not matter."""

    def __init__(self, side: str, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        super().__init__(f"{side} is not correct:\n" + "\n".join(f"  {fault}" for fault in faults))


@dataclass(frozen=True, slots=True)
class Gateway:
    """What the gateway has seen.

    Attributes:
        book: Every payment record.
        requests: Its counts of requests.
    """

    book: Sequence[Mapping[str, Any]]
    requests: Mapping[str, Any]


def faults_of(count: int, ledger: Ledger, gateway: Gateway, left: Mapping[str, int]) -> list[str]:
    """Return in words what is wrong after so many invoices were to be paid; nothing if all is well.

    Args:
        count: Invoices that were due.
        ledger: The side's rows.
        gateway: The gateway's book and counts.
        left: What the broker still holds, as ``left_in_broker`` returns it.
    """
    return [
        *_faults_of_rows(count, ledger),
        *_faults_of_book(count, ledger, gateway.book),
        *_faults_of_requests(count, gateway.requests),
        *(f"the broker still holds {number} in {where}" for where, number in left.items()),
        *ledger.complaints,
    ]


def _faults_of_rows(count: int, ledger: Ledger) -> list[str]:
    found = []
    if (ledger.invoices, ledger.paid) != (count, count):
        found.append(f"{ledger.paid} of {ledger.invoices} invoices are paid, {count} were due")
    endings = Counter(attempt.status for attempt in ledger.attempts)
    if endings != {"paid": count}:
        found.append(f"the payment attempts ended as {dict(endings)}, not as {count} paid")
    repeated = _repeated(attempt.merchant_uid for attempt in ledger.attempts)
    if repeated:
        found.append(f"attempts share a merchant_uid: {_some(repeated)}")
    return found


def _faults_of_book(count: int, ledger: Ledger, book: Sequence[Mapping[str, Any]]) -> list[str]:
    found = []
    paid = [record for record in book if record["status"] == "paid"]
    if len(paid) != count:
        found.append(f"the gateway's book holds {len(paid)} paid records, {count} were due")
    if len(paid) != len(book):
        found.append(f"the gateway's book holds {len(book) - len(paid)} records that are not paid")
    if repeated := _repeated(record["merchant_uid"] for record in book):
        found.append(f"the book holds more than one record of {_some(repeated)}")
    if charged := _repeated(record["customer_uid"] for record in paid):
        found.append(f"buyers were charged more than once: {_some(charged)}")
    ours = {
        (row.merchant_uid, row.imp_uid, row.customer_uid, row.amount, row.tax_free)
        for row in ledger.attempts
    }
    theirs = {
        tuple(record[name] for name in _COMPARED) for record in book if record["status"] == "paid"
    }
    if differing := sorted({str(row[0]) for row in ours ^ theirs}):
        found.append(f"rows and book differ about {_some(differing)}")
    return found


_COMPARED = ("merchant_uid", "imp_uid", "customer_uid", "amount", "tax_free")


def _faults_of_requests(count: int, requests: Mapping[str, Any]) -> list[str]:
    found = []
    sent = requests["endpoints"].get("again", 0)
    if sent != count:
        found.append(f"{sent} charge requests were sent for {count} invoices")
    if requests["results"] != {"booked_paid": count}:
        found.append(f"the charge requests ended as {requests['results']}")
    if requests["statuses"].keys() != {"200"}:
        found.append(f"the gateway answered with {requests['statuses']}")
    return found


def left_in_broker(url: str, queues: Sequence[str]) -> dict[str, int]:
    """Return how many messages wait in each queue or were taken and not acknowledged, if any."""
    with redis.Redis.from_url(url) as client:
        # redis-py's types allow for its asynchronous client as well.
        counts: dict[str, Any] = {f"queue {queue}": client.llen(queue) for queue in queues}
        counts["unacked"] = client.hlen("unacked")
        counts["unacked_index"] = client.zcard("unacked_index")
    return {where: int(number) for where, number in counts.items() if number}


def _repeated(values: Any) -> list[str]:
    return sorted(str(value) for value, times in Counter(values).items() if times > 1)


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN_MAX])
    return f"{shown} and {len(names) - _SHOWN_MAX} more" if len(names) > _SHOWN_MAX else shown
