"""Run the demonstration against a stack that is up: ``python -m deploy.demo``."""

import asyncio
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from deploy.demo import progress
from deploy.demo.plan import Subscriber, subscribers
from deploy.demo.screen import Screen
from deploy.verdict import Verdict, compare
from shared.clock import WallClock
from shared.db import subscriptions
from shared.db.engine import Database, connect

# The longest a run may take: three dunning steps, or a lost request that is asked about, sent
# again and declined; each a few seconds with the demonstration's short times.
_PATIENCE_S = 180.0
_POLL_S = 0.25
_ROWS_PER_TRANSACTION = 500
_COUNT_MAX = 100_000


class UsageError(Exception):
    """The environment does not say what to do."""


def main() -> int:
    """Run the demonstration; return 1 if anything was charged twice, missed or left unknown."""
    console = Console(highlight=False)
    try:
        count = _whole_number("DEMO_SUBSCRIPTIONS", 300)
        seed = _whole_number("DEMO_SEED", 31)
        addresses = {
            name: _required(name)
            for name in ("DALMADA_DATABASE_URL", "DALMADA_SANDBOX_URL", "DALMADA_FLOWER_URL")
        }
    except UsageError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2
    try:
        return asyncio.run(_run(console, addresses, count, seed))
    except KeyboardInterrupt:
        return 130


async def _run(console: Console, addresses: dict[str, str], count: int, seed: int) -> int:
    clock = WallClock()
    started_s = time.monotonic()
    people = list(subscribers(count, seed, clock.now()))
    database = connect(addresses["DALMADA_DATABASE_URL"], connections_max=2)
    try:
        async with httpx.AsyncClient(
            base_url=addresses["DALMADA_SANDBOX_URL"], timeout=30, trust_env=False
        ) as sandbox:
            await _instruct(sandbox, people, seed)
            await _subscribe(database, people, clock)
            _introduce(console, addresses, count, seed)
            finished = await _watch(console, database, count)
            book = (await sandbox.get("/_sandbox/payments")).raise_for_status().json()["payments"]
        async with database.transaction() as connection:
            verdict = await compare(connection, book, clock.now())
    finally:
        await database.aclose()
    _report(console, verdict, book)
    if not finished:
        console.print(f"[red]not finished within {_PATIENCE_S:.0f} s[/]")
    print(_last_line(verdict, time.monotonic() - started_s), flush=True)
    return 0 if verdict.clean and finished else 1


async def _instruct(sandbox: httpx.AsyncClient, people: Sequence[Subscriber], seed: int) -> None:
    """Register the buyers' keys and tell the gateway how to treat each of them."""
    uids = [person.subscription.customer_uid for person in people]
    behaviours = {
        person.subscription.customer_uid: {
            "script": list(person.behaviour.script),
            "then": person.behaviour.then,
        }
        for person in people
    }
    faults = {
        "seed": seed,
        "latency_ms": 80,
        "latency_jitter": 0.5,
        "duplicate_policy": "refused_if_paid",
    }
    for method, path, body in (
        ("PUT", "/_sandbox/faults", faults),
        ("POST", "/_sandbox/billing-keys", {"customer_uids": uids}),
        ("PUT", "/_sandbox/behaviours", behaviours),
    ):
        answer = await sandbox.request(method, path, json=body)
        answer.raise_for_status()


async def _subscribe(database: Database, people: Sequence[Subscriber], clock: WallClock) -> None:
    """Add every subscription, as ``dalmada subscription add`` does."""
    for start in range(0, len(people), _ROWS_PER_TRANSACTION):
        new = [person.subscription for person in people[start : start + _ROWS_PER_TRANSACTION]]
        async with database.transaction() as connection:
            await subscriptions.add(connection, new, clock.now())


def _introduce(console: Console, addresses: dict[str, str], count: int, seed: int) -> None:
    console.print(
        f"[bold]{count} subscriptions[/] (seed {seed}) fall due now, and the gateway misbehaves."
    )
    console.print(f"Flower: {addresses['DALMADA_FLOWER_URL']}")
    console.print(
        "[dim]Leases, settle delay and dunning last seconds here; in production, minutes and days."
        "[/]"
    )


async def _watch(console: Console, database: Database, count: int) -> bool:
    """Show the counts until nobody works on anything any more; False when patience ends."""
    deadline_s = time.monotonic() + _PATIENCE_S
    with Screen(console, count) as screen:
        while time.monotonic() < deadline_s:
            async with database.transaction() as connection:
                now = await progress.read(connection)
            screen.counts(now)
            if now.renewed >= count and now.unfinished == 0:
                return True
            await asyncio.sleep(_POLL_S)
    return False


def _report(console: Console, verdict: Verdict, book: Sequence[dict[str, Any]]) -> None:
    """Print what the comparison of our rows with the gateway's book found."""
    table = Table(title="Our rows beside the gateway's book", title_justify="left")
    table.add_column("what")
    table.add_column("count", justify="right")
    paid = [record for record in book if record["status"] == "paid"]
    rows = [
        ("invoices paid", verdict.invoices.get("paid", 0)),
        ("payments in the gateway's book", len(paid)),
        ("won collected", sum(record["amount"] for record in paid)),
        ("in dunning", verdict.invoices.get("dunning", 0)),
        ("given up after the last dunning step", verdict.invoices.get("given_up", 0)),
        ("billing key dead, waiting for a new one", verdict.invoices.get("method_dead", 0)),
        ("outcome unknown", verdict.invoices.get("unknown", 0)),
        ("charged twice", verdict.double_charges),
        ("renewals missed", verdict.missed),
        ("rows and book disagree", len(verdict.disagreements)),
    ]
    for label, number in rows:
        table.add_row(label, f"{number:,}")
    console.print(table)
    for disagreement in verdict.disagreements[:20]:
        console.print(f"[red]{disagreement}[/]")


def _last_line(verdict: Verdict, seconds: float) -> str:
    counts = verdict.invoices
    return (
        f"demo: subscriptions={verdict.subscriptions} paid={counts.get('paid', 0)}"
        f" dunning={counts.get('dunning', 0) + counts.get('given_up', 0)}"
        f" method_dead={counts.get('method_dead', 0)} unknown={counts.get('unknown', 0)}"
        f" double_charges={verdict.double_charges} missed={verdict.missed} seconds={seconds:.0f}"
    )


def _whole_number(name: str, default: int) -> int:
    given = os.environ.get(name, str(default))
    if not given.isdigit() or not 1 <= int(given) <= _COUNT_MAX:
        raise UsageError(f"{name} must be a whole number from 1 to {_COUNT_MAX}, not {given!r}")
    return int(given)


def _required(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise UsageError(f"{name} is not set; `make demo` starts everything and sets it")
    return value


if __name__ == "__main__":
    sys.exit(main())
