"""What a merchant has decided: hours, catch-up, caps, prices, trials; and what endpoints hear."""

from tests.mutants import shows
from tests.mutants.mutant import Change, Mutant

_CHARGE = "worker/services/charge.py"
_DELIVER = "worker/services/deliver.py"
_DELIVERIES = "shared/db/deliveries.py"
_LINES = "shared/billing/lines.py"
_RENEWAL = "shared/billing/renewal.py"

AGREEMENTS = (
    Mutant(
        name="hours_looked_at_once",
        thought="the attempt was planned within the hours; nobody need ask again at the claim",
        changes=(Change(_CHARGE, "        if hours.binds:\n", "        if hours is None:\n"),),
        shows=(shows.CLOSED,),
        climate="closed hours",
        lives=5,
    ),
    Mutant(
        name="skipped_in_silence",
        thought="what the policy leaves out is not billed, so there is nothing to tell",
        changes=(
            Change(
                _RENEWAL,
                "        skipped=_skipped(steps, {period.index for period in billed}),\n",
                "        skipped=(),\n",
            ),
        ),
        shows=(shows.PERIODS, shows.MISSED),
        climate="long away",
        lives=3,
    ),
    Mutant(
        name="billed_and_skipped",
        thought="whatever begins while nobody looks has elapsed before it was seen",
        changes=(
            Change(
                _RENEWAL,
                "        if not step.is_begun or step.period.index in billed:\n",
                "        if not step.is_begun or (len(steps) == 1 and billed):\n",
            ),
        ),
        shows=(shows.PERIODS, shows.MISSED),
        climate="long away",
        lives=3,
    ),
    Mutant(
        name="key_cap_ignored",
        thought="every invoice has a schedule of its own; that is limit enough",
        changes=(
            Change(
                _CHARGE,
                "            if len(instants) < dunning.key_attempts_max:\n",
                "            if len(instants) >= 0:\n",
            ),
        ),
        shows=(shows.TOO_OFTEN,),
        climate="methods in trouble",
        lives=3,
    ),
    Mutant(
        name="discount_line_without_its_tax",
        thought="the tax-free part is the total's; a line needs an amount",
        changes=(
            Change(
                _LINES,
                "_line(adjustment, kind, -taken.amount, -taken.tax_free), after\n",
                "_line(adjustment, kind, -taken.amount, 0), after\n",
            ),
            Change(
                "shared/billing/invoice.py",
                "        if sum_of(self.lines) != self.price:\n",
                "        if sum_of(self.lines).amount < 0:\n",
            ),
        ),
        shows=(shows.LINES,),
        climate="lives in debt",
        lives=5,
        guards="an invoice is not made of lines that add up to something else",
    ),
    Mutant(
        name="void_keeps_the_credit",
        thought="the credit was set against the invoice, whatever became of that",
        changes=(Change("shared/db/invoices.py", "    if void:\n", "    if not written:\n"),),
        shows=(shows.ADJUSTMENTS,),
        climate="lives in debt",
        lives=20,
    ),
    Mutant(
        name="proration_from_today",
        thought="they change today, so today is at the new price",
        changes=(
            Change(
                "shared/billing/proration.py",
                "    unused, days = unused_days(period, zone, at)\n",
                "    unused, days = unused_days(period, zone, at)\n"
                "    unused = min(unused + 1, days)\n",
            ),
        ),
        shows=(shows.PRORATED,),
        climate="changes at once",
        lives=5,
    ),
    Mutant(
        name="price_without_consent",
        thought="they were told of the new price, and they have stayed",
        changes=(
            Change(
                "shared/billing/gate.py",
                "        if self._is_agreed(agreement, after, period, due):\n",
                "        is_ours = any(change.requester is Requester.ADMIN for change in due)\n"
                "        if is_ours or self._is_agreed(agreement, after, period, due):\n",
            ),
        ),
        shows=(shows.CONSENT,),
        climate="prices",
        lives=5,
    ),
    Mutant(
        name="a_trial_for_every_start",
        thought="the row that notes the trial is there, whoever wrote it",
        changes=(
            Change(
                "shared/db/agreement_writes.py",
                "    return bool(taken.rowcount)\n",
                "    return taken.rowcount >= 0\n",
            ),
        ),
        shows=(shows.TRIALS,),
        climate="trials",
        lives=5,
    ),
    Mutant(
        name="deliveries_overtake",
        thought="one event failed; why should the others wait?",
        changes=(
            Change(
                _DELIVERIES,
                "    AND (d.subscription_id IS NULL OR d.event_id = (\n",
                "    AND (d.event_id > 0 OR d.event_id = (\n",
            ),
            Change(
                _DELIVERIES,
                "    if written.rowcount and tried.next_try_at is not None"
                " and parcel.subscription_id is not None:\n",
                "    if False and parcel.subscription_id is not None:\n",
            ),
        ),
        shows=(shows.OUT_OF_ORDER,),
        climate="told by HTTP",
        lives=3,
        guards="what must wait behind a failure is not looked at before it either",
    ),
    Mutant(
        name="delivered_before_the_answer",
        thought="note it first, so that a death in between does not post it twice",
        changes=(
            Change(
                _DELIVER,
                "        answer = await self._post(parcel)\n",
                "        noted = Answer(204)\n"
                "        tried = after_try(\n"
                "            noted, parcel.delivery_id, parcel.failures, self.policy,"
                " self.clock.now()\n"
                "        )\n"
                "        await self.database.run(\n"
                "            lambda connection: self._settle(connection, parcel, noted, tried)\n"
                "        )\n"
                "        answer = await self._post(parcel)\n",
            ),
        ),
        shows=(shows.UNDELIVERED,),
        climate="told by HTTP",
        lives=3,
    ),
    Mutant(
        name="signed_without_the_timestamp",
        thought="the body is what must not be forged",
        changes=(
            Change(
                "worker/events/signature.py",
                "(message_id.encode(), str(timestamp_s).encode(), body)",
                "(message_id.encode(), str(timestamp_s).encode()[:0], body)",
            ),
        ),
        shows=(shows.UNSIGNED,),
        climate="told by HTTP",
        lives=2,
    ),
)
