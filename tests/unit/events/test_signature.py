"""Signatures, verified by the convention's own package and never by our code."""

import base64
import json
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from shared.clock import WallClock
from shared.db.deliveries import Parcel
from worker.events.http import packed
from worker.events.signature import key_of, make_secret, signatures

OWNER = UUID(int=7)


def parcel(*secrets: str) -> Parcel:
    return Parcel(
        delivery_id=1,
        endpoint_id=2,
        try_number=1,
        failures=0,
        url="https://shop.example.com/",
        secrets=secrets,
        allow_private=False,
        event_id=41,
        name="invoice.paid",
        subscription_id=OWNER,
        data={"amount": 9_900, "reason": "홍차 😀\n"},
        created_at=WallClock().now() - timedelta(days=3),
    )


def test_what_is_posted_is_verified_by_the_conventions_own_package() -> None:
    secret = make_secret()
    body, headers = packed(parcel(secret), WallClock().now())
    verified = Webhook(secret).verify(body, headers)
    assert verified["type"] == "invoice.paid"
    assert verified["data"] == {
        "amount": 9_900,
        "reason": "홍차 😀\n",
        "event_id": 41,
        "subscription_id": str(OWNER),
        "schema_version": 1,
    }
    assert headers["webhook-id"] == "msg_41"


def test_the_body_and_the_id_are_the_same_in_every_try() -> None:
    one, now = parcel(make_secret()), WallClock().now()
    first = packed(one, now)
    again = packed(replace(one, try_number=5), now + timedelta(days=2))
    assert first[0] == again[0]
    assert first[1]["webhook-id"] == again[1]["webhook-id"]
    assert first[1]["webhook-timestamp"] != again[1]["webhook-timestamp"]


@pytest.mark.parametrize("which", [0, 1, 2])
def test_while_a_secret_is_rotated_every_one_of_them_verifies(which: int) -> None:
    secrets = [make_secret() for _ in range(3)]
    body, headers = packed(parcel(*secrets), WallClock().now())
    assert headers["webhook-signature"].count("v1,") == 3
    Webhook(secrets[which]).verify(body, headers)


def test_what_was_changed_on_the_way_is_not_verified() -> None:
    secret = make_secret()
    body, headers = packed(parcel(secret), WallClock().now())
    for changed, changed_headers in (
        (body.replace(b"9900", b"9901"), headers),
        (body, {**headers, "webhook-id": "msg_42"}),
        (body, {**headers, "webhook-timestamp": str(int(headers["webhook-timestamp"]) + 1)}),
    ):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(changed, changed_headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(make_secret()).verify(body, headers)


def test_what_the_package_signs_is_what_we_sign() -> None:
    secret, at = make_secret(), WallClock().now()
    body = json.dumps({"값": 1}).encode()
    theirs = Webhook(secret).sign("msg_1", at, body.decode())
    assert signatures("msg_1", int(at.timestamp()), body, [secret]) == theirs


def test_every_secret_is_another_and_long_enough() -> None:
    made = {make_secret() for _ in range(100)}
    assert len(made) == 100
    assert {len(key_of(secret)) for secret in made} == {32}


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        "whsec_?",
        base64.b64encode(b"a" * 32).decode(),
        "whsec_" + base64.b64encode(b"a" * 23).decode(),
        "whsec_" + base64.b64encode(b"a" * 65).decode(),
    ],
)
def test_what_is_no_secret_is_refused_without_repeating_it(secret: str) -> None:
    with pytest.raises(ValueError, match=r"^a secret ") as told:
        key_of(secret)
    assert base64.b64encode(b"a" * 12).decode() not in str(told.value)


def test_a_parcel_shows_neither_address_nor_secret_nor_data() -> None:
    secret = make_secret()
    shown = repr(parcel(secret))
    for hidden in (secret, "shop.example.com", "9900", "홍차"):
        assert hidden not in shown
