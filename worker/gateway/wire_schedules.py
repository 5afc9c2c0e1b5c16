"""PortOne's replies about reservations, in whichever of their shapes they come."""

from typing import Annotated, Any, TypeAlias

from pydantic import Field, StrictInt, StrictStr, model_validator

from shared.billing.inquiry import Expectation, RecordStatus
from shared.billing.reservation import ScheduledPayment, ScheduleStatus
from worker.gateway.wire import (
    INSTANT_MAX_S,
    KRW,
    ForeignCurrency,
    ForeignMoney,
    PageNumber,
    Text,
    UnixSeconds,
    WireModel,
    Won,
    instant,
    instant_of,
)

_SCHEDULE_STATUSES = frozenset(ScheduleStatus)
_PAYMENT_STATUSES = frozenset(RecordStatus)


class Schedule(WireModel):
    """A reservation as PortOne tells it; both statuses stay text, new values may appear."""

    merchant_uid: StrictStr
    customer_uid: Annotated[StrictStr, Field(repr=False)]
    amount: Won
    schedule_at: Annotated[StrictInt, Field(gt=0, le=INSTANT_MAX_S)]
    schedule_status: StrictStr
    payment_status: StrictStr | None = None
    imp_uid: StrictStr | None = None
    currency: Text = None
    executed_at: UnixSeconds = 0
    revoked_at: UnixSeconds = 0
    fail_reason: Text = None

    @property
    def is_won(self) -> bool:
        """Whether the amount is won."""
        return self.currency in {None, KRW}

    def difference_from(self, expected: Expectation, schedule_at_s: int) -> str | None:
        """Return in words how this is not the reservation expected, to be executed, or None."""
        if self.merchant_uid != expected.merchant_uid:
            return f"the reply is of another merchant_uid, {self.merchant_uid}"
        if self.amount != expected.amount or not self.is_won:
            return (
                f"the reply is of {self.amount} {self.currency or KRW},"
                f" {expected.amount} won were sent"
            )
        if self.customer_uid != expected.customer_uid:
            return "the reply is of another buyer"
        if self.schedule_at != schedule_at_s:
            return f"the reply is of the instant {self.schedule_at}, {schedule_at_s} was sent"
        if self.schedule_status != ScheduleStatus.SCHEDULED:
            return f"schedule_status {self.schedule_status}"
        return None

    def record(self) -> ScheduledPayment:
        """Return the reservation for those who asked.

        What we cannot read of its statuses settles nothing: such a reservation may move money yet,
        and such a payment is ``ready``.
        """
        is_known = self.schedule_status in _SCHEDULE_STATUSES
        return ScheduledPayment(
            merchant_uid=self.merchant_uid,
            customer_uid=self.customer_uid,
            amount=self.amount,
            schedule_at=instant_of(self.schedule_at),
            status=ScheduleStatus(self.schedule_status if is_known else "scheduled"),
            payment_status=self._payment_status(),
            imp_uid=self.imp_uid or None,
            executed_at=instant(self.executed_at),
            revoked_at=instant(self.revoked_at),
            fail_reason=self.fail_reason,
        )

    def _payment_status(self) -> RecordStatus | None:
        if self.payment_status is None:
            return None
        is_known = self.is_won and self.payment_status in _PAYMENT_STATUSES
        return RecordStatus(self.payment_status) if is_known else RecordStatus.READY


class ForeignSchedule(Schedule):
    """A reservation in money that has fractions; it is among others' and no business of ours."""

    amount: ForeignMoney
    currency: ForeignCurrency


ListedSchedule: TypeAlias = Annotated[Schedule | ForeignSchedule, Field(union_mode="left_to_right")]


class SchedulePage(WireModel):
    """Reservations: an array by the specification, an object with a list by PortOne's own client.

    ``next`` is 0 on the last page, and None in an array, which does not say whether it is.
    """

    total: StrictInt | None = None
    next: PageNumber | None = None
    schedules: Annotated[tuple[ListedSchedule, ...], Field(alias="list")]

    @model_validator(mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        """Return whatever was sent as an object with a list."""
        if isinstance(value, list):
            return {"list": value}
        if isinstance(value, dict) and "list" not in value:
            return {"list": [value]}
        return value
