"""Claims, leases and renewals: who may send, when, and of what."""

from tests.mutants import shows
from tests.mutants.mutant import Change, Mutant

_ATTEMPT = "shared/billing/attempt.py"
_CLAIMS = "shared/db/claims.py"
_CONFIG = "shared/config.py"
_FIRST = "shared/db/migrations/versions/0001_the_first_renewal.py"
_RENEW = "scheduler/scans/renew.py"
_RENEWALS = "shared/db/renewals.py"
_INVOICES = "shared/db/invoices.py"


def _unique(name: str, column: str) -> str:
    lines = (f'"{name}",', '"payment_attempts",', f'["{column}"],', "unique=True,")
    return "".join(f"        {line}\n" for line in lines)


CLAIMS = (
    Mutant(
        name="no_fence",
        thought="who holds the claim may send; there is no need to look at the clock again",
        changes=(
            Change(
                "worker/gateway/fence.py",
                "if not 0 <= elapsed_s < self.send_window_s:",
                "if elapsed_s < 0:",
            ),
        ),
        shows=(shows.PAID_TWICE,),
        climate="stands before it sends",
        lives=3,
    ),
    Mutant(
        name="lease_shorter_than_the_timeout",
        thought="five seconds are enough for any charge; why wait two minutes for a dead worker?",
        changes=(
            Change(
                _ATTEMPT,
                "if self.lease <= self.send_window + self.total_timeout:",
                "if self.lease <= timedelta(0):",
            ),
            Change(_CONFIG, "lease_s: Seconds = 120.0", "lease_s: Seconds = 5.0"),
        ),
        shows=(shows.PAID_TWICE,),
        climate="slow",
        lives=8,
    ),
    Mutant(
        name="claim_committed_after_the_send",
        thought="one transaction around it all: if anything fails, nothing has happened",
        changes=(
            Change(
                "worker/services/charge.py",
                "        batch = await self.database.run(\n"
                "            lambda connection: self._claim(connection, invoice_ids, proof)\n"
                "        )\n"
                "        endings = await asyncio.gather(\n"
                "            *(self._charge(claim, claimed_at_s) for claim in batch.claims)\n"
                "        )\n",
                "        async with self.database.transaction() as connection:\n"
                "            batch = await self._claim(connection, invoice_ids, proof)\n"
                "            now = self.clock.now()\n"
                "            outcomes = await asyncio.gather(\n"
                "                *(self._send(each, claimed_at_s, now) for each in batch.claims)\n"
                "            )\n"
                "        endings = []\n"
                "        for claim, outcome in zip(batch.claims, outcomes, strict=True):\n"
                "            move = after_send(claim, outcome, self.rules, self.clock.now())\n"
                "            await self.settle(move)\n"
                "            endings.append(move.attempt_status)\n",
            ),
        ),
        shows=(shows.PAID_TWICE,),
        climate="deaths",
        lives=8,
    ),
    Mutant(
        name="redelivery_jumps_dunning",
        thought="the message says which invoices are due; no need to ask the row again",
        changes=(
            Change(
                _CLAIMS,
                "      AND i.status = 'open' AND i.next_attempt_at <= :now\n",
                "      AND i.status = 'open' AND CAST(:now AS timestamptz) IS NOT NULL\n",
            ),
            Change(
                _CLAIMS,
                "i.id = c.invoice_id AND i.status = 'open' AND i.next_attempt_at <= :now",
                "i.id = c.invoice_id AND i.status = 'open'",
            ),
        ),
        shows=(shows.DUNNING_EARLY,),
        climate="doubled",
        lives=30,
    ),
    Mutant(
        name="no_lock_on_the_claim",
        thought="two workers never get the same invoice: the queue sees to that",
        changes=(
            Change(_CLAIMS, "    FOR NO KEY UPDATE OF i SKIP LOCKED\n", ""),
            Change(_CLAIMS, "        ON CONFLICT DO NOTHING\n", ""),
            Change(
                _CLAIMS,
                "WHERE a.id = c.attempt_id AND a.status = 'waiting'"
                " AND a.send_number = c.send_number - 1",
                "WHERE a.id = c.attempt_id",
            ),
            Change(
                _CLAIMS,
                "uid = merchant_uid(row.subscription_id, row.period_index, number)",
                "uid = merchant_uid(row.subscription_id, row.period_index, number)\n"
                '        uid = f"{uid}r{random.randrange(36**3)}"',
            ),
            Change(_CLAIMS, "import dataclasses\n", "import dataclasses\nimport random\n"),
            Change(
                _FIRST,
                _unique("payment_attempts_one_unsettled_idx", "invoice_id"),
                _unique("payment_attempts_one_unsettled_idx", "invoice_id").replace(
                    "True", "False"
                ),
            ),
            Change(
                _FIRST,
                '        sa.UniqueConstraint(\n            "invoice_id", "number",'
                ' name=op.f("payment_attempts_invoice_id_number_key")\n        ),\n',
                "",
            ),
        ),
        shows=(shows.PAID_TWICE,),
        climate="all doubled",
        lives=3,
        guards=(
            "the lock, the two unique constraints, the compare-and-set of the resend and the"
            " merchant_uid that is a function of the attempt: each alone keeps a second send away"
        ),
    ),
    Mutant(
        name="period_opened_twice",
        thought="only one scan runs at a time, so nobody opens a period twice",
        changes=(
            Change(_RENEWALS, "            FOR NO KEY UPDATE SKIP LOCKED\n", ""),
            Change(_INVOICES, "    ON CONFLICT (subscription_id, period_index) DO NOTHING\n", ""),
            Change(
                _FIRST,
                "        sa.UniqueConstraint(\n"
                '            "subscription_id",\n'
                '            "period_index",\n'
                '            name=op.f("invoices_subscription_id_period_index_key"),\n'
                "        ),\n",
                "",
            ),
        ),
        shows=(shows.PERIOD_TWICE,),
        climate="doubled",
        lives=3,
        guards="the lock and the unique constraint: each alone keeps the second invoice away",
    ),
    Mutant(
        name="renewal_advanced_on_its_own",
        thought="first note that the period is taken, then open its invoice",
        changes=(
            Change(
                _RENEW,
                "done = await self.database.run(partial(self._renew, limit=limit, proof=proof))\n",
                "done, new, now = await self.database.run("
                "partial(self._renew, limit=limit, proof=proof))\n"
                "            async with self.database.transaction() as connection:\n"
                "                opened_now = await invoices.open_new(connection, new, now)\n"
                "            done = replace(done, opened=len(opened_now))\n",
            ),
            Change(
                _RENEWALS,
                "    opened = await invoices.open_new(connection, new, now)\n",
                "    opened: list[invoices.Opened] = []\n",
            ),
            Change(
                _RENEW,
                "return Renewed(len(due.countable) + len(due.faulty), opened)",
                "new = [invoice for renewal in done for invoice in renewal.invoices]\n"
                "        return Renewed(len(due.countable) + len(due.faulty), opened), new, now",
            ),
            Change(
                _RENEW,
                "from shared.db import renewals, reserved_periods, stranded\n",
                "from shared.db import invoices, renewals, reserved_periods, stranded\n",
            ),
        ),
        shows=(shows.MISSED,),
        climate="deaths",
        lives=10,
    ),
    Mutant(
        name="dead_claims_have_no_owner",
        thought="a claimed attempt is being worked; only unknown ones need to be asked about",
        changes=(
            Change(
                _ATTEMPT,
                "INQUIRABLE = frozenset({AttemptStatus.CLAIMED, AttemptStatus.UNKNOWN})",
                "INQUIRABLE = frozenset({AttemptStatus.UNKNOWN})",
            ),
            Change(
                "shared/db/moves.py",
                '          AND (a.{one_of("status", INQUIRABLE)}\n',
                "          AND (a.status IN ('claimed', 'unknown')\n",
            ),
        ),
        shows=(shows.STUCK,),
        climate="deaths",
        lives=3,
    ),
    Mutant(
        name="hold_ignored",
        thought="a hold is for the dispatcher; a worker that has its message just goes on",
        changes=(
            Change(
                "shared/db/holds.py",
                'ON_HOLD = "EXISTS (SELECT FROM gateway_holds WHERE held_until > :now)"',
                'ON_HOLD = "CAST(:now AS timestamptz) IS NULL"',
            ),
        ),
        shows=(shows.HELD,),
        climate="throttled",
        lives=10,
    ),
)
