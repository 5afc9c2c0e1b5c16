"""A worker's intake in this process: real tables, a real broker for counts, a message at a time."""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest
from redis.asyncio import Redis

from shared.jobs import canonical
from shared.jobs.canonical import CanonicalLine
from shared.jobs.command import Command
from shared.jobs.commands import ReceiveWebhook
from shared.jobs.contracts import Job
from shared.jobs.deliveries import Deliveries
from tests.support.billing import World
from worker.services.command_desk import CommandDesk
from worker.tasks import intake, kept

R = TypeVar("R")


@dataclass
class Intake:
    """Works messages as a task does.

    Attributes:
        away: What every use of a service raises while it is set.
    """

    world: World
    desk: CommandDesk
    redis: Redis
    away: Exception | None = None
    _request: SimpleNamespace = field(default_factory=SimpleNamespace)

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Put this in the place of the worker's runtime and of Celery's running task."""
        task = SimpleNamespace(name="a task", request=self._request)
        for module in (intake, kept):
            patch.setattr(module, "runtime", self)
        for owner in (kept, canonical):
            patch.setattr(owner, "current_task", task)

    def run(self, work: Callable[[Any], Coroutine[Any, Any, R]]) -> R:
        """Do what the runtime does."""
        if self.away is not None:
            raise self.away
        services = SimpleNamespace(commands=self.desk, deliveries=Deliveries(self.redis))
        return self.world.run(work(services))

    def take(
        self,
        contract: type[Job],
        kwargs: Mapping[str, object],
        *args: object,
        redelivered_as: str | None = None,
    ) -> str:
        """Have one message worked and return the outcome."""
        self._request.id = "an id"
        self._request.delivery_info = {"redelivered": redelivered_as is not None}
        self._request.properties = {"delivery_tag": redelivered_as or "fresh"}
        return kept.kept(contract, args, dict(kwargs), self._work)

    def _work(self, job: Job, _: CanonicalLine) -> str:
        if isinstance(job, ReceiveWebhook):
            webhook = job
            return str(self.run(lambda services: services.commands.webhook(webhook)))
        assert isinstance(job, Command)
        command = job
        return str(self.run(lambda services: services.commands.command(command)))
