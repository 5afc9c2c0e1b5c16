"""Live through years in a minute: ``python -m deploy.timetravel --years 2``."""

import argparse
import asyncio
import gc
import json
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Final

import structlog
from rich.console import Console

from deploy.launcher.directories import scratch_directory
from deploy.launcher.errors import LauncherError
from deploy.live import LiveView
from deploy.timetravel import audit, ledger, plan, rows
from deploy.timetravel.gateway import IMP_KEY, IMP_SECRET, Book, HttpGateway, sandbox_process
from deploy.timetravel.machine import Machine, StuckError
from deploy.timetravel.server import private_database
from deploy.timetravel.traveller import Traveller
from shared.clock import FixedClock
from shared.config import Settings
from shared.db.engine import connect
from worker.bootstrap import gateway_settings
from worker.gateway.adapter import PortOneGateway
from worker.gateway.client import PortOne

_SHOWN_MAX: Final = 20
_SUBSCRIPTIONS_MAX: Final = 100_000
_YEARS_MAX: Final = 20.0
_STEP_HOURS_MAX: Final = 24 * 31.0
# Of what the gateway does to a charge whose buyer pays as a rule.
_RATES: Final = {"declined": 0.02, "lost_reply": 0.003, "lost_request": 0.003, "bad_gateway": 0.002}


def main(arguments: Sequence[str] | None = None) -> int:
    """Live, print the ledger and the last line; 1 if anything was violated."""
    options = _parser().parse_args(arguments)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    # Rows of years are not garbage: without this, every full collection walks all of them.
    gc.set_threshold(50_000, 50, 1_000)
    try:
        if sys.platform == "win32":  # where there is no uvloop; the standard loop is only slower
            return asyncio.run(_run(options))
        import uvloop  # noqa: PLC0415

        return uvloop.run(_run(options))
    except LauncherError as error:
        print(f"simulate: {error.problem}; {error.remedy}", file=sys.stderr)
        return 2
    except StuckError as error:
        print(f"simulate: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


async def _run(options: argparse.Namespace) -> int:
    console = Console(highlight=False, stderr=options.json)
    started_s = time.monotonic()
    with scratch_directory() as scratch:
        async with (
            private_database(scratch) as database_url,
            sandbox_process(scratch / "logs" / "sandbox.log") as (sandbox_url, gateway),
            _machine(database_url, sandbox_url) as machine,
        ):
            await gateway.settings(seed=options.seed, rates=_RATES, token_ttl_s=86_400)
            traveller = _traveller(machine, gateway, options)
            await _travel(console, traveller, options)
            book = await gateway.book()
            async with machine.database.transaction() as connection:
                found = await rows.read(connection)
    wrong = audit.violations(found, book, machine.now)
    lived = ledger.ledger_of(found, book)
    seconds = time.monotonic() - started_s
    _report(console, machine, lived, wrong, options, _said(traveller, book, seconds))
    counts = " ".join(f"{name}={count}" for name, count in lived.counts.items())
    print(f"simulate: {counts} violations={len(wrong)}", flush=True)
    return 1 if wrong else 0


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


def _traveller(machine: Machine, gateway: HttpGateway, options: argparse.Namespace) -> Traveller:
    lives = plan.lives(options.subscriptions, options.seed, options.years)
    return Traveller(machine, gateway, lives, plan.merchant_deeds(options.seed, options.years))


async def _travel(console: Console, traveller: Traveller, options: argparse.Namespace) -> None:
    until = plan.START_AT + timedelta(days=365 * options.years)

    with LiveView(console, refreshes_per_s=4, line_every_s=10) as view:

        def show(now: datetime) -> None:
            view.show(lambda: f"{now:%Y-%m-%d}", lambda: f"simulate: {now:%Y-%m-%d}")

        traveller.passed = show
        await traveller.travel(until, timedelta(hours=options.step))


def _said(traveller: Traveller, book: Book, seconds: float) -> dict[str, object]:
    """Return what of the run itself is worth knowing."""
    endings = Counter(traveller.machine.endings)
    return {
        "seconds": round(seconds, 1),
        "looks": traveller.looks,
        "charges": len(book),
        "events": traveller.machine.told.count,
        "commands": {f"{task} {end}": count for (task, end), count in sorted(endings.items())},
    }


def _report(
    console: Console,
    machine: Machine,
    lived: ledger.Ledger,
    wrong: Sequence[str],
    options: argparse.Namespace,
    said: dict[str, object],
) -> None:
    if options.json:
        told = {**lived.as_json(), **said, "violations": list(wrong)}
        print(json.dumps(told, ensure_ascii=False))
        return
    console.print(ledger.table_of(lived))
    for name, value in said.items():
        console.print(f"{name}: {value}")
    console.print(f"from {plan.START_AT:%Y-%m-%d} to {machine.now:%Y-%m-%d}, seed {options.seed}")
    for sentence in wrong[:_SHOWN_MAX]:
        console.print(f"[red]{sentence}[/]")
    if len(wrong) > _SHOWN_MAX:
        console.print(f"[red]and {len(wrong) - _SHOWN_MAX} more[/]")


def _number(kind: type[int] | type[float], least: float, most: float) -> object:
    def read(said: str) -> float:
        try:
            value = kind(said)
        except ValueError:
            value = kind(-1)
        if not least <= value <= most:
            message = f"must be a number from {least:g} to {most:g}, not {said!r}"
            raise argparse.ArgumentTypeError(message)
        return value

    return read


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="simulate",
        description=(
            "Lives through years on a test clock: the real scans, services and tables on an empty"
            " PostgreSQL of its own, against the sandbox in a process of its own."
        ),
        epilog=(
            "The last line counts every period that began once: paid, in dunning (its invoice is"
            " still being collected), or skipped, which takes in what is uncollectible or void;"
            " each of these is explained by an event. A violation is a period without an end or"
            " with two, an overlap, a gap, a wrong day, a sum that the gateway's book contradicts,"
            " or a period paid twice. Exit status: 1 if there is one, 0 if not."
        ),
    )
    add = parser.add_argument
    add("--years", type=_number(float, 0.01, _YEARS_MAX), default=2.0, help="how long (2)")
    add(
        "--subscriptions",
        type=_number(int, 1, _SUBSCRIPTIONS_MAX),
        default=1_000,
        help="how many (1000)",
    )
    add("--seed", type=_number(int, 0, 2**32), default=1, help="the same seed, the same lives (1)")
    add(
        "--step",
        type=_number(float, 0.01, _STEP_HOURS_MAX),
        default=24.0,
        help="how many hours lie between two looks at least (24)",
    )
    add("--json", action="store_true", help="the ledger for machines, in one line before the last")
    return parser


if __name__ == "__main__":
    sys.exit(main())
