"""On what the figures were taken: processor, versions and revision."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

from deploy.launcher.servers import OwnServers
from tests.bench.side import CHECKOUT

_PACKAGES = (
    *("celery", "kombu", "redis", "sqlalchemy", "psycopg", "httpx", "httpx-aiohttp", "aiohttp"),
    *("uvloop", "pydantic"),
)


def description(servers: OwnServers) -> dict[str, str]:
    """Return what a reader needs to judge the figures, by name."""
    return {
        "processor": f"{_processor()}, {_cores()} cores",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "postgres": servers.postgres.label.partition(",")[0],
        "broker": servers.valkey.label.partition(",")[0],
        "packages": " ".join(f"{name} {version(name)}" for name in _PACKAGES),
        "revision": _revision(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine()


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _revision() -> str:
    """Return the commit, marked when the files differ from it."""
    try:
        commit = _git("rev-parse", "--short=12", "HEAD")
        return f"{commit} with changes" if _git("status", "--porcelain") else commit
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=CHECKOUT, capture_output=True, text=True, check=True, timeout=30
    ).stdout.strip()
