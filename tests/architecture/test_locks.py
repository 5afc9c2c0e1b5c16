from importlib.metadata import packages_distributions

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.architecture.checkout import pyproject, read, read_lock

RUNTIME, DEVELOPMENT = LOCKS = ("requirements.lock", "requirements-dev.lock")


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_requirement_has_one_version_and_its_hashes(lock: str) -> None:
    locked = read_lock(lock)

    assert len(locked) > 20
    for one in locked:
        assert [part.operator for part in one.requirement.specifier] == ["=="], one.name
        assert one.hashes, one.name
        for value in one.hashes:
            assert value.startswith("sha256:"), one.name
            assert len(value) == len("sha256:") + 64, one.name


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_installs_from_wherever_the_machine_installs(lock: str) -> None:
    text = read(lock)
    assert "://" not in text
    assert "--index-url" not in text
    assert "--find-links" not in text


def test_every_dependency_is_locked_at_a_version_it_allows() -> None:
    locked = {one.name: one for one in read_lock(RUNTIME)}
    for text in pyproject()["project"]["dependencies"]:
        wanted = Requirement(text)
        one = locked[canonicalize_name(wanted.name)]
        (version,) = (part.version for part in one.requirement.specifier)
        assert wanted.specifier.contains(version), text


def test_what_is_deployed_is_what_is_tested() -> None:
    tested = {str(one.requirement): set(one.hashes) for one in read_lock(DEVELOPMENT)}
    for one in read_lock(RUNTIME):
        assert tested[str(one.requirement)] == set(one.hashes), one.name


def test_no_other_distribution_brings_our_package_names() -> None:
    owners = packages_distributions()
    for package in pyproject()["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]:
        assert set(owners.get(package, [])) <= {pyproject()["project"]["name"]}
