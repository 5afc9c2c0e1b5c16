"""`POST /users/getToken` and what its tokens open."""

import pytest

from tests.sandbox.client import Gateway

CREDENTIALS = {"imp_key": "test-key", "imp_secret": "test-secret"}
UNAUTHORIZED = {"code": -1, "message": "Unauthorized", "response": None}


def _issue(gateway: Gateway) -> dict[str, int | str]:
    answer = gateway.call("POST", "/users/getToken", json_body=CREDENTIALS)
    assert (answer.status, answer.code, answer.message) == (200, 0, None)
    response: dict[str, int | str] = answer.response
    return response


def _opens(gateway: Gateway, authorization: str) -> int:
    headers = {"Authorization": authorization}
    return gateway.call("GET", "/subscribe/customers/buyer", headers=headers).status


def test_a_token_lives_thirty_minutes(gateway: Gateway) -> None:
    token = _issue(gateway)

    assert int(token["expired_at"]) - int(token["now"]) == 1800
    assert isinstance(token["access_token"], str)


def test_a_form_gets_the_same_token_as_json(gateway: Gateway) -> None:
    by_json = _issue(gateway)
    by_form = gateway.call("POST", "/users/getToken/", form=CREDENTIALS).response

    assert by_form["access_token"] == by_json["access_token"]


def test_the_same_token_comes_back_until_its_last_minute(gateway: Gateway) -> None:
    first = _issue(gateway)
    gateway.control("PUT", "clock", {"offset_s": 1730})
    again = _issue(gateway)

    assert (again["access_token"], again["expired_at"]) == (
        first["access_token"],
        first["expired_at"],
    )


def test_in_its_last_minute_the_token_is_extended_by_five_minutes(gateway: Gateway) -> None:
    first = _issue(gateway)
    gateway.control("PUT", "clock", {"offset_s": 1760})
    again = _issue(gateway)

    assert again["access_token"] == first["access_token"]
    assert int(again["expired_at"]) - int(first["expired_at"]) == 300


def test_after_expiry_the_token_opens_nothing_and_a_new_one_is_issued(gateway: Gateway) -> None:
    first = _issue(gateway)
    gateway.control("PUT", "clock", {"offset_s": 1801})

    assert _opens(gateway, f"Bearer {first['access_token']}") == 401
    second = _issue(gateway)
    assert second["access_token"] != first["access_token"]
    assert _opens(gateway, f"Bearer {first['access_token']}") == 401
    assert _opens(gateway, f"Bearer {second['access_token']}") == 200


def test_a_shorter_life_keeps_the_proportions_of_the_life_cycle(gateway: Gateway) -> None:
    gateway.faults(token_ttl_s=60)
    first = _issue(gateway)
    gateway.control("PUT", "clock", {"offset_s": 50})
    unchanged = _issue(gateway)
    gateway.control("PUT", "clock", {"offset_s": 59})
    extended = _issue(gateway)

    assert unchanged["expired_at"] == first["expired_at"]
    assert int(extended["expired_at"]) - int(first["expired_at"]) == 10


def test_a_revoked_token_is_as_good_as_expired(gateway: Gateway) -> None:
    first = _issue(gateway)
    gateway.control("DELETE", "token")

    assert _opens(gateway, f"Bearer {first['access_token']}") == 401
    assert _issue(gateway)["access_token"] != first["access_token"]


@pytest.mark.parametrize("form", ["Bearer {}", "bearer {}", "{}"])
def test_both_forms_of_the_header_are_taken(gateway: Gateway, form: str) -> None:
    assert _opens(gateway, form.format(gateway.token)) == 200


@pytest.mark.parametrize("header", ["Bearer nonsense", "nonsense", "Basic {}", "Bearer", "Bearer "])
def test_a_wrong_header_is_unauthorized(gateway: Gateway, header: str) -> None:
    headers = {"Authorization": header.format(gateway.token)}
    answer = gateway.call("GET", "/payments/imps_1", headers=headers)

    assert (answer.status, answer.json) == (401, UNAUTHORIZED)


def test_every_endpoint_but_the_tokens_own_asks_for_a_token(gateway: Gateway) -> None:
    for method, path in (
        ("POST", "/subscribe/payments/again"),
        ("GET", "/payments/findAll/m1"),
        ("GET", "/payments/find/m1"),
        ("GET", "/payments/imps_1"),
        ("GET", "/subscribe/customers/buyer"),
    ):
        answer = gateway.call(method, path)
        assert (answer.status, answer.json) == (401, UNAUTHORIZED), path


@pytest.mark.parametrize(
    "credentials",
    [
        {"imp_key": "test-key", "imp_secret": "wrong"},
        {"imp_key": "wrong", "imp_secret": "test-secret"},
        {"imp_key": "test-key"},
        {"imp_key": ["test-key"], "imp_secret": {"a": 1}},
        {},
    ],
)
def test_wrong_credentials_are_unauthorized(gateway: Gateway, credentials: object) -> None:
    answer = gateway.call("POST", "/users/getToken", json_body=credentials)

    assert (answer.status, answer.json) == (401, UNAUTHORIZED)
