"""How a life goes on, round after round, with the deaths that are planned for it.

In a round what is due is ticked, every message is worked, and time passes until something is due
again. Between two messages nobody works: there a life may be ended, or go on where another stood.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from scheduler.timetable import SCANS
from shared.config import Settings
from tests.crash.beginning import Beginning, begin_with, keep
from tests.crash.standing import Standing, give_token, go_on
from tests.crash.story import Life, Scenario
from tests.simulation import checks, life_checks
from tests.simulation.checks import Seen
from tests.simulation.due import Outlook
from tests.simulation.installation import Host, Installation, Worker, settings_for
from tests.simulation.merchant import Merchant
from tests.simulation.seam import Point

# More rounds than any life of ours needs; one that needs them goes round in circles.
_ROUNDS_MAX = 400
# Under the reading of the documents by which the gateway refuses no repetition at all.
_CRUEL = {"duplicate_policy": "none"}


@dataclass(frozen=True, slots=True)
class Lived:
    """How a life went.

    Attributes:
        passed: The points it passed.
        wrong: What was wrong at its end.
        outcome: The business's end of it; None if it was not lived to its end.
    """

    passed: tuple[Point, ...]
    wrong: tuple[str, ...]
    outcome: Mapping[str, object] | None


@dataclass(slots=True)
class Watch:
    """Kills at the numbers of a plan, and tells whoever asks of every point.

    Attributes:
        at_point: Told of the number of every point.
        at_rest: Asked between two messages; True ends the life there.
        thorough: Whether every scan is ticked once more at the end.
    """

    plan: frozenset[int]
    at_point: Callable[[Life, int], None] | None = None
    at_rest: Callable[[Life], bool] | None = None
    life: Life | None = None
    thorough: bool = True
    over: bool = False

    def dies(self, number: int, _point: Point) -> bool:
        """Answer the seam."""
        if self.over or self.life is None:
            return False
        if self.at_point is not None:
            self.at_point(self.life, number)
        return number in self.plan

    def rests(self) -> None:
        """Say that nobody works.

        Raises:
            EnoughSeenError: The life need not be lived further.
        """
        if self.at_rest is not None and self.life is not None and self.at_rest(self.life):
            raise EnoughSeenError


class EnoughSeenError(Exception):
    """What follows is known."""


def prepare(host: Host, scenario: Scenario) -> Beginning | None:
    """Walk the way to where a scenario begins, if it begins anywhere."""
    if not scenario.before:
        return None
    watch = Watch(frozenset())
    life = _life(host, scenario, watch)

    async def way() -> Beginning:
        try:
            before = replace(scenario, deeds=scenario.before, days=0)
            if wrong := await _live(life, before, watch, None):
                raise AssertionError(wrong)
            return keep(life.installation, life.ids)
        finally:
            await life.installation.end()

    return host.run(way())


def _life(host: Host, scenario: Scenario, watch: Watch) -> Life:
    installation = Installation(
        host,
        settings=_settings(tuple(sorted(scenario.settings.items()))),
        sandbox={**_CRUEL, **scenario.sandbox},
        dies=watch.dies,
        thorough=False,
    )
    return Life(installation, Merchant(installation))


@lru_cache
def _settings(changes: tuple[tuple[str, Any], ...]) -> Settings:
    return settings_for(**dict(changes))


def live(
    host: Host,
    scenario: Scenario,
    watch: Watch,
    beginning: Beginning | None,
    standing: Standing | None = None,
) -> Lived:
    """Live through a scenario with the deaths that were planned.

    Args:
        beginning: Where it begins.
        standing: Where one of those deaths was died already, and this life goes on.
    """
    life = _life(host, scenario, watch)
    installation = life.installation
    if standing is not None:
        go_on(installation, life.changing, standing)
    elif beginning is not None:
        begin_with(installation, beginning)
        life.ids += beginning.ids
        life.merchant.heard = len(beginning.stream)
    watch.life = life

    async def story() -> Lived:
        try:
            wrong = await _live(life, scenario, watch, standing)
            passed = tuple(host.seam.passed)
            watch.over = True
            seen = await _end(life, thorough=watch.thorough)
            return Lived(passed, (*wrong, *_judge(life, seen)), checks.outcome(seen))
        except EnoughSeenError:
            return Lived(tuple(host.seam.passed), (), None)
        finally:
            watch.over = True
            await installation.end()

    return host.run(story())


async def _live(
    life: Life, scenario: Scenario, watch: Watch, standing: Standing | None
) -> list[str]:
    installation, outlook = life.installation, Outlook(life.installation)
    until = life.until = life.until or installation.now + timedelta(days=scenario.days)
    installation.start_worker(slots=1)
    installation.start_scans(slots=1)
    if standing is not None:
        give_token(installation, standing)
        await _work_all(life, watch)
        if await _over(life, scenario, outlook, until):
            return _undone(life, scenario)
    while life.rounds < _ROUNDS_MAX:
        life.rounds += 1
        await _do(life, scenario)
        due = outlook.due()
        scans = [scan for scan in SCANS if due.get(scan, until) <= installation.now]
        installation.tick(scans)
        life.ticked, life.worked = len(scans), 0
        await _work_all(life, watch)
        if await _over(life, scenario, outlook, until):
            return _undone(life, scenario)
    return [f"no end after {_ROUNDS_MAX} rounds"]


async def _over(life: Life, scenario: Scenario, outlook: Outlook, until: datetime) -> bool:
    """End a round: let time pass until something is due, or say that the end comes first."""
    installation = life.installation
    if await _do(life, scenario):
        return False
    due = outlook.due()
    back = [at for at, _ in installation.broker.unacknowledged.values()]
    waits = [(at - installation.now).total_seconds() for at in due.values()]
    waits += [at - installation.host.loop.time() for at in back]
    if life.wakes_at is not None and life.wakes_at > installation.now:
        waits.append((life.wakes_at - installation.now).total_seconds())
    if all(life.is_about_scans):
        # Beat's own interval: the scan that was ticked found nothing to do yet.
        waits = [max(wait, installation.settings.scan_interval_s) for wait in waits]
    wait = min(waits, default=float("inf"))
    if installation.now + timedelta(seconds=min(wait, 1e9)) >= until:
        return True
    await installation.pass_time(max(wait, 0.0))
    return False


def _undone(life: Life, scenario: Scenario) -> list[str]:
    if life.done < len(scenario.deeds):
        return [f"deed {life.done + 1} of {len(scenario.deeds)} could never be done"]
    return []


async def _do(life: Life, scenario: Scenario) -> bool:
    """Do what can be done; return whether anything was."""
    life.merchant.hear()
    before = life.done
    while life.done < len(scenario.deeds) and await scenario.deeds[life.done](life):
        life.done += 1
    return life.done > before


async def _work_all(life: Life, watch: Watch) -> None:
    """Work one message after the other until none waits."""
    installation = life.installation
    while True:
        messages = installation.broker.everything()
        installation.replace_the_dead()
        watch.rests()
        if not messages:
            return
        message = messages[0]
        able = [worker for worker in installation.workers if worker.takes(message)]
        worker: Worker = able[0]
        # What chance says in a message's work depends on nothing that was before it.
        random.seed(0)
        installation.deliver(worker, message)
        life.worked += 1
        while await installation.step():
            pass


async def _end(life: Life, *, thorough: bool) -> Seen:
    """Look at the end; a thorough one ticks every scan once more, which must find nothing."""
    if thorough:
        life.installation.tick()
        await life.installation.deliver_all()
    return checks.look(life.installation, elsewhere=life.elsewhere, strangers=life.strangers)


def _judge(life: Life, seen: Seen) -> list[str]:
    faults = [f"a task raised {fault}" for fault in life.installation.faults]
    said = list(life.merchant.said)
    return [
        *faults,
        *checks.everything(seen),
        *life_checks.lives(seen),
        *checks.unanswered(seen, said),
    ]
