"""`dalmada endpoint`: where merchants are told of events over HTTP."""

from typing import TYPE_CHECKING, Any

import typer

from shared.billing.use_confirmation import KST
from shared.clock import WallClock
from worker.console import endpoint_options as own
from worker.console import endpoint_view, options
from worker.console.confirmation import confirm, require_somebody
from worker.console.endings import MisusedError, RefusedError, ends_in_words

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from shared.db.endpoints import DeliveryCard, Endpoint
    from shared.jobs.command import Command
    from worker.console.deeds import Deed
    from worker.services.commanding import Handler

app = typer.Typer(
    help="Where merchants are told of events over HTTP.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command()
@ends_in_words
def add(
    url: own.Url,
    *,
    only: own.Only = None,
    allow_private: own.AllowPrivate = False,
    yes: options.Yes = False,
    as_json: options.AsJson = False,
) -> None:
    """Have events posted to an address from now on, and print the secret they are signed with.

    The secret is shown once and never again.
    """
    require_somebody(yes=yes)
    from worker.console import deeds, endpoint_commands, session  # noqa: PLC0415 - see app.py
    from worker.events.signature import make_secret  # noqa: PLC0415

    settings = session.load(session.ConsoleSettings)
    secret = make_secret()
    command = deeds.command_of(
        endpoint_commands.AddEndpoint,
        url=url,
        event_names=tuple(only or ()),
        allow_private=allow_private,
    )
    subject = f"endpoint {endpoint_commands.origin(url)}"
    deed = deeds.Deed("endpoint add", subject, None, command, endpoint_commands.Add(secret))

    async def look(connection: "AsyncConnection") -> None:
        await deeds.foresee(connection, deed, WallClock().now())

    session.ask(settings, look)
    names = ", ".join(sorted(only)) if only else "all"
    private = "allowed" if allow_private else "refused"
    confirm(
        "This endpoint will be added",
        {
            "address": endpoint_view.without_query(url),
            "events": names,
            "private addresses": private,
        },
        yes=yes,
        as_json=as_json,
    )
    _print(deeds.do(settings, deed), secret, as_json=as_json)


@app.command("list")
@ends_in_words
def list_(*, limit: options.Limit = options.LIMIT, as_json: options.AsJson = False) -> None:
    """List endpoints, newest first, with what waits for each. No secret is shown."""
    from shared.db import endpoints  # noqa: PLC0415 - see app.py
    from worker.console import session  # noqa: PLC0415

    found = session.ask(
        session.load(session.ConsoleSettings),
        # One more than is shown tells whether there are more.
        lambda connection: endpoints.show(connection, limit + 1),
    )
    if as_json:
        endpoint_view.write_list(found, limit)
    else:
        endpoint_view.print_list(found, limit)


@app.command()
@ends_in_words
def show(endpoint_id: own.EndpointId, *, as_json: options.AsJson = False) -> None:
    """Show an endpoint: what it wants, how it fares, and since when it fails."""
    from worker.console import session  # noqa: PLC0415 - see app.py

    endpoint = session.ask(
        session.load(session.ConsoleSettings), lambda connection: _one(connection, endpoint_id)
    )
    if as_json:
        endpoint_view.write_card(endpoint)
    else:
        endpoint_view.print_card(endpoint)


@app.command()
@ends_in_words
def deliveries(
    endpoint_id: own.EndpointId,
    *,
    status: own.OfDeliveryStatus = None,
    limit: options.Limit = options.LIMIT,
    as_json: options.AsJson = False,
) -> None:
    """List an endpoint's deliveries, those of the newest events first."""
    from shared.db import endpoints  # noqa: PLC0415 - see app.py
    from worker.console import session  # noqa: PLC0415

    async def look(connection: "AsyncConnection") -> "list[DeliveryCard]":
        await _one(connection, endpoint_id)
        return await endpoints.deliveries_of(connection, endpoint_id, limit + 1, status)

    found = session.ask(session.load(session.ConsoleSettings), look)
    if as_json:
        endpoint_view.write_deliveries(found, limit)
    else:
        endpoint_view.print_deliveries(found, limit)


@app.command("rotate-secret")
@ends_in_words
def rotate_secret(
    endpoint_id: own.EndpointId,
    *,
    reason: options.WhyIfAny = None,
    yes: options.Yes = False,
    as_json: options.AsJson = False,
) -> None:
    """Sign with another secret as well, and print it; the old one stays good until it is dropped.

    The secret is shown once and never again.
    """
    require_somebody(yes=yes)
    from worker.console import endpoint_commands  # noqa: PLC0415 - see app.py
    from worker.events.signature import make_secret  # noqa: PLC0415

    secret = make_secret()
    deed = _deed(
        "endpoint rotate-secret",
        _command(endpoint_commands.RotateSecret, endpoint_id, reason),
        endpoint_commands.Rotate(secret),
    )
    what = "This endpoint's posts will be signed with another secret as well"
    _do(deed, what, secret, yes=yes, as_json=as_json)


@app.command("drop-secret")
@ends_in_words
def drop_secret(
    endpoint_id: own.EndpointId,
    *,
    reason: options.WhyIfAny = None,
    yes: options.Yes = False,
    as_json: options.AsJson = False,
) -> None:
    """Sign with the newest secret only: do this when the receiver knows it."""
    require_somebody(yes=yes)
    from worker.console import endpoint_commands  # noqa: PLC0415 - see app.py

    command = _command(endpoint_commands.DropSecrets, endpoint_id, reason)
    deed = _deed("endpoint drop-secret", command, endpoint_commands.drop_secrets)
    what = "This endpoint's posts will be signed with its newest secret only"
    _do(deed, what, yes=yes, as_json=as_json)


@app.command()
@ends_in_words
def disable(
    endpoint_id: own.EndpointId,
    *,
    reason: options.Why,
    yes: options.Yes = False,
    as_json: options.AsJson = False,
) -> None:
    """Post nothing more until the endpoint is enabled.

    What waits goes on waiting; what happens meanwhile is not kept for it, and can be replayed.
    """
    require_somebody(yes=yes)
    from worker.console import endpoint_commands  # noqa: PLC0415 - see app.py

    command = _command(endpoint_commands.DisableEndpoint, endpoint_id, reason)
    deed = _deed("endpoint disable", command, endpoint_commands.disable)
    _do(deed, "Nothing more will be posted to this endpoint", yes=yes, as_json=as_json)


@app.command()
@ends_in_words
def enable(
    endpoint_id: own.EndpointId,
    *,
    reason: options.WhyIfAny = None,
    yes: options.Yes = False,
    as_json: options.AsJson = False,
) -> None:
    """Post again, what waited at once. What happened meanwhile is told by `endpoint replay`."""
    require_somebody(yes=yes)
    from worker.console import endpoint_commands  # noqa: PLC0415 - see app.py

    command = _command(endpoint_commands.EnableEndpoint, endpoint_id, reason)
    deed = _deed("endpoint enable", command, endpoint_commands.enable)
    _do(deed, "Events will be posted to this endpoint again", yes=yes, as_json=as_json)


@app.command()
@ends_in_words
def remove(
    endpoint_id: own.EndpointId,
    *,
    reason: options.Why,
    yes: options.Yes = False,
    as_json: options.AsJson = False,
) -> None:
    """Forget an endpoint and its secrets for good, and give up what waits for it."""
    require_somebody(yes=yes)
    from worker.console import endpoint_commands  # noqa: PLC0415 - see app.py

    command = _command(endpoint_commands.RemoveEndpoint, endpoint_id, reason)
    deed = _deed("endpoint remove", command, endpoint_commands.remove)
    _do(deed, "This endpoint will be removed for good", yes=yes, as_json=as_json)


@app.command()
@ends_in_words
def replay(
    endpoint_id: own.EndpointId,
    *,
    event: own.OfEvents = None,
    since: own.Since = None,
    until: own.Until = None,
    given_up: own.GivenUp = False,
    reason: options.WhyIfAny = None,
    yes: options.Yes = False,
    as_json: options.AsJson = False,
) -> None:
    """Deliver events once more: by their numbers, by time, or all that were given up.

    A receiver knows them again by webhook-id, which stays the same. Those of one subscription come
    in order, and before what follows of it.
    """
    require_somebody(yes=yes)
    if [event is not None, since is not None, given_up].count(True) != 1:
        raise MisusedError("say one of --event, --since and --given-up.")
    if until is not None and since is None:
        raise MisusedError("--until: it goes with --since.")
    from worker.console import endpoint_commands  # noqa: PLC0415 - see app.py

    command = _command(
        endpoint_commands.ReplayEvents,
        endpoint_id,
        reason,
        event_ids=tuple(event or ()),
        since=_instant("--since", since),
        until=_instant("--until", until),
    )
    deed = _deed("endpoint replay", command, endpoint_commands.replay)
    _do(deed, "Events will be delivered to this endpoint once more", yes=yes, as_json=as_json)


@app.command()
@ends_in_words
def schema(
    name: own.Name = None,
    *,
    to: own.To = None,
) -> None:
    """Print the JSON Schema of an event's body, or write those of all events into a folder."""
    from shared.billing.events import EventName  # noqa: PLC0415 - see app.py
    from shared.jobs import event_schemas  # noqa: PLC0415

    if name is not None and to is None:
        typer.echo(event_schemas.schema_of(name), nl=False)
        return
    if name is not None or to is None:
        raise MisusedError("say one of NAME and --to.")
    try:
        to.mkdir(parents=True, exist_ok=True)
        for each in EventName:
            path = to / event_schemas.file_name(each)
            path.write_text(event_schemas.schema_of(each), "utf-8")
    except OSError as error:
        raise RefusedError(f"{to} cannot be written: {error.strerror}.") from None
    typer.echo(f"{len(EventName)} schemas written to {to}")


def _instant(option: str, written: str | None) -> "datetime | None":
    from worker.console import terms  # noqa: PLC0415 - see app.py

    return None if written is None else terms.instant(option, written, KST.key)


async def _one(connection: "AsyncConnection", endpoint_id: int) -> "Endpoint":
    from shared.db import endpoints  # noqa: PLC0415 - see app.py

    found = await endpoints.show(connection, 1, endpoint_id)
    if not found:
        raise RefusedError(
            f"there is no endpoint {endpoint_id}; `dalmada endpoint list` names them."
        )
    return found[0]


def _command(
    contract: "type[Command]", endpoint_id: int, reason: str | None, **values: object
) -> "Command":
    from worker.console import deeds  # noqa: PLC0415 - see app.py

    return deeds.command_of(contract, endpoint_id=endpoint_id, reason=reason, **values)


def _deed(action: str, command: "Command", handler: "Handler[Any]") -> "Deed":
    from worker.console import deeds  # noqa: PLC0415 - see app.py

    said: Any = command
    return deeds.Deed(action, f"endpoint {said.endpoint_id}", said.reason, command, handler)


def _do(deed: "Deed", what: str, secret: str | None = None, *, yes: bool, as_json: bool) -> None:
    """Show what is about to be done, ask, do it, and print what came of it."""
    from worker.console import deeds, session  # noqa: PLC0415 - see app.py

    settings = session.load(session.ConsoleSettings)
    said: Any = deed.command

    async def look(connection: "AsyncConnection") -> "tuple[Endpoint, dict[str, Any]]":
        told = await deeds.foresee(connection, deed, WallClock().now())
        return await _one(connection, said.endpoint_id), dict(told)

    endpoint, told = session.ask(settings, look)
    counted = {
        label: str(told[name])
        for name, label in (("events", "will be replayed"), ("given_up", "will be given up"))
        if name in told
    }
    confirm(what, {**endpoint_view.fields(endpoint), **counted}, yes=yes, as_json=as_json)
    _print(deeds.do(settings, deed), secret, as_json=as_json)


def _print(result: Any, secret: str | None, *, as_json: bool) -> None:
    if as_json:
        endpoint_view.write_result(result, secret)
    else:
        endpoint_view.print_result(result, secret)
