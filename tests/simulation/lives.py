"""Seeded lives of an installation: what may happen, how often, and what must be true at the end."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.simulation.installation import Host


@dataclass(frozen=True, slots=True)
class Climate:
    """How often each thing happens; a narrow one finds its mistake sooner."""

    subscriptions: int = 40
    days: int = 730
    weights: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a life went.

    Attributes:
        violations: Everything that was wrong, in words that name the rows.
        subscription_years: How long the life's subscriptions lived, in all.
        charges: Charge requests that reached the gateway.
        digest: A hash over everything that happened: equal for equal seeds.
    """

    violations: tuple[str, ...]
    subscription_years: float
    charges: int
    digest: str


def live(host: Host, seed: int, climate: Climate | None = None) -> Verdict:
    """Live the life of a seed, and judge it."""
    raise NotImplementedError
