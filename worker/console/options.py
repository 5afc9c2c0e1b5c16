"""The options of the commands, each with its bounds and its help."""

from typing import Annotated
from uuid import UUID

import typer

from shared.billing.calendar import INTERVAL_COUNT_MAX, IntervalUnit
from shared.billing.cancellation import CancelWhen, RefundChoice
from shared.billing.invoice import InvoiceStatus
from shared.billing.lifecycle import SubscriptionStatus
from shared.billing.merchant_uid import PERIOD_INDEX_MAX
from shared.billing.refund import REASON_LENGTH_MAX, Requester
from shared.billing.reserving import ReservationStatus
from shared.billing.subscription import (
    BUYER_EMAIL_LENGTH_MAX,
    BUYER_NAME_LENGTH_MAX,
    BUYER_TEL_LENGTH_MAX,
    ORDER_NAME_LENGTH_MAX,
    BillingKeyStatus,
)
from worker.console.customer_uid import STDIN, VARIABLE
from worker.console.terms import BillFrom

# How many rows a list shows unless told, and at most: more is a job for SQL.
LIMIT = 20
LIMIT_MAX = 1_000
# The largest number PostgreSQL's bigint holds.
_ID_MAX = 2**63 - 1
# The largest number of won that a message may carry.
_WON_MAX = 2**53 - 1

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Limit = Annotated[int, typer.Option(min=1, max=LIMIT_MAX, help="How many at most.")]

InvoiceId = Annotated[
    int, typer.Argument(metavar="ID", min=1, max=_ID_MAX, help="The invoice's number.")
]
OfInvoiceStatus = Annotated[InvoiceStatus | None, typer.Option(help="Only those of this status.")]
OfReservationStatus = Annotated[
    ReservationStatus | None, typer.Option(help="Only those of this status.")
]
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

Yes = Annotated[bool, typer.Option("--yes", help="Do it without asking.")]
Reason = Annotated[
    str,
    typer.Option(
        help=f"The true reason, which goes to PortOne; at most {REASON_LENGTH_MAX} characters."
    ),
]
Why = Annotated[
    str,
    typer.Option(
        "--reason", help=f"Why, for the audit log; at most {REASON_LENGTH_MAX} characters."
    ),
]
WhyIfAny = Annotated[str | None, typer.Option("--reason", help="Why, for the audit log.")]
OnWish = Annotated[Requester, typer.Option("--requester", help="On whose wish.")]

When = Annotated[
    CancelWhen, typer.Option(help="At once, or at the end of the period that runs by then.")
]
RefundOf = Annotated[
    RefundChoice,
    typer.Option(help="What goes back of the period that runs, if it is paid; only with 'now'."),
]
LatePayment = Annotated[
    RefundChoice | None,
    typer.Option(
        help="What goes back of a payment that is under way at the end and turns out paid after it;"
        " if left out, full for an end at once and none for one at the period's end."
    ),
]

ImpUid = Annotated[str, typer.Argument(metavar="IMP_UID", help="The payment's id at PortOne.")]
OfImpUid = Annotated[str | None, typer.Option("--imp-uid", help="The payment, by PortOne's id.")]
OfInvoice = Annotated[
    int | None,
    typer.Option("--invoice", min=1, max=_ID_MAX, help="The payment, by the invoice it paid."),
]
RefundAmount = Annotated[
    int | None, typer.Option("--amount", min=1, max=_WON_MAX, help="How many won go back.")
]
RefundAll = Annotated[bool, typer.Option("--all", help="Everything that is left goes back.")]
RefundTaxFree = Annotated[
    int | None,
    typer.Option(
        "--tax-free",
        min=0,
        max=_WON_MAX,
        help="How much of --amount carries no VAT; its share of what is left, unless given.",
    ),
]

KeyId = Annotated[
    int,
    typer.Argument(
        metavar="ID", min=1, max=_ID_MAX, help="The key's number, from `billing-key list`."
    ),
]
OfKeyStatus = Annotated[BillingKeyStatus | None, typer.Option(help="Only those of this status.")]
WindowAmount = Annotated[
    int, typer.Option(min=1, max=_WON_MAX, help="The amount that the buyer is shown, in won.")
]
WindowTel = Annotated[
    str,
    typer.Option(
        help=f"Naver Pay registers no method without it; at most {BUYER_TEL_LENGTH_MAX} characters."
    ),
]
ProductCode = Annotated[
    str | None,
    typer.Option(help="naverProductCode; the one that the key or its subscription has, if left."),
]
ProductCount = Annotated[int | None, typer.Option(min=1, help="naverProductCount; 1 if left out.")]
RedirectUrl = Annotated[
    str | None, typer.Option(help="m_redirect_url: where the buyer comes back to.")
]
Popup = Annotated[
    bool,
    typer.Option(
        "--popup/--no-popup", help="naverPopupMode; without a popup --redirect-url is needed."
    ),
]

LetterId = Annotated[
    int, typer.Argument(metavar="ID", min=1, max=_ID_MAX, help="The letter's number.")
]
AlsoDecided = Annotated[
    bool, typer.Option("--all", help="Those too that somebody has decided already.")
]
