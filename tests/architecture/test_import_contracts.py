import shutil
from itertools import pairwise, permutations, product
from pathlib import Path
from typing import Any

import pytest

from tests.architecture.checkout import CHECKOUT, pyproject, run, tool

SETTINGS = pyproject()["tool"]["importlinter"]
CONTRACTS = {contract["name"]: contract for contract in SETTINGS["contracts"]}
LINT = tool("lint-imports", "--no-cache", "--no-logo")
PLANTED = "planted_here"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    shutil.copy(CHECKOUT / "pyproject.toml", tmp_path)
    for package in SETTINGS["root_packages"]:
        shutil.copytree(
            CHECKOUT / package,
            tmp_path / package,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    return tmp_path


def forbidden_imports(contract: dict[str, Any]) -> list[tuple[str, str]]:
    """Every (importer, imported) that a contract names as forbidden."""
    if contract["type"] == "forbidden":
        return list(product(contract["source_modules"], contract["forbidden_modules"]))
    layers = [[name.strip(" ()") for name in layer.split("|")] for layer in contract["layers"]]
    upwards = [pair for above, below in pairwise(layers) for pair in product(below, above)]
    sideways = [pair for layer in layers for pair in permutations(layer, 2)]
    return upwards + sideways


def plant(tree: Path, importer: str, imported: str) -> str:
    """Have a module import another; the name of the module that now does."""
    path = tree.joinpath(*importer.split("."))
    if path.is_dir():
        path, importer = path / PLANTED, f"{importer}.{PLANTED}"
    with path.with_suffix(".py").open("a", encoding="utf-8") as module:
        module.write(f"import {imported}\n")
    return importer


def test_the_project_keeps_its_contracts() -> None:
    ran = run(LINT)
    assert ran.status == 0, ran.output


def test_every_package_of_ours_is_under_contract() -> None:
    packages = {path.parent.name for path in CHECKOUT.glob("*/__init__.py")}
    assert packages - {"tests"} == set(SETTINGS["root_packages"])


@pytest.mark.parametrize("name", CONTRACTS)
def test_every_import_that_a_contract_forbids_is_reported(name: str, tree: Path) -> None:
    planted = [
        (plant(tree, importer, imported), imported)
        for importer, imported in forbidden_imports(CONTRACTS[name])
    ]

    ran = run(LINT, cwd=tree)

    assert planted
    assert ran.status == 1
    assert f"{name} BROKEN" in " ".join(ran.output.split())
    for importer, imported in planted:
        assert f"{importer} -> {imported} (l." in ran.output
