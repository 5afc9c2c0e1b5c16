from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.billing.decline import KNOWN_DECLINES, DeclineClass, KnownDecline, classify, known_by
from shared.billing.dunning import DunningPolicy
from shared.billing.errors import InvalidPolicyError

SEEN: Final = [
    ("한도초과", DeclineClass.LIMIT),
    ("한도 초과", DeclineClass.LIMIT),
    ("거래정지카드", DeclineClass.METHOD),
    ("잔액부족", DeclineClass.INSUFFICIENT_BALANCE),
    ("[4001] 잔액 부족입니다.", DeclineClass.INSUFFICIENT_BALANCE),
    ("(PG사 결제 장애) Internal error", DeclineClass.GATEWAY_TROUBLE),
    ("(PG사 결제 장애) Internal error: 한도초과", DeclineClass.GATEWAY_TROUBLE),
    ("MaintenanceOngoing", DeclineClass.GATEWAY_TROUBLE),
    ("EXPIRED", DeclineClass.METHOD),
    ("TimeExpired", DeclineClass.UNKNOWN),
    ("사용할 수 없는 결제수단", DeclineClass.UNKNOWN),
    ("", DeclineClass.UNKNOWN),
    (None, DeclineClass.UNKNOWN),
]


@pytest.mark.parametrize(("text", "decline_class"), SEEN)
def test_a_text_is_told_by_what_is_documented_and_by_nothing_else(
    text: str | None, decline_class: DeclineClass
) -> None:
    assert classify(text) is decline_class


def test_every_row_says_where_it_was_seen_and_names_a_class_that_promises_something() -> None:
    for known in KNOWN_DECLINES:
        assert len(known.source) > 10
        assert known.decline_class is not DeclineClass.UNKNOWN
    texts = [known.text for known in KNOWN_DECLINES]
    assert len(texts) == len(set(texts))


@given(st.text())
def test_a_text_that_holds_no_known_part_is_unknown(text: str) -> None:
    is_known = any(known.text in text for known in KNOWN_DECLINES)
    assert (classify(text) is DeclineClass.UNKNOWN) != is_known


class TestTheMerchantsOwn:
    def test_come_before_the_table(self) -> None:
        extra = known_by({DeclineClass.METHOD: ("한도초과",)})
        assert classify("한도초과", extra) is DeclineClass.METHOD
        assert DunningPolicy(known=extra).class_of("한도초과") is DeclineClass.METHOD

    def test_may_make_a_text_unknown_again(self) -> None:
        extra = known_by({DeclineClass.UNKNOWN: ("한도초과",)})
        assert classify("한도초과", extra) is DeclineClass.UNKNOWN

    @pytest.mark.parametrize("text", ["", " ", "\t"])
    def test_must_not_match_everything(self, text: str) -> None:
        with pytest.raises(InvalidPolicyError, match="must not be empty"):
            known_by({DeclineClass.LIMIT: (text,)})

    def test_must_not_stand_for_two_things(self) -> None:
        with pytest.raises(InvalidPolicyError, match="stands for limit and method"):
            known_by({DeclineClass.LIMIT: ("x",), DeclineClass.METHOD: ("x",)})

    def test_are_told_by_their_source(self) -> None:
        (row,) = known_by({DeclineClass.LIMIT: ("x",)})
        assert row == KnownDecline("x", DeclineClass.LIMIT, "the merchant's setting")
