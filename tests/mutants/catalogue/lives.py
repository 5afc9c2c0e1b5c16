"""The lives of agreements: consents, credits, other terms, pauses, and buyers who try again."""

from tests.mutants import shows
from tests.mutants.mutant import Change, Mutant

_PAUSES = "shared/db/pauses.py"
_RENEWAL = "shared/billing/renewal.py"

LIVES = (
    Mutant(
        name="consent_is_a_formality",
        thought="they were told of the new price and have not objected",
        changes=(
            Change(
                "shared/billing/gate.py",
                "        if amount <= agreed and not (amount and _is_more_often(before, after)):\n",
                "        if amount >= 0 or agreed:\n",
            ),
        ),
        shows=(shows.CONSENT,),
        climate="prices",
        lives=6,
    ),
    Mutant(
        name="credit_is_never_used_up",
        thought="the invoice has the line, so the credit has been given",
        changes=(
            Change(
                "shared/db/adjustments.py",
                '    await connection.execute(_WRITE_LEFT, {"rows": to_json(rows)})\n',
                "    to_json(rows)\n",
            ),
        ),
        shows=(shows.ADJUSTMENTS,),
        climate="lives in debt",
        lives=6,
    ),
    Mutant(
        name="another_interval_beside_the_old_period",
        thought="the new interval begins now; the old invoice is paid and done with",
        changes=(
            Change(
                "worker/services/life/changing.py",
                "        renewal_at = now if held.running is None else"
                " await life.cut(connection, held.running, now)\n",
                "        renewal_at = now\n",
            ),
        ),
        shows=(shows.PERIODS,),
        climate="changes at once",
        lives=6,
    ),
    Mutant(
        name="indices_begin_anew",
        thought="another interval is another calendar, so its first period is number 0",
        changes=(
            Change(
                "shared/billing/change.py",
                "BillingCycle(period.start_at, terms.interval, cycle.time_zone, period.index)",
                "BillingCycle(period.start_at, terms.interval, cycle.time_zone)",
            ),
        ),
        shows=(shows.PERIODS,),
        climate="prices",
        lives=10,
    ),
    Mutant(
        name="change_from_today",
        thought="a change that was asked for is a change",
        changes=(
            Change(
                _RENEWAL,
                "due = [change for change in pending if change.effective_at <= period.start_at]",
                "due = list(pending)",
            ),
            Change(
                "shared/db/changes.py",
                "      AND effective_at <= coalesce(CAST(:until AS timestamptz), 'infinity')\n",
                "      AND coalesce(CAST(:until AS timestamptz), 'infinity') IS NOT NULL\n",
            ),
        ),
        shows=(shows.CHANGES,),
        climate="prices",
        lives=6,
        guards="what is not due yet is not read from the rows either",
    ),
    Mutant(
        name="paused_and_billed",
        thought="the pause was noted; the renewal need not look at it again",
        changes=(
            Change(
                _RENEWAL,
                "    if standing.pause_at is None or period.start_at < standing.pause_at:\n",
                "    is_on = standing.status is SubscriptionStatus.PAUSED\n"
                "    pause_at = standing.pause_at\n"
                "    if is_on or pause_at is None or period.start_at < pause_at:\n",
            ),
        ),
        shows=(shows.PAUSED,),
        climate="pauses",
        lives=6,
    ),
    Mutant(
        name="paid_days_lost_in_a_pause",
        thought="the next period begins later, that is all",
        changes=(
            Change(
                _PAUSES,
                "    await life.lengthen(connection, running.invoice_id,"
                " back.next_renewal_at, counted_from)\n",
                "    counted_from.isoformat()\n",
            ),
        ),
        shows=(shows.PERIODS,),
        climate="pauses",
        lives=10,
    ),
    Mutant(
        name="back_on_the_old_calendar",
        thought="they come back to what they had",
        changes=(
            Change(
                "worker/services/life/reactivation.py",
                "        anew = BillingCycle(begins_at, cycle.interval, cycle.time_zone, index)\n",
                "        anew = cycle\n",
            ),
        ),
        shows=(shows.PERIODS,),
        climate="pauses",
        lives=6,
    ),
    Mutant(
        name="notice_is_not_noted",
        thought="the event was written, so they were told",
        changes=(
            Change(
                "shared/db/notices.py",
                "            UPDATE subscriptions SET noticed_index = next_period_index\n",
                "            UPDATE subscriptions SET noticed_index = noticed_index\n",
            ),
        ),
        shows=(shows.NOTICED,),
        climate="lives",
        lives=5,
    ),
    Mutant(
        name="buyers_try_counts",
        thought="a decline is a decline, whoever pressed the button",
        changes=(
            Change(
                "shared/billing/collection.py",
                "    declines = claim.declines + (not is_buyers)\n",
                "    declines = claim.declines + 1\n",
            ),
        ),
        shows=(shows.DECLINES,),
        climate="buyers who try again",
        lives=20,
    ),
)
