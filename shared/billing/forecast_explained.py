"""Why what was charged on a day differs from what was foreseen of it: evidence, or nothing.

A difference is explained by what the rows and the events say has happened since the forecast was
made, and never by what may have happened. What nothing explains is ``unexplained``: somebody must
look at it.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final, TypeAlias

from shared.billing.attempt import UNSETTLED, AttemptOrigin, AttemptStatus
from shared.billing.events import EventName
from shared.billing.forecast import Day, Outlook, Why
from shared.billing.forecast_facts import Asked, Bill, Explained, Facts, Reason, Told, Try
from shared.billing.invoice import InvoiceStatus
from shared.billing.subscription import BillingKeyStatus

_A = AttemptStatus
_REFUSED: Final = frozenset({_A.DECLINED, _A.METHOD_DEAD})
_Found: TypeAlias = tuple[Reason, str] | None


def explain(facts: Facts, asked: Asked) -> Explained:
    """Return what became of a period of which something was foreseen or charged on the day."""
    charged = [
        each for each in facts.tries if asked.day.holds(each.at) and each.status is not _A.VOID
    ]
    is_due = facts.is_due_on(asked.day)
    foreseen = facts.expected.price.amount if facts.expected and is_due else 0
    if charged:
        found = _charged(facts, charged, asked)
    elif is_due:
        found = _not_charged(facts, asked)
    else:
        found = Reason.AS_FORESEEN, "not charged, as was foreseen"
    if found is None and asked.settings_differ:
        found = Reason.SETTINGS, "the settings are others than those of the forecast"
    reason, because = found or (Reason.UNEXPLAINED, _unexplained(charged))
    return Explained(
        facts.subscription_id,
        facts.period_index,
        reason,
        foreseen,
        sum(each.amount for each in charged if each.status is _A.PAID),
        because,
    )


# What was charged.


def _charged(facts: Facts, charged: Sequence[Try], asked: Asked) -> _Found:
    """Explain the charges of a day: that they were made, how often, how much, and how they ended.

    One after another is right only where each before the last was refused, and one that is paid is
    the last: no setting excuses a second payment.
    """
    last = charged[-1]
    is_paid_twice = sum(each.status is _A.PAID for each in facts.tries) > 1
    if is_paid_twice or any(each.status not in _REFUSED for each in charged[:-1]):
        return Reason.UNEXPLAINED, f"charged again before it was refused: {_said(charged)}"
    why: _Found = None
    if not facts.is_due_on(asked.day):
        why = _why_charged(facts, charged[0], asked)
        is_explained = why is not None
    else:
        is_other = facts.expected is not None and last.amount != facts.expected.price.amount
        why = _first(facts, asked, _AMOUNTS) if is_other else None
        is_explained = why is not None or not is_other
    if not is_explained:
        return None
    if last.status in _REFUSED:
        return Reason.DECLINED, f"attempt {last.number} was refused"
    if last.status is not _A.PAID:
        return Reason.UNDER_WAY, f"attempt {last.number} is {last.status}"
    return why or (Reason.AS_FORESEEN, f"attempt {last.number} was paid")


def _why_charged(facts: Facts, first: Try, asked: Asked) -> _Found:
    """Explain a charge that was not foreseen of the day."""
    if first.origin is AttemptOrigin.BUYER and (
        wish := _told(facts, asked, frozenset({EventName.INVOICE_RETRY_ASKED}), facts.bill)
    ):
        return Reason.BY_BUYER, f"the buyer asked for it at {wish.at.isoformat()}"
    if new_method := _told(facts, asked, _NEW_METHOD):
        return Reason.NEW_METHOD, f"{new_method.name} at {new_method.at.isoformat()}"
    refused = [
        each for each in facts.tries if each.number < first.number and each.status in _REFUSED
    ]
    if refused and _ended_at(refused[-1]) >= asked.since:
        return Reason.TRIED_AGAIN, f"attempt {refused[-1].number} was refused after the forecast"
    return _foreseen_otherwise(facts, asked, first) or _first(facts, asked, _BEGINNINGS)


def _foreseen_otherwise(facts: Facts, asked: Asked, first: Try) -> _Found:
    """Explain a charge of which something was foreseen, but not that it is made on the day."""
    expected = facts.expected
    if expected is not None and expected.outlook is Outlook.FAULTY:
        return Reason.CORRECTED, "its row made no sense when the forecast was made"
    is_earlier = expected is not None and expected.at < asked.day.begins_at
    if expected is not None and is_earlier and expected.outlook is Outlook.CHARGED:
        return Reason.LATE, f"was due at {expected.at.isoformat()}"
    if first.send_number > 1:
        return Reason.TRIED_AGAIN, f"attempt {first.number} was sent {first.send_number} times"
    return None


# What was not charged.


def _not_charged(facts: Facts, asked: Asked) -> _Found:
    """Explain that nothing was charged which was foreseen of the day."""
    bill = facts.bill
    if bill is None:
        return _never_opened(facts, asked)
    if facts.expected is not None and bill.begins_at > facts.expected.at:
        # The period has moved since the forecast: it was to be charged before it begins by now.
        return _first(facts, asked, _ENDS)
    found = _closed if bill.status is not InvoiceStatus.OPEN else _still_open
    return found(facts, bill, asked) or _later(facts, bill, asked)


def _never_opened(facts: Facts, asked: Asked) -> _Found:
    """Explain that a period has no invoice."""
    of_it = [event for event in facts.told if event.period_index == facts.period_index]
    for event in of_it:
        if event.name is EventName.PERIOD_SKIPPED:
            return Reason.SKIPPED, f"the period was skipped at {event.at.isoformat()}"
        if event.name is EventName.CONSENT_MISSING:
            return Reason.CONSENT, f"a consent was missing at {event.at.isoformat()}"
    if found := _first(facts, asked, _ENDS):
        return found
    subscriber = facts.subscriber
    if subscriber.next_period_index > facts.period_index or subscriber.next_renewal_at is None:
        return None
    at = subscriber.next_renewal_at.isoformat()
    return Reason.LATE, f"no renewal has opened it yet: the next one is due at {at}"


def _closed(facts: Facts, bill: Bill, asked: Asked) -> _Found:
    """Explain an invoice that came to its end without a charge on the day."""
    paid = [each for each in facts.tries if each.status is _A.PAID]
    if paid:
        if not asked.since <= paid[0].at < asked.day.begins_at:
            return None
        by = "by the buyer's wish" if paid[0].origin is AttemptOrigin.BUYER else "already"
        return Reason.PAID_BEFORE, f"was paid {by} at {paid[0].at.isoformat()}"
    is_other = facts.expected is not None and bill.amount != facts.expected.price.amount
    if bill.status is InvoiceStatus.PAID or is_other:
        return _first(facts, asked, _AMOUNTS)
    if event := _told(facts, asked, frozenset({EventName.INVOICE_UNCOLLECTIBLE}), bill):
        return Reason.GIVEN_UP, bill.message or f"given up at {event.at.isoformat()}"
    if event := _told(facts, asked, frozenset({EventName.INVOICE_VOIDED}), bill):
        return Reason.CANCELED, bill.message or f"void at {event.at.isoformat()}"
    return None


def _still_open(facts: Facts, bill: Bill, asked: Asked) -> _Found:
    """Explain an invoice that is open and was not charged on the day."""
    subscriber, ends_at = facts.subscriber, asked.day.ends_at
    unsettled = [each for each in facts.tries if each.status in UNSETTLED]
    refused = [each for each in facts.tries if each.status in _REFUSED]
    found: _Found = None
    if unsettled and unsettled[-1].at < ends_at:
        found = Reason.UNDER_WAY, f"attempt {unsettled[-1].number} is {unsettled[-1].status}"
    elif bill.is_stopped:
        found = Reason.BY_A_PERSON, bill.message or "it is not collected any more"
    elif subscriber.cancel_at is not None and subscriber.cancel_at < ends_at:
        found = Reason.CANCELED, f"the subscription ends at {subscriber.cancel_at.isoformat()}"
    elif subscriber.key_status is not BillingKeyStatus.ACTIVE:
        found = Reason.NO_METHOD, f"the billing key is {subscriber.key_status}"
    elif not subscriber.dunning_enabled and bill.past_due_at is not None:
        found = Reason.DUNNING, "dunning is switched off for the subscription"
    elif refused and asked.since <= _ended_at(refused[-1]) < ends_at:
        found = Reason.DECLINED, f"attempt {refused[-1].number} was refused before the day"
    return found


def _later(facts: Facts, bill: Bill, asked: Asked) -> _Found:
    """Explain what was charged, or ended, after the day, or is planned for then."""
    day, expected = asked.day, facts.expected
    after = [each for each in facts.tries if each.at >= day.ends_at]
    has_new_method = _told_after(facts, day, _NEW_METHOD)
    switched = _told(facts, asked, frozenset({EventName.SUBSCRIPTION_DUNNING_SWITCHED}))
    ended = _told_after(facts, day, _ENDINGS, bill)
    found: _Found = None
    if after and bill.past_due_at is not None and has_new_method:
        found = Reason.NO_METHOD, "the billing key was dead on the day"
    elif switched and expected is not None and expected.why is Why.RETRY:
        found = Reason.DUNNING, f"{switched.name} at {switched.at.isoformat()}"
    elif after:
        found = Reason.LATE, f"was sent at {after[0].at.isoformat()}"
    elif ended is not None:
        found = Reason.LATE, f"nobody sent it before {ended.name} at {ended.at.isoformat()}"
    elif bill.status is InvoiceStatus.OPEN and bill.next_attempt_at is not None:
        at = bill.next_attempt_at.isoformat()
        found = Reason.LATE, f"is due since {at}, and nobody has sent it"
        if bill.next_attempt_at >= day.ends_at:
            found = Reason.PUT_OFF, f"was put off to {at}"
    return found


# Evidence.


def _first(
    facts: Facts, asked: Asked, table: Sequence[tuple[Reason, frozenset[EventName]]]
) -> _Found:
    """Return the first reason of a table of which an event tells."""
    for reason, names in table:
        if event := _told(facts, asked, names):
            return reason, f"{event.name} at {event.at.isoformat()}"
    return None


def _told(
    facts: Facts, asked: Asked, names: frozenset[EventName], bill: Bill | None = None
) -> Told | None:
    """Return the last event of some names between the forecast and the end of the day."""
    return _last(
        facts,
        lambda event: (
            event.name in names
            and asked.since <= event.at < asked.day.ends_at
            and (bill is None or event.invoice_id == bill.id)
        ),
    )


def _told_after(
    facts: Facts, day: Day, names: frozenset[EventName], bill: Bill | None = None
) -> Told | None:
    return _last(
        facts,
        lambda event: (
            event.name in names
            and event.at >= day.ends_at
            and (bill is None or event.invoice_id == bill.id)
        ),
    )


def _last(facts: Facts, holds: Callable[[Told], bool]) -> Told | None:
    return next((event for event in reversed(facts.told) if holds(event)), None)


def _ended_at(refused: Try) -> datetime:
    return refused.settled_at or refused.at


def _unexplained(charged: Sequence[Try]) -> str:
    """Say what of a difference there is, so that whoever looks knows where to begin."""
    if charged:
        return f"nothing that is known explains the charges of the day: {_said(charged)}"
    return "nothing that is known explains why it was not charged"


def _said(charged: Sequence[Try]) -> str:
    return ", ".join(f"attempt {each.number} {each.status} {each.amount} won" for each in charged)


_E = EventName
_NEW_METHOD: Final = frozenset({_E.BILLING_KEY_REGISTERED, _E.BILLING_KEY_CHANGED})
_ENDINGS: Final = frozenset({_E.INVOICE_PAID, _E.INVOICE_UNCOLLECTIBLE, _E.INVOICE_VOIDED})
_CHANGES: Final = frozenset(
    {
        _E.SUBSCRIPTION_CHANGED,
        _E.SUBSCRIPTION_CHANGE_SCHEDULED,
        _E.SUBSCRIPTION_CHANGE_WITHDRAWN,
        _E.SUBSCRIPTION_CHANGE_REFUSED,
    }
)
_CONSENTS: Final = frozenset({_E.CONSENT_GIVEN, _E.CONSENT_MISSING})
_PAUSES: Final = frozenset({_E.SUBSCRIPTION_PAUSED, _E.SUBSCRIPTION_PAUSE_SCHEDULED})
_GOES_ON: Final = frozenset({_E.SUBSCRIPTION_RESUMED, _E.SUBSCRIPTION_PAUSE_WITHDRAWN})
# What may begin a charge, what may end one before it is made, and what may change its amount.
_BEGINNINGS: Final = (
    (Reason.NEW, frozenset({_E.SUBSCRIPTION_CREATED})),
    (Reason.REACTIVATED, frozenset({_E.SUBSCRIPTION_REACTIVATED})),
    (Reason.CANCELED, frozenset({_E.SUBSCRIPTION_CANCELLATION_WITHDRAWN})),
    (Reason.RESUMED, _GOES_ON),
    (Reason.CHANGED, _CHANGES),
    (Reason.DUNNING, frozenset({_E.SUBSCRIPTION_DUNNING_SWITCHED})),
    (Reason.CONSENT, _CONSENTS),
    (Reason.ADJUSTED, frozenset({_E.SUBSCRIPTION_ADJUSTED})),
)
_ENDS: Final = (
    (
        Reason.CANCELED,
        frozenset({_E.SUBSCRIPTION_CANCELED, _E.SUBSCRIPTION_CANCELLATION_SCHEDULED}),
    ),
    (Reason.PAUSED, _PAUSES),
    (Reason.RESUMED, _GOES_ON),
    (Reason.REACTIVATED, frozenset({_E.SUBSCRIPTION_REACTIVATED})),
    (Reason.CHANGED, _CHANGES),
)
_AMOUNTS: Final = (
    (Reason.CHANGED, _CHANGES),
    (
        Reason.ADJUSTED,
        # A void invoice gives back what it used, and a period that is left out uses nothing.
        frozenset({_E.SUBSCRIPTION_ADJUSTED, _E.INVOICE_VOIDED, _E.CATCH_UP_APPLIED}),
    ),
    (Reason.RESUMED, _GOES_ON),
    (Reason.PAUSED, _PAUSES),
    (Reason.REACTIVATED, frozenset({_E.SUBSCRIPTION_REACTIVATED})),
    (Reason.CONSENT, _CONSENTS),
)
NAMES: Final = frozenset(
    {
        _E.PERIOD_SKIPPED,
        _E.INVOICE_RETRY_ASKED,
        *_ENDINGS,
        *_NEW_METHOD,
        *(name for group in (_BEGINNINGS, _ENDS, _AMOUNTS) for _, names in group for name in names),
    }
)
