"""The buyer's account at Naver as values: what stays registered, and what ends."""

import pytest

from deploy.sandbox.naver import (
    CARDS,
    Method,
    NaverAccounts,
    RegistrationRefusal,
    account_view,
    is_account,
)

SHINHAN, HYUNDAI = CARDS["shinhan"], CARDS["hyundai"]


@pytest.fixture
def naver() -> NaverAccounts:
    """One account with one registration."""
    naver = NaverAccounts()
    naver.register("hong", "slim", "uid", SHINHAN, at=1.0)
    return naver


def _live(naver: NaverAccounts, account: str = "hong") -> list[tuple[str, str]]:
    return [(method.product_code, method.card.name) for method in naver.live(account)]


def test_the_same_product_is_registered_once_with_an_account(naver: NaverAccounts) -> None:
    refused = naver.register("hong", "slim", "another", HYUNDAI, at=2.0)

    assert refused is RegistrationRefusal.ALREADY_REGISTERED
    assert _live(naver) == [("slim", "신한카드")]
    assert isinstance(naver.register("kim", "slim", "another", HYUNDAI, at=2.0), Method)


def test_another_product_stands_beside_the_first(naver: NaverAccounts) -> None:
    naver.register("hong", "other", "uid", HYUNDAI, at=2.0)

    assert _live(naver) == [("slim", "신한카드"), ("other", "현대카드")]


def test_a_change_ends_the_registration_that_it_replaces(naver: NaverAccounts) -> None:
    changed = naver.change("hong", "slim", "uid", HYUNDAI, at=2.0)

    assert isinstance(changed, Method)
    assert (changed.number, changed.previous) == (2, 1)
    assert _live(naver) == [("slim", "현대카드")]
    assert [method.ended_at for method in naver.methods("hong")] == [2.0, None]


@pytest.mark.parametrize(
    ("account", "product_code", "customer_uid", "refusal"),
    [
        ("hong", "slim", "unknown", RegistrationRefusal.NOTHING_TO_CHANGE),
        ("kim", "slim", "uid", RegistrationRefusal.OTHER_ACCOUNT),
        ("hong", "taken", "uid", RegistrationRefusal.ALREADY_REGISTERED),
    ],
)
def test_a_refused_change_ends_nothing(
    naver: NaverAccounts,
    account: str,
    product_code: str,
    customer_uid: str,
    refusal: RegistrationRefusal,
) -> None:
    naver.register("hong", "taken", "other-uid", SHINHAN, at=1.0)
    before = account_view(naver, "hong")

    assert naver.change(account, product_code, customer_uid, HYUNDAI, at=2.0) is refusal
    assert account_view(naver, "hong") == before


def test_portone_ends_only_the_registration_it_knows(naver: NaverAccounts) -> None:
    """The newest of a customer_uid: what NEW left behind stays with the buyer."""
    naver.register("hong", "other", "uid", HYUNDAI, at=2.0)
    naver.end("uid", at=3.0)

    assert _live(naver) == [("slim", "신한카드")]
    assert naver.behind("uid") is None
    assert naver.end("uid", at=4.0) is None
    assert [method.ended_at for method in naver.methods("hong")] == [None, 3.0]


def test_after_its_end_a_product_can_be_registered_again(naver: NaverAccounts) -> None:
    naver.end("uid", at=2.0)

    assert isinstance(naver.register("hong", "slim", "uid", HYUNDAI, at=3.0), Method)
    assert _live(naver) == [("slim", "현대카드")]


def test_a_changed_method_can_be_changed_again(naver: NaverAccounts) -> None:
    for at, card in enumerate([HYUNDAI, SHINHAN, HYUNDAI], start=2):
        assert isinstance(naver.change("hong", "slim", "uid", card, at=at), Method)

    assert _live(naver) == [("slim", "현대카드")]
    assert [method.previous for method in naver.methods("hong")] == [None, 1, 2, 3]


def test_an_account_is_shown_with_all_that_it_registered(naver: NaverAccounts) -> None:
    naver.change("hong", "slim", "uid", HYUNDAI, at=2.0)
    view = account_view(naver, "hong")

    assert (view["account"], view["live"]) == ("hong", 1)
    assert view["methods"][0] == {
        "number": 1,
        "live": False,
        "product_code": "slim",
        "customer_uid": "uid",
        "card_name": "신한카드",
        "card_number": SHINHAN.number,
        "registered_at": 1.0,
        "ended_at": 2.0,
        "previous": None,
    }
    assert account_view(naver, "nobody") == {"account": "nobody", "live": 0, "methods": []}


@pytest.mark.parametrize("name", ["", "a b", "홍", "a" * 41, "a.json", "<b>", "a\n"])
def test_an_account_has_a_plain_name(name: str) -> None:
    assert not is_account(name)
    assert is_account("naver-buyer_1")
