"""Access tokens with the life cycle the documents describe: one key, one live token."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

# As documented for the life of 30 minutes. A shorter life (a test's) keeps the same proportions:
# with the literal minute, a token made to live five seconds would never be seen to end.
_EXTENDED_WHEN_LEFT_S: Final = 60.0
_EXTENSION_S: Final = 300.0
_DOCUMENTED_LIFE_S: Final = 1800.0


@dataclass(frozen=True, slots=True)
class Token:
    """One access token and the instant it stops being accepted."""

    value: str
    expires_at: float


class TokenDesk:
    """Issue the one live token of an API key and recognise it again.

    Every caller is handed the same token until it expires, as at PortOne: several workers share
    it and none of them can end it for the others.
    """

    __slots__ = ("_imp_key", "_imp_secret", "_live", "_make_value")

    def __init__(
        self,
        imp_key: str,
        imp_secret: str,
        *,
        make_value: Callable[[], str] = lambda: secrets.token_hex(20),
    ) -> None:
        self._imp_key = imp_key
        self._imp_secret = imp_secret
        self._make_value = make_value
        self._live: Token | None = None

    def knows(self, imp_key: object, imp_secret: object) -> bool:
        """Say whether these are the credentials of this merchant."""
        return imp_key == self._imp_key and imp_secret == self._imp_secret

    def issue(self, *, at: float, life_s: float) -> Token:
        """Hand out the live token, extended if it is about to end, or a new one."""
        live = self._live
        if live is None or at >= live.expires_at:
            live = Token(self._make_value(), at + life_s)
        else:
            scale = min(1.0, life_s / _DOCUMENTED_LIFE_S)
            if live.expires_at - at < _EXTENDED_WHEN_LEFT_S * scale:
                live = Token(live.value, live.expires_at + _EXTENSION_S * scale)
        self._live = live
        return live

    def admits(self, authorization: str | None, *, at: float) -> bool:
        """Say whether an Authorization header carries the live token, with `Bearer ` or without."""
        live = self._live
        if not authorization or live is None or at >= live.expires_at:
            return False
        if authorization == live.value:
            return True
        scheme, _, value = authorization.partition(" ")
        return scheme.lower() == "bearer" and value.strip() == live.value

    def revoke(self) -> None:
        """Forget the live token, as if it had expired."""
        self._live = None
