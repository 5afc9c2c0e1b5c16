"""`dalmada payment`: what was paid, what of it went back, and giving back more."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from shared.clock import WallClock
from worker.console import options, payment_view
from worker.console.confirmation import confirm, require_somebody
from worker.console.endings import MisusedError, ends_in_words

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from shared.billing.events import Json
    from shared.db.payment_readings import PaymentCard
    from shared.db.readings import BillingKey
    from shared.jobs.commands import RefundPayment
    from worker.console.deeds import Deed
    from worker.console.session import ConsoleSettings

app = typer.Typer(
    help="What was paid, and what of it went back.", no_args_is_help=True, rich_markup_mode=None
)


@app.command("list")
@ends_in_words
def list_(
    *,
    subscription: options.OfSubscription = None,
    limit: options.Limit = options.LIMIT,
    as_json: options.AsJson = False,
) -> None:
    """List payments, newest first."""
    from worker.console import queries, session  # noqa: PLC0415 - see app.py

    found = session.ask(
        session.load(session.ConsoleSettings),
        # One more than is shown tells whether there are more.
        lambda connection: queries.list_payments(connection, limit + 1, subscription),
    )
    if as_json:
        payment_view.write_list(found, limit)
    else:
        payment_view.print_list(found, limit)


@app.command()
@ends_in_words
def show(imp_uid: options.ImpUid, *, as_json: options.AsJson = False) -> None:
    """Show a payment and every refund of it, with the gateway's words byte for byte."""
    from worker.console import queries, session  # noqa: PLC0415 - see app.py

    card, refunds = session.ask(
        session.load(session.ConsoleSettings),
        lambda connection: queries.show_payment(connection, imp_uid),
    )
    if as_json:
        payment_view.write_card(card, refunds)
    else:
        payment_view.print_card(card, refunds)


@app.command()
@ends_in_words
def refund(
    *,
    reason: options.Reason,
    requester: options.OnWish,
    imp_uid: options.OfImpUid = None,
    invoice: options.OfInvoice = None,
    amount: options.RefundAmount = None,
    everything: options.RefundAll = False,
    tax_free: options.RefundTaxFree = None,
    yes: options.Yes = False,
    as_json: options.AsJson = False,
) -> None:
    """Give money back: a part of a payment, or all that is left of it.

    What is shown is what goes back: if less is left by the time it is confirmed, it is refused. The
    worker sends it; `payment show` tells how it went.
    """
    if (imp_uid is None) == (invoice is None):
        raise MisusedError("name the payment by --imp-uid or by --invoice, and by one of them.")
    if (amount is None) != everything:
        raise MisusedError("say how much goes back: --amount N or --all, one of them.")
    if everything and tax_free is not None:
        raise MisusedError("--all takes all that is tax-free with it: leave --tax-free out.")
    require_somebody(yes=yes)
    from shared.jobs.commands import RefundPayment  # noqa: PLC0415 - see app.py
    from worker.console import deeds, session  # noqa: PLC0415

    asked = deeds.command_of(
        RefundPayment,
        imp_uid=imp_uid,
        invoice_id=invoice,
        amount="all" if everything else amount,
        tax_free=tax_free,
        reason=reason,
        requester=requester,
    )
    settings = session.load(session.ConsoleSettings)
    wish = _look(settings, asked)
    confirm(
        "This refund will be asked for",
        payment_view.refund_fields(wish.card, wish.buyer, wish.told, reason, requester),
        yes=yes,
        as_json=as_json,
    )
    result = deeds.do(settings, _pinned(wish, asked))
    if as_json:
        payment_view.write_refund(result)
    else:
        payment_view.print_refund(result)


@dataclass(frozen=True, slots=True)
class _Wish:
    """What a refund would be, as it was looked up."""

    card: "PaymentCard"
    buyer: "BillingKey | None"
    told: "Mapping[str, Json]"


def _look(settings: "ConsoleSettings", asked: "RefundPayment") -> _Wish:
    """Return what the handler would ask for, and of which payment."""
    from shared.db import payment_readings  # noqa: PLC0415 - see app.py
    from worker.console import deeds, queries, session  # noqa: PLC0415

    async def look(connection: "AsyncConnection") -> _Wish:
        told = await deeds.foresee(connection, _deed(asked), WallClock().now())
        card, _ = await queries.show_payment(connection, str(told["imp_uid"]))
        buyer = await payment_readings.buyer_of(connection, card.payment.id)
        return _Wish(card, buyer, told)

    return session.ask(settings, look)


def _pinned(wish: _Wish, asked: "RefundPayment") -> "Deed":
    """Return the refund of exactly what was shown."""
    from shared.jobs.commands import RefundPayment  # noqa: PLC0415 - see app.py

    return _deed(
        RefundPayment.model_validate(
            {
                "command_id": asked.command_id,
                "imp_uid": wish.card.payment.imp_uid,
                "amount": wish.told["amount"],
                "tax_free": wish.told["tax_free"],
                "reason": asked.reason,
                "requester": asked.requester,
            }
        )
    )


def _deed(asked: "RefundPayment") -> "Deed":
    from worker.console import deeds  # noqa: PLC0415 - see app.py
    from worker.services.refund_requests import refund_payment  # noqa: PLC0415

    subject = f"payment {asked.imp_uid}"
    return deeds.Deed("payment refund", subject, asked.reason, asked, refund_payment)
