"""Commands run as an operator runs them: in a process of their own or, sooner done, in this one."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from typer.testing import CliRunner

from worker.console.app import app

CHECKOUT = Path(__file__).resolve().parents[3]
PROGRAM = (sys.executable, "-m", "worker.console")
KEY = "planted_key_2210_8841"
# The shortest command that adds something.
ADD = ("subscription", "add", "--amount", "9900", "--name", "Slim 요금제", "--every", "month")
PATIENCE_S = 60


@dataclass(frozen=True, slots=True)
class Printed:
    """What a command printed and how it ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on stdout."""
        return json.loads(self.out)

    @property
    def id(self) -> UUID:
        """The subscription in a document."""
        return UUID(self.json["id"])

    def fields(self) -> dict[str, str]:
        """Return the lines for people that read ``name  value``."""
        lines = (line.partition("  ") for line in self.out.splitlines())
        return {name.strip(): value.strip() for name, _, value in lines if value}


class Commands:
    """Runs commands in one environment."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = dict(environment)

    def __call__(
        self, *arguments: str, stdin: str | bytes = "", **variables: str | None
    ) -> Printed:
        """Run a command in this process; a variable that is None is not set."""
        ours = {name: None for name in os.environ if name.startswith("DALMADA_")}
        result = CliRunner().invoke(
            app, arguments, input=stdin, env={**ours, **self.environment, **variables}
        )
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return Printed(result.exit_code, result.stdout, result.stderr)

    def process(self, *arguments: str, stdin: str = "", **variables: str | None) -> Printed:
        """Run a command in a process of its own."""
        done = subprocess.run(
            [*PROGRAM, *arguments],
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            env=self.process_environment(**variables),
            cwd=CHECKOUT,
            timeout=PATIENCE_S,
            check=False,
        )
        return Printed(done.returncode, done.stdout, done.stderr)

    def process_environment(self, **variables: str | None) -> dict[str, str]:
        """Return the environment of a process; a variable that is None is not set."""
        outer = {k: v for k, v in os.environ.items() if not k.startswith("DALMADA_")}
        merged = {**outer, **self.environment, **variables}
        return {name: value for name, value in merged.items() if value is not None}

    def add(self, *arguments: str, stdin: str = KEY) -> Printed:
        """Add a subscription, its billing key from stdin, and return its document."""
        done = self(*ADD, "--customer-uid", "-", "--json", *arguments, stdin=stdin)
        assert done.status == 0, done.err
        return done
