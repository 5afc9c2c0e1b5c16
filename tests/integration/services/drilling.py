"""What tests of a restored database have in common."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from deploy.launcher.servers import OwnServers
from tests.support.databases import fresh_database
from tests.support.drill import Drill, backed_up, dropped, restored
from tests.support.sandbox import SandboxControl

R = TypeVar("R")
Work = Callable[[], Awaitable[R]]


@contextmanager
def drill_on(servers: OwnServers, sandbox: SandboxControl) -> Iterator[Drill]:
    """Yield an installation on a database of its own, under the policy that protects nobody."""
    sandbox.faults(duplicate_policy="none")
    with fresh_database(servers.postgres) as url:
        try:
            yield Drill(url, sandbox)
        finally:
            sandbox.set_clock(0)
            dropped(url, f"{url.rpartition('/')[2].partition('?')[0]}_backup")


def run(drill: Drill, work: Work[R]) -> R:
    """Do something while a process of each kind runs."""

    async def do() -> R:
        async with drill.running():
            return await work()

    return asyncio.run(do())


def set_back(drill: Drill, before: Work[object], lost: Work[object]) -> None:
    """Live on from a backup, and restore it."""
    run(drill, before)
    backup = backed_up(drill.url)
    run(drill, lost)
    restored(drill.url, backup)
