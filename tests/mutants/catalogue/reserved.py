"""What PortOne collects by itself, and what is wished for while it does."""

from tests.mutants import shows
from tests.mutants.mutant import Change, Mutant

RESERVED = (
    Mutant(
        name="charged_beside_a_reservation",
        thought="the period has begun and nobody has paid for it: it is due",
        changes=(
            Change(
                "shared/db/renewals.py",
                "    await reserved_periods.hand_over(connection, handed, settle_delay, now)\n",
                "    await reserved_periods.hand_over(connection, handed[:0], settle_delay, now)\n",
            ),
        ),
        shows=(shows.PAID_TWICE,),
        climate="races",
        lives=6,
    ),
    Mutant(
        name="executed_taken_for_revoked",
        thought="it was to be revoked, and it is not pending any more",
        changes=(
            Change(
                "shared/billing/reserving_rules.py",
                "    if failed and reservation.status is ReservationStatus.REVOKING:\n",
                "    if failed or reservation.status is ReservationStatus.REVOKING:\n",
            ),
        ),
        shows=(shows.PAID_TWICE, shows.LEDGER),
        climate="races",
        lives=6,
    ),
    Mutant(
        name="stranded_and_kept",
        thought="the buyer has paid, and whoever wants the money back will say so",
        changes=(
            Change(
                "worker/services/reserve_returns.py",
                "                await request_refund(connection, request, now)\n",
                "                log.warning('not_given_back', reservation_id=found.id)\n",
            ),
        ),
        shows=(shows.PAUSED,),
        climate="races",
        lives=9,
    ),
)
