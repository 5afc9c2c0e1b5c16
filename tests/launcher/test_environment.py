"""The environment is made once, exactly as locked, and an interruption is never taken for the end."""

import base64
import hashlib
import os
import subprocess
import sys
import time
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
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\\nName: dalmada\\nVersion: 0\\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
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


def make_wheel(folder: Path, name: str, version: str = "1.0") -> str:
    """A package with one module, and its line for a lock."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f"VERSION = '{version}'\n",
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


def test_it_follows_the_lock_and_is_not_touched_when_current(checkout: Checkout) -> None:
    one, two = make_wheel(checkout.wheels, "one"), make_wheel(checkout.wheels, "two")
    checkout.lock(one, two)
    made = checkout.env(HOME="/nonexistent")
    assert made.returncode == 0, made.stderr
    assert (checkout.imported("one"), checkout.imported("two")) == ("1.0", "1.0")

    before = checkout.stamp.stat().st_mtime_ns
    started_at = time.monotonic()
    again = checkout.env()
    assert time.monotonic() - started_at < 2.0
    assert again.stderr == f"dalmada: environment ready: {checkout.root / '.venv'}\n"
    assert checkout.stamp.stat().st_mtime_ns == before

    checkout.lock(make_wheel(checkout.wheels, "one", "2.0"))
    changed = checkout.env()
    assert changed.returncode == 0, changed.stderr
    assert (checkout.imported("one"), checkout.imported("two")) == ("2.0", "")


def test_a_file_that_is_not_the_locked_one_is_refused(checkout: Checkout) -> None:
    line = make_wheel(checkout.wheels, "one")
    checkout.lock(line.replace("sha256:", "sha256:00", 1)[:-3] + "\n")
    refused = checkout.env()
    assert refused.returncode == 1
    assert "environment: 1 packages from requirements-dev.lock: failed" in refused.stderr
    assert "hash" in refused.stderr.lower()
    assert not checkout.stamp.exists()


def test_an_interrupted_installation_is_begun_again(checkout: Checkout, tmp_path: Path) -> None:
    checkout.lock(make_wheel(checkout.wheels, "one"))
    first = Child(
        "first",
        [sys.executable, checkout.launcher, "env"],
        log=tmp_path / "first.log",
        env=checkout.variables(),
    )
    first.start()
    wait_until(
        lambda: (checkout.root / ".venv/pyvenv.cfg").exists(),
        "an environment is being made",
        timeout_s=60,
        check=first.require_alive,
    )
    first.kill()
    assert not checkout.stamp.exists()
    second = checkout.env()
    assert second.returncode == 0, second.stderr
    assert "environment: new" in second.stderr
    assert checkout.imported("one") == "1.0"
    assert checkout.stamp.exists()


def test_two_runs_at_once_make_it_once(checkout: Checkout, tmp_path: Path) -> None:
    checkout.lock(make_wheel(checkout.wheels, "one"))
    runs = [
        Child(
            f"run{number}",
            [sys.executable, checkout.launcher, "env"],
            log=tmp_path / f"run{number}.log",
            env=checkout.variables(),
        )
        for number in (1, 2)
    ]
    for run in runs:
        run.start()
    assert [run.wait(200) for run in runs] == [0, 0]
    made = [run for run in runs if "environment: new" in run.output()]
    assert len(made) == 1
    assert checkout.imported("one") == "1.0"


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
