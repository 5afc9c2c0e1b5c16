"""Billing keys: several at once, and the end of one."""

from typing import Final

from deploy.sandbox import texts
from deploy.sandbox.annotations import customer_json
from deploy.sandbox.calls import Call
from deploy.sandbox.cancel import read_requester
from deploy.sandbox.lookups import unknown_customer
from deploy.sandbox.queries import ids_of
from deploy.sandbox.replies import Reply, failed, processed
from deploy.sandbox.state import Sandbox

_PARTLY: Final = 207


def several(sandbox: Sandbox, call: Call) -> Reply:
    """Answer with up to a hundred billing keys, 207 where there are not all of them."""
    (customer_uids,) = ids_of(call, "customer_uid")
    keys = [sandbox.book.key(customer_uid) for customer_uid in customer_uids]
    found = [customer_json(key) for key in keys if key is not None]
    if not found:
        return failed(404, texts.UNKNOWN_CUSTOMERS)
    return processed(f"[{','.join(found)}]", status=200 if len(found) == len(keys) else _PARTLY)


def delete(sandbox: Sandbox, call: Call) -> Reply:
    """End a billing key for good and answer with what it was.

    Its schedules stay, and fail when they are due: the documents ask the merchant to revoke them
    before.
    """
    customer_uid = call.parameters["customer_uid"]
    query = call.query_values()
    key = sandbox.book.delete_key(
        customer_uid,
        at=sandbox.clock.now(),
        reason=query.get("reason"),
        requester=read_requester(query.get("extra[requester]"), "extra.requester"),
    )
    return unknown_customer(sandbox, customer_uid) if key is None else processed(customer_json(key))
