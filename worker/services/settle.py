"""Write endings: one transaction for all that arrived, each under compare-and-set."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

import structlog
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.attempt import AttemptStatus
from shared.billing.collection import Move, park, send_again_later
from shared.billing.outcome import FaultScope, Misconfigured
from shared.billing.rules import CollectionRules
from shared.billing.subscription import SubscriptionStatus
from shared.clock import Clock
from shared.db import dead_letters, holds, invoices, moves, subscriptions
from shared.db.dead_letters import AttemptLetter
from shared.db.engine import Database

log = structlog.get_logger(__name__)

# A definite end that says no money came; if the gateway says later that it did, a person is called.
_ENDED_UNPAID = frozenset({AttemptStatus.DECLINED, AttemptStatus.METHOD_DEAD, AttemptStatus.VOID})


@dataclass(frozen=True, slots=True)
class SettleMoves:
    """Write a group of moves; what cannot be written together is written one by one."""

    database: Database
    clock: Clock
    rules: CollectionRules

    async def __call__(self, group: Sequence[Move]) -> list[Move]:
        """Return the moves as they were written, in order; a lost one is returned unchanged."""
        try:
            return await self.database.run(lambda connection: self._write(connection, group))
        except (DataError, IntegrityError) as error:
            # One row the database refuses must not take its neighbours along. Whatever else went
            # wrong (a lock, the server) is left to the inquiry, which reads the gateway again.
            if len(group) > 1:
                return [written for move in group for written in await self([move])]
            (refused,) = group
            log.exception("settlement_refused", attempt_id=refused.claim.attempt_id)
            why = type(error.orig).__name__
            cause = f"{refused.attempt_status}: refused by the database ({why})"
            letter = replace(park(refused.claim, cause, self.clock.now()), imp_uid=refused.imp_uid)
            return await self.database.run(lambda connection: self._write(connection, [letter]))

    async def _write(self, connection: AsyncConnection, group: Sequence[Move]) -> list[Move]:
        now = self.clock.now()
        believed = await self._believe(connection, group, now)
        for wave in waves(believed):
            await _write_wave(connection, wave, now)
        if longest := max(
            (move for move in believed if move.hold_until),
            key=lambda move: move.hold_until or now,
            default=None,
        ):
            until = longest.hold_until or now
            log.error("gateway_held", cause=longest.message, until=until.isoformat())
            await holds.hold(connection, longest.message or "", until, now)
        return believed

    async def _believe(
        self, connection: AsyncConnection, group: Sequence[Move], now: datetime
    ) -> list[Move]:
        """Take many dead methods at once for a fault of ours, which blames no buyer."""
        dead = sum(move.billing_key_dead for move in group)
        if not dead:
            return list(group)
        before = await moves.dead_methods(connection, now - self.rules.brake.window)
        interrupted = any(move.settled_at and not move.billing_key_dead for move in group)
        in_a_row = 0 if interrupted else before.in_a_row + dead
        if not self.rules.brake.pulls(before.settled + len(group), before.dead + dead, in_a_row):
            return list(group)
        return [
            send_again_later(
                move.claim,
                Misconfigured(move.message or "", FaultScope.GATEWAY),
                self.rules.resend,
                now,
            )
            if move.billing_key_dead
            else move
            for move in group
        ]


def waves(group: Sequence[Move]) -> list[list[Move]]:
    """Split moves so that no two of one attempt are written together, those about money first.

    Two messages about one attempt may be worked side by side. In one statement, attempt and invoice
    could be written from different endings, and the buyer be charged for what is paid.
    """
    ordered = sorted(group, key=lambda move: move.attempt_status is not AttemptStatus.PAID)
    split: list[list[Move]] = []
    seen: Counter[int] = Counter()
    for move in ordered:
        number = seen[move.claim.attempt_id]
        seen[move.claim.attempt_id] += 1
        if number == len(split):
            split.append([])
        split[number].append(move)
    return split


async def _write_wave(connection: AsyncConnection, wave: Sequence[Move], now: datetime) -> None:
    """Write moves of different attempts, and whatever follows from those that won."""
    applied = await moves.apply_moves(connection, wave)
    won = [move for move in wave if move.claim.attempt_id in applied.won]
    await _change_subscriptions(connection, won, now)
    late = await _late_payments(connection, wave, applied.won)
    for letter in [*_letters(won, applied.stray_payments), *late]:
        log.error("dead_letter", attempt_id=letter.attempt_id, cause=letter.cause)
        await dead_letters.bury_attempt(connection, letter)
    if late:
        # The buyer's money is with us: whatever the rows say, it is not asked for again.
        attempts = {letter.attempt_id for letter in late}
        owed = [move.claim.invoice_id for move in wave if move.claim.attempt_id in attempts]
        await invoices.stop_collecting(connection, owed, late[0].cause)


async def _change_subscriptions(
    connection: AsyncConnection, won: Sequence[Move], now: datetime
) -> None:
    """Write what the moves change beyond their invoice; most change nothing."""
    statuses: dict[UUID, SubscriptionStatus] = {}
    for move in won:
        status, id_ = move.subscription_status, move.claim.subscription_id
        if status is not None and statuses.get(id_) is not SubscriptionStatus.CANCELED:
            statuses[id_] = status
    if statuses:
        await subscriptions.change_status(connection, statuses, now)
    if dead := [move.claim.billing_key_id for move in won if move.billing_key_dead]:
        await subscriptions.bury_keys(connection, dead)
    if recovered := [move.claim.subscription_id for move in won if move.recovers]:
        await subscriptions.recover(connection, recovered, now)


def _letters(won: Sequence[Move], stray_payments: frozenset[int]) -> list[AttemptLetter]:
    """Return a letter for every move that only a person can follow up."""
    letters = []
    for move in won:
        if move.claim.attempt_id in stray_payments:
            letters.append(_letter(move, "paid, although the invoice was closed meanwhile"))
        elif move.dead_letter is not None:
            letters.append(_letter(move, move.dead_letter))
    return letters


async def _late_payments(
    connection: AsyncConnection, group: Sequence[Move], won: frozenset[int]
) -> list[AttemptLetter]:
    """Return a letter for every payment that came after its attempt had ended otherwise.

    An attempt that was sent again since is no such case: its own ending will show the payment.
    """
    lost = {
        move.claim.attempt_id: move
        for move in group
        if move.attempt_status is AttemptStatus.PAID and move.claim.attempt_id not in won
    }
    if not lost:
        return []
    letters = []
    for attempt_id, (status, imp_uid) in (await moves.standing(connection, list(lost))).items():
        move = lost[attempt_id]
        if status in _ENDED_UNPAID:
            letters.append(_letter(move, f"paid at the gateway after it had ended as {status}"))
        elif status is AttemptStatus.PAID and imp_uid != move.imp_uid:
            letters.append(_letter(move, f"paid twice at the gateway: also as {imp_uid}"))
    return letters


def _letter(move: Move, cause: str) -> AttemptLetter:
    return AttemptLetter(
        move.claim.attempt_id,
        cause,
        {
            "invoice_id": move.claim.invoice_id,
            "merchant_uid": move.claim.merchant_uid,
            "imp_uid": move.imp_uid,
            "message": move.message,
        },
    )
