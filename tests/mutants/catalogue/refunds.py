"""Money that goes back: the checksum, and what is believed of a refusal."""

from tests.mutants import shows
from tests.mutants.mutant import Change, Mutant

_REFUNDING = "shared/billing/refunding.py"
_REFUNDS = "shared/db/refunds.py"
_REFUND = "shared/billing/refund.py"
_MOVES = "shared/db/refund_moves.py"
_SECOND = "shared/db/migrations/versions/0002_payments_windows_refunds.py"
_UNKNOWN = """\
            return RefundMove(
                claim,
                RefundStatus.UNKNOWN,
                inquire_at=claim.claimed_at + leases.lease + leases.settle_delay,
                unknown_since=claim.in_doubt_since,
                message=cause,
            )
"""
_REFUSED = """\
            return RefundMove(
                claim,
                RefundStatus.UNKNOWN,
                inquire_at=now,
                unknown_since=claim.unknown_since,
                refusal=message,
            )
"""
_STANDS_AS_BEFORE = """\
        next_send_at=now,
        unknown_since=claim.in_doubt_since,
"""

REFUNDS = (
    Mutant(
        name="refund_without_checksum",
        thought="amount and imp_uid say all there is; the checksum is optional",
        changes=(
            Change(
                "worker/gateway/bodies.py",
                "    checksum: StrictInt\n",
                "    checksum: StrictInt | None = None\n",
            ),
            Change(
                "worker/gateway/bodies.py",
                "or self.amount > self.checksum",
                "or self.amount < 0",
            ),
            Change("worker/gateway/requests.py", "            checksum=claim.checksum,\n", ""),
        ),
        shows=(shows.MONEY_BACK,),
        climate="refunds late",
        lives=25,
    ),
    Mutant(
        name="refund_unknown_is_refused",
        thought="no answer to a refund: tell the merchant that it did not work",
        changes=(
            Change(_REFUNDING, _UNKNOWN, "            return _refused(claim, cause, None, now)\n"),
        ),
        shows=(shows.MONEY_BACK, shows.LEDGER),
        climate="refunds",
        lives=3,
    ),
    Mutant(
        name="refund_resent_under_a_new_checksum",
        thought="the balance may have changed meanwhile: compute the checksum afresh",
        changes=(
            Change(
                _REFUNDING,
                _STANDS_AS_BEFORE,
                "        next_send_at=now,\n        keeps_checksum=False,\n",
            ),
        ),
        shows=(shows.MONEY_BACK,),
        climate="refunds late",
        lives=60,
    ),
    Mutant(
        name="refund_checksum_read_at_the_send",
        thought="ask the gateway right before the refund: so the checksum always fits",
        changes=(
            Change(
                "worker/services/refund.py",
                "            return await self.gateway.refund(claim, claimed_at_s=claimed_at_s)\n",
                "            record = await self.gateway.payment(claim.imp_uid)\n"
                "            left = record.amount - record.cancel_amount\n"
                "            fresh = replace(claim, checksum=max(left, claim.order.price.amount))\n"
                "            return await self.gateway.refund(fresh, claimed_at_s=claimed_at_s)\n",
            ),
            Change(
                "worker/services/refund.py",
                "from dataclasses import dataclass\n",
                "from dataclasses import dataclass, replace\n",
            ),
        ),
        shows=(shows.MONEY_BACK,),
        climate="refunds late",
        lives=14,
    ),
    Mutant(
        name="refund_refusal_believed_unread",
        thought="the gateway says that it was refused, and it must know",
        changes=(
            Change(_REFUNDING, _REFUSED, '            return _refused(claim, "", message, now)\n'),
        ),
        shows=(shows.MONEY_BACK, shows.LEDGER),
        climate="refunds late",
        lives=8,
    ),
    Mutant(
        name="refund_refusal_in_doubt_believed",
        thought="it was refused and the payment stands as before: so it is refused",
        changes=(
            Change(
                _REFUNDING,
                "        if claim.unknown_since is None:\n            return _refused(",
                "        if claim is not None:\n            return _refused(",
            ),
        ),
        shows=(shows.MONEY_BACK, shows.LEDGER, shows.ELSEWHERE),
        climate="refunds alone",
        lives=9,
    ),
    Mutant(
        name="two_refunds_under_way",
        thought="two refunds of one payment have nothing to do with each other",
        changes=(
            Change(
                _REFUNDS,
                "_UNDER_WAY = f\"{one_of('o.status', REFUND_UNSETTLED)}"
                ' AND o.checksum IS NOT NULL"',
                '_UNDER_WAY = "false"',
            ),
            Change(_REFUNDS, "        taken.add(row.payment_id)\n", ""),
            Change(
                _SECOND,
                '        "refunds_one_under_way_idx",\n'
                '        "refunds",\n'
                '        ["payment_id"],\n'
                "        unique=True,\n",
                '        "refunds_one_under_way_idx",\n'
                '        "refunds",\n'
                '        ["payment_id"],\n'
                "        unique=False,\n",
            ),
        ),
        shows=(shows.MONEY_BACK,),
        climate="refunds",
        lives=6,
        guards="the statement and the unique index: either one suffices",
    ),
    Mutant(
        name="dead_refunds_have_no_owner",
        thought="a claimed refund is being worked; only unknown ones need to be read",
        changes=(
            Change(
                _REFUND,
                "REFUND_INQUIRABLE = frozenset({RefundStatus.CLAIMED, RefundStatus.UNKNOWN})",
                "REFUND_INQUIRABLE = frozenset({RefundStatus.UNKNOWN})",
            ),
            Change(
                _MOVES,
                '          AND (r.{one_of("status", REFUND_INQUIRABLE)}\n',
                "          AND (r.status IN ('claimed', 'unknown')\n",
            ),
        ),
        shows=(shows.STUCK, shows.MONEY_BACK),
        climate="refunds that die",
        lives=25,
    ),
    Mutant(
        name="hint_adopts_what_is_under_way",
        thought="the gateway shows more as given back than we know: take it over",
        changes=(
            Change(
                "shared/db/payments.py",
                "    if payment.under_way or"
                " (not by_recovery and await _is_restored(connection)):\n"
                "        return Adoption.UNDER_WAY\n",
                "",
            ),
        ),
        shows=(shows.ELSEWHERE,),
        climate="refunds",
        lives=6,
    ),
)
