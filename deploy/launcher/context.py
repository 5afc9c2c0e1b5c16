"""What every command of the launcher works with."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.launcher.environment import Environment
from deploy.launcher.errors import LauncherError
from deploy.launcher.signals import StopSignals
from deploy.launcher.terminal import Terminal


@dataclass(frozen=True, slots=True)
class Context:
    """One call of the launcher.

    Attributes:
        arguments: what follows a command that passes its arguments on.
        sync: whether the environment is brought up to date first.
        migrate: whether `run` migrates the database before its command.
    """

    checkout: Path
    environment: Environment
    terminal: Terminal
    signals: StopSignals
    arguments: Sequence[str] = ()
    sync: bool = True
    migrate: bool = True

    def ensure_environment(self) -> None:
        """Bring the environment up to date, or take it as it is when told so."""
        if self.sync:
            self.environment.ensure()
        elif not self.environment.python.exists():
            problem = f"there is no environment at {self.environment.venv}"
            raise LauncherError(problem, "leave --no-sync out to have it made")
