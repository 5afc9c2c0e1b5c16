"""The client against the sandbox, which was written from PortOne's documents and not from it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr

from shared.billing.attempt import Claim
from shared.billing.calendar import Period
from shared.billing.inquiry import (
    Conflict,
    Expectation,
    Finding,
    NoRecord,
    RecordStatus,
    StillUnresolved,
    judge,
)
from shared.billing.lifecycle import SubscriptionStatus
from shared.billing.money import Price
from shared.billing.outcome import (
    Declined,
    Duplicate,
    FaultScope,
    MethodDead,
    Misconfigured,
    Outcome,
    Paid,
    Throttled,
    Unknown,
)
from shared.billing.subscription import Buyer
from shared.clock import boot_clock_s
from tests.integration.gateway.clients import charge, client_of, open_fence
from tests.support.sandbox import IMP_KEY, IMP_SECRET, SandboxControl
from worker.gateway.adapter import PortOneGateway
from worker.gateway.client import PortOne
from worker.gateway.errors import GatewayMisconfigured

pytestmark = pytest.mark.anyio

KEY = "customer-1"
EXPECTED = Expectation("sub1p1n1", 9_900, KEY)


@asynccontextmanager
async def client_for(sandbox: SandboxControl, **changes: Any) -> AsyncIterator[PortOne]:
    credentials = {"imp_key": SecretStr(IMP_KEY), "imp_secret": SecretStr(IMP_SECRET)}
    async with client_of(sandbox.url, **{**credentials, **changes}) as client:
        yield client


def booked(sandbox: SandboxControl) -> list[str]:
    return [record["status"] for record in sandbox.book()]


@pytest.mark.parametrize(
    ("ending", "expected", "finding", "book"),
    [
        ("paid", Paid, Paid, ["paid"]),
        ("declined", Declined, Declined, ["failed"]),
        ("limit_exceeded", Declined, Declined, ["failed"]),
        ("ready", Unknown, StillUnresolved, ["ready"]),
        ("wrong_amount", Unknown, Paid, ["paid"]),
        ("wrong_customer", Unknown, Paid, ["paid"]),
        ("key_ended", MethodDead, NoRecord, []),
        ("refused", Unknown, NoRecord, []),
        ("lost_request", Unknown, NoRecord, []),
        ("reset", Unknown, NoRecord, []),
        ("lost_reply", Unknown, Paid, ["paid"]),
        ("truncated", Unknown, Paid, ["paid"]),
        ("garbage", Unknown, Paid, ["paid"]),
        ("error_500", Unknown, NoRecord, []),
        ("error_500_paid", Unknown, Paid, ["paid"]),
        ("bad_gateway", Unknown, NoRecord, []),
        ("bad_gateway_paid", Unknown, Paid, ["paid"]),
        ("throttled", Throttled, NoRecord, []),
        ("maintenance", Throttled, NoRecord, []),
        ("bad_request", Misconfigured, NoRecord, []),
    ],
)
async def test_each_ending_is_told_and_can_be_looked_up(
    sandbox: SandboxControl,
    ending: str,
    expected: type[Outcome],
    finding: type[Finding],
    book: list[str],
) -> None:
    sandbox.register([KEY])
    sandbox.behave(KEY, [ending])
    async with client_for(sandbox) as client:
        outcome = await client.charge(charge(), open_fence())
        found = judge(EXPECTED, await client.payments_of("sub1p1n1"))

    assert type(outcome) is expected
    assert type(found) is finding
    assert booked(sandbox) == book
    assert len(sandbox.requests("sub1p1n1")["requests"]) == 1


async def test_a_charge_that_hangs_is_unknown_when_the_time_is_up(sandbox: SandboxControl) -> None:
    sandbox.register([KEY])
    sandbox.behave(KEY, ["hang"])
    async with client_for(sandbox, read_timeout_s=0.3) as client:
        assert isinstance(await client.charge(charge(), open_fence()), Unknown)


async def test_an_unauthorized_charge_is_repeated_once_with_a_new_token(
    sandbox: SandboxControl,
) -> None:
    sandbox.register([KEY])
    sandbox.behave(KEY, ["unauthorized"])
    async with client_for(sandbox) as client:
        assert isinstance(await client.charge(charge(), open_fence()), Paid)
        sandbox.behave(KEY, ["unauthorized", "unauthorized"])
        twice = await client.charge(charge(merchant_uid="sub1p1n2"), open_fence())

    assert twice == Misconfigured("Unauthorized", FaultScope.GATEWAY)
    assert booked(sandbox) == ["paid"]


async def test_a_used_merchant_uid_is_a_duplicate(sandbox: SandboxControl) -> None:
    sandbox.register([KEY])
    async with client_for(sandbox) as client:
        first = await client.charge(charge(), open_fence())
        second = await client.charge(charge(), open_fence())

    assert isinstance(first, Paid)
    assert isinstance(second, Duplicate)
    assert booked(sandbox) == ["paid"]


async def test_a_fail_reason_comes_through_byte_for_byte(sandbox: SandboxControl) -> None:
    sandbox.register([KEY])
    sandbox.behave(KEY, [{"ending": "declined", "fail_reason": " 잔액 부족\t[E01] "}])
    async with client_for(sandbox) as client:
        outcome = await client.charge(charge(), open_fence())
        record = await client.find("sub1p1n1", RecordStatus.FAILED)

    assert isinstance(outcome, Declined)
    assert outcome.fail_reason == " 잔액 부족\t[E01] "
    assert record is not None
    assert record.fail_reason == outcome.fail_reason


async def test_amounts_written_with_a_point_are_read(sandbox: SandboxControl) -> None:
    sandbox.register([KEY])
    sandbox.faults(float_amounts=True)
    async with client_for(sandbox) as client:
        assert isinstance(await client.charge(charge(), open_fence()), Paid)
        assert isinstance(judge(EXPECTED, await client.payments_of("sub1p1n1")), Paid)


async def test_a_payment_of_a_test_channel_is_seen_in_test_mode_only(
    sandbox: SandboxControl,
) -> None:
    sandbox.faults(test_channel=True)
    sandbox.register([KEY])
    async with client_for(sandbox) as client, client_for(sandbox, test_mode=True) as tester:
        outcome = await client.charge(charge(), open_fence())

        assert isinstance(outcome, Paid)
        assert await client.payment(outcome.imp_uid) is None
        seen = await tester.payment(outcome.imp_uid)
    assert seen is not None
    assert seen.merchant_uid == "sub1p1n1"


@pytest.mark.parametrize("status", [200, 404])
async def test_a_billing_key_is_there_or_not(sandbox: SandboxControl, status: int) -> None:
    sandbox.register([KEY])
    sandbox.faults(unknown_customer_status=status)
    async with client_for(sandbox) as client:
        known = await client.customer(KEY)

        assert known is not None
        assert known.customer_uid == KEY
        assert known.inserted_at is not None
        assert await client.customer("nobody") is None


async def test_wrong_credentials_are_our_fault(sandbox: SandboxControl) -> None:
    sandbox.register([KEY])
    async with client_for(sandbox, imp_secret=SecretStr("wrong")) as client:
        outcome = await client.charge(charge(), open_fence())
        with pytest.raises(GatewayMisconfigured):
            await client.payments_of("sub1p1n1")

    assert isinstance(outcome, Misconfigured)
    assert outcome.scope is FaultScope.GATEWAY
    assert booked(sandbox) == []


async def test_a_token_that_ends_under_way_harms_no_charge(sandbox: SandboxControl) -> None:
    sandbox.register([f"customer-{number}" for number in range(200)])
    sandbox.faults(latency_ms=20, latency_jitter=0.5)
    async with client_for(sandbox) as client:
        before = await asyncio.gather(*(client.charge(charge(n), open_fence()) for n in range(100)))
        sandbox._ask("DELETE", "/_sandbox/token")
        after = await asyncio.gather(
            *(client.charge(charge(n), open_fence()) for n in range(100, 200))
        )

    assert all(isinstance(outcome, Paid) for outcome in before + after)
    assert booked(sandbox) == ["paid"] * 200
    assert sandbox.requests()["get_token"] == 2


async def test_lookups_that_fail_now_and_then_are_answered_all_the_same(
    sandbox: SandboxControl,
) -> None:
    sandbox.register([KEY])
    async with client_for(sandbox) as client:
        await client.charge(charge(), open_fence())
        sandbox.faults(seed=1, inquiry_rates={"error_500": 0.2, "lost_reply": 0.2})
        records = await asyncio.gather(*(client.payments_of("sub1p1n1") for _ in range(3)))

    assert all(isinstance(judge(EXPECTED, found), Paid) for found in records)


async def test_a_storm_of_faults_books_no_charge_twice(sandbox: SandboxControl) -> None:
    count = 300
    sandbox.register([f"customer-{number}" for number in range(count)])
    sandbox.faults(
        seed=7,
        duplicate_policy="none",
        close_after_reply_rate=0.3,
        rates=dict.fromkeys(
            ("lost_request", "reset", "lost_reply", "truncated", "error_500_paid"), 0.08
        ),
    )
    async with client_for(sandbox) as client:
        outcomes = await asyncio.gather(
            *(client.charge(charge(number), open_fence()) for number in range(count))
        )

    # Nothing on the gateway's side keeps a charge from being booked twice here.
    uids = [record["merchant_uid"] for record in sandbox.paid()]
    assert len(uids) == len(set(uids))
    for number, outcome in enumerate(outcomes):
        if isinstance(outcome, Paid):
            assert f"sub1p1n{number}" in uids
        elif not isinstance(outcome, Unknown):
            assert f"sub1p1n{number}" not in uids


async def test_the_services_port_charges_a_claim_and_reads_its_records(
    sandbox: SandboxControl,
) -> None:
    now = datetime(2026, 8, 15, tzinfo=UTC)
    claim = Claim(
        attempt_id=1,
        invoice_id=1,
        subscription_id=UUID(int=1),
        billing_key_id=1,
        period=Period(0, now, now + timedelta(days=30)),
        number=1,
        send_number=1,
        merchant_uid="sub1p1n1",
        customer_uid=KEY,
        price=Price(9_900),
        order_name="정기구독",
        buyer=Buyer("홍길동", None, None),
        declines=0,
        claimed_at=now,
        subscription_status=SubscriptionStatus.ACTIVE,
    )
    sandbox.register([KEY])
    async with client_for(sandbox) as client:
        gateway = PortOneGateway(client, send_window_s=30.0)
        outcome = await gateway.charge(claim, use_confirmation_on=None, claimed_at_s=boot_clock_s())
        records = await gateway.records_of("sub1p1n1")

    assert isinstance(outcome, Paid)
    assert not isinstance(records, StillUnresolved)
    assert isinstance(judge(claim.expectation, records), Paid)


async def test_the_services_port_says_why_nobody_can_say() -> None:
    async with client_of("http://127.0.0.1:9", total_timeout_s=0.2) as client:
        answer = await PortOneGateway(client, send_window_s=30.0).records_of("sub1p1n1")

    assert isinstance(answer, StillUnresolved)
    assert not isinstance(answer, Conflict)
