"""Museum: double charges and duplicate invoices."""

from tests.museum import naive
from tests.support.storytelling import Tell


def test_an_unknown_charge_is_asked_about_before_another_is_made(story: Tell) -> None:
    """killbill/killbill#1015

    Naive: makes a second payment while the first one is unknown.
    Ours: an unknown outcome is a state of its own; the gateway is asked and says: paid.
    """
    assert naive.retried_on_timeout(["reply lost", "paid"]) == 2
    story(
        """
        on 2026-01-31 subscribe monthly for 9900
        on 2026-02-28 lose_reply
        until 2026-03-01
        expect 2 charges
        expect 2 tries
        expect period 2026-02-28 is paid for 9900
        """
    )


def test_a_request_that_never_arrived_is_sent_again_under_the_same_id(story: Tell) -> None:
    """killbill/killbill#643

    Naive: gives the silent attempt up as failed, and the period stays unpaid or is paid twice.
    Ours: nothing found, twice and after the settle delay, is sent again under the same id.
    """
    story(
        """
        on 2026-01-31 subscribe monthly for 9900
        on 2026-02-28 lost_request
        until 2026-03-01
        expect 2 charges
        expect 3 tries
        expect told payment.declined never
        expect period 2026-02-28 is paid
        """
    )


def test_a_server_error_is_no_decline(story: Tell) -> None:
    """polarsource/polar#10653

    Naive: takes an error of the gateway for a failed payment and retries it: charged twice.
    Ours: a 500 says nothing; what the gateway's book holds does.
    """
    story(
        """
        on 2026-01-31 subscribe monthly for 9900
        on 2026-02-28 error_500_paid
        until 2026-03-01
        expect 2 charges
        expect 2 tries
        expect told payment.declined never
        """
    )


def test_a_look_that_fails_proves_nothing(story: Tell) -> None:
    """MutinyWallet/mutiny-web#1105

    Naive: times out, cannot find the payment either, and pays again: paid twice.
    Ours: a look-up that fails is no "not found"; the gateway is asked until it answers.
    """
    assert naive.retried_on_timeout(["reply lost", "paid"]) == 2
    story(
        """
        on 2026-01-31 subscribe monthly for 9900
        on 2026-02-28 lose_reply
        look-ups are down from 2026-02-28 09:01 to 2026-02-28 09:06
        until 2026-02-28 09:06
        expect period 2026-02-28 is open
        until 2026-03-01
        expect 2 charges
        expect 2 tries
        """
    )


def test_three_time_outs_in_a_row_charge_once(story: Tell) -> None:
    """akash-network/console#3449

    Naive: each retry on a time-out has a fresh id: two or three charges for one purchase.
    Ours: one id for one attempt, whatever happens on the way.
    """
    assert naive.retried_on_timeout(["reply lost", "reply lost", "paid"]) == 3
    story(
        """
        on 2026-01-31 subscribe monthly for 9900
        on 2026-02-28 lose_reply
        on 2026-03-31 lose_reply
        on 2026-04-30 lose_reply
        until 2026-05-01
        expect 4 charges
        expect 39600 collected
        """
    )


def test_eight_redeliveries_of_a_renewal_charge_once(story: Tell) -> None:
    """Automattic/woocommerce-payments#5615

    Naive: every delivery of the renewal charges; up to eight times per renewal.
    Ours: the claim is a row; a message that comes again finds nothing due.
    """
    story(
        """
        on 2026-01-31 subscribe monthly for 9900
        on 2026-02-28 two schedulers look
        on 2026-03-31 two schedulers look
        on 2026-04-30 two schedulers look
        until 2026-05-01
        expect 4 charges
        expect 4 tries
        """
    )


def test_two_schedulers_open_one_period_once(story: Tell) -> None:
    """polarsource/polar#11065

    Naive: two schedulers find the same cycle, and each enqueues it.
    Ours: (subscription, period) is unique, due rows are locked, and a second message is idle.
    """
    story(
        """
        on 2026-01-31 subscribe monthly for 9900
        on 2026-02-28 two schedulers look
        until 2026-03-01
        expect periods 2026-01-31 / 2026-02-28
        expect told invoice.opened 2 times
        expect 2 charges
        """
    )


def test_duplicate_jobs_make_no_second_invoice(story: Tell) -> None:
    """getlago/lago-api#4795

    Naive: a billing job that runs twice bills twice.
    Ours: the second run finds the period opened and the renewal moved on.
    """
    story(
        """
        on 2026-01-31 subscribe weekly for 3000
        on 2026-02-07 two schedulers look
        on 2026-02-14 two schedulers look
        until 2026-02-15
        expect periods 2026-01-31 / 2026-02-07 / 2026-02-14
        expect 9000 collected
        """
    )


def test_a_command_that_comes_twice_subscribes_once(story: Tell) -> None:
    """stripe/ai#402

    Naive: acts first and remembers afterwards; a crash in between does it again.
    Ours: the command's id is the first durable write, and its first result answers for ever.
    """
    story(
        """
        on 2026-01-31 subscribe monthly for 9900
        say it again
        say it again
        until 2026-02-01
        expect told subscription.created once
        expect 1 charge
        """
    )


def test_a_repaired_card_pays_each_debt_once(story: Tell) -> None:
    """solidusio/solidus_subscriptions#165

    Naive: a customer who repairs the card is charged once for each failed try of the same debt.
    Ours: each open invoice is collected once with the new method, and only what is owed.
    """
    story(
        """
        on 2026-01-31 subscribe monthly for 9900
        on 2026-02-15 the key ends
        until 2026-04-10
        expect 1 charge
        on 2026-04-10 register a new method
        until 2026-04-20
        expect 3 charges
        expect 29700 collected
        expect status active
        """
    )


def test_a_refund_that_comes_twice_goes_back_once(story: Tell) -> None:
    """woocommerce/woocommerce-gateway-stripe#3997

    Naive: a request that is repeated does its work again.
    Ours: one command id, one refund; and the gateway's checksum refuses a second one as well.
    """
    story(
        """
        on 2026-01-31 subscribe monthly for 9900
        on 2026-02-02 refund 4000
        say it again
        until 2026-02-03
        expect 4000 given back
        expect told payment.refunded once
        """
    )


def test_a_change_of_zone_of_the_server_bills_nothing_twice(story: Tell) -> None:
    """killbill/killbill#1856

    Naive: "already billed today" is asked in another zone than the bill was made in.
    Ours: a period is an instant and an index; nobody asks for today.
    """
    story(
        """
        on 2026-01-31 23:30 subscribe monthly for 9900 in Asia/Seoul
        on 2026-02-28 23:30 two schedulers look
        until 2026-03-01 10:00
        expect periods 2026-01-31 / 2026-02-28
        expect 2 charges
        """
    )


def test_the_end_of_a_day_is_no_second_billing_day(story: Tell) -> None:
    """getlago/lago#1074

    Naive: near midnight the same period is due on two dates, and is billed on both.
    Ours: periods are half-open; the instant of the boundary belongs to one of them.
    """
    story(
        """
        on 2026-01-31 00:00 subscribe daily for 1000
        until 2026-02-03 00:00
        expect periods 2026-01-31 / 2026-02-01 / 2026-02-02 / 2026-02-03
        expect 4 charges
        """
    )


def test_a_long_wait_is_no_message_that_comes_again(story: Tell) -> None:
    """celery/kombu#337

    Naive: the next try waits in the broker, whose visibility time-out hands it out again and
    again: each copy charges.
    Ours: waiting is a column; the message is written when the try is due, and a copy is idle.
    """
    story(
        """
        on 2026-01-31 subscribe monthly for 9900
        on 2026-02-28 decline 한도초과
        on 2026-03-02 two schedulers look
        until 2026-03-20
        expect 2 charges
        expect 3 tries
        """
    )


def test_a_message_lost_with_the_broker_charges_late_and_once(story: Tell) -> None:
    """celery/celery#4400

    Naive: trusts the broker to keep what is due, and to hand it out once.
    Ours: what is due is a row; workers that come back after a day find it, and charge it once.
    """
    story(
        """
        on 2026-01-31 subscribe monthly for 9900
        workers are down from 2026-02-27 to 2026-03-01
        until 2026-03-02
        expect 2 charges
        expect on 2026-03-01 paid 9900
        """
    )


def test_a_void_of_what_is_being_paid_gives_the_money_back(story: Tell) -> None:
    """getlago/lago-api#5495

    Naive: voids the invoice while its payment is under way, and keeps the money.
    Ours: an attempt in flight is awaited, and what turns out paid after the end goes back.
    """
    story(
        """
        on 2026-01-31 subscribe monthly for 9900
        on 2026-02-28 lose_reply
        on 2026-02-28 09:00 cancel now refunding full
        until 2026-03-03
        expect 9900 given back
        expect status canceled
        """
    )
