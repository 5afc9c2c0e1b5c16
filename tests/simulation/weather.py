"""The gateway's weather: how often each thing goes wrong there, and for how long."""

import random
from collections.abc import Mapping
from typing import Any, Final

from deploy.sandbox.book import DuplicatePolicy
from deploy.sandbox.endings import CommandEnding, Ending, InquiryEnding

Weather = Mapping[str, Any]
# What decides over an ending of a charge, a cancel, another command or a lookup.
RATES: Final = ("rates", "cancel_rates", "command_rates", "inquiry_rates")
# A late success comes this long after the connection broke, at most: what our clocks may differ by
# and the send window are taken from lease and settle delay (docs/architecture.md, assumptions).
LATE_S_MAX: Final = 150.0

# Every faulty ending, by weight; a climate may have others.
CHARGE_FAULTS: Final[Mapping[str, float]] = {
    Ending.DECLINED: 6,
    Ending.LIMIT_EXCEEDED: 1,
    Ending.LOST_REQUEST: 4,
    Ending.LOST_REPLY: 5,
    Ending.LATE_SUCCESS: 3,
    Ending.ERROR_500: 1,
    Ending.ERROR_500_PAID: 1,
    Ending.BAD_GATEWAY: 1,
    Ending.BAD_GATEWAY_PAID: 1,
    Ending.THROTTLED: 1,
    Ending.MAINTENANCE: 1,
    Ending.RESET: 1,
    Ending.TRUNCATED: 1,
    Ending.GARBAGE: 1,
    Ending.HANG: 1,
    Ending.SLOW: 1,
    Ending.SLOW_DECLINED: 1,
    Ending.WRONG_AMOUNT: 0.2,
    Ending.WRONG_CUSTOMER: 0.2,
    Ending.READY: 0.1,
    Ending.REFUSED: 0.3,
    Ending.UNAUTHORIZED: 0.3,
    Ending.BAD_REQUEST: 0.3,
}
CANCEL_FAULTS: Final[Mapping[str, float]] = {
    CommandEnding.LOST_REQUEST: 4,
    CommandEnding.LOST_REPLY: 5,
    CommandEnding.LATE_SUCCESS: 3,
    CommandEnding.ERROR_500: 1,
    CommandEnding.ERROR_500_DONE: 1,
    CommandEnding.BAD_GATEWAY: 1,
    CommandEnding.BAD_GATEWAY_DONE: 1,
    CommandEnding.THROTTLED: 1,
    CommandEnding.MAINTENANCE: 1,
    CommandEnding.RESET: 1,
    CommandEnding.TRUNCATED: 1,
    CommandEnding.GARBAGE: 1,
    CommandEnding.HANG: 1,
    CommandEnding.SLOW: 1,
    CommandEnding.REFUSED: 1,
    CommandEnding.UNAUTHORIZED: 0.5,
    CommandEnding.BAD_REQUEST: 0.5,
}
INQUIRY_FAULTS: Final[Mapping[str, float]] = {
    InquiryEnding.LOST_REPLY: 1,
    InquiryEnding.ERROR_500: 1,
    InquiryEnding.BAD_GATEWAY: 1,
    InquiryEnding.SLOW: 1,
    InquiryEnding.THROTTLED: 1,
}
_NO_RATES: Final[Weather] = {name: {} for name in RATES}
CALM: Final[Weather] = {
    **_NO_RATES,
    "fail_all": None,
    "fail_all_cancels": None,
    "latency_ms": 0,
    "latency_jitter": 0,
    "delay_s": 2,
}


def rates(faults: Mapping[str, float], share: float) -> dict[str, float]:
    """Return how often each fault happens where ``share`` of all requests meet one."""
    total = sum(faults.values())
    return {name: share * weight / total for name, weight in faults.items()} if total else {}


def fair(dice: random.Random) -> Weather:
    """Return an ordinary month: most is well, some buyers have no balance."""
    share = dice.choice((0.0, 0.002, 0.01))
    return {
        **CALM,
        "rates": {
            Ending.DECLINED: dice.choice((0.0, 0.01, 0.03)),
            **{
                name: rate
                for name, rate in rates(CHARGE_FAULTS, share).items()
                if name != Ending.DECLINED
            },
        },
        "delay_s": 5,
    }


def storm(
    dice: random.Random,
    charges: Mapping[str, float],
    cancels: Mapping[str, float],
    inquiries: Mapping[str, float],
) -> Weather:
    """Return bad weather: in which most may go wrong, and slowly."""
    return {
        **CALM,
        "rates": rates(charges, dice.choice((0.3, 0.6, 0.9))),
        "cancel_rates": rates(cancels, dice.choice((0.3, 0.6, 0.9))),
        "command_rates": rates(cancels, dice.choice((0.0, 0.3))),
        "inquiry_rates": rates(inquiries, dice.choice((0.0, 0.1, 0.3))),
        "latency_ms": dice.choice((0, 300, 5_000)),
        "latency_jitter": 0.9,
        "delay_s": dice.choice((5.0, 40.0, LATE_S_MAX)),
        "retry_after_s": dice.choice((1, 20, 300)),
        "token_ttl_s": dice.choice((60, 1800)),
    }


# Weather in which everything goes wrong in one way, as outages do.
OUTAGES: Final[tuple[Weather, ...]] = (
    {"fail_all": Ending.BAD_GATEWAY, "fail_all_cancels": CommandEnding.BAD_GATEWAY},
    {"fail_all": Ending.MAINTENANCE, "fail_all_cancels": CommandEnding.MAINTENANCE},
    {"fail_all": Ending.HANG, "fail_all_cancels": CommandEnding.HANG},
    {"fail_all": Ending.LOST_REPLY, "fail_all_cancels": CommandEnding.LOST_REPLY},
    {"fail_all": Ending.LATE_SUCCESS, "fail_all_cancels": CommandEnding.LATE_SUCCESS},
    {"fail_all": Ending.THROTTLED, "fail_all_cancels": CommandEnding.THROTTLED},
    {"fail_all": Ending.UNAUTHORIZED, "fail_all_cancels": CommandEnding.UNAUTHORIZED},
    {"inquiry_rates": {InquiryEnding.ERROR_500: 1.0}},
    {"inquiry_rates": {InquiryEnding.THROTTLED: 0.5, InquiryEnding.LOST_REPLY: 0.5}},
)
POLICIES: Final = tuple(DuplicatePolicy)
