"""What a merchant tells a world of declined invoices: a buyer's own try, and the switch."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

from shared.billing.attempt import Claim
from shared.billing.charge_hours import ChargeHours
from shared.billing.collection import Move, after_send
from shared.billing.dunning import DunningPolicy
from shared.billing.events import Json
from shared.billing.outcome import Outcome
from shared.billing.rules import CollectionRules
from shared.jobs.life_commands import RetryInvoice, SwitchDunning
from tests.support.billing import LEASES, World, world_of
from worker.services.life.dunning import SwitchDunning as Switch
from worker.services.life.retry import TryInvoice
from worker.services.settle import SettleMoves

_numbers = itertools.count(1)


@contextmanager
def ruled(url: str, hours: ChargeHours | None = None, **dunning: Any) -> Iterator[World]:
    """Yield a world with empty tables, under a dunning policy and at hours of its own."""
    rules = CollectionRules(LEASES, DunningPolicy(**dunning), hours=hours or ChargeHours())
    with world_of(url, rules) as world:
        world.run(world.clear())
        yield world


async def try_invoice(world: World, invoice_id: int) -> dict[str, Json]:
    """Work a buyer's wish to pay at once."""
    command = RetryInvoice(command_id=f"try-{next(_numbers)}", invoice_id=invoice_id)
    handler = TryInvoice(world.rules.dunning, world.rules.hours)
    return await world.database.run(
        lambda connection: handler(connection, command, world.clock.now())
    )


async def switch_dunning(world: World, subscription_id: UUID, *, enabled: bool) -> dict[str, Json]:
    """Work the switch of a subscription."""
    command = SwitchDunning(
        command_id=f"switch-{next(_numbers)}", subscription_id=subscription_id, enabled=enabled
    )
    handler = Switch(world.rules.hours)
    return await world.database.run(
        lambda connection: handler(connection, command, world.clock.now())
    )


async def end(world: World, claim: Claim, outcome: Outcome) -> Move:
    """Settle one send as it ended, now."""
    move = after_send(claim, outcome, world.rules, world.clock.now())
    (written,) = await SettleMoves(world.database, world.clock, world.rules)([move])
    return written


async def declined_once(world: World) -> int:
    """Return an invoice whose first attempt was declined just now, for too little money."""
    (invoice_id,) = await world.open_invoices()
    await world.charge_all()
    invoice = await world.invoice(invoice_id)
    assert (invoice.status, invoice.declines) == ("open", 1)
    return invoice_id


async def charged_at(world: World, wait: timedelta) -> list[str]:
    """Let time pass and have whatever is due by then charged."""
    world.pass_time(wait)
    return await world.charge_all()
