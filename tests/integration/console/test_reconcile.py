"""`dalmada reconcile`: compare, show, list and repair, for people, programs and spreadsheets."""

import csv
import io
import xml.etree.ElementTree as ET
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from shared.billing.merchant_uid import merchant_uid
from shared.billing.reconciliation import Difference
from tests.integration.console.commands import Commands, Printed
from tests.integration.console.deeds import audited
from tests.support.billing import World
from tests.support.sandbox import IMP_KEY, IMP_SECRET, SandboxControl
from worker.console import reconcile_run

LOST = merchant_uid(UUID(int=7), 3, 1)
NAMED = "=HYPERLINK(1)"


@pytest.fixture
def at_gateway(dalmada: Commands, sandbox: SandboxControl) -> Commands:
    """The console, led to a sandbox whose book is an hour old."""
    sandbox.set_clock(-3_600)
    dalmada.environment |= {
        "DALMADA_PORTONE_BASE_URL": sandbox.url,
        "DALMADA_PORTONE_IMP_KEY": IMP_KEY,
        "DALMADA_PORTONE_IMP_SECRET": IMP_SECRET,
        "DALMADA_RECONCILE_FOREIGN": "true",
    }
    return dalmada


def charge(sandbox: SandboxControl, *uids: str) -> list[str]:
    """Have somebody book payments at the gateway; return them."""
    return sandbox.enter([{"merchant_uid": uid, "amount": 9_900} for uid in uids])


def compare(dalmada: Commands, world: World, *arguments: str) -> Printed:
    """Compare the last day."""
    since = (world.clock.now() - timedelta(days=1)).isoformat()
    return dalmada("reconcile", "--from", since, *arguments)


def test_books_that_agree_end_well_and_are_shown_again(at_gateway: Commands, world: World) -> None:
    done = compare(at_gateway, world, "--json")
    assert (done.status, done.err) == (0, "")
    assert done.json["records"] == 0
    assert done.json["discrepancies"] == []
    again = at_gateway("reconcile", "--json")
    assert (again.status, again.json) == (0, done.json)
    people = at_gateway("reconcile")
    assert "0 payments, 0 KRW" in people.fields()["PortOne"]
    assert {str(kind) for kind in Difference} <= set(people.out.split())


def test_what_differs_is_told_to_people_programs_and_spreadsheets(
    at_gateway: Commands, world: World, sandbox: SandboxControl, tmp_path: Path
) -> None:
    lost, _ = charge(sandbox, LOST, NAMED)
    files = tmp_path / "found.csv", tmp_path / "report.html"
    done = compare(at_gateway, world, "--csv", str(files[0]), "--html", str(files[1]), "--json")
    assert (done.status, done.err) == (1, "")
    counts = {kind: each["count"] for kind, each in done.json["differences"].items()}
    assert {kind: count for kind, count in counts.items() if count} == {
        "theirs_only": 1,
        "foreign": 1,
    }
    listed = {each["difference"]: each for each in done.json["discrepancies"]}
    assert listed["theirs_only"]["imp_uid"] == lost
    assert listed["theirs_only"]["theirs"]["amount"] == 9_900

    rows = list(csv.DictReader(io.StringIO(files[0].read_text("utf-8"))))
    assert {row["difference"]: row["merchant_uid"] for row in rows} == {
        "theirs_only": LOST,
        # No spreadsheet may take it for a formula.
        "foreign": f"'{NAMED}",
    }
    page = files[1].read_text("utf-8")
    root = ET.fromstring(page.partition("\n")[2])  # noqa: S314 - our own page
    assert root.find(".//svg") is not None
    assert "2 differences wait for a person" in page
    # Nothing is loaded from anywhere.
    assert not {"src", "href"} & {name for each in root.iter() for name in each.attrib}
    assert lost in page

    people = at_gateway("reconcile")
    assert people.status == 1
    assert lost in people.out


def test_a_difference_is_shown_marked_and_audited(
    at_gateway: Commands, world: World, sandbox: SandboxControl
) -> None:
    (imp_uid,) = charge(sandbox, LOST)
    compare(at_gateway, world)
    (each,) = at_gateway("reconcile", "list", "--json").json["discrepancies"]
    number = str(each["id"])
    assert at_gateway("reconcile", "show", number, "--json").json == each
    assert at_gateway("reconcile", "show", number).fields()["payment"] == imp_uid
    assert at_gateway("reconcile", "list", "--difference", "foreign", "--json").json == {
        "discrepancies": [],
        "more": False,
    }

    refused = at_gateway("reconcile", "repair", number, "--reason", "확인")
    assert (refused.status, "say --yes" in refused.err) == (2, True)
    done = at_gateway("reconcile", "repair", number, "--reason", "콘솔에서 환불", "--yes", "--json")
    assert (done.status, done.json["status"]) == (0, "dismissed")
    (entry,) = audited(world)
    assert (entry.action, entry.subject) == ("reconcile repair", f"discrepancy {number}")
    assert entry.details["imp_uid"] == imp_uid
    again = at_gateway("reconcile", "repair", number, "--reason", "확인", "--yes")
    assert (again.status, "is dismissed, so nothing is left" in again.err) == (1, True)
    assert at_gateway("reconcile", "list", "--json").json["discrepancies"] == []
    assert len(at_gateway("reconcile", "list", "--all", "--json").json["discrepancies"]) == 1


def test_comparisons_are_listed_with_what_became_of_them(
    at_gateway: Commands, world: World
) -> None:
    compare(at_gateway, world)
    at_gateway.environment["DALMADA_PORTONE_BASE_URL"] = "http://127.0.0.1:9"
    failed = compare(at_gateway, world)
    assert failed.status == 1
    assert "the books could not be compared" in failed.err
    listed = at_gateway("reconcile", "runs", "--json").json["runs"]
    assert [run["status"] for run in listed] == ["failed", "done"]
    assert "failed" in at_gateway("reconcile", "runs").out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--to", "2026-01-31"), "--to needs --from"),
        (("--from", "yesterday"), "is not a date or time"),
        (("--from", "2026-01-31", "--to", "2026-01-31"), "--from must come before --to"),
        (("--from", "2126-01-31"), "neither may lie ahead"),
        (("--from", "2026-01-31", "--run", "1"), "give one of them"),
    ],
)
def test_what_makes_no_window_is_refused(
    at_gateway: Commands, arguments: tuple[str, ...], words: str
) -> None:
    done = at_gateway("reconcile", *arguments)
    assert (done.status, done.out) == (2, "")
    assert words in done.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "nothing has been compared yet"),
        (("--run", "9"), "there is no comparison 9"),
        (("show", "9"), "there is no discrepancy 9"),
        (("repair", "9", "--reason", "x", "--yes"), "there is no discrepancy 9"),
    ],
)
def test_what_is_not_there_is_refused(
    dalmada: Commands, arguments: tuple[str, ...], words: str
) -> None:
    done = dalmada("reconcile", *arguments)
    assert (done.status, done.out) == (1, "")
    assert words in done.err


def test_a_database_that_is_away_is_told_in_words(
    at_gateway: Commands, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile_run, "_BEGIN_RETRY_FOR_S", 0.2)
    at_gateway.environment["DALMADA_DATABASE_URL"] = "postgresql://nobody@127.0.0.1:9/nothing"
    done = compare(at_gateway, world)
    assert (done.status, done.out) == (1, "")
    assert "the database cannot be reached" in done.err
    assert "Traceback" not in done.err


def test_the_gateways_key_is_needed_to_compare_only(dalmada: Commands, world: World) -> None:
    done = compare(dalmada, world)
    assert done.status == 2
    assert "DALMADA_PORTONE_IMP_KEY" in done.err
