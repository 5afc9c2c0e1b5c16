"""What `audit` tells apart: nothing known, something known, and nobody who could say."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from deploy.audit import CLEAN, FAILED, FOUND, UNREACHABLE, audit
from deploy.launcher.ports import HOST, free_port
from tests.architecture.checkout import read

DIGEST = "sha256:" + "0" * 64
PACKAGES = {"aaa": "1.0", "bbb": "2.5"}
FAULT: Mapping[str, Any] = {
    "id": "TEST-2026-1",
    "summary": "planted",
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "bbb"},
            "ranges": [
                {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.6"}]},
            ],
        }
    ],
}
Reply = Callable[[dict[str, Any]], tuple[int, bytes]]


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    """A lock of two packages."""
    path = tmp_path / "requirements.lock"
    lines = [f"{name}=={version} \\\n    --hash={DIGEST}\n" for name, version in PACKAGES.items()]
    path.write_text("".join(lines), encoding="utf-8")
    return path


@contextmanager
def service(reply: Reply) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield the address of a vulnerability service, and what it is asked."""
    asked: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append(question)
            status, body = reply(question)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Be quiet."""

    with ThreadingHTTPServer((HOST, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://{HOST}:{server.server_port}/v1/query", asked
        finally:
            server.shutdown()
            thread.join()


def knows_nothing(_question: dict[str, Any]) -> tuple[int, bytes]:
    return 200, b"{}"


def knows_a_fault(question: dict[str, Any]) -> tuple[int, bytes]:
    found = {"vulns": [FAULT]} if question["package"]["name"] == "bbb" else {}
    return 200, json.dumps(found).encode()


def test_nothing_known(lock: Path) -> None:
    with service(knows_nothing) as (url, asked):
        answer = audit(["--osv-url", url], lock)
    assert (answer.status, answer.text) == (CLEAN, "2 packages, no known vulnerability")
    assert {one["package"]["name"]: one["version"] for one in asked} == PACKAGES


def test_something_known(lock: Path) -> None:
    with service(knows_a_fault) as (url, _):
        answer = audit(["--osv-url", url], lock)
        accepted = audit(["--osv-url", url, "--ignore-vuln", FAULT["id"]], lock)
    assert answer.status == FOUND
    assert "bbb 2.5: TEST-2026-1, mended in 2.6" in answer.text
    assert accepted.status == CLEAN


@pytest.mark.parametrize("away", ["nobody listens", "it is broken"])
def test_nobody_who_could_say(lock: Path, away: str) -> None:
    with service(lambda _: (503, b"")) as (url, _):
        other = f"http://{HOST}:{free_port()}/v1/query"
        answer = audit(["--osv-url", other if away == "nobody listens" else url], lock)
    assert answer.status == UNREACHABLE
    assert answer.text.startswith("NOT AUDITED: the vulnerability service did not answer")


def test_a_lock_that_is_none_is_not_excused(tmp_path: Path) -> None:
    answer = audit([], tmp_path / "nowhere.lock")
    assert answer.status == FAILED


def test_ci_fails_of_what_is_found_and_of_nothing_else() -> None:
    script = read(".ci/run")
    assert f"audited != 0 && audited != {UNREACHABLE}" in script
    assert len({CLEAN, FOUND, FAILED, UNREACHABLE}) == 4
