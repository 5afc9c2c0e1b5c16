import shutil
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.architecture.checkout import CHECKOUT, VENV, Ran, read, run, tool

CONFIG = ".pre-commit-config.yaml"
LOCK = "requirements.lock"

repositories: list[dict[str, Any]] = YAML(typ="safe").load(read(CONFIG))["repos"]
hooks = {hook["id"]: hook for repository in repositories for hook in repository["hooks"]}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with nothing but the hooks and a lock."""
    if shutil.which("git") is None:
        pytest.skip("pre-commit is of no use without git")
    shutil.copy(CHECKOUT / CONFIG, tmp_path)
    shutil.copy(CHECKOUT / LOCK, tmp_path)
    (tmp_path / ".venv").symlink_to(VENV)
    assert run(["git", "init", "--quiet"], cwd=tmp_path).status == 0
    assert run(["git", "add", CONFIG, LOCK], cwd=tmp_path).status == 0
    return tmp_path


def hook(repository: Path, name: str) -> Ran:
    return run(
        tool("pre-commit", "run", name, "--all-files", "--color=never"),
        cwd=repository,
        env={"PRE_COMMIT_HOME": str(repository / ".git" / "pre-commit")},
    )


def test_the_file_is_one_that_pre_commit_understands() -> None:
    ran = run(tool("pre-commit", "validate-config", CONFIG))
    assert ran == Ran(0, "")


def test_every_hook_is_run_from_our_environment_and_fetches_nothing() -> None:
    assert {repository["repo"] for repository in repositories} == {"local"}
    for name, one in hooks.items():
        assert one["language"] == "system", name
        program = one["entry"].split()[0]
        if program != "sh":
            assert program.startswith(".venv/bin/"), name
            assert (VENV / "bin" / Path(program).name).exists(), name


def test_the_hooks_are_the_checks_of_the_house() -> None:
    assert set(hooks) == {
        *("ruff-check", "ruff-format", "mypy", "import-contracts", "codespell", "yamllint"),
        *("validate-pyproject", "compose", "dockerfile", "locks"),
    }


def test_a_lock_without_an_address_may_be_committed(repository: Path) -> None:
    ran = hook(repository, "locks")
    assert ran.status == 0, ran.output
    assert "Passed" in ran.output


def test_a_lock_with_an_address_may_not_be_committed(repository: Path) -> None:
    with (repository / LOCK).open("a", encoding="utf-8") as lock:
        lock.write("planted @ https://127.0.0.1/planted.whl\n")
    ran = hook(repository, "locks")
    assert ran.status == 1, ran.output
    assert f"{LOCK}:" in ran.output
    assert "planted.whl" in ran.output
