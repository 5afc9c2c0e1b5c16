"""Signatures by the Standard Webhooks convention, which receivers verify with kept libraries."""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Sequence

PREFIX = "whsec_"
SECRET_BYTES = 32
_SECRET_BYTES_MIN = 24
_SECRET_BYTES_MAX = 64


def make_secret() -> str:
    """Return a secret that nobody has seen."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode("ascii")


def key_of(secret: str) -> bytes:
    """Return the key that a secret stands for.

    Raises:
        ValueError: It is no secret of the convention; the text says nothing of it.
    """
    if not secret.startswith(PREFIX):
        raise ValueError(f"a secret begins with {PREFIX}")
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"a secret is {PREFIX} and Base64") from None
    if not _SECRET_BYTES_MIN <= len(key) <= _SECRET_BYTES_MAX:
        raise ValueError(f"a secret has {_SECRET_BYTES_MIN} to {_SECRET_BYTES_MAX} bytes")
    return key


def signatures(message_id: str, timestamp_s: int, body: bytes, secrets_of_it: Sequence[str]) -> str:
    """Return one signature for every secret, with spaces between."""
    signed = b".".join((message_id.encode(), str(timestamp_s).encode(), body))
    return " ".join(
        "v1," + base64.b64encode(hmac.digest(key_of(secret), signed, hashlib.sha256)).decode()
        for secret in secrets_of_it
    )
