"""Change the price of a product for everybody who subscribes to it, from a date on."""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.events import Json
from shared.billing.money import Price
from shared.db import agreement_writes, reserved_periods
from shared.db.agreement_writes import NewPrice
from shared.jobs.life_commands import ChangePrice
from worker.services.commanding import CommandRefusedError
from worker.services.life.rules import LifeRules


@dataclass(frozen=True, slots=True)
class ChangeProductPrice:
    """Handle ``price.change``."""

    rules: LifeRules

    async def __call__(
        self, connection: AsyncConnection, command: ChangePrice, now: datetime
    ) -> dict[str, Json]:
        """Schedule the price for each living subscription of the product, or refuse it in words.

        One that begins later begins at the price that its start says.
        """
        if command.effective_at <= now:
            message = (
                f"effective_at {command.effective_at.isoformat()} has passed: a price is changed"
                " from a date to come"
            )
            raise CommandRefusedError(message)
        price, at = Price(command.amount, command.tax_free), command.effective_at.astimezone(UTC)
        new = NewPrice(command.product, price, at, command.command_id)
        units = await agreement_writes.units_of(connection, new)
        if units is None:
            message = (
                f"no living subscription of {command.product!r} costs anything else: name a product"
                " as subscription.start does"
            )
            raise CommandRefusedError(message)
        for quantity in units:
            self.rules.require_collectable(
                Price(price.amount * quantity, price.tax_free * quantity)
            )
        changes = await agreement_writes.schedule_price(
            connection, new, self.rules.price_notice, now
        )
        cause = "price.change: revoked, before anything else"
        await reserved_periods.recall_product(connection, command.product, at, cause, now)
        return {
            "product": command.product,
            "effective_at": at.isoformat(),
            "changes": changes,
        }
