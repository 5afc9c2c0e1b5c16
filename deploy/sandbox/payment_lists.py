"""Lists of payments: by status, by ids, and those of a billing key."""

from collections.abc import Iterable
from typing import Final

from deploy.sandbox import texts
from deploy.sandbox.annotations import page_json, payments_json
from deploy.sandbox.book import Sorting, in_order
from deploy.sandbox.calls import Call
from deploy.sandbox.lists import Wanted
from deploy.sandbox.lookups import unknown_customer
from deploy.sandbox.parameters import bad
from deploy.sandbox.queries import ids_of, instant, limit_of, page_of, sorting_of, status_of
from deploy.sandbox.records import Payment
from deploy.sandbox.replies import Reply, failed, processed
from deploy.sandbox.state import Sandbox

_ALL: Final = "all"
_RANGE_MAX_S: Final = 90 * 86_400
_PAGE_LENGTH: Final = 20
_PARTLY: Final = 207


def by_status(sandbox: Sandbox, call: Call) -> Reply:
    """Answer with one page of what came by its present status within a range."""
    query = call.query_values()
    status = call.parameters["payment_status"]
    begin, end = _read_range(query, now=int(sandbox.clock.now()))
    wanted = Wanted(
        None if status == _ALL else status_of(status),
        begin,
        end,
        sorting_of(query),
        sandbox.settings.lists_hide_test_payments,
    )
    page, limit = page_of(query), limit_of(query)
    found = sandbox.lists.payments(wanted, begin=(page - 1) * limit, length=limit)
    if page > 1 and not found.payments:
        return failed(400, texts.PAGE_BEYOND_THE_LAST)
    float_amounts = sandbox.settings.float_amounts
    return processed(
        page_json(
            found.payments, total=found.total, page=page, limit=limit, float_amounts=float_amounts
        )
    )


def _read_range(query: dict[str, str], *, now: int) -> tuple[int, int]:
    end = instant(query["to"], "to") if query.get("to") else now
    begin = instant(query["from"], "from") if query.get("from") else max(0, end - _RANGE_MAX_S)
    if not begin <= end <= begin + _RANGE_MAX_S:
        raise bad("from and to must be in order and at most 90 days apart")
    return begin, end


def by_ids(sandbox: Sandbox, call: Call) -> Reply:
    """Answer with the payments of up to a hundred ids, 207 where there are not all of them."""
    imp_uids, merchant_uids = ids_of(call, "imp_uid", "merchant_uid")
    found: dict[str, Payment] = {}
    missing = False
    for imp_uid in imp_uids:
        payment = sandbox.book.payment(imp_uid)
        missing |= not _add(sandbox, found, () if payment is None else (payment,))
    for merchant_uid in merchant_uids:
        records = in_order(sandbox.book.payments_of(merchant_uid), Sorting.STARTED_DESC)
        if sandbox.settings.lists_tell_latest_only:
            records = records[:1]
        missing |= not _add(sandbox, found, records)
    if not found:
        return failed(404, texts.UNKNOWN_PAYMENT)
    listed = payments_json(found.values(), float_amounts=sandbox.settings.float_amounts)
    return processed(listed, status=_PARTLY if missing else 200)


def _add(sandbox: Sandbox, found: dict[str, Payment], payments: Iterable[Payment]) -> bool:
    """Add what may be shown and say whether there was any."""
    hides_tests = sandbox.settings.lists_hide_test_payments
    shown = [payment for payment in payments if not (hides_tests and payment.sandbox)]
    found.update((payment.imp_uid, payment) for payment in shown)
    return bool(shown)


def of_customer(sandbox: Sandbox, call: Call) -> Reply:
    """Answer with one page of the payments of a billing key, latest first.

    Whether those of a deleted key are still shown is not published: here they are not.
    """
    customer_uid = call.parameters["customer_uid"]
    page = page_of(call.query_values())
    if sandbox.book.key(customer_uid) is None:
        return unknown_customer(sandbox, customer_uid)
    hides_tests = sandbox.settings.lists_hide_test_payments
    payments = [
        payment
        for payment in sandbox.lists.payments_of_customer(customer_uid)
        if not (hides_tests and payment.sandbox)
    ]
    payments = in_order(payments, Sorting.STARTED_DESC)
    return processed(
        page_json(
            payments[(page - 1) * _PAGE_LENGTH : page * _PAGE_LENGTH],
            total=len(payments),
            page=page,
            limit=_PAGE_LENGTH,
            float_amounts=sandbox.settings.float_amounts,
        )
    )
