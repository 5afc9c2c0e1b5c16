"""What is bought, in Naver Pay's words: ``naverProducts``, order names and product codes."""

import re
from dataclasses import dataclass
from uuid import UUID

from shared.billing.errors import InvalidWindowError
from shared.billing.merchant_uid import base36
from shared.billing.subscription import ORDER_NAME_LENGTH_MAX
from shared.billing.window_text import require_count, require_text, require_word

_SELLER_ID = re.compile(r"[A-Za-z0-9]+")
# A blank before 외 tells "한국사 외 2개" from "과외 2개", which is a product.
_AND_OTHERS = re.compile(r"\s외\s*\d+\s*[개건]\s*$|\sand\s+\d+\s+others?\s*$", flags=re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class NaverProduct:
    """One of ``naverProducts``: six properties, four and a count of them required.

    Source: Korean guide page, 주요 파라미터 설명, ``naverProducts``; the English page lists the
    same six.

    Attributes:
        category_type: ``categoryType`` of Naver Pay's manual, as in ``BOOK``.
        category_id: ``categoryId`` of Naver Pay's manual, as in ``GENERAL``.
        uid: The merchant's own identifier of the product.
        name: What the product is called.
        count: How many are bought, one or more.
        seller_id: Who sells it at a mail order broker; letters and digits. Only for merchants
            whose contract with Naver Pay asks for it.
        pay_referrer: Where in Naver the buyer came from. Only for merchants with a partnership.
    """

    category_type: str
    category_id: str
    uid: str
    name: str
    count: int
    seller_id: str | None = None
    pay_referrer: str | None = None

    def __post_init__(self) -> None:
        """Refuse a product that lacks what Naver Pay's inspection looks for."""
        require_word("naverProducts[].categoryType", self.category_type)
        require_word("naverProducts[].categoryId", self.category_id)
        require_text("naverProducts[].uid", self.uid)
        require_text("naverProducts[].name", self.name)
        require_count("naverProducts[].count", self.count)
        if self.pay_referrer is not None:
            require_word("naverProducts[].payReferrer", self.pay_referrer)
        if self.seller_id is not None:
            require_text("naverProducts[].sellerId", self.seller_id)
            if not _SELLER_ID.fullmatch(self.seller_id):
                message = (
                    "naverProducts[].sellerId must consist of letters A-Z, a-z and digits, "
                    f"not {self.seller_id!r}"
                )
                raise InvalidWindowError(message)

    def parameters(self) -> dict[str, object]:
        """Return the product under the guide pages' names."""
        written: dict[str, object] = {
            "categoryType": self.category_type,
            "categoryId": self.category_id,
            "uid": self.uid,
            "name": self.name,
            "count": self.count,
        }
        if self.pay_referrer is not None:
            written["payReferrer"] = self.pay_referrer
        if self.seller_id is not None:
            written["sellerId"] = self.seller_id
        return written


def require_products(products: object) -> None:
    """Refuse a one-off payment of nothing.

    Source: both guide pages, ``naverProducts``: without it Naver Pay's inspection fails.
    """
    if not isinstance(products, tuple) or not all(
        isinstance(product, NaverProduct) for product in products
    ):
        message = "naverProducts must be a tuple of NaverProduct"
        raise InvalidWindowError(message)
    if not products:
        message = "naverProducts must hold at least one product: Naver Pay's inspection asks for it"
        raise InvalidWindowError(message)


def require_order_name(name: object) -> None:
    """Refuse an order name over 40 characters, or one that counts the other products itself.

    Sources: V1 spec, ``name`` (40 characters); both guide pages, ``name``: Naver Pay adds
    "외 2개" ("and 2 others") by itself, so the first product's name is what belongs there.
    """
    require_text("name", name, ORDER_NAME_LENGTH_MAX)
    if counted := _AND_OTHERS.search(str(name)):
        message = (
            f"name must not end in {counted[0].strip()!r}: Naver Pay adds it by itself; "
            "give the first product's name alone"
        )
        raise InvalidWindowError(message)


def product_code_of_subscription(subscription_id: UUID) -> str:
    """Return the default ``naverProductCode`` of a key registered for one subscription.

    Source: both guide pages, ``naverProductCode``: it keeps one buyer from registering the same
    product twice, and a missing one is random, which keeps nobody from anything. So it is a pure
    function of what is billed: the same at every registration and CHANGE, different for every
    subscription. Neither page, nor the V1 spec, states a length or a character set (the Korean
    page's sample is Hangul with a blank); 26 lower-case letters and digits suit any.
    """
    return f"s{base36(subscription_id)}"


def product_code_of_key(billing_key_id: int) -> str:
    """Return the default ``naverProductCode`` of a key that has no subscription yet.

    It is made of the row's number and never of ``customer_uid``, which is a secret. No code of a
    subscription is written alike: those begin with another letter.
    """
    require_count("billing_key_id", billing_key_id)
    return f"k{billing_key_id}"
