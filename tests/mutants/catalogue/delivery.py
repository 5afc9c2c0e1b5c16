"""Messages and events: what may be lost, doubled, believed, and told."""

from tests.mutants import shows
from tests.mutants.mutant import Change, Mutant

_HINTS = "worker/services/hint_reading.py"
_RELAY = "worker/services/relay.py"
_SETTLE = "worker/services/settle.py"
_MOVES = "shared/db/moves.py"
_OUTBOX = "shared/db/outbox.py"
_RENEW = "scheduler/scans/renew.py"
_TOGETHER = (
    "        return await self.database.run(lambda connection: self._write(connection, group))\n"
)
_OUTBOX_IMPORTED = Change(
    _SETTLE,
    "from shared.db.engine import Database\n",
    "from shared.db import outbox\nfrom shared.db.engine import Database\n",
)
_EVENTS_LEFT_OUT = Change(
    _MOVES, "        for event in move.events\n", "        for event in move.events[:0]\n"
)

DELIVERY = (
    Mutant(
        name="acknowledged_before_the_work",
        thought="acknowledge early: a message must not be worked twice",
        changes=(
            Change(
                "shared/jobs/celery_settings.py",
                '"task_acks_late": True,',
                '"task_acks_late": False,',
            ),
        ),
        shows=(shows.COMMANDS,),
        climate="commands",
        lives=40,
    ),
    Mutant(
        name="lost_message_never_sent_again",
        thought="what was dispatched is on its way; a second message would be a duplicate",
        changes=(
            Change(
                "shared/db/dispatch.py",
                "(d.dispatched_at IS NULL OR d.dispatched_at <= :now - {again})",
                "(d.dispatched_at IS NULL OR :now - {again} IS NULL)",
            ),
        ),
        shows=(shows.STUCK, shows.MISSED),
        climate="lossy",
        lives=16,
    ),
    Mutant(
        name="event_after_the_transaction",
        thought="first the change, then its event, each in a transaction of its own",
        changes=(
            _EVENTS_LEFT_OUT,
            Change(
                _SETTLE,
                _TOGETHER,
                "        written = await self.database.run(\n"
                "            lambda connection: self._write(connection, group)\n"
                "        )\n"
                "        events = [event for move in written for event in move.events]\n"
                "        await self.database.run("
                "lambda connection: outbox.write(connection, events))\n"
                "        return written\n",
            ),
            _OUTBOX_IMPORTED,
        ),
        shows=(shows.EVENTS,),
        climate="deaths",
        lives=60,
    ),
    Mutant(
        name="event_before_the_transaction",
        thought="first tell what will be, then change it",
        changes=(
            _EVENTS_LEFT_OUT,
            Change(
                _SETTLE,
                _TOGETHER,
                "        events = [event for move in group for event in move.events]\n"
                "        await self.database.run("
                "lambda connection: outbox.write(connection, events))\n" + _TOGETHER,
            ),
            _OUTBOX_IMPORTED,
        ),
        shows=(shows.EVENTS,),
        climate="deaths",
        lives=60,
    ),
    Mutant(
        name="marked_before_told",
        thought="mark first, then tell: so nobody is told twice",
        changes=(
            Change(
                _RELAY,
                "            count = await self.database.run(self._relay)\n",
                "            events = await self.database.run(self._relay)\n"
                "            count = len(events)\n"
                "            if events:\n"
                "                await self.publish(events)\n",
            ),
            Change(
                _RELAY,
                "            await self.publish(events)\n            ids, now",
                "            ids, now",
            ),
            Change(_RELAY, "        return len(events)\n", "        return events\n"),
        ),
        shows=(shows.EVENTS,),
        climate="telling",
        lives=3,
    ),
    Mutant(
        name="relay_out_of_order",
        thought="an outbox is a set of rows; the newest is the most interesting",
        changes=(
            Change(
                _OUTBOX,
                "FROM events WHERE relayed_at IS NULL ORDER BY id LIMIT :limit",
                "FROM events WHERE relayed_at IS NULL ORDER BY id DESC LIMIT :limit",
            ),
        ),
        shows=(shows.EVENTS,),
        climate="storm",
        lives=6,
    ),
    Mutant(
        name="hint_believed",
        thought="the webhook says that it is paid, and it knows our order id",
        changes=(
            Change(
                _HINTS,
                "        record = await self.gateway.payment(hint.imp_uid)\n",
                "        record = await self._told(hint)"
                " or await self.gateway.payment(hint.imp_uid)\n",
            ),
            Change(
                _HINTS,
                "    async def _conclude(  # noqa: PLR0911 - a decision table, one row a return\n",
                "    async def _told(self, hint: Hint) -> PaymentRecord | None:\n"
                "        named = hint.merchant_uid and await self.database.run(\n"
                "            lambda c: hints.attempt_named(c, hint.merchant_uid)\n"
                "        )\n"
                "        if not named:\n"
                "            return None\n"
                "        return PaymentRecord(\n"
                "            hint.imp_uid, named.claim.merchant_uid, RecordStatus.PAID,\n"
                "            named.claim.price.amount, 0, named.claim.customer_uid\n"
                "        )\n\n"
                "    async def _conclude(  # noqa: PLR0911 - a decision table, one row a return\n",
            ),
        ),
        shows=(shows.LEDGER,),
        climate="forged",
        lives=2,
    ),
    Mutant(
        name="command_worked_again",
        thought="the merchant will not send the same command twice",
        changes=(
            Change("shared/db/commands.py", "    if begun.rowcount:\n", "    if begun:\n"),
            Change(
                "shared/db/refunds.py",
                "                WHERE command_id = :command_id\n                   OR :cause",
                "                WHERE CAST(:command_id AS text) IS NULL\n"
                "                  AND :cause",
            ),
            Change(
                "shared/db/migrations/versions/0002_payments_windows_refunds.py",
                '        sa.UniqueConstraint("command_id", name=op.f("refunds_command_id_key")),\n',
                "",
            ),
        ),
        shows=(shows.COMMANDS,),
        climate="commands",
        lives=10,
        guards="a refund is known by its command_id as well, in its statement and in a constraint",
    ),
)
