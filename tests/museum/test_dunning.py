"""Museum: dunning, cancellations and what is told of them."""

from tests.support.storytelling import Tell


def test_the_schedule_makes_as_many_tries_as_it_says(story: Tell) -> None:
    """polarsource/polar#11905

    Naive: counts the first charge as the first retry: three tries where four were promised.
    Ours: three waits make four tries: on the day, and 2, 7 and 14 days later.
    """
    story(
        """
        on 2026-01-31 subscribe monthly for 9900
        on 2026-02-28 decline 한도초과 always
        until 2026-03-13
        expect 4 tries
        expect period 2026-02-28 is open
        until 2026-03-15
        expect 5 tries
        expect period 2026-02-28 is uncollectible
        """
    )


def test_the_buyers_own_tries_use_up_none_of_ours(story: Tell) -> None:
    """polarsource/polar#10857

    Naive: the customer's own tries are counted, and the subscription is revoked within the hour.
    Ours: a buyer's try leaves our steps alone; the planned one still comes.
    """
    story(
        """
        on 2026-01-31 subscribe monthly for 9900
        on 2026-02-28 decline 한도초과 4 times
        on 2026-02-28 09:10 retry
        on 2026-02-28 12:20 retry
        on 2026-02-28 15:30 retry
        until 2026-03-01
        expect period 2026-02-28 is open
        until 2026-03-03
        expect period 2026-02-28 is paid
        expect 6 tries
        """
    )


def test_renewed_and_failed_are_never_both_told(story: Tell) -> None:
    """polarsource/polar#9084

    Naive: the renewal mail goes out when the period begins, the failure mail when it is charged.
    Ours: what is told of money derives from the invoice's one end; the other is told never.
    """
    story(
        """
        on 2026-01-31 subscribe monthly for 9900
        on 2026-02-28 decline 한도초과 always
        until 2026-03-20
        expect told invoice.paid once
        expect told invoice.uncollectible once
        """
    )


def test_past_due_and_recovered_are_told_once_each(story: Tell) -> None:
    """polarsource/polar#13268

    Naive: contradicting messages for one renewal, in whatever order the jobs end.
    Ours: each is written with the change it tells of, and the changes have an order.
    """
    story(
        """
        on 2026-01-31 subscribe monthly for 9900
        on 2026-02-28 decline 한도초과
        until 2026-03-03
        expect told subscription.past_due once
        expect told subscription.recovered once
        expect told invoice.paid 2 times
        expect told invoice.uncollectible never
        """
    )


def test_who_has_cancelled_hears_of_no_renewal(story: Tell) -> None:
    """polarsource/polar#7168

    Naive: the renewal mail is sent to whoever has a next date, cancelled or not.
    Ours: from the end that was asked for on, no period is opened, so nothing is told of one.
    """
    story(
        """
        on 2026-01-31 subscribe monthly for 9900
        on 2026-02-10 cancel at period end
        until 2026-04-15
        expect told invoice.opened once
        expect told subscription.canceled once
        expect 1 charge
        """
    )


def test_nothing_is_retried_after_a_cancellation(story: Tell) -> None:
    """solidusio/solidus_subscriptions#180

    Naive: dunning of an open installment goes on after the subscription has ended.
    Ours: the end voids what nobody is collecting at that instant, and nothing is sent any more.
    """
    story(
        """
        on 2026-01-31 subscribe monthly for 9900
        on 2026-02-28 decline 한도초과 always
        on 2026-03-05 cancel now
        until 2026-04-15
        expect 3 tries
        expect period 2026-02-28 is void
        expect status canceled
        """
    )


def test_a_cancelled_subscription_opens_no_period(story: Tell) -> None:
    """solidusio/solidus_subscriptions#174

    Naive: the next installment was planned with the last one, and comes although it has ended.
    Ours: periods that begin at the end or later are never due.
    """
    story(
        """
        on 2026-01-31 subscribe monthly for 9900
        on 2026-02-28 08:59 cancel now
        until 2026-05-01
        expect periods 2026-01-31
        expect next renewal never
        """
    )


def test_a_dead_method_is_not_tried_again_and_again(story: Tell) -> None:
    """laravel/cashier#768

    Naive: charges a method that is gone, on schedule, and reports each failure as a decline.
    Ours: a key that is unknown at the gateway stops collection until the buyer brings another.
    """
    story(
        """
        on 2026-01-31 subscribe monthly for 9900
        on 2026-02-27 the key ends
        until 2026-03-30
        expect 2 tries
        expect told billing_key.dead once
        expect period 2026-02-28 is open
        """
    )


def test_a_new_method_is_tried_at_once(story: Tell) -> None:
    """pay-rails/pay#353

    Naive: the debt waits for the next step of the schedule, days after the card was replaced.
    Ours: a confirmed method makes what is owed due at once, each invoice once.
    """
    story(
        """
        on 2026-01-31 subscribe monthly for 9900
        on 2026-02-27 the key ends
        on 2026-03-02 register a new method
        until 2026-03-02 12:00
        expect on 2026-03-02 paid 9900
        expect status active
        """
    )


def test_an_unknown_text_takes_the_safe_schedule(story: Tell) -> None:
    """iamport/iamport-vue-example#8

    Naive: a regular expression over error texts decides; each payment company words its own.
    Ours: a table of documented texts, and whatever is in none of its rows is tried few times,
    slowly, and its words are kept byte for byte.
    """
    story(
        """
        on 2026-01-31 subscribe monthly for 9900
        on 2026-02-28 decline 알 수 없는 사유 (E-777)
        until 2026-03-01
        expect period 2026-02-28 is open
        expect status past_due
        until 2026-03-20
        expect period 2026-02-28 is paid
        """
    )


def test_a_late_success_ends_the_dunning(story: Tell) -> None:
    """laravel/cashier#1087

    Naive: stays past due although the money has come.
    Ours: the payment recovers the subscription in the transaction that books it.
    """
    story(
        """
        on 2026-01-31 subscribe monthly for 9900
        on 2026-02-28 decline 한도초과 twice
        until 2026-03-08
        expect status active
        expect 2 charges
        expect 4 tries
        """
    )


def test_the_next_period_is_billed_while_the_last_is_owed(story: Tell) -> None:
    """pay-rails/pay#282

    Naive: one status for the whole subscription: past due hides the next renewal, or the debt.
    Ours: each period has its own invoice; both are collected, each by its own schedule.
    """
    story(
        """
        on 2026-01-31 subscribe weekly for 3000
        on 2026-02-07 decline 한도초과 3 times
        until 2026-02-28
        expect periods 2026-01-31 / 2026-02-07 / 2026-02-14 / 2026-02-21 / 2026-02-28
        expect 5 charges
        expect status active
        """
    )
