"""What ``IMP.request_pay`` is called with: a one-off payment, or the registration of a billing key.

Each window is checked as a whole when it is made, so what cannot pass PortOne, Naver Pay or its
inspection never reaches a buyer. ``parameters()`` is the object for the merchant's page, under the
documented names; ``told()`` is the part of it that events and logs may carry.

The two guide pages differ; this module follows the Korean one: 10 won or more instead of 100,
``naverActionType`` with ``CHANGE``, and ``naverProductCount``. ``naverChainId`` stands on both.
PortOne's present page prefers ``channelKey`` to ``pg``, and names neither ``naverChainId`` nor
``CHANGE`` any more: the first is sent only when given, the second only where the caller says that
it is supported.
"""

import re
from dataclasses import KW_ONLY, InitVar, dataclass
from datetime import date

from shared.billing.errors import InvalidWindowError
from shared.billing.merchant_uid import MERCHANT_UID_LENGTH_MAX
from shared.billing.money import Price, minimum_amount_text
from shared.billing.naver_products import NaverProduct, require_order_name, require_products
from shared.billing.subscription import CUSTOMER_UID_LENGTH_MAX, BillingKeyStatus
from shared.billing.window_channel import IN_A_POPUP, Channel, WindowReturn
from shared.billing.window_keys import (
    ActionType,
    require_change_allowed,
    require_new_allowed,
    require_no_changed_key,
    require_same_key,
)
from shared.billing.window_people import NO_BUYER, Purchaser, WindowBuyer, require_impersonal
from shared.billing.window_text import (
    given,
    json_object,
    require_count,
    require_day,
    require_text,
    require_truth,
    require_word,
    yyyymmdd,
)

# Korean guide page, 최소 결제 금액; the English page's 100 won is older.
MINIMUM_AMOUNT = 10
_MERCHANT_UID = re.compile(r"[0-9A-Za-z]+")

# What events and logs may carry. It is a list of what may be told, not of what may not: a
# parameter that is added later stays untold until somebody decides. Left out are the billing key
# (`customer_uid`), all of the buyer (`buyer_*`, `naverPurchaser*`, `naverMerchantUserKey`), and
# `custom_data`, of which nobody knows what the merchant puts there.
TOLD = frozenset(
    {
        *("pg", "channelKey", "merchant_uid", "name", "amount", "tax_free", "notice_url"),
        *("m_redirect_url", "naverPopupMode", "naverChainId", "naverProducts", "naverUseCfm"),
        *("naverCultureBenefit", "naverProductCode", "naverProductCount", "naverActionType"),
    }
)


@dataclass(frozen=True, slots=True)
class OneOffWindow:
    """A payment that the buyer makes at once, in Naver Pay's window.

    Source: both guide pages, 결제 요청하기 (Request payment).

    Attributes:
        channel: Where PortOne sends the buyer.
        merchant_uid: The order's one handle: letters and digits, 40 at most (V1 spec).
        products: What is bought, ``naverProducts``; at least one.
        price: What is paid, and the tax-free part of it.
        name: What the buyer reads; the first product's name where none is given.
        buyer: ``buyer_*``, each part optional.
        back: How the buyer comes back.
        used_on: ``naverUseCfm``, only where the contract with Naver Pay asks for it.
        purchaser: ``naverPurchaserName`` and ``naverPurchaserBirthday``, likewise.
        merchant_user_key: ``naverMerchantUserKey``, likewise; never anything personal.
        chain_id: ``naverChainId``, only for several services under one partner id.
        culture_benefit: ``naverCultureBenefit``, the income deduction for books and shows.
        custom_data: The text of a JSON object that PortOne keeps with the payment.
        today: The date in Korea, before which nothing is used and after which nobody is born.
        minimum_amount: The least that Naver Pay takes, in won.
    """

    channel: Channel
    merchant_uid: str
    products: tuple[NaverProduct, ...]
    price: Price
    _: KW_ONLY
    name: str | None = None
    buyer: WindowBuyer = NO_BUYER
    back: WindowReturn = IN_A_POPUP
    used_on: date | None = None
    purchaser: Purchaser | None = None
    merchant_user_key: str | None = None
    chain_id: str | None = None
    culture_benefit: bool | None = None
    custom_data: str | None = None
    today: InitVar[date]
    minimum_amount: InitVar[int] = MINIMUM_AMOUNT

    def __post_init__(self, today: date, minimum_amount: int) -> None:
        """Refuse what PortOne, Naver Pay or its inspection would refuse."""
        require_merchant_uid(self.merchant_uid)
        require_products(self.products)
        require_order_name(self.order_name)
        require_amount(self.price.amount, minimum_amount)
        _require_used_on(self.used_on, today)
        if self.purchaser is not None:
            self.purchaser.require_born_by(today)
        if self.merchant_user_key is not None:
            require_text("naverMerchantUserKey", self.merchant_user_key, shown=False)
            require_impersonal(self.merchant_user_key, self.buyer, self.purchaser)
        if self.chain_id is not None:
            require_word("naverChainId", self.chain_id)
        if self.culture_benefit is not None:
            require_truth("naverCultureBenefit", self.culture_benefit)
        if self.custom_data is not None:
            json_object("custom_data", self.custom_data)

    def __repr__(self) -> str:
        """Name the order and its amount; hide the person."""
        return f"OneOffWindow(merchant_uid={self.merchant_uid!r}, amount={self.price.amount})"

    @property
    def order_name(self) -> str:
        """What the buyer reads: the first product's name unless another was given."""
        return self.products[0].name if self.name is None else self.name

    def parameters(self) -> dict[str, object]:
        """Return what ``IMP.request_pay`` is called with, ready for JSON.

        ``tax_free`` is always sent, 0 too: that is PortOne's default, and its book shows what was
        meant. Everything optional is sent only when given.
        """
        return {
            **self.channel.parameters(),
            "merchant_uid": self.merchant_uid,
            "name": self.order_name,
            "amount": self.price.amount,
            "tax_free": self.price.tax_free,
            **self.buyer.parameters(),
            **self.back.parameters(),
            "naverProducts": [product.parameters() for product in self.products],
            **({} if self.purchaser is None else self.purchaser.parameters()),
            **given(
                {
                    "naverUseCfm": None if self.used_on is None else yyyymmdd(self.used_on),
                    "naverMerchantUserKey": self.merchant_user_key,
                    "naverChainId": self.chain_id,
                    "naverCultureBenefit": self.culture_benefit,
                    "custom_data": _object_of(self.custom_data),
                }
            ),
        }

    def told(self) -> dict[str, object]:
        """Return the part of ``parameters()`` that events and logs may carry."""
        return _told(self.parameters())


@dataclass(frozen=True, slots=True)
class RegistrationWindow:
    """The registration of a billing key, or the change of its payment method.

    Source: both guide pages, 빌링키 발급받기 (Request billing key). No payment is approved; the
    record that PortOne makes of it has ``customer_uid_usage`` ``issue``.

    Attributes:
        channel: Where PortOne sends the buyer.
        customer_uid: The billing key, 80 characters at most; a secret. ``CHANGE`` keeps it.
        merchant_uid: The registration's own order number; never that of a charge.
        name: What the buyer reads, 40 characters at most.
        amount: What the buyer is shown. It may differ from what is charged later, but must be an
            amount that can be charged: the Korean page counts "10원 미만 결제" among what makes
            this call fail and excepts no window, and whether Naver Pay lets a registration below
            it pass is not documented. Nothing is lost by it: a price below is never charged, and
            a free first month is shown with the price that follows.
        product_code: ``naverProductCode``; ``product_code_of_subscription`` is its default.
        buyer: ``buyer_*``; the telephone number is required (both pages' samples say so).
        action: ``naverActionType``.
        product_count: ``naverProductCount``, what the one registration pays for; one or more.
        back: How the buyer comes back.
        custom_data: The text of a JSON object that PortOne keeps with the registration.
        existing_key: How the billing key that the buyer already has stands; ``None`` for none.
        changed_customer_uid: The billing key that is changed, for ``CHANGE`` only.
        change_supported: Whether the merchant's PortOne is known to take ``CHANGE``.
        minimum_amount: The least that Naver Pay takes, in won.
    """

    channel: Channel
    customer_uid: str
    merchant_uid: str
    name: str
    amount: int
    product_code: str
    buyer: WindowBuyer
    _: KW_ONLY
    action: ActionType = ActionType.NEW
    product_count: int = 1
    back: WindowReturn = IN_A_POPUP
    custom_data: str | None = None
    existing_key: InitVar[BillingKeyStatus | None]
    changed_customer_uid: InitVar[str | None] = None
    change_supported: InitVar[bool] = False
    minimum_amount: InitVar[int] = MINIMUM_AMOUNT

    def __post_init__(
        self,
        existing_key: BillingKeyStatus | None,
        changed_customer_uid: str | None,
        change_supported: bool,
        minimum_amount: int,
    ) -> None:
        """Refuse what PortOne or Naver Pay would refuse, or would do wrong."""
        require_text("customer_uid", self.customer_uid, CUSTOMER_UID_LENGTH_MAX, shown=False)
        require_merchant_uid(self.merchant_uid)
        require_order_name(self.name)
        require_amount(self.amount, minimum_amount)
        require_text("naverProductCode", self.product_code)
        require_count("naverProductCount", self.product_count)
        if self.buyer.person.tel is None:
            message = "buyer_tel must be given: Naver Pay registers no method without it"
            raise InvalidWindowError(message)
        if self.custom_data is not None:
            json_object("custom_data", self.custom_data)
        _require_action(self.action)
        if self.action is ActionType.CHANGE:
            require_change_allowed(existing_key, change_supported=change_supported)
            require_same_key(self.customer_uid, changed_customer_uid)
        else:
            require_new_allowed(existing_key)
            require_no_changed_key(changed_customer_uid)

    def __repr__(self) -> str:
        """Name the registration; hide the billing key and the person."""
        return f"RegistrationWindow(merchant_uid={self.merchant_uid!r}, action={self.action!s})"

    def parameters(self) -> dict[str, object]:
        """Return what ``IMP.request_pay`` is called with, ready for JSON.

        ``naverActionType`` is sent for ``CHANGE`` alone: ``NEW`` is its default, and PortOne's
        present page names the parameter no more.
        """
        is_change = self.action is ActionType.CHANGE
        return {
            **self.channel.parameters(),
            "customer_uid": self.customer_uid,
            "merchant_uid": self.merchant_uid,
            "name": self.name,
            "amount": self.amount,
            **self.buyer.parameters(),
            **self.back.parameters(),
            "naverProductCode": self.product_code,
            "naverProductCount": self.product_count,
            **given(
                {
                    "naverActionType": str(ActionType.CHANGE) if is_change else None,
                    "custom_data": _object_of(self.custom_data),
                }
            ),
        }

    def told(self) -> dict[str, object]:
        """Return the part of ``parameters()`` that events and logs may carry."""
        return _told(self.parameters())


def require_merchant_uid(merchant_uid: object) -> None:
    """Refuse an order number over 40 characters, or of anything but letters and digits.

    Sources: V1 spec, ``merchant_uid`` (40 characters); ``shared.billing.merchant_uid`` for the
    form. Both guide pages: unique for every request.
    """
    require_text("merchant_uid", merchant_uid, MERCHANT_UID_LENGTH_MAX)
    if not _MERCHANT_UID.fullmatch(str(merchant_uid)):
        message = f"merchant_uid must consist of letters and digits, not {merchant_uid!r}"
        raise InvalidWindowError(message)


def require_amount(amount: object, minimum_amount: int) -> None:
    """Refuse an amount that is no integer, or below what Naver Pay takes.

    Sources: both guide pages, ``amount`` (an integer, no string), and their note on the minimum
    (최소 결제 금액). Below it, the error's whole text is the sentence that the buyer reads.
    """
    if type(amount) is not int:
        message = f"amount must be a whole number of won, not {amount!r}"
        raise InvalidWindowError(message)
    if amount < minimum_amount:
        raise InvalidWindowError(minimum_amount_text(minimum_amount))


def _require_used_on(used_on: date | None, today: date) -> None:
    """Refuse a day that is past in Korea.

    Source: both guide pages, ``naverUseCfm``: the day of payment or later.
    """
    require_day("today", today)
    if used_on is None:
        return
    require_day("naverUseCfm", used_on)
    if used_on < today:
        message = (
            f"naverUseCfm {yyyymmdd(used_on)} must not be before today in Korea, {yyyymmdd(today)}"
        )
        raise InvalidWindowError(message)


def _require_action(action: object) -> None:
    """Refuse a mere text: it would pass for the member that it equals, and then not be sent."""
    if not isinstance(action, ActionType):
        message = f"naverActionType must be an ActionType, NEW or CHANGE, not {action!r}"
        raise InvalidWindowError(message)


def _object_of(custom_data: str | None) -> dict[str, object] | None:
    """Return the object that a text was found to hold."""
    return None if custom_data is None else json_object("custom_data", custom_data)


def _told(parameters: dict[str, object]) -> dict[str, object]:
    """Leave out what is secret or somebody's own."""
    return {name: value for name, value in parameters.items() if name in TOLD}
