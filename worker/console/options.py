"""The options of the commands, each with its bounds and its help."""

from typing import Annotated
from uuid import UUID

import typer

from shared.billing.calendar import INTERVAL_COUNT_MAX, IntervalUnit
from shared.billing.invoice import InvoiceStatus
from shared.billing.merchant_uid import PERIOD_INDEX_MAX
from shared.billing.subscription import (
    BUYER_EMAIL_LENGTH_MAX,
    BUYER_NAME_LENGTH_MAX,
    BUYER_TEL_LENGTH_MAX,
    ORDER_NAME_LENGTH_MAX,
    SubscriptionStatus,
)
from worker.console.billing_key import STDIN, VARIABLE
from worker.console.terms import BillFrom

# How many rows a list shows unless told, and at most: more is a job for SQL.
LIMIT = 20
LIMIT_MAX = 1_000
# The largest number PostgreSQL's bigint holds.
_INVOICE_ID_MAX = 2**63 - 1

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Limit = Annotated[int, typer.Option(min=1, max=LIMIT_MAX, help="How many at most.")]

InvoiceId = Annotated[
    int, typer.Argument(metavar="ID", min=1, max=_INVOICE_ID_MAX, help="The invoice's number.")
]
OfInvoiceStatus = Annotated[InvoiceStatus | None, typer.Option(help="Only those of this status.")]
OfSubscription = Annotated[UUID | None, typer.Option(help="Only those of this subscription.")]

SubscriptionId = Annotated[UUID, typer.Argument(metavar="ID", help="The subscription's id.")]
OfSubscriptionStatus = Annotated[
    SubscriptionStatus | None, typer.Option(help="Only those of this status.")
]

CustomerUid = Annotated[
    str | None,
    typer.Option(
        metavar=STDIN,
        help="The billing key at PortOne; only '-', which reads it from stdin, because an argument"
        " is seen in the process list and stays in the shell's history. Without the option it is"
        f" read from {VARIABLE} or, at a terminal, asked for and not shown.",
    ),
]
Amount = Annotated[int, typer.Option(min=0, help="What a period costs, in whole won.")]
TaxFree = Annotated[int, typer.Option(min=0, help="The part of it that carries no VAT, in won.")]
Name = Annotated[
    str,
    typer.Option(help=f"What the buyer sees; at most {ORDER_NAME_LENGTH_MAX} characters."),
]
Every = Annotated[IntervalUnit, typer.Option(help="What the billing cycle counts in.")]
Count = Annotated[
    int, typer.Option(min=1, max=INTERVAL_COUNT_MAX, help="How many of them a period has.")
]
Anchor = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="When period 0 begins, for example 2026-01-31 (midnight) or 2026-01-31T09:30, on the"
        " clocks of --zone unless an offset follows; now if left out.",
    ),
]
Zone = Annotated[str, typer.Option(help="The time zone in which days and months are counted.")]
FirstPeriod = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=PERIOD_INDEX_MAX,
        help="The first period that is billed, counted from the anchor; 0 if left out, unless the"
        " anchor lies in the past: then this or --bill-from must be given.",
    ),
]
BillFromChoice = Annotated[
    BillFrom | None,
    typer.Option(
        help="With an anchor in the past: 'now' bills first the next period to begin, 'anchor'"
        " bills from period 0, as the scheduler's catch-up policy has it.",
    ),
]
BuyerName = Annotated[str | None, typer.Option(help=f"At most {BUYER_NAME_LENGTH_MAX} characters.")]
BuyerEmail = Annotated[
    str | None, typer.Option(help=f"At most {BUYER_EMAIL_LENGTH_MAX} characters.")
]
BuyerTel = Annotated[str | None, typer.Option(help=f"At most {BUYER_TEL_LENGTH_MAX} characters.")]
