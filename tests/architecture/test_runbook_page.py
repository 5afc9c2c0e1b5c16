"""docs/runbook.md has a section for every invariant and alert, and names what there is."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import typer
from ruamel.yaml import YAML

from scheduler.gauges import METRICS
from scheduler.metrics import QUEUES
from shared.billing.attempt import UNSETTLED
from shared.billing.refund import REFUND_UNSETTLED
from shared.db.invariant import Severity
from shared.db.invariants import INVARIANTS
from tests.architecture.checkout import CHECKOUT, read
from worker.console.app import app

PAGE = "docs/runbook.md"
RULES = "deploy/prometheus/dalmada.rules.yaml"
SCRAPE = "deploy/prometheus/prometheus.yaml"
VIOLATED = "DalmadaInvariantViolated"
_SECTION = re.compile(r"^#### `(?P<name>\w+)`\n(?P<text>.*?)(?=^#+ )", re.MULTILINE | re.DOTALL)
_ALERT = re.compile(
    r"^### (?P<name>Dalmada\w+)\n(?P<text>.*?)(?=^#+ |\Z)", re.MULTILINE | re.DOTALL
)
_COMMAND = re.compile(r"dalmada(?P<words>(?: [a-z][a-z-]*)+)")
_SETTLES = re.compile(r"settles in (\d+) (minute|hour|day)s?")
_LOGGED = re.compile(r"`([a-z]+(?:_[a-z]+)+)`(?: (?:and|with|in the log)|:|\.)")
# What PromQL has of its own, as far as our rules use it.
_FUNCTIONS = {"absent", "delta", "min", "on", "time", "unless", "and", "or"}

sections = {match["name"]: match["text"] for match in _SECTION.finditer(read(PAGE))}
alert_sections = {match["name"]: match["text"] for match in _ALERT.finditer(read(PAGE))}
rules: list[dict[str, Any]] = [
    rule for group in YAML(typ="safe").load(read(RULES))["groups"] for rule in group["rules"]
]


def test_every_invariant_has_a_section_in_the_tables_order_and_nothing_else_has() -> None:
    assert list(sections) == [invariant.name for invariant in INVARIANTS]


@pytest.mark.parametrize("invariant", INVARIANTS, ids=lambda invariant: invariant.name)
def test_a_section_says_what_the_table_says(invariant: Any) -> None:
    text = sections[invariant.name]
    lines = text.strip().splitlines()
    assert lines[0] == invariant.meaning
    assert lines[1].startswith(f"{invariant.severity}, ")
    assert lines[2] == ""
    assert lines[3] == invariant.remedy
    settles = _SETTLES.search(lines[1])
    if settles is None:
        assert ", at once" in lines[1]
        assert invariant.settle == timedelta(0)
    else:
        assert invariant.settle == timedelta(**{f"{settles[2]}s": int(settles[1])})


def test_every_command_that_the_page_names_exists() -> None:
    commands = _commands(typer.main.get_command(app))
    unknown = []
    for match in _COMMAND.finditer(read(PAGE)):
        words = match["words"].split()
        if not any(tuple(words[:count]) in commands for count in range(1, len(words) + 1)):
            unknown.append(match[0])
    assert unknown == []
    assert ("dead-letter", "requeue") in commands


def _commands(command: Any, above: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    """Return every command by its words; Typer's are Click's, whichever it brings along."""
    below = getattr(command, "commands", None)
    if below is None:
        return {above}
    found = {above} if command.invoke_without_command else set()
    for name, one in below.items():
        found |= _commands(one, (*above, name))
    return found


def test_every_line_of_the_log_that_the_page_names_is_written() -> None:
    written = "\n".join(
        path.read_text("utf-8")
        for folder in ("worker", "scheduler", "shared")
        for path in sorted((CHECKOUT / folder).rglob("*.py"))
    )
    known = {invariant.name for invariant in INVARIANTS}
    named = set(_LOGGED.findall(read(PAGE))) - known
    assert {"renewal_impossible", "end_waits_for_revocation"} <= named
    assert [name for name in sorted(named) if f'"{name}"' not in written] == []


def test_every_alert_has_a_section_and_leads_to_it() -> None:
    names = [rule["alert"] for rule in rules]
    assert len(set(names)) == len(names)
    assert [name for name in names if name != VIOLATED] == list(alert_sections)
    for rule in rules:
        anchor = rule["annotations"]["runbook"]
        if rule["alert"] == VIOLATED:
            assert anchor == "docs/runbook.md#{{ $labels.invariant }}"
        else:
            assert anchor == f"docs/runbook.md#{rule['alert'].lower()}"


@pytest.mark.parametrize("rule", rules, ids=lambda rule: str(rule["alert"]))
def test_an_alert_names_metrics_and_labels_that_are_told(rule: dict[str, Any]) -> None:
    assert unknown_words(rule["expr"]) == set()
    assert rule["annotations"]["summary"]
    if rule["alert"] != VIOLATED:
        assert rule["labels"]["severity"] in set(Severity)


@pytest.mark.parametrize(
    ("expression", "unknown"),
    [
        ("dalmada_nothing > 0", {"dalmada_nothing"}),
        ('dalmada_attempts_unsettled{status="lost"} > 0', {"lost"}),
        ('dalmada_queue_messages{queue=~"billing.charge|billing.none"} > 0', {"billing.none"}),
        ("median(dalmada_backlog) > 0", {"median"}),
        ("(dalmada_backlog > 0", {"("}),
    ],
)
def test_what_is_not_told_is_noticed(expression: str, unknown: set[str]) -> None:
    assert unknown_words(expression) == unknown


def unknown_words(expression: str) -> set[str]:
    """Return what of an expression is no metric, label's value, function or whole bracket."""
    values = {
        *QUEUES,
        *(str(status) for status in UNSETTLED | REFUND_UNSETTLED),
        *_works(),
    }
    unknown = {
        value
        for text in re.findall(r'"([^"]*)"', expression)
        for value in text.split("|")
        if value not in values
    }
    bare = re.sub(r"\{[^}]*\}", "", expression)
    unknown |= {
        word
        for word in re.findall(r"\b[a-z_]+[a-z]\b", bare)
        if word not in METRICS and word not in _FUNCTIONS
    }
    return unknown | ({"("} if expression.count("(") != expression.count(")") else set())


def _works() -> set[str]:
    """Return the kinds of work whose backlog is measured."""
    text = Path(CHECKOUT / "scheduler/gauges.py").read_text("utf-8")
    return set(re.findall(r'^            "(\w+)": ', text, re.MULTILINE))


def test_prometheus_is_led_to_the_rules_and_the_port_that_is_the_default() -> None:
    scrape = YAML(typ="safe").load(read(SCRAPE))
    assert scrape["rule_files"] == [Path(RULES).name]
    (target,) = scrape["scrape_configs"][0]["static_configs"][0]["targets"]
    assert target == "metrics:8781"
    assert "#DALMADA_METRICS_PORT=8781" in read(".env.example")


def test_the_readme_leads_to_it() -> None:
    assert f"[{PAGE}]({PAGE})" in read("README.md")
