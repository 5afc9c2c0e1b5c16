"""Ask a buyer for something in a payment window: a method, another one, or money once.

A handler checks the window as a whole, writes it, and hands its parameters to the merchant's page.
The billing key and everything of the buyer's are the merchant's to add: an event holds neither.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TypeAlias, cast

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.events import Json
from shared.billing.money import Price
from shared.billing.naver_products import (
    NaverProduct,
    product_code_of_key,
    product_code_of_subscription,
)
from shared.billing.subscription import Buyer
from shared.billing.use_confirmation import UseConfirmation, korean_date
from shared.billing.window import (
    Window,
    WindowKind,
    WindowStatus,
    expired,
    requested,
    window_id,
    window_merchant_uid,
)
from shared.billing.window_channel import Channel, WindowReturn
from shared.billing.window_keys import ActionType
from shared.billing.window_parameters import OneOffWindow, RegistrationWindow
from shared.billing.window_people import Purchaser, WindowBuyer
from shared.db import billing_keys, outbox, windows
from shared.db.billing_keys import StoredKey
from shared.jobs.commands import ChangeBillingKey, RegisterBillingKey, RequestPayment
from worker.services.commanding import CommandRefusedError

KeyCommand: TypeAlias = RegisterBillingKey | ChangeBillingKey

_SUPERSEDED = "another window was opened for the same billing key"


@dataclass(frozen=True, slots=True)
class WindowTerms:
    """What every window of this installation has in common.

    Attributes:
        channel: Where PortOne sends the buyer; without it no window can be opened.
        ttl: How long a window is waited for.
        change_enabled: Whether CHANGE may be sent.
        use_confirmation: Whether a one-off payment names the day on which it is used.
    """

    channel: Channel | None
    ttl: timedelta
    minimum_amount: int
    change_enabled: bool = True
    chain_id: str | None = None
    use_confirmation: UseConfirmation = UseConfirmation.NONE

    def require_channel(self) -> Channel:
        """Return the channel, or refuse in words."""
        if self.channel is None:
            message = (
                "no payment window can be opened: set DALMADA_PORTONE_CHANNEL_KEY, or "
                "DALMADA_PORTONE_PG, to the channel of this merchant"
            )
            raise CommandRefusedError(message)
        return self.channel


@dataclass(frozen=True, slots=True)
class RequestKeyWindow:
    """Handle ``billing_key.register`` and ``billing_key.change``.

    One window of a key is waited for at a time. A buyer who comes again gets a new one, and the
    earlier one expires; if it is the earlier one that the buyer then uses, it counts all the same.
    """

    terms: WindowTerms

    async def __call__(
        self, connection: AsyncConnection, command: KeyCommand, now: datetime
    ) -> dict[str, Json]:
        """Write the window and return what the merchant's page needs."""
        buyer = Buyer(command.buyer_name, command.buyer_email, command.buyer_tel)
        key = await billing_keys.ask_for(connection, command.customer_uid, buyer)
        code = command.product_code or await _product_code(connection, key)
        id_ = window_id(command.command_id)
        parameters = self._parameters(command, key, code, window_merchant_uid(id_))
        is_change = isinstance(command, ChangeBillingKey)
        window = Window(
            id=id_,
            kind=WindowKind.CHANGE if is_change else WindowKind.REGISTER,
            status=WindowStatus.READY,
            merchant_uid=parameters.merchant_uid,
            billing_key_id=key.id,
            customer_uid=key.customer_uid,
            price=Price(command.amount),
            order_name=command.order_name,
            expires_at=now + self.terms.ttl,
            command_id=command.command_id,
        )
        left = await windows.expire_open(connection, key.id, _SUPERSEDED, now)
        told = _json(parameters.told())
        await windows.open_new(connection, window, told, now)
        await outbox.write(
            connection,
            [*(expired(old, _SUPERSEDED, now) for old in left), requested(window, told, now)],
        )
        return {**_told_of(window), "parameters": told}

    def _parameters(
        self, command: KeyCommand, key: StoredKey, code: str, merchant_uid: str
    ) -> RegistrationWindow:
        is_change = isinstance(command, ChangeBillingKey)
        return RegistrationWindow(
            self.terms.require_channel(),
            command.customer_uid,
            merchant_uid,
            command.order_name,
            command.amount,
            code,
            WindowBuyer(Buyer(command.buyer_name, command.buyer_email, command.buyer_tel)),
            action=ActionType.CHANGE if is_change else ActionType.NEW,
            product_count=command.product_count or 1,
            back=WindowReturn(command.popup, command.redirect_url),
            existing_key=None if key.is_new else key.status,
            changed_customer_uid=key.customer_uid if is_change else None,
            change_supported=self.terms.change_enabled,
            minimum_amount=self.terms.minimum_amount,
        )


@dataclass(frozen=True, slots=True)
class RequestPaymentWindow:
    """Handle ``payment.request``: the window is handed out once its amount is registered.

    Until then the gateway would take any amount that the buyer's browser says.
    """

    terms: WindowTerms

    async def __call__(
        self, connection: AsyncConnection, command: RequestPayment, now: datetime
    ) -> dict[str, Json]:
        """Write the window; its parameters follow in the event ``payment.requested``."""
        id_ = window_id(command.command_id)
        expires_at = now + self.terms.ttl
        price = Price(command.amount, command.tax_free)
        parameters = OneOffWindow(
            self.terms.require_channel(),
            window_merchant_uid(id_),
            tuple(NaverProduct(**product.model_dump()) for product in command.products),
            price,
            name=command.order_name,
            buyer=WindowBuyer(Buyer(command.buyer_name, command.buyer_email, command.buyer_tel)),
            back=WindowReturn(command.popup, command.redirect_url),
            used_on=self._used_on(expires_at),
            purchaser=_purchaser(command),
            merchant_user_key=command.merchant_user_key,
            culture_benefit=command.culture_benefit,
            chain_id=self.terms.chain_id,
            today=korean_date(now),
            minimum_amount=self.terms.minimum_amount,
        )
        window = Window(
            id=id_,
            kind=WindowKind.PAYMENT,
            status=WindowStatus.REQUESTED,
            merchant_uid=parameters.merchant_uid,
            billing_key_id=None,
            customer_uid=None,
            price=price,
            order_name=command.order_name,
            expires_at=expires_at,
            command_id=command.command_id,
        )
        await windows.open_new(connection, window, _json(parameters.told()), now)
        return _told_of(window)

    def _used_on(self, expires_at: datetime) -> date | None:
        """Return the last day on which the window can be paid: Naver Pay takes no earlier one.

        A single payment is of no period, so the contract's day is that of the payment in any case.
        """
        if self.terms.use_confirmation is UseConfirmation.NONE:
            return None
        return korean_date(expires_at)


def _purchaser(command: RequestPayment) -> Purchaser | None:
    if command.purchaser_name is None or command.purchaser_birthday is None:
        return None
    return Purchaser(command.purchaser_name, command.purchaser_birthday)


async def _product_code(connection: AsyncConnection, key: StoredKey) -> str:
    """Return the ``naverProductCode`` that keeps a buyer from registering the same thing twice.

    Once a key has one, it keeps it: CHANGE speaks of the product that was registered. Before, it is
    that of the one subscription billed with the key, or of the key itself.
    """
    if code := await windows.product_code(connection, key.id):
        return code
    subscription_id = await windows.only_subscription(connection, key.id)
    if subscription_id is None:
        return product_code_of_key(key.id)
    return product_code_of_subscription(subscription_id)


def _told_of(window: Window) -> dict[str, Json]:
    return {
        "window_id": str(window.id),
        "merchant_uid": window.merchant_uid,
        "status": window.status,
        "expires_at": window.expires_at.isoformat(),
    }


def _json(told: dict[str, object]) -> dict[str, Json]:
    """Name what the builders return: they hold what goes into JSON and nothing else."""
    return cast("dict[str, Json]", told)
