"""The five policies that look safe: what is usually done when an outcome is unknown."""

from tests.mutants import shows
from tests.mutants.mutant import Change, Mutant

_COLLECTION = "shared/billing/collection.py"
_CHARGE = "worker/services/charge.py"
_AFTER_SEND = '''\
    """Return what follows from the ending of a send."""
    match outcome:
'''
_AFTER_INQUIRY = '''\
    """Return what follows from what the gateway holds."""
    claim = question.claim
'''
_SENT_AGAIN = """\
    return Move(
        claim,
        AttemptStatus.WAITING,
        next_attempt_at=now,
        unknown_since=claim.in_doubt_since,
        declines=claim.declines,
        message="the gateway holds no record: sent again under the same merchant_uid",
    )
"""
_AT_ONCE = (
    Change(
        _COLLECTION,
        "inquire_at=claim.claimed_at + leases.lease + leases.settle_delay",
        "inquire_at=now",
    ),
    Change(_COLLECTION, "if seen < policy.no_records_needed:", "if seen < 1:"),
)

POLICIES = (
    Mutant(
        name="naive_retry",
        thought="A: it timed out, so try once more with a fresh order id",
        changes=(
            Change(
                _CHARGE,
                "        outcome = await self._send(claim, claimed_at_s, now)\n",
                "        outcome = await self._send(claim, claimed_at_s, now)\n"
                "        for number in range(1, 4):\n"
                "            if not isinstance(outcome, Unknown):\n"
                "                break\n"
                "            uid = merchant_uid(\n"
                "                claim.subscription_id, claim.period.index, claim.number + number\n"
                "            )\n"
                "            fresh = replace(claim, merchant_uid=uid)\n"
                "            outcome = await self._send(fresh, self.clock.boot_s(), now)\n",
            ),
            Change(
                _CHARGE,
                "from shared.billing.outcome import",
                "from shared.billing.merchant_uid import merchant_uid\n"
                "from shared.billing.outcome import",
            ),
            Change(
                _CHARGE,
                "from dataclasses import dataclass\n",
                "from dataclasses import dataclass, replace\n",
            ),
        ),
        shows=(shows.PAID_TWICE,),
        climate="storm",
        lives=3,
    ),
    Mutant(
        name="stale_claim_released",
        thought="B: the lease is over, so its worker is dead: take it over with a fresh order id",
        changes=(
            Change(
                _COLLECTION,
                _AFTER_INQUIRY,
                _AFTER_INQUIRY
                + "    released = settle(claim, Declined('stale'), rules.dunning, now)\n"
                + "    if released.invoice_status is InvoiceStatus.OPEN:\n"
                + "        return replace(released, next_attempt_at=now)\n",
            ),
        ),
        shows=(shows.PAID_TWICE,),
        climate="storm",
        lives=3,
    ),
    Mutant(
        name="timeout_is_a_decline",
        thought="C: no answer is as good as a no; the next attempt gets the next number",
        changes=(
            Change(
                _COLLECTION,
                _AFTER_SEND,
                '    """Return what follows from the ending of a send."""\n'
                "    if isinstance(outcome, Unknown):\n"
                "        outcome = Declined(outcome.cause)\n"
                "    match outcome:\n",
            ),
        ),
        shows=(shows.PAID_TWICE,),
        climate="storm",
        lives=3,
    ),
    Mutant(
        name="not_found_new_number",
        thought="D: the gateway does not know it, so it never arrived: charge under a new number",
        changes=(
            *_AT_ONCE,
            Change(
                _COLLECTION,
                _SENT_AGAIN,
                _SENT_AGAIN.replace("WAITING", "DECLINED")
                .replace("unknown_since=claim.in_doubt_since", "settled_at=now")
                .replace("sent again under the same merchant_uid", "it never arrived"),
            ),
        ),
        shows=(shows.PAID_TWICE,),
        climate="late",
        lives=4,
        guards="the quiet period, as in the policy: with it, only a look-up that lags would harm",
    ),
    Mutant(
        name="not_found_same_number_at_once",
        thought="E: the gateway does not know it, so the same order id may go out again at once",
        changes=_AT_ONCE,
        shows=(shows.PAID_TWICE,),
        climate="late",
        lives=4,
    ),
)
