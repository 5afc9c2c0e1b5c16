"""The buyer in a payment window: what is sent, and what must never be shown."""

from dataclasses import dataclass
from datetime import date

from shared.billing.errors import InvalidWindowError
from shared.billing.subscription import Buyer
from shared.billing.window_text import given, require_day, require_text, yyyymmdd

# PortOne's limits (V1 spec, `buyer_addr`, `buyer_postcode`), in characters.
BUYER_ADDRESS_LENGTH_MAX = 128
BUYER_POSTCODE_LENGTH_MAX = 8

_NOBODY = Buyer()


@dataclass(frozen=True, slots=True)
class WindowBuyer:
    """The five ``buyer_*`` of a window, each optional; the first three are a ``Buyer``'s.

    Sources: both guide pages' samples; V1 spec for the limits.
    """

    person: Buyer = _NOBODY
    address: str | None = None
    postcode: str | None = None

    def __post_init__(self) -> None:
        """Refuse a part that PortOne would not take, without repeating it."""
        limits = (
            ("buyer_addr", self.address, BUYER_ADDRESS_LENGTH_MAX),
            ("buyer_postcode", self.postcode, BUYER_POSTCODE_LENGTH_MAX),
        )
        for label, text, limit in limits:
            if text is not None:
                require_text(label, text, limit, shown=False)

    def __repr__(self) -> str:
        """Hide the person: a repr ends up in logs and tracebacks."""
        return "WindowBuyer(…)"

    def parameters(self) -> dict[str, object]:
        """Return what was given of the buyer."""
        return given(
            {
                "buyer_name": self.person.name,
                "buyer_email": self.person.email,
                "buyer_tel": self.person.tel,
                "buyer_addr": self.address,
                "buyer_postcode": self.postcode,
            }
        )


NO_BUYER = WindowBuyer()


@dataclass(frozen=True, slots=True)
class Purchaser:
    """Who buys, for merchants of a high-risk trade: the name and the birthday, or neither.

    Source: both guide pages, ``naverPurchaserName`` and ``naverPurchaserBirthday``: the same
    merchants must give both, and all others none. No limit of the name is documented.
    """

    name: str
    birthday: date

    def __post_init__(self) -> None:
        """Refuse what is no name or no day, without repeating it."""
        require_text("naverPurchaserName", self.name, shown=False)
        require_day("naverPurchaserBirthday", self.birthday)

    def __repr__(self) -> str:
        """Hide the person: a repr ends up in logs and tracebacks."""
        return "Purchaser(…)"

    def require_born_by(self, today: date) -> None:
        """Refuse a birthday in the future, without repeating it."""
        if self.birthday > today:
            message = "naverPurchaserBirthday must not be in the future"
            raise InvalidWindowError(message)

    def parameters(self) -> dict[str, object]:
        """Return both, the birthday as ``yyyyMMdd``."""
        return {
            "naverPurchaserName": self.name,
            "naverPurchaserBirthday": yyyymmdd(self.birthday),
        }


def require_impersonal(
    merchant_user_key: str, buyer: WindowBuyer, purchaser: Purchaser | None
) -> None:
    """Refuse a ``naverMerchantUserKey`` that is something personal, without repeating it.

    Source: Korean guide page, ``naverMerchantUserKey``: no personal data such as a personal id. So
    no e-mail address, and nothing that the same window says of the buyer.
    """
    known = {str(part) for part in buyer.parameters().values()}
    if purchaser is not None:
        known.update(str(part) for part in purchaser.parameters().values())
    personal = {_plain(part) for part in known}
    if "@" in merchant_user_key or _plain(merchant_user_key) in personal:
        message = (
            "naverMerchantUserKey must not be personal (no name, e-mail address, telephone number "
            "or birthday); give the merchant's own key of the user"
        )
        raise InvalidWindowError(message)


def _plain(part: str) -> str:
    """Return letters and digits alone, so that 010-1234-5678 and 01012345678 are one."""
    return "".join(letter for letter in part.casefold() if letter.isalnum())
