"""One part of the lives, in an installation of its own: a database, a sandbox, one process."""

import argparse
import asyncio
import gc
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Final

from deploy.launcher.directories import scratch_directory
from deploy.timetravel import audit, ledger, plan, rows
from deploy.timetravel.gateway import IMP_KEY, IMP_SECRET, sandbox_process
from deploy.timetravel.machine import Machine
from deploy.timetravel.outcome import Outcome
from deploy.timetravel.server import private_database
from deploy.timetravel.traveller import Traveller
from shared.clock import FixedClock
from shared.config import Settings
from shared.db.engine import connect
from worker.bootstrap import gateway_settings
from worker.gateway.adapter import PortOneGateway
from worker.gateway.client import PortOne

# Of what the gateway does to a charge whose buyer pays as a rule.
_RATES: Final = {"declined": 0.02, "lost_reply": 0.003, "lost_request": 0.003, "bad_gateway": 0.002}


def run(options: argparse.Namespace) -> int:
    """Live one part; print how far it is, and at last, as one line, what came of it."""
    # Rows of years are not garbage: without this, every full collection walks all of them.
    gc.set_threshold(50_000, 50, 1_000)

    def passed(now: datetime) -> None:
        print(f"{now:%Y-%m-%d}", flush=True)

    if sys.platform == "win32":  # where there is no uvloop; the standard loop is only slower
        outcome = asyncio.run(_live(options, passed))
    else:
        import uvloop  # noqa: PLC0415

        outcome = uvloop.run(_live(options, passed))
    print(json.dumps(outcome.as_json(), ensure_ascii=False), flush=True)
    return 0


async def _live(options: argparse.Namespace, passed: Callable[[datetime], None]) -> Outcome:
    with scratch_directory() as scratch:
        async with (
            private_database(scratch) as database_url,
            sandbox_process(scratch / "logs" / "sandbox.log") as (sandbox_url, gateway),
            _machine(database_url, sandbox_url) as machine,
        ):
            await gateway.settings(seed=options.seed, rates=_RATES, token_ttl_s=86_400)
            lives = list(plan.lives(options.subscriptions, options.seed, options.years))
            deeds = plan.merchant_deeds(options.seed, options.years)
            own = lives[options.part :: options.processes]
            traveller = Traveller(machine, gateway, own, deeds)
            traveller.passed = passed
            until = plan.START_AT + timedelta(days=365 * options.years)
            await traveller.travel(until, timedelta(hours=options.step))
            book = await gateway.book()
            async with machine.database.transaction() as connection:
                found = await rows.read(connection)
    return Outcome(
        ledger.ledger_of(found, book),
        {f"{task} {ending}": count for (task, ending), count in machine.endings.items()},
        audit.violations(found, book, traveller.looked_at),
        charges=len(book),
        events=machine.told.count,
        looks=traveller.looks,
    )


@asynccontextmanager
async def _machine(database_url: str, sandbox_url: str) -> AsyncIterator[Machine]:
    """Yield an installation on these servers, whose clock stands at the beginning."""
    settings = Settings.model_validate(
        {
            "database_url": database_url,
            "redis_url": "redis://nobody-is-asked",
            "portone_base_url": sandbox_url,
            "portone_imp_key": IMP_KEY,
            "portone_imp_secret": IMP_SECRET,
            "portone_pg": "naverpay",
            "charge_batch_size": 500,
            "relay_rows_max": 10_000,
        }
    )
    clock = FixedClock(plan.START_AT)
    database = connect(database_url, connections_max=settings.database_connections_max)
    client = PortOne(gateway_settings(settings), clock=clock)
    try:
        gateway = PortOneGateway(client, send_window_s=settings.send_window_s, clock=clock)
        yield Machine(settings, database, gateway, clock)
    finally:
        await client.aclose()
        await database.aclose()
