"""The table of facts is what it says it is, and what PortOne's file says where there is one."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.contract.specification import SpecificationError, read, source_of, written
from tests.contract.surface import SCALARS, TABLE, Field, field_of, source, surface

# Where PortOne's own file lies; it is not ours to keep.
SPEC = "DALMADA_V1_SPEC"


def _spec(**changes: Any) -> dict[str, Any]:
    """A file with one operation of every kind."""
    given: dict[str, Any] = {
        "definitions": {
            "ResponseAnnotation": {"properties": {"code": {"type": "integer"}}},
            "Thing": {
                "required": ["size"],
                "properties": {
                    "size": {"type": "number", "maximum": "9", "minimum": "1"},
                    "kind": {"type": "string", "maxLength": "4", "enum": ["a", "b"]},
                    "more": {"type": "object", "properties": {"x": {"type": "boolean"}}},
                    "parts": {"type": "array", "items": {"$ref": "#/definitions/Thing"}},
                    "only": {"type": "string", "x-portone-supported-pgs": ["kcp"]},
                },
            },
            "ThingResponse": {
                "allOf": [
                    {"$ref": "#/definitions/ResponseAnnotation"},
                    {"properties": {"response": {"$ref": "#/definitions/Thing"}}},
                ]
            },
        },
        "paths": {
            "/things/{id}": {
                "post": {
                    "parameters": [
                        {"name": "id", "in": "path", "required": True, "type": "string"},
                        {"name": "tags", "in": "formData", "type": "array", "items": "string"},
                        {
                            "name": "thing",
                            "in": "formData",
                            "schema": {"$ref": "#/definitions/Thing"},
                        },
                    ],
                    "x-portone-supported_pgs": ["naverpay"],
                    "responses": {"200": {"schema": {"$ref": "#/definitions/ThingResponse"}}},
                },
                "get": {"x-portone-supported-pgs": ["kcp"], "responses": {}},
            },
            "/banks": {"get": {"responses": {}}},
        },
    }
    return {**given, **changes}


def test_the_faults_of_the_file_are_repaired() -> None:
    found = read(_spec())
    (operation,) = found.operations.values()

    assert operation.takes == (
        Field("id", "path", "string", required=True),
        Field("tags", "body", "string[]"),
        Field("thing", "body", "Thing"),
    )
    assert operation.answers == {200: "Thing", 401: ""}
    assert found.annotations["Thing"] == (
        Field("size", "field", "number", required=True, least=1, most=9),
        Field("kind", "field", "string", longest=4, values=("a", "b")),
        Field("more", "field", "Thing.more"),
        Field("parts", "field", "Thing[]"),
        Field("only", "field", "string", naver=False),
    )
    assert found.annotations["Thing.more"] == (Field("x", "field", "boolean"),)
    assert found.for_others == ("GET /things/{id}",)
    assert found.of_no_payment == ("GET /banks",)


def test_a_file_that_says_something_else_than_a_repair_is_refused() -> None:
    definitions = {
        **_spec()["definitions"],
        "PgSettingAnnotation": {"properties": {"type": {"type": "string", "description": "?"}}},
    }
    definitions["Thing"]["properties"]["channel"] = {"$ref": "#/definitions/PgSettingAnnotation"}

    with pytest.raises(SpecificationError, match="PgSettingAnnotation: type"):
        read(_spec(definitions=definitions))


def test_a_line_of_the_table_says_all_of_a_field() -> None:
    for field in (
        Field("a", "body", "string"),
        Field("b", "query", "string[]", required=True, least=1, most=100),
        Field("c", "field", "Thing.more[]", naver=False),
        Field("d", "path", "string", required=True, longest=40, values=("-x", "y.z"), naver=True),
    ):
        assert field_of(field.line) == field


def test_the_table_is_whole() -> None:
    table = surface()

    assert len(table.operations) + len(table.for_others) + len(table.of_no_payment) == 80
    known = {*SCALARS, *table.annotations}
    used = {
        field.type.removesuffix("[]")
        for fields in (
            *table.annotations.values(),
            *(operation.takes for operation in table.operations.values()),
        )
        for field in fields
    }
    told = {of for operation in table.operations.values() for of in operation.answers.values()}
    assert used | {of.removesuffix("[]") for of in told if of} <= known
    # What nothing speaks of would be no fact about anything that is asked or answered.
    assert {*table.annotations} - used - {of.removesuffix("[]") for of in told} == {
        "ResponseAnnotation"
    }


@pytest.mark.skipif(SPEC not in os.environ, reason=f"{SPEC} names no file of PortOne's")
def test_the_table_is_what_the_file_says() -> None:
    raw = Path(os.environ[SPEC]).read_bytes()

    assert source_of(raw) == source()
    assert written(read(json.loads(raw)), source()) == TABLE.read_text("utf-8")
