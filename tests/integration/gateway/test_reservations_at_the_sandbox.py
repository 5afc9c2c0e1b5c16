"""Reservations and lists against the sandbox, which was written from PortOne's documents."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from shared.billing.calendar import Period
from shared.billing.inquiry import Expectation, PaymentRecord, RecordStatus, StillUnresolved
from shared.billing.money import Price
from shared.billing.outcome import (
    Declined,
    Duplicate,
    MethodDead,
    Misconfigured,
    NotSent,
    Outcome,
    Paid,
    Throttled,
    Unknown,
)
from shared.billing.reservation import (
    Reserved,
    ScheduledPayment,
    ScheduleOutcome,
    ScheduleRefused,
    ScheduleStatus,
)
from shared.billing.reserving import Reservation, ReservationStatus
from shared.billing.subscription import Buyer
from shared.clock import WallClock, boot_clock_s
from tests.integration.gateway.clients import charge, open_fence
from tests.integration.gateway.test_against_the_sandbox import client_for
from tests.support.sandbox import SandboxControl
from worker.gateway.adapter import PortOneGateway
from worker.gateway.client import PortOne
from worker.gateway.errors import GatewayRefused
from worker.gateway.requests import ScheduleRequest

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """The loop of production alone: how bytes leave is looked at elsewhere, on both."""
    return "asyncio", {"use_uvloop": True}


KEY = "customer-1"
DAY = timedelta(days=1)
EXPECTED = Expectation("sub1p1n1", 9_900, KEY)


def tomorrow() -> datetime:
    return WallClock().now().replace(microsecond=0) + DAY


async def reserve(client: PortOne, at: datetime, number: int = 1) -> ScheduleOutcome:
    request = charge(number, customer_uid=KEY)
    return await client.schedule(ScheduleRequest(request, at), open_fence())


async def executed(sandbox: SandboxControl, client: PortOne) -> ScheduledPayment:
    """Have the sandbox live on until it has charged what was reserved for tomorrow."""
    sandbox.set_clock(1.1 * DAY.total_seconds())
    async with asyncio.timeout(5):
        while True:
            held = await client.scheduled("sub1p1n1")
            assert held is not None
            if held.status is not ScheduleStatus.SCHEDULED:
                return held
            await asyncio.sleep(0.01)


async def test_a_reservation_is_held_moved_revoked_and_held_again(sandbox: SandboxControl) -> None:
    sandbox.register([KEY])
    at = tomorrow()
    async with client_for(sandbox) as client:
        held = await reserve(client, at)
        assert isinstance(held, Reserved)
        assert await client.scheduled("sub1p1n1") == held.payment
        moved = await client.move("sub1p1n1", at + DAY)
        assert moved is not None
        assert moved.schedule_at == at + DAY
        await client.unschedule(KEY, ["sub1p1n1"])
        revoked = await client.scheduled("sub1p1n1")
        assert revoked is not None
        assert revoked.status is ScheduleStatus.REVOKED
        assert revoked.revoked_at is not None
        with pytest.raises(GatewayRefused):
            await client.move("sub1p1n1", at)
        again = await client.reschedule(EXPECTED, at, open_fence())
        assert again == held
        await client.unschedule(KEY)
        # None is left, which is how it should be.
        await client.unschedule(KEY, ["sub1p1n1"])

    assert sandbox.book() == []


async def test_the_services_reserve_look_and_revoke(sandbox: SandboxControl) -> None:
    sandbox.register([KEY])
    at = tomorrow()
    wanted = Reservation(
        id=1,
        subscription_id=UUID(int=1),
        billing_key_id=1,
        period=Period(1, at, at + 30 * DAY),
        merchant_uid="sub1p1n1",
        customer_uid=KEY,
        price=Price(9_900),
        order_name="정기구독",
        buyer=Buyer(name="홍길동", tel="010-1234-5678"),
        schedule_at=at,
        status=ReservationStatus.CLAIMED,
    )
    async with client_for(sandbox) as client:
        gateway = PortOneGateway(client, send_window_s=30.0)
        held = await gateway.schedule(wanted, use_confirmation_on=None, claimed_at_s=boot_clock_s())
        assert isinstance(held, Reserved)
        assert wanted.stands_as(held.payment)
        assert await gateway.scheduled("sub1p1n1") == held.payment
        assert [each async for each in gateway.schedules_in(at, at + DAY)] == [held.payment]
        assert await gateway.revoke_schedules(KEY, ("sub1p1n1",)) is None
        revoked = await gateway.scheduled("sub1p1n1")
        late = await gateway.schedule(wanted, use_confirmation_on=None, claimed_at_s=-99.0)
        channels = await gateway.channels()

    assert isinstance(revoked, ScheduledPayment)
    assert revoked.status is ScheduleStatus.REVOKED
    assert isinstance(late, NotSent)
    assert not isinstance(channels, StillUnresolved)
    assert [channel.collects_by_naver_pay for channel in channels] == [True]


@pytest.mark.parametrize(
    ("ending", "status"), [("paid", RecordStatus.PAID), ("declined", RecordStatus.FAILED)]
)
async def test_what_was_reserved_is_charged_once_and_its_record_tells_how(
    sandbox: SandboxControl, ending: str, status: RecordStatus
) -> None:
    sandbox.register([KEY])
    sandbox.behave(KEY, [ending])
    async with client_for(sandbox) as client:
        assert isinstance(await reserve(client, tomorrow()), Reserved)
        done = await executed(sandbox, client)
        (record,) = await client.payments_of("sub1p1n1")

    assert (done.status, done.payment_status) == (ScheduleStatus.EXECUTED, status)
    assert (done.imp_uid, record.status, record.usage) == (
        record.imp_uid,
        status,
        "payment.scheduled",
    )
    assert done.fail_reason == record.fail_reason


async def test_a_second_reservation_under_one_name_is_unknown_and_can_be_looked_up(
    sandbox: SandboxControl,
) -> None:
    """What PortOne says to it is not published, so the sandbox's words prove nothing."""
    sandbox.register([KEY])
    at = tomorrow()
    async with client_for(sandbox) as client:
        first = await reserve(client, at)
        assert isinstance(await reserve(client, at + DAY), Unknown)
        assert isinstance(first, Reserved)
        assert await client.scheduled("sub1p1n1") == first.payment


async def test_a_reservation_on_a_key_that_is_not_there_is_refused(
    sandbox: SandboxControl,
) -> None:
    async with client_for(sandbox) as client:
        refused = await reserve(client, tomorrow())
        assert isinstance(refused, ScheduleRefused)
        assert refused.unknown_customer
        assert await client.scheduled("sub1p1n1") is None


async def test_a_reservation_whose_reply_is_lost_is_unknown_and_may_be_held(
    sandbox: SandboxControl,
) -> None:
    sandbox.register([KEY])
    sandbox.faults(command_rates={"lost_reply": 1.0})
    async with client_for(sandbox) as client:
        assert isinstance(await reserve(client, tomorrow()), Unknown)
        held = await client.scheduled("sub1p1n1")

    assert held is not None
    assert held.status is ScheduleStatus.SCHEDULED


@pytest.mark.parametrize(
    ("ending", "expected", "book"),
    [
        ("paid", Paid, ["paid"]),
        ("declined", Declined, ["failed"]),
        ("ready", Unknown, ["ready"]),
        ("wrong_amount", Unknown, ["paid"]),
        ("key_ended", Unknown, []),
        ("lost_request", Unknown, []),
        ("lost_reply", Unknown, ["paid"]),
        ("truncated", Unknown, ["paid"]),
        ("error_500", Unknown, []),
        ("bad_gateway_paid", Unknown, ["paid"]),
        ("throttled", Throttled, []),
        ("maintenance", Throttled, []),
        ("unauthorized", Paid, ["paid"]),
    ],
)
async def test_each_ending_of_a_retry_is_told(
    sandbox: SandboxControl, ending: str, expected: type[Outcome], book: list[str]
) -> None:
    sandbox.register([KEY])
    async with client_for(sandbox) as client:
        assert isinstance(await reserve(client, tomorrow()), Reserved)
        await client.unschedule(KEY)
        sandbox.behave(KEY, [ending])
        outcome = await client.retry(EXPECTED, open_fence())

    assert type(outcome) is expected
    assert [record["status"] for record in sandbox.book()] == book


async def test_what_waits_or_was_paid_is_not_retried(sandbox: SandboxControl) -> None:
    """Both are a 400, and so are looked up: nobody may take them for nothing."""
    sandbox.register([KEY])
    async with client_for(sandbox) as client:
        assert isinstance(await reserve(client, tomorrow()), Reserved)
        assert isinstance(await client.retry(EXPECTED, open_fence()), Unknown)
        await executed(sandbox, client)
        assert isinstance(await client.retry(EXPECTED, open_fence()), Unknown | Duplicate)

    assert [record["status"] for record in sandbox.book()] == ["paid"]


async def test_a_retry_of_nothing_is_no_decline(sandbox: SandboxControl) -> None:
    async with client_for(sandbox) as client:
        outcome = await client.retry(EXPECTED, open_fence())

    assert not isinstance(outcome, Paid | Declined | MethodDead | Misconfigured)


@pytest.mark.parametrize("in_object", [False, True], ids=["arrays", "objects"])
async def test_reservations_are_listed_by_span_and_by_key(
    sandbox: SandboxControl, in_object: bool
) -> None:
    sandbox.register([KEY])
    sandbox.faults(schedules_in_an_object=in_object)
    at = tomorrow()
    async with client_for(sandbox) as client:
        for number in range(45):
            assert isinstance(await reserve(client, at + number * 3 * DAY, number), Reserved)
        await client.unschedule(KEY, ["sub1p1n7"])
        span = (at, at + 44 * 3 * DAY)
        by_span = [each async for each in client.schedules_in(*span)]
        by_key = await client.schedules_of(KEY, *span)
        waiting = [each async for each in client.schedules_in(*span, ScheduleStatus.SCHEDULED)]

    # The last one begins at the end of the span, and is not of it.
    assert [each.merchant_uid for each in by_span] == [f"sub1p1n{number}" for number in range(44)]
    assert by_key == by_span
    assert [each for each in by_span if each not in waiting] == [by_span[7]]


NOON = datetime(2026, 3, 2, 3, tzinfo=UTC)


def at_noon(number: int, **changes: Any) -> dict[str, Any]:
    usual = {"merchant_uid": f"m{number}", "amount": 1_000, "at": NOON.timestamp() + number}
    return {**usual, **changes}


async def test_every_payment_of_a_span_is_listed_however_crowded_a_second_is(
    sandbox: SandboxControl,
) -> None:
    """Most of an hour's in one second of it, more than a page holds, and one on either side."""
    entered = [at_noon(number) for number in range(600)]
    entered += [at_noon(number, at=NOON.timestamp() + 77.5) for number in range(2_000, 3_100)]
    entered += [
        at_noon(9_998, at=NOON.timestamp() - 1),
        at_noon(9_999, at=NOON.timestamp() + 3_600),
    ]
    sandbox._ask("POST", "/_sandbox/payments", {"payments": entered})
    async with client_for(sandbox) as client:
        found = [each async for each in client.payments_in(NOON, NOON + timedelta(hours=1))]

    assert len(found) == 1_700
    assert {each.merchant_uid for each in found} == {each["merchant_uid"] for each in entered[:-2]}


async def test_payments_are_of_the_time_of_their_status(sandbox: SandboxControl) -> None:
    cancelled = at_noon(
        3,
        at=NOON.timestamp() - 86_400,
        status="cancelled",
        cancels=[{"amount": 400, "at": NOON.timestamp() + 3}],
    )
    entered = [at_noon(1), at_noon(2, status="failed", fail_reason="잔액 부족"), cancelled]
    sandbox._ask("POST", "/_sandbox/payments", {"payments": entered})
    hour = (NOON, NOON + timedelta(hours=1))
    async with client_for(sandbox) as client:
        by_status = {
            status: [each async for each in client.payments_in(*hour, status)]
            for status in (None, *RecordStatus)
        }
        before = [each async for each in client.payments_in(NOON - 2 * DAY, NOON)]

    counted = {status: len(found) for status, found in by_status.items()}
    assert counted == {None: 3, "ready": 0, "paid": 1, "cancelled": 1, "failed": 1}
    assert Counter(each.status for each in by_status[None]) == Counter(
        ["paid", "failed", "cancelled"]
    )
    assert before == []
    (partly,) = by_status[RecordStatus.CANCELLED]
    assert isinstance(partly, PaymentRecord)
    assert (partly.amount, partly.cancel_amount) == (1_000, 400)


async def test_a_span_without_payments_is_empty(sandbox: SandboxControl) -> None:
    async with client_for(sandbox) as client:
        assert [each async for each in client.payments_in(NOON, NOON + 200 * DAY)] == []
        listed: list[ScheduledPayment] = [
            each async for each in client.schedules_in(NOON, NOON + 200 * DAY)
        ]

    assert listed == []
