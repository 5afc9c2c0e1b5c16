"""Amounts of money: integer KRW, never a float, with the tax-free part kept beside the total."""

import enum
from dataclasses import dataclass

from shared.billing.errors import InvalidAmountError


@dataclass(frozen=True, slots=True)
class Price:
    """An amount to be collected and the part of it that carries no VAT.

    Attributes:
        amount: The total in won, zero or more.
        tax_free: The tax-free part in won, never more than ``amount``. PortOne takes it as
            ``tax_free`` and treats a missing one as 0 (guide page, 결제요청하기).
    """

    amount: int
    tax_free: int = 0

    def __post_init__(self) -> None:
        """Refuse anything that is not whole won, or a tax-free part above the total."""
        for name, value in (("amount", self.amount), ("tax_free", self.tax_free)):
            if type(value) is not int or value < 0:
                message = f"{name} must be a whole number of won, 0 or more, not {value!r}"
                raise InvalidAmountError(message)
        if self.tax_free > self.amount:
            message = f"tax_free ({self.tax_free}) must not exceed amount ({self.amount})"
            raise InvalidAmountError(message)


class Collectability(enum.StrEnum):
    """What may be done with an amount before any gateway is asked."""

    CHARGE = "charge"
    SETTLE_WITHOUT_CALL = "settle_without_call"
    BELOW_MINIMUM = "below_minimum"


def collectability(price: Price, minimum_amount: int) -> Collectability:
    """Say whether an amount is charged, settled as it stands, or refused.

    Naver Pay takes 10 won or more (guide page, 최소 결제 금액); nothing is owed at 0.
    """
    if price.amount == 0:
        return Collectability.SETTLE_WITHOUT_CALL
    if price.amount < minimum_amount:
        return Collectability.BELOW_MINIMUM
    return Collectability.CHARGE


def minimum_amount_text(minimum_amount: int) -> str:
    """Return the sentence a buyer reads when the amount is below the gateway's minimum."""
    return f"최소 결제 금액은 {minimum_amount:,}원입니다."
