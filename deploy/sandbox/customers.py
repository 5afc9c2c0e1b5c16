"""`DELETE /subscribe/customers/{customer_uid}`: the end of a billing key."""

from deploy.sandbox.annotations import customer_json
from deploy.sandbox.calls import Call
from deploy.sandbox.cancel import read_requester
from deploy.sandbox.lookups import unknown_customer
from deploy.sandbox.replies import Reply, processed
from deploy.sandbox.state import Sandbox


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
        requester=read_requester(query.get("extra[requester]")),
    )
    return unknown_customer(sandbox, customer_uid) if key is None else processed(customer_json(key))
