"""Every operation of PortOne's that the client knows, with an example call of it.

The calls are a course of life at one gateway: made in this order, over the sandbox, each of them
ends as it should, and what one brings about the next finds. Nothing here looks at a request or a
reply; whoever checks them records them on the way.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from shared.billing.inquiry import Expectation, RecordStatus
from shared.billing.money import Price
from shared.billing.outcome import Paid
from shared.billing.refund import RefundClaim, Refunded, RefundOrder, Requester
from shared.billing.reservation import Reserved, ScheduledPayment, ScheduleStatus
from shared.clock import WallClock, boot_clock_s
from worker.gateway.client import PortOne
from worker.gateway.fence import Fence
from worker.gateway.requests import ChargeRequest, ScheduleRequest

CUSTOMER_UID: Final = "contract-customer-1"
CHARGED: Final = "contractp1n1"
RESERVED: Final = "contractp2n1"
PREPARED: Final = "contractw1"
AMOUNT: Final = 9_900
REASON: Final = "단순 변심"
_AHEAD: Final = timedelta(days=3)


def _this_second() -> datetime:
    return WallClock().now().replace(microsecond=0)


@dataclass
class World:
    """What the calls have brought about, and when they began."""

    now: datetime = field(default_factory=_this_second)
    imp_uid: str = ""

    @property
    def charge(self) -> ChargeRequest:
        """A charge that says all that a charge can say."""
        return ChargeRequest(
            merchant_uid=CHARGED,
            customer_uid=CUSTOMER_UID,
            price=Price(AMOUNT, tax_free=900),
            order_name="정기구독",
            buyer_name="홍길동",
            buyer_email="buyer@example.com",
            buyer_tel="010-1234-5678",
            naver_use_cfm=(self.now + 2 * _AHEAD).date(),
        )

    @property
    def reservation(self) -> ScheduleRequest:
        """The same charge, made by the gateway in three days."""
        charge = self.charge
        later = {name: getattr(charge, name) for name in charge.__dataclass_fields__}
        later["merchant_uid"] = RESERVED
        return ScheduleRequest(ChargeRequest(**later), self.now + _AHEAD)

    @property
    def refund(self) -> RefundClaim:
        """A part of what was charged, back to the buyer."""
        return RefundClaim(
            refund_id=1,
            payment_id=1,
            subscription_id=None,
            imp_uid=self.imp_uid,
            merchant_uid=CHARGED,
            paid_amount=AMOUNT,
            order=RefundOrder(Price(1_000, tax_free=100), REASON, Requester.CUSTOMER),
            checksum=AMOUNT,
            send_number=1,
            claimed_at=self.now,
        )

    @property
    def expected(self) -> Expectation:
        """What the payment of the reservation must say."""
        return self.reservation.charge.expectation

    @property
    def week(self) -> tuple[datetime, datetime]:
        """A week with everything in it."""
        return self.now - _AHEAD, self.now + 2 * _AHEAD


@dataclass(frozen=True)
class ExampleCall:
    """One call of the client.

    Attributes:
        operation: HTTP method and path as the specification writes them.
        method: Which of the client's methods makes it.
        make: Makes it.
        is_right: Says whether it ended as it should at a gateway that holds ``CUSTOMER_UID``.
    """

    operation: str
    method: str
    make: Callable[[PortOne, World], Awaitable[Any]]
    is_right: Callable[[Any], bool]

    @property
    def name(self) -> str:
        """Tell it from every other."""
        return f"{self.method} {self.operation}"


def _fence() -> Fence:
    return Fence(boot_clock_s(), 30.0)


async def _charge(client: PortOne, world: World) -> object:
    outcome = await client.charge(world.charge, _fence())
    if isinstance(outcome, Paid):
        world.imp_uid = outcome.imp_uid
    return outcome


async def _listed(found: Any) -> list[Any]:
    return [each async for each in found]


def _is_reserved(outcome: object) -> bool:
    return isinstance(outcome, Reserved)


def _is_scheduled(found: object) -> bool:
    return isinstance(found, ScheduledPayment) and found.status is ScheduleStatus.SCHEDULED


def _are_scheduled(found: list[ScheduledPayment]) -> bool:
    return [each.merchant_uid for each in found] == [RESERVED]


def _holds_charge(found: Any) -> bool:
    return CHARGED in [each.merchant_uid for each in found]


def _is_charge(found: Any) -> bool:
    return found is not None and found.merchant_uid == CHARGED


def _is_done(refusal: object) -> bool:
    return refusal is None


_SCHEDULE: Final = "/subscribe/payments/schedule"

# The first call of any client fetches its token.
TOKEN: Final = "POST /users/getToken"

CALLS: Final = (
    ExampleCall("GET /users/pg", "channels", lambda client, _: client.channels(), bool),
    ExampleCall(
        "GET /subscribe/customers/{customer_uid}",
        "customer",
        lambda client, _: client.customer(CUSTOMER_UID),
        lambda found: found.customer_uid == CUSTOMER_UID,
    ),
    ExampleCall(
        "GET /subscribe/customers",
        "customers",
        lambda client, _: client.customers([CUSTOMER_UID, "contract-nobody"]),
        lambda found: [each.customer_uid for each in found] == [CUSTOMER_UID],
    ),
    ExampleCall(
        "POST /payments/prepare",
        "prepare",
        lambda client, _: client.prepare(PREPARED, AMOUNT),
        _is_done,
    ),
    # Bound already: so the binding is read.
    ExampleCall(
        "GET /payments/prepare/{merchant_uid}",
        "prepare",
        lambda client, _: client.prepare(PREPARED, AMOUNT),
        _is_done,
    ),
    ExampleCall(
        "PUT /payments/prepare",
        "rebind",
        lambda client, _: client.rebind(PREPARED, AMOUNT + 100),
        lambda was_bound: was_bound is True,
    ),
    ExampleCall(
        "POST /subscribe/payments/again",
        "charge",
        _charge,
        lambda outcome: isinstance(outcome, Paid),
    ),
    ExampleCall(
        "GET /payments/{imp_uid}",
        "payment",
        lambda client, world: client.payment(world.imp_uid),
        _is_charge,
    ),
    ExampleCall(
        "GET /payments",
        "payments",
        lambda client, world: client.payments(imp_uids=[world.imp_uid], merchant_uids=[CHARGED]),
        _holds_charge,
    ),
    ExampleCall(
        "GET /payments/find/{merchant_uid}/{payment_status}",
        "find",
        lambda client, _: client.find(CHARGED, RecordStatus.PAID),
        _is_charge,
    ),
    ExampleCall(
        "GET /payments/findAll/{merchant_uid}/{payment_status}",
        "payments_of",
        lambda client, _: client.payments_of(CHARGED),
        _holds_charge,
    ),
    ExampleCall(
        "GET /payments/status/{payment_status}",
        "payments_in",
        lambda client, world: _listed(client.payments_in(*world.week)),
        _holds_charge,
    ),
    ExampleCall(
        "GET /subscribe/customers/{customer_uid}/payments",
        "customer_payments",
        lambda client, _: client.customer_payments(CUSTOMER_UID),
        _holds_charge,
    ),
    ExampleCall(
        "POST /payments/{imp_uid}/naver/point",
        "point",
        lambda client, world: client.point(world.imp_uid),
        _is_done,
    ),
    ExampleCall(
        "POST /payments/{imp_uid}/naver/confirm",
        "confirm",
        lambda client, world: client.confirm(world.imp_uid, Requester.ADMIN),
        _is_done,
    ),
    ExampleCall(
        "GET /payments/{imp_uid}/naver/cash-amount",
        "cash_amount",
        lambda client, world: client.cash_amount(world.imp_uid),
        lambda amount: amount is not None,
    ),
    ExampleCall(
        "POST /payments/cancel",
        "refund",
        lambda client, world: client.refund(world.refund, _fence()),
        lambda outcome: isinstance(outcome, Refunded),
    ),
    ExampleCall(
        f"POST {_SCHEDULE}",
        "schedule",
        lambda client, world: client.schedule(world.reservation, _fence()),
        _is_reserved,
    ),
    ExampleCall(
        f"GET {_SCHEDULE}/{{merchant_uid}}",
        "scheduled",
        lambda client, _: client.scheduled(RESERVED),
        _is_scheduled,
    ),
    ExampleCall(
        f"GET {_SCHEDULE}",
        "schedules_in",
        lambda client, world: _listed(
            client.schedules_in(*world.week, status=ScheduleStatus.SCHEDULED)
        ),
        _are_scheduled,
    ),
    ExampleCall(
        "GET /subscribe/customers/{customer_uid}/schedules",
        "schedules_of",
        lambda client, world: client.schedules_of(
            CUSTOMER_UID, *world.week, status=ScheduleStatus.SCHEDULED
        ),
        _are_scheduled,
    ),
    ExampleCall(
        f"PUT {_SCHEDULE}/{{merchant_uid}}",
        "move",
        lambda client, world: client.move(RESERVED, world.now + _AHEAD + timedelta(hours=1)),
        _is_scheduled,
    ),
    ExampleCall(
        "POST /subscribe/payments/unschedule",
        "unschedule",
        lambda client, _: client.unschedule(CUSTOMER_UID, [RESERVED]),
        _is_done,
    ),
    ExampleCall(
        f"POST {_SCHEDULE}/{{merchant_uid}}/reschedule",
        "reschedule",
        lambda client, world: client.reschedule(world.expected, world.now + _AHEAD, _fence()),
        _is_reserved,
    ),
    ExampleCall(
        "POST /subscribe/payments/unschedule",
        "unschedule",
        lambda client, _: client.unschedule(CUSTOMER_UID),
        _is_done,
    ),
    ExampleCall(
        f"POST {_SCHEDULE}/{{merchant_uid}}/retry",
        "retry",
        lambda client, world: client.retry(world.expected, _fence()),
        lambda outcome: isinstance(outcome, Paid),
    ),
    ExampleCall(
        "DELETE /subscribe/customers/{customer_uid}",
        "delete_customer",
        lambda client, _: client.delete_customer(
            CUSTOMER_UID, reason=REASON, requester=Requester.CUSTOMER
        ),
        _is_done,
    ),
)
