"""`dalmada recover` as an operator runs it."""

from typing import Any

import pytest

from tests.integration.console.commands import Commands
from tests.support.billing import World
from tests.support.sandbox import IMP_KEY, IMP_SECRET, SandboxControl

QUICK = {
    "DALMADA_SEND_WINDOW_S": "0.1",
    "DALMADA_GATEWAY_CONNECT_TIMEOUT_S": "0.1",
    "DALMADA_GATEWAY_READ_TIMEOUT_S": "0.5",
    "DALMADA_GATEWAY_TOTAL_TIMEOUT_S": "0.5",
    "DALMADA_LEASE_S": "0.7",
    "DALMADA_SETTLE_DELAY_S": "0.1",
}


@pytest.fixture
def recover(dalmada: Commands, sandbox: SandboxControl) -> Commands:
    """The console with a gateway."""
    return Commands(
        {
            **dalmada.environment,
            **QUICK,
            "DALMADA_PORTONE_BASE_URL": sandbox.url,
            "DALMADA_PORTONE_IMP_KEY": IMP_KEY,
            "DALMADA_PORTONE_IMP_SECRET": IMP_SECRET,
        }
    )


def rows(world: World, statement: str) -> list[Any]:
    found: list[Any] = world.run(world.rows(statement))
    return found


def test_recovers_a_database_that_nobody_had_recognised_and_notes_who_did(
    recover: Commands, world: World
) -> None:
    # Nobody but the operator can say from when on charges may be lost.
    done = recover("recover", "--yes", "--json")
    assert done.status == 1
    assert (done.json["finished"], done.json["since"]) == (False, None)
    assert "give `--since`" in done.err
    (held,) = rows(world, "SELECT restored_at, recover_since FROM installation")
    assert held.restored_at is not None
    assert held.recover_since is None

    done = recover("recover", "--yes", "--json", "--since", "2026-01-30")

    assert (done.status, done.err) == (0, "")
    assert done.json["finished"]
    assert done.json["since"] == "2026-01-29T15:00:00+00:00"
    assert {name: done.json[name] for name in ("records", "attempts_written", "unknown")} == {
        "records": 0,
        "attempts_written": 0,
        "unknown": [],
    }
    (found,) = rows(world, "SELECT * FROM installation")
    assert found.mark >= 1_000_000_000
    assert found.restored_at is None
    assert found.recovered_at is not None
    assert found.recover_since is None
    refused, noted = rows(world, "SELECT action, reason, details FROM audit_log ORDER BY id")
    assert (refused.action, refused.details["finished"]) == ("recover", False)
    assert "give `--since`" in refused.reason
    assert (noted.action, noted.details["finished"]) == ("recover", True)
    # New rows are numbered beyond all that may have been lost.
    (numbers,) = rows(world, "SELECT min(last_value) AS least FROM pg_sequences")
    assert numbers.least > 1_000_000_000

    told = recover("recover", "--yes", "--since", "2026-01-31")
    assert told.status == 0
    assert told.out.startswith("Recovered: billing goes on.\n")
    assert told.fields()["attempts written"] == "0"
    assert "2026-01-30T15:00:00+00:00" in told.fields()["read since"]


def test_a_gateway_out_of_reach_leaves_the_hold_on_and_says_so(
    recover: Commands, world: World
) -> None:
    away = {"DALMADA_PORTONE_BASE_URL": "http://127.0.0.1:1"}
    done = recover("recover", "--yes", "--json", "--since", "2026-01-31", **away)

    assert done.status == 1
    assert not done.json["finished"]
    assert "Nothing is charged until it is run again" in done.err
    assert rows(world, "SELECT restored_at IS NOT NULL AS held FROM installation")[0].held
    # What was said then counts for whoever runs it again.
    done = recover("recover", "--yes", "--json")
    assert (done.status, done.json["since"]) == (0, "2026-01-30T15:00:00+00:00")


def test_is_refused_while_another_runs(recover: Commands, world: World) -> None:
    async def both() -> Any:
        async with world.database.engine.connect() as connection:
            await connection.exec_driver_sql("SELECT pg_advisory_lock(726582003)")
            return await world.runner.get_loop().run_in_executor(
                None, lambda: recover.process("recover", "--yes", "--json")
            )

    done = world.run(both())
    assert (done.status, done.out) == (1, "")
    assert "another recovery of this database is running" in done.err


def test_needs_somebody_to_say_yes_and_the_settings_of_the_workers(
    recover: Commands, dalmada: Commands, world: World
) -> None:
    done = recover("recover")
    assert done.status == 2
    assert "--yes" in done.err
    done = dalmada("recover", "--yes")
    assert done.status == 2
    assert "DALMADA_PORTONE_IMP_KEY" in done.err
    assert rows(world, "SELECT id FROM installation") == []
    done = recover("recover", "--yes", "--since", "yesterday")
    assert done.status == 2
    assert "--since" in done.err
