"""What holds of every reservation, in whatever order requests, looks, recalls and deaths come.

PortOne is a model here: it carries a request out at once, late or never, but not after the settle
delay; it executes what it holds at its instant, once. What it says is true or not said at all.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.billing.inquiry import RecordStatus, StillUnresolved
from shared.billing.outcome import FaultScope, Misconfigured, NotSent, Throttled, Unknown
from shared.billing.reservation import (
    Reserved,
    ScheduledPayment,
    ScheduleOutcome,
    ScheduleRefused,
    ScheduleStatus,
)
from shared.billing.reserving import (
    ASKED_ABOUT,
    LIVE,
    LOOKED_AT,
    RESERVATION_TRANSITIONS,
    REVOCABLE,
    Held,
    Reservation,
    ReservationMove,
    ReservationStatus,
)
from shared.billing.reserving_rules import after_look, after_request
from tests.unit.billing import made
from tests.unit.billing.reservations import (
    POLICY,
    REFUSAL,
    SCHEDULE_AT,
    held,
    held_of,
    outcomes_of,
    reservation,
)

S = ReservationStatus
QUIET: Final = made.LEASES.lease + made.LEASES.settle_delay
_UNSENT: Final[tuple[ScheduleOutcome, ...]] = (
    NotSent("no byte left"),
    Throttled("slow down", 30.0),
    Misconfigured("no such key", FaultScope.GATEWAY),
    Misconfigured("no such field", FaultScope.REQUEST),
    ScheduleRefused(REFUSAL, unknown_customer=True),
)


@dataclass
class PortOne:
    """What PortOne holds under the one ``merchant_uid``, and what it has not heard yet.

    Attributes:
        arrives_at: When a request that is under way is carried out, or None where none is.
    """

    status: ScheduleStatus | None = None
    paid: RecordStatus | None = None
    arrives_at: datetime | None = None

    def pass_time(self, now: datetime, decline: bool) -> None:
        """Carry out what has arrived, and execute what is due."""
        if self.arrives_at is not None and now >= self.arrives_at:
            self.arrives_at = None
            if self.status in {None, ScheduleStatus.REVOKED}:
                self.status = ScheduleStatus.SCHEDULED
        if self.status is ScheduleStatus.SCHEDULED and now >= SCHEDULE_AT:
            self.status = ScheduleStatus.EXECUTED
            self.paid = RecordStatus.FAILED if decline else RecordStatus.PAID

    def revoke(self) -> None:
        """Let what is scheduled be."""
        if self.status is ScheduleStatus.SCHEDULED:
            self.status = ScheduleStatus.REVOKED

    def says(self, of: Reservation) -> ScheduledPayment | None:
        """Return what it holds."""
        return None if self.status is None else held(of, self.status, paid=self.paid)

    @property
    def may_take_money(self) -> bool:
        """Whether money has been taken, or may be without another word of ours."""
        waits = self.arrives_at is not None or self.status is ScheduleStatus.SCHEDULED
        return waits or self.paid is RecordStatus.PAID


class Life:
    """One reservation, the scans and workers around it, and a model of PortOne."""

    def __init__(self, portone: PortOne) -> None:
        self.portone = portone
        self.now = made.NOW
        self.row = reservation(S.PLANNED, claimed_at=None, send_number=0)
        self.look_at: datetime | None = made.NOW
        # Moves that somebody is about to write.
        self.pending: list[ReservationMove] = []

    def wait(self, until: str, decline: bool) -> None:
        """Let time pass: until the next look, until PortOne is to charge, or for a while."""
        instants = {
            "look": self.look_at or self.now,
            "charge": SCHEDULE_AT,
            "second": self.now + timedelta(seconds=1),
            "settle delay": self.now + made.LEASES.settle_delay,
        }
        self.now = max(self.now, instants[until])
        self.portone.pass_time(self.now, decline)

    def request(self, ending: str, delay: timedelta, outcome: ScheduleOutcome) -> None:
        """Claim a planned one that is due, and send the one request of it."""
        if self.row.status is not S.PLANNED or self.look_at is None or self.look_at > self.now:
            return
        if self.now + POLICY.lead_min >= SCHEDULE_AT:
            self._stand(S.REVOKED, None)
            return
        self.row = replace(
            self.row, send_number=self.row.send_number + 1, claimed_at=self.now, no_records=0
        )
        self._stand(S.CLAIMED, self.now + QUIET)
        if ending in {"late", "late, and dead"}:
            # Not later than what is assumed of it.
            self.portone.arrives_at = self.now + min(delay, QUIET - timedelta(seconds=1))
        elif ending == "answered":
            self.portone.arrives_at = self.now
            self.portone.pass_time(self.now, False)
            outcome = Reserved(held(self.row))
        if ending in {"late", "lost"}:
            outcome = Unknown("no answer")
        if ending != "late, and dead":
            self._note(lambda: after_request(self.row, outcome, made.RULES, POLICY, self.now))

    def look(self, silent: bool, heard: bool) -> None:
        """Revoke what has to go, and ask what PortOne holds, if it is time to.

        A revocation may be answered and not be heard, or the question may stay without an answer.
        """
        if self.row.status not in ASKED_ABOUT or self.look_at is None or self.look_at > self.now:
            return
        if self.row.status is S.REVOKING and heard:
            self.portone.revoke()
        said: Held = StillUnresolved("no answer") if silent else self.portone.says(self.row)
        self._note(lambda: after_look(self.row, said, made.RULES, POLICY, self.now))

    def recall(self) -> None:
        """Have it revoked, as a command does."""
        if self.row.status is S.PLANNED:
            self._stand(S.REVOKED, None)
        elif self.row.status in REVOCABLE:
            self._stand(S.REVOKING, self.now)

    def write(self) -> None:
        """Write the oldest move, unless the reservation stands otherwise since."""
        if not self.pending:
            return
        move = self.pending.pop(0)
        seen = move.reservation
        if (self.row.status, self.row.send_number) == (seen.status, seen.send_number):
            self.row = replace(self.row, looks=move.looks, no_records=move.no_records)
            self._stand(move.status, move.look_at)

    def _note(self, move: Callable[[], ReservationMove]) -> None:
        self.pending.append(move())

    def _stand(self, status: ReservationStatus, look_at: datetime | None) -> None:
        before = self.row.status
        assert status is before or status in RESERVATION_TRANSITIONS[before], (before, status)
        self.row, self.look_at = replace(self.row, status=status), look_at

    def check(self) -> None:
        """Fail if somebody else could collect what PortOne collects too."""
        assert (self.look_at is not None) == (self.row.status in LOOKED_AT)
        if self.row.status not in LIVE or self.row.status is S.PLANNED:
            assert not self.portone.may_take_money, (self.row.status, self.portone)


WAITS: Final = st.tuples(
    st.just("wait"),
    st.sampled_from(["look", "look", "charge", "second", "settle delay"]),
    st.booleans(),
)
REQUESTS: Final = st.tuples(
    st.just("request"),
    st.sampled_from(["answered", "late", "late, and dead", "lost", "unsent"]),
    st.sampled_from([timedelta(0), timedelta(minutes=2), QUIET]),
    st.sampled_from(_UNSENT),
)
WRITE: Final = st.tuples(st.just("write"))
# What one worker does in a row unless something comes between.
STEPS: Final = st.one_of(
    st.tuples(REQUESTS, WRITE),
    st.tuples(REQUESTS),
    st.tuples(WAITS),
    st.tuples(WAITS, st.tuples(st.just("look"), st.booleans(), st.booleans()), WRITE),
    st.tuples(WAITS, st.tuples(st.just("look"), st.booleans(), st.booleans())),
    st.tuples(WRITE),
    st.tuples(st.tuples(st.just("recall"))),
    st.tuples(st.tuples(st.just("revoked by others"))),
)


RESERVED: Final = ((("request", "answered", timedelta(0), _UNSENT[0]), ("write",)),)
RECALLED: Final = (*RESERVED, (("recall",),))


@settings(max_examples=300)
@given(
    st.sampled_from([None, ScheduleStatus.REVOKED]),
    # Most of what can go wrong begins late in a life.
    st.sampled_from([(), RESERVED, RECALLED]),
    st.lists(STEPS, min_size=4, max_size=25),
)
# A look whose answer is from before the request was carried out, written after the settle delay.
@example(
    None,
    (),
    [
        (("request", "late", QUIET, NotSent("")), ("recall",), ("wait", "settle delay", False)),
        (("look", False, True), ("wait", "look", False), ("write",), ("write",)),
    ],
)
def test_nobody_else_collects_what_portone_may_still_execute(
    before: ScheduleStatus | None,
    beginning: tuple[tuple[tuple[Any, ...], ...], ...],
    steps: list[tuple[tuple[Any, ...], ...]],
) -> None:
    life = Life(PortOne(before))
    acts: dict[object, Callable[..., None]] = {
        "wait": life.wait,
        "request": life.request,
        "look": life.look,
        "write": life.write,
        "recall": life.recall,
        "revoked by others": life.portone.revoke,
    }
    for name, *values in itertools.chain(*beginning, *steps):
        acts[name](*values)
        life.check()


@st.composite
def answered(draw: st.DrawFn) -> tuple[Reservation, ReservationMove, timedelta]:
    """A reservation, what any answer makes of it, and how long after its last request."""
    status = draw(st.sampled_from(sorted(ASKED_ABOUT)))
    age = draw(st.timedeltas(timedelta(0), timedelta(days=5)))
    seen = reservation(
        status,
        claimed_at=made.NOW,
        send_number=draw(st.integers(1, 20)),
        looks=draw(st.integers(0, 50)),
        no_records=draw(st.integers(0, 5)),
    )
    now, rules = made.NOW + age, draw(made.RULE_SETS)
    if status is S.CLAIMED and draw(st.booleans()):
        outcome = draw(st.sampled_from(outcomes_of(seen)))
        return seen, after_request(seen, outcome, rules, POLICY, now), age
    return seen, after_look(seen, draw(st.sampled_from(held_of(seen))), rules, POLICY, now), age


@given(answered())
def test_no_answer_moves_a_reservation_otherwise_than_the_table_says(
    drawn: tuple[Reservation, ReservationMove, timedelta],
) -> None:
    seen, move, age = drawn
    assert move.status is seen.status or move.status in RESERVATION_TRANSITIONS[seen.status]
    assert (move.look_at is not None) == (move.status in LOOKED_AT)
    assert move.reservation is seen
    if move.look_at is not None and move.status is seen.status:
        # Nobody is asked without pause.
        assert move.look_at > made.NOW + age
