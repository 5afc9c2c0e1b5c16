"""For which billing key a registration window may be opened, and under which action."""

import enum
from typing import assert_never

from shared.billing.errors import InvalidWindowError
from shared.billing.subscription import BillingKeyStatus


class ActionType(enum.StrEnum):
    """``naverActionType``: a first registration, or another method under the same billing key."""

    NEW = "NEW"
    CHANGE = "CHANGE"


def require_new_allowed(existing: BillingKeyStatus | None) -> None:
    """Refuse a first registration for a buyer who has a billing key that is alive.

    Source: Korean guide page, ``naverActionType``: a further key of the same buyer without it
    leaves the earlier method registered in the buyer's Naver Pay account. A key that is dead or
    deleted has left nothing there to change, and one that was never confirmed is none yet.

    Raises:
        InvalidWindowError: The key is in use, or its deletion is not confirmed yet.
    """
    match existing:
        case None | BillingKeyStatus.PENDING | BillingKeyStatus.DEAD | BillingKeyStatus.DELETED:
            return
        case BillingKeyStatus.ACTIVE:
            message = (
                "the buyer has a billing key that is in use: a NEW registration would leave its "
                "payment method registered in the buyer's Naver Pay account; open the window with "
                "CHANGE and the same customer_uid instead, or delete the billing key first"
            )
        case BillingKeyStatus.DELETING:
            message = (
                "the buyer's billing key is being deleted: until that is confirmed its payment "
                "method may still be registered in the buyer's Naver Pay account; wait for it, "
                "then register NEW"
            )
        case _:
            assert_never(existing)
    raise InvalidWindowError(message)


def require_change_allowed(existing: BillingKeyStatus | None, *, change_supported: bool) -> None:
    """Refuse a change where there is nothing to change, or where PortOne may not know the word.

    Source: Korean guide page, ``naverActionType``. The English page does not know it and PortOne's
    present page has dropped it, so the caller must say that it is supported. A dead key may be
    changed: the buyer's past due invoices then go on under the same ``customer_uid``.

    Raises:
        InvalidWindowError: ``CHANGE`` is switched off, or no key was ever confirmed or is left.
    """
    if not change_supported:
        message = (
            "CHANGE is switched off: PortOne's present documents do not name naverActionType; "
            "switch it on once PortOne has confirmed it for this channel, or delete the billing "
            "key and register NEW"
        )
        raise InvalidWindowError(message)
    match existing:
        case BillingKeyStatus.ACTIVE | BillingKeyStatus.DEAD:
            return
        case BillingKeyStatus.DELETING:
            message = "the billing key is being deleted; wait for it, then register NEW"
        case None | BillingKeyStatus.PENDING | BillingKeyStatus.DELETED:
            message = "there is no confirmed billing key to change; register NEW instead"
        case _:
            assert_never(existing)
    raise InvalidWindowError(message)


def require_same_key(customer_uid: str, changed_customer_uid: str | None) -> None:
    """Refuse a change under another billing key, without repeating either.

    Source: Korean guide page, ``naverActionType``: the same ``customer_uid`` again.
    """
    if changed_customer_uid != customer_uid:
        message = "CHANGE must carry the customer_uid of the billing key that it changes"
        raise InvalidWindowError(message)


def require_no_changed_key(changed_customer_uid: str | None) -> None:
    """Refuse a first registration that says it changes a key: one of the two is a mistake."""
    if changed_customer_uid is not None:
        message = "NEW changes no billing key; give changed_customer_uid with CHANGE only"
        raise InvalidWindowError(message)
