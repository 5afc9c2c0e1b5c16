"""The policies by which endings become rows: when to send again, when to ask, what to doubt."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from shared.billing.attempt import Leases
from shared.billing.charge_hours import OPEN_MIN, ChargeHours
from shared.billing.dunning import DunningPolicy
from shared.billing.errors import InvalidPolicyError


@dataclass(frozen=True, slots=True)
class ResendPolicy:
    """When an attempt that certainly moved no money goes out again, under the same uid.

    Attributes:
        delay: The first wait; it doubles with every send.
        delay_max: The longest wait.
        hold: How long nothing at all is sent when the gateway refuses our key or contract.
        faulty_sends_max: After how many sends, of whatever ending, a request that the gateway
            calls faulty is a person's work.
    """

    delay: timedelta = timedelta(seconds=10)
    delay_max: timedelta = timedelta(minutes=15)
    hold: timedelta = timedelta(minutes=5)
    faulty_sends_max: int = 5

    def __post_init__(self) -> None:
        """Refuse a policy that sends without pause."""
        if min(self.delay, self.delay_max, self.hold) <= timedelta(0):
            message = "resend delay, its maximum and the hold must be longer than nothing"
            raise InvalidPolicyError(message)

    def wait(self, send_number: int) -> timedelta:
        """Return the wait after the ``send_number``-th send."""
        doublings = min(send_number - 1, 20)
        return min(self.delay * float(1 << doublings), self.delay_max)


@dataclass(frozen=True, slots=True)
class InquiryPolicy:
    """How the gateway is asked about an unknown outcome.

    Attributes:
        gaps: Waits between one inquiry and the next; the last one repeats.
        deadline: How long an attempt may stay unknown before a person is called.
        inquiries_min: How often the gateway is asked about a send before that, however late the
            first inquiry is: while our own system stood still, nobody could have asked.
        no_records_needed: How many inquiries in a row must find nothing before the same
            ``merchant_uid`` is sent again.
    """

    gaps: tuple[timedelta, ...] = (
        timedelta(seconds=30),
        timedelta(minutes=1),
        timedelta(minutes=5),
        timedelta(minutes=15),
        timedelta(hours=1),
    )
    deadline: timedelta = timedelta(hours=24)
    no_records_needed: int = 2
    inquiries_min: int = 3

    def __post_init__(self) -> None:
        """Refuse a policy that asks without pause, or that concludes without asking."""
        if not self.gaps or min(self.gaps) <= timedelta(0):
            message = "inquiry gaps must be longer than nothing, and at least one"
            raise InvalidPolicyError(message)
        if self.no_records_needed < 1:
            message = f"no_records_needed must be 1 or more, not {self.no_records_needed}"
            raise InvalidPolicyError(message)
        if self.inquiries_min < 1:
            message = f"inquiries_min must be 1 or more, not {self.inquiries_min}"
            raise InvalidPolicyError(message)

    def gap(self, inquiries: int) -> timedelta:
        """Return the wait after the ``inquiries``-th inquiry."""
        return self.gaps[min(inquiries, len(self.gaps)) - 1]

    def next_at(self, now: datetime, in_doubt_since: datetime, inquiries: int) -> datetime | None:
        """Return when to ask again after the ``inquiries``-th inquiry; None if a person is to.

        The last inquiry within the deadline is at its very end; what is later is late already, and
        waits no longer than it must.
        """
        deadline_at = in_doubt_since + self.deadline
        if now < deadline_at:
            return min(now + self.gap(inquiries), deadline_at)
        return now + self.gaps[0] if inquiries < self.inquiries_min else None


@dataclass(frozen=True, slots=True)
class DeadMethodBrake:
    """When many billing keys at once are said to be dead, the fault is more likely ours.

    A wrong API key or environment makes every key unknown to PortOne.

    Attributes:
        window: How far back endings are counted.
        count_min: Fewer dead keys than this are believed.
        share: The share of dead keys among the endings above which none is believed.

    A run of dead keys with no other ending between them counts however long it takes: where the
    fault lasts, the window alone would believe some in every window.
    """

    window: timedelta = timedelta(minutes=10)
    count_min: int = 20
    share: float = 0.5

    def pulls(self, settled: int, dead: int, in_a_row: int = 0) -> bool:
        """Say whether ``dead`` of ``settled`` endings, or a run of them, are too many."""
        too_many = dead >= self.count_min and dead > self.share * settled
        return too_many or in_a_row >= self.count_min


@dataclass(frozen=True, slots=True)
class CollectionRules:
    """Every rule a settlement needs."""

    leases: Leases
    dunning: DunningPolicy = field(default_factory=DunningPolicy)
    resend: ResendPolicy = field(default_factory=ResendPolicy)
    inquiry: InquiryPolicy = field(default_factory=InquiryPolicy)
    brake: DeadMethodBrake = field(default_factory=DeadMethodBrake)
    hours: ChargeHours = field(default_factory=ChargeHours)

    def __post_init__(self) -> None:
        """Refuse hours in which a claim could not be sent before they close."""
        if self.hours.binds and self.leases.send_window >= OPEN_MIN:
            message = (
                f"with charge hours the send window must be shorter than {OPEN_MIN},"
                f" not {self.leases.send_window}"
            )
            raise InvalidPolicyError(message)
