"""What looks wrong and is not: somebody owns it already, or knows of it."""

import pytest

from tests.integration.invariants.household import Household
from tests.integration.invariants.planting import PLANTS, Plant, attempt, plant, refund

_PLANT = {each.name: each for each in PLANTS}
_ENDS = """
    UPDATE subscriptions
    SET cancel_at = :now, cancel_reason = '요청', cancel_requester = 'customer',
        cancel_refund = 'none', cancel_late_payment = 'none'
    WHERE id = (SELECT subscription_id FROM invoices WHERE status = 'open')
"""
_LETTER = """
    INSERT INTO dead_letters (kind, attempt_id, cause, resolution, resolved_at)
    SELECT 'attempt', id, 'planted', {0} FROM payment_attempts
    WHERE id = (SELECT max(attempt_id) FROM payments) OR status = 'parked'
"""
_CONSENT = """
    INSERT INTO consents (
        subscription_id, kind, amount_after, effective_at, given_at, shown, evidence, command_id
    )
    SELECT subscription_id, '{0}', {1}, {2}, period_start_at + {3}, 'page', 'click', 'planted'
    FROM invoices
"""
_REFUNDED = """
    INSERT INTO refunds (payment_id, amount, tax_free, reason, requester, cause, next_send_at)
    SELECT max(id), 1000, 0, '두 번 결제', 'admin', 'command', :soon FROM payments
"""
_RESTORED = """
    INSERT INTO installation (installation_id, mark, marked_at, restored_at, cause)
    VALUES (gen_random_uuid(), 1, :now, :now, 'older than what was billed from')
"""
_SOON = "interval '30 seconds'"
_LATER = "interval '40 days'"

EXCUSED = (
    plant("invoice_unattended", "UPDATE billing_keys SET status = 'dead'"),
    plant("invoice_unattended", "UPDATE invoices SET collection_stopped = true WHERE id = $OPEN"),
    plant(
        "invoice_unattended",
        "UPDATE invoices SET planned_attempt_at = :now WHERE id = $OPEN",
        "UPDATE subscriptions SET dunning_enabled = false",
    ),
    plant("invoice_unattended", _ENDS),
    plant("invoice_unattended", attempt("$OPEN", "unknown", inquire_at=":soon")),
    plant("invoice_unattended", attempt("$OPEN", "parked"), _LETTER.format("NULL, NULL")),
    plant("invoice_late", _ENDS),
    plant("attempt_parked_unseen", _LETTER.format("NULL, NULL")),
    plant("payment_unexplained", _LETTER.format("'discarded', :now")),
    plant("payment_unexplained", _REFUNDED),
    plant("invoice_paid_twice", _REFUNDED),
    plant(
        "invoice_paid_twice",
        "UPDATE payments SET cancelled_amount = amount, cancelled_tax_free = tax_free"
        " WHERE imp_uid = 'imp_again'",
    ),
    plant(
        "price_raised_without_consent", _CONSENT.format("price_increase", "19900", "NULL", _SOON)
    ),
    plant(
        "trial_charged_without_consent", _CONSENT.format("trial_conversion", 9900, "NULL", _SOON)
    ),
    plant("trial_charged_without_consent", _CONSENT.format("sign_up", 9900, ":now", _SOON)),
    plant("change_late", _RESTORED),
    plant("renewal_late", _RESTORED),
    plant("refund_late", refund("unknown", checksum="9900", claimed_at=":now", inquire_at=":soon")),
)
NO_EXCUSE = (
    plant("invoice_unattended", "UPDATE invoices SET planned_attempt_at = :now WHERE id = $OPEN"),
    plant("attempt_parked_unseen", _LETTER.format("'requeued', :now")),
    # Agreed to less, or after the fact; and what was agreed to before a trial is none to its end.
    plant(
        "price_raised_without_consent", _CONSENT.format("price_increase", "19899", "NULL", _SOON)
    ),
    plant(
        "price_raised_without_consent", _CONSENT.format("price_increase", "19900", "NULL", _LATER)
    ),
    plant("trial_charged_without_consent", _CONSENT.format("sign_up", 9900, "NULL", _SOON)),
)


def _found(house: Household, excuse: Plant) -> dict[str, list[str]]:
    wrong = _PLANT[excuse.name].statements
    both = Plant(excuse.name, (*wrong, *excuse.statements, "SELECT 'nothing'"))
    return house.planted(both)[1]


@pytest.mark.parametrize("excuse", EXCUSED, ids=lambda excuse: excuse.name)
def test_what_somebody_owns_is_not_wrong(house: Household, excuse: Plant) -> None:
    assert _found(house, excuse) == {}


@pytest.mark.parametrize("excuse", NO_EXCUSE, ids=lambda excuse: excuse.name)
def test_what_excuses_nothing_is_wrong_all_the_same(house: Household, excuse: Plant) -> None:
    assert set(_found(house, excuse)) == {excuse.name}
