"""The charge protocol as a model: one invoice, its attempts, workers, messages and the gateway.

What is a rule of ours stands in ``Rules``, what is assumed of the world in ``World``: each can be
taken away, and the tests show what goes wrong without it. What happens how often is in ``Bounds``.

Abstractions, each to the dangerous side:

- *Messages.* Any worker may get a message about the invoice or its attempt at any instant and as
  often as it likes, so every duplicate, redelivery, delay and reordering is covered. That a message
  is *lost* is told apart, since then somebody must send it again: calm steps need a message.
- *Time* is a few instants. A worker's send window ends whenever it likes. ``BUSY`` ends, and with
  it lease and settle delay, once nothing of the claim is under way any more: that this is so is
  what fence, time-out, lease and settle delay together promise. Then come the gaps between
  inquiries, the dunning delay, and the deadline of what is unknown.
- *Sends* are not counted: a claim is the attempt's latest send or an older one (``current``), which
  is all that compare-and-set asks.
- *Sleepers.* No worker has to go on. One that stands still with a claim, with its request at the
  gateway, with a reply or with an inquiry's answer goes on as late as it likes, or dies.

Of the gateway, each ``merchant_uid`` has a record, requests of senders that are gone, and perhaps
look-ups that do not show what was booked.
"""

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from tests.model.checker import Step
from tests.support.book import DuplicatePolicy

# Where an attempt stands, and an invoice: the words of the rows.
NONE: Final = ""
CLAIMED: Final = "claimed"
UNKNOWN: Final = "unknown"
WAITING: Final = "waiting"
PARKED: Final = "parked"
PAID: Final = "paid"
DECLINED: Final = "declined"
DEAD: Final = "method_dead"
VOID: Final = "void"
OPEN: Final = "open"
UNCOLLECTIBLE: Final = "uncollectible"
INQUIRABLE: Final = (CLAIMED, UNKNOWN)
UNSETTLED: Final = (CLAIMED, UNKNOWN, WAITING, PARKED)
IN_DOUBT: Final = (CLAIMED, UNKNOWN, PARKED)

# When the invoice is to be sent: not at all, after a delay, now.
NEVER: Final = "never"
LATER: Final = "later"
DUE: Final = "due"

# When the gateway may be asked: after lease and settle delay, now, after a gap.
BUSY: Final = "busy"
ASK: Final = "ask"
GAP: Final = "gap"

# What a worker does.
IDLE: Final = "idle"
CLAIMING: Final = "claiming"
SENDING: Final = "sending"
AWAITING: Final = "awaiting"
HEARD: Final = "heard"
ASKING: Final = "asking"

# What a worker has heard and is about to write, beside the ends of an attempt.
UNMOVED: Final = "unmoved"
LOST: Final = "lost"
DUPLICATE: Final = "duplicate"
AGAIN: Final = ("asked again", "asked again, seen once")
RESEND: Final = "sent again"

# More are made by a mistake only; two are enough to pay twice.
UIDS_MAX: Final = 4

PAID_TWICE: Final = "paid twice"
NEW_NUMBER: Final = "a new number without a definite decline"
EARLY: Final = "sent before it was due"
COUNTED_TWICE: Final = "one decline counted twice"
FALSE_END: Final = "an end that the gateway does not know of"


class UnknownIs(enum.Enum):
    """What a lost reply is taken for."""

    ASKED_ABOUT = enum.auto()
    DECLINED = enum.auto()
    SENT_AGAIN = enum.auto()


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of ours; the defaults are those of the code.

    Attributes:
        fence: Nothing is sent once the send window is over.
        fence_before_claim: The window is measured from before the claim is committed.
        claim_is_committed: Before a byte leaves; otherwise a death takes the claim with it.
        one_claims: Row lock and constraint let one worker claim at a time.
        due_is_checked: A claim needs an invoice that is due.
        lease_covers_timeout: The lease is longer than send window and time-out together.
        settle_delay: Silence is believed only after the gateway has finished.
        silences: How many inquiries in a row must find nothing.
        gap: There is a gap between them.
        send_is_compared: A settlement names its send.
        status_is_compared: A settlement needs an attempt that is not settled.
        unknown: What a lost reply is taken for.
        silence_keeps_uid: What was lost goes out under the same ``merchant_uid``.
        fresh_uids: Every send has a ``merchant_uid`` of its own.
        duplicate_is_read: A refusal as a duplicate is looked up; otherwise it is a decline.
        stale_claims_are_asked: A claim past its lease is asked about; otherwise it is let go.
        dead_claims_have_an_owner: An inquiry finds a claim whose worker is gone.
        lost_messages_come_again: A scan sends a message again that nobody worked.
        deadline: What is unknown for too long is a person's.
        asks_on: A lost send that is not sent again, because the subscription has ended or the key
            is dead, is asked about on.
    """

    fence: bool = True
    fence_before_claim: bool = True
    claim_is_committed: bool = True
    one_claims: bool = True
    due_is_checked: bool = True
    lease_covers_timeout: bool = True
    settle_delay: bool = True
    silences: int = 2
    gap: bool = True
    send_is_compared: bool = True
    status_is_compared: bool = True
    unknown: UnknownIs = UnknownIs.ASKED_ABOUT
    silence_keeps_uid: bool = True
    fresh_uids: bool = False
    duplicate_is_read: bool = True
    stale_claims_are_asked: bool = True
    dead_claims_have_an_owner: bool = True
    lost_messages_come_again: bool = True
    deadline: bool = True
    asks_on: bool = True


@dataclass(frozen=True, slots=True)
class World:
    """What is assumed of the world.

    Attributes:
        policy: What burns a ``merchant_uid``.
        finishes_in_time: The gateway has finished or forgotten a request by the end of the settle
            delay.
        clocks_agree: No machine is so far ahead that it asks before another one's lease is over.
        lag_is_short: Where nothing burns a ``merchant_uid``, look-ups show what was booked by the
            time of the second one in a row.
        declines_show: Look-ups show a decline once the settle delay is over.
        refuses_first: A gateway that refuses a paid ``merchant_uid`` does so before it looks at
            the billing key or the card.
        last_silence_is_true: After the end of a subscription, near the deadline of what is unknown,
            a look-up that showed nothing is no older than what was hidden.
    """

    policy: DuplicatePolicy = DuplicatePolicy.NONE
    finishes_in_time: bool = True
    clocks_agree: bool = True
    lag_is_short: bool = True
    declines_show: bool = True
    refuses_first: bool = True
    last_silence_is_true: bool = True


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much happens in one life.

    Attributes:
        declines: After how many declines nothing more is tried.
        people: How often a person decides about a dead letter.
        new_methods: How often the buyer brings another payment method.
        cancellations: How often the subscription is canceled.
        key_deaths: How often the billing key is found dead by a charge for something else.
        switches: How often declined invoices are left to rest, until they are taken up again.
        grace: Whether an invoice that is past due is given up when its grace period is over.
        is_charged: Whether the price is one that the gateway is asked for at all.
    """

    workers: int = 2
    crashes: int = 2
    faults: int = 2
    declines: int = 2
    people: int = 0
    new_methods: int = 0
    cancellations: int = 0
    key_deaths: int = 0
    switches: int = 0
    grace: bool = False
    is_charged: bool = True


class Attempt(NamedTuple):
    """The row of the latest attempt; its number is that of the gateway's last record."""

    status: str = NONE
    doubt: bool = False
    overdue: bool = False
    held: bool = False
    seen: int = 0
    ask: str = NONE
    overtaken: bool = False


class Record(NamedTuple):
    """What the gateway knows of one ``merchant_uid``.

    ``flying`` counts requests whose sender does not wait any more. ``hidden`` is a payment, and
    ``veiled`` a decline, that look-ups do not show.
    """

    paid: int = 0
    failed: bool = False
    dead: bool = False
    flying: int = 0
    hidden: bool = False
    veiled: bool = False


class Worker(NamedTuple):
    """One thread of one process, and what it holds in its memory."""

    at: str = IDLE
    number: int = 0
    current: bool = False
    fresh: bool = False
    doubt: bool = False
    held: bool = False
    seen: int = 0
    hand: str = NONE


class State(NamedTuple):
    """Everything that matters."""

    invoice: str
    when: str
    declines: int
    attempt: Attempt
    records: tuple[Record, ...]
    workers: tuple[Worker, ...]
    crashes: int
    faults: int
    # A message that nobody will get; a payment that a person was told of.
    message_lost: bool = False
    told: bool = False
    stopped: bool = False
    key_dead: bool = False
    canceled: bool = False
    rests: bool = False
    people: int = 0
    new_methods: int = 0
    cancellations: int = 0
    key_deaths: int = 0
    switches: int = 0


@dataclass(frozen=True)
class Charge:
    """The model of one invoice's life."""

    rules: Rules = field(default_factory=Rules)
    world: World = field(default_factory=World)
    bounds: Bounds = field(default_factory=Bounds)

    def initial(self) -> State:
        """Return an invoice that is due."""
        bounds = self.bounds
        return State(
            invoice=OPEN,
            when=DUE,
            declines=0,
            attempt=Attempt(),
            records=(),
            workers=(Worker(),) * bounds.workers,
            crashes=bounds.crashes,
            faults=bounds.faults,
            people=bounds.people,
            new_methods=bounds.new_methods,
            cancellations=bounds.cancellations,
            key_deaths=bounds.key_deaths,
            switches=bounds.switches,
        )

    def steps(self, state: State) -> Iterator[Step[State]]:
        """Return whatever may happen."""
        for action, is_calm, after in self._steps(state):
            yield action, is_calm, self._without_idlers(after)

    def _steps(self, state: State) -> Iterator[Step[State]]:
        yield from self._time(state)
        yield from self._gateway(state)
        yield from self._messages(state)
        yield from self._people(state)
        before = None
        for worker in state.workers:
            # Workers are interchangeable and sorted: equal ones would do the same.
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
                    yield from self._look_up(state, worker)
                case "heard":
                    yield f"a worker settles: {worker.hand}", True, self._settle(state, worker)
                case _:
                    raise AssertionError(worker)
            if worker.at != IDLE and state.crashes:
                yield "a worker dies", False, self._died(state, worker)

    def wrong(self, before: State, after: State) -> Iterator[str]:
        """Return what must never be."""
        if after.records is not before.records and _paid(after) > 1:
            yield PAID_TWICE
        if len(after.records) > len(before.records) > 0:
            last = before.records[-1]
            if last.paid or last.flying or not (last.failed or last.dead):
                yield NEW_NUMBER
        if before.when != DUE and _count(after, CLAIMING) > _count(before, CLAIMING):
            yield EARLY
        declined = sum([record.failed for record in after.records])
        if before.declines < after.declines > declined:
            yield COUNTED_TWICE
        attempt = after.attempt.status
        if attempt != before.attempt.status:
            record = after.records[-1]
            known = {PAID: record.paid, DECLINED: record.failed, DEAD: record.dead}
            # A decline that is found on a method the buyer has replaced is an end of either kind.
            if not known.get(attempt, True):
                yield FALSE_END

    def is_good_end(self, state: State) -> bool:
        """Say whether rows and book agree, nobody works any more, and nothing is owed."""
        if any(worker.at != IDLE for worker in state.workers):
            return False
        if any(record.flying for record in state.records):
            return False
        if state.told or state.attempt.status == PARKED:
            return True
        paid = _paid(state)
        if state.invoice == PAID:
            return paid == self.bounds.is_charged
        if state.invoice == OPEN:
            is_asked = state.attempt.status in INQUIRABLE
            # It waits for the buyer's new method, or for the buyer.
            waits = state.key_dead or state.rests
            return waits and state.when == NEVER and not is_asked and paid == 0
        return paid == 0

    def _without_idlers(self, s: State) -> State:
        """Take a worker for idle whose ending can change nothing any more.

        Nothing un-ends an attempt or makes an older send the latest, so compare-and-set refuses it
        whenever it comes. A payment is never refused for good: it may be told of.
        """
        rules, attempt = self.rules, s.attempt
        if not (rules.send_is_compared and rules.status_is_compared and rules.fence):
            return s
        latest, unsettled = len(s.records), attempt.status in UNSETTLED
        for w in s.workers:
            is_over = (w.at == HEARD and w.hand != PAID) or (w.at == SENDING and not w.fresh)
            if w.current and w.number == latest and unsettled:
                continue
            if is_over:
                s = _with(s, w, Worker())
            elif w.at == ASKING:
                s = _with(s, w, w._replace(held=False, seen=0, current=False))
        return s

    # Time passes.

    def _time(self, s: State) -> Iterator[Step[State]]:
        attempt = s.attempt
        if attempt.ask == BUSY and self._nothing_is_under_way(s):
            yield "lease and settle delay end", True, _ask(_close_windows(s), ASK)
        if attempt.ask == GAP:
            shown = s
            if self.world.policy is DuplicatePolicy.NONE and self.world.lag_is_short:
                shown = _reveal(s)
            yield "the gap between inquiries ends", True, _ask(shown, ASK)
        if s.when == LATER:
            yield "the invoice falls due", True, s._replace(when=DUE)
        in_doubt = attempt.status in INQUIRABLE or (attempt.status == WAITING and attempt.doubt)
        if in_doubt and not attempt.overdue and attempt.ask != BUSY and self.rules.deadline:
            after = s._replace(attempt=attempt._replace(overdue=True))
            yield "the deadline of what is unknown passes", True, after

    def _nothing_is_under_way(self, s: State) -> bool:
        """Say whether lease and settle delay may be over, as far as anybody knows."""
        for worker in s.workers:
            is_latest = worker.current and worker.number == len(s.records)
            if is_latest and worker.at == AWAITING and self.rules.lease_covers_timeout:
                return False
        finished = self.world.finishes_in_time and self.rules.settle_delay
        if finished and self.rules.lease_covers_timeout:
            return not any(record.flying for record in s.records)
        return True

    # The gateway.

    def _refuses(self, record: Record) -> bool:
        match self.world.policy:
            case DuplicatePolicy.NONE:
                return False
            case DuplicatePolicy.REFUSED_IF_PAID:
                return record.paid > 0
            case DuplicatePolicy.NEVER_REUSABLE:
                return record.paid > 0 or record.failed or record.dead

    def _deeds(self, s: State, number: int) -> Iterator[tuple[str, str, State, bool]]:
        """Return what the gateway may do with a request: words, reply, state, whether it hides."""
        record = s.records[number - 1]
        refuses = self._refuses(record)
        if refuses:
            yield "refuses a duplicate", DUPLICATE, s, False
        if not refuses:
            paid = record._replace(paid=min(record.paid + 1, 2))
            yield "books a payment", PAID, _book(s, number, paid), False
            yield "hides a payment", PAID, _book(s, number, paid._replace(hidden=True)), True
            failed = record._replace(failed=True)
            yield "books a decline", DECLINED, _book(s, number, failed), False
            if not self.world.declines_show:
                veiled = failed._replace(veiled=True)
                yield "hides a decline", DECLINED, _book(s, number, veiled), True
        if not refuses or not self.world.refuses_first:
            dead = record._replace(dead=True)
            yield "does not know the billing key", DEAD, _book(s, number, dead), False

    def _gateway(self, s: State) -> Iterator[Step[State]]:
        """Let the gateway go on by itself."""
        for number, record in enumerate(s.records, start=1):
            if record.flying:
                landed = _book(s, number, record._replace(flying=record.flying - 1))
                yield "the gateway forgets a late request", True, landed
                for words, _, after, hides in self._deeds(landed, number):
                    if not hides:
                        yield f"late, the gateway {words}", True, after
                    elif after.faults:
                        yield f"late, the gateway {words}", False, _spend(after)
            if record.hidden or record.veiled:
                shown = record._replace(hidden=False, veiled=False)
                yield "look-ups show what was booked", True, _book(s, number, shown)
            if record.hidden and record.veiled:
                shown = record._replace(veiled=False)
                yield "look-ups show the decline", True, _book(s, number, shown)

    def _answer(self, s: State, w: Worker) -> Iterator[Step[State]]:
        """Let a request arrive or not, and its reply."""
        for words, reply, after, hides in self._deeds(s, w.number):
            if not hides:
                heard = w._replace(at=HEARD, hand=reply)
                yield f"the gateway {words} and says so", True, _with(after, w, heard)
            if s.faults:
                heard = w._replace(at=HEARD, hand=LOST)
                yield (
                    f"the gateway {words}, the reply is lost",
                    False,
                    _spend(_with(after, w, heard)),
                )
                if hides:
                    heard = w._replace(at=HEARD, hand=reply)
                    yield f"the gateway {words} and says so", False, _spend(_with(after, w, heard))
        if s.faults:
            heard = w._replace(at=HEARD, hand=LOST)
            yield "the request is lost", False, _spend(_with(s, w, heard))
            record = s.records[w.number - 1]
            flying = _book(s, w.number, record._replace(flying=min(record.flying + 1, 2)))
            yield "the time-out passes first", False, _spend(_with(flying, w, heard))

    # Messages.

    def _messages(self, s: State) -> Iterator[Step[State]]:
        """Lose the message that the next step needs, and send it again."""
        if s.message_lost:
            if self.rules.lost_messages_come_again:
                yield "a scan sends a lost message again", True, s._replace(message_lost=False)
        elif s.faults and ((s.invoice == OPEN and s.when == DUE) or s.attempt.ask == ASK):
            # By the broker, or by the death of a beat that has noted it and not published it.
            yield "the message is lost", False, _spend(s._replace(message_lost=True))

    # Workers.

    def _begin(self, s: State, w: Worker) -> Iterator[Step[State]]:
        """Take a message: claim the invoice, or ask about its attempt."""
        yield from self._collect(s, w)
        yield from self._inquire(s, w)

    def _collect(self, s: State, w: Worker) -> Iterator[Step[State]]:
        """Claim the invoice, or end or stop it without a send."""
        attempt, calm = s.attempt, not s.message_lost
        is_due = s.when == DUE or not self.rules.due_is_checked
        is_locked = _count(s, CLAIMING) > 0 and self.rules.one_claims
        if s.invoice == OPEN and is_due and not s.canceled and not is_locked:
            if self.bounds.grace and _is_past_due(s) and attempt.status not in IN_DOUBT:
                yield "the grace period is over", calm, _ended(s, UNCOLLECTIBLE)
            is_left_alone = s.key_dead or (s.rests and attempt.status == DECLINED)
            if s.key_dead and attempt.status == WAITING and attempt.doubt:
                yield from self._ask_on(s, "a lost send without a key is asked about on")
                if self._is_silent_for_good(s):
                    believed = attempt._replace(doubt=False)
                    after = s._replace(when=NEVER, message_lost=False, attempt=believed)
                    yield "a lost send without a key is let go", calm, after
            elif (attempt.status in UNSETTLED and attempt.status != WAITING) or is_left_alone:
                if s.when != NEVER:
                    yield "nothing may be sent", calm, s._replace(when=NEVER, message_lost=False)
            elif not self.bounds.is_charged:
                ended = s._replace(when=NEVER, message_lost=False)
                yield "nothing is owed", calm, ended._replace(invoice=PAID)
                yield "too little is owed", calm, ended._replace(invoice=UNCOLLECTIBLE)
            else:
                again = attempt.status == WAITING
                number = len(s.records) + (not again or self.rules.fresh_uids)
                if number > UIDS_MAX:
                    return
                claiming = Worker(CLAIMING, number, fresh=True, doubt=again and attempt.doubt)
                yield "a worker locks the due invoice", calm, _with(s, w, claiming)

    def _inquire(self, s: State, w: Worker) -> Iterator[Step[State]]:
        """Ask about the attempt."""
        attempt, calm = s.attempt, not s.message_lost
        asked = INQUIRABLE if self.rules.dead_claims_have_an_owner else (UNKNOWN,)
        may_ask = attempt.ask == ASK or (not self.world.clocks_agree and attempt.ask == BUSY)
        if attempt.status in asked and may_ask:
            if not self.rules.stale_claims_are_asked:
                let_go = attempt._replace(status=WAITING, ask=NONE)
                yield "a stale claim is let go", calm, s._replace(attempt=let_go, when=DUE)
                return
            asking = Worker(
                ASKING, len(s.records), current=True, held=attempt.held, seen=attempt.seen
            )
            yield "a worker opens the question", calm, _with(s, w, asking)

    def _commit_claim(self, s: State, w: Worker) -> Iterator[Step[State]]:
        """Write the claim: from here on the attempt is this worker's, until its lease is over."""
        records, status = s.records, s.attempt.status
        again = w.number == len(records)
        if self.rules.one_claims and (status == WAITING) != again and not self.rules.fresh_uids:
            # Settled by the gateway's late word, which the claim's own statement sees.
            yield "the claim is lost", True, _with(s, w, Worker())
            return
        if w.number > len(records):
            records = (*records, Record())
        attempt = Attempt(
            CLAIMED,
            doubt=w.doubt,
            overdue=again and w.doubt and s.attempt.overdue,
            ask=BUSY,
        )
        others = s._replace(
            workers=tuple(
                other._replace(current=False) if other.number == w.number else other
                for other in s.workers
            )
        )
        sending = Worker(SENDING, w.number, current=True, fresh=True, doubt=w.doubt)
        after = _with(others, w, sending)._replace(
            attempt=attempt, records=records, when=NEVER, message_lost=False
        )
        words = "the claim is committed, again" if again else "the claim is committed"
        yield words, True, after
        if not self.rules.fence_before_claim:
            # The window begins with the commit, before which all of the lease had passed.
            yield f"{words}, late", True, _ask(after, ASK)

    def _send(self, s: State, w: Worker) -> Iterator[Step[State]]:
        """Ask the fence, and hand the bytes over."""
        if w.fresh or not self.rules.fence:
            yield (
                "the request leaves",
                True,
                _with(s, w, w._replace(at=AWAITING, fresh=False, doubt=False)),
            )
        kept = w._replace(at=HEARD, fresh=False, hand=UNMOVED)
        yield "the fence keeps the request", True, _with(s, w, kept)
        if w.fresh and s.faults:
            yield "no connection, or told to wait", False, _spend(_with(s, w, kept))
            heard = kept._replace(doubt=False, hand=PARKED)
            yield "called faulty again and again", False, _spend(_with(s, w, heard))

    def _look_up(self, s: State, w: Worker) -> Iterator[Step[State]]:
        """Read what the gateway holds, and conclude."""
        record = s.records[w.number - 1]
        overdue = s.attempt.overdue and w.current and w.number == len(s.records)

        def heard(hand: str) -> State:
            held = w.held and hand in AGAIN
            return _with(s, w, w._replace(at=HEARD, held=held, seen=0, hand=hand))

        yield "the look-up fails", True, heard(AGAIN[0])
        if record.paid and not record.hidden:
            words, hand = "the look-up shows a payment", PAID if record.paid == 1 else PARKED
        elif record.failed and not record.veiled:
            once = w.held and w.seen + 1 < self.rules.silences
            words, hand = "the look-up shows a decline", AGAIN[1] if once else DECLINED
        else:
            once = w.seen + 1 < self.rules.silences
            words, hand = "the look-up shows nothing", AGAIN[1] if once else RESEND
            if w.held:
                hand = AGAIN[0]
        yield words, True, heard(hand)
        if overdue:
            # Not before it was asked or sent often enough, which is not counted here.
            yield "the look-up fails, too late", True, heard(PARKED)
            if hand in (*AGAIN, RESEND):
                yield f"{words}, too late", True, heard(PARKED)

    def _died(self, s: State, w: Worker) -> State:
        """Forget what a worker held in its memory; its request goes on without it."""
        after = _with(s, w, Worker())._replace(crashes=s.crashes - 1)
        if w.at == AWAITING:
            record = s.records[w.number - 1]
            flying = record._replace(flying=min(record.flying + 1, 2))
            after = _book(after, w.number, flying)
        is_ours = w.at in (SENDING, AWAITING, HEARD) and w.current
        if is_ours and not self.rules.claim_is_committed and s.attempt.status == CLAIMED:
            after = after._replace(attempt=Attempt(WAITING, doubt=True), when=DUE)
        return after

    # What an ending changes.

    def _settle(self, s: State, w: Worker) -> State:
        """Write what a worker has heard, under compare-and-set."""
        attempt = s.attempt
        after = _with(s, w, Worker())
        hand = w.hand
        is_send = w.number == len(s.records) and (w.current or not self.rules.send_is_compared)
        is_open = attempt.status in INQUIRABLE or (hand == PAID and attempt.status in UNSETTLED)
        if not (is_send and (is_open or not self.rules.status_is_compared)):
            return self._too_late(after, w)
        moved = self._moved(s, w)
        after = after._replace(attempt=moved[0], message_lost=False)
        if s.invoice == OPEN:
            _, invoice, when = moved
            declines = s.declines + (moved[0].status == DECLINED)
            key_dead = s.key_dead or (moved[0].status == DEAD and when == NEVER)
            when = NEVER if s.stopped else when
            return after._replace(invoice=invoice, when=when, declines=declines, key_dead=key_dead)
        return after._replace(told=s.told or hand == PAID or moved[0].status == PARKED)

    def _too_late(self, s: State, w: Worker) -> State:
        """Tell of a payment that comes after another end; one that was sent again is no such."""
        status = s.attempt.status
        ended = w.number < len(s.records) or status in (DECLINED, DEAD, VOID)
        if w.hand == PAID and ended:
            return s._replace(told=True, stopped=s.invoice == OPEN, when=NEVER)
        return s

    def _moved(  # noqa: C901, PLR0911, PLR0912 - a decision table, one row a return
        self, s: State, w: Worker
    ) -> tuple[Attempt, str, str]:
        """Return attempt, invoice, and when it is due, after a move that won."""
        attempt, hand, rules = s.attempt, w.hand, self.rules
        if hand == LOST and rules.unknown is UnknownIs.DECLINED:
            hand = DECLINED
        if hand == DUPLICATE and not rules.duplicate_is_read:
            hand = DECLINED
        if hand == RESEND and not rules.silence_keeps_uid:
            hand = DECLINED
        doubtful = attempt._replace(doubt=True, held=False, seen=0, ask=NONE)
        unknown = doubtful._replace(status=UNKNOWN)
        match hand:
            case "paid":
                return Attempt(PAID), PAID, NEVER
            case "declined":
                ended = Attempt(DECLINED)
                if attempt.overtaken:
                    return ended, OPEN, DUE
                is_last = s.declines + 1 >= self.bounds.declines
                return ended, UNCOLLECTIBLE if is_last else OPEN, NEVER if is_last else LATER
            case "method_dead":
                return Attempt(DEAD), OPEN, DUE if attempt.overtaken else NEVER
            case "parked":
                return Attempt(PARKED), OPEN, NEVER
            case "unmoved":
                overdue = w.doubt and attempt.overdue
                return Attempt(WAITING, doubt=w.doubt, overdue=overdue), OPEN, LATER
            case "sent again":
                return doubtful._replace(status=WAITING), OPEN, DUE
            case "lost" if rules.unknown is UnknownIs.SENT_AGAIN:
                return doubtful._replace(status=WAITING), OPEN, DUE
            case "lost":
                return unknown._replace(ask=BUSY if attempt.ask == BUSY else ASK), OPEN, NEVER
            case "duplicate":
                return unknown._replace(held=True, ask=ASK), OPEN, NEVER
            case "asked again" | "asked again, seen once":
                ask = GAP if rules.gap else ASK
                seen = AGAIN.index(hand)
                return unknown._replace(held=w.held, seen=seen, ask=ask), OPEN, NEVER
            case _:
                raise AssertionError(hand)

    # People, the buyer, and an end of the subscription.

    def _people(self, s: State) -> Iterator[Step[State]]:
        """Let somebody change what we are to do."""
        attempt = s.attempt
        if s.people and attempt.status == PARKED:
            after = s._replace(people=s.people - 1, message_lost=False)
            asked = attempt._replace(status=UNKNOWN, doubt=True, overdue=False, seen=0, ask=ASK)
            yield "a person has it asked about again", False, after._replace(attempt=asked)
            invoice = UNCOLLECTIBLE if s.invoice == OPEN else s.invoice
            given_up = after._replace(attempt=Attempt(VOID), invoice=invoice, when=NEVER, told=True)
            yield "a person gives it up", False, given_up
        if s.new_methods:
            yield "the buyer brings another method", False, self._renewed(s)
        if s.cancellations:
            after = s._replace(cancellations=s.cancellations - 1, canceled=True)
            yield "the subscription is canceled", False, after
        if s.key_deaths:
            after = s._replace(key_deaths=s.key_deaths - 1, key_dead=True)
            yield "the billing key is found dead elsewhere", False, after
        if s.switches:
            after = s._replace(switches=s.switches - 1, rests=True)
            yield "dunning is switched off", False, after
        if s.rests:
            is_resting = s.invoice == OPEN and s.when == NEVER and attempt.status == DECLINED
            goes_on = is_resting and not (s.canceled or s.stopped)
            after = s._replace(rests=False, when=DUE if goes_on else s.when)
            yield "dunning is switched on, or the buyer wants to pay", False, after
        if s.canceled and s.invoice == OPEN and not _count(s, CLAIMING):
            yield from self._wind_up(s)

    def _renewed(self, s: State) -> State:
        after = s._replace(new_methods=s.new_methods - 1, key_dead=False)
        attempt = s.attempt
        if attempt.status in UNSETTLED and attempt.status != WAITING:
            return after._replace(attempt=attempt._replace(overtaken=True))
        if s.invoice != OPEN or s.canceled or s.stopped:
            return after
        return after._replace(when=DUE, message_lost=False)

    def _wind_up(self, s: State) -> Iterator[Step[State]]:
        """End an invoice that nothing is under way for; ask on about what may have moved money."""
        attempt = s.attempt
        in_doubt = attempt.status == WAITING and attempt.doubt
        if in_doubt:
            yield from self._ask_on(s, "the end has it asked about on", when=s.when)
            if s.when != NEVER:
                yield "the charge finds it canceled", False, s._replace(when=NEVER)
        is_true = self._is_silent_for_good(s)
        if attempt.status not in IN_DOUBT and (is_true or not in_doubt):
            yield "the end voids the invoice", True, _ended(s, VOID)

    def _ask_on(self, s: State, words: str, when: str = NEVER) -> Iterator[Step[State]]:
        """Ask the gateway about a lost send that is not sent again."""
        seen = self.rules.silences - 1
        asked = s.attempt._replace(status=UNKNOWN, held=False, seen=seen, ask=GAP)
        yield words, True, s._replace(attempt=asked, when=when, message_lost=False)

    def _is_silent_for_good(self, s: State) -> bool:
        """Say whether the gateway's silence may be believed, once it has lasted long enough."""
        return not (self.world.last_silence_is_true and self.rules.asks_on and _paid(s))


def _is_past_due(s: State) -> bool:
    """Say whether an invoice waits for its grace period to end, with nothing lost on the way."""
    return bool(s.declines or s.key_dead or s.attempt.status == DEAD) and not s.attempt.doubt


def _ended(s: State, invoice: str) -> State:
    """Return the end of an invoice of which nothing is under way."""
    status = VOID if s.attempt.status == WAITING else s.attempt.status
    ended = s.attempt._replace(status=status)
    return s._replace(invoice=invoice, when=NEVER, attempt=ended, message_lost=False)


def _count(s: State, at: str) -> int:
    return [worker.at for worker in s.workers].count(at)


def _paid(s: State) -> int:
    return sum([record.paid for record in s.records])


def _with(s: State, old: Worker, new: Worker) -> State:
    """Return the state with one worker changed; the order of workers means nothing."""
    workers = list(s.workers)
    workers[workers.index(old)] = new
    workers.sort()
    return s._replace(workers=tuple(workers))


def _book(s: State, number: int, record: Record) -> State:
    records = (*s.records[: number - 1], record, *s.records[number:])
    return s._replace(records=records)


def _close_windows(s: State) -> State:
    """Let every send window be over that was open."""
    workers = sorted(worker._replace(fresh=False) for worker in s.workers)
    return s._replace(workers=tuple(workers))


def _reveal(s: State) -> State:
    shown = tuple(record._replace(hidden=False) for record in s.records)
    return s._replace(records=shown)


def _ask(s: State, ask: str) -> State:
    return s._replace(attempt=s.attempt._replace(ask=ask))


def _spend(s: State) -> State:
    return s._replace(faults=s.faults - 1)


def configurations(bounds: Bounds | None = None) -> Sequence[tuple[str, Charge]]:
    """Return the protocol as it is, under every reading of the gateway's documents."""
    return [
        (f"charge {policy}", Charge(world=World(policy), bounds=bounds or Bounds()))
        for policy in DuplicatePolicy
    ]
