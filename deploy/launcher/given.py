"""Asks servers that were given by URL whether they are there and new enough.

Runs in the environment's Python, since it needs the client libraries: `python -m
deploy.launcher.given` prints one line a fault and exits with 1 if there is any.
"""

import os
import subprocess
import sys
from pathlib import Path

from deploy.launcher.binaries import POSTGRES_MIN
from deploy.launcher.errors import LauncherError
from deploy.launcher.servers import CHECKOUT, DATABASE_VARIABLE, REDIS_VARIABLE

_TIMEOUT_S = 5
_PROBE_TIMEOUT_S = 60.0
_VERSION_FACTOR = 10_000


def require_given_servers(python: Path) -> None:
    """Raise LauncherError unless every server that a URL variable names can be used."""
    if not (os.environ.get(DATABASE_VARIABLE) or os.environ.get(REDIS_VARIABLE)):
        return
    probe = subprocess.run(
        [str(python), "-m", __spec__.name],
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=_PROBE_TIMEOUT_S,
    )
    if probe.returncode != 0:
        problem = (probe.stdout or probe.stderr).strip()
        raise LauncherError(problem, "unset the variable to have a private server started")


def _database_fault(url: str) -> str | None:
    import psycopg  # noqa: PLC0415 - only in the environment's Python

    # SQLAlchemy's way of naming the driver is not part of what the server's client understands.
    plain = url.replace("postgresql+psycopg://", "postgresql://", 1)
    try:
        with psycopg.connect(plain, connect_timeout=_TIMEOUT_S) as connection:
            major = connection.info.server_version // _VERSION_FACTOR
    except psycopg.Error as error:
        reason = str(error).strip().splitlines()[0]
        return f"{DATABASE_VARIABLE} names a database that can't be reached: {reason}"
    if major < POSTGRES_MIN[0]:
        return f"{DATABASE_VARIABLE} names PostgreSQL {major}; {POSTGRES_MIN[0]} or newer is needed"
    return None


def _redis_fault(url: str) -> str | None:
    import redis  # noqa: PLC0415 - only in the environment's Python

    try:
        with redis.Redis.from_url(
            url, socket_connect_timeout=_TIMEOUT_S, socket_timeout=_TIMEOUT_S
        ) as client:
            client.ping()
    except (redis.RedisError, ValueError) as error:
        return f"{REDIS_VARIABLE} names a server that can't be reached: {error}"
    return None


def main() -> int:
    """Print each given server's fault; 1 if there is one."""
    faults = []
    if url := os.environ.get(DATABASE_VARIABLE):
        faults.append(_database_fault(url))
    if url := os.environ.get(REDIS_VARIABLE):
        faults.append(_redis_fault(url))
    found = [fault for fault in faults if fault is not None]
    for fault in found:
        sys.stdout.write(f"{fault}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
