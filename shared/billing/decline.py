"""Why a charge was declined, as far as the gateway's words tell.

V1 has no codes of the payment company: ``fail_reason`` is its text, passed through. How Naver Pay
words a decline is not published, so the table below holds the examples that the gateway's own
papers give, each with its source, and nothing that was guessed. A merchant who has seen other words
adds them by a setting. Texts are compared and never changed, and a text that nobody has seen is of
the class that promises nothing.
"""

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from shared.billing.errors import InvalidPolicyError


class DeclineClass(enum.StrEnum):
    """What stood in the way of a charge.

    ``insufficient_balance``: there was too little money. ``limit``: a limit of the buyer's means
    was reached. ``method``: the means cannot be used as it is. ``gateway_trouble``: the payment
    company was in trouble, and nothing is known of the buyer. ``unknown``: nobody has seen the
    text, or it is empty.
    """

    INSUFFICIENT_BALANCE = "insufficient_balance"
    LIMIT = "limit"
    METHOD = "method"
    GATEWAY_TROUBLE = "gateway_trouble"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class KnownDecline:
    """A part of a ``fail_reason`` whose meaning is known, and where it was seen."""

    text: str
    decline_class: DeclineClass
    source: str

    def __post_init__(self) -> None:
        """Refuse a text that would match everything."""
        if not self.text.strip():
            message = f"a text of a decline ({self.decline_class}) must not be empty"
            raise InvalidPolicyError(message)


_OLDER = "PortOne V1, older reference of again: example of a failed payment"
_ERRORS = "PortOne V1, table of errors: example of fail_reason"
_NAVER = "Naver Pay, native code that may stand in fail_reason"
_SETTING = "the merchant's setting"

# The first text that is found decides: what says that the payment company is in trouble says
# nothing of the buyer, whatever else stands beside it.
KNOWN_DECLINES: Final = (
    KnownDecline("MaintenanceOngoing", DeclineClass.GATEWAY_TROUBLE, _NAVER),
    KnownDecline(
        "(PG사 결제 장애) Internal error",
        DeclineClass.GATEWAY_TROUBLE,
        "PortOne V1, table of errors: Paymentwall; such a payment may turn paid later",
    ),
    KnownDecline("거래정지카드", DeclineClass.METHOD, _OLDER),
    KnownDecline("EXPIRED", DeclineClass.METHOD, "Naver Pay, state of a recurring registration"),
    KnownDecline("한도초과", DeclineClass.LIMIT, _OLDER),
    KnownDecline("한도 초과", DeclineClass.LIMIT, _ERRORS),
    KnownDecline("잔액부족", DeclineClass.INSUFFICIENT_BALANCE, _OLDER),
    KnownDecline("잔액 부족", DeclineClass.INSUFFICIENT_BALANCE, _ERRORS),
)


def classify(fail_reason: str | None, extra: Iterable[KnownDecline] = ()) -> DeclineClass:
    """Return the class of a decline; the merchant's own texts come before those of the table."""
    for known in (*extra, *KNOWN_DECLINES):
        if fail_reason is not None and known.text in fail_reason:
            return known.decline_class
    return DeclineClass.UNKNOWN


def known_by(markers: Mapping[DeclineClass, Iterable[str]]) -> tuple[KnownDecline, ...]:
    """Return the rows that a merchant adds: parts of texts, by class.

    Raises:
        InvalidPolicyError: A text is empty, or stands under two classes.
    """
    rows = tuple(
        KnownDecline(text, decline_class, _SETTING)
        for decline_class, texts in markers.items()
        for text in texts
    )
    classes: dict[str, DeclineClass] = {}
    for row in rows:
        if classes.setdefault(row.text, row.decline_class) is not row.decline_class:
            message = f"{row.text!r} stands for {classes[row.text]} and {row.decline_class}: choose"
            raise InvalidPolicyError(message)
    return rows
