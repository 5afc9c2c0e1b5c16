"""Makes the checkout's Python environment from its lock, once, whoever asks and however often."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.launcher import stamp
from deploy.launcher.directories import checkout_state, make_directory
from deploy.launcher.errors import LauncherError
from deploy.launcher.installer import Installer
from deploy.launcher.terminal import Terminal
from deploy.launcher.waiting import wait_until

_LOCK_NAME = "requirements-dev.lock"
_LOCK_TIMEOUT_S = 1800.0


class Environment:
    """The `.venv` of one checkout."""

    def __init__(self, checkout: Path, terminal: Terminal) -> None:
        self.venv = checkout / ".venv"
        self._checkout = checkout
        self._terminal = terminal
        self._lock = checkout / _LOCK_NAME
        self._pyproject = checkout / "pyproject.toml"

    @property
    def python(self) -> Path:
        """The environment's interpreter."""
        return self.venv / "bin" / "python"

    def tool(self, name: str) -> Path:
        """A command that the environment's packages install."""
        return self.venv / "bin" / name

    def variables(self) -> dict[str, str]:
        """The user's variables, with the environment's commands found first."""
        path = os.environ.get("PATH", os.defpath)
        return {
            **os.environ,
            "PATH": f"{self.venv / 'bin'}{os.pathsep}{path}",
            "VIRTUAL_ENV": str(self.venv),
            # A log file would otherwise lag behind, or miss what a killed process had to say.
            "PYTHONUNBUFFERED": "1",
        }

    def is_current(self) -> bool:
        """Whether nothing needs doing."""
        return self._wanted() == stamp.recorded(self.venv)

    def ensure(self) -> None:
        """Make or refresh the environment if it needs it.

        An interrupted run leaves it unfinished, and the next one goes on. Raises LauncherError
        when packages can't be installed.
        """
        if self.is_current():
            return
        state = checkout_state(self._checkout)
        with self._alone(state / "environment.lock"):
            # Another run may have done it while this one waited.
            if not self.is_current():
                self._make(state)

    def _wanted(self) -> stamp.Stamp:
        for path in (self._lock, self._pyproject):
            if not path.is_file():
                problem = f"{path} is missing"
                raise LauncherError(problem, "run this from a complete checkout of Dalmada")
        return stamp.wanted(self.venv, self._lock, self._pyproject)

    @contextmanager
    def _alone(self, lock_path: Path) -> Iterator[None]:
        with lock_path.open("a") as lock:

            def acquired() -> bool:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return False
                return True

            if not acquired():
                text = "environment: another run is making it"
                with self._terminal.step(text) as step:
                    wait_until(acquired, text, timeout_s=_LOCK_TIMEOUT_S, check=step.tick)
            yield

    def _make(self, state: Path) -> None:
        log = make_directory(state / "logs") / "environment.log"
        log.unlink(missing_ok=True)
        installer = Installer(self._checkout, self.venv, log, self._terminal)
        unfinished = state / "environment.unfinished"
        before = stamp.recorded(self.venv)
        stamp.erase(self.venv)
        # What a killed installation left can't be told from what is whole, so it is made anew.
        broken = unfinished.exists() or not installer.is_usable()
        unfinished.touch()
        if broken or (before and before.interpreter != self._wanted().interpreter):
            installer.make_venv()
            before = None
        goal = self._wanted()
        if before is None or before.packages != goal.packages:
            installer.install_packages(self._lock)
        installer.install_project()
        unfinished.unlink()
        stamp.record(self.venv, goal)
