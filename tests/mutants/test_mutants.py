"""The framework, the fit of every patch, and a handful of mutants that must be found at once."""

import json
import subprocess
import sys
import types
from pathlib import Path

import pytest

from deploy.launcher.servers import OwnServers
from tests.mutants.catalogue import MUTANTS
from tests.mutants.chase import chase
from tests.mutants.climates import CLIMATES
from tests.mutants.copies import copy_of
from tests.mutants.hunt import Catch, Control, controls_of, hunt
from tests.mutants.mutant import Change, Mutant, PatchError, misfits, patched
from tests.mutants.prey import StrayCodeError, hunt_in, require_own_code
from tests.mutants.report import as_json, last_line
from tests.simulation.installation import host_on
from tests.support.databases import fresh_database

CHECKOUT = Path(__file__).resolve().parents[2]
# Found in their first lives, in one climate, so that one control covers them all.
HANDFUL = ("timeout_is_a_decline", "stale_claim_released", "silence_is_the_end")
HARMLESS = Mutant(
    name="harmless",
    thought="a comment does not change anything",
    changes=(Change("shared/billing/dunning.py", "class GiveUp:", "class GiveUp:  # at last"),),
    shows=("was paid",),
    climate="unready",
    lives=1,
)
MISFIT = Mutant(
    name="misfit",
    thought="the code was otherwise yesterday",
    changes=(Change("shared/billing/dunning.py", "class Surrender:", ""),),
    shows=("was paid",),
    climate="unready",
    lives=1,
)


def test_every_patch_fits_the_code_as_it_is() -> None:
    assert misfits(CHECKOUT, MUTANTS) == {}


def test_the_catalogue_is_in_order() -> None:
    names = [mutant.name for mutant in MUTANTS]
    assert len(set(names)) == len(names) >= 20
    assert {mutant.climate for mutant in MUTANTS} == set(CLIMATES)
    for mutant in MUTANTS:
        assert mutant.thought, mutant.name
        assert mutant.shows, mutant.name
        assert mutant.lives >= 1, mutant.name


def test_every_patch_changes_our_code_and_no_test() -> None:
    for mutant in MUTANTS:
        for file in mutant.files:
            assert file.startswith(("shared/", "scheduler/", "worker/")), (mutant.name, file)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (Change("shared/billing/dunning.py", "no such text", ""), "occurs 0 times"),
        (Change("shared/billing/dunning.py", "timedelta", ""), "times, once is needed"),
        (Change("shared/billing/nowhere.py", "", ""), "there is no such file"),
        (Change("shared/billing/dunning.py", "class GiveUp:", "class"), "invalid syntax"),
    ],
)
def test_a_patch_that_does_not_fit_is_refused(change: Change, fault: str) -> None:
    with pytest.raises(PatchError, match=fault):
        patched(CHECKOUT, Mutant("x", "", (change,), ("x",), "unready", 1))


def test_a_copy_differs_from_the_checkout_in_the_patched_files_only() -> None:
    before = (CHECKOUT / "shared/billing/dunning.py").read_text()
    with copy_of(CHECKOUT, HARMLESS) as folder:
        assert (folder / "shared/billing/dunning.py").read_text() == before.replace(
            "class GiveUp:", "class GiveUp:  # at last"
        )
        differing = [
            path.relative_to(folder)
            for path in folder.rglob("*.py")
            if path.read_bytes() != (CHECKOUT / path.relative_to(folder)).read_bytes()
        ]
        assert differing == [Path("shared/billing/dunning.py")]
        assert not (folder / ".venv").exists()
    assert (CHECKOUT / "shared/billing/dunning.py").read_text() == before
    assert not folder.exists()


def test_code_of_another_folder_is_not_judged(tmp_path: Path) -> None:
    stray = types.ModuleType("shared")
    stray.__file__ = str(CHECKOUT / "shared/__init__.py")
    require_own_code((stray,))
    with pytest.raises(StrayCodeError, match="shared comes from"):
        require_own_code((stray,), tmp_path)


def test_the_code_that_is_lived_on_is_the_copys() -> None:
    with copy_of(CHECKOUT, HARMLESS) as folder:
        said = subprocess.run(
            [
                sys.executable,
                "-c",
                "import shared, worker; print(shared.__file__, worker.__file__)",
            ],
            cwd=folder,
            env={"PYTHONPATH": str(folder)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        assert [Path(file).parents[1] for file in said] == [folder, folder]


def test_a_mutant_is_found_by_what_it_must_show_and_by_nothing_else() -> None:
    lives = {0: [], 1: ["dull"], 2: ["dull", "invoice 1 was paid 2 times"]}
    found = hunt_in(lives.__getitem__, range(3), (r"was paid \d+ times",))
    assert (found["seed"], found["violation"]) == (2, "invoice 1 was paid 2 times")
    assert found["others"] == ["seed 1: dull"]
    assert hunt_in(lives.__getitem__, range(2), (r"was paid \d+ times",))["seed"] is None


def test_the_code_as_it_is_lives_every_life_that_a_mutant_may_need() -> None:
    of = {mutant.name: mutant for mutant in MUTANTS}
    chosen = [of["naive_retry"], HARMLESS, of["silence_is_the_end"]]
    most = max(of[name].lives for name in ("naive_retry", "silence_is_the_end"))
    assert controls_of(chosen) == [Control("storm", most), Control("unready", 1)]


def test_the_last_line_counts_mutants_only() -> None:
    catches = [
        Catch("(as it is) storm", None, None, "", 3, 1.0),
        Catch("a", HARMLESS, 0, "x", 1, 1.0),
        Catch("b", MISFIT, None, "", 0, 1.0, "the patch does not fit"),
    ]
    assert last_line(catches) == "mutants: caught=1 of=2"
    assert [row["fault"] for row in json.loads(as_json(catches))] == [
        "",
        "",
        "the patch does not fit",
    ]


def test_a_life_is_the_same_whatever_was_lived_before(servers: OwnServers) -> None:
    """Or a mutant would be found in one run and not in the next, which has other lives before."""
    passed = []
    for seeds in ((9,), (8, 9)):
        with fresh_database(servers.postgres) as url, host_on(url) as host:
            for seed in seeds:
                assert chase(host, seed, CLIMATES["doubled"])[0] == []
            passed.append(list(host.seam.passed))
    assert passed[0] == passed[1]


@pytest.fixture(scope="module")
def catches(servers: OwnServers) -> dict[str, Catch]:
    """What became of a handful, of one that does nothing, and of one that does not fit."""
    of = {mutant.name: mutant for mutant in MUTANTS}
    chosen = [*(of[name] for name in HANDFUL), HARMLESS, MISFIT]
    found = hunt(CHECKOUT, servers.postgres, chosen, jobs=1)
    return {catch.name: catch for catch in found}


@pytest.mark.parametrize("name", HANDFUL)
def test_a_planted_fault_is_found(catches: dict[str, Catch], name: str) -> None:
    assert catches[name].is_right, catches[name].fault


def test_the_code_as_it_is_shows_nothing(catches: dict[str, Catch]) -> None:
    controls = [catch for catch in catches.values() if catch.mutant is None]
    assert controls
    for control in controls:
        assert control.is_right, control.fault


def test_a_mutant_that_survives_is_a_fault(catches: dict[str, Catch]) -> None:
    assert catches["harmless"].fault == "survived 1 lives of unready"


def test_a_mutant_that_does_not_fit_is_a_fault(catches: dict[str, Catch]) -> None:
    assert "the patch does not fit" in catches["misfit"].fault
