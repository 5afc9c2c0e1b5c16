"""What a void invoice gives back of adjustments: a credit is the buyer's still, a setup ours."""

import uuid
from datetime import timedelta
from typing import Any

from shared.billing.calendar import BillingCycle
from shared.jobs.life_commands import AdjustSubscription
from tests.support.billing import MONTHLY, START_AT
from tests.support.book import Ending
from tests.support.living import Living

DAY = timedelta(days=1)
FEB_28 = BillingCycle(START_AT, MONTHLY).period(1).start_at


def left(living: Living) -> list[tuple[str, int, int, int | None]]:
    """Return kind and what is left of each adjustment: won, tax-free won and periods."""
    rows = living.run(living.world.rows("SELECT * FROM adjustments ORDER BY id"))
    return [(row.kind, row.amount_left, row.tax_free_left, row.periods_left) for row in rows]


def adjust(living: Living, id_: uuid.UUID, **given: Any) -> None:
    living.run(living.do(AdjustSubscription, subscription_id=id_, description="쿠폰", **given))


def declined(living: Living) -> None:
    """Have the next period billed and its charge declined."""
    living.world.gateway.script.append(Ending.DECLINED)
    assert living.run(living.tick()) == ["declined"]


def void(living: Living, id_: uuid.UUID) -> None:
    """End a subscription now, so that what is open of it is void."""
    living.world.pass_time(DAY)
    living.run(living.cancel(id_))
    living.run(living.tick())
    assert living.run(living.row(id_)).closed_at is not None
    assert living.run(living.invoices(id_))[-1].status == "void"
    living.world.pass_time(DAY)


def back(living: Living, id_: uuid.UUID) -> list[tuple[str, int]]:
    """Have the buyer come back; return the lines of the first period that is billed then."""
    living.run(living.reactivate(id_))
    assert living.run(living.tick()) == ["paid"]
    return living.run(living.lines(id_))[-1]  # type: ignore[no-any-return]


def test_a_credit_a_discount_and_a_setup_are_what_they_were(living: Living) -> None:
    id_ = living.run(living.start(tax_free=3_000, setup_amount=20_000, setup_description="설치비"))
    adjust(living, id_, credit=5_000)
    adjust(living, id_, percent=50, periods=3)
    before = left(living)
    declined(living)
    lines = living.run(living.lines(id_))[-1]
    assert left(living) != before
    void(living, id_)
    assert left(living) == before
    assert back(living, id_) == lines


def test_a_credit_of_more_than_was_billed_is_whole_again(living: Living) -> None:
    """It ended before anybody looked at what is nothing to be charged."""
    id_ = living.run(living.start())
    adjust(living, id_, credit=50_000)
    living.run(living.world.renew())
    assert left(living) == [("credit", 20_000, 0, None)]
    void(living, id_)
    assert left(living) == [("credit", 50_000, 0, None)]


def test_one_that_was_used_twice_gets_each_part_back_of_what_is_void(living: Living) -> None:
    """The period that was paid keeps what it used."""
    id_ = living.run(living.start())
    adjust(living, id_, discount=1_000, periods=3)
    assert living.run(living.tick()) == ["paid"]
    adjust(living, id_, credit=2_000)
    living.world.clock.instant = FEB_28
    declined(living)
    assert left(living) == [("discount", 1_000, 0, 1), ("credit", 0, 0, None)]
    void(living, id_)
    assert left(living) == [("discount", 1_000, 0, 2), ("credit", 2_000, 0, None)]


def test_the_last_period_of_a_discount_comes_back_with_its_amount(living: Living) -> None:
    id_ = living.run(living.start())
    adjust(living, id_, discount=1_000, periods=1)
    declined(living)
    assert left(living) == [("discount", 0, 0, 0)]
    void(living, id_)
    assert left(living) == [("discount", 1_000, 0, 1)]


def test_what_was_given_up_keeps_what_it_used(living: Living) -> None:
    """Its amount is owed as it is, and may be asked for another way."""
    id_ = living.run(living.start())
    adjust(living, id_, credit=2_000)
    declined(living)
    (invoice,) = living.run(living.invoices(id_))
    living.world.gateway.otherwise = Ending.DECLINED
    while living.run(living.world.invoice(invoice.id)).status == "open":
        due_at = living.run(living.world.invoice(invoice.id)).next_attempt_at
        assert due_at is not None
        living.world.clock.instant = due_at
        living.run(living.world.charge_all())
    assert living.run(living.world.invoice(invoice.id)).status == "uncollectible"
    assert left(living) == [("credit", 0, 0, None)]


def test_a_proration_that_a_void_invoice_gave_back_is_not_dropped(living: Living) -> None:
    """It is of the period before the one that the end has cut: those days were used and owed."""
    id_ = living.run(living.start(amount=28_000, tax_free=2_800))
    assert living.run(living.tick()) == ["paid"]
    living.world.clock.instant = START_AT + 10 * DAY
    living.run(living.change(id_, amount=56_000, tax_free=2_800, at_renewal=False))
    before = left(living)
    assert before == [
        ("proration_credit", 17_000, 1_700, None),
        ("proration_charge", 34_000, 1_700, None),
    ]
    living.world.clock.instant = FEB_28
    declined(living)
    assert [amount for _, amount, _, _ in left(living)] == [0, 0]
    void(living, id_)
    assert left(living) == before
    assert back(living, id_) == [
        ("recurring", 56_000),
        ("proration_charge", 34_000),
        ("proration_credit", -17_000),
    ]
    (told,) = living.run(living.world.events("subscription.reactivated"))
    assert told["dropped_adjustment_ids"] == []
