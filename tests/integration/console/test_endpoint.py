"""`dalmada endpoint`: added, shown, signed anew, disabled, replayed; a secret is shown once."""

from datetime import timedelta
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from shared.billing.delivery import Answer
from tests.integration.console.commands import Commands
from tests.integration.console.deeds import ACTOR, audited, everything_told
from tests.support.billing import World
from tests.support.endpoints import POLICY, EndpointDesk, Told
from worker.events.http import packed
from worker.events.signature import key_of

URL = "https://shop.example.com/hooks?token=planted_token"
YES = ("--yes", "--json")
BECAUSE = ("--reason", "요청", *YES)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def events(world: World, told: Told) -> EndpointDesk:
    # The console goes by the wall clock, which goes on meanwhile.
    world.pass_time(timedelta(minutes=5))
    return EndpointDesk(world, told)


def add(dalmada: Commands, *arguments: str, url: str = URL) -> dict[str, Any]:
    done = dalmada("endpoint", "add", url, *arguments, *YES)
    assert done.status == 0, done.err
    added: dict[str, Any] = done.json
    return added


def do(dalmada: Commands, what: str, endpoint_id: int, *arguments: str) -> Any:
    done = dalmada("endpoint", what, str(endpoint_id), *arguments)
    assert done.status == 0, done.err
    return done.json


def verifies(told: Told, world: World, secret: str) -> bool:
    body, headers = packed(told.parcels[-1], world.clock.now())
    try:
        Webhook(secret).verify(body, headers)
    except WebhookVerificationError:
        return False
    return True


def test_an_added_endpoint_is_told_and_its_secret_shown_once(
    dalmada: Commands, events: EndpointDesk, told: Told, world: World
) -> None:
    added = add(dalmada)
    secret = added["secret"]
    assert len(key_of(secret)) == 32
    world.run(events.happen(None))
    assert "delivered" in world.run(events.deliver())
    assert verifies(told, world, secret)
    for arguments in (
        ("endpoint", "list", "--json"),
        ("endpoint", "show", str(added["endpoint_id"]), "--json"),
        ("endpoint", "show", str(added["endpoint_id"])),
        ("endpoint", "list"),
        ("endpoint", "deliveries", str(added["endpoint_id"])),
        ("audit", "list", "--json"),
    ):
        printed = dalmada(*arguments)
        assert printed.status == 0, printed.err
        assert secret not in printed.out
        assert "planted_token" not in printed.out
    assert secret not in everything_told(world)
    assert "planted_token" not in everything_told(world)
    (entry,) = audited(world)
    assert (entry.actor, entry.action) == (ACTOR, "endpoint add")
    assert entry.details["origin"] == "https://shop.example.com"


def test_it_is_shown_to_a_person_who_says_yes(dalmada: Commands) -> None:
    done = dalmada("endpoint", "add", URL, "--yes", "--only", "invoice.paid")
    assert done.status == 0
    assert "whsec_" in done.out
    assert "it is not shown again" in done.out
    assert "This endpoint will be added" in done.err
    assert "invoice.paid" in done.err
    assert "planted_token" not in done.out + done.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("http://shop.example.com/",), "must begin with https://"),
        (("https://127.0.0.1/",), "--allow-private"),
        (("https://169.254.169.254/", "--allow-private"), "link-local"),
        (("https://u:p@shop.example.com/",), "a user, a password"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused(
    dalmada: Commands, world: World, arguments: tuple[str, ...], words: str
) -> None:
    done = dalmada("endpoint", "add", *arguments, "--yes")
    assert done.status == 1
    assert words in done.err
    assert world.run(world.rows("SELECT FROM endpoints")) == []


def test_the_same_address_twice_is_refused(dalmada: Commands) -> None:
    add(dalmada)
    done = dalmada("endpoint", "add", URL, *YES)
    assert done.status == 1
    assert "already" in done.err


def test_nothing_is_done_where_nobody_says_yes(dalmada: Commands, world: World) -> None:
    done = dalmada("endpoint", "add", URL)
    assert done.status == 2
    assert "--yes" in done.err
    assert world.run(world.rows("SELECT FROM endpoints")) == []


def test_a_secret_is_rotated_without_a_gap(
    dalmada: Commands, events: EndpointDesk, told: Told, world: World
) -> None:
    added = add(dalmada)
    old, endpoint_id = added["secret"], added["endpoint_id"]
    refused = dalmada("endpoint", "drop-secret", str(endpoint_id), *YES)
    assert (refused.status, "one secret only" in refused.err) == (1, True)
    new = do(dalmada, "rotate-secret", endpoint_id, *YES)["secret"]
    assert new != old
    world.run(events.happen(None))
    world.run(events.deliver())
    assert verifies(told, world, old)
    assert verifies(told, world, new)
    do(dalmada, "drop-secret", endpoint_id, *YES)
    world.run(events.happen(None))
    world.run(events.deliver())
    assert verifies(told, world, new)
    assert not verifies(told, world, old)
    for _ in range(3):
        do(dalmada, "rotate-secret", endpoint_id, *YES)
    full = dalmada("endpoint", "rotate-secret", str(endpoint_id), *YES)
    assert (full.status, "drop-secret" in full.err) == (1, True)
    assert new not in everything_told(world)


def test_a_disabled_endpoint_gets_nothing_until_it_is_enabled(
    dalmada: Commands, events: EndpointDesk, told: Told, world: World
) -> None:
    endpoint_id = add(dalmada)["endpoint_id"]
    world.run(events.happen(None, 2))
    do(dalmada, "disable", endpoint_id, *BECAUSE)
    again = dalmada("endpoint", "disable", str(endpoint_id), *BECAUSE)
    assert (again.status, "already" in again.err) == (1, True)
    assert world.run(events.deliver()) == []
    shown = do(dalmada, "show", endpoint_id, "--json")
    assert (shown["status"], shown["disabled_reason"]) == ("disabled", "요청")
    assert do(dalmada, "enable", endpoint_id, *YES)["waiting"] >= 2
    world.run(events.deliver())
    assert do(dalmada, "show", endpoint_id, "--json")["waiting"] == 0
    assert [parcel.data.get("position") for parcel in told.parcels].count(1) == 1


def test_a_removed_endpoint_keeps_no_secret_and_makes_room(
    dalmada: Commands, events: EndpointDesk, world: World
) -> None:
    endpoint_id = add(dalmada)["endpoint_id"]
    world.run(events.happen(None, 2))
    assert do(dalmada, "remove", endpoint_id, *BECAUSE)["given_up"] >= 2
    assert world.run(events.endpoint(endpoint_id)).secrets == []
    assert world.run(events.deliver()) == []
    assert do(dalmada, "show", endpoint_id, "--json")["status"] == "removed"
    assert dalmada("endpoint", "list", "--json").json["endpoints"] == []
    for what in ("enable", "rotate-secret", "drop-secret"):
        done = dalmada("endpoint", what, str(endpoint_id), *YES)
        assert (done.status, "was removed" in done.err) == (1, True)
    assert add(dalmada)["endpoint_id"] != endpoint_id


class TestReplay:
    def test_by_number_under_the_same_id(
        self, dalmada: Commands, events: EndpointDesk, told: Told, world: World
    ) -> None:
        endpoint_id = add(dalmada, "--only", "invoice.paid")["endpoint_id"]
        world.run(events.happen(None, 3))
        assert world.run(events.deliver()) == []
        ids = [row.id for row in world.run(world.rows("SELECT id FROM events ORDER BY id"))][-2:]
        said = [part for id_ in ids for part in ("--event", str(id_))]
        assert do(dalmada, "replay", endpoint_id, *said, *YES)["events"] == 2
        world.run(events.deliver())
        assert told.ids == ids
        assert do(dalmada, "replay", endpoint_id, *said, *YES)["events"] == 2
        waiting = dalmada("endpoint", "replay", str(endpoint_id), *said, *YES)
        assert (waiting.status, "nothing to replay" in waiting.err) == (1, True)
        world.run(events.deliver())
        assert told.ids == ids * 2

    def test_by_time(
        self, dalmada: Commands, events: EndpointDesk, told: Told, world: World
    ) -> None:
        endpoint_id = add(dalmada, "--only", "invoice.opened")["endpoint_id"]
        world.run(events.happen(None, 3))
        world.run(events.deliver())
        world.run(
            world.rows(
                "UPDATE events SET created_at = '2026-01-31T00:00:00+00' WHERE id = :id",
                id=told.ids[1],
            )
        )
        span = ("--since", "2026-01-31T08:59", "--until", "2026-01-31T09:01")
        assert do(dalmada, "replay", endpoint_id, *span, *YES)["events"] == 1
        world.run(events.deliver())
        assert told.ids == [*told.ids[:3], told.ids[1]]

    def test_all_that_were_given_up(
        self, dalmada: Commands, events: EndpointDesk, told: Told, world: World
    ) -> None:
        endpoint_id = add(dalmada, "--only", "invoice.opened")["endpoint_id"]
        told.script = [Answer(500, "HTTP 500")] * 4
        world.run(events.happen(None))
        for gap in (timedelta(0), *POLICY.gaps):
            world.pass_time(gap * 1.2)
            world.run(events.deliver())
        listed = do(dalmada, "deliveries", endpoint_id, "--status", "given_up", "--json")
        assert [each["last_error"] for each in listed["deliveries"]] == ["HTTP 500"]
        assert do(dalmada, "replay", endpoint_id, "--given-up", *YES)["events"] == 1
        assert world.run(events.deliver()) == ["delivered"]

    @pytest.mark.parametrize(
        "arguments",
        [
            (),
            ("--given-up", "--event", "1"),
            ("--until", "2026-01-31"),
            ("--since", "yesterday"),
            ("--event", "0"),
        ],
    )
    def test_what_is_unclear_is_refused(
        self, dalmada: Commands, arguments: tuple[str, ...]
    ) -> None:
        endpoint_id = add(dalmada)["endpoint_id"]
        assert dalmada("endpoint", "replay", str(endpoint_id), *arguments, "--yes").status == 2


def test_an_endpoint_that_is_not_there_is_said_so(dalmada: Commands) -> None:
    for what in ("show", "deliveries"):
        done = dalmada("endpoint", what, "7")
        assert (done.status, "there is no endpoint 7" in done.err) == (1, True)
    done = dalmada("endpoint", "enable", "7", *YES)
    assert (done.status, "there is no endpoint 7" in done.err) == (1, True)
