"""What is asked of the gateway, and what is refused before it is asked."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import TypeVar
from urllib.parse import quote

from pydantic import ValidationError

from shared.billing.inquiry import Expectation
from shared.billing.money import Collectability, Price, collectability, minimum_amount_text
from shared.billing.refund import RefundClaim, Requester
from worker.gateway.bodies import (
    AgainBody,
    AgainExtra,
    CancelBody,
    CancelExtra,
    DeleteQuery,
    PrepareBody,
    UnscheduleBody,
)
from worker.gateway.wire import faults_in

W = TypeVar("W")


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
    """A request that must not be sent; the text says why and names no value of the buyer."""


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
    return _fit(
        lambda: AgainBody(
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
    ).encoded()


def refund_body_of(claim: RefundClaim) -> bytes:
    """Return the body that gives money back; nothing in it may be left out.

    Raises:
        UnfitRequest: The gateway would refuse it, or should.
    """
    order = claim.order
    return _fit(
        lambda: CancelBody(
            imp_uid=claim.imp_uid,
            merchant_uid=claim.merchant_uid,
            amount=order.price.amount,
            tax_free=order.price.tax_free,
            checksum=claim.checksum,
            reason=order.reason,
            extra=CancelExtra(requester=order.requester),
        )
    ).encoded()


def deletion_query(reason: str, requester: Requester) -> str:
    """Return the query that tells why a billing key is deleted, and on whose wish.

    Raises:
        UnfitRequest: Naver Pay's inspection demands both, and they are not there.
    """
    query = _fit(lambda: DeleteQuery(reason=reason, requester=requester))
    said = {"reason": query.reason, "extra[requester]": query.requester}
    return "&".join(f"{quote(name)}={quote(value, safe='')}" for name, value in said.items())


def unschedule_body(customer_uid: str) -> bytes:
    """Return the body that revokes every reservation of a billing key.

    Raises:
        UnfitRequest: No billing key is so named.
    """
    return _fit(lambda: UnscheduleBody(customer_uid=customer_uid)).encoded()


def prepare_body(merchant_uid: str, amount: int) -> bytes:
    """Return the body that registers the amount of a window beforehand.

    Raises:
        UnfitRequest: The gateway would refuse it, or should.
    """
    return _fit(lambda: PrepareBody(merchant_uid=merchant_uid, amount=amount)).encoded()


def _fit(build: Callable[[], W]) -> W:
    """Return what was built, or say without the values why it cannot be."""
    try:
        return build()
    except ValidationError as error:
        fault = faults_in(error)
    # Raised outside the handler: the validator's error would drag the values along.
    raise UnfitRequest(fault)
