"""What is said of a run: one line for machines, the whole of it for people, and a file."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tests.chaos.deeds import Done
from tests.chaos.findings import DOUBLE, MISSED, STUCK, SUM, Findings
from tests.chaos.fleet import Death
from tests.chaos.plan import Kind

_VIOLATIONS_SHOWN = 30


@dataclass
class Report:
    """Everything about one run.

    Attributes:
        idle: Kinds that were planned and never took effect.
        faults_of_ours: What went wrong with the run itself, whoever's fault the rest is.
        load: How much of what the merchant did.
        endings: How the gateway ended the requests, those that moved money.
        charges_in_storm: Payments that were in the book before the weather turned calm.
        seconds: How long what took.
    """

    seed: int
    policy: str
    kills: int
    faults: int
    findings: Findings
    timeline: list[Done]
    idle: list[Kind]
    deaths: list[Death]
    artefacts: Path
    faults_of_ours: list[str] = field(default_factory=list)
    load: Mapping[str, int] = field(default_factory=Counter)
    endings: Mapping[str, int] = field(default_factory=Counter)
    naps: int = 0
    charges_in_storm: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_clean(self) -> bool:
        """Whether nothing was wrong and everything was done that was planned."""
        return not (self.findings.violations or self.idle or self.faults_of_ours)

    @property
    def last_line(self) -> str:
        """The result; what rows and book say differently in won counts as missed."""
        found = self.findings
        return (
            f"chaos: seed={self.seed} kills={self.kills} faults={self.faults}"
            f" charges={found.charges} double_charges={found.number(DOUBLE)}"
            f" missed={found.number(MISSED) + found.number(SUM)} stuck={found.number(STUCK)}"
        )

    def as_json(self) -> dict[str, Any]:
        """Return all of it."""
        found = self.findings
        return {
            "seed": self.seed,
            "duplicate_policy": self.policy,
            "clean": self.is_clean,
            "kills": self.kills,
            "faults": self.faults,
            "charges": found.charges,
            "charges_in_storm": self.charges_in_storm,
            "given_back": found.given_back,
            "double_charges": found.number(DOUBLE),
            "missed": found.number(MISSED) + found.number(SUM),
            "stuck": found.number(STUCK),
            "violations": [{"kind": v.kind, "text": v.text} for v in found.violations],
            "letters": found.letters,
            "ends": dict(found.counts),
            "never_took_effect": self.idle,
            "faults_of_the_run": self.faults_of_ours,
            "deaths": [{"role": d.role, "at_s": d.at_s, "how": d.how} for d in self.deaths],
            "load": dict(self.load),
            "gateway_endings": dict(self.endings),
            "naps": self.naps,
            "seconds": dict(self.seconds),
            "artefacts": str(self.artefacts),
            "timeline": [
                {
                    "at_s": done.at_s,
                    "kind": done.deed.kind,
                    "target": done.deed.target,
                    "for_s": done.deed.for_s,
                    "took_effect": done.took_effect,
                    "note": done.note,
                }
                for done in self.timeline
            ],
            "line": self.last_line,
        }

    def write(self) -> None:
        """Keep it beside the logs."""
        path = self.artefacts / "report.json"
        path.write_text(json.dumps(self.as_json(), indent=1, ensure_ascii=False), encoding="utf-8")

    def show(self, console: Console) -> None:
        """Tell it to people; a run that was wrong with everything that was done."""
        console.print(_table(self))
        if not self.is_clean:
            console.print("[bold]What was done[/]")
            for done in self.timeline:
                mark = "" if done.took_effect else " [yellow](no effect)[/]"
                console.print(
                    f"  {done.at_s:6.2f} s  {done.deed.kind} {done.deed.target}"
                    f" {done.deed.for_s or ''}{mark} {escape(done.note.strip())}",
                    highlight=False,
                )
        for violation in self.findings.violations[:_VIOLATIONS_SHOWN]:
            console.print(f"[red]{violation.kind}[/]: {escape(violation.text)}", highlight=False)
        more = len(self.findings.violations) - _VIOLATIONS_SHOWN
        if more > 0:
            console.print(f"[red]… and {more} more[/]")
        for kind in self.idle:
            console.print(f"[red]planned, and never took effect[/]: {kind}")
        for death in self.deaths:
            first, _, _ = death.how.partition("\n")
            console.print(
                f"{death.role} died of itself at {death.at_s:.1f} s: {escape(first)}",
                highlight=False,
            )
        for fault in self.faults_of_ours:
            console.print(f"[red]the run itself failed[/]: {escape(fault)}")
        console.print(f"logs and report: {self.artefacts}", highlight=False, soft_wrap=True)


def _table(report: Report) -> Table:
    found = report.findings
    table = Table(title=f"Seed {report.seed}, duplicates {report.policy}", title_justify="left")
    table.add_column("what")
    table.add_column("count", justify="right")
    rows: list[tuple[str, int]] = [
        *sorted(report.load.items()),
        *sorted(found.counts.items()),
        ("payments in the book", found.charges),
        ("of these while everything broke", report.charges_in_storm),
        ("cancellations in the book", found.given_back),
        ("SIGKILLs", report.kills),
        ("other faults that took effect", report.faults),
        ("requests the gateway ended badly", sum(report.endings.values())),
        ("processes that died of themselves", len(report.deaths)),
        ("naps until the next thing was due", report.naps),
        ("letters for a person", len(found.letters)),
    ]
    for label, number in rows:
        table.add_row(label, f"{number:,}")
    for label, seconds in report.seconds.items():
        table.add_row(f"seconds: {label}", f"{seconds:.1f}")
    return table
