"""What a merchant has decided about the lives of subscriptions."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta

from shared.billing.charge_hours import ChargeHours
from shared.billing.consent import ConsentPolicy
from shared.billing.dunning import DunningPolicy
from shared.billing.lines import Adjustment, AdjustmentKind, bill
from shared.billing.money import Collectability, Price, collectability, minimum_amount_text
from shared.billing.subscription import Agreement
from shared.jobs.command import WON_MAX
from worker.services.commanding import CommandRefusedError


@dataclass(frozen=True, slots=True)
class LifeRules:
    """What commands about subscriptions are held against.

    Attributes:
        minimum_amount: The least that the gateway charges, in won.
        trial_once: Whether a buyer is given one free trial of a product, and no second one.
        consent: When a buyer must have agreed to a price.
        price_notice: How long before a higher price the buyer is told of it.
        dunning: How often a buyer may try an invoice.
        hours: When charges may be made.
    """

    minimum_amount: int = 10
    trial_once: bool = True
    consent: ConsentPolicy = field(default_factory=ConsentPolicy)
    price_notice: timedelta = timedelta(days=30)
    dunning: DunningPolicy = field(default_factory=DunningPolicy)
    hours: ChargeHours = field(default_factory=ChargeHours)

    def require_collectable(self, price: Price) -> None:
        """Refuse what a period would cost and the gateway would never charge.

        Raises:
            CommandRefusedError: In the buyer's words, and in English.
        """
        minimum = self.minimum_amount
        if collectability(price, minimum) is Collectability.BELOW_MINIMUM:
            message = (
                f"{minimum_amount_text(minimum)} Naver Pay charges {minimum:,} won or more, not"
                f" {price.amount:,}; give at least that, or 0, which is settled without a charge"
            )
            raise CommandRefusedError(message)
        if price.amount > WON_MAX:
            message = (
                f"a period would cost {price.amount:,} won; {WON_MAX:,} is the most that can be"
                " billed: lower the amount or the quantity"
            )
            raise CommandRefusedError(message)

    def require_charged(self, agreement: Agreement, adjustments: Iterable[Adjustment]) -> None:
        """Refuse discounts by which a period would cost nothing at all.

        What follows it would be charged without the consent that what was free asks for. A credit
        is the buyer's own: a period that it pays for is paid for.

        Raises:
            CommandRefusedError: In words.
        """
        discounts = [each for each in adjustments if each.kind is AdjustmentKind.DISCOUNT]
        total = agreement.total
        owed = bill(total, agreement.order_name, agreement.quantity, discounts, self.minimum_amount)
        if owed.total.amount or not total.amount:
            return
        message = (
            f"a period of {total.amount:,} won would cost nothing by its discounts, and the one"
            " after them all of it, without the consent that is asked for before what was free is"
            " charged: right are a smaller discount, a price above it, a credit, or a free trial"
            " (trial_days of subscription.start, with its consent of the kind trial_conversion)"
        )
        raise CommandRefusedError(message)
