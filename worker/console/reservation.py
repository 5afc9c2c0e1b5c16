"""`dalmada reservation`: what PortOne is to collect by itself, and what became of it."""

import typer

from worker.console import options, reservation_view
from worker.console.endings import ends_in_words

app = typer.Typer(
    help="Charges that PortOne makes by itself, at an instant that was reserved ahead.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.callback()
def _reservations() -> None:
    """Charges that PortOne makes by itself, at an instant that was reserved ahead.

    `subscription collect` says whose they are.
    """


@app.command("list")
@ends_in_words
def list_(
    *,
    status: options.OfReservationStatus = None,
    subscription: options.OfSubscription = None,
    limit: options.Limit = options.LIMIT,
    as_json: options.AsJson = False,
) -> None:
    """List reservations, newest first."""
    from worker.console import queries, session  # noqa: PLC0415 - see app.py

    found = session.ask(
        session.load(session.ConsoleSettings),
        # One more than is shown tells whether there are more.
        lambda connection: queries.list_reservations(connection, limit + 1, status, subscription),
    )
    if as_json:
        reservation_view.write_list(found, limit)
    else:
        reservation_view.print_list(found, limit)
