"""The life of subscriptions in a small world: commands as merchants send them, scans, and rows."""

import itertools
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from scheduler.scans.resume import ResumeSubscriptions
from shared.jobs import commands, life_commands
from shared.jobs.command import Command
from tests.support.billing import World
from tests.support.endings import Ends
from tests.support.keys import TERMS
from worker.handlers import handlers
from worker.services.command_desk import CommandDesk
from worker.services.hints import ReceiveWebhooks
from worker.services.life.rules import LifeRules

_numbers = itertools.count(1)
BY_CUSTOMER = {"reason": "요청", "requester": "customer"}


@dataclass
class Living:
    """A process that works commands about subscriptions; ``twin`` is another one beside it."""

    world: World
    rules: LifeRules = field(default_factory=LifeRules)
    ends: Ends = field(init=False)

    def __post_init__(self) -> None:
        self.ends = Ends(self.world)

    def twin(self) -> "Living":
        """Return another process on the same database."""
        world = self.world.twin()
        world.queue = self.world.queue
        return Living(world, self.rules)

    def run(self, work: Any) -> Any:
        """Run a coroutine on the world's loop."""
        return self.world.run(work)

    # What merchants say.

    async def give(self, command: Command) -> str:
        """Have a command worked by the desk and return how it ended."""
        desk = CommandDesk(
            self.world.database,
            self.world.clock,
            handlers(TERMS, self.rules),
            ReceiveWebhooks(self.world.database, self.world.clock),
        )
        return await desk.command(command)

    async def said(self, command: Command) -> Mapping[str, Any]:
        """Have a command worked and return its result as it is kept."""
        await self.give(command)
        (row,) = await self.world.rows(
            "SELECT result FROM commands WHERE command_id = :id", id=command.command_id
        )
        result: Mapping[str, Any] = row.result
        return result

    async def do(self, contract: type[Command], **values: Any) -> Any:
        """Have a command done and return what its handler told."""
        result = await self.said(made(contract, **values))
        assert result["status"] == "done", result
        return result["result"]

    async def refused(self, contract: type[Command], **values: Any) -> str:
        """Have a command refused and return the words."""
        result = await self.said(made(contract, **values))
        assert result["status"] == "refused", result
        return str(result["error"])

    async def start(self, **values: Any) -> uuid.UUID:
        """Begin a subscription, a moment before anything else happens."""
        told = await self.do(life_commands.StartSubscription, **{**TERMS_OF_START, **values})
        return uuid.UUID(told["subscription_id"])

    async def pause(self, id_: uuid.UUID, **values: Any) -> Any:
        """Pause a subscription."""
        values = {**BY_CUSTOMER, **values}
        return await self.do(life_commands.PauseSubscription, subscription_id=id_, **values)

    async def resume(self, id_: uuid.UUID) -> Any:
        """Resume a subscription."""
        return await self.do(life_commands.ResumeSubscription, subscription_id=id_)

    async def change(self, id_: uuid.UUID, **values: Any) -> Any:
        """Change a subscription on its buyer's wish, with a consent."""
        values = {"requester": "customer", "consent": self.consent(), **values}
        return await self.do(life_commands.ChangeSubscription, subscription_id=id_, **values)

    async def cancel(self, id_: uuid.UUID, when: str = "now", **values: Any) -> Any:
        """End a subscription."""
        values = {**BY_CUSTOMER, **values}
        return await self.do(commands.CancelSubscription, subscription_id=id_, when=when, **values)

    async def reactivate(self, id_: uuid.UUID, **values: Any) -> Any:
        """Take an end back."""
        return await self.do(life_commands.ReactivateSubscription, subscription_id=id_, **values)

    def consent(self, given_at: datetime | None = None) -> dict[str, Any]:
        """Return a consent as a command carries it, given now."""
        at = given_at or self.world.clock.now()
        return {"given_at": at, "shown": "결제 화면", "evidence": "click 1"}

    # What the processes do.

    async def scan(self, rows_max: int = 1_000) -> int:
        """Run the scan that begins and ends pauses."""
        return await ResumeSubscriptions(self.world.database, self.world.clock, rows_max)()

    async def tick(self) -> list[str]:
        """Do all that is due now: pauses, renewals, charges, ends."""
        await self.scan()
        await self.world.renew()
        await self.scan()
        return [*await self.world.charge_all(), *await self.ends.end_all()]

    async def go_to(self, instant: datetime) -> list[str]:
        """Move the clock to an instant and do what is due then."""
        self.world.clock.instant = instant
        return await self.tick()

    # What is there.

    async def row(self, id_: uuid.UUID) -> Row[Any]:
        """Return a subscription's row."""
        return await self.ends.subscription(id_)

    async def invoices(self, id_: uuid.UUID) -> list[Row[Any]]:
        """Return a subscription's invoices, by period."""
        return await self.ends.invoices(id_)

    async def lines(self, id_: uuid.UUID) -> list[list[tuple[str, int]]]:
        """Return kind and amount of the lines of each invoice, by period."""
        return [
            [(line["kind"], line["amount"]) for line in invoice.lines]
            for invoice in await self.invoices(id_)
        ]

    async def adjustments(self, id_: uuid.UUID) -> list[tuple[str, int, int]]:
        """Return kind, amount and what is left of each adjustment, oldest first."""
        found = await self.world.rows(
            "SELECT kind, amount, amount_left FROM adjustments WHERE subscription_id = :id"
            " ORDER BY id",
            id=id_,
        )
        return [(row.kind, row.amount, row.amount_left) for row in found]


TERMS_OF_START = {"customer_uid": "customer-1", "amount": 30_000, "order_name": "슬림 요금제"}


def made(contract: type[Command], **values: Any) -> Any:
    """Return a command under an id that no other has."""
    return contract.model_validate({"command_id": f"c-{next(_numbers)}", **values})
