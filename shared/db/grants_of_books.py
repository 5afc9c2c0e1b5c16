"""What our processes may do with the tables of books compared; part of ``shared/db/grants.py``."""

from collections.abc import Mapping
from typing import Final

from shared.db.granting import EVERY, Grant

_RECORD = """
    run_id imp_uid merchant_uid status usage amount cancelled_amount paid_at changed_at
    billing_key_id of_our_shape subscription_id period_index
"""
_FOUND = """
    imp_uid merchant_uid difference status repair owner amount theirs ours payment_id
    subscription_id found_by seen_by seen_at
"""

# Whoever compares: a worker every day, an operator when they ask for it.
COMPARES: Final[Mapping[str, Grant]] = {
    "reconciliation_runs": Grant(
        select=EVERY,
        insert="cause since until lease_until tries",
        update="status lease_until tries report fault finished_at",
    ),
    "gateway_records": Grant(select=EVERY, insert=_RECORD, update=_RECORD, delete=True),
    "discrepancies": Grant(
        select=EVERY,
        insert=_FOUND,
        update="""
            merchant_uid status repair owner amount theirs ours payment_id subscription_id seen_by
            seen_at decided_at
        """,
    ),
}
LOOKS: Final[Mapping[str, Grant]] = {
    "reconciliation_runs": Grant(select=EVERY),
    "gateway_records": Grant(select=EVERY),
    "discrepancies": Grant(select=EVERY),
}
