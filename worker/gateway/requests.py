"""What is asked of the gateway, and what is refused before it is asked."""

from dataclasses import dataclass, field
from datetime import date

from pydantic import ValidationError

from shared.billing.inquiry import Expectation
from shared.billing.money import Collectability, Price, collectability, minimum_amount_text
from worker.gateway.wire import AgainBody, AgainExtra, faults_in


@dataclass(frozen=True, slots=True)
class ChargeRequest:
    """One charge of one billing key.

    Its ``repr`` holds neither the billing key nor anything of the buyer.

    Attributes:
        merchant_uid: The one handle on the charge.
        customer_uid: The billing key.
        price: What is collected.
        order_name: What the buyer reads, at most 40 characters.
        naver_use_cfm: The day the buyer has used what was paid for, where the contract asks.
    """

    merchant_uid: str
    customer_uid: str = field(repr=False)
    price: Price
    order_name: str
    buyer_name: str | None = field(default=None, repr=False)
    buyer_email: str | None = field(default=None, repr=False)
    buyer_tel: str | None = field(default=None, repr=False)
    naver_use_cfm: date | None = None

    @property
    def expectation(self) -> Expectation:
        """What a reply must say to be of this charge."""
        return Expectation(self.merchant_uid, self.price.amount, self.customer_uid)


class UnfitRequest(ValueError):  # noqa: N818 - it is the request that is unfit
    """A charge that must not be sent; the text says why and names no value of the buyer."""


def body_of(request: ChargeRequest, *, minimum_amount: int, today: date) -> bytes:
    """Return the body to send.

    Args:
        request: What is to be charged.
        minimum_amount: The least the gateway takes, in won.
        today: The date in Korea, before which no ``naver_use_cfm`` may lie.

    Raises:
        UnfitRequest: The gateway would refuse it, or should.
    """
    if collectability(request.price, minimum_amount) is not Collectability.CHARGE:
        raise UnfitRequest(minimum_amount_text(minimum_amount))
    extra = None
    if (used_on := request.naver_use_cfm) is not None:
        if used_on < today:
            message = f"naverUseCfm {used_on:%Y%m%d} is before today in Korea, {today:%Y%m%d}"
            raise UnfitRequest(message)
        extra = AgainExtra(naver_use_cfm=f"{used_on:%Y%m%d}")
    try:
        body = AgainBody(
            customer_uid=request.customer_uid,
            merchant_uid=request.merchant_uid,
            amount=request.price.amount,
            tax_free=request.price.tax_free,
            name=request.order_name,
            buyer_name=request.buyer_name,
            buyer_email=request.buyer_email,
            buyer_tel=request.buyer_tel,
            extra=extra,
        )
    except ValidationError as error:
        fault = faults_in(error)
    else:
        return body.encoded()
    # Raised outside the handler: the validator's error would drag the values along.
    raise UnfitRequest(fault)
