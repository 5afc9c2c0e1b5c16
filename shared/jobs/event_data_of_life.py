"""What events say of the life of a subscription: trials, pauses, changes, consents, notices."""

from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, StrictBool, StrictInt, StrictStr

from shared.billing.calendar import IntervalUnit
from shared.billing.cancellation import CancelWhen, RefundChoice
from shared.billing.catch_up import CatchUp
from shared.billing.consent import ConsentKind
from shared.billing.lifecycle import SubscriptionStatus
from shared.billing.lines import AdjustmentKind, LineKind
from shared.billing.pause import PauseKeeps
from shared.billing.refund import Requester
from shared.billing.reserving import CollectBy
from shared.jobs.event_data import Count, EventData, Index, Number, Won


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TermsData(_Part):
    """What is billed, and how often."""

    amount: Won
    tax_free: Won
    quantity: Number
    order_name: StrictStr
    interval: IntervalUnit
    interval_count: Number


class LineData(_Part):
    """One line of an invoice."""

    kind: LineKind
    description: StrictStr
    amount: StrictInt
    tax_free: StrictInt
    quantity: Number
    adjustment_id: Number | None


class CreatedData(EventData):
    """A subscription that begins."""

    amount: Won
    tax_free: Won
    quantity: Number
    product: StrictStr | None
    first_period_index: Index
    trial_end_at: AwareDatetime | None


class ConvertedData(EventData):
    """A free trial that goes on for money: what a period may cost by the buyer's consent."""

    period_index: Index
    amount: Won


class StatusData(EventData):
    """A change of status that needs no more words."""


class PauseScheduledData(EventData):
    """A pause that was asked for."""

    pause_at: AwareDatetime
    resume_at: AwareDatetime | None
    keeps: PauseKeeps
    reason: StrictStr | None
    requester: Requester
    replaced_pause_at: AwareDatetime | None


class PausedData(EventData):
    """A pause that begins, or that was taken back before it did."""

    pause_at: AwareDatetime | None
    resume_at: AwareDatetime | None
    keeps: PauseKeeps | None


class ResumedData(EventData):
    """A pause that is over, and what it leaves to be charged with the next invoice."""

    status: SubscriptionStatus
    paused_at: AwareDatetime | None
    resumed_at: AwareDatetime
    keeps: PauseKeeps | None
    next_period_index: Index
    next_renewal_at: AwareDatetime
    adjustment_ids: tuple[Number, ...]
    charged_later: StrictInt


class ChangeScheduledData(EventData):
    """Terms that come into effect later; what is null stays as it is."""

    change_id: Number
    effective_at: AwareDatetime
    requester: Requester
    amount: Won | None
    tax_free: Won | None
    quantity: Number | None
    order_name: StrictStr | None
    interval: IntervalUnit | None
    interval_count: Number | None


class ChangeWithdrawnData(EventData):
    """A change that will not come into effect."""

    change_id: Number


class ChangedData(EventData):
    """Terms that are in force, from which period on."""

    change_id: Number | None
    period_index: Index
    before: TermsData
    after: TermsData
    adjustment_ids: tuple[Number, ...] | None = None


class ChangeRefusedData(EventData):
    """A change that could not come into effect, and why."""

    change_id: Number
    period_index: Index
    before: TermsData
    after: TermsData
    message: StrictStr


class AdjustedData(EventData):
    """A credit or a discount that invoices to come are lessened by."""

    adjustment_id: Number
    kind: AdjustmentKind
    amount: Won
    tax_free: Won
    percent: Number | None
    periods: Number | None


class DunningSwitchedData(EventData):
    """Whether declined invoices are tried again by themselves."""

    enabled: StrictBool
    invoices_due: Count


class CollectionSwitchedData(EventData):
    """Who makes the charges of a subscription from its next period on: we, or PortOne."""

    by: CollectBy


class CancellationScheduledData(EventData):
    """An end that was asked for."""

    when: CancelWhen
    cancel_at: AwareDatetime
    replaced_cancel_at: AwareDatetime | None
    refund: RefundChoice
    late_payment: RefundChoice
    reason: StrictStr
    requester: Requester


class CancellationWithdrawnData(EventData):
    """An end that was taken back before it came."""

    cancel_at: AwareDatetime


class CanceledData(EventData):
    """A subscription that has ended; by the end of dunning, without the rest."""

    canceled_at: AwareDatetime | None = None
    reason: StrictStr | None = None
    requester: Requester | None = None
    refund: RefundChoice | None = None
    late_payment: RefundChoice | None = None


class ReactivatedData(EventData):
    """An ended subscription that begins anew, by which period and for how much."""

    canceled_at: AwareDatetime | None
    period_index: Index
    amount: Won
    dropped_adjustment_ids: tuple[Number, ...]


class NoticeData(EventData):
    """A renewal ahead: what it costs, and whether, and when, the buyer must still agree."""

    subscription_id: UUID
    period_index: Index
    renews_at: AwareDatetime
    order_name: StrictStr
    amount: Won
    tax_free: Won
    lines: tuple[LineData, ...]
    amount_before: Won
    amount_after: Won
    consent_needed: StrictBool
    consent_missing: StrictBool
    consent_from: AwareDatetime | None
    consent_until: AwareDatetime | None


class TrialEndingData(NoticeData):
    """The end of a free trial ahead."""

    trial_end_at: AwareDatetime | None


class PriceChangeUpcomingData(NoticeData):
    """A higher price ahead."""

    change_id: Number


class ConsentGivenData(EventData):
    """What a buyer has agreed to."""

    consent_id: Number
    kind: ConsentKind
    amount_before: Won | None
    amount_after: Won
    effective_at: AwareDatetime | None
    given_at: AwareDatetime
    valid_until: AwareDatetime | None


class ConsentMissingData(EventData):
    """What was not charged, because the buyer has not agreed to it."""

    kind: ConsentKind
    amount: Won
    effective_at: AwareDatetime
    period_index: Index
    change_id: Number | None


class CatchUpData(EventData):
    """Periods that had piled up, and what became of them."""

    billed: Count
    skipped: Count
    policy: CatchUp
    oldest_period_index: Index
    oldest_period_start_at: AwareDatetime
