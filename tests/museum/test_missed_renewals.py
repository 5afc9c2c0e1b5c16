"""Museum: missed and wedged renewals."""

from datetime import UTC, date, datetime, timedelta

from tests.museum import naive
from tests.support.storytelling import Tell


def test_a_clock_that_is_down_past_midnight_loses_no_day(story: Tell) -> None:
    """getlago/lago#354

    Naive: looks for what is due today; if nobody looks before midnight, it is never billed.
    Ours: whatever has begun up to now is due, whenever somebody looks.
    """
    due = [date(2026, 1, 31), date(2026, 2, 28)]
    assert naive.found_by_equality(due, [date(2026, 1, 31), date(2026, 3, 1)]) == due[:1]
    story(
        """
        on 2026-01-31 subscribe monthly for 9900
        scheduler is down from 2026-02-28 08:00 to 2026-03-01
        until 2026-03-02
        expect periods 2026-01-31 / 2026-02-28
        expect on 2026-03-01 paid 9900
        """
    )


def test_an_equality_on_the_date_is_not_asked(story: Tell) -> None:
    """Synapsesa/Payment-server#8

    Naive: `WHERE next_payment_date = today`; one missed run, and the row is never found again.
    Ours: `<= now`, with what elapsed meanwhile decided by a policy and explained.
    """
    looked = [date(2026, 1, 31), date(2026, 4, 2)]
    due = naive.chained_months(date(2026, 1, 31), 3)
    assert naive.found_by_equality(due, looked) == due[:1]
    story(
        """
        on 2026-01-31 subscribe monthly for 9900
        scheduler is down from 2026-02-27 to 2026-04-02
        until 2026-04-03
        expect periods 2026-01-31 / 2026-02-28 / 2026-03-31
        expect period 2026-02-28 is skipped
        expect period 2026-03-31 is paid
        """
    )


def test_a_window_of_one_day_is_not_asked(story: Tell) -> None:
    """pronamic/wp-pay-core#188

    Naive: looks for what fell due within the last day; an outage of three days loses it.
    Ours: nothing falls out of a window, because there is none.
    """
    due = [datetime(2026, 2, 28, tzinfo=UTC)]
    back = [datetime(2026, 3, 3, tzinfo=UTC)]
    assert naive.found_in_a_window(due, back, timedelta(days=1)) == []
    story(
        """
        on 2026-01-31 subscribe monthly for 9900
        everything is down from 2026-02-27 to 2026-03-03
        until 2026-03-04
        expect on 2026-03-03 paid 9900
        expect periods 2026-01-31 / 2026-02-28
        """
    )


def test_an_outage_of_45_days_bills_by_a_policy(story: Tell) -> None:
    """getlago/lago-api#5159

    Naive: what runs too long overlaps itself; back-to-back bills, or none, as it happens.
    Ours: bill_latest bills the period that runs, and explains the elapsed ones as skipped.
    """
    story(
        """
        on 2026-01-31 subscribe monthly for 9900
        everything is down from 2026-02-20 to 2026-04-06
        until 2026-04-07
        expect periods 2026-01-31 / 2026-02-28 / 2026-03-31
        expect period 2026-02-28 is skipped
        expect 2 charges
        """
    )


def test_an_outage_is_billed_in_full_where_that_is_the_policy(story: Tell) -> None:
    """getlago/lago-api#1988

    Naive: everything that was missed is charged within a minute of coming back.
    Ours: bill_all opens every period, oldest first; at most so many of a buyer come due a day.
    """
    story(
        """
        with catch_up bill_all
        with catch_up_periods_max 1
        on 2026-01-31 subscribe weekly for 3000
        everything is down from 2026-02-05 to 2026-02-22
        until 2026-02-22 12:00
        expect 2 charges
        until 2026-02-25
        expect periods 2026-01-31 / 2026-02-07 / 2026-02-14 / 2026-02-21
        expect 4 charges
        """
    )


def test_a_forgiven_outage_charges_nothing_for_it(story: Tell) -> None:
    """getlago/lago-api#2681

    Naive: nobody chose what an outage costs the buyer; the code path did.
    Ours: forgive leaves the missed periods and the running one out, each with its explanation.
    """
    story(
        """
        with catch_up forgive
        on 2026-01-31 subscribe weekly for 3000
        everything is down from 2026-02-05 to 2026-02-15
        until 2026-02-16
        expect period 2026-02-07 is skipped
        expect period 2026-02-14 is skipped
        expect told period.skipped 2 times
        until 2026-02-22
        expect 2 charges
        """
    )


def test_a_dead_job_holds_no_lock_that_outlives_it(story: Tell) -> None:
    """getlago/lago-api#5408

    Naive: a job dies and its uniqueness lock keeps the renewal away for twelve hours.
    Ours: locks are row locks and end with their connection; the next look finds the row.
    """
    story(
        """
        on 2026-01-31 subscribe monthly for 9900
        workers are down from 2026-02-28 08:59 to 2026-02-28 09:10
        until 2026-02-28 09:30
        expect on 2026-02-28 paid 9900
        """
    )


def test_a_worker_faster_than_the_scheduler_wedges_nothing(story: Tell) -> None:
    """polarsource/polar#6655

    Naive: the worker ends before the scheduler marks the row, which then stays locked for ever.
    Ours: the note that a message will be sent commits first, and it is no lock: it only waits.
    """
    story(
        """
        on 2026-01-31 subscribe monthly for 9900
        on 2026-02-28 two schedulers look
        until 2026-05-01
        expect periods 2026-01-31 / 2026-02-28 / 2026-03-31 / 2026-04-30
        expect 4 charges
        """
    )


def test_a_lock_left_behind_stops_no_dunning(story: Tell) -> None:
    """polarsource/polar#13693

    Naive: a lock left by a dead worker silently ends the dunning of its order.
    Ours: an attempt past its lease belongs to the inquiry, and dunning goes on from what it finds.
    """
    story(
        """
        on 2026-01-31 subscribe monthly for 9900
        on 2026-02-28 bad_gateway
        until 2026-03-02
        expect 2 charges
        expect status active
        """
    )


def test_a_stale_lock_is_not_released_blindly(story: Tell) -> None:
    """polarsource/polar#13338

    Naive: after an hour the lock is taken for stale and the order charged again: twice, if the
    first charge was only slow to be told.
    Ours: before anything is sent again, the gateway is asked what it holds under the same id.
    """
    assert naive.retried_on_timeout(["reply lost", "paid"]) == 2
    story(
        """
        on 2026-01-31 subscribe monthly for 9900
        on 2026-02-28 lose_reply
        workers are down from 2026-02-28 09:01 to 2026-02-28 15:00
        until 2026-02-28 18:00
        expect 2 charges
        expect 2 tries
        """
    )


def test_no_next_notification_can_be_forgotten(story: Tell) -> None:
    """killbill/killbill#98

    Naive: each run schedules the next one; the chain breaks once, and the account is never billed.
    Ours: the next renewal is a column that no billable subscription can be without.
    """
    story(
        """
        on 2026-01-31 subscribe monthly for 9900
        everything is down from 2026-02-28 09:00 to 2026-02-28 21:00
        until 2026-08-31 12:00
        expect next renewal 2026-09-30 09:00
        expect 8 charges
        """
    )


def test_a_failure_to_lock_abandons_nobody(story: Tell) -> None:
    """killbill/killbill#2207

    Naive: an account whose lock could not be had is dropped without a word.
    Ours: a row that another scan holds is left for the next look, and is due until it is done.
    """
    story(
        """
        on 2026-01-31 subscribe daily for 1000
        on 2026-02-01 two schedulers look
        on 2026-02-02 two schedulers look
        until 2026-02-04
        expect 5 charges
        expect periods 2026-01-31 / 2026-02-01 / 2026-02-02 / 2026-02-03 / 2026-02-04
        """
    )


def test_an_unknown_charge_is_not_left_for_ever(story: Tell) -> None:
    """killbill/killbill#1061

    Naive: nobody asks again about a payment that was left pending.
    Ours: an unknown attempt has an instant at which it is asked about, by a database constraint.
    """
    story(
        """
        on 2026-01-31 subscribe monthly for 9900
        on 2026-02-28 lost_request
        workers are down from 2026-02-28 09:01 to 2026-03-01
        until 2026-03-02
        expect period 2026-02-28 is paid
        expect told payment.parked never
        """
    )


def test_renewals_of_a_silent_gateway_are_collected_when_it_is_back(story: Tell) -> None:
    """polarsource/polar#11543

    Naive: renewals that cannot be made at the moment are dropped and nobody is told.
    Ours: the invoice is open until it has an end; the gateway's return is all it waits for.
    """
    story(
        """
        on 2026-01-31 subscribe monthly for 9900
        gateway is down from 2026-02-28 08:00 to 2026-02-28 11:00
        until 2026-03-02
        expect 2 charges
        expect told payment.declined never
        expect status active
        """
    )
