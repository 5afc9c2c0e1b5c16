"""docs/events: every event's schema is published as it is in the code, and takes what is posted."""

import json
from datetime import UTC, datetime
from uuid import UUID

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # has no types

from shared.billing.events import EventName
from shared.db.deliveries import Parcel
from shared.jobs.event_schemas import DATA, faults, file_name, schema_of, version_of
from tests.architecture.checkout import CHECKOUT
from tests.architecture.messages_page import example
from worker.events.http import packed
from worker.events.signature import make_secret

FOLDER = CHECKOUT / "docs" / "events"
AT = datetime(2026, 1, 31, tzinfo=UTC)


def posted(name: EventName, data: dict[str, object]) -> object:
    """The body of an event as an endpoint gets it."""
    parcel = Parcel(
        delivery_id=1,
        endpoint_id=2,
        try_number=1,
        failures=0,
        url="https://shop.example.com/",
        secrets=[make_secret()],
        allow_private=False,
        event_id=41,
        name=name,
        subscription_id=UUID(int=7),
        data=data,  # type: ignore[arg-type]
        created_at=AT,
    )
    return json.loads(packed(parcel, AT)[0])


def test_every_event_has_a_schema_and_a_file_and_nothing_else_has() -> None:
    assert set(DATA) == set(EventName)
    assert {path.name for path in FOLDER.iterdir()} == {file_name(name) for name in EventName}


@pytest.mark.parametrize("name", EventName)
def test_the_file_is_what_the_code_says(name: EventName) -> None:
    """`dalmada endpoint schema --to docs/events` writes them."""
    assert (FOLDER / file_name(name)).read_text("utf-8") == schema_of(name)
    Draft202012Validator.check_schema(json.loads(schema_of(name)))


@pytest.mark.parametrize("name", EventName)
def test_the_example_of_the_page_is_what_the_schema_takes(name: EventName) -> None:
    data = example("Events", name)
    assert faults(name, data) == []
    schema = Draft202012Validator(
        json.loads(schema_of(name)), format_checker=Draft202012Validator.FORMAT_CHECKER
    )
    assert [error.message for error in schema.iter_errors(posted(name, data))] == []
    # What is added later is taken, what is missing is not.
    assert schema.is_valid(posted(name, {**data, "added_later": 1}))
    assert not schema.is_valid(posted(name, {k: v for k, v in data.items() if k != "at"}))


def test_what_differs_from_its_schema_is_named() -> None:
    assert faults("subscription.past_due", {"at": AT.isoformat()}) == []
    (fault,) = faults("subscription.past_due", {"at": AT.isoformat(), "more": 1})
    assert "more" in fault
    assert "at" in faults("subscription.past_due", {})[0]


def test_an_event_that_is_not_told_any_more_still_has_a_version() -> None:
    assert version_of("nothing.known") == 1
