"""Write endings: one transaction for all that arrived, each under compare-and-set."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.attempt import AttemptStatus
from shared.billing.collection import Move, park, send_again_later, within
from shared.billing.key_change import UNPAID, overtaken
from shared.billing.lifecycle import SubscriptionStatus
from shared.billing.outcome import FaultScope, Misconfigured
from shared.billing.recovery import CLOCKS_AGREE
from shared.billing.rules import CollectionRules
from shared.clock import Clock
from shared.db import (
    attempts,
    billing_keys,
    dead_letters,
    endings,
    installation,
    invoices,
    lost_charges,
    moves,
    payments,
    subscriptions,
)
from shared.db.dead_letters import AttemptLetter
from shared.db.engine import Database
from shared.db.payments import NewPayment
from worker.services.settling import hold_for_longest, together_or_apart, waves

log = structlog.get_logger(__name__)

# After these the gateway holds money under the name of a claim, or may.
_MAY_HAVE_MOVED = frozenset({AttemptStatus.PAID, AttemptStatus.UNKNOWN})
# A definite end that says no money came; if the gateway says later that it did, a person is called.
_CANCELED = SubscriptionStatus.CANCELED
_ENDED_UNPAID = frozenset({AttemptStatus.DECLINED, AttemptStatus.METHOD_DEAD, AttemptStatus.VOID})


@dataclass(frozen=True, slots=True)
class SettleMoves:
    """Write a group of moves; what cannot be written together is written one by one."""

    database: Database
    clock: Clock
    rules: CollectionRules

    async def __call__(self, group: Sequence[Move]) -> list[Move]:
        """Return the moves as they were written, in order; a lost one is returned unchanged."""
        return await together_or_apart(group, self._write_together, self._instead)

    async def _write_together(self, group: Sequence[Move]) -> list[Move]:
        return await self.database.run(lambda connection: self._write(connection, group))

    def _instead(self, refused: Move, error: DBAPIError) -> Move:
        log.error("settlement_refused", attempt_id=refused.claim.attempt_id, exc_info=error)
        why = type(error.orig).__name__
        cause = f"{refused.attempt_status}: refused by the database ({why})"
        return replace(park(refused.claim, cause, self.clock.now()), imp_uid=refused.imp_uid)

    async def _write(self, connection: AsyncConnection, group: Sequence[Move]) -> list[Move]:
        now = self.clock.now()
        believed = await self._believe(connection, group, now)
        believed = await _overtake(connection, believed, now)
        believed = [within(move, self.rules.hours) for move in believed]
        for wave in waves(believed, _attempt, _is_paid):
            await _write_wave(connection, wave, now)
        await hold_for_longest(connection, believed, now)
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


async def _overtake(
    connection: AsyncConnection, group: Sequence[Move], now: datetime
) -> list[Move]:
    """Hold no refusal against a method that the buyer has put in the place of the refused one."""
    refused = {move.claim.attempt_id for move in group if move.attempt_status in UNPAID}
    if not refused:
        return list(group)
    late = await billing_keys.overtaken(connection, refused)
    return [
        overtaken(move, now)
        if move.attempt_status in UNPAID and move.claim.attempt_id in late
        else move
        for move in group
    ]


def _attempt(move: Move) -> int:
    return move.claim.attempt_id


def _is_paid(move: Move) -> bool:
    return move.attempt_status is AttemptStatus.PAID


async def _write_wave(connection: AsyncConnection, wave: Sequence[Move], now: datetime) -> None:
    """Write moves of different attempts, and whatever follows from those that won."""
    if keys := {move.claim.billing_key_id for move in wave if move.billing_key_dead}:
        # Before their subscriptions, which are locked to tell of them, here as elsewhere.
        await attempts.hold_keys(connection, keys)
    applied = await moves.apply_moves(connection, wave)
    won = [move for move in wave if move.claim.attempt_id in applied.won]
    await _change_subscriptions(connection, won, now)
    late = await _late_payments(connection, wave, applied.won, now)
    await _hold_if_set_back(connection, wave, applied.won, now)
    for letter in [*_letters(won, applied.stray_payments), *late]:
        log.error("dead_letter", attempt_id=letter.attempt_id, cause=letter.cause)
        await dead_letters.bury_attempt(connection, letter)
    if late:
        # The buyer's money is with us: whatever the rows say, it is not asked for again.
        of = {letter.attempt_id for letter in late}
        owed = [move.claim.invoice_id for move in wave if move.claim.attempt_id in of]
        await invoices.stop_collecting(connection, owed, late[0].cause)


async def _change_subscriptions(
    connection: AsyncConnection, won: Sequence[Move], now: datetime
) -> None:
    """Write what the moves change beyond their invoice; most change nothing."""
    statuses: dict[UUID, SubscriptionStatus] = {}
    for move in won:
        status, id_ = move.subscription_status, move.claim.subscription_id
        if status is not None and _weight(status) >= _weight(statuses.get(id_)):
            statuses[id_] = status
    if dead := [move.claim.attempt_id for move in won if move.billing_key_dead]:
        await subscriptions.bury_keys(connection, dead)
    if statuses:
        await subscriptions.change_status(connection, statuses, now)
    if recovered := [move.claim.subscription_id for move in won if move.recovers]:
        await subscriptions.recover(connection, recovered, now)


def _weight(status: SubscriptionStatus | None) -> int:
    """Say which of several ends of one subscription counts: the later in this list."""
    return (None, SubscriptionStatus.PAST_DUE, SubscriptionStatus.PAUSED, _CANCELED).index(status)


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
    connection: AsyncConnection, group: Sequence[Move], won: frozenset[int], now: datetime
) -> list[AttemptLetter]:
    """Keep every payment that came after its attempt had ended otherwise; return a letter each.

    An attempt that was sent again since is no such case: its own ending will show the payment. The
    payment is kept under the attempt that it was made by, so that it can be given back.
    """
    lost = {
        move.claim.attempt_id: move
        for move in group
        if move.attempt_status is AttemptStatus.PAID and move.claim.attempt_id not in won
    }
    if not lost:
        return []
    letters = []
    kept: list[NewPayment] = []
    uids = {attempt_id: move.claim.merchant_uid for attempt_id, move in lost.items()}
    for attempt_id, (status, imp_uid) in (await moves.standing(connection, uids)).items():
        move = lost[attempt_id]
        if status in _ENDED_UNPAID:
            letters.append(_letter(move, f"paid at the gateway after it had ended as {status}"))
        elif status is AttemptStatus.PAID and imp_uid != move.imp_uid:
            letters.append(_letter(move, f"paid twice at the gateway: also as {imp_uid}"))
        else:
            continue
        kept.append(_payment(move, now))
    if kept:
        await payments.add(connection, kept)
        await endings.reopen(connection, [letter.attempt_id for letter in letters])
    return letters


async def _hold_if_set_back(
    connection: AsyncConnection, wave: Sequence[Move], won: frozenset[int], now: datetime
) -> None:
    """Stop everything where a claim of ours is gone that may have moved money.

    It was committed before its charge left, and nobody deletes attempts: so the database was set
    back meanwhile. This is seen even where less was lost than lies between two marks.
    """
    lost = {
        move.claim.merchant_uid: move.claim.claimed_at
        for move in wave
        if move.claim.attempt_id not in won and move.attempt_status in _MAY_HAVE_MOVED
    }
    if not lost:
        return
    there = await lost_charges.known(connection, sorted(lost))
    if gone := sorted(lost - there.keys()):
        cause = f"the claim of {gone[0]} was committed and is gone"
        if await installation.hold(connection, cause, now):
            log.error("database_restored", cause=cause)
        # Whoever slept before it answered may have claimed long before the last mark.
        since = min(lost[each] for each in gone) - CLOCKS_AGREE
        await installation.recover_since(connection, since)


def _payment(move: Move, now: datetime) -> NewPayment:
    claim = move.claim
    return NewPayment(
        move.imp_uid or "", claim.merchant_uid, claim.price, move.paid_at or now, claim.attempt_id
    )


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
