"""Take reservations at PortOne their next step: request, look, revoke.

1. *Claim*, in one transaction for the batch: the request is committed before a byte leaves.
2. *Request*, with no transaction open: one POST each, never repeated by itself.
3. *Settle* by what PortOne says, under a comparison with what was claimed.

What was requested and not answered is read; what has to go is revoked and read until PortOne says
that it is gone, or executed. A death in between leaves a row whose next look finds it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.inquiry import StillUnresolved
from shared.billing.installation import Proof
from shared.billing.outcome import Unknown
from shared.billing.reservation import ScheduleOutcome
from shared.billing.reserving import (
    Held,
    Reservation,
    ReservationMove,
    ReservationStatus,
    ReservePolicy,
)
from shared.billing.reserving_rules import after_look, after_request
from shared.billing.rules import CollectionRules
from shared.billing.use_confirmation import UseConfirmation, use_confirmation_on
from shared.clock import Clock
from shared.db import holds, reservations, stranded
from shared.db.engine import Database
from shared.db.stranded import Executed
from shared.jobs.marks import NO_MARKS, Marks
from worker.services.ports import ReservationGateway

log = structlog.get_logger(__name__)

MOVED_ON = "moved on meanwhile"


@dataclass(frozen=True, slots=True)
class Steps:
    """What is to be requested, asked about, and wound up of the reservations of a message."""

    claimed: tuple[Reservation, ...]
    seen: tuple[Reservation, ...]
    executed: tuple[Executed, ...]


@dataclass(frozen=True, slots=True)
class AdvanceReservations:
    """Have those of the reservations that are due taken their next step.

    Attributes:
        silence_proves: Whether PortOne's knowing of no reservation means that there is none. It is
            not documented whether look-ups show those of test channels.
    """

    database: Database
    gateway: ReservationGateway
    clock: Clock
    rules: CollectionRules
    policy: ReservePolicy
    use_confirmation: UseConfirmation
    silence_proves: bool
    wind_up: Callable[[Executed], Awaitable[str]]
    marks: Marks = NO_MARKS

    async def __call__(self, reservation_ids: Sequence[int]) -> list[str]:
        """Return the name of every ending, for people."""
        proof = await self.marks.proof()
        # Read before the claim is written, so that the fence never outlives the lease.
        claimed_at_s = self.clock.boot_s()
        steps = await self.database.run(
            lambda connection: self._begin(connection, reservation_ids, proof)
        )
        requests = (self._request(each, claimed_at_s) for each in steps.claimed)
        looks = (self._look(each) for each in steps.seen)
        ends = (self._wind_up(each) for each in steps.executed)
        return list(await asyncio.gather(*requests, *looks, *ends))

    async def _begin(self, connection: AsyncConnection, ids: Sequence[int], proof: Proof) -> Steps:
        """Return the next step of each; what is to be requested is claimed by that."""
        now = self.clock.now()
        seen = await reservations.to_look_at(connection, ids, now)
        executed = await stranded.due(connection, ids, now)
        leases = self.rules.leases
        claimed = await reservations.claim(connection, ids, leases, self.policy, now, proof)
        return Steps(tuple(claimed), tuple(seen), tuple(executed))

    async def _request(self, reservation: Reservation, claimed_at_s: float) -> str:
        """Request a reservation once, and write what PortOne says."""
        outcome = await self._send(reservation, claimed_at_s)
        now = self.clock.now()
        return await self._write(after_request(reservation, outcome, self.rules, self.policy, now))

    async def _send(self, reservation: Reservation, claimed_at_s: float) -> ScheduleOutcome:
        used_on = use_confirmation_on(
            self.use_confirmation, reservation.period, reservation.schedule_at
        )
        try:
            return await self.gateway.schedule(
                reservation, use_confirmation_on=used_on, claimed_at_s=claimed_at_s
            )
        except Exception as error:
            # A fault of ours in mid-send: it may be reserved, so nothing else may be concluded.
            log.exception("reservation_request_failed", reservation_id=reservation.id)
            return Unknown(f"{type(error).__name__} in our own code")

    async def _look(self, reservation: Reservation) -> str:
        """Revoke what has to go, and write what PortOne holds.

        An answer is as old as its question: what PortOne did not hold then it may hold by the time
        that we read so, if a request was under way.
        """
        asked_at = self.clock.now()
        held: Held = await self._carefully(reservation, lambda: self._held(reservation))
        return await self._write(after_look(reservation, held, self.rules, self.policy, asked_at))

    async def _held(self, reservation: Reservation) -> Held:
        if reservation.status is ReservationStatus.REVOKING:
            unresolved = await self.gateway.revoke_schedules(
                reservation.customer_uid, (reservation.merchant_uid,)
            )
            if unresolved is not None:
                return unresolved
        held = await self.gateway.scheduled(reservation.merchant_uid)
        is_known = held is not None or reservation.status is ReservationStatus.REVOKING
        if not is_known and not self.silence_proves:
            return StillUnresolved("none is shown, which proves nothing of a test channel")
        return held

    async def _wind_up(self, executed: Executed) -> str:
        try:
            return await self.wind_up(executed)
        except Exception:
            # Its next look stands: the scan brings it back, and the others go on.
            log.exception("wind_up_failed", reservation_id=executed.id)
            return "failed"

    async def _carefully(
        self, reservation: Reservation, ask: Callable[[], Awaitable[Held]]
    ) -> Held:
        try:
            return await ask()
        except Exception as error:
            # A fault of ours: the reservation stays as it is, and the others get their answers.
            log.exception("reservation_look_failed", reservation_id=reservation.id)
            return StillUnresolved(f"{type(error).__name__} in our own code")

    async def _write(self, move: ReservationMove) -> str:
        now = self.clock.now()

        async def work(connection: AsyncConnection) -> bool:
            if move.hold_until is not None:
                cause = move.message or ""
                log.error("gateway_held", cause=cause, until=move.hold_until.isoformat())
                await holds.hold(connection, cause, move.hold_until, now)
            return bool(await reservations.apply(connection, [move], now))

        if not await self.database.run(work):
            return MOVED_ON
        _alert(move)
        return move.status


def _alert(move: ReservationMove) -> None:
    """Have somebody look where PortOne holds something else than we have asked for."""
    before = move.reservation.status
    if move.by_others:
        log.error(
            "reservation_changed_elsewhere",
            reservation_id=move.reservation.id,
            merchant_uid=move.reservation.merchant_uid,
            cause=move.message,
        )
    elif before is ReservationStatus.REVOKING and move.status is ReservationStatus.EXECUTED:
        log.error(
            "reservation_executed_after_all",
            reservation_id=move.reservation.id,
            merchant_uid=move.reservation.merchant_uid,
        )
