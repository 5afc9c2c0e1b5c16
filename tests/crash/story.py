"""One small life: merchant, buyers and gateway go on whatever dies, and so do the ordinary means.

The deeds of a scenario are done in order, each as soon as it can be: whoever does them stands
outside and does not die. One message is worked at a time, in the order in which they were sent;
beat ticks only the scans that rows wait for, and time jumps to the next instant that matters. A
scan that finds nothing writes nothing, so that a death in it leaves nothing to recover from.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

from deploy.sandbox.behaviours import read_behaviours, read_cancel_behaviours
from deploy.sandbox.records import Payment
from shared.billing.calendar import BillingCycle, Interval, IntervalUnit
from shared.billing.money import Price
from shared.billing.subscription import Agreement
from tests.simulation import checks
from tests.simulation.installation import Installation
from tests.simulation.merchant import Merchant, OpenWindow

MONTHLY = Interval(IntervalUnit.MONTH)
PRICE = Price(9_900, 900)


@dataclass(eq=False, slots=True)
class Life:
    """What the deeds of a scenario are done on.

    Attributes:
        done: How many of the deeds have been done.
        ids: The subscriptions, in the order of their beginning.
        elsewhere: What was cancelled in the gateway's console, by ``imp_uid``.
        strangers: The ``merchant_uid`` of payments that nobody of ours has asked for.
        notes: What one deed leaves for a later one.
        until: When it ends, once it has begun.
        wakes_at: When whoever does the deeds looks again, though no row waits for anything.
        rounds: How often it was looked what is due.
        ticked: How many scans were ticked in this round.
        worked: How many messages were worked in it.
        rows_seen: The number of commits at which rows were last named, and their name.
    """

    installation: Installation
    merchant: Merchant
    done: int = 0
    ids: list[UUID] = field(default_factory=list)
    elsewhere: dict[str, list[int]] = field(default_factory=dict)
    strangers: set[str] = field(default_factory=set)
    notes: dict[str, Any] = field(default_factory=dict)
    until: datetime | None = None
    wakes_at: datetime | None = None
    rounds: int = 0
    ticked: int = 0
    worked: int = 0
    rows_seen: tuple[int, str] | None = None

    @property
    def changing(self) -> Sequence[object]:
        """What changes in a life, beside the gateway and the broker."""
        return self, self.merchant

    @property
    def is_about_scans(self) -> tuple[bool, bool]:
        """Whether scans were ticked in this round, and whether it works nothing else."""
        count = self.worked + len(self.installation.broker.everything())
        return self.ticked > 0, count == self.ticked

    # What deeds do.

    async def subscribe(
        self, *customer_uids: str, price: Price = PRICE, interval: Interval = MONTHLY
    ) -> bool:
        """Begin a subscription for each of the buyers."""
        cycle = BillingCycle(self.installation.now, interval)
        agreements = [(uid, Agreement(price, "슬림 요금제", cycle)) for uid in customer_uids]
        self.ids += await self.merchant.subscribe(agreements)
        return True

    def script(
        self, customer_uid: str, *steps: str | Mapping[str, Any], then: str = "paid"
    ) -> None:
        """Say how the next charges of a buyer end."""
        given = {customer_uid: {"script": list(steps), "then": then}}
        self.installation.sandbox.scripts |= read_behaviours(given)

    def script_cancels(self, imp_uid: str, *steps: str | Mapping[str, Any]) -> None:
        """Say how the next cancellations of a payment end."""
        given = {imp_uid: {"script": list(steps)}}
        self.installation.sandbox.cancel_scripts |= read_cancel_behaviours(given)

    def faults(self, **settings: Any) -> bool:
        """Change the gateway's faults."""
        sandbox = self.installation.sandbox
        sandbox.settings = sandbox.settings.changed(settings)
        return True

    def cancel_at_console(self, payment: Payment, amount: int) -> None:
        """Cancel a part of a payment in the gateway's console, of which only a webhook tells."""
        if self.merchant.cancel_at_console(payment, amount):
            self.elsewhere.setdefault(payment.imp_uid, []).append(amount)

    # What deeds wait for.

    async def count(self, statement: str) -> int:
        """Return what a statement counts."""
        rows = self.installation.host.reader.execute(f"SELECT count(*) FROM {statement}")  # noqa: S608
        found = rows.fetchone()
        return int(found[0]) if found else 0

    async def paid(self, count: int = 1) -> bool:
        """Say whether so many invoices are paid."""
        return await self.count("invoices WHERE status = 'paid'") >= count

    @property
    def book(self) -> Sequence[Payment]:
        """Every record of money that the gateway holds."""
        return [
            record
            for record in self.installation.sandbox.book.payments()
            if checks.is_money(record)
        ]

    @property
    def window(self) -> OpenWindow | None:
        """The window that was handed out last."""
        return self.merchant.windows[-1] if self.merchant.windows else None


# Returns whether it was done; what cannot be done yet is tried again when something has happened.
Deed: TypeAlias = Callable[[Life], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A life to be lived.

    Attributes:
        deeds: What merchant, buyers and gateway do, one after the other.
        before: What was done before the life begins, undisturbed.
        days: How long it lasts: longer than whatever may follow from its deeds.
        often: Whether it is lived in every run of the tests, and not in the whole proof only.
        varies: Parts of the outcome (``checks.outcome``) that a death may change, with the reason.
    """

    name: str
    deeds: Sequence[Deed]
    settings: Mapping[str, Any] = field(default_factory=dict)
    sandbox: Mapping[str, Any] = field(default_factory=dict)
    days: float = 2.0
    before: Sequence[Deed] = ()
    often: bool = True
    varies: Mapping[str, str] = field(default_factory=dict)


async def _begin(life: Life) -> bool:
    return await life.subscribe("buyer-1")


def after_payment(name: str, deeds: Sequence[Deed], **options: Any) -> Scenario:
    """Return a life that begins once the first period of a subscription is paid and told."""
    return Scenario(name, deeds, before=[_begin], **options)
