"""Refunds, deletions, reservations and windows against the sandbox, over HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr

from shared.billing.inquiry import PaymentRecord, StillUnresolved
from shared.billing.money import Price
from shared.billing.outcome import FaultScope, Misconfigured, Paid, Throttled, Unknown
from shared.billing.refund import (
    NotDone,
    RefundClaim,
    Refunded,
    RefundFinding,
    RefundOrder,
    RefundOutcome,
    Refused,
    Requester,
    judge_refund,
)
from shared.billing.window import KeyHeld, Prepared
from shared.clock import boot_clock_s
from tests.integration.gateway.clients import charge, client_of, open_fence, refund, until
from tests.support.sandbox import IMP_KEY, IMP_SECRET, SandboxControl
from worker.gateway.adapter import PortOneGateway
from worker.gateway.client import PortOne

pytestmark = pytest.mark.anyio

KEY = "customer-1"
REASON = "상품 불량"


@asynccontextmanager
async def client_for(sandbox: SandboxControl, **changes: Any) -> AsyncIterator[PortOne]:
    credentials = {"imp_key": SecretStr(IMP_KEY), "imp_secret": SecretStr(IMP_SECRET)}
    async with client_of(sandbox.url, **{**credentials, **changes}) as client:
        yield client


async def paid(sandbox: SandboxControl, client: PortOne, tax_free: int = 0) -> str:
    """Charge 9,900 won and return the payment's id."""
    sandbox.register([KEY])
    outcome = await client.charge(charge(price=Price(9_900, tax_free)), open_fence())
    assert isinstance(outcome, Paid)
    return outcome.imp_uid


def claim(imp_uid: str, amount: int, left: int = 9_900, tax_free: int = 0) -> RefundClaim:
    order = RefundOrder(Price(amount, tax_free), REASON, Requester.CUSTOMER)
    return refund(imp_uid=imp_uid, order=order, checksum=left)


def script(sandbox: SandboxControl, imp_uid: str, *steps: str | dict[str, Any]) -> None:
    """Script the endings of a payment's next cancels."""
    sandbox._ask("PUT", f"/_sandbox/cancel-behaviours/{imp_uid}", {"script": list(steps)})


def seen(sandbox: SandboxControl, imp_uid: str) -> list[dict[str, Any]]:
    """Return every cancel request that reached the sandbox."""
    rows: list[dict[str, Any]] = sandbox._ask("GET", f"/_sandbox/requests?imp_uid={imp_uid}")[
        "requests"
    ]
    return rows


async def record_of(client: PortOne, imp_uid: str) -> PaymentRecord:
    record = await client.payment(imp_uid)
    assert record is not None
    return record


@pytest.mark.parametrize("float_amounts", [False, True])
async def test_parts_are_refunded_one_after_the_other_until_nothing_is_left(
    sandbox: SandboxControl, float_amounts: bool
) -> None:
    sandbox.faults(float_amounts=float_amounts)
    async with client_for(sandbox) as client:
        imp_uid = await paid(sandbox, client, tax_free=1_000)
        parts = [claim(imp_uid, 3_000, 9_900, 300), claim(imp_uid, 6_900, 6_900, 700)]
        outcomes = [await client.refund(part, open_fence()) for part in parts]
        record = await record_of(client, imp_uid)

    for outcome, told in zip(outcomes, record.cancels, strict=True):
        assert isinstance(outcome, Refunded)
        assert outcome.cancellation_id == told.cancellation_id
        assert outcome.cancelled_at is not None
    assert [told.amount for told in record.cancels] == [3_000, 6_900]
    assert [told.reason for told in record.cancels] == [REASON, REASON]
    assert record.cancel_amount == record.amount == 9_900
    assert [row["body"] for row in seen(sandbox, imp_uid)] == [
        {
            "imp_uid": imp_uid,
            "merchant_uid": "sub1p1n1",
            "amount": part.order.price.amount,
            "tax_free": part.order.price.tax_free,
            "checksum": part.checksum,
            "reason": REASON,
            "extra": {"requester": "customer"},
        }
        for part in parts
    ]


async def test_the_whole_is_refunded_and_a_second_time_refused(sandbox: SandboxControl) -> None:
    async with client_for(sandbox) as client:
        imp_uid = await paid(sandbox, client)
        whole = claim(imp_uid, 9_900)
        first = await client.refund(whole, open_fence())
        second = await client.refund(whole, open_fence())
        finding = judge_refund(whole, await record_of(client, imp_uid))

    assert isinstance(first, Refunded)
    assert second == Refused("이미 전액취소된 주문입니다.")
    # Which is why a refusal is believed only once the payment has been read.
    assert finding == first


async def test_a_stale_checksum_gives_back_nothing(sandbox: SandboxControl) -> None:
    async with client_for(sandbox) as client:
        imp_uid = await paid(sandbox, client)
        part = claim(imp_uid, 3_000)
        first = await client.refund(part, open_fence())
        second = await client.refund(part, open_fence())
        record = await record_of(client, imp_uid)

    assert isinstance(first, Refunded)
    assert isinstance(second, Refused)
    assert record.cancel_amount == 3_000
    assert judge_refund(part, record) == first


async def test_more_than_is_left_does_not_leave(sandbox: SandboxControl) -> None:
    async with client_for(sandbox) as client:
        imp_uid = await paid(sandbox, client)
        outcome = await client.refund(claim(imp_uid, 9_901, 9_900), open_fence())

        assert isinstance(outcome, Misconfigured)
        assert outcome.scope is FaultScope.REQUEST
    assert seen(sandbox, imp_uid) == []


async def test_more_than_the_gateway_holds_is_refused(sandbox: SandboxControl) -> None:
    async with client_for(sandbox) as client:
        imp_uid = await paid(sandbox, client)
        wrong = replace(claim(imp_uid, 12_000, 12_000), paid_amount=12_000)
        outcome = await client.refund(wrong, open_fence())
        script(sandbox, imp_uid, {"ending": "refused", "fail_reason": " 취소 불가\t[E01] "})
        worded = await client.refund(claim(imp_uid, 3_000), open_fence())
        record = await record_of(client, imp_uid)

    assert isinstance(outcome, Refused)
    assert worded == Refused(" 취소 불가\t[E01] ")
    assert record.cancel_amount == 0


async def test_a_payment_nobody_has_heard_of_is_refused(sandbox: SandboxControl) -> None:
    async with client_for(sandbox) as client:
        outcome = await client.refund(claim("imps_0", 3_000), open_fence())

    assert outcome == Refused("취소할 결제건이 존재하지 않습니다.")


@pytest.mark.parametrize(
    ("ending", "expected", "finding"),
    [
        ("done", Refunded, Refunded),
        ("slow", Refunded, Refunded),
        ("lost_reply", Unknown, Refunded),
        ("error_500_done", Unknown, Refunded),
        ("bad_gateway_done", Unknown, Refunded),
        ("truncated", Unknown, Refunded),
        ("garbage", Unknown, Refunded),
        ("lost_request", Unknown, NotDone),
        ("reset", Unknown, NotDone),
        ("error_500", Unknown, NotDone),
        ("bad_gateway", Unknown, NotDone),
        ("refused", Refused, NotDone),
        ("throttled", Throttled, NotDone),
        ("maintenance", Throttled, NotDone),
        ("bad_request", Misconfigured, NotDone),
    ],
)
async def test_each_ending_is_told_and_the_payment_shows_what_became_of_it(
    sandbox: SandboxControl,
    ending: str,
    expected: type[RefundOutcome],
    finding: type[RefundFinding],
) -> None:
    sandbox.faults(delay_s=0.05)
    async with client_for(sandbox) as client:
        imp_uid = await paid(sandbox, client)
        script(sandbox, imp_uid, ending)
        part = claim(imp_uid, 3_000)
        outcome = await client.refund(part, open_fence())
        found = judge_refund(part, await record_of(client, imp_uid))

    assert type(outcome) is expected
    assert type(found) is finding
    assert len(seen(sandbox, imp_uid)) == 1


async def test_a_refund_done_late_is_refused_when_it_is_sent_again(
    sandbox: SandboxControl,
) -> None:
    async with client_for(sandbox) as client:
        imp_uid = await paid(sandbox, client)
        script(sandbox, imp_uid, {"ending": "late_success", "delay_s": 0.1})
        part = claim(imp_uid, 3_000)
        lost = await client.refund(part, open_fence())
        await until(lambda: seen(sandbox, imp_uid)[0]["result"] == "cancelled")
        again = await client.refund(replace(part, send_number=2), open_fence())
        record = await record_of(client, imp_uid)

    assert isinstance(lost, Unknown)
    assert isinstance(again, Refused)
    assert record.cancel_amount == 3_000
    assert isinstance(judge_refund(part, record), Refunded)


async def test_a_refund_that_hangs_is_unknown_when_the_time_is_up(sandbox: SandboxControl) -> None:
    async with client_for(sandbox, read_timeout_s=0.3) as client:
        imp_uid = await paid(sandbox, client)
        script(sandbox, imp_uid, "hang")

        assert isinstance(await client.refund(claim(imp_uid, 3_000), open_fence()), Unknown)


async def test_an_unauthorized_refund_is_repeated_once_with_a_new_token(
    sandbox: SandboxControl,
) -> None:
    async with client_for(sandbox) as client:
        imp_uid = await paid(sandbox, client)
        script(sandbox, imp_uid, "unauthorized")
        outcome = await client.refund(claim(imp_uid, 3_000), open_fence())
        script(sandbox, imp_uid, "unauthorized", "unauthorized")
        twice = await client.refund(claim(imp_uid, 6_900, 6_900), open_fence())

    assert isinstance(outcome, Refunded)
    assert twice == Misconfigured("Unauthorized", FaultScope.GATEWAY)
    assert [row["ending"] for row in seen(sandbox, imp_uid)] == [
        "unauthorized",
        "done",
        "unauthorized",
        "unauthorized",
    ]


async def test_equal_refunds_side_by_side_give_back_once(sandbox: SandboxControl) -> None:
    sandbox.faults(latency_ms=20)
    async with client_for(sandbox) as client:
        imp_uid = await paid(sandbox, client)
        outcomes = await asyncio.gather(
            *(client.refund(claim(imp_uid, 3_000), open_fence()) for _ in range(10))
        )
        record = await record_of(client, imp_uid)

    assert record.cancel_amount == 3_000
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Refunded"] + ["Refused"] * 9


async def test_a_storm_of_faults_cancels_nothing_twice(sandbox: SandboxControl) -> None:
    count = 100
    keys = [f"customer-{number}" for number in range(count)]
    sandbox.register(keys)
    async with client_for(sandbox) as client:
        payments = await asyncio.gather(
            *(client.charge(charge(n), open_fence()) for n in range(count))
        )
        ids = [outcome.imp_uid for outcome in payments if isinstance(outcome, Paid)]
        sandbox.faults(
            seed=7,
            close_after_reply_rate=0.3,
            cancel_rates=dict.fromkeys(
                ("lost_request", "reset", "lost_reply", "truncated", "error_500_done"), 0.08
            ),
        )
        claims = [
            replace(claim(imp_uid, 900), merchant_uid=f"sub1p1n{number}")
            for number, imp_uid in enumerate(ids)
        ]
        outcomes = await asyncio.gather(*(client.refund(one, open_fence()) for one in claims))
        sandbox.faults(close_after_reply_rate=0, cancel_rates={})
        findings = [judge_refund(one, await client.payment(one.imp_uid)) for one in claims]

    assert len(ids) == count
    assert {type(outcome) for outcome in outcomes} == {Refunded, Unknown}
    for one, outcome, finding in zip(claims, outcomes, findings, strict=True):
        assert len(seen(sandbox, one.imp_uid)) <= 1
        assert isinstance(finding, Refunded | NotDone)
        if isinstance(outcome, Refunded):
            assert finding == outcome


async def test_the_services_port_refunds_a_claim_and_reads_the_payment(
    sandbox: SandboxControl,
) -> None:
    async with client_for(sandbox) as client:
        gateway = PortOneGateway(client, send_window_s=30.0)
        imp_uid = await paid(sandbox, client)
        part = claim(imp_uid, 3_000)
        late = await gateway.refund(part, claimed_at_s=boot_clock_s() - 31)
        outcome = await gateway.refund(part, claimed_at_s=boot_clock_s())
        record = await gateway.payment(imp_uid)

        assert await gateway.payment("imps_0") is None
    assert not isinstance(record, StillUnresolved)
    assert judge_refund(part, record) == outcome
    assert isinstance(outcome, Refunded)
    assert "FenceExpired" in getattr(late, "cause", "")
    assert len(seen(sandbox, imp_uid)) == 1


async def test_a_payment_of_a_test_channel_is_refunded_in_test_mode(
    sandbox: SandboxControl,
) -> None:
    sandbox.faults(test_channel=True)
    async with client_for(sandbox, test_mode=True) as client:
        imp_uid = await paid(sandbox, client)
        part = claim(imp_uid, 3_000)

        assert isinstance(await client.refund(part, open_fence()), Refunded)
        assert isinstance(judge_refund(part, await client.payment(imp_uid)), Refunded)


@pytest.mark.parametrize("status", [200, 404])
async def test_a_billing_key_is_deleted_with_its_reason_once_and_for_all(
    sandbox: SandboxControl, status: int
) -> None:
    sandbox.register([KEY])
    sandbox.faults(unknown_customer_status=status)
    async with client_for(sandbox) as client:
        gateway = PortOneGateway(client, send_window_s=30.0)
        assert isinstance(await gateway.key(KEY), KeyHeld)
        for _ in range(2):
            ended = await gateway.delete_key(
                KEY, reason="해지 요청 & 환불?", requester=Requester.CUSTOMER
            )
            assert ended is None
        assert await gateway.key(KEY) is None

    (deletion,) = sandbox._ask("GET", f"/_sandbox/deletions/{KEY}")["deletions"]
    assert (deletion["reason"], deletion["requester"]) == ("해지 요청 & 환불?", "customer")


@pytest.mark.parametrize(
    "ending", ["lost_reply", "error_500_done", "bad_gateway_done", "truncated", "garbage"]
)
async def test_commands_whose_reply_is_always_lost_are_done_all_the_same(
    sandbox: SandboxControl, ending: str
) -> None:
    sandbox.register([KEY])
    sandbox.faults(command_rates={ending: 1.0})
    async with client_for(sandbox) as client:
        gateway = PortOneGateway(client, send_window_s=30.0)
        unclear = [
            await gateway.delete_key(KEY, reason="해지", requester=Requester.ADMIN),
            await gateway.revoke_schedules(KEY),
            await gateway.prepare("w1", 1_000),
        ]
        sandbox.faults(command_rates={})

        assert all(isinstance(answer, StillUnresolved) for answer in unclear)
        assert await gateway.key(KEY) is None
        assert await gateway.delete_key(KEY, reason="해지", requester=Requester.ADMIN) is None
        assert await gateway.revoke_schedules(KEY) is None
        assert await gateway.prepare("w1", 1_000) == Prepared()


async def test_reservations_of_a_billing_key_are_revoked(sandbox: SandboxControl) -> None:
    sandbox.register([KEY])
    now = int(sandbox._ask("GET", "/_sandbox/clock")["now"])
    planned = [
        {"merchant_uid": f"s{n}", "schedule_at": now + 600 + n, "amount": 1_000} for n in range(3)
    ]
    body = json.dumps({"customer_uid": KEY, "schedules": planned}).encode()
    async with client_for(sandbox) as client:
        token = await client._tokens.current()
        reply = await client._channel.call(
            "POST", "/subscribe/payments/schedule", body, token=token
        )
        assert json.loads(reply.body)["code"] == 0
        gateway = PortOneGateway(client, send_window_s=30.0)

        assert await gateway.revoke_schedules(KEY) is None
        assert await gateway.revoke_schedules(KEY) is None
        sandbox._ask("PUT", "/_sandbox/clock", {"offset_s": 3_600})
        sandbox._ask("POST", "/_sandbox/run-schedules")
    assert sandbox.book() == []


async def test_a_window_is_bound_to_one_amount_for_good(sandbox: SandboxControl) -> None:
    async with client_for(sandbox) as client:
        gateway = PortOneGateway(client, send_window_s=30.0)

        assert await gateway.prepare("w1", 1_000) == Prepared()
        assert await gateway.prepare("w1", 1_000) == Prepared()
        other = await gateway.prepare("w1", 2_000)
        assert await gateway.prepare("w1", 1_000) == Prepared()

    assert other == Prepared("결제정보 사전등록에 실패하였습니다(이미 등록된 merchant_uid입니다).")
