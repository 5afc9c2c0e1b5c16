"""The audit finds what it is there for: each fault, planted into a life that was faultless."""

import pytest

from tests.support.storytelling import Tell

_LIFE = """
    on 2026-01-31 subscribe monthly for 9900
    scheduler is down from 2026-02-27 to 2026-04-02
    on 2026-04-30 decline 한도초과
    until 2026-05-01
    expect period 2026-02-28 is skipped
    expect period 2026-04-30 is open
"""


@pytest.mark.parametrize(
    ("fault", "finding"),
    [
        pytest.param(
            "DELETE FROM events WHERE name = 'period.skipped'", "period 1 was missed", id="missed"
        ),
        pytest.param(
            "INSERT INTO events (subscription_id, name, data) SELECT subscription_id, name, data"
            " FROM events WHERE name = 'period.skipped'",
            "period 1 has more than one end",
            id="two ends",
        ),
        pytest.param(
            "UPDATE invoices SET period_end_at = period_end_at + interval '1 day'"
            " WHERE period_index = 2",
            "periods 2 and 3 overlap",
            id="overlap",
        ),
        pytest.param(
            "UPDATE invoices SET period_end_at = period_end_at - interval '1 day'"
            " WHERE period_index = 2",
            "between periods 2 and 3 is a gap",
            id="gap",
        ),
        pytest.param(
            "UPDATE invoices SET period_start_at = period_start_at - interval '9 h'"
            " WHERE period_index = 2",
            "period 2 begins 2026-03-30 15:00",
            id="wrong day",
        ),
        pytest.param(
            "UPDATE subscriptions SET next_renewal_at = '2026-04-30'",
            "period 4 is due since 2026-04-30",
            id="due and not opened",
        ),
        pytest.param(
            "UPDATE invoices SET amount = 9000 WHERE period_index = 2",
            "is of 9000 won, the book took 9900",
            id="another sum",
        ),
        pytest.param(
            "UPDATE invoices SET amount = 9000 WHERE period_index = 2",
            "is of 9000 won, its lines add up to 9900",
            id="lines that add up to something else",
        ),
        pytest.param(
            "UPDATE invoices SET next_attempt_at = NULL WHERE status = 'open'",
            "is open, and nobody collects it",
            id="nobody's",
        ),
        pytest.param(
            "UPDATE invoices SET next_attempt_at = '2026-04-30' WHERE status = 'open'",
            "is due since 2026-04-30",
            id="due and not tried",
        ),
        pytest.param(
            "UPDATE invoices SET status = 'uncollectible', paid_at = NULL WHERE period_index = 2",
            "is uncollectible, the book holds a payment",
            id="told not paid",
        ),
        pytest.param(
            "UPDATE invoices SET status = 'uncollectible', paid_at = NULL WHERE period_index = 2",
            "invoice.uncollectible was told 0 times",
            id="unexplained",
        ),
        pytest.param(
            "UPDATE payment_attempts SET invoice_id = (SELECT id FROM invoices WHERE period_index"
            " = 2), number = 9, status = 'void' WHERE invoice_id = (SELECT id FROM invoices WHERE"
            " period_index = 0)",
            "was paid 2 times",
            id="paid twice",
        ),
        pytest.param(
            "UPDATE payments SET cancelled_amount = 100 WHERE id = (SELECT min(id) FROM payments)",
            "is kept as (9900, 0, 100), the book holds (9900, 0, 0)",
            id="given back here only",
        ),
    ],
)
def test_a_planted_fault_is_found(story: Tell, fault: str, finding: str) -> None:
    journey = story(_LIFE).journey
    assert not story.run(journey.violations())
    story.run(journey.rows(fault))
    found = story.run(journey.violations())
    assert any(finding in sentence for sentence in found), found
