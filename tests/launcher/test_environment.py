"""The environment is made once and exactly as locked; an interruption is never its end."""

import base64
import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from deploy.launcher.children import Child
from deploy.launcher.waiting import wait_until
from tests.launcher.checkouts import make_checkout
from tests.launcher.probes import clean_environment

# Builds the stand-in project without anything from outside: hatchling is not in its lock.
_BACKEND = """
import zipfile
def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    name = "dalmada-0-py3-none-any.whl"
    with zipfile.ZipFile(f"{wheel_directory}/{name}", "w") as wheel:
        wheel.writestr("dalmada.pth", "")
        info = "dalmada-0.dist-info"
        metadata = "Metadata-Version: 2.1\\nName: dalmada\\nVersion: 0\\n"
        wheel.writestr(f"{info}/METADATA", metadata)
        tags = "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
        wheel.writestr(f"{info}/WHEEL", tags)
        wheel.writestr(f"{info}/RECORD", "")
    return name
"""
_PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "dalmada"
version = "0"
"""


def make_wheel(folder: Path, name: str, version: str = "1.0", *, script: str = "") -> str:
    """A package with one module and perhaps a command, and its line for a lock."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f"VERSION = '{version}'\n",
        **({f"{name}-{version}.data/scripts/{name}": script} if script else {}),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{path},sha256={_urlsafe(text)},{len(text.encode())}\n" for path, text in files.items()
    )
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n"
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return f"{name}=={version} \\\n    --hash=sha256:{digest}\n"


def _urlsafe(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


class Checkout:
    """A checkout whose lock names wheels of a folder beside it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.wheels = root.parent / "wheels"
        self.wheels.mkdir()
        self.launcher = make_checkout(root)
        (root / "pyproject.toml").write_text(_PYPROJECT, encoding="utf-8")
        (root / "backend.py").write_text(_BACKEND, encoding="utf-8")
        self.stamp = root / ".venv" / "dalmada-stamp.json"

    def lock(self, *lines: str) -> None:
        (self.root / "requirements-dev.lock").write_text("".join(lines), encoding="utf-8")

    def variables(self, **more: str) -> dict[str, str]:
        # Without uv on PATH, and away from whatever this machine installs from.
        found = clean_environment(
            PIP_NO_INDEX="1", PIP_FIND_LINKS=str(self.wheels), PIP_CONFIG_FILE=os.devnull, **more
        )
        return {**found, "PATH": "/usr/bin:/bin"}

    def env(self, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, self.launcher, "env"],
            env=self.variables(**more),
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
        )

    def imported(self, module: str) -> str:
        done = subprocess.run(
            [self.root / ".venv/bin/python", "-c", f"import {module}; print({module}.VERSION)"],
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "checkout")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout whose environment holds two packages; each test may change its lock."""
    made = Checkout(tmp_path_factory.mktemp("made") / "checkout")
    made.lock(make_wheel(made.wheels, "one"), make_wheel(made.wheels, "two"))
    done = made.env(HOME="/nonexistent")
    assert done.returncode == 0, done.stderr
    return made


def test_a_current_environment_is_not_touched(made: Checkout) -> None:
    assert (made.imported("one"), made.imported("two")) == ("1.0", "1.0")
    before = made.stamp.stat().st_mtime_ns
    again = made.env()
    assert again.stderr == f"dalmada: environment ready: {made.root / '.venv'}\n"
    assert made.stamp.stat().st_mtime_ns == before


def test_it_follows_a_changed_lock_also_in_what_the_lock_no_longer_names(made: Checkout) -> None:
    made.lock(make_wheel(made.wheels, "one", "2.0"))
    changed = made.env()
    assert changed.returncode == 0, changed.stderr
    assert "environment: new" not in changed.stderr
    assert (made.imported("one"), made.imported("two")) == ("2.0", "")


def test_a_locked_uv_is_tried_first_and_pip_does_what_it_can_not(made: Checkout) -> None:
    uv = make_wheel(made.wheels, "uv", script="#!/bin/sh\necho planted\nexit 1\n")
    made.lock(make_wheel(made.wheels, "one", "3.0"), uv)
    done = made.env()
    assert done.returncode == 0, done.stderr
    assert "environment: uv could not, so pip tries" in done.stderr
    assert made.imported("one") == "3.0"


def test_a_file_that_is_not_the_locked_one_is_refused(made: Checkout) -> None:
    name, _, digest = make_wheel(made.wheels, "three").rpartition("sha256:")
    made.lock(f"{name}sha256:{'0' * len(digest.strip())}\n")
    refused = made.env()
    assert refused.returncode == 1
    assert "environment: 1 packages from requirements-dev.lock: failed" in refused.stderr
    assert "HASH" in refused.stderr
    assert made.imported("three") == ""
    assert not made.stamp.exists()


def test_an_interrupted_one_is_begun_again_by_one_of_two_runs_at_once(
    checkout: Checkout, tmp_path: Path
) -> None:
    checkout.lock(make_wheel(checkout.wheels, "one"))
    first, *both = [
        Child(
            f"run{number}",
            [sys.executable, checkout.launcher, "env"],
            log=tmp_path / f"run{number}.log",
            env=checkout.variables(),
        )
        for number in range(3)
    ]
    first.start()
    configuration = checkout.root / ".venv" / "pyvenv.cfg"
    wait_until(configuration.exists, "one is being made", timeout_s=60, check=first.require_alive)
    first.kill()
    assert not checkout.stamp.exists()

    for run in both:
        run.start()
    assert [run.wait(200) for run in both] == [0, 0]
    assert sum("environment: new" in run.output() for run in both) == 1
    assert checkout.imported("one") == "1.0"
    assert checkout.stamp.exists()


def test_an_environment_that_is_a_link_is_left_alone(checkout: Checkout, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").touch()
    (checkout.root / ".venv").symlink_to(elsewhere)
    refused = checkout.env()
    assert refused.returncode == 1
    assert "is a link to somewhere else" in refused.stderr
    assert (elsewhere / "precious").exists()


def test_an_incomplete_checkout_is_named(checkout: Checkout) -> None:
    (checkout.root / "requirements-dev.lock").unlink()
    refused = checkout.env()
    assert refused.returncode == 1
    assert "requirements-dev.lock is missing" in refused.stderr
    assert not (checkout.root / ".venv").exists()
