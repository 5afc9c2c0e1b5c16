"""`dalmada dead-letter`: what waits for a person, taken up again or put away."""

from datetime import timedelta
from typing import TYPE_CHECKING

import typer

from shared.clock import WallClock
from worker.console import dead_letter_view, options
from worker.console.confirmation import confirm, require_somebody
from worker.console.endings import ends_in_words

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from shared.db.letters import Letter

app = typer.Typer(
    help="What nobody will work again by itself.", no_args_is_help=True, rich_markup_mode=None
)


@app.command("list")
@ends_in_words
def list_(
    *,
    decided: options.AlsoDecided = False,
    limit: options.Limit = options.LIMIT,
    as_json: options.AsJson = False,
) -> None:
    """List the dead letters that wait for a person, newest first."""
    from shared.db import letters  # noqa: PLC0415 - see app.py
    from worker.console import session  # noqa: PLC0415

    found = session.ask(
        session.load(session.ConsoleSettings),
        # One more than is shown tells whether there are more.
        lambda connection: letters.newest(connection, limit=limit + 1, resolved=decided),
    )
    if as_json:
        dead_letter_view.write_list(found, limit)
    else:
        dead_letter_view.print_list(found, limit)


@app.command()
@ends_in_words
def show(letter_id: options.LetterId, *, as_json: options.AsJson = False) -> None:
    """Show a dead letter: its cause, and what it is about.

    Of a message only the names of its fields and its ids are shown; the rest may be a billing key
    or a person.
    """
    from worker.console import queries, session  # noqa: PLC0415 - see app.py

    letter = session.ask(
        session.load(session.ConsoleSettings),
        lambda connection: queries.show_letter(connection, letter_id),
    )
    if as_json:
        dead_letter_view.write_card(letter)
    else:
        dead_letter_view.print_card(letter)


@app.command()
@ends_in_words
def requeue(
    letter_id: options.LetterId,
    *,
    reason: options.WhyIfAny = None,
    yes: options.Yes = False,
    as_json: options.AsJson = False,
) -> None:
    """Have what a letter is about taken up again.

    A message is published once more as it came. A parked payment attempt or refund is asked about
    again, with a new deadline, and a payment that nobody knew is read again.
    """
    require_somebody(yes=yes)
    from worker.console import deeds, letter_commands, queries, queues, session  # noqa: PLC0415

    settings = session.load(session.RequeueSettings)
    publish = queues.publisher(settings.redis_url.get_secret_value())
    settle_delay = timedelta(seconds=settings.settle_delay_s)
    command = deeds.command_of(letter_commands.RequeueLetter, letter_id=letter_id, reason=reason)

    def deed(handler: letter_commands.Requeue) -> deeds.Deed:
        subject = f"dead letter {letter_id}"
        return deeds.Deed("dead-letter requeue", subject, reason, command, handler)

    async def look(connection: "AsyncConnection") -> "Letter":
        looking = letter_commands.Requeue(None, settle_delay)
        await deeds.foresee(connection, deed(looking), WallClock().now())
        return await queries.show_letter(connection, letter_id)

    letter = session.ask(settings, look)
    confirm(
        "This will be taken up again",
        dead_letter_view.requeue_fields(letter),
        yes=yes,
        as_json=as_json,
    )
    result = deeds.do(settings, deed(letter_commands.Requeue(publish, settle_delay)))
    if as_json:
        dead_letter_view.write_result(result)
    else:
        dead_letter_view.print_requeued(result)


@app.command()
@ends_in_words
def discard(
    letter_id: options.LetterId,
    *,
    reason: options.Why,
    yes: options.Yes = False,
    as_json: options.AsJson = False,
) -> None:
    """Put a letter away, and give up what it left undecided.

    A parked payment attempt ends without a payment and its invoice is uncollectible; a parked
    refund ends with nothing given back. Should money have moved all the same, a new letter says so.
    """
    require_somebody(yes=yes)
    from worker.console import deeds, letter_commands, queries, session  # noqa: PLC0415

    settings = session.load(session.ConsoleSettings)
    command = deeds.command_of(letter_commands.DiscardLetter, letter_id=letter_id, reason=reason)
    deed = deeds.Deed(
        "dead-letter discard",
        f"dead letter {letter_id}",
        reason,
        command,
        letter_commands.discard,
    )

    async def look(connection: "AsyncConnection") -> "Letter":
        await deeds.foresee(connection, deed, WallClock().now())
        return await queries.show_letter(connection, letter_id)

    letter = session.ask(settings, look)
    confirm(
        "This will be given up",
        dead_letter_view.discard_fields(letter, reason),
        yes=yes,
        as_json=as_json,
    )
    result = deeds.do(settings, deed)
    if as_json:
        dead_letter_view.write_result(result)
    else:
        dead_letter_view.print_discarded(result)
