"""What is done to the system, and when: a pure function of the seed and the length of the run.

What is rare by chance is arranged: the database answers slowly when a charge worker is frozen, so
that it can be caught between its claim and its send. The rest is drawn from decks, so that every
kind comes up before any comes again.
"""

import dataclasses
import enum
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


class Kind(enum.StrEnum):
    """Something that is done to processes, servers, connections or clocks."""

    KILL = "kill"
    FREEZE = "freeze"
    TERMINATE = "terminate"
    BROKER_RESTART = "broker restart"
    BROKER_KILL = "broker kill"
    BROKER_FLUSH = "broker flush"
    DATABASE_RESTART = "database restart"
    DATABASE_IMMEDIATE = "database immediate shutdown"
    DATABASE_CRASH = "database crash"
    LATENCY = "latency"
    THROTTLE = "throttle"
    RESET = "reset"
    HALF_OPEN = "half-open"
    BLACK_HOLE = "black hole"
    REFUSE = "refuse"
    TRUNCATE = "truncate"
    CLOCK_STEP = "clock step"
    SUSPEND = "suspend"


WEATHER = (
    Kind.LATENCY,
    Kind.THROTTLE,
    Kind.RESET,
    Kind.HALF_OPEN,
    Kind.BLACK_HOLE,
    Kind.REFUSE,
    Kind.TRUNCATE,
)
SERVER_DEEDS = (
    Kind.BROKER_FLUSH,
    Kind.DATABASE_RESTART,
    Kind.BROKER_KILL,
    Kind.DATABASE_CRASH,
    Kind.BROKER_RESTART,
    Kind.DATABASE_IMMEDIATE,
)
# Each of these is a SIGKILL.
KILLS = frozenset({Kind.KILL, Kind.BROKER_KILL, Kind.DATABASE_CRASH})

CHARGE_ROLES = ("charge1", "charge2")
ROLES = (*CHARGE_ROLES, "command", "scan1", "scan2", "beat1", "beat2", "receiver")
LINKS = ("gateway", "database", "broker")
EVERYONE = "everyone"

# Longer than lease and settle delay together, so that others take over what is frozen.
FREEZE_S = (13.5, 15.0)
# Clocks are assumed to agree to within a minute where lease and settle delay leave more than three
# of them; here they leave seven seconds.
CLOCK_STEP_S = 0.5
# Far enough for days to begin, and for whatever waits for minutes or hours.
SLEEP_S = (1_800.0, 10_800.0)
_SUSPEND_EVERY_S = 24.0
_SUSPEND_S = 4.0
# How long before a freeze the database turns slow.
_LEAD_S = 0.6
# Celery takes seconds to come back to its broker, so that one is left alone for longer.
_FAIR_S = {"gateway": (1.5, 5.0), "database": (2.5, 7.0), "broker": (6.0, 11.0)}


@dataclass(frozen=True, slots=True, order=True)
class Deed:
    """One thing that is done.

    Attributes:
        at_s: When, counted from the beginning of the run.
        target: A role, a link, a server or everyone.
        for_s: How long it lasts; 0 for what is over at once.
        share: The share of connections that are hit.
        strength: How hard, from 0 to 1; what that means is the kind's.
        amount_s: By how much clocks are moved.
    """

    at_s: float
    kind: Kind
    target: str
    for_s: float = 0.0
    share: float = 1.0
    strength: float = 0.0
    amount_s: float = 0.0

    @property
    def until_s(self) -> float:
        """When it is over."""
        return self.at_s + self.for_s


def plan(seed: int, seconds: float) -> tuple[Deed, ...]:
    """Return everything that is done in a run, in order; the same for the same arguments."""
    suspends = tuple(_suspends(_chance(seed, "suspend"), seconds))
    freezes = tuple(_freezes(_chance(seed, "freeze"), seconds, suspends))
    # The database is slow when a freeze begins.
    slow = tuple(
        Deed(deed.at_s - _LEAD_S, Kind.LATENCY, "database", 5.0, strength=0.5) for deed in freezes
    )
    # A server that is restarted while the freeze waits for its moment would spoil it.
    begins = [dataclasses.replace(deed, for_s=2.0) for deed in slow]
    deeds = [*suspends, *freezes, *slow]
    deeds += _kills(_chance(seed, "kill"), seconds, [*suspends, *freezes])
    deeds += _server_deeds(_chance(seed, "server"), seconds, [*suspends, *begins])
    for link in LINKS:
        busy = [deed for deed in slow if deed.target == link]
        deeds += _weather(_chance(seed, link), seconds, link, busy)
    deeds += _clock_steps(_chance(seed, "clock"), seconds)
    return tuple(sorted(deeds))


def gateway_settings(seed: int) -> dict[str, object]:
    """Return how the gateway behaves during a run: its faults, its speed and one of its policies.

    Whatever it still does after a client has left is over within a second and a half.
    """
    chance = _chance(seed, "gateway")

    def some(**shares: float) -> dict[str, float]:
        return {name: round(share * chance.uniform(0.7, 1.3), 4) for name, share in shares.items()}

    lost: Mapping[str, float] = {
        "lost_request": 0.04,
        "lost_reply": 0.05,
        "late_success": 0.03,
        "error_500": 0.03,
        "bad_gateway": 0.03,
        "reset": 0.03,
        "throttled": 0.01,
        "maintenance": 0.01,
        "truncated": 0.02,
        "garbage": 0.01,
        "hang": 0.01,
        "slow": 0.04,
    }
    return {
        "seed": seed,
        "duplicate_policy": ("none", "never_reusable", "refused_if_paid")[seed % 3],
        "rates": some(
            **lost,
            error_500_paid=0.02,
            bad_gateway_paid=0.02,
            declined=0.08,
            limit_exceeded=0.02,
            key_ended=0.01,
        ),
        "cancel_rates": some(**lost, error_500_done=0.02, bad_gateway_done=0.02),
        "command_rates": some(lost_request=0.04, lost_reply=0.05, error_500=0.04, bad_gateway=0.03),
        "inquiry_rates": some(lost_reply=0.04, error_500=0.04, bad_gateway=0.03, slow=0.04),
        "latency_ms": 60,
        "latency_jitter": 0.8,
        "endpoint_latency_ms": {"getToken": 250},
        "close_after_reply_rate": 0.05,
        "delay_s": 1.0,
        "retry_after_s": 1,
        "token_ttl_s": 6,
        "float_amounts": bool(seed % 2),
        "webhook_content_type": "json" if seed % 2 else "form",
        "webhook_duplicate_rate": 0.2,
        "webhook_loss_rate": 0.1,
        "webhook_delay_rate": 0.2,
        "webhook_delay_s": 2.0,
    }


def _chance(seed: int, lane: str) -> random.Random:
    """Return the numbers of one lane, so that a change in one moves nothing in another."""
    return random.Random(f"{seed}/{lane}")  # noqa: S311 - a reproducible choice, not a secret


def _deck(chance: random.Random, cards: Sequence[T]) -> Iterator[T]:
    """Return cards for ever, each pack shuffled."""
    while True:
        pack = list(cards)
        chance.shuffle(pack)
        yield from pack


def _suspends(chance: random.Random, seconds: float) -> Iterator[Deed]:
    at_s = _SUSPEND_EVERY_S + chance.uniform(-2.0, 0.0)
    while at_s + _SUSPEND_S < seconds:
        amount_s = round(chance.uniform(*SLEEP_S), 1)
        yield Deed(round(at_s, 2), Kind.SUSPEND, EVERYONE, _SUSPEND_S, amount_s=amount_s)
        at_s += _SUSPEND_EVERY_S + chance.uniform(-1.0, 1.0)


def _freezes(chance: random.Random, seconds: float, suspends: Sequence[Deed]) -> Iterator[Deed]:
    """Return one freeze between a suspension and the next, where one fits."""
    roles = _deck(chance, CHARGE_ROLES)
    begins = [0.0, *(deed.until_s for deed in suspends)]
    ends = [*(deed.at_s for deed in suspends), seconds]
    for begin, end in zip(begins, ends, strict=True):
        for_s = round(chance.uniform(*FREEZE_S), 2)
        at_s = begin + 2.0 + chance.uniform(0.0, 2.0)
        if at_s + for_s < end - 0.5:
            yield Deed(round(at_s, 2), Kind.FREEZE, next(roles), for_s)


def _kills(chance: random.Random, seconds: float, busy: Sequence[Deed]) -> Iterator[Deed]:
    """Return deaths of processes, at none of them while something is done to it already."""
    # Who handles money dies more often.
    roles = _deck(chance, (*ROLES, *CHARGE_ROLES, "command"))
    kinds = _deck(chance, (*(Kind.KILL,) * 5, Kind.TERMINATE))
    at_s = chance.uniform(1.0, 3.0)
    while at_s < seconds - 0.5:
        role = next(roles)
        if _is_free(busy, at_s, (role, EVERYONE), before_s=4.0):
            yield Deed(round(at_s, 2), next(kinds), role)
        at_s += chance.uniform(3.0, 6.0)


def _server_deeds(chance: random.Random, seconds: float, busy: Sequence[Deed]) -> Iterator[Deed]:
    """Return what is done to the servers, one thing after the other."""
    kinds = _deck(chance, SERVER_DEEDS)
    at_s = chance.uniform(3.0, 5.0)
    while at_s < seconds - 2.0:
        if not _is_free(busy, at_s, ("database", EVERYONE), before_s=2.0):
            at_s += 1.0
            continue
        kind = next(kinds)
        for_s = 0.0 if kind is Kind.BROKER_FLUSH else round(chance.uniform(0.2, 1.5), 2)
        yield Deed(round(at_s, 2), kind, kind.split()[0], for_s)
        at_s += chance.uniform(5.0, 7.5)


def _weather(
    chance: random.Random, seconds: float, link: str, busy: Sequence[Deed]
) -> Iterator[Deed]:
    """Return the faults of one link, never two at a time."""
    kinds = _deck(chance, WEATHER)
    at_s = chance.uniform(0.5, 5.0)
    while at_s < seconds - 1.0:
        for_s = round(min(chance.uniform(1.0, 3.5), seconds - at_s), 2)
        deed = Deed(
            round(at_s, 2),
            next(kinds),
            link,
            for_s,
            share=round(chance.uniform(0.25, 1.0), 2),
            strength=round(chance.random(), 3),
        )
        clash = [other for other in busy if other.at_s < deed.until_s and deed.at_s < other.until_s]
        if clash:
            at_s = max(other.until_s for other in clash) + 0.1
            continue
        yield deed
        at_s = deed.until_s + chance.uniform(*_FAIR_S[link])


def _clock_steps(chance: random.Random, seconds: float) -> Iterator[Deed]:
    roles = _deck(chance, ROLES)
    at_s = chance.uniform(1.0, 4.0)
    while at_s < seconds - 0.5:
        amount_s = round(chance.uniform(-CLOCK_STEP_S, CLOCK_STEP_S), 3)
        yield Deed(round(at_s, 2), Kind.CLOCK_STEP, next(roles), amount_s=amount_s)
        at_s += chance.uniform(2.0, 5.0)


def _is_free(busy: Sequence[Deed], at_s: float, targets: Sequence[str], *, before_s: float) -> bool:
    """Say whether nothing is done to any of the targets then, nor begins soon after."""
    return not any(
        deed.target in targets and deed.at_s - before_s <= at_s <= deed.until_s + 0.5
        for deed in busy
    )
