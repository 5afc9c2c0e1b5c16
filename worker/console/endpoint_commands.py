"""What an operator may do with an endpoint, as commands that the console alone gives."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar
from urllib.parse import urlsplit

from pydantic import AwareDatetime, StrictBool, StrictStr
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.delivery import SECRETS_MAX, URL_LENGTH_MAX, EndpointStatus
from shared.billing.events import EventName, Json
from shared.billing.refund import require_reason
from shared.db import endpoints
from shared.jobs.command import Command, Reason
from shared.jobs.contracts import Id
from worker.events.addresses import url_fault
from worker.services.commanding import CommandRefusedError

# More at once would keep an operator waiting longer than the database is given.
REPLAYED_MAX = 100_000


class AddEndpoint(Command):
    """Have events posted to another address."""

    task: ClassVar[str] = "endpoint.add"
    # No worker works it.
    queue: ClassVar[str] = ""

    url: StrictStr
    event_names: tuple[EventName, ...] = ()
    allow_private: StrictBool = False


class OfEndpoint(Command):
    """Whatever is done to an endpoint that exists."""

    queue: ClassVar[str] = ""

    endpoint_id: Id
    reason: Reason | None = None


class RotateSecret(OfEndpoint):
    """Have posts signed with another secret as well."""

    task: ClassVar[str] = "endpoint.rotate_secret"


class DropSecrets(OfEndpoint):
    """Have posts signed with the newest secret only."""

    task: ClassVar[str] = "endpoint.drop_secret"


class DisableEndpoint(OfEndpoint):
    """Post nothing more until it is enabled."""

    task: ClassVar[str] = "endpoint.disable"

    reason: Reason


class EnableEndpoint(OfEndpoint):
    """Post again, what waited at once."""

    task: ClassVar[str] = "endpoint.enable"


class RemoveEndpoint(OfEndpoint):
    """Forget an endpoint for good."""

    task: ClassVar[str] = "endpoint.remove"

    reason: Reason


class ReplayEvents(OfEndpoint):
    """Have events delivered once more: by ids, by time, or all that were given up."""

    task: ClassVar[str] = "endpoint.replay"

    event_ids: tuple[Id, ...] = ()
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None


@dataclass(frozen=True, slots=True)
class Add:
    """Handle ``endpoint.add``.

    Attributes:
        secret: Goes into the row and to whoever asked, and never into what is kept of the command.
    """

    secret: str = field(repr=False)

    async def __call__(
        self, connection: AsyncConnection, command: AddEndpoint, _now: datetime
    ) -> dict[str, Json]:
        """Write the endpoint, or refuse it in words."""
        if fault := url_fault(command.url, allow_private=command.allow_private):
            hint = "" if command.allow_private else "; --allow-private allows private addresses"
            raise CommandRefusedError(f"this address cannot be used: {fault}{hint}")
        added = await endpoints.add(
            connection,
            url=command.url,
            secret=self.secret,
            event_names=sorted(set(command.event_names)),
            allow_private=command.allow_private,
        )
        if added is None:
            raise CommandRefusedError(
                "there is an endpoint with this address already: `dalmada endpoint list` names it"
            )
        return {"endpoint_id": added, "origin": origin(command.url)}


@dataclass(frozen=True, slots=True)
class Rotate:
    """Handle ``endpoint.rotate_secret``."""

    secret: str = field(repr=False)

    async def __call__(
        self, connection: AsyncConnection, command: RotateSecret, _now: datetime
    ) -> dict[str, Json]:
        """Sign with one secret more, unless there are too many."""
        count = await _lock(connection, command.endpoint_id)
        if count >= SECRETS_MAX:
            raise CommandRefusedError(
                f"the endpoint has {count} secrets already: once its receiver knows the newest,"
                " `dalmada endpoint drop-secret` takes the others away"
            )
        await endpoints.add_secret(connection, command.endpoint_id, self.secret)
        return {"endpoint_id": command.endpoint_id, "secrets": count + 1}


async def drop_secrets(
    connection: AsyncConnection, command: DropSecrets, _now: datetime
) -> dict[str, Json]:
    """Handle ``endpoint.drop_secret``."""
    count = await _lock(connection, command.endpoint_id)
    if count == 1:
        raise CommandRefusedError(
            "the endpoint has one secret only: `dalmada endpoint rotate-secret` adds another"
        )
    await endpoints.drop_old_secrets(connection, command.endpoint_id)
    return {"endpoint_id": command.endpoint_id, "secrets": 1}


async def disable(
    connection: AsyncConnection, command: DisableEndpoint, now: datetime
) -> dict[str, Json]:
    """Handle ``endpoint.disable``."""
    await _lock(connection, command.endpoint_id)
    reason = require_reason(command.reason)
    if not await endpoints.disable(connection, command.endpoint_id, reason, now):
        raise CommandRefusedError("the endpoint is disabled already")
    return {"endpoint_id": command.endpoint_id, "status": EndpointStatus.DISABLED}


async def enable(
    connection: AsyncConnection, command: EnableEndpoint, now: datetime
) -> dict[str, Json]:
    """Handle ``endpoint.enable``."""
    await _lock(connection, command.endpoint_id)
    waiting = await endpoints.enable(connection, command.endpoint_id, now)
    return {
        "endpoint_id": command.endpoint_id,
        "status": EndpointStatus.ENABLED,
        "waiting": waiting,
    }


async def remove(
    connection: AsyncConnection, command: RemoveEndpoint, now: datetime
) -> dict[str, Json]:
    """Handle ``endpoint.remove``."""
    await _lock(connection, command.endpoint_id)
    reason = require_reason(command.reason)
    given_up = await endpoints.remove(connection, command.endpoint_id, reason, now)
    return {
        "endpoint_id": command.endpoint_id,
        "status": EndpointStatus.REMOVED,
        "given_up": given_up,
    }


async def replay(
    connection: AsyncConnection, command: ReplayEvents, now: datetime
) -> dict[str, Json]:
    """Handle ``endpoint.replay``."""
    await _lock(connection, command.endpoint_id)
    replayed = await endpoints.replay(
        connection,
        command.endpoint_id,
        now,
        event_ids=command.event_ids,
        since=command.since,
        until=command.until,
    )
    if replayed == 0:
        raise CommandRefusedError(
            "there is nothing to replay: no such event, or all of them wait to be delivered anyway"
        )
    if replayed > REPLAYED_MAX:
        raise CommandRefusedError(
            f"{replayed:,} events are too many at once: name a shorter time with --since and"
            f" --until, of {REPLAYED_MAX:,} events at most"
        )
    return {"endpoint_id": command.endpoint_id, "events": replayed}


async def _lock(connection: AsyncConnection, endpoint_id: int) -> int:
    """Lock an endpoint and return how many secrets it has."""
    found = await endpoints.lock_secrets(connection, endpoint_id)
    if found is None:
        raise CommandRefusedError(
            f"there is no endpoint {endpoint_id}: `dalmada endpoint list` names them"
        )
    status, count = found
    if status is EndpointStatus.REMOVED:
        raise CommandRefusedError(
            f"endpoint {endpoint_id} was removed: `dalmada endpoint add` adds another"
        )
    return count


def origin(url: str) -> str:
    """Return where an endpoint is, without what of its address may be a token."""
    parts = urlsplit(url[:URL_LENGTH_MAX])
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
