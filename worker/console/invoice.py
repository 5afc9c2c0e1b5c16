"""`dalmada invoice`: what is owed, how its collection went, and trying it once more."""

from typing import TYPE_CHECKING

import typer

from shared.clock import WallClock
from worker.console import invoice_view, options
from worker.console.confirmation import confirm, require_somebody
from worker.console.endings import ends_in_words
from worker.console.life_view import told_fields
from worker.console.rendering import print_fields, print_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.ext.asyncio import AsyncConnection

    from shared.billing.events import Json
    from worker.console.queries import InvoiceCard

app = typer.Typer(help="What is owed for each period.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
@ends_in_words
def list_(
    *,
    status: options.OfInvoiceStatus = None,
    subscription: options.OfSubscription = None,
    limit: options.Limit = options.LIMIT,
    as_json: options.AsJson = False,
) -> None:
    """List invoices, newest first."""
    from worker.console import queries, session  # noqa: PLC0415 - see app.py

    found = session.ask(
        session.load(session.ConsoleSettings),
        # One more than is shown tells whether there are more.
        lambda connection: queries.list_invoices(connection, limit + 1, status, subscription),
    )
    if as_json:
        invoice_view.write_list(found, limit)
    else:
        invoice_view.print_list(found, limit)


@app.command()
@ends_in_words
def show(invoice_id: options.InvoiceId, *, as_json: options.AsJson = False) -> None:
    """Show an invoice: the lines that it is made of, and every attempt at collecting it."""
    from worker.console import queries, session  # noqa: PLC0415 - see app.py

    card = session.ask(
        session.load(session.ConsoleSettings),
        lambda connection: queries.show_invoice(connection, invoice_id),
    )
    if as_json:
        invoice_view.write_card(card)
    else:
        invoice_view.print_card(card)


@app.command()
@ends_in_words
def retry(
    invoice_id: options.InvoiceId,
    *,
    reason: options.WhyIfAny = None,
    yes: options.Yes = False,
    as_json: options.AsJson = False,
) -> None:
    """Try to collect an invoice at once, on the buyer's wish; it uses up no attempt of ours."""
    require_somebody(yes=yes)
    from shared.jobs.life_commands import RetryInvoice  # noqa: PLC0415 - see app.py
    from worker.console import deeds, queries, session  # noqa: PLC0415
    from worker.console.life_deeds import handler_of  # noqa: PLC0415

    settings = session.load(session.LifeSettings)
    command = deeds.command_of(RetryInvoice, invoice_id=invoice_id)
    subject = f"invoice {invoice_id}"
    deed = deeds.Deed("invoice retry", subject, reason, command, handler_of(command, settings))

    async def look(connection: "AsyncConnection") -> "tuple[Mapping[str, Json], InvoiceCard]":
        told = await deeds.foresee(connection, deed, WallClock().now())
        return told, await queries.show_invoice(connection, invoice_id)

    told, card = session.ask(settings, look)
    confirm(
        "This invoice will be collected at once",
        invoice_view.retry_fields(card, told),
        yes=yes,
        as_json=as_json,
    )
    result = deeds.do(settings, deed)
    if as_json:
        print_json(result)
    else:
        print_fields(told_fields(result, card.time_zone))
