"""A broker in memory that does what Redis does to Celery's messages, and worse.

Messages wait in lists, are handed out in any order, stay *unacknowledged* until their work is done,
and come back when nobody acknowledges them in time. They may be lost and doubled, and a flush
takes everything, the unacknowledged ones too.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from shared.billing.delivery import Answer
from shared.db.deliveries import Parcel
from shared.db.outbox import StoredEvent
from shared.jobs.contracts import Job
from tests.simulation.seam import Seam, site


@dataclass(frozen=True, slots=True)
class Message:
    """One message as the broker holds it; what it says is JSON, as on the wire."""

    tag: str
    task: str
    queue: str
    kwargs: Mapping[str, object]
    redelivered: bool = False


@dataclass(slots=True)
class Broker:
    """Queues, what is being worked, and how often a message came back.

    Attributes:
        acks_late: Whether a message is acknowledged when its work is done, and not when it begins.
        unacknowledged: Messages being worked, by tag, each with the instant at which it comes back.
        deliveries: What ``shared.jobs.deliveries`` counts on the broker.
        stream: What was told of events, in order.
        posted: What merchants' endpoints were handed, in order, and what they answered.
        answer: What an endpoint answers.
    """

    time: Callable[[], float]
    visibility_timeout_s: float
    acks_late: bool = True
    waiting: dict[str, list[Message]] = field(default_factory=dict)
    unacknowledged: dict[str, tuple[float, Message]] = field(default_factory=dict)
    deliveries: Counter[str] = field(default_factory=Counter)
    stream: list[StoredEvent] = field(default_factory=list)
    posted: list[tuple[Parcel, Answer]] = field(default_factory=list)
    answer: Callable[[Parcel], Answer] = lambda _parcel: Answer(204)
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def push(self, job: Job) -> Message:
        """Take a message in, as anybody may send it, and return it."""
        kwargs = job.model_dump(mode="json")
        message = Message(f"tag-{next(self._numbers)}", job.task, job.queue, kwargs)
        self.put(message)
        return message

    def put(self, message: Message) -> None:
        """Put a message on its list."""
        self.waiting.setdefault(message.queue, []).append(message)

    def everything(self) -> list[Message]:
        """Return every message that waits, oldest first within its queue."""
        return [message for queue in sorted(self.waiting) for message in self.waiting[queue]]

    def take(self, message: Message) -> Message:
        """Hand a message out; it comes back if it is not acknowledged in time."""
        self.waiting[message.queue].remove(message)
        back_at = self.time() + self.visibility_timeout_s
        self.unacknowledged[message.tag] = back_at, message
        return message

    def lose(self, message: Message) -> None:
        """Lose a message that waits."""
        self.waiting[message.queue].remove(message)

    def double(self, message: Message) -> None:
        """Let a message wait twice."""
        self.put(replace(message, tag=f"tag-{next(self._numbers)}"))

    def acknowledge(self, tag: str) -> None:
        """Forget a message whose work is done."""
        self.unacknowledged.pop(tag, None)

    def give_back(self, tag: str) -> None:
        """Let a message wait again at once, as a rejected one does."""
        if found := self.unacknowledged.pop(tag, None):
            self.put(replace(found[1], redelivered=True))

    def restore(self) -> None:
        """Let those wait again that were not acknowledged in time."""
        late = [tag for tag, (at, _) in self.unacknowledged.items() if at <= self.time()]
        for tag in late:
            self.give_back(tag)

    def flush(self) -> None:
        """Lose everything; the stream is its readers' by then."""
        self.waiting.clear()
        self.unacknowledged.clear()
        self.deliveries.clear()


@dataclass(frozen=True, slots=True)
class SeamedEnqueue:
    """How a process's scans send messages."""

    broker: Broker
    seam: Seam

    async def __call__(self, jobs: Sequence[Job]) -> None:
        """Send every job once; a death in between sends the first ones only."""
        where = site()
        for job in jobs:
            await self.seam.at("publish", "before", where)
            self.broker.push(job)
        if jobs:
            await self.seam.at("publish", "after", where)

    async def waiting(self, queue: str) -> int:
        """Return how many messages wait in a queue."""
        await self.seam.turns.turn()
        return len(self.broker.waiting.get(queue, ()))


@dataclass(frozen=True, slots=True)
class SeamedStream:
    """How a process tells of events."""

    broker: Broker
    seam: Seam

    async def __call__(self, events: Sequence[StoredEvent]) -> None:
        """Tell of events in order; a death in between tells of the first ones only."""
        where = site()
        await self.seam.at("tell", "before", where)
        self.broker.stream += events
        await self.seam.at("tell", "after", where)


@dataclass(frozen=True, slots=True)
class SeamedEndpoint:
    """How a process hands an event to an endpoint."""

    broker: Broker
    seam: Seam

    def __call__(self, parcel: Parcel, _now: datetime) -> Coroutine[Any, Any, Answer]:
        """Hand an event over; a death afterwards leaves the answer unheard."""
        return self._post(site(), parcel)

    async def _post(self, where: str, parcel: Parcel) -> Answer:
        await self.seam.at("post", "before", where)
        answer = self.broker.answer(parcel)
        self.broker.posted.append((parcel, answer))
        await self.seam.at("post", "after", where)
        return answer


@dataclass(frozen=True, slots=True)
class CountedDeliveries:
    """What a process counts on the broker."""

    broker: Broker
    seam: Seam

    def begin(self, tag: str) -> Coroutine[Any, Any, int]:
        """Count a delivery that came back."""
        return self._begin(site(), tag)

    async def _begin(self, where: str, tag: str) -> int:
        await self.seam.at("count", "before", where)
        self.broker.deliveries[tag] += 1
        count = self.broker.deliveries[tag]
        await self.seam.at("count", "after", where)
        return count

    def end(self, tag: str) -> Coroutine[Any, Any, None]:
        """Forget its count."""
        return self._end(site(), tag)

    async def _end(self, where: str, tag: str) -> None:
        await self.seam.at("count", "before", where)
        del self.broker.deliveries[tag]
        await self.seam.at("count", "after", where)
