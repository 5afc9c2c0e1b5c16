"""How a life was led: what rows and book can't tell at its end, because it lies between them.

Requests are read from the gateway's own census, so it is judged by what was really sent and when.
Clocks of processes differ by half a minute either way and a claim may wait for its send window:
whatever is judged by an instant is given that much.
"""

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone

from deploy.sandbox.endings import CommandEnding
from deploy.sandbox.records import Status
from shared.billing.attempt import INQUIRABLE
from shared.billing.refund import REFUND_INQUIRABLE
from shared.config import Settings
from tests.simulation.checks import Row, Seen, instant_of, is_money
from tests.simulation.installation import Installation

# What the clocks of two processes may differ by.
_CLOCKS = timedelta(seconds=60)
# Endings under which the gateway refuses a cancel that it could have done.
_UNWILLING = {CommandEnding.REFUSED, CommandEnding.BAD_REQUEST}
# A merchant_uid of ours: the subscription and the period, before the attempt's number.
_OURS = re.compile(r"(?P<period>[0-9a-z]{25}p[0-9]+)n[0-9]+")
# Three inquiries are made at least, and each look of a life may be two hours late.
_ASKED_AGAIN = timedelta(hours=7)
_SWITCHED = "subscription.dunning_switched"
# The clocks of Korea, by which hours are said.
_KST = timezone(timedelta(hours=9))
# Over how long the tries of one method are counted.
_KEY_WINDOW = timedelta(days=30)
# Attempts that ended without money, and were made.
_REFUSED = {"declined", "method_dead"}


@dataclass(slots=True)
class Holds:
    """The holds of a life: each is one row, which the next one overwrites.

    Attributes:
        seen: When each was raised, and until when it was in force as far as is known.
    """

    seen: dict[datetime, datetime] = field(default_factory=dict)

    def observe(self, installation: Installation) -> None:
        """Note the hold that is in force; to be called often."""
        held = "SELECT raised_at, held_until FROM gateway_holds"
        self.seen.update(installation.host.reader.execute(held).fetchall())


def conduct(installation: Installation, seen: Seen, holds: Holds | None = None) -> list[str]:
    """Return everything that was done otherwise than the rules of collecting say."""
    sent = sends_of(installation)
    settings = installation.settings
    return [
        *_periods(seen),
        *_numbers(seen),
        *_dunning(seen, sent, settings),
        *_after_the_end(seen, sent, settings),
        *_held(sent, holds or Holds(), settings),
        *_at_closed_hours(seen, sent, settings),
        *_too_often(seen, settings),
        *_keys(seen),
        *_void_and_paid(seen),
        *_not_given_back(seen),
        *_elsewhere(seen),
        *_in_doubt(seen, settings),
        *_refused_for_nothing(installation, seen),
        *_answered_once(seen),
    ]


def sends_of(installation: Installation) -> Mapping[str, tuple[datetime, ...]]:
    """Return when the gateway got charge requests, by their ``merchant_uid``."""
    return {
        uid: tuple(datetime.fromtimestamp(charge.at, UTC) for charge in charges)
        for uid, charges in installation.sandbox.census.seen.items()
    }


def _periods(seen: Seen) -> Iterator[str]:
    """Find periods that were invoiced or paid more than once, under whatever number.

    The book's records are told by the ``merchant_uid`` alone, so that none is overlooked which
    our rows know nothing of.
    """
    opened = Counter((row["subscription_id"], row["period_index"]) for row in seen.rows["invoices"])
    for (subscription_id, index), count in opened.items():
        if count > 1:
            yield f"period {index} of subscription {subscription_id} was opened {count} times"
    paid = Counter(
        found["period"]
        for record in seen.book
        if is_money(record)
        and record.order.merchant_uid not in seen.strangers
        and (found := _OURS.match(record.order.merchant_uid))
    )
    for period, count in paid.items():
        if count > 1:
            yield f"period {period} was paid {count} times"


def _attempts(seen: Seen) -> Iterator[tuple[Row, Row]]:
    """Walk through the attempts that have one before them."""
    by_number = {(row["invoice_id"], row["number"]): row for row in seen.rows["payment_attempts"]}
    for (invoice_id, number), attempt in sorted(by_number.items()):
        before = by_number.get((invoice_id, number - 1))
        if before is not None:
            yield before, attempt


def _has_new_method(before: Row, attempt: Row) -> bool:
    method = "billing_key_id", "key_generation"
    return any(before[column] != attempt[column] for column in method)


def _numbers(seen: Seen) -> Iterator[str]:
    """Find numbers that were given without a definite decline, and declines nobody declared."""
    failed = {r.order.merchant_uid for r in seen.book if r.status is Status.FAILED}
    for before, attempt in _attempts(seen):
        name = f"attempt {attempt['id']} has number {attempt['number']}"
        if before["status"] == "method_dead":
            if not _has_new_method(before, attempt):
                yield f"{name}, and the method before it is dead and was not changed"
        elif before["status"] != "declined":
            yield f"{name}, and the one before it is {before['status']}"
    for attempt in seen.of("payment_attempts", status="declined"):
        if attempt["merchant_uid"] not in failed:
            yield f"attempt {attempt['id']} is declined, the book holds no failed record of it"


def _dunning(
    seen: Seen, sent: Mapping[str, tuple[datetime, ...]], settings: Settings
) -> Iterator[str]:
    """Find attempts of ours that went out before the delay after our decline was over.

    What the buyer wishes for comes at once, and so does what was switched off and on again.
    """
    policy = settings.collection_rules.dunning
    switched = {row["subscription_id"] for row in seen.of("events", name=_SWITCHED)}
    left_alone = {i["id"] for i in seen.rows["invoices"] if i["subscription_id"] in switched}
    ours: dict[int, list[Row]] = defaultdict(list)
    for attempt in sorted(seen.rows["payment_attempts"], key=lambda row: int(row["number"])):
        if attempt["origin"] == "schedule" and attempt["invoice_id"] not in left_alone:
            ours[attempt["invoice_id"]].append(attempt)
    for attempts in ours.values():
        count = 0
        for before, attempt in itertools.pairwise(attempts):
            if before["status"] != "declined" or before["settled_at"] is None:
                continue
            count += 1
            delays = policy.delays_of(policy.class_of(before["message"]))
            first_at = min(sent.get(attempt["merchant_uid"], ()), default=None)
            if first_at is None or count > len(delays) or _has_new_method(before, attempt):
                continue
            due_at = instant_of(before["settled_at"]) + delays[count - 1]
            if first_at < due_at - _CLOCKS:
                yield f"attempt {attempt['id']} went out at {first_at}, dunning was due at {due_at}"


def _after_the_end(
    seen: Seen, sent: Mapping[str, tuple[datetime, ...]], settings: Settings
) -> Iterator[str]:
    """Find what was billed or sent of a subscription after its end."""
    late = _CLOCKS + timedelta(seconds=settings.send_window_s)
    ends = {
        row["id"]: instant_of(row["cancel_at"])
        for row in seen.rows["subscriptions"]
        if row["cancel_at"] is not None
    }
    # What PortOne had executed when the end came is billed all the same, and given back.
    reserved = _given_back(seen)
    ended_invoices = {}
    for invoice in seen.rows["invoices"]:
        end_at = ends.get(invoice["subscription_id"])
        if end_at is None:
            continue
        ended_invoices[invoice["id"]] = end_at
        begins_at = instant_of(invoice["period_start_at"])
        # By a clock that is ahead the period had begun when by another one it was never to.
        is_billed = begins_at == end_at and invoice["status"] != "void"
        is_late = is_billed or begins_at > end_at + _CLOCKS
        if is_late and invoice["id"] not in reserved:
            yield f"invoice {invoice['id']}: its period begins at the end, {end_at}, or later"
    # An end for want of a consent is written when its period is seen to begin, as of its beginning.
    asked_at = {
        row["subscription_id"]: instant_of(row["data"]["at"])
        for row in seen.of("events", name="subscription.cancellation_scheduled")
    }
    subscription_of = {row["id"]: row["subscription_id"] for row in seen.rows["invoices"]}
    for attempt in seen.rows["payment_attempts"]:
        end_at = ended_invoices.get(attempt["invoice_id"])
        if end_at is not None:
            end_at = max(end_at, asked_at.get(subscription_of[attempt["invoice_id"]], end_at))
        for sent_at in sent.get(attempt["merchant_uid"], ()):
            if end_at is not None and sent_at > end_at + late:
                yield f"attempt {attempt['id']} went out at {sent_at}, after the end at {end_at}"


def _given_back(seen: Seen) -> set[int]:
    """Return the invoices of what PortOne was to charge by itself, where none of it is kept."""
    asked_back = {row["payment_id"] for row in seen.rows["refunds"]}
    kept = {
        row["attempt_id"]
        for row in seen.rows["payments"]
        if row["cancelled_amount"] < row["amount"] and row["id"] not in asked_back
    }
    attempts = seen.rows["payment_attempts"]
    reserved = {row["invoice_id"] for row in attempts if row["reserved_for"]}
    return reserved - {row["invoice_id"] for row in attempts if row["id"] in kept}


def _held(
    sent: Mapping[str, tuple[datetime, ...]], holds: Holds, settings: Settings
) -> Iterator[str]:
    """Find charges that went out while nothing may be sent."""
    begins = _CLOCKS + timedelta(seconds=settings.send_window_s)
    for uid, instants in sent.items():
        for at in instants:
            for raised_at, until in holds.seen.items():
                if raised_at + begins < at < until - _CLOCKS:
                    yield f"{uid} went out at {at}, held from {raised_at} to {until}"


def _at_closed_hours(
    seen: Seen, sent: Mapping[str, tuple[datetime, ...]], settings: Settings
) -> Iterator[str]:
    """Find charges that went out at hours at which none is made.

    A buyer who wanted to pay waits for maintenance only.
    """
    wished = {row["data"]["invoice_id"] for row in seen.of("events", name="invoice.retry_asked")}
    for attempt in seen.rows["payment_attempts"]:
        is_buyers = attempt["origin"] == "buyer" or attempt["invoice_id"] in wished
        for at in sent.get(attempt["merchant_uid"], ()):
            # What begins or ends just then may have been read from another clock.
            if all(
                _is_closed(at + skew, settings, is_buyers=is_buyers) for skew in (-_CLOCKS, _CLOCKS)
            ):
                yield f"attempt {attempt['id']} went out at {at}, at closed hours"


def _is_closed(at: datetime, settings: Settings, *, is_buyers: bool) -> bool:
    """Say whether no charge is to be made at an instant, by the settings as they are written."""
    now = f"{at.astimezone(_KST):%H:%M}"
    hours = [] if is_buyers or not settings.charge_hours else [settings.charge_hours]
    return any(not _holds(written, now) for written in hours) or any(
        _holds(written, now) for written in settings.maintenance_hours
    )


def _holds(written: str, now: str) -> bool:
    begin, _, end = written.partition("-")
    return begin <= now < end if begin < end else now >= begin or now < end


def _too_often(seen: Seen, settings: Settings) -> Iterator[str]:
    """Find further attempts with a method that had been tried as often as it may be in a month.

    What was sent more than once may have been begun earlier than its row says, and is left out.
    """
    by_method: dict[tuple[int, int], list[Row]] = defaultdict(list)
    for attempt in seen.of("payment_attempts", origin="schedule"):
        by_method[attempt["billing_key_id"], attempt["key_generation"]].append(attempt)
    again = {
        attempt["id"]
        for before, attempt in _attempts(seen)
        if not _has_new_method(before, attempt) and attempt["send_number"] == 1
    }
    for attempts in by_method.values():
        for attempt in attempts:
            at = instant_of(attempt["claimed_at"])
            before = [
                other
                for other in attempts
                if other["status"] in _REFUSED
                and at - _KEY_WINDOW + _CLOCKS < instant_of(other["claimed_at"]) < at - _CLOCKS
            ]
            if attempt["id"] in again and len(before) >= settings.dunning_key_attempts_max:
                yield f"attempt {attempt['id']} is one too many, after {len(before)} in 30 days"


def _keys(seen: Seen) -> Iterator[str]:
    """Find keys that were given up by what was said of a method that has been changed since."""
    refused = {
        (row["billing_key_id"], row["key_generation"])
        for row in seen.of("payment_attempts", status="method_dead")
    }
    for key in seen.of("billing_keys", status="dead"):
        if (key["id"], key["generation"]) not in refused:
            yield f"billing key {key['id']} is dead, no attempt of its generation was refused so"


def _void_and_paid(seen: Seen) -> Iterator[str]:
    """Find invoices that were given up while an attempt at them was under way."""
    void = {row["id"] for row in seen.of("invoices", status="void")}
    for attempt in seen.of("payment_attempts", status="paid"):
        if attempt["invoice_id"] in void:
            yield f"invoice {attempt['invoice_id']} is void, and paid by attempt {attempt['id']}"


def _not_given_back(seen: Seen) -> Iterator[str]:
    """Find payments that were known after an end which was to give them back, and were not."""
    refunded = {row["payment_id"] for row in seen.rows["refunds"] if row["cause"] != "command"}
    payments = {row["attempt_id"]: row for row in seen.rows["payments"]}
    ends = {
        row["id"]: instant_of(row["canceled_at"])
        for row in seen.of("subscriptions", cancel_late_payment="full")
        if row["canceled_at"] is not None and row["closed_at"] is not None
    }
    end_of = {
        row["id"]: ends[row["subscription_id"]]
        for row in seen.rows["invoices"]
        if row["subscription_id"] in ends
    }
    for attempt in seen.of("payment_attempts", status="paid"):
        end_at = end_of.get(attempt["invoice_id"])
        payment = payments.get(attempt["id"])
        if end_at is None or payment is None or instant_of(attempt["settled_at"]) <= end_at:
            continue
        is_left = payment["cancelled_amount"] < payment["amount"]
        if is_left and payment["id"] not in refunded:
            yield f"payment {payment['imp_uid']} came after the end and is not given back"


def _elsewhere(seen: Seen) -> Iterator[str]:
    """Find refunds of ours that are told as somebody else's."""
    told: Counter[str] = Counter()
    for row in seen.of("events", name="payment.cancelled_elsewhere"):
        told[row["data"]["imp_uid"]] += row["data"]["amount"]
    for imp_uid, amount in told.items():
        most = sum(seen.elsewhere.get(imp_uid, ()))
        if amount > most:
            yield f"of {imp_uid} {amount} won are told as cancelled elsewhere, {most} won were"


def _in_doubt(seen: Seen, settings: Settings) -> Iterator[str]:
    """Find what has been unknown for longer than anything may be."""
    longest = timedelta(seconds=settings.unknown_deadline_s) + _ASKED_AGAIN
    for table, statuses in (("payment_attempts", INQUIRABLE), ("refunds", REFUND_INQUIRABLE)):
        for row in seen.rows[table]:
            since = row["unknown_since"]
            if row["status"] in statuses and since and instant_of(since) < seen.now - longest:
                yield f"{table} {row['id']} is {row['status']} and in doubt since {since}"


def _refused_for_nothing(installation: Installation, seen: Seen) -> Iterator[str]:
    """Find refunds that ended as refused although the gateway would have done them."""
    imp_uids = {row["id"]: row["imp_uid"] for row in seen.rows["payments"]}
    left = {r.imp_uid: r.order.amount - r.cancel_amount for r in seen.book}
    census = installation.sandbox.census.seen_cancels
    for refund in seen.of("refunds", status="refused"):
        imp_uid = imp_uids[refund["payment_id"]]
        unwilling = any(cancel.ending in _UNWILLING for cancel in census.get(imp_uid, ()))
        if refund["checksum"] is not None and not unwilling and refund["amount"] <= left[imp_uid]:
            yield f"refund {refund['id']}: {left[imp_uid]} won are left and nobody refused it"


def _answered_once(seen: Seen) -> Iterator[str]:
    """Find commands that were worked more than once."""
    answers: dict[str, list[str]] = defaultdict(list)
    for row in seen.rows["events"]:
        if row["name"] in {"command.done", "command.parked"}:
            answers[row["data"]["command_id"]].append(row["name"])
    for id_, names in answers.items():
        if names.count("command.done") > 1:
            yield f"command {id_} was worked {len(names)} times"
