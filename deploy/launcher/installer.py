"""The commands that fill an environment: uv's where uv can be had, else venv's and pip's."""

import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from deploy.launcher.children import Child
from deploy.launcher.errors import LauncherError
from deploy.launcher.terminal import Terminal
from deploy.launcher.waiting import wait_until

_INSTALL_TIMEOUT_S = 1800.0
# What an environment brings itself, or what is installed beside the lock on purpose.
_NOT_IN_LOCK = frozenset({"pip", "setuptools", "wheel", "uv", "dalmada"})
# A user's own settings that would send packages elsewhere than into the environment.
_MISLEADING = frozenset(
    {"PYTHONHOME", "PYTHONPATH", "PIP_USER", "PIP_TARGET", "PIP_PREFIX", "VIRTUAL_ENV"}
)


class InstallationError(LauncherError):
    """A command that installs something has failed."""


class Installer:
    """Fills one environment and keeps what its commands said in one log."""

    def __init__(self, checkout: Path, venv: Path, log: Path, terminal: Terminal) -> None:
        self._checkout = checkout
        self._venv = venv
        self._python = venv / "bin" / "python"
        self._log = log
        self._terminal = terminal
        self._system_uv = shutil.which("uv")
        self._uv_has_failed = False

    def is_usable(self) -> bool:
        """Whether there is an environment that packages can be installed into."""
        if not self._python.exists():
            return False
        return self._system_uv is not None or "pip" in self._installed_names()

    def make_venv(self) -> None:
        """A new, empty environment in place of whatever is there."""
        if self._venv.is_symlink():
            problem = f"{self._venv} is a link to somewhere else"
            raise LauncherError(problem, "remove the link; the environment is made in its place")
        if self._venv.exists():
            shutil.rmtree(self._venv)
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        if self._system_uv is not None:
            argv = [self._system_uv, "venv", "--python", sys.executable, str(self._venv)]
        elif importlib.util.find_spec("ensurepip") is not None:
            argv = [sys.executable, "-m", "venv", str(self._venv)]
        else:
            problem = f"this Python ({sys.executable}) can't make environments: it has no ensurepip"
            remedy = f"on Debian and Ubuntu: apt-get install python{version}-venv; or install uv"
            raise LauncherError(problem, remedy)
        self._run(f"environment: new, on Python {version}", argv)

    def install_packages(self, lock: Path) -> None:
        """Exactly what the lock names, each file checked against its hash."""
        locked = lock.read_text(encoding="utf-8")
        names = _locked_names(locked)
        text = f"environment: {len(names)} packages from {lock.name}"
        uv = self._uv() or self._uv_from_lock(locked)
        if uv is not None:
            try:
                self._run(
                    text, _uv_command(uv, self._python, "sync", "--require-hashes", str(lock))
                )
            except InstallationError:
                if "pip" not in self._installed_names():
                    raise
                # It knows less than pip of how this machine reaches packages.
                self._uv_has_failed = True
                self._terminal.say("environment: uv could not, so pip tries")
            else:
                return
        # The lock is complete, so nothing needs resolving; bytecode comes with the first use.
        options = ["--require-hashes", "--no-deps", "--no-compile", "--requirement", str(lock)]
        self._run(text, self._pip_command("install", *options))
        extra = sorted(self._installed_names() - names - _NOT_IN_LOCK)
        if extra:
            text = f"environment: removing {len(extra)} packages that the lock does not name"
            self._run(text, self._pip_command("uninstall", "--yes", *extra))

    def install_project(self) -> None:
        """The checkout itself, run from its folder; needs nothing from outside."""
        options = ["--no-deps", "--no-build-isolation", "--editable", str(self._checkout)]
        uv = self._uv()
        if uv is not None:
            command = _uv_command(uv, self._python, "install", "--offline", *options)
        else:
            command = self._pip_command("install", "--no-index", *options)
        self._run("environment: dalmada itself", command)

    def _uv(self) -> str | None:
        if self._uv_has_failed:
            return None
        own = self._venv / "bin" / "uv"
        return self._system_uv or (str(own) if own.exists() else None)

    def _uv_from_lock(self, locked: str) -> str | None:
        """Install uv first if the lock names it: it does the rest many times faster than pip."""
        match = re.search(r"^uv==.*(?:\n[ \t]+.*)*", locked, re.MULTILINE)
        if match is None:
            return None
        requirement = self._log.with_name("uv-requirement.txt")
        requirement.write_text(match[0], encoding="utf-8")
        options = ["--require-hashes", "--no-deps", "--no-compile", "--requirement"]
        try:
            self._run("environment: uv", self._pip_command("install", *options, str(requirement)))
        except InstallationError:
            return None
        return self._uv()

    def _installed_names(self) -> set[str]:
        found = self._venv.glob("lib/python*/site-packages/*.dist-info")
        return {_normal(path.name.partition("-")[0]) for path in found}

    def _pip_command(self, *arguments: str) -> list[str]:
        options = ["--disable-pip-version-check", "--no-input"]
        return [str(self._python), "-m", "pip", *options, *arguments]

    def _run(self, text: str, argv: Sequence[str]) -> None:
        env = {name: value for name, value in os.environ.items() if name not in _MISLEADING}
        if "PIP_INDEX_URL" in env:
            env.setdefault("UV_DEFAULT_INDEX", env["PIP_INDEX_URL"])
        child = Child("installer", argv, log=self._log, env=env, cwd=self._checkout)
        with self._terminal.step(text) as step:
            child.start()
            try:
                wait_until(
                    lambda: not child.is_alive,
                    text,
                    timeout_s=_INSTALL_TIMEOUT_S,
                    check=step.tick,
                    interval_s=0.05,
                )
            finally:
                child.kill()
            if child.returncode != 0:
                problem = f"{text}: failed"
                raise InstallationError(problem, child.tail_text())


def _uv_command(uv: str, python: Path, action: str, *arguments: str) -> list[str]:
    options = ["--python", str(python)]
    home = Path(os.environ.get("HOME") or "/nonexistent")
    if "UV_CACHE_DIR" not in os.environ and not os.access(home, os.W_OK):
        options.append("--no-cache")
    return [uv, "pip", action, *options, *arguments]


def _locked_names(locked: str) -> set[str]:
    pattern = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]]*\])?==", re.MULTILINE)
    return {_normal(name) for name in pattern.findall(locked)}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
