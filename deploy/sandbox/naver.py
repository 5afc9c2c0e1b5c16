"""Naver's side of the buyer: accounts, their cards and what is registered for recurring payments.

Naver knows its own registrations, PortOne only the newest one of a customer_uid. A registration
that PortOne forgets stays with the buyer: that is what CHANGE is there to prevent, and what these
accounts make visible. Nothing here reads a clock: every instant is handed in.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

from deploy.sandbox.refunds import Requester

DEFAULT_ACCOUNT: Final = "naver-buyer"

_ACCOUNT: Final = re.compile(r"[A-Za-z0-9_-]{1,40}")


@dataclass(frozen=True, slots=True)
class Card:
    """A card the buyer may choose; the numbers are masked and belong to nobody."""

    name: str
    code: str
    number: str
    type: int

    @property
    def label(self) -> str:
        """What the buyer sees of it."""
        kind = "체크" if self.type else "신용"
        return f"{self.name} ({kind}) {self.number}"


# Every account holds the same ones, by the names a form calls them.
CARDS: Final = {
    "shinhan": Card("신한카드", "366", "4000********1111", 0),
    "hyundai": Card("현대카드", "367", "4000********2222", 0),
    "samsung": Card("삼성카드", "365", "4000********3333", 0),
    "kb-check": Card("KB국민카드", "381", "4000********4444", 1),
}


@dataclass(frozen=True, slots=True)
class Method:
    """One registration for recurring payments.

    Attributes:
        number: Naver's own number for it, which PortOne never shows.
        product_code: The merchant's `naverProductCode`, or the random one that stands for it.
        customer_uid: The billing key that it was registered under.
        previous: The number of the registration that a CHANGE put it in place of.
        ended_at: None while a charge can still reach it.
    """

    number: int
    account: str
    product_code: str
    customer_uid: str
    card: Card
    registered_at: float
    previous: int | None = None
    ended_at: float | None = None

    @property
    def is_live(self) -> bool:
        """Whether it is still registered with the buyer."""
        return self.ended_at is None


class RegistrationRefusal(StrEnum):
    """Why Naver registered nothing."""

    ALREADY_REGISTERED = "refused_already_registered"
    NOTHING_TO_CHANGE = "refused_nothing_to_change"
    OTHER_ACCOUNT = "refused_other_account"


@dataclass(slots=True)
class NaverAccounts:
    """Every buyer's account at Naver, as far as one merchant's registrations go."""

    _methods: list[Method] = field(default_factory=list)
    # Which of them PortOne would charge, by position: the newest of a customer_uid.
    _newest: dict[str, int] = field(default_factory=dict)
    # By the imp_uids of payments: those for which points were given, and who confirmed which.
    _with_points: dict[str, None] = field(default_factory=dict)
    _confirmed: dict[str, Requester] = field(default_factory=dict)

    def register(
        self, account: str, product_code: str, customer_uid: str, card: Card, *, at: float
    ) -> Method | RegistrationRefusal:
        """Add a registration; what was registered before stays as it is.

        The one thing that Naver refuses is the same product twice with the same account.
        """
        if any(method.product_code == product_code for method in self.live(account)):
            return RegistrationRefusal.ALREADY_REGISTERED
        return self._add(account, product_code, customer_uid, card, at=at)

    def change(
        self, account: str, product_code: str, customer_uid: str, card: Card, *, at: float
    ) -> Method | RegistrationRefusal:
        """Add a registration in place of the one that PortOne charges under the customer_uid."""
        target = self.behind(customer_uid)
        if target is None:
            return RegistrationRefusal.NOTHING_TO_CHANGE
        if target.account != account:
            return RegistrationRefusal.OTHER_ACCOUNT
        others = (method for method in self.live(account) if method is not target)
        if any(method.product_code == product_code for method in others):
            return RegistrationRefusal.ALREADY_REGISTERED
        self._end(target, at=at)
        return self._add(account, product_code, customer_uid, card, at=at, previous=target.number)

    def behind(self, customer_uid: str) -> Method | None:
        """Find the registration that PortOne charges under a customer_uid, if it is live."""
        position = self._newest.get(customer_uid)
        if position is None or not self._methods[position].is_live:
            return None
        return self._methods[position]

    def end(self, customer_uid: str, *, at: float) -> Method | None:
        """End the registration behind a customer_uid; older ones under it stay with the buyer."""
        target = self.behind(customer_uid)
        return None if target is None else self._end(target, at=at)

    def give_points(self, imp_uid: str) -> bool:
        """Give the buyer the points of a payment; False if they were given before."""
        if imp_uid in self._with_points:
            return False
        self._with_points[imp_uid] = None
        return True

    def confirm(self, imp_uid: str, requester: Requester) -> bool:
        """Note that what was paid for has arrived; False if that was known."""
        if imp_uid in self._confirmed:
            return False
        self._confirmed[imp_uid] = requester
        return True

    def has_points(self, imp_uid: str) -> bool:
        """Say whether the points of a payment were given."""
        return imp_uid in self._with_points

    def confirmed_by(self, imp_uid: str) -> Requester | None:
        """Say who confirmed what was paid for; None if nobody did."""
        return self._confirmed.get(imp_uid)

    def methods(self, account: str) -> Iterator[Method]:
        """Walk through everything an account ever registered, oldest first."""
        return (method for method in self._methods if method.account == account)

    def live(self, account: str) -> Iterator[Method]:
        """Walk through what is still registered with an account, oldest first."""
        return (method for method in self.methods(account) if method.is_live)

    def _add(
        self,
        account: str,
        product_code: str,
        customer_uid: str,
        card: Card,
        *,
        at: float,
        previous: int | None = None,
    ) -> Method:
        position = len(self._methods)
        method = Method(
            number=position + 1,
            account=account,
            product_code=product_code,
            customer_uid=customer_uid,
            card=card,
            registered_at=at,
            previous=previous,
        )
        self._methods.append(method)
        self._newest[customer_uid] = position
        return method

    def _end(self, method: Method, *, at: float) -> Method:
        ended = replace(method, ended_at=at)
        self._methods[method.number - 1] = ended
        return ended


def is_account(name: str) -> bool:
    """Say whether an account can be called so."""
    return _ACCOUNT.fullmatch(name) is not None


def account_view(accounts: NaverAccounts, account: str) -> dict[str, Any]:
    """Show an account with everything it registered, oldest first."""
    methods = [_method_view(method) for method in accounts.methods(account)]
    live = sum(method["live"] for method in methods)
    return {"account": account, "live": live, "methods": methods}


def _method_view(method: Method) -> dict[str, Any]:
    return {
        "number": method.number,
        "live": method.is_live,
        "product_code": method.product_code,
        "customer_uid": method.customer_uid,
        "card_name": method.card.name,
        "card_number": method.card.number,
        "registered_at": method.registered_at,
        "ended_at": method.ended_at,
        "previous": method.previous,
    }
