"""What one request is to end in, settled on its arrival: by a fault for all, a script or chance."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic

from deploy.sandbox.endings import DELAYED, Draw, Ending, Name, Script, Step, pick
from deploy.sandbox.replies import Reply
from deploy.sandbox.settings import EndpointName, Settings


@dataclass(frozen=True, slots=True)
class Fate(Generic[Name]):
    """How a request ends, and when.

    Attributes:
        delay_s: Seconds until it is to be concluded.
        late_s: For late_success: seconds from then until what was asked for is done.
        closing: Whether the connection is closed after the reply.
    """

    step: Step[Name]
    delay_s: float
    late_s: float
    closing: bool


def choose(
    for_all: Name | None,
    script: Script[Name] | None,
    laid: tuple[tuple[float, Name], ...],
    number: float,
    *,
    plain: Step[Name],
) -> Step[Name]:
    """Choose an ending: what all requests end in comes before scripts, scripts before rates."""
    if for_all is not None:
        return Step(for_all)
    if script is not None:
        return script.take()
    ending = pick(laid, number)
    return plain if ending is None else Step(ending)


def settle(step: Step[Name], settings: Settings, endpoint: EndpointName, drawn: Draw) -> Fate[Name]:
    """Say when a request of this ending is to be concluded."""
    delay_s = settings.latency_s(endpoint, drawn.latency)
    own_s = step.delay_s
    if own_s is None:
        own_s = settings.delay_s if step.ending in DELAYED else 0.0
    is_late = step.ending == Ending.LATE_SUCCESS
    return Fate(
        step=step,
        delay_s=delay_s if is_late else delay_s + own_s,
        late_s=own_s if is_late else 0.0,
        closing=settings.closes(drawn.closing),
    )


async def see_through(
    fate: Fate[Name], conclude: Callable[[], Reply], do: Callable[[], object]
) -> Reply:
    """Wait as the fate says, make the reply, and arrange what a late success does after it.

    A client that leaves meanwhile changes nothing: the request goes on without it.
    """
    if fate.delay_s:
        await asyncio.sleep(fate.delay_s)
    reply = conclude()
    if fate.step.ending == Ending.LATE_SUCCESS:
        asyncio.get_running_loop().call_later(fate.late_s, do)
    return replace(reply, closing=True) if fate.closing else reply
