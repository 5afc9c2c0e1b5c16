"""What is told of a renewal, in the order in which it came about."""

from datetime import datetime

from shared.billing.change import told
from shared.billing.events import Event, EventName, Json, iso
from shared.billing.gate import Decided, MissingConsent
from shared.billing.renewal import Renewal, Skipped


def before_invoices(renewal: Renewal, now: datetime) -> list[Event]:
    """Return what is told before the invoices that are opened: terms, and what is left out."""
    id_ = renewal.before.id
    events = [_decided(renewal, decided, now) for decided in renewal.decided]
    if renewal.ends_at is None:
        events += [_missing(renewal, missing, now) for missing in renewal.missing]
    if renewal.is_converted:
        data: dict[str, Json] = {
            "period_index": renewal.before.next_period_index,
            "amount": renewal.after.consented_amount,
            "at": now.isoformat(),
        }
        events.append(Event(EventName.SUBSCRIPTION_CONVERTED, id_, data))
    return [*events, *(_skipped(renewal, skipped, now) for skipped in renewal.skipped)]


def after_invoices(renewal: Renewal, now: datetime) -> list[Event]:
    """Return what is told after them: why the subscription does not go on, and the alert."""
    id_, after, at = renewal.before.id, renewal.after, now.isoformat()
    events: list[Event] = []
    data: dict[str, Json]
    if renewal.is_paused:
        data = {
            "pause_at": iso(after.pause_at),
            "resume_at": iso(after.resume_at),
            "keeps": after.pause_keeps,
            "at": at,
        }
        events.append(Event(EventName.SUBSCRIPTION_PAUSED, id_, data))
    if renewal.ends_at is not None and (end := renewal.end):
        events += [_missing(renewal, missing, now) for missing in renewal.missing]
        data = {
            "when": end.when,
            "cancel_at": renewal.ends_at.isoformat(),
            "replaced_cancel_at": iso(renewal.before.cancel_at),
            "refund": end.refund,
            "late_payment": end.late,
            "reason": end.reason,
            "requester": end.requester,
            "at": at,
        }
        events.append(Event(EventName.SUBSCRIPTION_CANCELLATION_SCHEDULED, id_, data))
    if caught_up := renewal.caught_up:
        data = {
            "billed": caught_up.billed,
            "skipped": caught_up.skipped,
            "policy": caught_up.choice,
            "oldest_period_index": caught_up.oldest.index,
            "oldest_period_start_at": caught_up.oldest.start_at.isoformat(),
            "at": at,
        }
        events.append(Event(EventName.CATCH_UP_APPLIED, id_, data))
    return events


def _decided(renewal: Renewal, decided: Decided, now: datetime) -> Event:
    """Tell of a change that came into effect, or was refused."""
    name = EventName.SUBSCRIPTION_CHANGED
    if decided.refusal is not None:
        name = EventName.SUBSCRIPTION_CHANGE_REFUSED
    data: dict[str, Json] = {
        "change_id": decided.change.id,
        "period_index": decided.period_index,
        "before": told(decided.before),
        "after": told(decided.after),
        "at": now.isoformat(),
    }
    if decided.refusal is not None:
        data["message"] = decided.refusal
    return Event(name, renewal.before.id, data)


def _missing(renewal: Renewal, missing: MissingConsent, now: datetime) -> Event:
    data: dict[str, Json] = {
        "kind": missing.kind,
        "amount": missing.amount,
        "effective_at": missing.period.start_at.isoformat(),
        "period_index": missing.period.index,
        "change_id": missing.change_id,
        "at": now.isoformat(),
    }
    return Event(EventName.CONSENT_MISSING, renewal.before.id, data)


def _skipped(renewal: Renewal, skipped: Skipped, now: datetime) -> Event:
    """Explain a period that is not billed."""
    period = skipped.period
    data: dict[str, Json] = {
        "period_index": period.index,
        "period_start_at": period.start_at.isoformat(),
        "period_end_at": period.end_at.isoformat(),
        "reason": skipped.reason,
        "at": now.isoformat(),
    }
    return Event(EventName.PERIOD_SKIPPED, renewal.before.id, data)
