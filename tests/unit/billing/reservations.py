"""Reservations for tests, and everything that PortOne may answer about one."""

from datetime import datetime, timedelta
from typing import Final

from shared.billing.inquiry import RecordStatus, StillUnresolved
from shared.billing.merchant_uid import merchant_uid
from shared.billing.money import Price
from shared.billing.outcome import FaultScope, Misconfigured, NotSent, Throttled, Unknown
from shared.billing.reservation import (
    Reserved,
    ScheduledPayment,
    ScheduleOutcome,
    ScheduleRefused,
    ScheduleStatus,
)
from shared.billing.reserving import Held, Reservation, ReservationStatus, ReservePolicy
from tests.unit.billing import made

POLICY: Final = ReservePolicy()
# Three days before its period begins.
SCHEDULE_AT: Final = made.NOW + timedelta(days=3)
PRICE: Final = Price(13_900, 900)
REFUSAL: Final = "등록된 고객정보가 없습니다"
DECLINE: Final = "한도초과"


def reservation(
    status: ReservationStatus = ReservationStatus.CLAIMED,
    *,
    claimed_at: datetime | None = made.CLAIMED_AT,
    send_number: int = 1,
    looks: int = 0,
    no_records: int = 0,
    schedule_at: datetime = SCHEDULE_AT,
) -> Reservation:
    """Return a reservation that stands so."""
    return Reservation(
        id=901,
        subscription_id=made.SUBSCRIPTION_ID,
        billing_key_id=31,
        period=made.PERIOD,
        merchant_uid=merchant_uid(made.SUBSCRIPTION_ID, made.PERIOD.index, 1),
        customer_uid=made.CUSTOMER_UID,
        price=PRICE,
        order_name="달마다 한 달",
        buyer=made.BUYER,
        schedule_at=schedule_at,
        status=status,
        send_number=send_number,
        claimed_at=claimed_at,
        looks=looks,
        no_records=no_records,
    )


def held(
    of: Reservation,
    status: ScheduleStatus = ScheduleStatus.SCHEDULED,
    *,
    paid: RecordStatus | None = None,
    amount: int | None = None,
    schedule_at: datetime | None = None,
    revoked_at: datetime | None = None,
) -> ScheduledPayment:
    """Return what PortOne holds of a reservation."""
    return ScheduledPayment(
        merchant_uid=of.merchant_uid,
        customer_uid=of.customer_uid,
        amount=of.price.amount if amount is None else amount,
        schedule_at=schedule_at or of.schedule_at,
        status=status,
        payment_status=paid,
        fail_reason=DECLINE if paid is RecordStatus.FAILED else None,
        revoked_at=revoked_at,
    )


def held_of(of: Reservation) -> tuple[Held, ...]:
    """Return every kind of word on a reservation that is looked at."""
    executed = ScheduleStatus.EXECUTED
    return (
        StillUnresolved("no answer"),
        None,
        held(of),
        held(of, amount=of.price.amount + 1),
        held(of, schedule_at=of.schedule_at + timedelta(hours=1)),
        held(of, ScheduleStatus.REVOKED),
        *(held(of, executed, paid=paid) for paid in (None, *RecordStatus)),
    )


def outcomes_of(of: Reservation) -> tuple[ScheduleOutcome, ...]:
    """Return every kind of ending of a request for a reservation."""
    return (
        Reserved(held(of)),
        Reserved(held(of, amount=of.price.amount + 1)),
        ScheduleRefused(REFUSAL, unknown_customer=True),
        ScheduleRefused("이미 결제된 merchant_uid입니다.", is_taken=True),
        NotSent("no byte left"),
        Throttled("slow down", None),
        Throttled("slow down", 30.0),
        Misconfigured("no such key", FaultScope.GATEWAY),
        Misconfigured("no such field", FaultScope.REQUEST),
        Unknown("no answer"),
    )
