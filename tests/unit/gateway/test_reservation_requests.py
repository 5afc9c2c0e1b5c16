"""What is refused before a reservation is asked for, and every body as a form."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.sandbox.bodies import read_parameters
from shared.billing.money import Price
from shared.billing.refund import Requester
from worker.gateway.forms import form_of
from worker.gateway.requests import (
    ChargeRequest,
    ScheduleRequest,
    UnfitRequest,
    confirm_body,
    instant_body,
    nothing_body,
    schedule_body_of,
    unschedule_body,
)

NOW = datetime(2026, 8, 15, 14, 59, 59, tzinfo=UTC)
# In Korea it is the 16th already.
AT = datetime(2026, 8, 15, 15, 0, tzinfo=UTC)


def body(at: datetime = AT, minimum_amount: int = 10, **changes: Any) -> dict[str, Any]:
    usual: dict[str, Any] = {
        "merchant_uid": "sub1p1n1",
        "customer_uid": "planted-key",
        "price": Price(9_900, tax_free=900),
        "order_name": "정기구독",
    }
    asked = ScheduleRequest(ChargeRequest(**{**usual, **changes}), at)
    parsed: dict[str, Any] = json.loads(
        schedule_body_of(asked, minimum_amount=minimum_amount, now=NOW)
    )
    return parsed


def test_a_reservation_says_what_the_specification_demands_and_the_samples_leave_out() -> None:
    assert body() == {
        "customer_uid": "planted-key",
        "schedules": [
            {
                "merchant_uid": "sub1p1n1",
                "schedule_at": int(AT.timestamp()),
                "currency": "KRW",
                "amount": 9_900,
                "tax_free": 900,
                "name": "정기구독",
            }
        ],
    }


def test_a_reservation_carries_its_buyer_and_the_day_of_use() -> None:
    (entry,) = body(
        buyer_name="이름", buyer_email="e", buyer_tel="0", naver_use_cfm=date(2026, 8, 16)
    )["schedules"]

    assert entry["extra"] == {"naverUseCfm": "20260816"}
    assert (entry["buyer_name"], entry["buyer_email"], entry["buyer_tel"]) == ("이름", "e", "0")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"at": NOW}, "schedule_at 2026-08-15T14:59:59+00:00 is over"),
        ({"at": NOW - timedelta(days=1)}, "schedule_at 2026-08-14T14:59:59+00:00 is over"),
        ({"at": AT + timedelta(milliseconds=1)}, "schedule_at must be a whole second"),
        (
            {"naver_use_cfm": date(2026, 8, 15)},
            "naverUseCfm 20260815 is before the day of the charge in Korea, 20260816",
        ),
        ({"price": Price(9)}, "최소 결제 금액은 10원입니다."),
        ({"merchant_uid": "sub-1"}, "merchant_uid: String should match"),
        ({"customer_uid": "planted" * 12}, "customer_uid: String should have at most 80"),
        ({"order_name": ""}, "name: String should have at least 1"),
    ],
    ids=str,
)
def test_a_reservation_that_the_gateway_would_refuse_is_refused_without_the_value(
    changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(UnfitRequest) as refused:
        body(**changes)

    assert str(refused.value).startswith(words)
    assert "planted" not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__context__ is None


def test_another_instant_lies_ahead_in_whole_seconds() -> None:
    assert json.loads(instant_body(AT, now=NOW)) == {"schedule_at": int(AT.timestamp())}
    with pytest.raises(UnfitRequest, match="is over"):
        instant_body(NOW, now=NOW)
    with pytest.raises(UnfitRequest, match="whole second"):
        instant_body(AT + timedelta(microseconds=1), now=NOW)


def test_some_reservations_are_named_and_none_is_not_all() -> None:
    assert json.loads(unschedule_body("k", ["m1", "M-2"])) == {
        "customer_uid": "k",
        "merchant_uid": ["m1", "M-2"],
    }
    for unfit in ([], [""], ["m" * 41]):
        with pytest.raises(UnfitRequest, match="merchant_uid"):
            unschedule_body("k", unfit)


def test_what_a_path_says_all_of_has_an_empty_body() -> None:
    assert json.loads(nothing_body()) == {}
    assert json.loads(confirm_body(Requester.CUSTOMER)) == {"requester": "customer"}


def test_a_form_is_written_as_the_guide_pages_write_it() -> None:
    sent = json.dumps(
        {
            "customer_uid": "키/1",
            "schedules": [{"merchant_uid": "m1", "amount": 10, "extra": {"naverUseCfm": "1"}}],
            "flag": True,
        }
    ).encode()

    assert form_of(sent) == (
        b"customer_uid=%ED%82%A4%2F1&schedules%5B0%5D%5Bmerchant_uid%5D=m1"
        b"&schedules%5B0%5D%5Bamount%5D=10&schedules%5B0%5D%5Bextra%5D%5BnaverUseCfm%5D=1"
        b"&flag=true"
    )
    assert form_of(b"{}") == b""


NAMES = st.text("abc_XYZ", min_size=1, max_size=6)
BODIES = st.recursive(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=9) | st.integers(0, 10**12),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3)
        | st.dictionaries(NAMES, inner, min_size=1, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=40)
@given(fields=st.dictionaries(NAMES, BODIES, max_size=4))
def test_a_form_says_the_same_as_the_json_it_was_made_of(fields: dict[str, Any]) -> None:
    """Read by the sandbox, which was written from PortOne's documents; its numbers are texts."""
    read = read_parameters(
        form_of(json.dumps(fields).encode()), "application/x-www-form-urlencoded"
    )

    assert read.values == _as_texts(fields)


def _as_texts(value: Any) -> Any:
    match value:
        case dict():
            return {name: _as_texts(part) for name, part in value.items()}
        case list():
            return [_as_texts(part) for part in value]
        case _:
            return str(value)
