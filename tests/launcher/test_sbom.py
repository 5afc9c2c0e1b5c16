"""The bill of materials says what the lock says, in a form that others read."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from deploy.sbom import LOCK, sbom
from tests.architecture.checkout import CHECKOUT


@pytest.fixture(scope="module")
def written() -> str:
    """The bill of the production lock."""
    return sbom()


def test_it_keeps_the_schema(written: str) -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(written) is None


def test_it_holds_every_locked_package_with_every_digest(written: str) -> None:
    text = LOCK.read_text(encoding="utf-8")
    locked = set(re.findall(r"^([\w.-]+)==([\w.+!-]+)", text, re.MULTILINE))
    digests = set(re.findall(r"--hash=sha256:([0-9a-f]{64})", text))
    components = json.loads(written)["components"]
    assert {(one["name"], one["version"]) for one in components} == locked
    assert {
        digest["content"]
        for one in components
        for reference in one["externalReferences"]
        for digest in reference["hashes"]
    } == digests


def test_the_same_lock_makes_the_same_bytes_elsewhere(written: str, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "sbom.json"
    command = [sys.executable, "-m", "deploy.sbom", str(path)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert done.stdout == f"sbom: {path}\n"
    assert path.read_text(encoding="utf-8") == written


def test_another_lock_makes_another_serial_number(written: str, tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text("aaa==1.0 --hash=sha256:" + "0" * 64 + "\n", encoding="utf-8")
    assert json.loads(sbom(lock))["serialNumber"] != json.loads(written)["serialNumber"]


def test_a_lock_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text("=== no requirement\n", encoding="utf-8")
    with pytest.raises(ValueError, match="is no requirement"):
        sbom(lock)
