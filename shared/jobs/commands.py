"""What merchants may tell us: one frozen model each, published by any program that speaks Celery.

A command carries what the merchant says, people and billing keys among it, so it is kept out of
logs and Flower. Its ``command_id`` is the merchant's own: a command that comes again is answered
with its first result. ``docs/messages.md`` shows each with an example.
"""

from datetime import date
from typing import Annotated, ClassVar, Literal, Self
from uuid import UUID

from pydantic import Field, StrictBool, StrictInt, StrictStr, model_validator

from shared.billing.cancellation import CancelWhen, RefundChoice
from shared.billing.refund import Requester
from shared.billing.subscription import (
    BUYER_EMAIL_LENGTH_MAX,
    BUYER_NAME_LENGTH_MAX,
    BUYER_TEL_LENGTH_MAX,
)
from shared.jobs.command import (
    WON_MAX,
    Command,
    CustomerUid,
    ImpUid,
    MerchantUid,
    OrderName,
    Reason,
    Won,
)
from shared.jobs.contracts import WEBHOOK_QUEUE, Id, Job
from shared.jobs.life_commands import LIFE_COMMANDS


class _Window(Command):
    """What every payment window needs; what is left out is not handed to the browser."""

    order_name: OrderName
    buyer_name: Annotated[StrictStr | None, Field(max_length=BUYER_NAME_LENGTH_MAX, repr=False)] = (
        None
    )
    buyer_email: Annotated[
        StrictStr | None, Field(max_length=BUYER_EMAIL_LENGTH_MAX, repr=False)
    ] = None
    buyer_tel: Annotated[StrictStr | None, Field(max_length=BUYER_TEL_LENGTH_MAX, repr=False)] = (
        None
    )
    popup: StrictBool = True
    redirect_url: StrictStr | None = None


class _KeyWindow(_Window):
    """A window that registers a billing key, or the means behind it."""

    customer_uid: CustomerUid
    amount: Won
    product_code: StrictStr | None = None
    product_count: Annotated[StrictInt | None, Field(ge=1)] = None


class RegisterBillingKey(_KeyWindow):
    """Ask a buyer to register a payment method."""

    task: ClassVar[str] = "billing_key.register"


class ChangeBillingKey(_KeyWindow):
    """Ask a buyer to put another means behind the same billing key."""

    task: ClassVar[str] = "billing_key.change"


class Product(Job):
    """One entry of ``naverProducts``."""

    task: ClassVar[str] = ""
    queue: ClassVar[str] = ""

    category_type: StrictStr
    category_id: StrictStr
    uid: StrictStr
    name: StrictStr
    count: Annotated[StrictInt, Field(ge=1)]
    pay_referrer: StrictStr | None = None
    seller_id: StrictStr | None = None


class RequestPayment(_Window):
    """Ask a buyer to pay once, in a window."""

    task: ClassVar[str] = "payment.request"

    amount: Won
    tax_free: Won = 0
    products: Annotated[tuple[Product, ...], Field(min_length=1, max_length=100)]
    purchaser_name: Annotated[StrictStr | None, Field(min_length=1, repr=False)] = None
    purchaser_birthday: Annotated[date | None, Field(repr=False)] = None
    merchant_user_key: Annotated[StrictStr | None, Field(min_length=1, repr=False)] = None
    culture_benefit: StrictBool | None = None

    @model_validator(mode="after")
    def _names_a_purchaser_whole(self) -> Self:
        if (self.purchaser_name is None) != (self.purchaser_birthday is None):
            message = "give purchaser_name and purchaser_birthday, or neither"
            raise ValueError(message)
        return self


class _Confirm(Command):
    """The buyer's browser came back; what it says is looked up before anything changes."""

    imp_uid: ImpUid
    merchant_uid: MerchantUid


class ConfirmBillingKey(_Confirm):
    """Look whether a registration or a change has been done."""

    task: ClassVar[str] = "billing_key.confirm"


class ConfirmPayment(_Confirm):
    """Look whether a payment in a window has been made."""

    task: ClassVar[str] = "payment.confirm"


class DeleteBillingKey(Command):
    """Take a payment method away, at PortOne and at Naver."""

    task: ClassVar[str] = "billing_key.delete"

    customer_uid: CustomerUid
    reason: Reason
    requester: Requester


class CancelSubscription(Command):
    """End a subscription."""

    task: ClassVar[str] = "subscription.cancel"

    subscription_id: UUID
    when: CancelWhen
    reason: Reason
    requester: Requester
    refund: RefundChoice = RefundChoice.NONE
    late_payment: RefundChoice | None = None


class RefundPayment(Command):
    """Give money back: a part, or all that is left if that is said in so many words.

    The payment is named by exactly one of ``imp_uid`` and ``invoice_id``.
    """

    task: ClassVar[str] = "payment.refund"

    imp_uid: ImpUid | None = None
    invoice_id: Id | None = None
    amount: Annotated[StrictInt, Field(ge=1, le=WON_MAX)] | Literal["all"]
    tax_free: Won | None = None
    reason: Reason
    requester: Requester

    @model_validator(mode="after")
    def _names_one_payment(self) -> Self:
        if (self.imp_uid is None) == (self.invoice_id is None):
            message = "name the payment by imp_uid or by invoice_id, and by one of them only"
            raise ValueError(message)
        if self.amount == "all" and self.tax_free is not None:
            message = "whoever refunds all refunds all that is tax-free: leave tax_free out"
            raise ValueError(message)
        return self


class ReceiveWebhook(Job):
    """PortOne says that a payment changed; it is unsigned, so it only makes us look."""

    task: ClassVar[str] = "webhook.receive"
    queue: ClassVar[str] = WEBHOOK_QUEUE

    imp_uid: ImpUid
    merchant_uid: MerchantUid | None = None
    status: Annotated[StrictStr, Field(max_length=32)] = ""
    cancellation_id: Annotated[StrictStr, Field(max_length=64)] = ""


COMMANDS: tuple[type[Command], ...] = (
    RegisterBillingKey,
    ChangeBillingKey,
    ConfirmBillingKey,
    DeleteBillingKey,
    RequestPayment,
    ConfirmPayment,
    CancelSubscription,
    RefundPayment,
    *LIFE_COMMANDS,
)
