"""PortOne V1 in typed calls: five that move money and are never repeated, and many that do not."""

from worker.gateway.keys import BillingKeys
from worker.gateway.naver import NaverPay
from worker.gateway.payments import Payments
from worker.gateway.reservations import Reservations
from worker.gateway.windows import Windows


class PortOne(Payments, BillingKeys, Reservations, Windows, NaverPay):
    """The gateway of one merchant.

    ``charge``, ``refund``, ``schedule``, ``reschedule`` and ``retry`` return how it ended, always.
    The others may be repeated at will, but for ``point`` and ``confirm``, and raise
    ``GatewayError`` when nobody can say.
    An instance belongs to the event loop that first uses it.
    """
