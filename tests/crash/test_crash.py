"""Some deaths of most lives, and every step of the code: the whole is ``make crash``."""

import shutil
from pathlib import Path

import pytest

from deploy.launcher.servers import OwnServers
from tests.crash import coverage
from tests.crash.run import run
from tests.crash.scenarios import SCENARIOS
from tests.simulation.seam import CHECKOUT, DECIDING

POINTS, PAIRS = 8, 60
SEED = 20_261_122
NEW_STEP = """

class Forgotten:
    async def __call__(self) -> None:
        await self.database.run(self.work)
"""


def test_whoever_dies_wherever_nothing_is_lost_or_done_twice(servers: OwnServers) -> None:
    often = [scenario for scenario in SCENARIOS if scenario.often]
    report = run(servers.postgres, often, points=POINTS, pairs=PAIRS, seed=SEED, jobs=2)
    assert {one.name: one.violations for one in report.results if one.found} == {}
    assert report.uncovered == []
    assert len(report.results) == len(often)
    assert min(result.points for result in report.results) > 0
    assert sum(result.pairs for result in report.results) >= PAIRS
    assert report.line.endswith("violations=0")


def test_no_two_lives_have_one_name() -> None:
    assert len({scenario.name for scenario in SCENARIOS}) == len(SCENARIOS)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A checkout with the code that touches the outside, to be changed."""
    for folder in (*DECIDING, "shared"):
        source = CHECKOUT / folder
        shutil.copytree(source, tmp_path / source.relative_to(CHECKOUT), dirs_exist_ok=True)
    return tmp_path


def passed_by_lives() -> list[coverage.Place]:
    return [(step.file, step.end) for step in coverage.steps() if step.name not in coverage.EXEMPT]


def test_a_step_that_no_life_passes_is_named(copied: Path) -> None:
    passed = passed_by_lives()
    assert coverage.faults(passed, copied) == []
    with (copied / "worker/services/relay.py").open("a") as module:
        module.write(NEW_STEP)
    (fault,) = coverage.faults(passed, copied)
    assert fault.startswith("no life passes worker.services.relay:Forgotten.__call__")
    (missed,) = coverage.faults(passed[1:])
    assert "no life passes" in missed


def test_a_way_to_the_outside_under_another_name_is_named(copied: Path) -> None:
    passed = passed_by_lives()
    module = copied / "worker/services/relay.py"
    module.write_text(module.read_text().replace("publish: Publish", "tell: Publish"))
    assert any("nobody looks for" in fault for fault in coverage.faults(passed, copied))
