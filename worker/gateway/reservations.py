"""Reservations: charges that the gateway keeps and makes by itself."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta

from shared.billing.inquiry import Expectation
from shared.billing.outcome import FaultScope, Misconfigured, Outcome
from shared.billing.reservation import ScheduledPayment, ScheduleOutcome, ScheduleStatus
from worker.gateway import texts
from worker.gateway.calls import Call, page_call, segment
from worker.gateway.channel import Reply
from worker.gateway.errors import GatewayUnavailable
from worker.gateway.fence import Fence
from worker.gateway.keys import CUSTOMERS
from worker.gateway.requests import (
    ScheduleRequest,
    UnfitRequest,
    instant_body,
    nothing_body,
    schedule_body_of,
    unschedule_body,
    whole_second,
)
from worker.gateway.reservation_outcomes import (
    HTTP_BAD_REQUEST,
    outcome_of_retry,
    outcome_of_schedule,
    read_schedules,
)
from worker.gateway.session import Session
from worker.gateway.sweep import Page, Sweep, Window
from worker.gateway.wire import reader
from worker.gateway.wire_schedules import Schedule

_SCHEDULE = "/subscribe/payments/schedule"
_UNSCHEDULE = "/subscribe/payments/unschedule"
_SWEEP_LENGTH = 1_000
# Three months at their shortest.
_WINDOW_MAX = timedelta(days=89)
_PAGES_MAX = 100

_read_schedule = reader(Schedule)
# An object or a list, as the versions of the documents differ.
_read_revoked = reader(object)


class Reservations(Session):
    """What the gateway shall charge by itself.

    ``schedule``, ``reschedule`` and ``retry`` move money, now or later: they leave once, behind a
    fence, and return how that ended, always.
    """

    async def schedule(self, request: ScheduleRequest, fence: Fence) -> ScheduleOutcome:
        """Reserve a charge once and return how that ended; see ``Sends``."""
        try:
            body = schedule_body_of(
                request,
                minimum_amount=self._settings.minimum_amount,
                now=self._clock.now(),
            )
        except UnfitRequest as unfit:
            return Misconfigured(str(unfit), FaultScope.REQUEST)

        def read(reply: Reply) -> ScheduleOutcome:
            return outcome_of_schedule(
                reply.status_code,
                reply.headers,
                reply.body,
                request.charge.expectation,
                request.schedule_at_s,
            )

        return await self._sends.send(_SCHEDULE, body, fence, read)

    async def reschedule(
        self, expected: Expectation, schedule_at: datetime, fence: Fence
    ) -> ScheduleOutcome:
        """Reserve what has failed or was revoked once more, under the same ``merchant_uid``."""
        try:
            body = instant_body(schedule_at, now=self._clock.now())
            path = f"{_SCHEDULE}/{segment(expected.merchant_uid)}/reschedule"
        except UnfitRequest as unfit:
            return Misconfigured(str(unfit), FaultScope.REQUEST)

        def read(reply: Reply) -> ScheduleOutcome:
            return outcome_of_schedule(
                reply.status_code,
                reply.headers,
                reply.body,
                expected,
                whole_second(schedule_at),
                was_there=True,
            )

        return await self._sends.send(path, body, fence, read, holds_id=True)

    async def retry(self, expected: Expectation, fence: Fence) -> Outcome:
        """Charge at once, and once, what was reserved and has failed or was revoked."""
        try:
            path = f"{_SCHEDULE}/{segment(expected.merchant_uid)}/retry"
        except UnfitRequest as unfit:
            return Misconfigured(str(unfit), FaultScope.REQUEST)

        def read(reply: Reply) -> Outcome:
            return outcome_of_retry(
                reply.status_code,
                reply.headers,
                reply.body,
                expected,
                self._settings.dead_method_markers,
            )

        return await self._sends.send(path, nothing_body(), fence, read, holds_id=True)

    async def scheduled(self, merchant_uid: str) -> ScheduledPayment | None:
        """Return the reservation under a ``merchant_uid``, or None if the gateway holds none.

        Raises:
            GatewayError: Nobody can say.
        """
        # No words for it are published. What is said of a buyer says nothing of a reservation.
        call = Call(f"{_SCHEDULE}/{segment(merchant_uid)}", _read_schedule, absent=())
        held = await self._calls.make(call)
        return _of(merchant_uid, held)

    async def move(self, merchant_uid: str, schedule_at: datetime) -> ScheduledPayment | None:
        """Give a reservation another instant; None if the gateway holds none.

        It may be repeated: it says where the reservation shall be, not by how much it moves.

        Raises:
            GatewayRefused: It was made or revoked already, or the instant is over at the gateway.
            GatewayError: Nobody can say where it stands.
            UnfitRequest: The instant is over, or holds a part of a second.
        """
        body = instant_body(schedule_at, now=self._clock.now())
        moved = await self._calls.make(
            Call(
                f"{_SCHEDULE}/{segment(merchant_uid)}",
                _read_schedule,
                "PUT",
                body,
                absent=(),
                refused_by_status=frozenset({HTTP_BAD_REQUEST}),
            )
        )
        if moved is not None and moved.schedule_at != whole_second(schedule_at):
            message = f"the gateway says that the reservation stands at {moved.schedule_at}"
            raise GatewayUnavailable(message)
        return _of(merchant_uid, moved)

    async def unschedule(
        self, customer_uid: str, merchant_uids: Sequence[str] | None = None
    ) -> None:
        """Revoke reservations of a billing key, all where none are named; else none is left.

        What has been made already stays as it is, and so does what is being made: ``scheduled``
        tells which.

        Raises:
            GatewayError: Nobody can say whether all are revoked.
            UnfitRequest: There is no such key or reservation, or the list is empty.
        """
        await self._calls.make(
            Call(
                _UNSCHEDULE,
                _read_revoked,
                "POST",
                unschedule_body(customer_uid, merchant_uids),
                absent=texts.NOTHING_SCHEDULED + texts.UNREGISTERED,
                absent_by_status=False,
                secrets=(customer_uid,),
            )
        )

    async def schedules_in(
        self, since: datetime, until: datetime, status: ScheduleStatus | None = None
    ) -> AsyncIterator[ScheduledPayment]:
        """Return every reservation whose instant is of ``[since, until)``, oldest first by second.

        Read as ``payments_in`` is. One that is moved to an earlier instant meanwhile may be missed,
        one that is moved to a later may come twice.

        Raises:
            GatewayError: Nobody can say, or not all of it; what came before is a part only.
        """
        sweep = Sweep(
            ask=lambda window, number: self._schedules_page(window, number, status),
            second_of=lambda schedule: schedule.schedule_at,
            window_max_s=int(_WINDOW_MAX.total_seconds()),
            page_length=_SWEEP_LENGTH,
        )
        async for schedule in sweep(Window.of(since, until)):
            yield schedule.record()

    async def _schedules_page(
        self, window: Window, number: int, status: ScheduleStatus | None
    ) -> Page[Schedule]:
        """Return one page of the reservations of a window."""
        path = (
            f"{_SCHEDULE}?schedule_from={window.begin_s}&schedule_to={window.end_s}"
            f"&page={number}&limit={_SWEEP_LENGTH}&sorting=scheduled"
        )
        if status is not None:
            path += f"&schedule_status={status}"
        page = await self._calls.make(page_call(path, read_schedules, number))
        if page is None:
            return Page((), None, is_last=True)
        is_last = page.next == 0 or (page.next is None and len(page.schedules) < _SWEEP_LENGTH)
        return Page(page.schedules, page.total, is_last)

    async def schedules_of(
        self,
        customer_uid: str,
        since: datetime,
        until: datetime,
        status: ScheduleStatus | None = None,
    ) -> list[ScheduledPayment]:
        """Return every reservation of a billing key whose instant is of ``[since, until)``.

        How many a page of this call holds is not documented: pages are turned until one shows
        nothing that was not seen.

        Raises:
            GatewayError: Nobody can say, or not all of it.
        """
        found: dict[str, ScheduledPayment] = {}
        span, step_s = Window.of(since, until), int(_WINDOW_MAX.total_seconds())
        for begin_s in range(span.begin_s, span.end_s, step_s):
            window = Window(begin_s, min(begin_s + step_s, span.end_s))
            found |= await self._schedules_of(customer_uid, window, status)
        return sorted(found.values(), key=lambda each: (each.schedule_at, each.merchant_uid))

    async def _schedules_of(
        self, customer_uid: str, window: Window, status: ScheduleStatus | None
    ) -> dict[str, ScheduledPayment]:
        """Return the reservations of a billing key in a window, by their ``merchant_uid``."""
        found: dict[str, ScheduledPayment] = {}
        for number in range(1, _PAGES_MAX + 1):
            path = (
                f"{CUSTOMERS}/{segment(customer_uid)}/schedules"
                f"?page={number}&from={window.begin_s}&to={window.end_s}"
            )
            if status is not None:
                path += f"&schedule-status={status}"
            page = await self._calls.make(
                page_call(path, read_schedules, number, secrets=(customer_uid,))
            )
            known = len(found)
            if page is not None:
                found |= {one.merchant_uid: one.record() for one in page.schedules}
            if page is None or page.next == 0 or len(found) == known:
                return found
        message = f"more than {_PAGES_MAX} pages of reservations of one billing key"
        raise GatewayUnavailable(message)


def _of(merchant_uid: str, schedule: Schedule | None) -> ScheduledPayment | None:
    """Return the reservation that was asked for.

    Raises:
        GatewayUnavailable: The gateway shows another one.
    """
    if schedule is not None and schedule.merchant_uid != merchant_uid:
        message = f"the gateway shows the reservation of another, {schedule.merchant_uid}"
        raise GatewayUnavailable(message)
    return None if schedule is None else schedule.record()
