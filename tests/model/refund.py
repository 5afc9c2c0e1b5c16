"""Refunds as a model: two of one payment that look the same, workers, the gateway and its console.

The guard is ``checksum``: the balance before the refund. The gateway does nothing under a checksum
that is not its balance, and a balance only falls. So nothing here depends on how long the gateway
works on a request or on how long its look-ups hide what was done. Time, messages, sleepers and
deaths are abstracted as in the model of the charge.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from tests.model.checker import Step

WAITING: Final = "waiting"
CLAIMED: Final = "claimed"
UNKNOWN: Final = "unknown"
PARKED: Final = "parked"
DONE: Final = "done"
REFUSED: Final = "refused"
VOID: Final = "void"
INQUIRABLE: Final = (CLAIMED, UNKNOWN)
UNSETTLED: Final = (WAITING, CLAIMED, UNKNOWN, PARKED)

# When a refund is sent, or its payment is read.
LATER: Final = "later"
DUE: Final = "due"
BUSY: Final = "busy"
ASK: Final = "ask"
GAP: Final = "gap"
NEVER: Final = ""

IDLE: Final = "idle"
CLAIMING: Final = "claiming"
SENDING: Final = "sending"
AWAITING: Final = "awaiting"
HEARD: Final = "heard"
ASKING: Final = "asking"

UNMOVED: Final = "unmoved"
LOST: Final = "lost"
DENIED: Final = "denied"
AGAIN: Final = "asked again"
RESEND: Final = "sent again"
ELSEWHERE: Final = "cancelled elsewhere"

# All in the same units: every refund is of one.
PAID_AMOUNT: Final = 4
NO_CHECKSUM: Final = 0
CONSOLE: Final = -1

GIVEN_BACK_TWICE: Final = "given back twice"
FALSE_END: Final = "an end that the gateway does not know of"
FOR_NOTHING: Final = "refused although the gateway was willing"
TOLD_WRONG: Final = "a refund of ours is told of as somebody else's"


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of ours; the defaults are those of the code.

    Attributes:
        checksum_is_kept: While a send is in doubt, the next one goes out under its checksum.
        checksum_is_committed: It is computed once, before the first send.
        one_under_way: Of one payment, one refund may have been sent and not have ended.
        refusals_are_read: A refusal is believed only after the payment was read.
        doubt_outlives_refusal: A refused send does not end the doubt about an earlier one.
        unknown_is_read: A lost reply has the payment read; otherwise it is a refusal.
        send_is_compared: A settlement names its send and its checksum.
        dead_claims_have_an_owner: An inquiry finds a claim whose worker is gone.
        deadline: What is unknown for too long is a person's.
        hints_leave_what_is_under_way: What the gateway shows is not taken over meanwhile.
    """

    checksum_is_kept: bool = True
    checksum_is_committed: bool = True
    one_under_way: bool = True
    refusals_are_read: bool = True
    doubt_outlives_refusal: bool = True
    unknown_is_read: bool = True
    send_is_compared: bool = True
    dead_claims_have_an_owner: bool = True
    deadline: bool = True
    hints_leave_what_is_under_way: bool = True


@dataclass(frozen=True, slots=True)
class World:
    """What is assumed of the world.

    Attributes:
        checksum_guards: The gateway refuses a checksum that is not its balance.
        finishes_in_time: The gateway has finished a request by the end of the settle delay.
    """

    checksum_guards: bool = True
    finishes_in_time: bool = True


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much happens in one life.

    Attributes:
        refunds: How many are asked for, each of one unit.
        consoles: How often somebody cancels by hand.
        console_amount: How much each time; of one unit it looks like one of ours.
        refusals: How often the gateway refuses what it could do.
        people: How often a person decides about a dead letter.
    """

    refunds: int = 2
    workers: int = 2
    crashes: int = 1
    faults: int = 1
    consoles: int = 0
    console_amount: int = 2
    refusals: int = 0
    people: int = 0


class Row(NamedTuple):
    """The row of one refund."""

    status: str = WAITING
    at: str = DUE
    checksum: int = NO_CHECKSUM
    doubt: bool = False
    refused: bool = False
    overdue: bool = False


class Worker(NamedTuple):
    """One thread of one process, and what it holds in its memory."""

    at: str = IDLE
    refund: int = 0
    checksum: int = NO_CHECKSUM
    current: bool = False
    fresh: bool = False
    doubt: bool = False
    refused: bool = False
    hand: str = ""
    shown: int = 0


class State(NamedTuple):
    """Everything that matters.

    ``cancelled`` is what our row of the payment says was given back, ``elsewhere`` what of it was
    told of as somebody else's cancellation; ``book`` is what the gateway did, by refund and amount,
    of which look-ups show the first ``shown``; ``flying`` are requests whose sender does not wait
    any more.
    """

    rows: tuple[Row, ...]
    workers: tuple[Worker, ...]
    crashes: int
    faults: int
    cancelled: int = 0
    elsewhere: int = 0
    book: tuple[tuple[int, int], ...] = ()
    shown: int = 0
    flying: tuple[tuple[int, int], ...] = ()
    unwilling: frozenset[int] = frozenset()
    consoles: int = 0
    refusals: int = 0
    people: int = 0

    @property
    def left(self) -> int:
        """What the gateway can still cancel."""
        return PAID_AMOUNT - sum([amount for _, amount in self.book])


@dataclass(frozen=True)
class Refund:
    """The model of the refunds of one payment."""

    rules: Rules = field(default_factory=Rules)
    world: World = field(default_factory=World)
    bounds: Bounds = field(default_factory=Bounds)

    def initial(self) -> State:
        """Return refunds that are due."""
        bounds = self.bounds
        return State(
            rows=(Row(),) * bounds.refunds,
            workers=(Worker(),) * bounds.workers,
            crashes=bounds.crashes,
            faults=bounds.faults,
            consoles=bounds.consoles,
            refusals=bounds.refusals,
            people=bounds.people,
        )

    def steps(self, state: State) -> Iterator[Step[State]]:
        """Return whatever may happen."""
        yield from self._time(state)
        yield from self._gateway(state)
        yield from self._people(state)
        before = None
        for worker in state.workers:
            if worker == before:
                continue
            before = worker
            match worker.at:
                case "idle":
                    yield from self._begin(state, worker)
                case "claiming":
                    yield from self._commit_claim(state, worker)
                case "sending":
                    yield from self._send(state, worker)
                case "awaiting":
                    yield from self._answer(state, worker)
                case "asking":
                    yield from self._read(state, worker)
                case "heard":
                    yield f"a worker settles: {worker.hand}", True, self._settle(state, worker)
                case _:
                    raise AssertionError(worker)
            if worker.at != IDLE and state.crashes:
                yield "a worker dies", False, _died(state, worker)

    def wrong(self, before: State, after: State) -> Iterator[str]:
        """Return what must never be."""
        done = [refund for refund, _ in after.book if refund != CONSOLE]
        if len(done) != len(set(done)):
            yield GIVEN_BACK_TWICE
        for refund, row in enumerate(after.rows):
            was = before.rows[refund]
            if row.status == was.status:
                continue
            if row.status == DONE and refund not in done:
                yield FALSE_END
            if row.status == REFUSED:
                if refund in done:
                    yield FALSE_END
                if was.checksum and refund not in after.unwilling:
                    yield FOR_NOTHING
        if after.elsewhere > before.elsewhere:
            others = sum(amount for refund, amount in after.book if refund == CONSOLE)
            given_up = sum(after.rows[refund].status == VOID for refund in done)
            if after.elsewhere > others + given_up:
                yield TOLD_WRONG

    def is_good_end(self, state: State) -> bool:
        """Say whether rows and book agree, nobody works any more, and nothing is owed."""
        if state.flying or any(worker.at != IDLE for worker in state.workers):
            return False
        is_parked = any(row.status == PARKED for row in state.rows)
        done = {refund for refund, _ in state.book}
        for refund, row in enumerate(state.rows):
            if row.status == DONE and refund in done:
                continue
            if row.status in (REFUSED, VOID) and (refund not in done or row.status == VOID):
                continue
            if row.status == PARKED or (row.status == WAITING and is_parked):
                continue
            return False
        return True

    # Time passes.

    def _time(self, s: State) -> Iterator[Step[State]]:
        for refund, row in enumerate(s.rows):
            if row.at == LATER:
                yield "the refund falls due", True, _row(s, refund, row._replace(at=DUE))
            if row.at == GAP:
                yield "the gap between inquiries ends", True, _row(s, refund, row._replace(at=ASK))
            if row.at == BUSY and self._nothing_is_under_way(s, refund):
                workers = sorted(
                    w._replace(fresh=False) if w.refund == refund else w for w in s.workers
                )
                after = _row(s, refund, row._replace(at=ASK))._replace(workers=tuple(workers))
                yield "lease and settle delay end", True, after
            in_doubt = row.status in INQUIRABLE or (row.status == WAITING and row.doubt)
            if in_doubt and not row.overdue and row.at != BUSY and self.rules.deadline:
                after = _row(s, refund, row._replace(overdue=True))
                yield "the deadline of what is unknown passes", True, after

    def _nothing_is_under_way(self, s: State, refund: int) -> bool:
        if any(w.at == AWAITING and w.refund == refund and w.current for w in s.workers):
            return False
        if not self.world.finishes_in_time:
            return True
        return not any(flying == refund for flying, _ in s.flying)

    # The gateway.

    def _refuses(self, s: State, checksum: int) -> bool:
        left = s.left
        return left < 1 or (checksum != left and self.world.checksum_guards)

    def _gateway(self, s: State) -> Iterator[Step[State]]:
        for request in dict.fromkeys(s.flying):
            rest = list(s.flying)
            rest.remove(request)
            landed = s._replace(flying=tuple(rest))
            yield "the gateway forgets a late request", True, landed
            refund, checksum = request
            if not self._refuses(s, checksum):
                yield "late, the gateway gives back", True, _give_back(landed, refund)
        if s.shown < len(s.book):
            yield "look-ups show what was done", True, s._replace(shown=len(s.book))

    def _answer(self, s: State, w: Worker) -> Iterator[Step[State]]:
        """Let a request arrive or not, and its reply."""
        lost = w._replace(at=HEARD, hand=LOST)
        denied = w._replace(at=HEARD, hand=DENIED)
        if self._refuses(s, w.checksum):
            yield "the gateway refuses and says so", True, _with(s, w, denied)
        else:
            done = _give_back(s, w.refund)
            shown = PAID_AMOUNT - done.left
            heard = w._replace(at=HEARD, hand=DONE, shown=shown)
            yield "the gateway gives back and says so", True, _with(done, w, heard)
            if s.faults:
                after = _spend(_with(done, w, lost))
                yield "the gateway gives back, the reply is lost", False, after
                hidden = after._replace(shown=s.shown)
                yield "the gateway gives back and hides it, the reply is lost", False, hidden
                hidden = _spend(_with(done, w, heard))._replace(shown=s.shown)
                yield "the gateway gives back, hides it and says so", False, hidden
            if s.refusals:
                unwilling = s._replace(refusals=s.refusals - 1, unwilling=s.unwilling | {w.refund})
                yield "the gateway is unwilling", False, _with(unwilling, w, denied)
        if s.faults:
            yield "the request is lost", False, _spend(_with(s, w, lost))
            flying = tuple(sorted([*s.flying, (w.refund, w.checksum)]))
            late = _spend(_with(s, w, lost))._replace(flying=flying)
            yield "the time-out passes first", False, late

    # Workers.

    def _begin(self, s: State, w: Worker) -> Iterator[Step[State]]:
        """Take a message: claim a refund, or read its payment."""
        is_locked = any(other.at == CLAIMING for other in s.workers)
        for refund, row in enumerate(s.rows):
            if row.status == WAITING and row.at == DUE and not is_locked:
                yield from self._lock(s, w, refund, row)
            asked = INQUIRABLE if self.rules.dead_claims_have_an_owner else (UNKNOWN,)
            if row.status in asked and row.at == ASK:
                asking = Worker(
                    ASKING, refund, row.checksum, True, doubt=row.doubt, refused=row.refused
                )
                yield "a worker opens the question", True, _with(s, w, asking)

    def _lock(self, s: State, w: Worker, refund: int, row: Row) -> Iterator[Step[State]]:
        if self.rules.one_under_way and _is_under_way(s, but=refund):
            return
        checksum = row.checksum or PAID_AMOUNT - s.cancelled
        if not row.checksum and s.cancelled >= PAID_AMOUNT:
            ended = row._replace(status=REFUSED, at=NEVER)
            yield "a refund that does not fit ends unsent", True, _row(s, refund, ended)
            return
        if not self.rules.checksum_is_committed:
            checksum = s.left
        claiming = Worker(CLAIMING, refund, checksum, fresh=True, doubt=row.doubt)
        yield "a worker locks the due refund", True, _with(s, w, claiming)

    def _commit_claim(self, s: State, w: Worker) -> Iterator[Step[State]]:
        row = s.rows[w.refund]
        if row.status != WAITING:
            yield "the claim is lost", True, _with(s, w, Worker())
            return
        claimed = Row(CLAIMED, BUSY, w.checksum, row.doubt, overdue=row.overdue and row.doubt)
        others = s._replace(
            workers=tuple(
                other._replace(current=False) if other.refund == w.refund else other
                for other in s.workers
            )
        )
        sending = w._replace(at=SENDING, current=True)
        yield "the claim is committed", True, _row(_with(others, w, sending), w.refund, claimed)

    def _send(self, s: State, w: Worker) -> Iterator[Step[State]]:
        """Ask the fence, and hand the bytes over."""
        kept = w._replace(at=HEARD, fresh=False, hand=UNMOVED)
        yield "the fence keeps the request", True, _with(s, w, kept)
        if w.fresh:
            yield "the request leaves", True, _with(s, w, w._replace(at=AWAITING, fresh=False))
            if s.faults:
                yield "no connection, or told to wait", False, _spend(_with(s, w, kept))

    def _read(self, s: State, w: Worker) -> Iterator[Step[State]]:
        """Read the payment, and conclude from the sums whose cancellations they are."""
        row = s.rows[w.refund]
        overdue = row.overdue and w.current
        yield "the look-up fails", True, _heard(s, w, AGAIN)
        history = s.book[: s.shown]
        shown = sum([amount for _, amount in history])
        before = PAID_AMOUNT - w.checksum
        if shown < before:
            hand = AGAIN
        elif shown == before:
            in_doubt = w.doubt and self.rules.doubt_outlives_refusal
            hand = RESEND
            if w.refused:
                hand = AGAIN if in_doubt else REFUSED
        else:
            hand = _whose(history, before)
        yield "the payment is read", True, _heard(s, w, hand, shown)
        if overdue:
            # Not before it was asked or sent often enough, which is not counted here.
            yield "the look-up fails, too late", True, _heard(s, w, PARKED)
            if hand in (AGAIN, RESEND):
                yield "the payment is read, too late", True, _heard(s, w, PARKED)

    # What an ending changes.

    def _settle(self, s: State, w: Worker) -> State:
        """Write what a worker has heard, under compare-and-set."""
        row, hand = s.rows[w.refund], w.hand
        after = _with(s, w, Worker())
        is_send = (w.current and w.checksum == row.checksum) or not self.rules.send_is_compared
        is_open = row.status in INQUIRABLE or (hand == DONE and row.status in UNSETTLED)
        if not (is_send and is_open):
            return after
        moved = _row(after, w.refund, self._moved(row, w))
        if hand == DONE:
            if s.cancelled == PAID_AMOUNT - w.checksum:
                moved = moved._replace(cancelled=s.cancelled + 1)
            return self._adopt(moved, w.shown)
        return self._adopt(moved, w.shown) if hand == ELSEWHERE else moved

    def _adopt(self, s: State, shown: int) -> State:
        """Take over what the gateway shows beyond what we know, unless it may be ours."""
        if self.rules.hints_leave_what_is_under_way and _is_under_way(s):
            return s
        more = max(shown - s.cancelled, 0)
        return s._replace(cancelled=s.cancelled + more, elsewhere=s.elsewhere + more)

    def _moved(  # noqa: C901, PLR0911, PLR0912 - a decision table, one row a return
        self, row: Row, w: Worker
    ) -> Row:
        """Return the row after a move that won."""
        rules, hand = self.rules, w.hand
        # Of a send that was refused, only the earlier ones can be in doubt.
        doubted = w.doubt if w.refused else True
        if (hand == LOST and not rules.unknown_is_read) or (
            hand == DENIED and not rules.refusals_are_read
        ):
            hand = REFUSED
        same = Row(row.status, NEVER, row.checksum, overdue=row.overdue)
        match hand:
            case "done":
                return same._replace(status=DONE, overdue=False)
            case "refused":
                return same._replace(status=REFUSED, refused=w.refused, overdue=False)
            case "parked":
                return same._replace(status=PARKED, doubt=doubted, refused=w.refused)
            case "lost":
                at = BUSY if row.at == BUSY else ASK
                return same._replace(status=UNKNOWN, at=at, doubt=True)
            case "denied":
                return same._replace(status=UNKNOWN, at=ASK, doubt=w.doubt, refused=True)
            case "asked again":
                return same._replace(status=UNKNOWN, at=GAP, doubt=doubted, refused=w.refused)
            case "sent again":
                if not rules.checksum_is_kept:
                    return Row()
                return same._replace(status=WAITING, at=DUE, doubt=True)
            case "cancelled elsewhere":
                return Row()
            case "unmoved" if w.doubt:
                return same._replace(status=WAITING, at=LATER, doubt=True)
            case "unmoved":
                return Row(at=LATER)
            case _:
                raise AssertionError(hand)

    # People.

    def _people(self, s: State) -> Iterator[Step[State]]:
        """Let somebody cancel by hand, a webhook speak of it, and a person decide."""
        amount = self.bounds.console_amount
        if s.consoles and s.left >= amount:
            is_shown = s.shown == len(s.book)
            after = s._replace(consoles=s.consoles - 1, book=(*s.book, (CONSOLE, amount)))
            after = after._replace(shown=len(after.book) if is_shown else s.shown)
            yield "somebody cancels in the console", False, after
        shown = sum([amount for _, amount in s.book[: s.shown]])
        if shown > s.cancelled:
            yield "a webhook has the payment read", False, self._adopt(s, shown)
        for refund, row in enumerate(s.rows):
            if s.people and row.status == PARKED:
                after = s._replace(people=s.people - 1)
                asked = Row(UNKNOWN, ASK, row.checksum, doubt=True)
                yield "a person has it read again", False, _row(after, refund, asked)
                void = row._replace(status=VOID, overdue=False)
                yield "a person gives it up", False, _row(after, refund, void)


def _whose(history: Sequence[tuple[int, int]], before: int) -> str:
    """Return what the first cancellation after those that were known means for a refund of one.

    Whose it is the gateway tells by amount and reason, which all of ours have in common.
    """
    passed, since = 0, list(history)
    while passed < before and since:
        passed += since.pop(0)[1]
    if passed != before:
        return PARKED
    owner, amount = since[0]
    if owner != CONSOLE and amount == 1:
        return DONE
    return PARKED if any(amount == 1 for _, amount in since) else ELSEWHERE


def _is_under_way(s: State, but: int = CONSOLE) -> bool:
    return any(
        row.status in UNSETTLED and row.checksum != NO_CHECKSUM
        for refund, row in enumerate(s.rows)
        if refund != but
    )


def _heard(s: State, w: Worker, hand: str, shown: int = 0) -> State:
    heard = w._replace(at=HEARD, hand=hand, shown=shown if hand in (DONE, ELSEWHERE) else 0)
    return _with(s, w, heard)


def _give_back(s: State, refund: int) -> State:
    """Do it; it is shown unless something before it is hidden."""
    is_shown = s.shown == len(s.book)
    book = (*s.book, (refund, 1))
    return s._replace(book=book, shown=len(book) if is_shown else s.shown)


def _died(s: State, w: Worker) -> State:
    after = _with(s, w, Worker())._replace(crashes=s.crashes - 1)
    if w.at == AWAITING:
        return after._replace(flying=tuple(sorted([*s.flying, (w.refund, w.checksum)])))
    return after


def _with(s: State, old: Worker, new: Worker) -> State:
    workers = list(s.workers)
    workers[workers.index(old)] = new
    workers.sort()
    return s._replace(workers=tuple(workers))


def _row(s: State, refund: int, row: Row) -> State:
    return s._replace(rows=(*s.rows[:refund], row, *s.rows[refund + 1 :]))


def _spend(s: State) -> State:
    return s._replace(faults=s.faults - 1)


def configurations() -> Sequence[tuple[str, Refund]]:
    """Return lives in which everything happens that may happen to refunds."""
    lives = {
        "deaths": Bounds(refunds=1, faults=1, refusals=1),
        "faults": Bounds(refunds=1, crashes=0, faults=2, refusals=1),
        "two that look the same": Bounds(crashes=0),
        "a console": Bounds(refunds=1, crashes=0, faults=2, consoles=1),
        "a console that looks like us": Bounds(refunds=1, crashes=0, consoles=1, console_amount=1),
        "a console that gives all back": Bounds(
            refunds=1, crashes=0, consoles=1, console_amount=PAID_AMOUNT
        ),
        "people": Bounds(refunds=1, crashes=0, refusals=1, people=1),
    }
    return [(f"refund, {name}", Refund(bounds=bounds)) for name, bounds in lives.items()]
