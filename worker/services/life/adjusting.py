"""Give a buyer a credit, or a discount for some periods."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.change import changed
from shared.billing.events import Event, EventName, Json
from shared.billing.lines import PERCENT_MAX, Adjustment, AdjustmentKind, bill
from shared.billing.money import Price
from shared.billing.subscription import Agreement, Subscription
from shared.db import adjustments, agreement_writes, changes, outbox
from shared.db.agreement_writes import NewAdjustment
from shared.jobs.life_commands import AdjustSubscription
from worker.services.commanding import CommandRefusedError
from worker.services.life.rules import LifeRules
from worker.services.life.standing import going_on


@dataclass(frozen=True, slots=True)
class Adjust:
    """Handle ``subscription.adjust``."""

    rules: LifeRules

    async def __call__(
        self, connection: AsyncConnection, command: AdjustSubscription, now: datetime
    ) -> dict[str, Json]:
        """Write what invoices to come differ by, or refuse it in words."""
        subscription = (await going_on(connection, command.subscription_id, now)).subscription
        agreement, id_ = subscription.agreement, subscription.id
        new = _adjustment(command, agreement)
        (adjustment_id,) = await agreement_writes.adjust(connection, [new], command.command_id)
        found = (await adjustments.still_open(connection, [id_])).get(id_, ())
        if new.kind is AdjustmentKind.DISCOUNT:
            await self._require_charged(connection, command, subscription, found)
        owed = bill(
            agreement.total,
            agreement.order_name,
            agreement.quantity,
            found,
            self.rules.minimum_amount,
        )
        # What the next period would cost with all that is open; later ones nobody knows.
        self.rules.require_collectable(owed.total)
        data: dict[str, Json] = {
            "adjustment_id": adjustment_id,
            "kind": new.kind,
            "amount": new.price.amount,
            "tax_free": new.price.tax_free,
            "percent": new.percent,
            "periods": new.periods,
            "at": now.isoformat(),
        }
        await outbox.write(connection, [Event(EventName.SUBSCRIPTION_ADJUSTED, id_, data)])
        return {
            "subscription_id": str(id_),
            "adjustment_id": adjustment_id,
            "next_amount": owed.total.amount,
        }

    async def _require_charged(
        self,
        connection: AsyncConnection,
        command: AdjustSubscription,
        subscription: Subscription,
        found: Sequence[Adjustment],
    ) -> None:
        """Refuse a discount that makes a period free, at the price of today or one to come."""
        if command.percent == PERCENT_MAX:
            message = (
                f"a discount of {PERCENT_MAX} percent is a free trial: subscription.start gives one"
                " (trial_days), with its consent; a credit pays for periods without one"
            )
            raise CommandRefusedError(message)
        agreement = subscription.agreement
        self.rules.require_charged(agreement, found)
        upcoming = agreement.cycle.period(subscription.next_period_index)
        pending = await changes.pending(connection, [subscription.id])
        for change in pending.of.get(subscription.id, ()):
            agreement = changed(agreement, change.terms, upcoming)
            self.rules.require_charged(agreement, found)


def _adjustment(command: AdjustSubscription, agreement: Agreement) -> NewAdjustment:
    id_, described = command.subscription_id, command.description
    if command.credit is not None:
        credit = _with_share(command.credit, agreement.total)
        return NewAdjustment(id_, AdjustmentKind.CREDIT, described, credit)
    price = _with_share(command.discount or 0, agreement.total)
    return NewAdjustment(
        id_, AdjustmentKind.DISCOUNT, described, price, command.percent, command.periods
    )


def _with_share(amount: int, total: Price) -> Price:
    """Return an amount with the tax-free part that it has in what a period costs."""
    return Price(amount, amount * total.tax_free // total.amount if total.amount else 0)
