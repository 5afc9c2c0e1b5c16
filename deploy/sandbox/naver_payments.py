"""`/payments/{imp_uid}/naver/…`: what the merchant does with a payment at Naver after it is made.

Whether only an escrow payment can be confirmed is not published: here every paid one can, once.
"""

from deploy.sandbox import texts
from deploy.sandbox.bodies import read_parameters
from deploy.sandbox.calls import Call
from deploy.sandbox.cancel import read_requester
from deploy.sandbox.records import Payment, Status, Usage
from deploy.sandbox.replies import Reply, done, failed, processed, to_json
from deploy.sandbox.state import Sandbox

_VAT_SHARE = 11  # of eleven parts of a taxed price one is VAT


def point(sandbox: Sandbox, call: Call) -> Reply:
    """Give the buyer the points of a payment, once."""
    payment = sandbox.book.payment(call.parameters["imp_uid"])
    if payment is None:
        return failed(404, texts.UNKNOWN_PAYMENT)
    if not (_is_paid(payment) and sandbox.naver.give_points(payment.imp_uid)):
        return failed(500, texts.NO_POINTS)
    return done()


def confirm(sandbox: Sandbox, call: Call) -> Reply:
    """Note that what was paid for has arrived, once."""
    values = read_parameters(call.body, call.content_type).values
    requester = read_requester(values.get("requester"), "requester")
    payment = sandbox.book.payment(call.parameters["imp_uid"])
    if payment is None:
        return failed(404, texts.UNKNOWN_PAYMENT)
    if not (_is_paid(payment) and sandbox.naver.confirm(payment.imp_uid, requester)):
        return failed(500, texts.NOT_TO_CONFIRM)
    return done()


def cash_amount(sandbox: Sandbox, call: Call) -> Reply:
    """Answer with how much of a payment a cash receipt may be for: of all that is left of it."""
    payment = sandbox.book.payment(call.parameters["imp_uid"])
    if payment is None:
        return failed(404, texts.UNKNOWN_PAYMENT)
    if not payment.paid_at or payment.usage is Usage.ISSUE:
        return failed(500, texts.NOTHING_AT_NAVER)
    left = payment.order.amount - payment.cancel_amount
    taxed = max(0, left - (payment.order.tax_free - payment.cancel_tax_free))
    vat = round(taxed / _VAT_SHARE)
    annotation = {
        "amount_total": left,
        "amount_by_npoint": 0,
        "amount_by_primary": left,
        "amount_supply": left - vat,
        "amount_vat": vat,
    }
    return processed(to_json(annotation))


def _is_paid(payment: Payment) -> bool:
    return payment.status is Status.PAID and payment.usage is not Usage.ISSUE
