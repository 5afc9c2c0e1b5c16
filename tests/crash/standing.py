"""Where a life stands when a process dies at a point: kept, and put in place for a life of its own.

What follows from a death depends on what names its state (``tests.crash.state``) and on nothing
else. So a life with a death in it need not be lived from its beginning: it goes on from where the
one that it shares everything before with has stood at that point. Whether what was put in place is
what was kept is seen by its name, each time.
"""

import copy
import itertools
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime, timedelta
from enum import Enum
from functools import partial
from types import FunctionType, NoneType
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel

from tests.crash.rows import Rows, gather, put
from tests.simulation.installation import Host, Installation
from tests.simulation.process import current_process
from tests.simulation.seam import Point
from worker.bootstrap import Services

# What the gateway's book calls when a key ends: its own, whatever else is put into it.
CALLBACK: Final = "on_key_end"
# A request that has left: the gateway counts it as soon as it has its turn.
UNDER_WAY: Final = "under way"
_VALUES: Final = (
    *(NoneType, str, bytes, int, float, datetime, timedelta),
    *(UUID, Enum, FunctionType, partial),
)
# Of the gateway: what holds its memory, and what else it holds that is of one life.
_HOLDERS: Final = ("book", "naver", "windows", "census", "timetable")
_PLAIN: Final = ("settings", "scripts", "cancel_scripts")
# Of whatever else was handed in: what is another's, or of this database.
_NOT_ITS_OWN: Final = {"installation", "merchant", "rows_seen"}
_OTHERS: Final = ("tokens", "initial", "clock", "make_book", "webhooks", "lists")


@dataclass(frozen=True, slots=True)
class Standing:
    """What a death at a point leaves.

    Attributes:
        name: Of the state.
        world: What changes, by its holder and its name: the gateway, the broker, and whoever else
            was handed in.
        token: What the living worker knows of a token.
        passed: The points so far, that of the death being the last.
    """

    name: bytes
    rows: Rows
    world: Sequence[Mapping[str, Any]]
    token: Any
    passed: Sequence[Point]
    now_s: float


def copied(value: Any) -> Any:
    """Copy what changes in place; the records in it are values.

    Raises:
        TypeError: Nobody has said what it is.
    """
    if isinstance(value, (*_VALUES, BaseModel)):
        return value
    if isinstance(value, Counter | itertools.count):
        return copy.copy(value)
    if isinstance(value, dict):
        return {key: copied(each) for key, each in value.items()}
    if isinstance(value, list | set | tuple | deque):
        return type(value)(copied(each) for each in value)
    if is_dataclass(value):
        return _record(value)
    message = f"a {type(value).__name__} is neither known as a value nor as what changes"
    raise TypeError(message)


def _record(value: Any) -> Any:
    if type(value).__dataclass_params__.frozen:
        return value
    twin = copy.copy(value)
    for each in fields(value):
        setattr(twin, each.name, copied(getattr(value, each.name)))
    return twin


def stand(life: Installation, others: Sequence[object], name: bytes) -> Standing | None:
    """Keep where a life stands, as a death of the current process would leave it.

    Args:
        others: Whatever else changes, beside the gateway and the broker.
        name: Of the state that a death would leave.

    Returns:
        None if something goes on by itself that cannot be kept: a request, an answer of the
        server's, or a timer that is nobody's of ours.
    """
    if not _is_still(life):
        return None
    return Standing(
        name,
        gather(life.host.reader),
        [
            {each: copied(getattr(holder, each)) for each in names}
            for holder, names in _changing(life, others)
        ],
        _token(life),
        tuple(life.host.seam.passed),
        life.host.loop.time(),
    )


def go_on(life: Installation, others: Sequence[object], standing: Standing) -> None:
    """Put in place what was kept, in a life that has not begun."""
    life.host.loop.now_s = standing.now_s
    life.host.seam.passed[:] = standing.passed
    put(life.host.reader, standing.rows)
    for (holder, names), kept in zip(_changing(life, others), standing.world, strict=True):
        for each in names:
            setattr(holder, each, copied(kept[each]))
    life.broker.answer = _answering_in(life, life.broker.answer)


def _answering_in(life: Installation, answer: Callable[..., Any]) -> Callable[..., Any]:
    """Return what answers for an endpoint in a life as it did in another."""
    if not isinstance(answer, partial):
        return answer
    given = [life if isinstance(each, Installation) else each for each in answer.args]
    return partial(answer.func, *given, **answer.keywords)


def give_token(life: Installation, standing: Standing) -> None:
    """Let the worker know the token that the living one knew."""
    for tokens in _tokens(life):
        tokens._token = standing.token


def _changing(
    life: Installation, others: Sequence[object]
) -> Iterator[tuple[object, Sequence[str]]]:
    """Walk through whatever changes in a life, with the names of what is its own."""
    sandbox = life.sandbox
    unknown = {each.name for each in fields(sandbox)} - {*_HOLDERS, *_PLAIN, *_OTHERS}
    assert not unknown, f"the gateway holds {unknown}, of which nobody knows whether it changes"
    yield sandbox, _PLAIN
    yield sandbox.tokens, ("_live",)
    yield sandbox.clock, ("offset_s",)
    yield sandbox.webhooks, ("_notices", "_nth")
    for name in _HOLDERS:
        holder: Any = getattr(sandbox, name)
        yield holder, [each.name for each in fields(holder) if each.name != CALLBACK]
    yield life.broker, [each.name for each in fields(life.broker) if each.name != "time"]
    yield life, ("faults",)
    for other in others:
        own = [each.name for each in fields(other)]  # type: ignore[arg-type]
        yield other, [name for name in own if name not in _NOT_ITS_OWN]


def is_asking(host: Host) -> bool:
    """Say whether anybody waits for an answer of the server's."""
    loop: Any = host.loop
    return bool(loop._selector._under_way)


def _is_still(life: Installation) -> bool:
    loop: Any = life.host.loop
    is_leaving = life.host.seam.passed[-1].phase == UNDER_WAY
    if is_leaving or life.sandbox.census.in_flight or is_asking(life.host):
        return False
    return all(
        timer.cancelled() or timer._context.get(current_process) is not None
        for timer in loop._scheduled
    )


def _token(life: Installation) -> Any:
    for tokens in _tokens(life):
        return tokens._token
    return None


def _tokens(life: Installation) -> Iterator[Any]:
    """Find what a living worker knows of tokens."""
    for worker in life.workers:
        if worker.process is not current_process.get() and isinstance(worker.services, Services):
            gateway: Any = worker.services.charge_invoices.gateway
            yield gateway._client._tokens
