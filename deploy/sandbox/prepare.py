"""`/payments/prepare`: amounts that the windows of a merchant_uid are bound to."""

from deploy.sandbox import texts
from deploy.sandbox.bodies import read_parameters
from deploy.sandbox.calls import Call
from deploy.sandbox.parameters import AMOUNT_MAX, NO_LIMIT, read_texts, require, whole
from deploy.sandbox.records import Prepared
from deploy.sandbox.replies import Reply, failed, processed, refused, to_json
from deploy.sandbox.state import Sandbox


def prepare(sandbox: Sandbox, call: Call) -> Reply:
    """Bind a merchant_uid that was not bound before."""
    wanted = _read(call)
    if not sandbox.book.prepare(wanted):
        return refused(texts.ALREADY_PREPARED)
    return _one(sandbox, wanted)


def change(sandbox: Sandbox, call: Call) -> Reply:
    """Bind a merchant_uid to another amount."""
    wanted = _read(call)
    if not sandbox.book.change_prepared(wanted):
        return failed(404, texts.NOT_PREPARED)
    return _one(sandbox, wanted)


def prepared(sandbox: Sandbox, call: Call) -> Reply:
    """Answer with what a merchant_uid is bound to."""
    found = sandbox.book.prepared(call.parameters["merchant_uid"])
    if found is None:
        return failed(404, texts.NOT_PREPARED)
    return _one(sandbox, found)


def _read(call: Call) -> Prepared:
    parameters = read_parameters(call.body, call.content_type)
    values = parameters.values
    require(values, ("merchant_uid", "amount"))
    kept = read_texts(values, {"merchant_uid": 40, "currency": NO_LIMIT})
    amount = whole("amount", values["amount"], typed=parameters.typed, maximum=AMOUNT_MAX)
    return Prepared(kept["merchant_uid"], amount, kept.get("currency"))


def _one(sandbox: Sandbox, found: Prepared) -> Reply:
    amount = float(found.amount) if sandbox.settings.float_amounts else found.amount
    annotation = {
        "merchant_uid": found.merchant_uid,
        "amount": amount,
        "currency": found.currency,
    }
    return processed(to_json(annotation))
