"""What was typed becomes an agreement of the domain, or is refused in words."""

import dataclasses
import enum
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from shared.billing.calendar import BillingCycle, Interval
from shared.billing.errors import BillingError
from shared.billing.merchant_uid import merchant_uid
from shared.billing.money import Collectability, Price, collectability, minimum_amount_text
from shared.billing.subscription import Agreement
from worker.console.endings import MisusedError, RefusedError
from worker.console.rendering import local

# The largest number PostgreSQL's bigint holds.
AMOUNT_MAX = 2**63 - 1


class BillFrom(enum.StrEnum):
    """Which period is billed first when the anchor lies in the past."""

    NOW = "now"
    ANCHOR = "anchor"


@dataclass(frozen=True, slots=True)
class Terms:
    """An agreement as the operator words it.

    Attributes:
        anchor: ISO 8601, local in ``zone`` unless it carries an offset; None means now.
        first_period: The index of the first billed period, if it was said.
        bill_from: The other way to say it.
        trial_end: Until when nothing is owed, written like the anchor; None without a free trial.
            The first period begins then, or at the anchor if that is later.
    """

    amount: int
    tax_free: int
    name: str
    interval: Interval
    zone: str
    anchor: str | None
    first_period: int | None
    bill_from: BillFrom | None
    quantity: int = 1
    product: str | None = None
    buyer_ref: str | None = None
    trial_end: str | None = None

    def agreement(self, now: datetime) -> Agreement:
        """Return the agreement these terms make at ``now``.

        Raises:
            MisusedError: The terms make no agreement.
        """
        if self.amount > AMOUNT_MAX:
            raise MisusedError(f"--amount: {AMOUNT_MAX:,} KRW is the most that can be stored.")
        if self.first_period is not None and self.bill_from is not None:
            raise MisusedError("--first-period and --bill-from exclude each other: give one.")
        try:
            trial_end_at = self._trial_end_at(now)
            cycle = self._cycle(now, trial_end_at)
            agreement = Agreement(
                Price(self.amount, self.tax_free),
                self.name,
                cycle,
                self._first_period(cycle, now),
                self.quantity,
                self.product,
                self.buyer_ref,
                trial_end_at,
            )
            cycle.period(agreement.first_period_index)
            first_merchant_uid(UUID(int=0), agreement)
        except BillingError as error:
            raise MisusedError(f"{error}.") from None
        except OverflowError:
            raise MisusedError(
                "--anchor: the first period lies outside the calendar (years 1 to 9999)."
            ) from None
        return agreement

    def _cycle(self, now: datetime, trial_end_at: datetime | None) -> BillingCycle:
        # Whole seconds: what is shown is what is stored.
        cycle = BillingCycle(now.replace(microsecond=0), self.interval, self.zone)
        anchor_at = trial_end_at
        if self.anchor is not None:
            anchor_at = instant("--anchor", self.anchor, self.zone)
        if trial_end_at is not None and anchor_at is not None:
            anchor_at = max(anchor_at, trial_end_at)
        return cycle if anchor_at is None else dataclasses.replace(cycle, anchor_at=anchor_at)

    def _trial_end_at(self, now: datetime) -> datetime | None:
        if self.trial_end is None:
            return None
        ends_at = instant("--trial-end", self.trial_end, self.zone)
        if ends_at <= now:
            raise MisusedError(
                f"--trial-end: {local(ends_at, self.zone)} lies in the past; a trial that is over"
                " is none: leave the option out."
            )
        return ends_at

    def _first_period(self, cycle: BillingCycle, now: datetime) -> int:
        if self.first_period is not None:
            return self.first_period
        running = cycle.index_at(now)
        if self.anchor is None or running < 0 or self.bill_from is BillFrom.ANCHOR:
            return 0
        current = cycle.period(running)
        upcoming = running if current.start_at == now else running + 1
        if self.bill_from is BillFrom.NOW or upcoming == 0:
            return upcoming
        starts_at, zone = cycle.anchor_at, self.zone
        raise MisusedError(
            f"--anchor: {local(starts_at, zone)} lies in the past; period {running}, from"
            f" {local(current.start_at, zone)} to {local(current.end_at, zone)}, is running."
            " Say which period is billed first:\n"
            f"  --bill-from now     period {upcoming}, on"
            f" {local(cycle.period(upcoming).start_at, zone)}: the running period counts as paid"
            " elsewhere\n"
            f"  --first-period {running:<4} the running period, at once\n"
            f"  --bill-from anchor  period 0: of all {running + 1} periods that have begun, those"
            " are billed, at once, which the scheduler's catch-up policy (DALMADA_CATCH_UP) names"
        )


def first_merchant_uid(subscription_id: UUID, agreement: Agreement) -> str:
    """Return the ``merchant_uid`` of the first attempt at the first billed period."""
    return merchant_uid(subscription_id, agreement.first_period_index, 1)


def require_collectable(price: Price, minimum_amount: int) -> None:
    """Refuse an amount that the gateway would never charge, in the buyer's words and in English.

    Raises:
        RefusedError: The amount is above zero and below the minimum.
    """
    if collectability(price, minimum_amount) is Collectability.BELOW_MINIMUM:
        raise RefusedError(
            f"{minimum_amount_text(minimum_amount)} Naver Pay charges {minimum_amount:,} KRW or"
            f" more (DALMADA_MINIMUM_AMOUNT), not {price.amount:,} KRW; give at least that, or 0,"
            " which is settled without a charge."
        )


def instant(option: str, written: str, zone: str) -> datetime:
    """Return the instant of a date or time, local in ``zone`` unless it carries an offset.

    Raises:
        MisusedError: It is none, or none on these clocks; the text names the option.
    """
    try:
        at = datetime.fromisoformat(written)
    except ValueError:
        raise MisusedError(
            f"{option}: {written!r} is not a date or time; 2026-01-31 and 2026-01-31T09:30 are."
        ) from None
    if at.tzinfo is not None:
        return at
    local_at = at.replace(tzinfo=ZoneInfo(zone))
    # A wall time that a change of clocks skips reads back as another one.
    if local_at.astimezone(UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None, fold=0) != at:
        raise MisusedError(
            f"{option}: {written} does not exist in {zone}, where clocks were put forward past it;"
            " give a time that does."
        )
    return local_at
