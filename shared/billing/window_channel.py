"""Where a payment window sends the buyer, and how the buyer comes back."""

import re
from dataclasses import dataclass

from shared.billing.errors import InvalidWindowError
from shared.billing.window_text import given, require_truth, require_url, require_word

# V1 spec: `pg_id` of a payment, `channel_key` of `again`.
PARTNER_ID_LENGTH_MAX = 80
CHANNEL_KEY_LENGTH_MAX = 55

_PG = re.compile(r"naverpay(?:\.(?P<partner>\S+))?")


@dataclass(frozen=True, slots=True)
class Channel:
    """Where PortOne sends the buyer: exactly one of the two ways to say so.

    Sources: Korean guide page, ``pg`` (``naverpay.{partner id}``, or ``naverpay`` alone, which is
    all the English page knows); PortOne's JavaScript SDK, ``channelKey``, which replaces ``pg``.
    """

    pg: str | None = None
    channel_key: str | None = None

    def __post_init__(self) -> None:
        """Refuse none, both, or another payment gateway than Naver Pay."""
        if (self.pg is None) == (self.channel_key is None):
            message = "a window needs either pg or channelKey: exactly one of them"
            raise InvalidWindowError(message)
        if self.channel_key is not None:
            require_word("channelKey", self.channel_key, CHANNEL_KEY_LENGTH_MAX)
        if self.pg is not None:
            require_word("pg", self.pg)
            form = _PG.fullmatch(self.pg)
            if form is None:
                message = f"pg must be 'naverpay' or 'naverpay.{{partner id}}', not {self.pg!r}"
                raise InvalidWindowError(message)
            if form["partner"] is not None:
                require_word("partner id", form["partner"], PARTNER_ID_LENGTH_MAX)

    def parameters(self) -> dict[str, object]:
        """Return the one that was given."""
        return given({"pg": self.pg, "channelKey": self.channel_key})


@dataclass(frozen=True, slots=True)
class WindowReturn:
    """How the buyer comes back, and where PortOne says what became of it.

    Sources: both guide pages, ``naverPopupMode`` and ``m_redirect_url``: without a popup there is
    no callback, so the address is required then; on telephones it is used in either case. Neither
    page says what a missing mode means, so it is always sent.
    PortOne's JavaScript SDK, 결제요청 파라미터: ``notice_url``, which takes the place of the
    webhook address set in the console.
    """

    popup: bool = True
    redirect_url: str | None = None
    notice_url: str | None = None

    def __post_init__(self) -> None:
        """Refuse a window that the buyer could not come back from."""
        require_truth("naverPopupMode", self.popup)
        if not self.popup and self.redirect_url is None:
            message = "m_redirect_url must be given where naverPopupMode is false"
            raise InvalidWindowError(message)
        if self.redirect_url is not None:
            require_url("m_redirect_url", self.redirect_url)
        if self.notice_url is not None:
            require_url("notice_url", self.notice_url)

    def parameters(self) -> dict[str, object]:
        """Return the mode, and what else was given."""
        return given(
            {
                "naverPopupMode": self.popup,
                "m_redirect_url": self.redirect_url,
                "notice_url": self.notice_url,
            }
        )


IN_A_POPUP = WindowReturn()
