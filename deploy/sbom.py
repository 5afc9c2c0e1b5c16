"""Writes what the image is made of, as CycloneDX JSON: `python -m deploy.sbom [FILE]`.

Every package of the production lock stands in it with its version and with the digests of the files
that may be installed as it. The same lock makes the same bytes.
"""

import sys
import tomllib
import uuid
from hashlib import sha256
from pathlib import Path

from cyclonedx.model import (
    ExternalReference,
    ExternalReferenceType,
    HashAlgorithm,
    HashType,
    Property,
    XsUri,
)
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from pip_requirements_parser import InstallRequirement, RequirementsFile

CHECKOUT = Path(__file__).resolve().parents[1]
LOCK = CHECKOUT / "requirements.lock"
ARTEFACT = CHECKOUT / ".dalmada" / "artefacts" / "sbom.cdx.json"
# Serial numbers are made under it; itself made once.
_NAMESPACE = uuid.UUID("6b1d7a0e-6f2f-4a52-9c37-6a2b1c0b7d55")


def sbom(lock: Path = LOCK) -> str:
    """Return the bill of materials of a lock."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    root = Component(
        name=project["name"],
        version=project["version"],
        type=ComponentType.APPLICATION,
        bom_ref=project["name"],
        description=project["description"],
    )
    parsed = RequirementsFile.from_file(str(lock))
    if parsed.invalid_lines:
        raise ValueError(f"{lock.name}: {parsed.invalid_lines[0].line!r} is no requirement")
    packages = [_component(requirement) for requirement in parsed.requirements]
    digest = sha256(lock.read_bytes()).hexdigest()
    bom = Bom(
        components=packages,
        serial_number=uuid.uuid5(_NAMESPACE, digest),
        # The lock's and nobody's clock decide what it says.
        properties=[Property(name="dalmada:lock:sha256", value=digest)],
    )
    bom.metadata.component = root
    bom.metadata.timestamp = None  # type: ignore[assignment]  # CycloneDX wants none
    bom.register_dependency(root, packages)
    return JsonV1Dot6(bom).output_as_string(indent=2) + "\n"


def _component(requirement: InstallRequirement) -> Component:
    name, version = str(requirement.name), str(requirement.get_pinned_version)
    purl = PackageURL(type="pypi", name=name, version=version)
    digests = [str(option).removeprefix("sha256:") for option in requirement.hash_options]
    return Component(
        name=name,
        version=version,
        type=ComponentType.LIBRARY,
        bom_ref=str(purl),
        purl=purl,
        external_references=[
            ExternalReference(
                type=ExternalReferenceType.DISTRIBUTION,
                url=XsUri(str(purl)),
                comment="any one of these files may be installed",
                hashes=[HashType(alg=HashAlgorithm.SHA_256, content=one) for one in digests],
            )
        ],
    )


def main() -> int:
    """Write the file; the process's exit status."""
    path = Path(sys.argv[1]) if sys.argv[1:] else ARTEFACT
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(sbom(), encoding="utf-8")
    print(f"sbom: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
