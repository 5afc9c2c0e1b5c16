"""The options of what happens in the life of a subscription, each with its bounds and its help."""

from typing import Annotated

import typer

from shared.billing.calendar import INTERVAL_COUNT_MAX, IntervalUnit
from shared.billing.cancellation import CancelWhen
from shared.billing.consent import ConsentKind
from shared.billing.pause import PauseKeeps
from shared.billing.reserving import CollectBy
from shared.billing.subscription import (
    BUYER_REF_LENGTH_MAX,
    ORDER_NAME_LENGTH_MAX,
    PRODUCT_LENGTH_MAX,
    QUANTITY_MAX,
)

_ID_MAX = 2**63 - 1
_WON_MAX = 2**53 - 1
_CLOCKS = "on Korean clocks unless an offset follows"

Quantity = Annotated[
    int, typer.Option(min=1, max=QUANTITY_MAX, help="How many units; --amount is that of one.")
]
Product = Annotated[
    str | None,
    typer.Option(
        help="What is subscribed to, in your own words: trials are given once and prices are"
        f" changed by it; at most {PRODUCT_LENGTH_MAX} characters."
    ),
]
BuyerRef = Annotated[
    str | None,
    typer.Option(help=f"Your own id of the buyer; at most {BUYER_REF_LENGTH_MAX} characters."),
]
TrialEnd = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="Until when nothing is owed; the first period begins then, or at --anchor if that is"
        " later.",
    ),
]
TrialDays = Annotated[
    int | None, typer.Option(min=1, max=730, help="A free trial of so many days from now on.")
]
SetupAmount = Annotated[
    int, typer.Option(min=0, max=_WON_MAX, help="What is charged once, with the first period.")
]
SetupTaxFree = Annotated[
    int, typer.Option(min=0, max=_WON_MAX, help="The part of it that carries no VAT.")
]
SetupName = Annotated[str | None, typer.Option(help="What --setup-amount is for.")]

ConsentAt = Annotated[
    str | None,
    typer.Option(metavar="TIME", help=f"When the buyer agreed, {_CLOCKS}."),
]
ConsentShown = Annotated[
    str | None, typer.Option(help="What the buyer was shown, a version of a text for example.")
]
ConsentEvidence = Annotated[
    str | None, typer.Option(help="What proves it; it is kept, and shown nowhere.")
]
ConsentPaymentMethod = Annotated[
    str | None, typer.Option(help="By what it will be paid for, as the buyer was told.")
]
ConsentAtAsked = Annotated[
    str, typer.Option("--consent-at", metavar="TIME", help=f"When the buyer agreed, {_CLOCKS}.")
]
ConsentShownAsked = Annotated[
    str,
    typer.Option(
        "--consent-shown", help="What the buyer was shown, a version of a text for example."
    ),
]
ConsentEvidenceAsked = Annotated[
    str,
    typer.Option("--consent-evidence", help="What proves it; it is kept, and shown nowhere."),
]
Kind = Annotated[ConsentKind, typer.Option(help="What the buyer agreed to.")]
AmountBefore = Annotated[
    int | None, typer.Option(min=0, max=_WON_MAX, help="What a period cost before, in won.")
]
AmountAfter = Annotated[
    int, typer.Option(min=0, max=_WON_MAX, help="What a period costs from then on, in won.")
]
EffectiveAt = Annotated[
    str | None,
    typer.Option("--from", metavar="TIME", help=f"From when on it is so, {_CLOCKS}."),
]

PauseWhen = Annotated[
    CancelWhen, typer.Option(help="From now on, or from the next renewal on, no period begins.")
]
ResumeAt = Annotated[
    str | None,
    typer.Option(metavar="TIME", help=f"When it goes on by itself, {_CLOCKS}; never, if left out."),
]
Keeps = Annotated[
    PauseKeeps,
    typer.Option(
        help="What stays: the dates of the renewals (periods that begin meanwhile are skipped), or"
        " the time that was paid for (the renewals move)."
    ),
]

NewAmount = Annotated[
    int | None, typer.Option(min=0, max=_WON_MAX, help="What a period costs, of one unit, in won.")
]
NewTaxFree = Annotated[
    int | None, typer.Option(min=0, max=_WON_MAX, help="The part of it that carries no VAT.")
]
NewQuantity = Annotated[int | None, typer.Option(min=1, max=QUANTITY_MAX, help="How many units.")]
NewName = Annotated[
    str | None,
    typer.Option(
        "--name", help=f"What the buyer sees; at most {ORDER_NAME_LENGTH_MAX} characters."
    ),
]
NewEvery = Annotated[
    IntervalUnit | None, typer.Option("--every", help="What the billing cycle counts in.")
]
NewCount = Annotated[
    int | None,
    typer.Option(
        "--count",
        min=1,
        max=INTERVAL_COUNT_MAX,
        help="How many of them a period has; with --every.",
    ),
]
Now = Annotated[bool, typer.Option("--now", help="At once, and not with the next renewal.")]
ChangeFrom = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="TIME",
        help=f"With the first renewal then or later, {_CLOCKS}; the next one, if left out.",
    ),
]
Prorate = Annotated[
    bool,
    typer.Option(
        "--prorate/--no-prorate",
        help="With --now: whether the days that are left are charged and credited.",
    ),
]
ChangeId = Annotated[
    int,
    typer.Argument(
        metavar="CHANGE", min=1, max=_ID_MAX, help="The change's number, from `subscription show`."
    ),
]

For = Annotated[str, typer.Option("--for", help="What for: the line of the invoice reads so.")]
Credit = Annotated[
    int | None, typer.Option(min=1, max=_WON_MAX, help="So many won less, over as many periods.")
]
Discount = Annotated[
    int | None, typer.Option(min=1, max=_WON_MAX, help="So many won less each period.")
]
Percent = Annotated[
    int | None, typer.Option(min=1, max=100, help="So many percent less each period.")
]
Periods = Annotated[
    int | None, typer.Option(min=1, max=1_200, help="For how many periods a discount is given.")
]
CollectedBy = Annotated[
    CollectBy,
    typer.Option(
        help="Who makes the charges: 'charge' is we, when they are due; 'reservation' is PortOne,"
        " at an instant that is reserved ahead."
    ),
]
CollectByFirst = Annotated[
    CollectBy,
    typer.Option(
        help="Who makes the charges: we, or PortOne at an instant reserved ahead; `subscription"
        " collect` says otherwise later."
    ),
]
Enabled = Annotated[
    bool,
    typer.Option(
        "--on/--off", help="Whether what is declined is tried again by itself.", show_default=False
    ),
]

OfProduct = Annotated[str, typer.Option("--product", help="Whose price changes.")]
NewPrice = Annotated[
    int, typer.Option("--amount", min=0, max=_WON_MAX, help="What one unit costs, in won.")
]
NewPriceTaxFree = Annotated[
    int,
    typer.Option("--tax-free", min=0, max=_WON_MAX, help="The part of it that carries no VAT."),
]
PriceFrom = Annotated[
    str,
    typer.Option(
        "--from", metavar="TIME", help=f"With the first renewal then or later, {_CLOCKS}."
    ),
]
