"""What must be true of the lives of subscriptions: periods, lines, consents, pauses and retries.

Everything is judged from rows and from the gateway's book, never from the domain's own rules.
"""

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from tests.simulation.checks import Row, Seen, instant_of
from tests.simulation.periods import deciding, given_back

# How long before a charge a consent to it may be given, as the default settings have it.
_CONSENT_GOOD_FOR: Final = timedelta(days=30)
# Clocks of two processes may differ by this.
_CLOCKS: Final = timedelta(seconds=60)
# How a line reads that is for some days of a period only.
_DAYS: Final = re.compile(r": (?P<unused>[0-9]+) of (?P<days>[0-9]+) days$")
_AGREED: Final = frozenset({"price_increase", "plan_change", "trial_conversion"})


@dataclass(frozen=True, slots=True)
class Decided:
    """A period that was invoiced or explained."""

    index: int
    start_at: datetime
    end_at: datetime
    is_billed: bool


def lives(seen: Seen) -> list[str]:
    """Return everything that is wrong with the lives of subscriptions."""
    return [
        *_periods(seen),
        *_lines(seen),
        *_adjustments(seen),
        *_consents(seen),
        *_before_trials_end(seen),
        *_told_both(seen),
        *_declines(seen),
        *_statuses(seen),
        *_changes(seen),
        *_noticed(seen),
        *_paused(seen),
        *_trials(seen),
        *_prorations(seen),
    ]


def decided_periods(seen: Seen) -> Mapping[str, list[Decided]]:
    """Return every period that was decided, by subscription, in the order of their indices."""
    found: dict[str, list[Decided]] = defaultdict(list)
    for row in deciding(seen.rows):
        start_at, end_at = instant_of(row["period_start_at"]), instant_of(row["period_end_at"])
        found[row["subscription_id"]].append(
            Decided(row["period_index"], start_at, end_at, is_billed=True)
        )
    for row in seen.of("events", name="period.skipped"):
        data = row["data"]
        start_at, end_at = instant_of(data["period_start_at"]), instant_of(data["period_end_at"])
        found[row["subscription_id"]].append(
            Decided(data["period_index"], start_at, end_at, is_billed=False)
        )
    return {id_: sorted(periods, key=lambda one: one.index) for id_, periods in found.items()}


def _periods(seen: Seen) -> Iterator[str]:
    """Find periods that were decided twice or never, that overlap, or that leave a gap."""
    periods_of = decided_periods(seen)
    first = {
        row["subscription_id"]: row["data"]["first_period_index"]
        for row in seen.of("events", name="subscription.created")
    }
    # Between an end and a return nothing is owed, nor in a pause that holds the calendar where no
    # paid period runs that it would lengthen.
    back = _instants(seen, "subscription.reactivated")
    held = _instants(seen, "subscription.resumed", "next_renewal_at")
    for row in seen.rows["subscriptions"]:
        id_, periods = row["id"], periods_of.get(row["id"], [])
        counts = Counter(period.index for period in periods)
        for index in range(first[id_], row["next_period_index"]):
            if counts[index] != 1:
                yield f"period {index} of subscription {id_} was decided {counts[index]} times"
        for before, after in itertools.pairwise(periods):
            # What is not billed may be cut short by an end, or by another interval, at no cost.
            counted_to = before.end_at if before.is_billed else before.start_at
            if after.start_at < counted_to:
                yield (
                    f"periods {before.index} and {after.index} of subscription {id_} overlap:"
                    f" {after.start_at} is before {before.end_at}"
                )
            elif after.start_at > before.end_at and not (
                after.start_at in back[id_]
                or (after.start_at in held[id_] and not before.is_billed)
            ):
                yield (
                    f"between periods {before.index} and {after.index} of subscription {id_} is a"
                    f" gap, from {before.end_at} to {after.start_at}"
                )


def _instants(seen: Seen, name: str, field: str = "at") -> Mapping[str, set[datetime]]:
    found: dict[str, set[datetime]] = defaultdict(set)
    for row in seen.of("events", name=name):
        found[row["subscription_id"]].add(instant_of(row["data"][field]))
    return found


def _lines(seen: Seen) -> Iterator[str]:
    """Find invoices whose lines do not add up to what is owed."""
    for row in seen.rows["invoices"]:
        amount = sum(line["amount"] for line in row["lines"])
        tax_free = sum(line["tax_free"] for line in row["lines"])
        if (amount, tax_free) != (row["amount"], row["tax_free"]):
            yield (
                f"invoice {row['id']} is of {row['amount']} ({row['tax_free']} tax-free), its lines"
                f" of {amount} ({tax_free})"
            )


def _adjustments(seen: Seen) -> Iterator[str]:
    """Find credits and prorations of which more or less was used than there was."""
    used: dict[int, list[int]] = defaultdict(list)
    dropped = {
        id_
        for row in seen.of("events", name="subscription.reactivated")
        for id_ in row["data"]["dropped_adjustment_ids"]
    }
    for row in seen.rows["invoices"]:
        if row["status"] == "void":
            # Nobody owes it, so what its lines carried was given back.
            continue
        for line in row["lines"]:
            if line["adjustment_id"] is not None:
                used[line["adjustment_id"]].append(abs(line["amount"]))
    for row in seen.rows["adjustments"]:
        spent = used[row["id"]]
        is_whole = sum(spent) + row["amount_left"] == row["amount"]
        # Those of a period that an end has cut count no more, if nothing of them was used.
        is_dropped = row["id"] in dropped and not spent and not row["amount_left"]
        if row["kind"] != "discount" and not is_whole and not is_dropped:
            yield (
                f"adjustment {row['id']} ({row['kind']}) is of {row['amount']}: {sum(spent)} were"
                f" used, {row['amount_left']} are left"
            )


def _consents(seen: Seen) -> Iterator[str]:
    """Find periods that cost more than their buyer had agreed to."""
    given: dict[str, list[Row]] = defaultdict(list)
    for row in seen.rows["consents"]:
        given[row["subscription_id"]].append(row)
    agreed = {
        row["subscription_id"]: 0
        if row["data"].get("trial_end_at")
        else row["data"]["amount"] * row["data"].get("quantity", 1)
        for row in seen.of("events", name="subscription.created")
    }
    for id_, start_at, amount in _unbilled_terms(seen):
        # In effect in time, by what was agreed then, though nothing was billed for that period.
        if _is_agreed(given[id_], amount, start_at):
            agreed[id_] = max(agreed[id_], amount)
    invoices = sorted(seen.rows["invoices"], key=lambda row: int(row["period_index"]))
    for row in invoices:
        id_, start_at = row["subscription_id"], instant_of(row["period_start_at"])
        asked = sum(line["amount"] for line in row["lines"] if line["kind"] == "recurring")
        if asked > agreed[id_] and not _is_agreed(given[id_], asked, start_at):
            yield (
                f"invoice {row['id']} asks for {asked} won, its buyer agreed to {agreed[id_]}"
                " and nothing else"
            )
        agreed[id_] = max(agreed[id_], asked)


def _unbilled_terms(seen: Seen) -> Iterator[tuple[str, datetime, int]]:
    """Yield what would have been asked for where terms came into effect with a skipped period."""
    begun: dict[tuple[str, int], int] = {}
    for row in seen.of("events", name="subscription.changed"):
        after = row["data"]["after"]
        key = (row["subscription_id"], row["data"]["period_index"])
        begun[key] = after["amount"] * after["quantity"]
    for row in seen.of("events", name="subscription.converted"):
        begun[row["subscription_id"], row["data"]["period_index"]] = row["data"]["amount"]
    for row in seen.of("events", name="period.skipped"):
        data = row["data"]
        amount = begun.get((row["subscription_id"], data["period_index"]))
        if amount is not None:
            yield row["subscription_id"], instant_of(data["period_start_at"]), amount


def _is_agreed(given: Sequence[Row], amount: int, start_at: datetime) -> bool:
    """Say whether a consent covers an amount; one to terms that begin at once lasts."""
    for consent in given:
        given_at = instant_of(consent["given_at"])
        is_in_time = start_at - _CONSENT_GOOD_FOR <= given_at <= start_at + _CLOCKS
        lasts = consent["kind"] in {"plan_change", "sign_up"} and given_at <= start_at + _CLOCKS
        if consent["amount_after"] >= amount and (
            lasts or (is_in_time and consent["kind"] in _AGREED)
        ):
            return True
    return False


def _before_trials_end(seen: Seen) -> Iterator[str]:
    """Find periods that were billed while they were to be free."""
    free = {
        row["id"]: instant_of(row["trial_end_at"])
        for row in seen.rows["subscriptions"]
        if row["trial_end_at"] is not None
    }
    for row in seen.rows["invoices"]:
        until = free.get(row["subscription_id"])
        if until is not None and instant_of(row["period_start_at"]) < until:
            yield f"invoice {row['id']} begins at {row['period_start_at']}, free until {until}"


def _told_both(seen: Seen) -> Iterator[str]:
    """Find periods of which both success and failure were told."""
    told: dict[int, set[str]] = defaultdict(set)
    for row in seen.rows["events"]:
        if row["name"] in {"invoice.paid", "invoice.uncollectible"}:
            told[row["data"]["invoice_id"]].add(row["name"])
    for invoice_id, names in told.items():
        if len(names) > 1:
            yield f"invoice {invoice_id} was told as paid and as uncollectible"


def _declines(seen: Seen) -> Iterator[str]:
    """Find invoices whose count of declines is not that of our own attempts."""
    declined: Counter[int] = Counter()
    for row in seen.of("payment_attempts", status="declined"):
        if row["origin"] == "schedule":
            declined[row["invoice_id"]] += 1
    for row in seen.rows["invoices"]:
        if row["declines"] != declined[row["id"]]:
            yield (
                f"invoice {row['id']} counts {row['declines']} declines, {declined[row['id']]}"
                " attempts of ours were declined"
            )


def _statuses(seen: Seen) -> Iterator[str]:
    """Find subscriptions whose status and waiting contradict each other."""
    for row in seen.rows["subscriptions"]:
        if row["status"] == "trialing" and instant_of(row["trial_end_at"]) < seen.now - _CLOCKS:
            ends = row["cancel_at"] is not None
            if not ends:
                yield f"subscription {row['id']} is still in a trial that was over"
        resume_at = row["resume_at"]
        if row["status"] == "paused" and resume_at and instant_of(resume_at) < seen.now - _CLOCKS:
            ends = row["cancel_at"] and instant_of(row["cancel_at"]) <= seen.now
            if not ends:
                yield f"subscription {row['id']} is still paused, to be resumed at {resume_at}"


def _changes(seen: Seen) -> Iterator[str]:
    """Find changes that were due with a period that has begun and were not decided."""
    asked_at = {
        row["data"]["change_id"]: instant_of(row["data"]["at"])
        for row in seen.of("events", name="subscription.change_scheduled")
    }
    begun: dict[str, datetime] = {}
    for row in seen.rows["invoices"]:
        start_at = instant_of(row["period_start_at"])
        begun[row["subscription_id"]] = max(begun.get(row["subscription_id"], start_at), start_at)
    starts = {
        (row["subscription_id"], row["period_index"]): instant_of(row["period_start_at"])
        for row in seen.rows["invoices"]
    }
    for row in seen.of("agreement_changes", status="applied"):
        began_at = starts.get((row["subscription_id"], row["applied_index"]))
        if began_at is not None and began_at < instant_of(row["effective_at"]):
            yield (
                f"change {row['id']} was applied to a period before {row['effective_at']}, which"
                f" begins at {began_at}"
            )
    for row in seen.of("agreement_changes", status="pending"):
        last = begun.get(row["subscription_id"])
        effective_at, at = instant_of(row["effective_at"]), asked_at[row["id"]]
        if last is not None and effective_at <= last and at < last - _CLOCKS:
            yield f"change {row['id']} was due at {effective_at} and is still pending"


def _noticed(seen: Seen) -> Iterator[str]:
    """Find renewals and new prices of which the buyer was told more than once, or too early."""
    told: Counter[tuple[object, ...]] = Counter()
    for row in seen.rows["events"]:
        if row["name"] in {"subscription.renewal_upcoming", "subscription.trial_ending"}:
            data = row["data"]
            told[row["subscription_id"], "period", (data["period_index"], data["renews_at"])] += 1
        if row["name"] == "subscription.price_change_upcoming":
            data = row["data"]
            told[row["subscription_id"], "change", data["change_id"]] += 1
            # Whoever agrees on the day of the notice must have agreed in time.
            counts_from = instant_of(data["renews_at"]) - _CONSENT_GOOD_FOR
            if instant_of(data["at"]) < counts_from - _CLOCKS:
                yield (
                    f"change {data['change_id']} was told at {data['at']}, and a consent to it"
                    f" counts from {counts_from} on"
                )
    for (id_, what, number), count in told.items():
        if count > 1:
            yield f"subscription {id_} was given notice of {what} {number} {count} times"


def _paused(seen: Seen) -> Iterator[str]:
    """Find invoices of periods that began in a pause."""
    pauses: dict[str, list[tuple[datetime, datetime]]] = defaultdict(list)
    for row in seen.of("events", name="subscription.resumed"):
        data = row["data"]
        span = instant_of(data["paused_at"]), instant_of(data["resumed_at"])
        pauses[row["subscription_id"]].append(span)
    for row in seen.of("subscriptions", status="paused"):
        pauses[row["id"]].append((instant_of(row["pause_at"]), seen.now))
    opened_at = {
        row["data"]["invoice_id"]: instant_of(row["data"]["at"])
        for row in seen.of("events", name="invoice.opened")
    }
    returned = given_back(seen.rows)
    for row in seen.rows["invoices"]:
        if row["id"] in returned:
            continue
        start_at = instant_of(row["period_start_at"])
        for pause_at, resumed_at in pauses[row["subscription_id"]]:
            # A period that one clock had begin, and that was opened then, is still to come by
            # another one, which is behind.
            was_open = opened_at[row["id"]] <= pause_at + _CLOCKS and start_at <= pause_at + _CLOCKS
            if pause_at < start_at < resumed_at and not was_open:
                yield f"invoice {row['id']} begins in a pause, from {pause_at} to {resumed_at}"


def _trials(seen: Seen) -> Iterator[str]:
    """Find buyers who had a free trial of one product more than once."""
    had = Counter(
        (row["buyer_ref"], row["product"])
        for row in seen.rows["subscriptions"]
        if row["trial_end_at"] is not None and row["buyer_ref"] is not None
    )
    for (buyer_ref, product), count in had.items():
        if count > 1:
            yield f"buyer {buyer_ref} had a free trial of {product} {count} times"


def _prorations(seen: Seen) -> Iterator[str]:
    """Find changes at once whose days were counted otherwise than by the dates of the period.

    The date of the change counts as used. A period that another interval has cut says by the days
    it had how long it was to be; one that a pause has lengthened may have been so at the time, or
    not, and is left out.
    """
    invoices: dict[str, list[Row]] = defaultdict(list)
    for row in sorted(seen.rows["invoices"], key=lambda row: str(row["period_start_at"])):
        invoices[row["subscription_id"]].append(row)
    texts = {row["id"]: _DAYS.search(row["description"]) for row in seen.rows["adjustments"]}
    zones = {row["id"]: ZoneInfo(row["time_zone"]) for row in seen.rows["subscriptions"]}
    for event in seen.of("events", name="subscription.changed"):
        id_, at = event["subscription_id"], instant_of(event["data"]["at"])
        began = [i for i in invoices[id_] if instant_of(i["period_start_at"]) < at]
        if not began or began[-1]["counted_from"] is not None:
            continue
        first = instant_of(began[-1]["period_start_at"]).astimezone(zones[id_]).date()
        used = (at.astimezone(zones[id_]).date() - first).days + 1
        for adjustment_id in event["data"].get("adjustment_ids") or ():
            said = texts[adjustment_id]
            if said and int(said["unused"]) != max(int(said["days"]) - used, 0):
                yield (
                    f"adjustment {adjustment_id} is for {said['unused']} of {said['days']} days,"
                    f" and {used} of them were used"
                )
