"""What an ending means once the buyer has changed the payment method behind the billing key.

A key's generation is raised when its method changes. An attempt knows the generation it was claimed
under, so an ending that comes late is told from one that speaks of the method as it stands.
"""

from dataclasses import replace
from datetime import datetime

from shared.billing.attempt import AttemptStatus
from shared.billing.collection import Move
from shared.billing.events import Event, EventName
from shared.billing.invoice import InvoiceStatus
from shared.billing.lifecycle import SubscriptionStatus

UNPAID = frozenset({AttemptStatus.DECLINED, AttemptStatus.METHOD_DEAD})


def overtaken(move: Move, now: datetime) -> Move:
    """Return the move of an attempt that was refused on a method that has been changed since.

    The refusal says nothing of the present method: it buries no key, gives up no invoice and waits
    for no dunning delay; the invoice is due at once, with a new attempt. That it was declined is
    true, and is counted and told.
    """
    return replace(
        move,
        invoice_status=InvoiceStatus.OPEN,
        next_attempt_at=now,
        subscription_status=SubscriptionStatus.PAST_DUE,
        billing_key_dead=False,
        events=tuple(_as_decline(event, move) for event in move.events if _is_refusal(event)),
    )


def _is_refusal(event: Event) -> bool:
    return event.name in {EventName.PAYMENT_DECLINED, EventName.BILLING_KEY_DEAD}


def _as_decline(event: Event, move: Move) -> Event:
    """Tell of a dead method as of a decline: the billing key is alive."""
    if event.name is EventName.PAYMENT_DECLINED:
        return event
    data = {name: value for name, value in event.data.items() if name != "message"}
    return replace(
        event,
        name=EventName.PAYMENT_DECLINED,
        data={
            **data,
            "imp_uid": move.imp_uid,
            "fail_reason": move.message,
            "declines": move.declines,
        },
    )
