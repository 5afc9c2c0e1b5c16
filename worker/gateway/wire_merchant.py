"""PortOne's replies about what only Naver Pay has, and about the merchant's own channels."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, StrictBool, StrictInt, StrictStr

from shared.billing.gateway_channel import GatewayChannel
from worker.gateway.wire import Else, Text, WireModel


@dataclass(frozen=True, slots=True)
class CashAmount:
    """For how much of a payment a cash receipt may be issued, in won.

    Attributes:
        total: All of it.
        by_points: The part that was paid in Naver Pay points.
        by_primary: The part that was paid by the buyer's main means.
        supply: What of the total is the value of the goods.
        vat: What of the total is value added tax.
    """

    total: int
    by_points: int
    by_primary: int
    supply: int
    vat: int


class NaverCashAmount(WireModel):
    """The amounts as PortOne tells them."""

    amount_total: StrictInt
    amount_by_npoint: StrictInt
    amount_by_primary: StrictInt
    amount_supply: StrictInt
    amount_vat: StrictInt

    def record(self) -> CashAmount:
        """Return the amounts for those who asked."""
        return CashAmount(
            total=self.amount_total,
            by_points=self.amount_by_npoint,
            by_primary=self.amount_by_primary,
            supply=self.amount_supply,
            vat=self.amount_vat,
        )


class PgSetting(WireModel):
    """A channel as PortOne tells it; which it is, and whether it is for tests, must be readable."""

    pg_provider: Annotated[StrictStr, Field(min_length=1)]
    pg_id: StrictStr
    sandbox: StrictBool
    type: Annotated[StrictStr | None, Else(None)] = None
    channel_name: Text = None
    channel_key: Text = None

    def record(self) -> GatewayChannel:
        """Return the channel for those who asked."""
        return GatewayChannel(
            pg_provider=self.pg_provider,
            pg_id=self.pg_id,
            is_test=self.sandbox,
            kind=self.type,
            name=self.channel_name,
            key=self.channel_key,
        )
