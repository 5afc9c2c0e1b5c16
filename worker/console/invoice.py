"""`dalmada invoice`: what is owed, and how its collection went."""

import typer

from worker.console import invoice_view, options
from worker.console.endings import ends_in_words

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
    """Show an invoice and every attempt at collecting it."""
    from worker.console import queries, session  # noqa: PLC0415 - see app.py

    card = session.ask(
        session.load(session.ConsoleSettings),
        lambda connection: queries.show_invoice(connection, invoice_id),
    )
    if as_json:
        invoice_view.write_card(card)
    else:
        invoice_view.print_card(card)
