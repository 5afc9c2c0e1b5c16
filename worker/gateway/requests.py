"""What is asked of the gateway, and what is refused before it is asked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TypeVar
from urllib.parse import quote

from pydantic import ValidationError

from shared.billing.inquiry import Expectation
from shared.billing.money import Collectability, Price, collectability, minimum_amount_text
from shared.billing.refund import RefundClaim, Requester
from shared.billing.use_confirmation import korean_date
from worker.gateway.bodies import (
    AgainBody,
    AgainExtra,
    CancelBody,
    CancelExtra,
    ConfirmBody,
    DeleteQuery,
    InstantBody,
    NothingBody,
    PrepareBody,
    ScheduleBody,
    ScheduleEntry,
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


@dataclass(frozen=True, slots=True)
class ScheduleRequest:
    """One charge that the gateway shall make by itself, at ``schedule_at`` (whole seconds)."""

    charge: ChargeRequest
    schedule_at: datetime

    @property
    def schedule_at_s(self) -> int:
        """The instant as PortOne takes it.

        Raises:
            UnfitRequest: It holds a part of a second, which PortOne could not give back.
        """
        return whole_second(self.schedule_at)


def whole_second(instant: datetime) -> int:
    """Return an instant in unix seconds.

    Raises:
        UnfitRequest: It holds a part of a second.
    """
    seconds = instant.timestamp()
    if not seconds.is_integer():
        message = f"schedule_at must be a whole second, not {instant.isoformat()}"
        raise UnfitRequest(message)
    return int(seconds)


def body_of(request: ChargeRequest, *, minimum_amount: int, today: date) -> bytes:
    """Return the body to send.

    Args:
        request: What is to be charged.
        minimum_amount: The least the gateway takes, in won.
        today: The date in Korea, before which no ``naver_use_cfm`` may lie.

    Raises:
        UnfitRequest: The gateway would refuse it, or should.
    """
    _require_collectable(request.price, minimum_amount)
    extra = _extra_of(request, today, "today")
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


def schedule_body_of(request: ScheduleRequest, *, minimum_amount: int, now: datetime) -> bytes:
    """Return the body that reserves a charge.

    Args:
        request: What is to be charged, and when.
        minimum_amount: The least the gateway takes, in won.
        now: Reservations lie after it; the use is over on the day of the charge or later.

    Raises:
        UnfitRequest: The gateway would refuse it, or should.
    """
    charge = request.charge
    _require_collectable(charge.price, minimum_amount)
    _require_ahead(request.schedule_at, now)
    extra = _extra_of(charge, korean_date(request.schedule_at), "the day of the charge")
    return _fit(
        lambda: ScheduleBody(
            customer_uid=charge.customer_uid,
            schedules=(
                ScheduleEntry(
                    merchant_uid=charge.merchant_uid,
                    schedule_at=request.schedule_at_s,
                    amount=charge.price.amount,
                    tax_free=charge.price.tax_free,
                    name=charge.order_name,
                    buyer_name=charge.buyer_name,
                    buyer_email=charge.buyer_email,
                    buyer_tel=charge.buyer_tel,
                    extra=extra,
                ),
            ),
        )
    ).encoded()


def instant_body(schedule_at: datetime, *, now: datetime) -> bytes:
    """Return the body that gives a reservation another instant.

    Raises:
        UnfitRequest: It is over, or holds a part of a second.
    """
    _require_ahead(schedule_at, now)
    return _fit(lambda: InstantBody(schedule_at=whole_second(schedule_at))).encoded()


def _require_ahead(schedule_at: datetime, now: datetime) -> None:
    if schedule_at <= now:
        message = f"schedule_at {schedule_at.isoformat()} is over: it must lie ahead"
        raise UnfitRequest(message)


def _require_collectable(price: Price, minimum_amount: int) -> None:
    if collectability(price, minimum_amount) is not Collectability.CHARGE:
        raise UnfitRequest(minimum_amount_text(minimum_amount))


def _extra_of(request: ChargeRequest, charged_on: date, words: str) -> AgainExtra | None:
    """Return what only some contracts ask for; the use is not over before the charge is made."""
    used_on = request.naver_use_cfm
    if used_on is None:
        return None
    if used_on < charged_on:
        message = f"naverUseCfm {used_on:%Y%m%d} is before {words} in Korea, {charged_on:%Y%m%d}"
        raise UnfitRequest(message)
    return AgainExtra(naver_use_cfm=f"{used_on:%Y%m%d}")


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


def unschedule_body(customer_uid: str, merchant_uids: Sequence[str] | None = None) -> bytes:
    """Return the body that revokes reservations of a billing key, all where none are named.

    Raises:
        UnfitRequest: No billing key or reservation is so named, or the list of them is empty.
    """
    listed = None if merchant_uids is None else tuple(merchant_uids)
    return _fit(lambda: UnscheduleBody(customer_uid=customer_uid, merchant_uid=listed)).encoded()


def confirm_body(requester: Requester) -> bytes:
    """Return the body that confirms a purchase, with on whose wish."""
    return _fit(lambda: ConfirmBody(requester=requester)).encoded()


def nothing_body() -> bytes:
    """Return the body of an order that its path says all of."""
    return NothingBody().encoded()


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
