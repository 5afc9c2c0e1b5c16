"""``naverUseCfm``: the day on which the buyer has used what was paid for."""

import enum
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from shared.billing.calendar import Period

# Naver Pay's days are Korean days, whatever zone a subscription is counted in.
KST = ZoneInfo("Asia/Seoul")


class UseConfirmation(enum.StrEnum):
    """What is sent as ``extra.naverUseCfm``.

    Only merchants whose Naver Pay contract requires it may send it (guide page).
    """

    NONE = "none"
    CHARGE_DAY = "charge_day"
    PERIOD_END = "period_end"


def use_confirmation_on(choice: UseConfirmation, period: Period, now: datetime) -> date | None:
    """Return the day to send with a charge at ``now``, never earlier than today in Korea.

    It is computed for every send anew: a day stored with the first attempt goes stale in dunning,
    and Naver refuses a day that is past (guide page, ``extra.naverUseCfm``).
    """
    today = korean_date(now)
    match choice:
        case UseConfirmation.NONE:
            return None
        case UseConfirmation.CHARGE_DAY:
            return today
        case UseConfirmation.PERIOD_END:
            # The period is half-open: its last day is that of the instant before its end.
            return max(today, korean_date(period.end_at - timedelta(microseconds=1)))


def korean_date(instant: datetime) -> date:
    """Return the date in Korea at ``instant``."""
    return instant.astimezone(KST).date()
