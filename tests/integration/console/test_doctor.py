"""`dalmada doctor`: what billing stands on, and what must never be so."""

from datetime import timedelta
from typing import Any

import psycopg
import pytest
from redis import Redis

from shared.db.catalog import missing_promises
from shared.db.invariant import Bounds
from shared.db.invariants import INVARIANTS
from shared.jobs.beat import LEASE_KEY
from tests.integration.console.commands import Commands, Printed
from tests.support.billing import World
from tests.support.sandbox import IMP_KEY, IMP_SECRET, SandboxControl
from worker.console import doctor_environment, doctor_invariants
from worker.services.check import CheckInvariants

HOUR = timedelta(hours=1)
NAMES = {invariant.name for invariant in INVARIANTS}


@pytest.fixture
def running(world: World, redis: "Redis") -> World:
    """A world in which a beat leads and the invariants were looked at a moment ago."""
    redis.set(LEASE_KEY, "somebody")
    looked = CheckInvariants(world.database, world.clock, Bounds())
    assert world.run(looked()) is not None
    return world


def environment(printed: Printed) -> dict[str, Any]:
    """Return every part of the environment by its name."""
    return {each["name"]: each for each in printed.json["environment"]}


def findings(printed: Printed) -> dict[str, list[str]]:
    """Return what the invariants find, by name."""
    return {
        each["name"]: [finding["subject"] for finding in each["findings"]]
        for each in printed.json["invariants"]
        if each["findings"]
    }


def late_event(world: World) -> str:
    """Have an event wait for too long, and return what is found of it."""
    at = world.clock.now() - HOUR
    (row,) = world.run(
        world.rows(
            "INSERT INTO events (name, data, created_at) VALUES ('planted', '{}', :at)"
            " RETURNING id",
            at=at,
        )
    )
    return f"event {row.id}"


@pytest.mark.usefixtures("running")
def test_where_all_is_well_it_says_so(dalmada: Commands) -> None:
    printed = dalmada("doctor", "--json")
    assert (printed.status, printed.err) == (0, "")
    assert printed.json["healthy"] is True
    parts = environment(printed)
    assert {part["verdict"] for name, part in parts.items() if name != "settings"} == {"well"}
    # This environment has no login of the gateway's, which a console does not need.
    assert parts["settings"]["verdict"] == "unknown"
    assert {each["name"] for each in printed.json["invariants"]} == NAMES
    assert findings(printed) == {}
    for_people = dalmada("doctor")
    assert for_people.status == 0
    assert for_people.out.startswith("All is well.\n")
    assert f"Of {len(NAMES)} invariants {len(NAMES)} hold." in for_people.out


def test_a_violation_is_shown_with_what_to_do(dalmada: Commands, running: World) -> None:
    subject = late_event(running)
    printed = dalmada("doctor", "--json")
    assert printed.status == 1
    assert printed.json["healthy"] is False
    assert findings(printed) == {"event_late": [subject]}
    for_people = dalmada("doctor")
    assert for_people.status == 1
    assert for_people.out.startswith("Something is wrong:\n")
    assert f"    {subject}, since " in for_people.out
    assert "    → docs/runbook.md#event_late\n" in for_people.out


@pytest.mark.usefixtures("redis")
def test_it_works_where_no_process_has_ever_run(dalmada: Commands, world: World) -> None:
    subject = late_event(world)
    printed = dalmada("doctor", "--json")
    assert printed.status == 1
    assert findings(printed) == {"event_late": [subject]}
    parts = environment(printed)
    wrong = {name for name, part in parts.items() if part["verdict"] == "wrong"}
    assert wrong == {"invariant.check", "beat"}
    assert all(parts[name]["remedy"] for name in wrong)


def test_invariants_that_nobody_looks_at_any_more_are_told_of(
    dalmada: Commands, running: World
) -> None:
    running.run(
        running.rows(
            "UPDATE invariant_checks SET checked_at = :at WHERE name = 'event_late'",
            at=running.clock.now() - HOUR,
        )
    )
    part = environment(dalmada("doctor", "--json"))["invariant.check"]
    assert part["verdict"] == "wrong"
    assert f"1 of {len(NAMES)}" in part["found"]


def test_of_the_past_the_newest_rows_are_looked_at_or_all_of_them(
    dalmada: Commands, running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_invariants, "NEWEST", 1)
    monkeypatch.setattr(doctor_invariants, "LOT", 1)
    ids = running.run(running.open_invoices(3))
    running.run(running.rows("UPDATE events SET relayed_at = created_at"))
    running.run(running.rows("UPDATE invoices SET lines = '[]'"))
    # One found by a process before, in rows that are not looked at now.
    known = f'[{{"subject": "invoice {ids[0]}", "since": null, "position": {ids[0]}, '
    known += f'"known_at": "{running.clock.now().isoformat()}"}}]'
    running.run(
        running.rows(
            "UPDATE invariant_checks SET findings = CAST(:known AS jsonb)"
            " WHERE name = 'invoice_lines_differ'",
            known=known,
        )
    )
    newest = findings(dalmada("doctor", "--json"))["invoice_lines_differ"]
    assert newest == [f"invoice {ids[2]}", f"invoice {ids[0]}"]
    every = findings(dalmada("doctor", "--all", "--json"))["invoice_lines_differ"]
    assert every == [f"invoice {id_}" for id_ in ids]


def test_what_the_constraints_promise_is_missed(dalmada: Commands, running: World) -> None:
    assert running.run(running.database.run(missing_promises)) == []
    index = "payment_attempts_one_unsettled_idx"
    made = running.run(
        running.rows("SELECT indexdef FROM pg_indexes WHERE indexname = :name", name=index)
    )[0].indexdef
    running.run(running.rows(f"DROP INDEX {index}"))
    try:
        part = environment(dalmada("doctor", "--json"))["constraints"]
    finally:
        running.run(running.rows(made))
    assert part["verdict"] == "wrong"
    assert index in part["found"]


@pytest.mark.usefixtures("running")
def test_rights_that_differ_from_this_versions_are_told_of(
    dalmada: Commands, module_url: str
) -> None:
    with psycopg.connect(module_url, autocommit=True) as owner:
        owner.execute("REVOKE SELECT ON payments FROM dalmada_console")
        owner.execute("GRANT DELETE ON payments TO dalmada_worker")
        part = environment(dalmada("doctor", "--json"))["rights"]
        owner.execute("GRANT SELECT ON payments TO dalmada_console")
        owner.execute("REVOKE DELETE ON payments FROM dalmada_worker")
    assert part["verdict"] == "wrong"
    assert "not granted: SELECT on payments to dalmada_console" in part["found"]
    assert "granted beside them: DELETE on payments to dalmada_worker" in part["found"]


def test_tables_of_an_older_version_are_told_of(
    empty_url: str, dalmada: Commands, redis: "Redis"
) -> None:
    redis.set(LEASE_KEY, "somebody")
    printed = dalmada("doctor", "--json", DALMADA_DATABASE_URL=empty_url)
    assert printed.status == 1
    part = environment(printed)["tables"]
    assert part["verdict"] == "wrong"
    assert "python -m shared.db.migrate upgrade" in part["remedy"]
    assert printed.json["invariants"] is None
    assert "could not be looked at" in dalmada("doctor", DALMADA_DATABASE_URL=empty_url).out


@pytest.mark.usefixtures("impatient", "redis")
def test_servers_out_of_reach_are_told_of_without_their_passwords(dalmada: Commands) -> None:
    printed = dalmada(
        "doctor",
        "--json",
        DALMADA_DATABASE_URL="postgresql://somebody:planted@127.0.0.1:1/nowhere",
        DALMADA_REDIS_URL="redis://:planted@127.0.0.1:1/0",
    )
    assert printed.status == 1
    parts = environment(printed)
    assert parts["database"]["verdict"] == parts["Redis"]["verdict"] == "wrong"
    assert printed.json["invariants"] is None
    assert "planted" not in printed.out + printed.err


@pytest.mark.usefixtures("running")
def test_an_address_of_redis_that_is_none_is_told_of_and_not_repeated(dalmada: Commands) -> None:
    url = "redis://:planted@127.0.0.1:port/0"
    printed = dalmada("doctor", "--json", DALMADA_REDIS_URL=url)
    assert printed.status == 1
    part = environment(printed)["Redis"]
    assert (part["verdict"], "is not an address: redis://host:6379/0" in part["found"]) == (
        "wrong",
        True,
    )
    assert "planted" not in printed.out + printed.err


@pytest.mark.usefixtures("running")
def test_a_clock_that_is_wrong_is_told_of(
    dalmada: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_environment, "CLOCKS_APART_MAX", timedelta(microseconds=-1))
    parts = environment(dalmada("doctor", "--json"))
    for name in ("clock of the database", "clock of Redis"):
        assert parts[name]["verdict"] == "wrong"
        assert "NTP" in parts[name]["remedy"]


@pytest.mark.usefixtures("running")
def test_settings_that_the_processes_would_refuse_are_told_of(dalmada: Commands) -> None:
    printed = dalmada("doctor", "--json", DALMADA_LEASE_S="1")
    part = environment(printed)["settings"]
    assert part["verdict"] == "wrong"
    assert "lease" in part["found"]
    assert printed.json["invariants"] is not None


@pytest.mark.usefixtures("running")
def test_the_gateway_is_asked_for_its_channels(dalmada: Commands, sandbox: SandboxControl) -> None:
    login = {
        "DALMADA_PORTONE_BASE_URL": sandbox.url,
        "DALMADA_PORTONE_IMP_KEY": IMP_KEY,
        "DALMADA_PORTONE_IMP_SECRET": IMP_SECRET,
    }
    printed = dalmada("doctor", "--json", **login)
    parts = environment(printed)
    assert parts["settings"]["verdict"] == parts["gateway"]["verdict"] == "well"
    assert IMP_SECRET not in printed.out
    away = {**login, "DALMADA_PORTONE_BASE_URL": "http://127.0.0.1:1"}
    silent = dalmada("doctor", "--json", **away)
    assert environment(silent)["gateway"]["verdict"] == "unknown"
    assert silent.status == 0
