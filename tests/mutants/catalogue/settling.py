"""Endings: what is concluded, and what is written under compare-and-set."""

from tests.mutants import shows
from tests.mutants.mutant import Change, Mutant

_COLLECTION = "shared/billing/collection.py"
_MOVES = "shared/db/moves.py"
_SETTLE = "worker/services/settle.py"
_CONFIG = "shared/config.py"

SETTLING = (
    Mutant(
        name="settle_without_the_status",
        thought="who has the claim's number may write its ending",
        changes=(
            Change(
                _MOVES,
                '          AND (a.{one_of("status", INQUIRABLE)}\n'
                "               OR m.attempt_status = 'paid' AND"
                ' a.{one_of("status", UNSETTLED)})\n',
                "",
            ),
        ),
        shows=(shows.LEDGER, shows.PAID_TWICE, shows.STUCK),
        climate="stands after it has heard",
        lives=4,
    ),
    Mutant(
        name="settle_without_the_send_number",
        thought="an attempt that is still open may be settled by whoever sent it",
        changes=(
            Change(
                _MOVES,
                "WHERE a.id = m.attempt_id AND a.send_number = m.send_number\n",
                "WHERE a.id = m.attempt_id\n",
            ),
        ),
        shows=(shows.PAID_TWICE, shows.LEDGER, shows.NEW_NUMBER),
        climate="stands before it sends",
        lives=14,
    ),
    Mutant(
        name="inquiry_before_the_settle_delay",
        thought="our request is over with its lease; why wait three more minutes?",
        changes=(
            Change(
                _COLLECTION,
                "inquire_at=claim.claimed_at + leases.lease + leases.settle_delay",
                "inquire_at=claim.claimed_at + leases.lease",
            ),
            Change(
                "shared/db/claims.py",
                '"inquire_at": lease_until + leases.settle_delay,',
                '"inquire_at": lease_until,',
            ),
        ),
        shows=(shows.PAID_TWICE,),
        climate="late",
        lives=40,
    ),
    Mutant(
        name="one_silence_believed",
        thought="if the gateway shows nothing, there is nothing",
        changes=(
            Change(
                _CONFIG,
                "no_records_needed: Annotated[int, Field(ge=1, le=10)] = 2",
                "no_records_needed: Annotated[int, Field(ge=1, le=10)] = 1",
            ),
        ),
        shows=(shows.PAID_TWICE,),
        climate="barely late",
        lives=5,
    ),
    Mutant(
        name="silence_is_the_end",
        thought="nothing was charged, so there is nothing left to do",
        changes=(
            Change(
                _COLLECTION,
                "        AttemptStatus.WAITING,\n        next_attempt_at=now,\n",
                "        AttemptStatus.WAITING,\n        next_attempt_at=None,\n",
            ),
        ),
        shows=(shows.STUCK, shows.MISSED),
        climate="storm",
        lives=3,
    ),
    Mutant(
        name="late_payment_ignored",
        thought="the attempt has ended as declined; what comes after that is noise",
        changes=(Change(_SETTLE, "    if not lost:\n        return []\n", "    return []\n"),),
        shows=(shows.PAID_TWICE, shows.LEDGER),
        climate="too late",
        lives=4,
    ),
    Mutant(
        name="parked_and_not_buried",
        thought="the status says parked; somebody will look",
        changes=(
            Change(
                _SETTLE,
                "        elif move.dead_letter is not None:\n"
                "            letters.append(_letter(move, move.dead_letter))\n",
                "",
            ),
        ),
        shows=(shows.UNCALLED,),
        climate="unready",
        lives=3,
    ),
    Mutant(
        name="deadline_never_reached",
        thought="the gateway will answer one day",
        changes=(
            Change(
                "shared/billing/rules.py",
                "return now + self.gaps[0] if inquiries < self.inquiries_min else None",
                "return now + self.gap(inquiries)",
            ),
        ),
        shows=(shows.STUCK,),
        climate="unready",
        lives=3,
    ),
)
