"""`dalmada audit list`, and who is named in it."""

import os
import pwd

import pytest

from shared.db import dead_letters
from tests.integration.console.commands import Commands
from tests.integration.console.deeds import ACTOR, audited
from tests.support.billing import World
from worker.console import deeds


def discarded(dalmada: Commands, world: World, reason: str) -> None:
    world.run(world.database.run(lambda c: dead_letters.bury_message(c, "x", "cause", {})))
    (letter,) = world.run(world.rows("SELECT max(id) AS id FROM dead_letters"))
    done = dalmada("dead-letter", "discard", str(letter.id), "--reason", reason, "--yes")
    assert done.status == 0, done.err


def test_gives_programs_one_document_newest_first(dalmada: Commands, world: World) -> None:
    for reason in ("첫 번째 [이유]", "둘째"):
        discarded(dalmada, world, reason)
    done = dalmada.process("audit", "list", "--json", DALMADA_REDIS_URL=None)
    assert (done.status, done.err) == (0, "")
    first, second = audited(world)
    assert done.json == {
        "entries": [
            {
                "id": row.id,
                "actor": ACTOR,
                "action": "dead-letter discard",
                "subject": row.subject,
                "reason": row.reason,
                "details": row.details,
                "created_at": row.created_at.isoformat(),
            }
            for row in (second, first)
        ],
        "more": False,
    }
    assert [row.reason for row in (first, second)] == ["첫 번째 [이유]", "둘째"]


def test_tells_people_the_same_and_says_when_there_are_more(
    dalmada: Commands, world: World
) -> None:
    for reason in ("첫 번째 [이유]", "둘째"):
        discarded(dalmada, world, reason)
    done = dalmada("audit", "list")
    assert "첫 번째 [이유]" in done.out
    assert ACTOR in done.out
    done = dalmada("audit", "list", "--limit", "1")
    assert "첫 번째" not in done.out
    assert "Only the newest 1 are shown" in done.out


def test_of_nothing_is_a_document_too(dalmada: Commands) -> None:
    assert dalmada("audit", "list", "--json").json == {"entries": [], "more": False}


class TestWho:
    def test_is_asked_of_the_system_and_not_of_the_environment(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("SUDO_USER", raising=False)
        for name in ("USER", "LOGNAME", "USERNAME"):
            monkeypatch.setenv(name, "somebody-else")
        assert deeds.actor() == ACTOR

    def test_is_named_by_number_where_the_system_has_no_name(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        unknown = max(entry.pw_uid for entry in pwd.getpwall()) + 1
        monkeypatch.setattr(os, "getuid", lambda: unknown)
        assert deeds.actor().startswith(f"uid {unknown}@")

    def test_of_the_administrator_names_whoever_became_one(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SUDO_USER", "kim")
        monkeypatch.setattr(os, "getuid", lambda: 0)
        assert deeds.actor().startswith("kim as root@")
        # Anybody else could have written it.
        other = next(entry for entry in pwd.getpwall() if entry.pw_uid)
        monkeypatch.setattr(os, "getuid", lambda: other.pw_uid)
        assert deeds.actor().startswith(f"{other.pw_name}@")
