"""What must be true of a life: our rows laid beside the gateway's book, and nobody's word believed.

``look`` takes everything in at one instant; every other function compares and returns what is
wrong, in words that name the rows. An empty list means that nothing is.

    safety     a period is paid once at most, money goes back as often as it was asked to
    ledger     rows and book say the same
    liveness   whatever has come due has ended, or a person has been called
    told       every event is told at least once, and in the order of its subscription
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from sqlalchemy import Table

from deploy.sandbox.records import Payment, Status, Usage
from shared.billing.attempt import INQUIRABLE
from shared.billing.delivery import Answer
from shared.billing.lifecycle import BILLABLE
from shared.billing.refund import REFUND_INQUIRABLE
from shared.db.deliveries import Parcel
from shared.db.outbox import StoredEvent
from shared.db.tables import metadata
from shared.jobs import event_schemas
from tests.simulation import endpoints, periods
from tests.simulation.installation import Installation

Row: TypeAlias = Mapping[str, Any]

# What a definite end is told by: once, and only then.
_TOLD_ONCE = {
    ("invoices", "paid"): "invoice.paid",
    ("invoices", "uncollectible"): "invoice.uncollectible",
    ("invoices", "void"): "invoice.voided",
    ("refunds", "done"): "payment.refunded",
}
# An instant long past, for rows that are due whenever anybody looks.
_AT_ONCE = timedelta(0)
_KEPT = [table for table in metadata.sorted_tables if table.name != "audit_log"]


def _rows_of(table: Table) -> str:
    """Return what gathers a table's rows, in the order of its key, as one value."""
    key = ", ".join(f"t.{column.name}" for column in table.primary_key)
    gathered = f"SELECT coalesce(jsonb_agg(t ORDER BY {key}), '[]')"
    return f"({gathered} FROM {table.name} t) AS {table.name}"


_LOOK = f"SELECT {', '.join(_rows_of(table) for table in _KEPT)}"


@dataclass(frozen=True, slots=True)
class Seen:
    """Everything that can be said of a life at one instant.

    Attributes:
        rows: Every row of every table, by its name; instants are as ``instant_of`` reads them.
        book: Every record of the gateway.
        stream: What was told, in order.
        messages: The tasks of the messages that wait or are being worked.
        elsewhere: What was cancelled by another way than ours, by ``imp_uid``: one amount each.
        strangers: The ``merchant_uid`` of payments that nobody of ours has asked for.
        posted: What endpoints were handed, in order, and what they answered.
    """

    now: datetime
    rows: Mapping[str, Sequence[Row]]
    book: Sequence[Payment]
    stream: Sequence[StoredEvent]
    messages: Sequence[str]
    elsewhere: Mapping[str, Sequence[int]] = field(default_factory=dict)
    strangers: Collection[str] = ()
    posted: Sequence[tuple[Parcel, Answer]] = ()

    def of(self, table: str, **values: object) -> Iterator[Row]:
        """Walk through the rows of a table that hold these values."""
        for row in self.rows[table]:
            if all(row[name] == value for name, value in values.items()):
                yield row


def look(
    life: Installation,
    *,
    elsewhere: Mapping[str, Sequence[int]] | None = None,
    strangers: Collection[str] = (),
) -> Seen:
    """Take in what there is, in one statement."""
    row = life.host.reader.execute(_LOOK).fetchone()
    assert row is not None
    broker = life.broker
    held = [message for _, message in broker.unacknowledged.values()]
    return Seen(
        life.now,
        {table.name: rows for table, rows in zip(_KEPT, row, strict=True)},
        tuple(life.sandbox.book.payments()),
        tuple(broker.stream),
        [message.task for message in [*broker.everything(), *held]],
        elsewhere or {},
        strangers,
        tuple(broker.posted),
    )


def instant_of(said: str) -> datetime:
    """Return the instant that a row says."""
    return datetime.fromisoformat(said)


def everything(seen: Seen, slack: timedelta = _AT_ONCE) -> list[str]:
    """Return all that is wrong at the end of a life, once everything has had its time."""
    return [
        *safety(seen),
        *ledger(seen),
        *liveness(seen, slack),
        *missing(seen),
        *told(seen),
        *endpoints.wrongs(seen.rows, seen.posted, seen.now, slack),
    ]


# Safety: at any instant.


def is_money(record: Payment) -> bool:
    """Say whether a buyer paid under a record, whatever went back since."""
    moved = record.status in {Status.PAID, Status.CANCELLED}
    return moved and record.usage is not Usage.ISSUE


def safety(seen: Seen) -> list[str]:
    """Return every period that was paid twice, and all money that went back unasked or twice."""
    return [*_paid_twice(seen), *_given_back_wrongly(seen)]


def _paid_twice(seen: Seen) -> Iterator[str]:
    invoice_of = {row["merchant_uid"]: row["invoice_id"] for row in seen.rows["payment_attempts"]}
    paid: dict[int, list[str]] = defaultdict(list)
    for record in filter(is_money, seen.book):
        uid = record.order.merchant_uid
        if uid in invoice_of:
            paid[invoice_of[uid]].append(record.imp_uid)
    for invoice_id, imp_uids in paid.items():
        if len(imp_uids) > 1:
            yield f"invoice {invoice_id} was paid {len(imp_uids)} times: {', '.join(imp_uids)}"


def _given_back_wrongly(seen: Seen) -> Iterator[str]:
    """Match what the book gave back of a payment with what was asked for, one to one."""
    payment_of = {row["imp_uid"]: row["id"] for row in seen.rows["payments"]}
    asked: dict[int, Counter[int]] = defaultdict(Counter)
    done: dict[int, Counter[int]] = defaultdict(Counter)
    for refund in seen.rows["refunds"]:
        asked[refund["payment_id"]][refund["amount"]] += 1
        if refund["status"] == "done":
            done[refund["payment_id"]][refund["amount"]] += 1
    for record in seen.book:
        id_ = payment_of.get(record.imp_uid)
        given = Counter(cancel.amount for cancel in record.cancels)
        ours = given - Counter(seen.elsewhere.get(record.imp_uid, ()))
        name = f"of {record.imp_uid} ({record.order.amount} won)"
        if too_many := ours - (asked[id_] if id_ is not None else Counter()):
            yield f"{name} {_amounts(too_many)} went back that nobody asked for, or twice"
        if id_ is not None and (missing_ones := done[id_] - ours):
            yield f"{name} {_amounts(missing_ones)} are said to be given back and are not"


def _amounts(amounts: Counter[int]) -> str:
    return ", ".join(str(amount) for amount in sorted(amounts.elements()))


# The ledger: once nothing is under way.


def ledger(seen: Seen) -> list[str]:
    """Return whatever rows and book say differently."""
    return [*_kept_otherwise(seen), *_paid_otherwise(seen), *_refunded_otherwise(seen)]


def _kept_otherwise(seen: Seen) -> Iterator[str]:
    kept = {row["imp_uid"]: row for row in seen.rows["payments"]}
    letters = " ".join(str(row["payload"]) for row in seen.rows["dead_letters"])
    excused = {*seen.strangers, *_still_to_be_read(seen)}
    for record in filter(is_money, seen.book):
        row, order = kept.pop(record.imp_uid, None), record.order
        if row is None:
            named = record.imp_uid in letters or order.merchant_uid in letters
            if not named and order.merchant_uid not in excused:
                yield f"the book holds {record.imp_uid}, which is kept nowhere"
            continue
        said: tuple[int, ...] = (row["amount"], row["tax_free"])
        said += (row["cancelled_amount"], row["cancelled_tax_free"])
        held: tuple[int, ...] = (order.amount, order.tax_free)
        held += (record.cancel_amount, record.cancel_tax_free)
        if any(seen.of("refunds", payment_id=row["id"], status="parked")):
            # What the gateway did is what a person was called for.
            said, held = said[:2], held[:2]
        # What was cancelled elsewhere has no tax-free part that anybody could tell us.
        if said[:3] != held[:3] or (record.imp_uid not in seen.elsewhere and said != held):
            yield f"payment {record.imp_uid} is kept as {said}, the book holds {held}"
    for imp_uid in kept:
        yield f"payment {imp_uid} is kept, the book holds no such"


def _still_to_be_read(seen: Seen) -> Iterator[str]:
    """Find what PortOne was to charge by itself and nobody is to ask about yet.

    A life may end between the instant that was reserved and the first look at what became of it.
    """
    for row in seen.rows["payment_attempts"]:
        is_awaited = row["reserved_for"] is not None and row["status"] in INQUIRABLE
        if is_awaited and row["inquire_at"] and instant_of(row["inquire_at"]) > seen.now:
            yield str(row["merchant_uid"])


def _paid_otherwise(seen: Seen) -> Iterator[str]:
    imp_uids = {row["imp_uid"] for row in seen.rows["payments"]}
    paid: dict[int, list[Row]] = defaultdict(list)
    for attempt in seen.of("payment_attempts", status="paid"):
        paid[attempt["invoice_id"]].append(attempt)
        if attempt["imp_uid"] not in imp_uids:
            yield f"attempt {attempt['id']} is paid by {attempt['imp_uid']}, which is not kept"
    for invoice in seen.rows["invoices"]:
        attempts = paid[invoice["id"]]
        if invoice["status"] == "paid" and invoice["amount"] and len(attempts) != 1:
            yield f"invoice {invoice['id']} is paid by {len(attempts)} attempts"
        for attempt in attempts:
            if attempt["amount"] != invoice["amount"]:
                yield f"invoice {invoice['id']} is of {invoice['amount']}, paid {attempt['amount']}"


def _refunded_otherwise(seen: Seen) -> Iterator[str]:
    for payment in seen.rows["payments"]:
        done = sum(r["amount"] for r in seen.of("refunds", payment_id=payment["id"], status="done"))
        done += sum(seen.elsewhere.get(payment["imp_uid"], ()))
        if any(seen.of("refunds", payment_id=payment["id"], status="parked")):
            # What else went back of it is taken over once a person has decided.
            continue
        if done != payment["cancelled_amount"]:
            yield (
                f"of {payment['imp_uid']} {payment['cancelled_amount']} won went back by its row,"
                f" {done} by what was done"
            )


# Liveness: whatever was due longer than the slack ago.


def liveness(seen: Seen, slack: timedelta = _AT_ONCE) -> list[str]:
    """Return all that has come due and is not ended, with no person called."""
    if slack:
        return [*_overdue(seen, slack), *_unended(seen, slack)]
    waiting = [f"{task} is still under way" for task in seen.messages]
    untold = [
        f"event {row['id']} {row['name']} is untold" for row in seen.of("events", relayed_at=None)
    ]
    return [*waiting, *untold, *_overdue(seen, slack), *_unended(seen, slack)]


def _overdue(seen: Seen, slack: timedelta) -> Iterator[str]:
    """Find rows that a scan should have moved on."""
    before = seen.now - slack
    for table, statuses, column in (
        ("payment_attempts", INQUIRABLE, "inquire_at"),
        ("refunds", REFUND_INQUIRABLE, "inquire_at"),
        ("refunds", {"waiting"}, "next_send_at"),
        ("windows", None, "next_step_at"),
        ("hints", None, "next_read_at"),
        ("invoices", {"open"}, "next_attempt_at"),
        ("subscriptions", BILLABLE, "next_renewal_at"),
        ("subscriptions", {"paused"}, "resume_at"),
        ("reservations", None, "look_at"),
    ):
        for row in seen.rows[table]:
            at = row[column]
            if at is None or (statuses is not None and row["status"] not in statuses):
                continue
            if table == "refunds" and _waits_for_another(seen, row):
                continue
            if instant_of(at) <= before:
                state = row.get("status", "unread")
                yield f"{table} {row['id']} is {state} since {column} {at}"
    for row in seen.of("billing_keys", status="deleting"):
        if instant_of(row["delete_asked_at"]) <= before and not _called(seen, "billing_key.remove"):
            yield f"billing key {row['id']} is still being deleted"


def _waits_for_another(seen: Seen, refund: Row) -> bool:
    """Say whether a refund waits for one of the same payment that is with a person."""
    others = seen.of("refunds", payment_id=refund["payment_id"], status="parked")
    return refund["status"] == "waiting" and any(others)


def _unended(seen: Seen, slack: timedelta) -> Iterator[str]:
    """Find rows that wait for nobody: neither a scan, nor a buyer, nor a person owns them."""
    lettered = {row["attempt_id"] for row in seen.rows["dead_letters"]}
    refunded = {row["refund_id"] for row in seen.rows["dead_letters"]}
    parked: set[int] = set()
    for attempt in seen.of("payment_attempts", status="parked"):
        parked.add(attempt["invoice_id"])
        if attempt["id"] not in lettered:
            yield f"attempt {attempt['id']} is parked, and no person was called"
    for refund in seen.of("refunds", status="parked"):
        if refund["id"] not in refunded:
            yield f"refund {refund['id']} is parked, and no person was called"
    keys = {row["id"]: row["status"] for row in seen.rows["billing_keys"]}
    key_of = {row["id"]: row["billing_key_id"] for row in seen.rows["subscriptions"]}
    unsettled = {
        row["invoice_id"]
        for row in seen.rows["payment_attempts"]
        if row["status"] in INQUIRABLE and row["inquire_at"] is not None
    }
    # Whoever switched dunning off, or the buyer, sees to what rests.
    resting = {row["id"] for row in seen.of("subscriptions", dunning_enabled=False)}
    for invoice in seen.of("invoices", status="open", next_attempt_at=None):
        owned = invoice["id"] in parked | unsettled or invoice["collection_stopped"]
        owned |= invoice["subscription_id"] in resting and bool(invoice["planned_attempt_at"])
        if not owned and keys[key_of[invoice["subscription_id"]]] == "active":
            yield f"invoice {invoice['id']} is open, and nobody collects it"
    yield from _doubts(seen)
    for row in seen.rows["subscriptions"]:
        ends = row["cancel_at"] is not None and instant_of(row["cancel_at"]) <= seen.now - slack
        stuck = {i["id"] for i in seen.of("invoices", subscription_id=row["id"])} & parked
        ended = row["status"] == "canceled" if not slack else ends and not unsettled
        if (ended or (ends and not slack)) and row["closed_at"] is None and not stuck:
            yield f"subscription {row['id']} has ended and is not closed"


def _doubts(seen: Seen) -> Iterator[str]:
    """Find lost sends that are neither sent again nor asked about."""
    # What has ended is wound up, and says itself if it is not.
    ended = {
        row["id"]
        for row in seen.rows["subscriptions"]
        if row["status"] == "canceled"
        or (row["cancel_at"] is not None and instant_of(row["cancel_at"]) <= seen.now)
    }
    resting = {
        row["id"]
        for row in seen.of("invoices", next_attempt_at=None, collection_stopped=False)
        if row["subscription_id"] not in ended
    }
    for attempt in seen.of("payment_attempts", status="waiting"):
        if attempt["unknown_since"] is not None and attempt["invoice_id"] in resting:
            yield f"attempt {attempt['id']} was lost, and is neither sent again nor asked about"


def _called(seen: Seen, task: str) -> bool:
    return any(
        row["payload"].get("task") == task for row in seen.of("dead_letters", kind="message")
    )


def missing(seen: Seen) -> list[str]:
    """Return every period that is neither invoiced nor explained, or both, or overlaps another."""
    return periods.missing(seen.rows, seen.now)


def unanswered(seen: Seen, command_ids: Collection[str]) -> list[str]:
    """Return the commands that were sent and have neither a result nor a letter."""
    done = {row["command_id"] for row in seen.rows["commands"]}
    letters = " ".join(str(row["payload"]) for row in seen.of("dead_letters", kind="message"))
    return [
        f"command {id_} has no result"
        for id_ in command_ids
        if id_ not in done and id_ not in letters
    ]


# Events.


def told(seen: Seen) -> list[str]:
    """Return every end that is told otherwise than once, and every fault of the stream's order."""
    return [*_ends_told(seen), *_stream(seen), *_said_otherwise(seen)]


def _said_otherwise(seen: Seen) -> Iterator[str]:
    """Find events whose data is not what their published schema says."""
    for row in seen.rows["events"]:
        yield from event_schemas.faults(row["name"], row["data"])


def _ends_told(seen: Seen) -> Iterator[str]:
    names = Counter(
        (row["name"], row["data"].get("invoice_id" if "invoice." in row["name"] else "refund_id"))
        for row in seen.rows["events"]
    )
    for (table, status), name in _TOLD_ONCE.items():
        ended = {row["id"] for row in seen.of(table, status=status)}
        for id_ in ended:
            if names[name, id_] != 1:
                yield f"{table} {id_} is {status}, and {name} was written {names[name, id_]} times"
        for event, id_ in names:
            if event == name and id_ not in ended:
                yield f"{name} was written of {table} {id_}, which is not {status}"


def _stream(seen: Seen) -> Iterator[str]:
    written = {row["id"]: row for row in seen.rows["events"]}
    newest: dict[object, int] = defaultdict(int)
    known: set[int] = set()
    for event in seen.stream:
        row = written.get(event.id)
        if row is None or (row["name"], row["data"]) != (event.name, event.data):
            yield f"event {event.id} {event.name} was told and is not written so"
        if event.id in known:
            continue
        known.add(event.id)
        # Of what belongs to no subscription, two may be written side by side.
        if event.subscription_id is not None and event.id < newest[event.subscription_id]:
            yield f"event {event.id} {event.name} was told after {newest[event.subscription_id]}"
        newest[event.subscription_id] = event.id
    for id_, row in written.items():
        if row["relayed_at"] is not None and id_ not in known:
            yield f"event {id_} {row['name']} is marked as told and was not"


# What came of it all, to be compared between two lives.


def outcome(seen: Seen) -> dict[str, object]:
    """Return the business's end of a life: what must not depend on who died when.

    How often anything was tried, when, and under which ids is left out.
    """
    rows = seen.rows
    return {
        "subscriptions": sorted(
            (r["id"], r["status"], bool(r["closed_at"])) for r in rows["subscriptions"]
        ),
        "invoices": sorted(
            (r["subscription_id"], r["period_index"], r["status"], r["declines"])
            for r in rows["invoices"]
        ),
        "payments": sorted(
            (r["merchant_uid"], r["amount"], r["cancelled_amount"]) for r in rows["payments"]
        ),
        "refunds": sorted(
            (r["amount"], r["tax_free"], r["cause"], r["status"]) for r in rows["refunds"]
        ),
        "billing_keys": sorted((r["status"], r["generation"]) for r in rows["billing_keys"]),
        "windows": sorted((r["id"], r["kind"], r["status"]) for r in rows["windows"]),
        "commands": sorted((r["command_id"], r["result"].get("status")) for r in rows["commands"]),
        "letters": sorted(r["kind"] for r in rows["dead_letters"]),
        "events": sorted(Counter(r["name"] for r in rows["events"]).items()),
    }
