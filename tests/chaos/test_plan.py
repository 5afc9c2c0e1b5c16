"""The plan is a pure function of the seed, leaves out no kind, and keeps its own assumptions."""

import itertools

import pytest

from shared.config import Settings
from tests.chaos.fleet import overrides
from tests.chaos.plan import (
    CHARGE_ROLES,
    CLOCK_STEP_S,
    EVERYONE,
    LINKS,
    ROLES,
    WEATHER,
    Deed,
    Kind,
    gateway_settings,
    plan,
)
from tests.chaos.weather import Fault
from tests.support.system import QUICK

SEEDS = range(40)


def overlap(one: Deed, other: Deed) -> bool:
    return one.at_s < other.until_s and other.at_s < one.until_s


@pytest.mark.parametrize("seconds", [5.0, 60.0, 300.0])
def test_the_same_seed_makes_the_same_plan(seconds: float) -> None:
    assert plan(7, seconds) == plan(7, seconds)
    assert plan(7, seconds) != plan(8, seconds)
    assert gateway_settings(7) == gateway_settings(7)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_kind_is_planned_within_a_minute(seed: int) -> None:
    deeds = plan(seed, 60.0)

    assert {deed.kind for deed in deeds} == set(Kind)
    assert {deed.target for deed in deeds if deed.kind in WEATHER} == set(LINKS)
    assert all(0 <= deed.at_s < 60.0 for deed in deeds)
    assert list(deeds) == sorted(deeds)


@pytest.mark.parametrize("seed", SEEDS)
def test_no_two_faults_of_one_link_or_process_are_planned_at_once(seed: int) -> None:
    deeds = plan(seed, 120.0)

    for one, other in itertools.combinations(deeds, 2):
        if one.kind in WEATHER and other.kind in WEATHER and one.target == other.target:
            assert not overlap(one, other), (one, other)
        if {one.kind, other.kind} == {Kind.FREEZE, Kind.SUSPEND}:
            assert not overlap(one, other), (one, other)
        if one.kind is Kind.FREEZE and other.kind is Kind.KILL and one.target == other.target:
            assert not one.at_s <= other.at_s <= one.until_s, (one, other)


@pytest.mark.parametrize("seed", SEEDS)
def test_charge_workers_freeze_while_the_database_is_slow(seed: int) -> None:
    deeds = plan(seed, 60.0)
    freezes = [deed for deed in deeds if deed.kind is Kind.FREEZE]

    assert {deed.target for deed in freezes} <= set(CHARGE_ROLES)
    for freeze in freezes:
        assert any(
            deed.kind is Kind.LATENCY
            and deed.target == "database"
            and deed.at_s < freeze.at_s < deed.until_s
            for deed in deeds
        )


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_planned_breaks_what_the_protocol_assumes(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Late bytes, late bookings and wrong clocks together stay within lease and settle delay."""
    addresses = {
        "DALMADA_DATABASE_URL": "postgresql://nobody@127.0.0.1/none",
        "DALMADA_REDIS_URL": "redis://127.0.0.1/0",
        "DALMADA_PORTONE_IMP_KEY": "key",
        "DALMADA_PORTONE_IMP_SECRET": "secret",
    }
    for name, value in (QUICK | addresses | overrides({})).items():
        monkeypatch.setenv(name, value)
    # mypy knows the environment's part of the constructor by pydantic's plugin.
    leases = Settings().leases
    gateway = gateway_settings(seed)
    deeds = plan(seed, 120.0)
    slowest_s = max(
        Fault(Kind.LATENCY, 1.0, deed.strength, deed.for_s).latency_s
        for deed in deeds
        if deed.kind is Kind.LATENCY and deed.target == "gateway"
    )
    booked_s = 2 * float(str(gateway["delay_s"])) + float(str(gateway["latency_ms"])) / 500
    needed_s = (leases.send_window + leases.total_timeout).total_seconds() + slowest_s + booked_s

    assert needed_s + 2 * CLOCK_STEP_S < (leases.lease + leases.settle_delay).total_seconds()
    assert all(
        deed.for_s > leases.lease.total_seconds() + leases.settle_delay.total_seconds()
        for deed in deeds
        if deed.kind is Kind.FREEZE
    )
    assert all(abs(d.amount_s) <= CLOCK_STEP_S for d in deeds if d.kind is Kind.CLOCK_STEP)
    assert all(d.target == EVERYONE for d in deeds if d.kind is Kind.SUSPEND)


def test_the_gateway_follows_each_policy_in_turn() -> None:
    policies = [gateway_settings(seed)["duplicate_policy"] for seed in range(3)]

    assert sorted(map(str, policies)) == ["never_reusable", "none", "refused_if_paid"]


def test_every_process_has_its_turn_to_die() -> None:
    dead = {deed.target for deed in plan(1, 180.0) if deed.kind is Kind.KILL}

    assert dead == set(ROLES)
