"""Write that a buyer has used a payment window, and all that follows from it, at once."""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.events import Json
from shared.billing.subscription import BillingKeyStatus
from shared.billing.window import (
    Confirmed,
    NotConfirmed,
    Window,
    WindowKind,
    WindowStatus,
    confirmed,
    expired,
)
from shared.db import billing_keys, outbox, payments, windows
from shared.db.payments import NewPayment

_TAKEN_PLACE = "the billing key was registered in another window"


@dataclass(frozen=True, slots=True)
class Known:
    """The window was confirmed by the same payment before."""


Confirmation: TypeAlias = Confirmed | Known | NotConfirmed


async def confirm(
    connection: AsyncConnection, window: Window, found: Confirmed, now: datetime
) -> Confirmation:
    """Confirm a window by what the gateway shows, once, whoever else is about to.

    What the caller knows of the window may be old: it is looked at again under its locks.
    """
    if window.billing_key_id is None:
        return await _confirm_payment(connection, window, found, now)
    return await _confirm_key(connection, window, window.billing_key_id, found, now)


async def _confirm_payment(
    connection: AsyncConnection, window: Window, found: Confirmed, now: datetime
) -> Confirmation:
    if past := await _past(connection, window, found):
        return past
    payment = NewPayment(
        found.imp_uid,
        window.merchant_uid,
        window.price,
        found.paid_at or now,
        window_id=window.id,
    )
    if not await payments.add(connection, [payment]):
        return NotConfirmed("the payment is kept as another's already")
    await windows.confirm(connection, window.id, found, now)
    await outbox.write(connection, [confirmed(window, found, now)])
    return found


async def _confirm_key(
    connection: AsyncConnection, window: Window, key_id: int, found: Confirmed, now: datetime
) -> Confirmation:
    status = await billing_keys.lock_with_invoices(connection, key_id)
    if past := await _past(connection, window, found):
        return past
    if status is BillingKeyStatus.DELETING:
        return NotConfirmed("the billing key is being deleted, with every method behind it")
    await windows.confirm(connection, window.id, found, now)
    data: dict[str, Json] = {"invoices_due": 0}
    # Told late, a registration that another one has followed changes nothing about the key.
    if not await windows.has_later_one(connection, key_id, window.id, found.paid_at):
        data["generation"] = await billing_keys.renew(connection, key_id)
        data["invoices_due"] = await billing_keys.make_due(connection, key_id, now)
    # A first registration that is still open would leave the buyer with a second method.
    left = await windows.expire_open(
        connection, key_id, _TAKEN_PLACE, now, frozenset({WindowKind.REGISTER})
    )
    await outbox.write(
        connection,
        [
            confirmed(window, found, now, **data),
            *(expired(old, _TAKEN_PLACE, now) for old in left),
        ],
    )
    return found


async def _past(
    connection: AsyncConnection, window: Window, found: Confirmed
) -> Known | NotConfirmed | None:
    """Lock a window; return what its confirmation comes too late for, or None if it does not."""
    stands = await windows.lock(connection, window.id)
    if stands.window.status is not WindowStatus.CONFIRMED:
        return None
    if stands.imp_uid == found.imp_uid:
        return Known()
    return NotConfirmed("the window was used for another payment before")
