import re
import shutil
from itertools import pairwise

import pytest
from pydantic import ValidationError

from shared.config import Settings
from tests.architecture.checkout import CHECKOUT, Ran, read, run

EXAMPLE = ".env.example"
COMPOSE = "deploy/compose.yaml"
PREFIX = "DALMADA_"
ENTRY = re.compile(r"(?P<off>#?)(?P<name>[A-Z][A-Z0-9_]+)=(?P<value>.*)")
# Docker Compose's own; it stands in no file of ours.
COMPOSE_ITSELF = "COMPOSE_PROFILES"

entries = {
    match["name"]: match for line in read(EXAMPLE).splitlines() if (match := ENTRY.fullmatch(line))
}
ours = {name: match for name, match in entries.items() if name.startswith(PREFIX)}
others = set(entries) - set(ours)
settings = {f"{PREFIX}{name.upper()}": field for name, field in Settings.model_fields.items()}
required = {name for name, field in settings.items() if field.is_required()}


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in settings:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_the_example_lists_every_setting_and_no_other() -> None:
    assert set(ours) == set(settings)


def test_the_example_names_every_variable_once() -> None:
    matches = [ENTRY.fullmatch(line) for line in read(EXAMPLE).splitlines()]
    names = [match["name"] for match in matches if match]
    assert len(names) == len(set(names))


def test_what_must_be_filled_in_is_empty_and_the_rest_is_off() -> None:
    assert {name for name, match in ours.items() if not match["off"]} == required
    assert all(not entries[name]["value"] for name in required)
    assert all(not entries[name]["value"] for name in others if not entries[name]["off"])


def test_every_variable_is_explained_on_the_line_above_it() -> None:
    for above, line in pairwise(read(EXAMPLE).splitlines()):
        if ENTRY.fullmatch(line):
            assert re.fullmatch(r"# .{10,}", above), line


def test_the_values_in_the_example_are_the_defaults(
    clean_environment: pytest.MonkeyPatch,
) -> None:
    for name, match in ours.items():
        clean_environment.setenv(name, match["value"] or ("unused" if name in required else ""))
    said = Settings()
    for name in Settings.model_fields.keys() - {key[len(PREFIX) :].lower() for key in required}:
        assert getattr(said, name) == Settings.model_fields[name].get_default(), name


def test_the_example_is_read_by_a_shell_as_it_stands() -> None:
    shell = shutil.which("sh")
    assert shell is not None
    everything = re.sub(r"(?m)^#(?=[A-Z][A-Z0-9_]+=)", "", read(EXAMPLE))
    script = f"set -eu\n{everything}\n" + "".join(f'echo "{n}=${n}"\n' for n in entries)
    assert run([shell, "-c", script]) == Ran(
        0, "".join(f"{name}={match['value']}\n" for name, match in entries.items())
    )


def test_a_secret_has_no_default() -> None:
    assert required == {
        "DALMADA_DATABASE_URL",
        "DALMADA_REDIS_URL",
        "DALMADA_PORTONE_IMP_KEY",
        "DALMADA_PORTONE_IMP_SECRET",
    }


@pytest.mark.usefixtures("clean_environment")
def test_settings_without_secrets_are_refused_all_at_once() -> None:
    with pytest.raises(ValidationError) as refused:
        Settings()
    assert refused.value.error_count() == len(required)


def test_compose_and_the_example_name_the_same_variables() -> None:
    text = read(COMPOSE)
    asked = set(re.findall(r"\$\{([A-Z0-9_]+)", text))
    named = set(re.findall(rf"\b{PREFIX}[A-Z0-9_]+", text))
    assert named <= set(settings)
    assert asked <= set(entries)
    assert others - {COMPOSE_ITSELF} == asked - set(settings)
    assert COMPOSE_ITSELF in entries
    # Nothing starts with an empty secret.
    assert not re.search(r"\$\{[A-Z0-9_]+\}", text)


def test_compose_gives_every_process_the_file_that_the_example_becomes() -> None:
    text = read(COMPOSE)
    assert "env_file: [../.env]" in text
    assert "cp .env.example .env" in text
    assert (CHECKOUT / COMPOSE).parent.parent == CHECKOUT
