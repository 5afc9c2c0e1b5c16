"""Asks for known vulnerabilities of the production lock: `python -m deploy.audit`.

That is a question to a service on the internet, so there are three endings, told apart by the exit
status: nothing is known of any package (0), something is (1), and nobody could be asked about all
of them (75), in which case silence means nothing. Arguments are handed to pip-audit:
``--ignore-vuln ID`` accepts a finding, ``--osv-url URL`` asks elsewhere.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[1]
LOCK = CHECKOUT / "requirements.lock"
CLEAN, FOUND, FAILED = 0, 1, 2
# What sysexits.h calls a temporary failure: try again later.
UNREACHABLE = 75
_TIMEOUT_S = 10
# How pip-audit's libraries call what is wrong with the way to the service, or with the service.
_NO_ANSWER = ("ConnectionError", "Timeout", "ServiceError", "HTTPError", "SSLError", "ProxyError")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of asking."""

    status: int
    text: str


def audit(arguments: Sequence[str], lock: Path = LOCK) -> Answer:
    """Ask about every package of a lock."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip_audit", "--requirement", str(lock)),
            # The lock is whole: nothing is resolved, downloaded or installed.
            *("--disable-pip", "--require-hashes", "--format", "json", "--desc", "off"),
            *("--progress-spinner", "off", "--timeout", str(_TIMEOUT_S)),
            *("--vulnerability-service", "osv", *arguments),
        ],
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    try:
        dependencies = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return _unanswered(done.stderr)
    return _answer(dependencies)


def _unanswered(said: str) -> Answer:
    """Tell a service that cannot be reached from an audit that cannot be made."""
    last = said.strip().splitlines()[-1] if said.strip() else "pip-audit said nothing"
    if any(name in said for name in _NO_ANSWER):
        text = "NOT AUDITED: the vulnerability service did not answer, so nothing is known"
        return Answer(UNREACHABLE, f"{text}\n  {last}")
    return Answer(FAILED, f"pip-audit failed\n  {last}")


def _answer(dependencies: Sequence[dict[str, Any]]) -> Answer:
    skipped = [one["name"] for one in dependencies if "skip_reason" in one]
    found = [
        f"  {one['name']} {one['version']}: {fault['id']}, "
        f"mended in {', '.join(fault['fix_versions']) or 'no version'}"
        for one in dependencies
        for fault in one.get("vulns", ())
    ]
    if found:
        return Answer(FOUND, "\n".join([f"{len(found)} known vulnerabilities", *found]))
    if skipped or not dependencies:
        names = ", ".join(skipped) or "any package"
        return Answer(UNREACHABLE, f"NOT AUDITED: the service said nothing about {names}")
    return Answer(CLEAN, f"{len(dependencies)} packages, no known vulnerability")


def main() -> int:
    """Say what came of asking; the process's exit status."""
    answer = audit(sys.argv[1:])
    print(f"audit: {answer.text}", file=sys.stderr if answer.status else sys.stdout)
    return answer.status


if __name__ == "__main__":
    sys.exit(main())
