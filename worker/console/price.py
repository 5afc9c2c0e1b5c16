"""`dalmada price`: another price for everybody who has subscribed to a product."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, assert_never

import typer

from shared.billing.consent import WithoutConsent
from shared.billing.errors import BillingError
from shared.billing.use_confirmation import KST
from shared.clock import WallClock
from worker.console import life_options, options
from worker.console.confirmation import confirm, require_somebody
from worker.console.endings import ends_in_words
from worker.console.life_deeds import handler_of, moment
from worker.console.rendering import both, print_fields, print_json, won

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.ext.asyncio import AsyncConnection

    from shared.billing.events import Json
    from shared.db.life_readings import Repriced
    from worker.console.deeds import Deed
    from worker.console.session import LifeSettings

app = typer.Typer(
    help="Prices, for all subscriptions of a product.", no_args_is_help=True, rich_markup_mode=None
)


@app.callback()
def _price() -> None:
    """Keep `change` a command of its own, though it is the only one."""


@app.command()
@ends_in_words
def change(
    *,
    product: life_options.OfProduct,
    amount: life_options.NewPrice,
    tax_free: life_options.NewPriceTaxFree = 0,
    effective_at: life_options.PriceFrom,
    reason: options.WhyIfAny = None,
    yes: options.Yes = False,
    as_json: options.AsJson = False,
) -> None:
    """Change what one unit of a product costs, for every subscription that lives.

    Each is billed by it from its first renewal then or later on. Whoever pays more by it must agree
    first, and is told in time (DALMADA_NOTICE_PRICE_DAYS); what follows where nobody agrees is
    DALMADA_WITHOUT_CONSENT.
    """
    require_somebody(yes=yes)
    from shared.jobs.life_commands import ChangePrice  # noqa: PLC0415 - see app.py
    from worker.console import deeds, session  # noqa: PLC0415

    settings = session.load(session.LifeSettings)
    command = deeds.command_of(
        ChangePrice,
        product=product,
        amount=amount,
        tax_free=tax_free,
        effective_at=moment("--from", effective_at),
    )
    deed = deeds.Deed(
        "price change", f"product {product}", reason, command, handler_of(command, settings)
    )
    reach = session.ask(settings, lambda connection: _look(connection, deed))
    confirm(
        "This price will be changed",
        {
            "product": product,
            "one unit costs": won(amount) + (f" ({won(tax_free)} tax-free)" if tax_free else ""),
            "from": both(command.effective_at, KST.key),
            "subscriptions": str(reach.subscriptions),
            "first renewal by it": both(reach.first_at, KST.key),
            "must agree first": f"{reach.must_agree}; without it {_without(settings)}",
        },
        yes=yes,
        as_json=as_json,
    )
    result = deeds.do(settings, deed)
    if as_json:
        print_json(result)
    else:
        _print(result, reach)


@dataclass(frozen=True, slots=True)
class _Reach:
    """Whom a change of a price reaches.

    Attributes:
        first_at: When the first of them is renewed by it, or None if none is.
        must_agree: How many of them will cost more than the buyer has agreed to pay.
    """

    subscriptions: int
    first_at: datetime | None
    must_agree: int


async def _look(connection: "AsyncConnection", deed: "Deed") -> _Reach:
    from shared.db import life_readings  # noqa: PLC0415 - see app.py
    from worker.console import deeds  # noqa: PLC0415

    async def reached(_: "Mapping[str, Json]") -> _Reach:
        found = await life_readings.repriced(connection, deed.command.command_id)
        return _Reach(len(found), _first_at(found), sum(each.needs_consent for each in found))

    _, reach = await deeds.foresee_with(connection, deed, WallClock().now(), reached)
    return reach


def _first_at(found: "Sequence[Repriced]") -> datetime | None:
    """Return when the first period begins that is billed by a new price."""
    return min((at for each in found if (at := _begins_at(each)) is not None), default=None)


def _begins_at(each: "Repriced") -> datetime | None:
    """Return when the first period of a subscription begins at its new price."""
    try:
        upcoming = each.cycle.period(each.next_period_index)
        if upcoming.start_at >= each.effective_at:
            return upcoming.start_at
        running = each.cycle.period(each.cycle.index_at(each.effective_at))
    except (BillingError, OverflowError):
        return None
    return running.start_at if running.start_at >= each.effective_at else running.end_at


def _without(settings: "LifeSettings") -> str:
    """Return what becomes of a subscription whose buyer does not agree."""
    match settings.without_consent:
        case WithoutConsent.KEEP_PRICE:
            return "the price stays"
        case WithoutConsent.END:
            return "the subscription ends"
        case _:
            assert_never(settings.without_consent)


def _print(result: "Mapping[str, Json]", reach: _Reach) -> None:
    print_fields(
        {
            "subscriptions": str(reach.subscriptions),
            "first renewal by it": both(reach.first_at, KST.key),
            "must agree first": str(reach.must_agree),
            "command": str(result["command_id"]),
        }
    )
