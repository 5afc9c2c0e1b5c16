"""One period of one subscription, which PortOne collects by itself unless it is told otherwise.

What follows from PortOne's word is asked of the code itself (``shared.billing.reserving_rules``);
the model is of everything around it: workers that sleep and die, a gateway that answers late or
never, a merchant who changes its mind, a person at PortOne's console. A charge of ours is one step
here, and an attempt that was handed over is read in one: both have a model of their own. Time is
abstracted as in that: a lease and a settle delay end when nothing is under way any more.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Final, NamedTuple

from shared.billing.inquiry import RecordStatus, StillUnresolved
from shared.billing.outcome import NotSent, Unknown
from shared.billing.reservation import (
    Reserved,
    ScheduleOutcome,
    ScheduleRefused,
    ScheduleStatus,
)
from shared.billing.reserving import ASKED_ABOUT, LIVE, REVOCABLE, Held, ReservationStatus
from shared.billing.reserving_rules import after_look, after_request
from tests.model.checker import Step
from tests.unit.billing import made
from tests.unit.billing.reservations import POLICY, held, reservation

S = ReservationStatus
NO_ROW: Final = ""

# What PortOne holds under the name of the reservation, and how it was asked for.
NOTHING: Final = "nothing"
SCHEDULED: Final = "scheduled"
REVOKED: Final = "revoked"
PAID: Final = "paid"
FAILED: Final = "failed"

# Who collects the period.
NOBODY: Final = ""
OURS: Final = "ours"
THEIRS: Final = "PortOne's"
RETURNING: Final = "to go back"
DONE: Final = "paid"
VOID: Final = "void"

IDLE: Final = "idle"
SENDING: Final = "sending"
AWAITING: Final = "awaiting"
ANSWERED: Final = "answered"
REVOKING: Final = "revoking"
READING: Final = "reading"
HEARD: Final = "heard"

# What a worker has heard of a request, beside what PortOne holds.
LOST: Final = "lost"
KEPT: Final = "kept back"
DENIED: Final = "denied"
TAKEN: Final = "taken"

PAID_TWICE: Final = "paid twice"
UNSEEN: Final = "charged, and no row awaits it"
OUTDATED: Final = "billed at a price that is not owed any more"


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of ours; the defaults are those of the code.

    Attributes:
        begins_by_hand_over: A period that begins takes the reservation over as its first attempt.
        awaits_revocation: Nobody bills a period of which a reservation is being revoked.
        recalls: Whoever wants something else has revoked what was reserved before.
        stale_is_revoked: A period that costs something else by now is not begun as it was reserved.
        asked_is_judged: An answer is judged by when it was asked for, not by when it is read.
        send_is_compared: A settlement names the request that it is about.
        fence: A request leaves only while its lease is young.
        stranded_goes_back: What was executed for a period that does not come is given back.
        lost_is_read: A request without an answer is read; otherwise it is refused.
        silence_takes_time: That PortOne holds none is believed once no request is under way.
        executed_is_billed: What was executed though it was to be revoked is billed.
        revocation_is_read: What was told to be revoked is read until PortOne says that it is.
    """

    begins_by_hand_over: bool = True
    awaits_revocation: bool = True
    recalls: bool = True
    stale_is_revoked: bool = True
    asked_is_judged: bool = True
    send_is_compared: bool = True
    fence: bool = True
    stranded_goes_back: bool = True
    lost_is_read: bool = True
    silence_takes_time: bool = True
    executed_is_billed: bool = True
    revocation_is_read: bool = True


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much happens in one life.

    Attributes:
        plans: How often the period may be reserved, and each reservation be requested.
        wishes: How often the merchant changes its mind.
        declines: How often PortOne's charge is declined.
        refusals: How often PortOne refuses a reservation.
        consoles: How often somebody revokes at PortOne's console.
    """

    plans: int = 2
    sends: int = 2
    workers: int = 2
    crashes: int = 1
    faults: int = 1
    wishes: int = 1
    declines: int = 1
    refusals: int = 0
    consoles: int = 0


class Row(NamedTuple):
    """The newest reservation of the period; ``busy`` until nothing of its request can be heard."""

    status: str = NO_ROW
    number: int = 0
    send: int = 0
    busy: bool = False
    price: int = 0
    by_others: bool = False


class Worker(NamedTuple):
    """One thread of one process, and what it holds in its memory."""

    at: str = IDLE
    row: Row = Row()
    fresh: bool = False
    quiet: bool = False
    hand: str = ""


class State(NamedTuple):
    """Everything that matters.

    ``begun`` is whether the period has, ``comes`` whether it is owed, ``price`` what it costs;
    ``flying`` are requests and revocations whose sender does not wait any more; ``book`` is who has
    taken money for the period.
    """

    row: Row
    workers: tuple[Worker, ...]
    crashes: int
    faults: int
    wishes: int
    declines: int
    refusals: int
    consoles: int
    begun: bool = False
    comes: bool = True
    price: int = 1
    by_us: bool = False
    invoice: str = NOBODY
    holds: str = NOTHING
    held_price: int = 0
    book: tuple[str, ...] = ()
    returned: bool = False
    flying: tuple[str, ...] = ()

    @property
    def kept(self) -> int:
        """How many payments the merchant holds."""
        return len(self.book) - self.returned


@dataclass(frozen=True)
class Reservation:
    """The model of one period that PortOne is to collect."""

    rules: Rules = field(default_factory=Rules)
    bounds: Bounds = field(default_factory=Bounds)

    def initial(self) -> State:
        """Return a period that is still to begin."""
        bounds = self.bounds
        return State(
            row=Row(),
            workers=(Worker(),) * bounds.workers,
            crashes=bounds.crashes,
            faults=bounds.faults,
            wishes=bounds.wishes,
            declines=bounds.declines,
            refusals=bounds.refusals,
            consoles=bounds.consoles,
        )

    def steps(self, state: State) -> Iterator[Step[State]]:
        """Return whatever may happen."""
        yield from self._time(state)
        yield from self._gateway(state)
        yield from self._people(state)
        yield from self._period(state)
        before = None
        for worker in state.workers:
            if worker == before:
                continue
            before = worker
            yield from self._work(state, worker)
            if worker.at != IDLE and state.crashes:
                yield "a worker dies", False, _died(state, worker)

    def wrong(self, before: State, after: State) -> Iterator[str]:
        """Return what must never be."""
        if after.kept > 1:
            yield PAID_TWICE
        is_theirs_awaited = after.row.status in {*LIVE, S.RETURNING, S.COLLECTED}
        if after.holds == PAID and not is_theirs_awaited and not after.returned:
            yield UNSEEN
        begins = after.invoice == THEIRS and before.invoice == NOBODY
        if begins and before.row.status in REVOCABLE and before.row.price != before.price:
            yield OUTDATED

    def is_good_end(self, state: State) -> bool:
        """Say whether the period is decided, nobody works any more, and nothing is to come."""
        if state.flying or any(worker.at != IDLE for worker in state.workers):
            return False
        if state.row.status in LIVE or state.row.status == S.RETURNING or state.holds == SCHEDULED:
            return False
        if state.invoice == DONE:
            return state.kept == 1
        return state.kept == 0 and (state.invoice == VOID or not state.comes)

    # Time passes.

    def _time(self, s: State) -> Iterator[Step[State]]:
        is_out = any(w.at == AWAITING and w.row.number == s.row.number for w in s.workers)
        if s.row.busy and not is_out and SCHEDULED not in s.flying:
            workers = tuple(sorted(w._replace(fresh=False) for w in s.workers))
            quiet = s._replace(row=s.row._replace(busy=False), workers=workers)
            yield "lease and settle delay end", True, quiet
        if not s.begun:
            yield "the period begins", True, s._replace(begun=True)

    # PortOne.

    def _gateway(self, s: State) -> Iterator[Step[State]]:
        if s.begun and s.holds == SCHEDULED:
            paid = s._replace(holds=PAID, book=tuple(sorted([*s.book, THEIRS])))
            yield "PortOne charges", True, paid
            if s.declines:
                failed = s._replace(holds=FAILED, declines=s.declines - 1)
                yield "PortOne charges, and it is declined", False, failed
        for request in dict.fromkeys(s.flying):
            rest = list(s.flying)
            rest.remove(request)
            landed = s._replace(flying=tuple(rest))
            yield "PortOne forgets what comes late", True, landed
            if request == SCHEDULED and s.holds in (NOTHING, REVOKED):
                late = landed._replace(holds=SCHEDULED, held_price=s.row.price)
                yield "late, PortOne reserves", True, late
            if request == REVOKED and s.holds == SCHEDULED:
                yield "late, PortOne revokes", True, landed._replace(holds=REVOKED)

    def _answer(self, s: State, w: Worker) -> Iterator[Step[State]]:
        """Let a request arrive or not, and its reply."""
        lost = w._replace(at=ANSWERED, hand=LOST)
        if s.holds in (NOTHING, REVOKED):
            done = s._replace(holds=SCHEDULED, held_price=w.row.price)
            told = w._replace(at=ANSWERED, hand=SCHEDULED)
            yield "PortOne reserves and says so", True, _with(done, w, told)
            if s.faults:
                yield "PortOne reserves, the reply is lost", False, _spend(_with(done, w, lost))
            if s.refusals:
                denied = _with(s, w, w._replace(at=ANSWERED, hand=DENIED))
                yield "PortOne refuses", False, denied._replace(refusals=s.refusals - 1)
        else:
            taken = w._replace(at=ANSWERED, hand=TAKEN)
            yield "PortOne has it already, and says so", True, _with(s, w, taken)
        if s.faults:
            yield "the request is lost", False, _spend(_with(s, w, lost))
            late = _spend(_with(s, w, lost))._replace(flying=_flies(s, SCHEDULED))
            yield "the time-out passes first", False, late

    # Workers.

    def _work(self, s: State, w: Worker) -> Iterator[Step[State]]:
        match w.at:
            case "idle":
                yield from self._begin(s, w)
            case "sending":
                kept = w._replace(at=ANSWERED, fresh=False, hand=KEPT)
                yield "the fence keeps the request", True, _with(s, w, kept)
                if w.fresh or not self.rules.fence:
                    leaves = w._replace(at=AWAITING, fresh=False)
                    yield "the request leaves", True, _with(s, w, leaves)
            case "awaiting":
                yield from self._answer(s, w)
            case "revoking":
                yield from self._revoke(s, w)
            case "reading":
                heard = _with(s, w, w._replace(at=HEARD, hand=s.holds))
                yield "PortOne is asked what it holds", True, heard
                if s.faults:
                    again = _with(s, w, w._replace(at=HEARD, hand=LOST))
                    yield "PortOne cannot say what it holds", False, _spend(again)
            case _:
                yield f"a worker writes what it heard: {w.hand}", True, self._settle(s, w)

    def _begin(self, s: State, w: Worker) -> Iterator[Step[State]]:
        """Take a message: claim a plan, or look at what may be reserved."""
        row = s.row
        if row.status == S.PLANNED and not s.begun:
            if row.send < self.bounds.sends:
                claimed = row._replace(status=S.CLAIMED, send=row.send + 1, busy=True)
                sending = Worker(SENDING, claimed, fresh=True)
                yield "a worker claims the plan", True, _with(s, w, sending)._replace(row=claimed)
            else:
                given_up = s._replace(row=row._replace(status=S.REVOKED))
                yield "it becomes too late to be reserved", True, given_up
        if row.status in ASKED_ABOUT and not (row.status == S.CLAIMED and row.busy):
            at = REVOKING if row.status == S.REVOKING else READING
            looks = Worker(at, row, quiet=not row.busy)
            yield "a worker looks at the reservation", True, _with(s, w, looks)

    def _revoke(self, s: State, w: Worker) -> Iterator[Step[State]]:
        """Ask PortOne to revoke, before it is asked what it holds."""
        gone = s._replace(holds=REVOKED) if s.holds == SCHEDULED else s
        yield "PortOne is told to revoke", True, _with(gone, w, w._replace(at=READING))
        if s.faults:
            lost = w._replace(at=HEARD, hand=LOST)
            yield "PortOne revokes, the reply is lost", False, _spend(_with(gone, w, lost))
            late = _spend(_with(s, w, lost))._replace(flying=_flies(s, REVOKED))
            yield "the revocation's time-out passes first", False, late

    def _settle(self, s: State, w: Worker) -> State:
        """Write what a worker has heard, if the reservation stands as it did."""
        after = _with(s, w, Worker())
        row, seen = s.row, w.row
        is_it = (row.number, row.send) == (seen.number, seen.send)
        if row.status != seen.status or not (is_it or not self.rules.send_is_compared):
            return after
        if w.at == ANSWERED:
            hand = DENIED if w.hand == LOST and not self.rules.lost_is_read else w.hand
            status = _requested(hand, seen.price == s.held_price)
        else:
            quiet = w.quiet if self.rules.asked_is_judged else not row.busy
            status = self._looked(seen, w.hand, quiet, seen.price == s.held_price)
        # Whoever finds that somebody else has changed it leaves the period to us.
        by_others = seen.status == S.RESERVED and status in (S.REVOKED, S.REVOKING)
        return after._replace(row=row._replace(status=status, by_others=row.by_others or by_others))

    def _looked(self, seen: Row, holds: str, quiet: bool, same: bool) -> str:
        """Return where a look leads, by the code's own rule or by the mistake that is tried."""
        rules = self.rules
        if seen.status == S.REVOKING and (
            (holds == PAID and not rules.executed_is_billed)
            or (holds == LOST and not rules.revocation_is_read)
        ):
            return S.REVOKED
        return _by_rule(seen.status, holds, quiet or not rules.silence_takes_time, same)

    # The period.

    def _period(self, s: State) -> Iterator[Step[State]]:
        row = s.row
        if self._may_plan(s):
            planned = Row(S.PLANNED, row.number + 1, price=s.price)
            yield "the period is planned to be reserved", True, s._replace(row=planned)
        if s.begun and s.comes and s.invoice == NOBODY:
            yield from self._renew(s)
        if row.status == S.EXECUTED and not s.comes and s.invoice == NOBODY:
            bill = s._replace(row=row._replace(status=S.RETURNING), invoice=RETURNING)
            yield "what is stranded is billed", True, bill
        if s.invoice == OURS:
            paid = s._replace(invoice=DONE, book=tuple(sorted([*s.book, OURS])))
            yield "we charge", True, paid
        if s.invoice in (THEIRS, RETURNING):
            yield from self._inquire(s)

    def _may_plan(self, s: State) -> bool:
        row = s.row
        if s.begun or s.by_us or not s.comes or s.invoice != NOBODY:
            return False
        if row.status in LIVE or row.status == S.REFUSED or row.by_others:
            return False
        return row.number < self.bounds.plans

    def _renew(self, s: State) -> Iterator[Step[State]]:
        """Open the invoice of a period that has begun."""
        row = s.row
        if row.status == S.REVOKING and self.rules.awaits_revocation:
            return
        is_theirs = row.status in REVOCABLE and self.rules.begins_by_hand_over
        if is_theirs and row.price != s.price and self.rules.stale_is_revoked:
            yield "what is outdated is recalled", True, _recalled(s)
        elif is_theirs or row.status == S.EXECUTED:
            handed = s._replace(row=row._replace(status=S.COLLECTED), invoice=THEIRS)
            yield "the period begins as it was reserved", True, handed
        else:
            yield "the period is ours to charge", True, _recalled(s)._replace(invoice=OURS)

    def _inquire(self, s: State) -> Iterator[Step[State]]:
        """Read what became of an attempt that PortOne was to make."""
        goes_back = s.invoice == RETURNING
        ended = s.row._replace(status=S.COLLECTED)
        if s.holds == PAID:
            if not goes_back:
                yield "its payment is read", True, s._replace(invoice=DONE)
            elif self.rules.stranded_goes_back:
                back = s._replace(row=ended, invoice=VOID, returned=True)
                yield "its payment is given back", True, back
        is_over = s.holds in (NOTHING, REVOKED) and not s.row.busy
        if s.holds == FAILED or is_over:
            left = s._replace(row=ended, invoice=VOID if goes_back else OURS)
            yield "no money has moved by it", True, left

    # People.

    def _people(self, s: State) -> Iterator[Step[State]]:
        """Let the merchant change its mind, and somebody revoke at PortOne's console."""
        if s.wishes and s.invoice == NOBODY:
            after = s._replace(wishes=s.wishes - 1)
            if self.rules.recalls:
                after = _recalled(after)
            yield "the subscription is paused, or goes on", False, after._replace(comes=not s.comes)
            yield "the price changes", False, after._replace(price=3 - s.price)
            yield "the collector is switched", False, after._replace(by_us=not s.by_us)
        if s.consoles and s.holds == SCHEDULED:
            after = s._replace(consoles=s.consoles - 1, holds=REVOKED)
            yield "somebody revokes in the console", False, after


@cache
def _by_rule(status: str, holds: str, quiet: bool, same: bool) -> str:
    """Return where a look takes a reservation, by the code's own rule.

    Args:
        quiet: Whether nothing of its request could be under way when PortOne was asked.
        same: Whether it costs at PortOne what was asked for.
    """
    needed = made.RULES.inquiry.no_records_needed
    stands = reservation(S(status), no_records=needed)
    silent_for = made.LEASES.lease + made.LEASES.settle_delay
    now = made.CLAIMED_AT + silent_for if quiet else made.CLAIMED_AT
    amount = stands.price.amount + (not same)
    executed = ScheduleStatus.EXECUTED
    word: Held = {
        LOST: StillUnresolved("nobody can say"),
        NOTHING: None,
        SCHEDULED: held(stands, amount=amount),
        REVOKED: held(stands, ScheduleStatus.REVOKED),
        PAID: held(stands, executed, paid=RecordStatus.PAID, amount=amount),
        FAILED: held(stands, executed, paid=RecordStatus.FAILED, amount=amount),
    }[holds]
    return after_look(stands, word, made.RULES, POLICY, now).status


@cache
def _requested(hand: str, same: bool) -> str:
    """Return where the answer to a request takes a reservation, by the code's own rule."""
    stands = reservation(S.CLAIMED)
    said = held(stands, amount=stands.price.amount + (not same))
    outcomes: dict[str, ScheduleOutcome] = {
        SCHEDULED: Reserved(said),
        LOST: Unknown("no reply"),
        KEPT: NotSent("kept back"),
        DENIED: ScheduleRefused("no"),
        TAKEN: ScheduleRefused("taken", is_taken=True),
    }
    return after_request(stands, outcomes[hand], made.RULES, POLICY, made.CLAIMED_AT).status


def _recalled(s: State) -> State:
    """Have revoked what is reserved; what was only planned ends at once."""
    if s.row.status == S.PLANNED:
        return s._replace(row=s.row._replace(status=S.REVOKED))
    if s.row.status in REVOCABLE:
        return s._replace(row=s.row._replace(status=S.REVOKING))
    return s


def _died(s: State, w: Worker) -> State:
    after = _with(s, w, Worker())._replace(crashes=s.crashes - 1)
    if w.at == AWAITING:
        return after._replace(flying=_flies(s, SCHEDULED))
    if w.at == REVOKING:
        return after._replace(flying=_flies(s, REVOKED))
    return after


def _flies(s: State, request: str) -> tuple[str, ...]:
    return tuple(sorted([*s.flying, request]))


def _with(s: State, old: Worker, new: Worker) -> State:
    workers = list(s.workers)
    workers[workers.index(old)] = new
    workers.sort()
    return s._replace(workers=tuple(workers))


def _spend(s: State) -> State:
    return s._replace(faults=s.faults - 1)


def configurations() -> Sequence[tuple[str, Reservation]]:
    """Return lives in which everything happens that may happen to a reservation."""
    lives = {
        "deaths": Bounds(plans=1, crashes=2, faults=0),
        "faults": Bounds(plans=1, crashes=0, faults=2, declines=0),
        "both": Bounds(plans=1, sends=1),
        "reserved anew": Bounds(sends=1, crashes=0, declines=0),
        "a console": Bounds(plans=1, sends=1, crashes=0, consoles=1, refusals=1),
    }
    return [(f"reservation, {name}", Reservation(bounds=bounds)) for name, bounds in lives.items()]
