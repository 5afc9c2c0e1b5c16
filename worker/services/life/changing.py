"""Change what a subscription is billed by: now, from its next renewal on, or from a date on."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.calendar import Interval, Period
from shared.billing.cancellation import running_period_end
from shared.billing.change import Terms, changed, told
from shared.billing.consent import ConsentKind
from shared.billing.events import Event, EventName, Json
from shared.billing.invoice import InvoiceStatus
from shared.billing.lifecycle import BILLABLE, SubscriptionStatus
from shared.billing.lines import Adjustment, AdjustmentKind
from shared.billing.money import Price
from shared.billing.proration import Proration, days_text, paid_share, prorated
from shared.billing.refund import Requester
from shared.billing.subscription import Agreement, Subscription
from shared.db import adjustments, agreement_writes, changes, life, notices, outbox
from shared.db.agreement_writes import NewAdjustment, NewChange
from shared.db.life import Life
from shared.jobs.life_commands import ChangeSubscription
from worker.services.commanding import CommandRefusedError
from worker.services.life.consenting import consent_of, is_agreed, keep
from worker.services.life.rules import LifeRules
from worker.services.life.standing import going_on


@dataclass(frozen=True, slots=True)
class ChangeAgreement:
    """Handle ``subscription.change``."""

    rules: LifeRules

    async def __call__(
        self, connection: AsyncConnection, command: ChangeSubscription, now: datetime
    ) -> dict[str, Json]:
        """Write the change, or refuse it in words.

        A change at once waits for the next period to be opened where a period has begun that is
        not billed yet, or whose days the next invoice charges, and another interval waits for the
        end of a pause: all are the first period's to come.
        """
        held = await going_on(connection, command.subscription_id, now)
        before = held.subscription
        terms = _terms(command, before.agreement)
        wanted = changed(before.agreement, terms, _next(before))
        self.rules.require_collectable(wanted.total)
        found = (await adjustments.still_open(connection, [before.id])).get(before.id, ())
        effective_at, next_at = _effective_at(command, before, terms, now), _next(before).start_at
        if effective_at is None and _is_charged_later(held, found):
            effective_at = next_at
        if effective_at is None or effective_at <= next_at:
            self.rules.require_charged(wanted, found)
        if effective_at is not None:
            return await self._schedule(connection, command, before, terms, effective_at, now)
        if wanted == before.agreement:
            message = "the subscription is billed by these terms already: name one that differs"
            raise CommandRefusedError(message)
        if command.prorate:
            _require_paid(held, now)
        await self._require_agreed(connection, command, before, wanted, now, now)
        return await _change_now(connection, command, held, terms, now)

    async def _schedule(
        self,
        connection: AsyncConnection,
        command: ChangeSubscription,
        before: Subscription,
        terms: Terms,
        effective_at: datetime,
        now: datetime,
    ) -> dict[str, Json]:
        """Leave the change to the first period that begins at ``effective_at`` or later."""
        wanted = changed(before.agreement, terms, _next(before))
        if command.requester is Requester.CUSTOMER or command.consent is not None:
            at = _first_billed_at(before, effective_at)
            await self._require_agreed(connection, command, before, wanted, at, now)
        if terms.interval is not None:
            # It may bring the first periods of other changes nearer.
            await notices.look_again(connection, before.id, now)
        notice_at = None
        if command.requester is Requester.ADMIN:
            notice_at = await self._notice_at(connection, before, terms, effective_at, now)
        new = NewChange(
            before.id, effective_at, terms, command.requester, notice_at, command.command_id
        )
        change_id = await agreement_writes.schedule(connection, new)
        data: dict[str, Json] = {
            "change_id": change_id,
            "effective_at": effective_at.isoformat(),
            "requester": command.requester,
            **_named(terms),
            "at": now.isoformat(),
        }
        event = Event(EventName.SUBSCRIPTION_CHANGE_SCHEDULED, before.id, data)
        await outbox.write(connection, [event])
        return {
            "subscription_id": str(before.id),
            "change_id": change_id,
            "effective_at": effective_at.isoformat(),
            "adjustment_ids": [],
        }

    async def _notice_at(
        self,
        connection: AsyncConnection,
        before: Subscription,
        terms: Terms,
        effective_at: datetime,
        now: datetime,
    ) -> datetime | None:
        """Return when the buyer is to be told of a change, at the earliest, or None for never.

        What comes before it counts, too: a price that is lower until then is agreed to alone.
        """
        pending = (await changes.pending(connection, [before.id])).of.get(before.id, ())
        agreement, upcoming = before.agreement, _next(before)
        for change in pending:
            if change.effective_at <= effective_at:
                agreement = changed(agreement, change.terms, upcoming)
        consented = min(before.consented_amount or 0, agreement.total.amount)
        until_then = dataclasses.replace(before, agreement=agreement, consented_amount=consented)
        wanted, lead = changed(agreement, terms, upcoming), self.rules.price_notice
        if not lead or not (_is_more(before, wanted) or _is_more(until_then, wanted)):
            return None
        # Another interval to come may bring its first period nearer; who tells of it counts anew.
        moves = any(change.terms.interval is not None for change in pending)
        at = effective_at if moves else _first_billed_at(before, effective_at)
        return max(at - lead, now)

    async def _require_agreed(
        self,
        connection: AsyncConnection,
        command: ChangeSubscription,
        before: Subscription,
        wanted: Agreement,
        effective_at: datetime,
        now: datetime,
    ) -> None:
        """Keep the consent that comes with a change, and refuse one that was not agreed to."""
        is_own = command.requester is Requester.CUSTOMER
        kind = ConsentKind.PLAN_CHANGE if is_own else ConsentKind.PRICE_INCREASE
        if command.consent is not None:
            amounts = (before.agreement.total.amount, wanted.total.amount)
            new = consent_of(
                before.id, command.consent, kind, amounts, effective_at, command.command_id
            )
            await keep(connection, self.rules.consent, new, now)
        # Nothing of a free trial is charged before the buyer has agreed to it anew.
        if before.status is SubscriptionStatus.TRIALING or not _is_more(before, wanted):
            return
        kinds = {kind, ConsentKind.PRICE_INCREASE}
        policy, amount = self.rules.consent, wanted.total.amount
        if not await is_agreed(connection, policy, before.id, kinds, amount, effective_at):
            message = (
                f"the buyer has not agreed to {amount:,} won a period from"
                f" {effective_at.isoformat()} on: give a consent of no more than"
                f" {policy.valid_for.days} days before (DALMADA_CONSENT_DAYS)"
            )
            raise CommandRefusedError(message)


async def _change_now(
    connection: AsyncConnection,
    command: ChangeSubscription,
    held: Life,
    terms: Terms,
    now: datetime,
) -> dict[str, Json]:
    """Write terms that are in force from now on, and what they leave to be charged or credited."""
    before = held.subscription
    renewal_at, index = before.next_renewal_at, before.next_period_index
    agreement = changed(before.agreement, terms, _next(before))
    runs = _runs(held, now)
    begins_anew = runs and agreement.cycle != before.agreement.cycle
    prorations: list[NewAdjustment] = []
    if command.prorate and runs:
        after_it = None if begins_anew else agreement
        prorations = await _prorations(connection, held, after_it, now)
    if begins_anew:
        renewal_at = now if held.running is None else await life.cut(connection, held.running, now)
        cycle = dataclasses.replace(agreement.cycle, anchor_at=renewal_at)
        agreement = dataclasses.replace(agreement, cycle=cycle)
    adjustment_ids = await agreement_writes.adjust(connection, prorations, command.command_id)
    after = dataclasses.replace(before, agreement=agreement, next_renewal_at=renewal_at)
    if before.status is not SubscriptionStatus.TRIALING:
        # Whoever has agreed to pay less has not agreed to pay more again.
        after = dataclasses.replace(after, consented_amount=agreement.total.amount)
    await life.move(connection, after)
    await notices.look_again(connection, before.id, now)
    data: dict[str, Json] = {
        "change_id": None,
        "period_index": index - 1 if runs and not begins_anew else index,
        "before": told(before.agreement),
        "after": told(agreement),
        "adjustment_ids": adjustment_ids,
        "at": now.isoformat(),
    }
    await outbox.write(connection, [Event(EventName.SUBSCRIPTION_CHANGED, before.id, data)])
    return {
        "subscription_id": str(before.id),
        "change_id": None,
        "effective_at": now.isoformat(),
        "adjustment_ids": adjustment_ids,
    }


async def _prorations(
    connection: AsyncConnection, held: Life, after: Agreement | None, now: datetime
) -> list[NewAdjustment]:
    """Return what the days that are left of the running period are credited and charged with."""
    before, running = held.subscription, held.running
    # What is not paid for, and will not be, has no days that could be given back.
    if running is None or running.status is not InvoiceStatus.PAID:
        return []
    agreement = before.agreement
    share = paid_share(running.lines, await life.given_back(connection, running.invoice_id))
    price, zone = None if after is None else after.total, agreement.cycle.time_zone
    found = prorated(agreement.total, price, share, running.period, zone, now)
    credit, charge = AdjustmentKind.PRORATION_CREDIT, AdjustmentKind.PRORATION_CHARGE
    prorations = [_adjustment(before, credit, found.credit, agreement.order_name, found)]
    if after is not None:
        prorations.append(_adjustment(before, charge, found.charge, after.order_name, found))
    return prorations


def _is_charged_later(held: Life, found: Sequence[Adjustment]) -> bool:
    """Say whether a running period has no invoice, and its days are left to the next one.

    A pause was over in the midst of it: the days are charged at the price of then, and a change of
    them would be charged beside that.
    """
    if held.running is not None or held.subscription.status is SubscriptionStatus.PAUSED:
        return False
    return any(each.kind is AdjustmentKind.PRORATION_CHARGE for each in found)


def _require_paid(held: Life, now: datetime) -> None:
    """Refuse to credit days that may never be paid for."""
    running = held.running
    if running is None or running.status is not InvoiceStatus.OPEN or not _runs(held, now):
        return
    message = (
        "the running period is not paid yet, so its days cannot be credited: wait until it is, set"
        " prorate to false, or leave the change to the next renewal (at_renewal)"
    )
    raise CommandRefusedError(message)


def _adjustment(
    subscription: Subscription,
    kind: AdjustmentKind,
    price: Price,
    order_name: str,
    proration: Proration,
) -> NewAdjustment:
    described = days_text(order_name, proration.unused, proration.days)
    return NewAdjustment(subscription.id, kind, described, price)


def _terms(command: ChangeSubscription, agreement: Agreement) -> Terms:
    """Return what is to be different; what is named and stays as it is counts as named."""
    price = None
    if command.amount is not None:
        if command.tax_free is None and agreement.price.tax_free:
            message = (
                f"of the present price {agreement.price.tax_free:,} won are tax-free: say how much"
                " of the new one is, with tax_free, which may be 0"
            )
            raise CommandRefusedError(message)
        price = Price(command.amount, command.tax_free or 0)
    interval = None
    if command.interval is not None or command.interval_count is not None:
        present = agreement.cycle.interval
        unit = command.interval or present.unit
        interval = Interval(unit, command.interval_count or 1)
    return Terms(price, command.quantity, command.order_name, interval)


def _effective_at(
    command: ChangeSubscription, before: Subscription, terms: Terms, now: datetime
) -> datetime | None:
    """Return from when on the first period to begin is changed, or None for a change at once."""
    cycle, next_at = before.agreement.cycle, _next(before).start_at
    is_paused = before.status is SubscriptionStatus.PAUSED
    if command.effective_at is not None:
        if command.effective_at <= now:
            message = (
                f"effective_at {command.effective_at.isoformat()} has passed: leave it out for the"
                " next renewal, or set at_renewal to false for a change at once"
            )
            raise CommandRefusedError(message)
        return command.effective_at.astimezone(UTC)
    if command.at_renewal:
        if is_paused:
            # The next one begins after the pause, whenever that is over.
            return now
        return next_at if next_at > now else running_period_end(cycle, now)
    if is_paused:
        moves = terms.interval is not None and terms.interval != cycle.interval
        return now if moves else None
    # Of a period that has begun and is not billed yet, the renewal decides.
    return None if next_at > now else cycle.period(cycle.index_at(now)).start_at


def _first_billed_at(before: Subscription, effective_at: datetime) -> datetime:
    """Return when the first period begins that a change is in effect for, as far as is known."""
    if before.status is SubscriptionStatus.PAUSED:
        return effective_at
    cycle = before.agreement.cycle
    index = cycle.index_at(effective_at)
    if index < before.next_period_index:
        return _next(before).start_at
    period = cycle.period(index)
    return period.start_at if period.start_at >= effective_at else period.end_at


def _next(subscription: Subscription) -> Period:
    return subscription.agreement.cycle.period(subscription.next_period_index)


def _runs(held: Life, now: datetime) -> bool:
    """Say whether a period runs that a change falls into."""
    subscription = held.subscription
    if subscription.status not in BILLABLE - {SubscriptionStatus.TRIALING}:
        return False
    cycle = subscription.agreement.cycle
    return held.running is not None or cycle.index_at(now) >= cycle.anchor_index


def _is_more(before: Subscription, wanted: Agreement) -> bool:
    """Say whether a buyer would pay more than was agreed to, or as much more often."""
    present, asked = before.agreement.cycle.interval, wanted.cycle.interval
    is_more_often = asked.average < present.average and wanted.total.amount > 0
    return is_more_often or wanted.total.amount > (before.consented_amount or 0)


def _named(terms: Terms) -> dict[str, Json]:
    """Return what a change names, as events tell it."""
    price, interval = terms.price, terms.interval
    return {
        "amount": None if price is None else price.amount,
        "tax_free": None if price is None else price.tax_free,
        "quantity": terms.quantity,
        "order_name": terms.order_name,
        "interval": None if interval is None else interval.unit,
        "interval_count": None if interval is None else interval.count,
    }
