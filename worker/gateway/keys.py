"""Billing keys: looked up, with what was charged by them, and deleted."""

from collections.abc import Sequence

from shared.billing.inquiry import PaymentRecord
from shared.billing.refund import Requester
from worker.gateway import texts
from worker.gateway.calls import MANY_BY_STATUS, Call, segment
from worker.gateway.errors import GatewayUnavailable
from worker.gateway.payments import list_queries
from worker.gateway.requests import deletion_query
from worker.gateway.session import Session
from worker.gateway.wire import BillingKeyRecord, Customer, PaymentPage, reader

CUSTOMERS = "/subscribe/customers"
# A page holds twenty by PortOne's default, which this call has no parameter to change.
_PAGES_MAX = 500

_read_customer = reader(Customer)
_read_customers = reader(list[Customer])
_read_page = reader(PaymentPage)


class BillingKeys(Session):
    """The billing keys that the gateway holds."""

    async def customer(self, customer_uid: str) -> BillingKeyRecord | None:
        """Return a billing key; that it is held does not prove that Naver still honours it.

        Raises:
            GatewayError: Nobody can say.
        """
        path = f"{CUSTOMERS}/{segment(customer_uid)}"
        call = Call(path, _read_customer, absent=texts.UNREGISTERED, secrets=(customer_uid,))
        customer = await self._calls.make(call)
        return None if customer is None else customer.record()

    async def customers(self, customer_uids: Sequence[str]) -> list[BillingKeyRecord]:
        """Return the billing keys of these names, as far as there are any.

        Raises:
            GatewayError: Nobody can say.
        """
        found: list[BillingKeyRecord] = []
        for query in list_queries("customer_uid[]", customer_uids):
            call = Call(
                f"{CUSTOMERS}?{query}",
                _read_customers,
                absent=texts.UNREGISTERED,
                whole_by_status=MANY_BY_STATUS,
                is_long=True,
                secrets=tuple(customer_uids),
            )
            found += [customer.record() for customer in await self._calls.make(call) or ()]
        return found

    async def customer_payments(self, customer_uid: str) -> list[PaymentRecord] | None:
        """Return every payment by a billing key and its registration; None if there is no such key.

        Records that come while the pages are turned only move what was read to a later page, where
        it is known again. Whether those of a deleted key are still shown is not documented.

        Raises:
            GatewayError: Nobody can say, or not all of it.
        """
        found: dict[str, PaymentRecord] = {}
        for number in range(1, _PAGES_MAX + 1):
            path = f"{CUSTOMERS}/{segment(customer_uid)}/payments?page={number}"
            call = Call(
                path,
                _read_page,
                absent=texts.UNREGISTERED,
                beyond_by_status=number > 1,
                is_long=True,
                secrets=(customer_uid,),
            )
            page = await self._calls.make(call)
            if page is None and number == 1:
                return None
            if page is not None:
                found |= {payment.imp_uid: payment.record() for payment in page.payments}
            if page is None or page.next == 0:
                if page is None or page.total > len(found):
                    message = "the gateway counts records that it does not show"
                    raise GatewayUnavailable(message)
                return list(found.values())
        message = f"more than {_PAGES_MAX} pages of payments by one billing key"
        raise GatewayUnavailable(message)

    async def delete_customer(
        self, customer_uid: str, *, reason: str, requester: Requester
    ) -> None:
        """Delete a billing key for good; one that is not there has been deleted.

        Reservations go first: PortOne does not revoke them with the key (V1 spec, ``customers``).

        Raises:
            GatewayError: Nobody can say whether it is gone.
            UnfitRequest: There is no reason, or no such key.
        """
        query = deletion_query(reason, requester)
        path = f"{CUSTOMERS}/{segment(customer_uid)}?{query}"
        call = Call(
            path,
            _read_customer,
            "DELETE",
            absent=texts.UNREGISTERED,
            secrets=(customer_uid,),
        )
        await self._calls.make(call)
