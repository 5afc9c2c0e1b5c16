"""Days on which Korean banks do not work: public and bank holidays, Saturdays and Sundays."""

from datetime import date
from functools import lru_cache

import holidays

_SATURDAY = 5


@lru_cache(maxsize=1)
def _calendar() -> holidays.HolidayBase:
    """Return Korea's calendar, which works out a year when it is first asked for it."""
    categories = (holidays.constants.PUBLIC, holidays.constants.BANK)
    return holidays.country_holidays("KR", categories=categories)


def is_bank_holiday(day: date) -> bool:
    """Say whether Korean banks are closed on a day.

    A holiday that is decreed at short notice (an election, a day of mourning) is known when the
    package knows it.
    """
    return day.weekday() >= _SATURDAY or day in _calendar()
