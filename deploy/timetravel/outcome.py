"""What came of the lives: of a part of them, or of all together."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from deploy.timetravel.ledger import Ledger, Month


@dataclass(frozen=True, slots=True)
class Outcome:
    """The ledger, and what else is worth knowing.

    Attributes:
        commands: How often commands of a kind ended how.
        violations: One sentence each.
        charges: Records in the gateway's book; ``events``: what was told.
        looks: At how many instants anybody looked.
    """

    ledger: Ledger
    commands: Mapping[str, int]
    violations: Sequence[str]
    charges: int
    events: int
    looks: int

    @property
    def line(self) -> str:
        """The last line."""
        counts = " ".join(f"{name}={count}" for name, count in self.ledger.counts.items())
        return f"simulate: {counts} violations={len(self.violations)}"

    def as_json(self) -> dict[str, Any]:
        """Return it for machines."""
        return {
            **self.ledger.as_json(),
            "commands": dict(sorted(self.commands.items())),
            "charges": self.charges,
            "events": self.events,
            "looks": self.looks,
            "violations": list(self.violations),
        }

    @classmethod
    def of_json(cls, told: Mapping[str, Any]) -> Self:
        """Return what ``as_json`` told."""
        ledger = Ledger()
        for name, month in told["months"].items():
            ledger.months[name] = Month(**month)
        return cls(
            ledger,
            told["commands"],
            told["violations"],
            told["charges"],
            told["events"],
            told["looks"],
        )


def together(parts: Iterable[Outcome]) -> Outcome:
    """Return what parts come to together."""
    ledger, commands = Ledger(), Counter[str]()
    violations: list[str] = []
    charges = events = looks = 0
    for part in parts:
        for name, month in part.ledger.months.items():
            ledger.months[name] += month
        commands.update(part.commands)
        violations += part.violations
        charges, events, looks = charges + part.charges, events + part.events, looks + part.looks
    return Outcome(ledger, commands, violations, charges, events, looks)
