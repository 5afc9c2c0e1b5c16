"""What a person may do with a dead letter: have it taken up again, or put it away."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.attempt import UNSETTLED
from shared.billing.events import Event, EventName
from shared.billing.refund import REFUND_UNSETTLED
from shared.db import letters, outbox, refund_inquiries
from shared.db.letters import GivenUp, Letter, LetterKind, Resolution
from shared.jobs.commands import COMMANDS, ReceiveWebhook
from shared.jobs.contracts import JOBS, Job
from worker.services.commanding import CommandRefusedError

# Every message that can be sent again, with the queue that it belongs to.
_MESSAGES: tuple[type[Job], ...] = (*JOBS, *COMMANDS, ReceiveWebhook)
_QUEUES = {message.task: message.queue for message in _MESSAGES}


@dataclass(frozen=True, slots=True)
class Parcel:
    """A message as it came, to be published once more; its values are not for printing."""

    task: str
    queue: str
    args: Sequence[object] = field(repr=False)
    kwargs: Mapping[str, object] = field(repr=False)


async def requeue(
    connection: AsyncConnection, letter_id: int, settle_delay: timedelta, now: datetime
) -> Parcel | None:
    """Have a letter's subject taken up again; return the message that must be published for it.

    A parked attempt or refund is asked about again, with its deadline counted anew, and a payment
    that nobody knew is read again: nothing is sent or given back unless the gateway's answer says
    so.

    Raises:
        CommandRefusedError: It cannot be taken up again, with what could be done instead.
    """
    letter = await _open_letter(connection, letter_id)
    parcel: Parcel | None = None
    if letter.attempt_id is not None:
        await _ask_about_attempt(connection, letter, letter.attempt_id, settle_delay, now)
    elif letter.refund_id is not None:
        await _ask_about_refund(connection, letter, letter.refund_id, now)
    elif letter.kind is LetterKind.MESSAGE:
        parcel = parcel_of(letter)
    else:
        await _look_at_payment(connection, letter, now)
    await letters.resolve(connection, letter.id, Resolution.REQUEUED, now)
    return parcel


async def discard(connection: AsyncConnection, letter_id: int, now: datetime) -> Letter:
    """Put a letter away; what it left undecided is given up.

    A parked attempt ends without a payment and its open invoice is uncollectible; a parked refund
    ends with nothing given back. Should the gateway show later that money moved, a letter says so
    again.

    Raises:
        CommandRefusedError: There is no such letter, or it was decided before.
    """
    letter = await _open_letter(connection, letter_id)
    message = f"given up by hand: {letter.cause}"
    if letter.attempt_id is not None:
        given_up = await letters.give_up_attempt(connection, letter.attempt_id, message)
        await _tell(connection, EventName.INVOICE_UNCOLLECTIBLE, given_up, message, now)
    if letter.refund_id is not None:
        given_up = await letters.give_up_refund(connection, letter.refund_id, message, now)
        await _tell(connection, EventName.REFUND_REFUSED, given_up, message, now)
    await letters.resolve(connection, letter.id, Resolution.DISCARDED, now)
    return letter


def parcel_of(letter: Letter) -> Parcel:
    """Return the message of a letter, to be published as it came.

    Raises:
        CommandRefusedError: It was not kept whole, or nobody would work it.
    """
    task, message = letter.payload.get("task"), letter.payload.get("message")
    queue = _QUEUES.get(task) if isinstance(task, str) else None
    if not isinstance(task, str) or queue is None:
        raise CommandRefusedError(
            "no worker works a message of this name, so sending it again does nothing: discard the"
            " letter, and do by another command what it asked for."
        )
    args = message.get("args") if isinstance(message, Mapping) else None
    kwargs = message.get("kwargs") if isinstance(message, Mapping) else None
    if not isinstance(args, list) or not isinstance(kwargs, Mapping):
        raise CommandRefusedError(
            "the message was not kept whole, for it was too long or none at all: publish it again"
            " from where it came, then discard the letter."
        )
    return Parcel(task, queue, args, kwargs)


async def _open_letter(connection: AsyncConnection, letter_id: int) -> Letter:
    letter = await letters.lock(connection, letter_id)
    if letter is None:
        raise CommandRefusedError(
            f"there is no dead letter {letter_id}; `dalmada dead-letter list` names them."
        )
    if letter.resolution is not None:
        raise CommandRefusedError(
            f"dead letter {letter_id} was {letter.resolution} before, so nothing is left to be"
            " decided; `dalmada dead-letter list` names those that wait."
        )
    return letter


async def _ask_about_attempt(
    connection: AsyncConnection,
    letter: Letter,
    attempt_id: int,
    settle_delay: timedelta,
    now: datetime,
) -> None:
    if await letters.ask_again_about_attempt(connection, attempt_id, settle_delay, now):
        return
    if letter.attempt_status in UNSETTLED:
        raise CommandRefusedError(
            f"the attempt is {letter.attempt_status}, so it goes on by itself: discard the letter."
        )
    raise CommandRefusedError(
        f"the attempt has ended as {letter.attempt_status}, so there is nothing to ask. If the"
        " buyer's money came all the same, `dalmada payment refund` gives it back; then discard the"
        " letter."
    )


async def _ask_about_refund(
    connection: AsyncConnection, letter: Letter, refund_id: int, now: datetime
) -> None:
    if await refund_inquiries.ask_about_parked(connection, refund_id, now):
        return
    if letter.refund_status in REFUND_UNSETTLED:
        raise CommandRefusedError(
            f"the refund is {letter.refund_status}, so it goes on by itself: discard the letter."
        )
    raise CommandRefusedError(
        f"the refund has ended as {letter.refund_status}, so there is nothing to ask: where money"
        " is still to go back, ask for it anew with `dalmada payment refund`; then discard the"
        " letter."
    )


async def _look_at_payment(connection: AsyncConnection, letter: Letter, now: datetime) -> None:
    imp_uid = str(letter.payload.get("imp_uid", ""))
    if not await letters.look_again_at_payment(connection, imp_uid, now):
        raise CommandRefusedError(
            "nobody has said anything of this payment, so there is nothing to read again: look at"
            " it in PortOne's console, then discard the letter."
        )


async def _tell(
    connection: AsyncConnection,
    name: EventName,
    given_up: GivenUp | None,
    cause: str,
    now: datetime,
) -> None:
    if given_up is not None:
        data = {**given_up.data, "cause": cause, "at": now.isoformat()}
        await outbox.write(connection, [Event(name, given_up.subscription_id, data)])
