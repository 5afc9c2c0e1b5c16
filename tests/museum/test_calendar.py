"""Museum: calendars."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from tests.museum import naive
from tests.support.storytelling import Tell


def test_the_31st_comes_back_after_february(story: Tell) -> None:
    """polarsource/polar#10664

    Naive: counts each renewal from the one before, so 31 January becomes the 28th for ever.
    Ours: counts every period from the anchor; the 31st comes back in March.
    """
    naively = naive.chained_months(date(2026, 1, 31), 4)
    assert naively[2:] == [date(2026, 3, 28), date(2026, 4, 28)]
    story(
        """
        on 2026-01-31 subscribe monthly for 9900
        until 2026-06-01
        expect periods 2026-01-31 / 2026-02-28 / 2026-03-31 / 2026-04-30 / 2026-05-31
        expect 5 charges
        """
    )


def test_the_29th_comes_back_after_a_leap_year(story: Tell) -> None:
    """getlago/lago-api#1567

    Naive: a yearly subscription of 29 February slides to the 28th and stays there.
    Ours: it is the 28th in common years and the 29th again in the leap year.
    """
    chained = date(2024, 2, 29).replace(year=2025, day=28)
    assert chained.replace(year=2028) != date(2028, 2, 29)
    story(
        """
        on 2024-02-29 subscribe yearly for 99000
        until 2028-03-01
        expect periods 2024-02-29 / 2025-02-28 / 2026-02-28 / 2027-02-28 / 2028-02-29
        expect 5 charges
        """
    )


def test_the_30th_meets_february_and_goes_on(story: Tell) -> None:
    """getlago/lago-api#1840

    Naive: a month is thirty days, and renewals creep towards the front of the month.
    Ours: the day of the month is kept, or the month's last day where there is none.
    """
    start = datetime(2026, 1, 30, tzinfo=UTC)
    assert naive.thirty_days(start, 4)[-1].date() == date(2026, 4, 30)
    assert naive.thirty_days(start, 6)[-1].date() == date(2026, 6, 29)
    story(
        """
        on 2026-01-30 subscribe monthly for 9900
        until 2026-07-01
        expect periods 2026-01-30 / 2026-02-28 / 2026-03-30 / 2026-04-30 / 2026-05-30 / 2026-06-30
        """
    )


def test_the_last_day_of_a_month_is_an_anchor_like_any_other(story: Tell) -> None:
    """killbill/killbill#2133

    Naive: the billing day is read back from the last period, which February had cut short.
    Ours: no period is computed from another one, so none can hand its clamp on.
    """
    story(
        """
        on 2026-02-28 subscribe monthly for 9900
        until 2026-06-01
        expect periods 2026-02-28 / 2026-03-28 / 2026-04-28 / 2026-05-28
        """
    )


def test_every_second_month_end_is_kept(story: Tell) -> None:
    """killbill/killbill#2136

    Naive: two steps of one month clamp twice: December 31, (January 31,) February 28, April 28.
    Ours: two months at once from the anchor: the last of February and then the last of April.
    """
    story(
        """
        on 2025-12-31 subscribe every 2 months for 9900
        until 2026-09-01
        expect periods 2025-12-31 / 2026-02-28 / 2026-04-30 / 2026-06-30 / 2026-08-31
        """
    )


def test_a_korean_midnight_is_not_billed_on_the_day_before(story: Tell) -> None:
    """killbill/killbill#1934

    Naive: months are counted in UTC, where a Korean midnight belongs to the day before; a sign-up
    of the 29th of January at 00:00 is renewed on the 1st of March.
    Ours: months are counted in the subscription's zone: the 28th of February, 00:00 in Korea.
    """
    anchor = datetime(2026, 1, 28, 15, tzinfo=UTC)  # 29 January 00:00 in Korea
    naively = naive.utc_months(anchor, 2)[1].astimezone(ZoneInfo("Asia/Seoul"))
    assert naively.date() == date(2026, 3, 1)
    story(
        """
        on 2026-01-29 00:00 subscribe monthly for 9900
        until 2026-04-01 00:00
        expect periods 2026-01-29 / 2026-02-28 / 2026-03-29
        expect on 2026-02-28 paid 9900
        """
    )


def test_a_buyer_elsewhere_is_billed_on_their_own_day(story: Tell) -> None:
    """killbill/killbill#1966

    Naive: everybody is counted in the server's zone; a buyer in Los Angeles loses the evening.
    Ours: each subscription has a zone, and its periods begin at the same wall time there.
    """
    story(
        """
        on 2026-01-31 21:00 subscribe monthly for 9900 in America/Los_Angeles
        until 2026-05-01 21:30
        expect periods 2026-01-31 / 2026-02-28 / 2026-03-31 / 2026-04-30
        expect next renewal 2026-05-31 21:00
        """
    )


def test_summer_time_moves_no_renewal_to_another_day(story: Tell) -> None:
    """killbill/killbill#743

    Naive: a day is 24 hours; after the change to winter time midnight renewals fall on the day
    before.
    Ours: wall times are counted; a midnight stays a midnight on both sides of the change.
    """
    berlin = ZoneInfo("Europe/Berlin")
    anchor = datetime(2026, 10, 24, tzinfo=berlin).astimezone(UTC)
    naively = [at.astimezone(berlin) for at in naive.same_wall_offset(anchor, 3)]
    assert naively[2].hour == 23
    story(
        """
        on 2026-10-24 00:00 subscribe daily for 9900 in Europe/Berlin
        until 2026-10-27 00:30
        expect periods 2026-10-24 / 2026-10-25 / 2026-10-26 / 2026-10-27
        expect next renewal 2026-10-28 00:00
        """
    )


def test_an_hour_that_does_not_exist_ends_no_loop(story: Tell) -> None:
    """killbill/killbill#445

    Naive: looks for the renewal at 02:30 on a day without one, and never comes to an end.
    Ours: the boundary moves forward by the gap that day and is back at 02:30 the next.
    """
    story(
        """
        on 2026-03-27 02:30 subscribe daily for 9900 in Europe/Berlin
        until 2026-03-31 03:00
        expect periods 2026-03-27 / 2026-03-28 / 2026-03-29 / 2026-03-30 / 2026-03-31
        expect next renewal 2026-04-01 02:30
        """
    )


def test_an_hour_that_comes_twice_is_billed_once(story: Tell) -> None:
    """killbill/killbill#1923

    Naive: 02:30 happens twice on the last Sunday of October, and so does the renewal.
    Ours: of a doubled wall time the first one counts; the day has one period.
    """
    story(
        """
        on 2026-10-24 02:30 subscribe daily for 9900 in Europe/Berlin
        until 2026-10-26 03:00
        expect periods 2026-10-24 / 2026-10-25 / 2026-10-26
        expect 3 charges
        """
    )


def test_the_anchor_after_a_trial_is_the_trials_end(story: Tell) -> None:
    """polarsource/polar#11459

    Naive: keeps the sign-up day as the anchor, so that the first paid month is a stub.
    Ours: period 0 begins where the trial ends, and every later one counts from there.
    """
    story(
        """
        on 2026-01-17 subscribe monthly for 9900 with 14 free days
        on 2026-01-29 consent to trial_conversion of 9900
        until 2026-04-30 12:00
        expect periods 2026-01-31 / 2026-02-28 / 2026-03-31 / 2026-04-30
        expect on 2026-01-17 paid nothing
        expect 4 charges
        expect status active
        """
    )


def test_monthly_in_a_zone_east_of_korea_keeps_its_day(story: Tell) -> None:
    """killbill/killbill#1074

    Naive: mixes the server's date with the account's and drifts by a day at month ends.
    Ours: one zone counts, and it is the subscription's.
    """
    story(
        """
        on 2026-01-31 00:10 subscribe monthly for 9900 in Pacific/Auckland
        until 2026-04-30 01:00
        expect periods 2026-01-31 / 2026-02-28 / 2026-03-31 / 2026-04-30
        """
    )
