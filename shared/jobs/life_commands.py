"""What merchants may tell us of the life of a subscription, from its start to its end."""

from typing import Annotated, ClassVar, Self
from uuid import UUID

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    model_validator,
)

from shared.billing.calendar import INTERVAL_COUNT_MAX, IntervalUnit
from shared.billing.cancellation import CancelWhen
from shared.billing.consent import ConsentKind
from shared.billing.lines import DESCRIPTION_LENGTH_MAX, PERCENT_MAX
from shared.billing.pause import PauseKeeps
from shared.billing.refund import Requester
from shared.billing.reserving import CollectBy
from shared.billing.subscription import (
    BUYER_EMAIL_LENGTH_MAX,
    BUYER_NAME_LENGTH_MAX,
    BUYER_REF_LENGTH_MAX,
    BUYER_TEL_LENGTH_MAX,
    PRODUCT_LENGTH_MAX,
    QUANTITY_MAX,
)
from shared.jobs.command import Command, CustomerUid, OrderName, Reason, Won
from shared.jobs.contracts import Id

EVIDENCE_LENGTH_MAX = 2_000
PERIODS_MAX = 1_200

Product = Annotated[StrictStr, Field(min_length=1, max_length=PRODUCT_LENGTH_MAX)]
Quantity = Annotated[StrictInt, Field(ge=1, le=QUANTITY_MAX)]
Description = Annotated[StrictStr, Field(min_length=1, max_length=DESCRIPTION_LENGTH_MAX)]


class Consent(BaseModel):
    """How the buyer agreed: when, what was shown, and what proves it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    given_at: AwareDatetime
    shown: Annotated[StrictStr, Field(min_length=1, max_length=200)]
    evidence: Annotated[StrictStr, Field(min_length=1, max_length=EVIDENCE_LENGTH_MAX, repr=False)]
    # By what it will be paid for, as the buyer was told.
    payment_method: Annotated[StrictStr | None, Field(min_length=1, max_length=100, repr=False)] = (
        None
    )


class StartSubscription(Command):
    """Begin to bill a buyer, after a free trial if one is given.

    ``trial_days`` counts from the command; ``trial_end_at`` names the instant. Without either the
    first period begins at ``anchor_at``, or at once.
    """

    task: ClassVar[str] = "subscription.start"

    subscription_id: UUID | None = None
    customer_uid: CustomerUid
    amount: Won
    tax_free: Won = 0
    quantity: Quantity = 1
    order_name: OrderName
    product: Product | None = None
    buyer_ref: Annotated[
        StrictStr | None, Field(min_length=1, max_length=BUYER_REF_LENGTH_MAX, repr=False)
    ] = None
    interval: IntervalUnit = IntervalUnit.MONTH
    interval_count: Annotated[StrictInt, Field(ge=1, le=INTERVAL_COUNT_MAX)] = 1
    anchor_at: AwareDatetime | None = None
    time_zone: Annotated[StrictStr, Field(max_length=64)] = "Asia/Seoul"
    trial_days: Annotated[StrictInt | None, Field(ge=1, le=730)] = None
    trial_end_at: AwareDatetime | None = None
    # Won of a one-off charge with the first period: a paid setup.
    setup_amount: Won = 0
    setup_tax_free: Won = 0
    setup_description: Description | None = None
    consent: Consent | None = None
    buyer_name: Annotated[StrictStr | None, Field(max_length=BUYER_NAME_LENGTH_MAX, repr=False)] = (
        None
    )
    buyer_email: Annotated[
        StrictStr | None, Field(max_length=BUYER_EMAIL_LENGTH_MAX, repr=False)
    ] = None
    buyer_tel: Annotated[StrictStr | None, Field(max_length=BUYER_TEL_LENGTH_MAX, repr=False)] = (
        None
    )

    @model_validator(mode="after")
    def _says_the_trial_once(self) -> Self:
        if self.trial_days is not None and self.trial_end_at is not None:
            message = "give trial_days or trial_end_at, and one of them only"
            raise ValueError(message)
        if self.setup_amount and self.setup_description is None:
            message = "name what setup_amount is for: setup_description"
            raise ValueError(message)
        return self


class PauseSubscription(Command):
    """Begin no period from now, or from the next renewal, on."""

    task: ClassVar[str] = "subscription.pause"

    subscription_id: UUID
    when: CancelWhen = CancelWhen.NOW
    resume_at: AwareDatetime | None = None
    keeps: PauseKeeps = PauseKeeps.CALENDAR
    reason: Reason
    requester: Requester


class ResumeSubscription(Command):
    """End a pause, or take back one that has not begun."""

    task: ClassVar[str] = "subscription.resume"

    subscription_id: UUID


class ChangeSubscription(Command):
    """Other terms, from now on or from the next renewal, or from a date on.

    A change at once is charged and credited by the day with the next invoice unless ``prorate`` is
    false; another interval begins at once, with an invoice of its own.
    """

    task: ClassVar[str] = "subscription.change"

    subscription_id: UUID
    amount: Won | None = None
    tax_free: Won | None = None
    quantity: Quantity | None = None
    order_name: OrderName | None = None
    interval: IntervalUnit | None = None
    interval_count: Annotated[StrictInt | None, Field(ge=1, le=INTERVAL_COUNT_MAX)] = None
    at_renewal: StrictBool = True
    effective_at: AwareDatetime | None = None
    prorate: StrictBool = True
    requester: Requester
    consent: Consent | None = None

    @model_validator(mode="after")
    def _says_one_time(self) -> Self:
        if not self.at_renewal and self.effective_at is not None:
            message = "effective_at names a renewal to come: leave at_renewal true"
            raise ValueError(message)
        if self.amount is None and self.tax_free is not None:
            message = "tax_free is a part of amount: give both"
            raise ValueError(message)
        return self


class WithdrawChange(Command):
    """Take back a change that has not come into effect."""

    task: ClassVar[str] = "subscription.withdraw_change"

    subscription_id: UUID
    change_id: Id


class ReactivateSubscription(Command):
    """Take back an end that has not come, or begin again after one that has."""

    task: ClassVar[str] = "subscription.reactivate"

    subscription_id: UUID
    consent: Consent | None = None


class AdjustSubscription(Command):
    """Give a credit, or a discount for some periods: by amount or by percent."""

    task: ClassVar[str] = "subscription.adjust"

    subscription_id: UUID
    description: Description
    credit: Annotated[Won | None, Field(ge=1)] = None
    discount: Annotated[Won | None, Field(ge=1)] = None
    percent: Annotated[StrictInt | None, Field(ge=1, le=PERCENT_MAX)] = None
    periods: Annotated[StrictInt | None, Field(ge=1, le=PERIODS_MAX)] = None

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        given = [name for name in ("credit", "discount", "percent") if getattr(self, name)]
        if len(given) != 1:
            message = "give one of credit, discount and percent"
            raise ValueError(message)
        if (given[0] == "credit") == (self.periods is not None):
            message = "periods says for how many a discount is given; a credit has none"
            raise ValueError(message)
        return self


class CollectSubscription(Command):
    """Have charges made by us when they are due, or by PortOne at an instant reserved ahead."""

    task: ClassVar[str] = "subscription.collect"

    subscription_id: UUID
    by: CollectBy


class SwitchDunning(Command):
    """Have declined invoices of a subscription tried again by themselves, or not."""

    task: ClassVar[str] = "subscription.dunning"

    subscription_id: UUID
    enabled: StrictBool


class RecordConsent(Command):
    """Keep what the buyer agreed to."""

    task: ClassVar[str] = "consent.record"

    subscription_id: UUID
    kind: ConsentKind
    amount_before: Won | None = None
    amount_after: Won
    effective_at: AwareDatetime | None = None
    consent: Consent


class ChangePrice(Command):
    """Another price for every living subscription of a product, from a date on."""

    task: ClassVar[str] = "price.change"

    product: Product
    amount: Won
    tax_free: Won = 0
    effective_at: AwareDatetime


class RetryInvoice(Command):
    """The buyer wants to pay at once; it uses up none of our own attempts."""

    task: ClassVar[str] = "invoice.retry"

    invoice_id: Id


LIFE_COMMANDS: tuple[type[Command], ...] = (
    StartSubscription,
    PauseSubscription,
    ResumeSubscription,
    ChangeSubscription,
    WithdrawChange,
    ReactivateSubscription,
    AdjustSubscription,
    CollectSubscription,
    SwitchDunning,
    RecordConsent,
    ChangePrice,
    RetryInvoice,
)
