"""Keep what a buyer agreed to, and see whether it is what is about to be charged."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.consent import ConsentKind, ConsentPolicy, is_given, valid_until
from shared.billing.events import Event, EventName, Json, iso
from shared.billing.lifecycle import SubscriptionStatus
from shared.db import agreement_writes, consents, outbox
from shared.db.agreement_writes import NewConsent
from shared.jobs.life_commands import Consent, RecordConsent
from worker.services.commanding import CommandRefusedError
from worker.services.life.rules import LifeRules
from worker.services.life.standing import standing

# Clocks of two machines agree to within this.
_CLOCKS_APART = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class KeepConsent:
    """Handle ``consent.record``: keep what was agreed to, with what proves it."""

    rules: LifeRules

    async def __call__(
        self, connection: AsyncConnection, command: RecordConsent, now: datetime
    ) -> dict[str, Json]:
        """Keep the consent, and say until when it counts, so that one too early is noticed.

        Raises:
            CommandRefusedError: The subscription is unknown or has ended, or the consent is of a
                time to come.
        """
        life = await standing(connection, command.subscription_id)
        if life.subscription.status is SubscriptionStatus.CANCELED:
            message = (
                "the subscription has ended, and nothing of it is charged: give the consent with"
                " subscription.reactivate, or with subscription.start"
            )
            raise CommandRefusedError(message)
        new = consent_of(
            command.subscription_id,
            command.consent,
            command.kind,
            (command.amount_before, command.amount_after),
            command.effective_at,
            command.command_id,
        )
        consent_id = await keep(connection, self.rules.consent, new, now)
        return {
            "subscription_id": str(command.subscription_id),
            "consent_id": consent_id,
            "valid_until": iso(valid_until(self.rules.consent, new.kind, new.given_at)),
        }


def consent_of(
    subscription_id: UUID,
    said: Consent,
    kind: ConsentKind,
    amounts: tuple[int | None, int],
    effective_at: datetime | None,
    command_id: str,
) -> NewConsent:
    """Return what is kept of a consent as a command says it.

    Args:
        subscription_id: Of which subscription.
        said: When and how it was given.
        kind: What it is a consent to.
        amounts: What a period costs before and after, in won.
        effective_at: From when on, or None where that was not said.
        command_id: The command that says so.
    """
    before, after = amounts
    return NewConsent(
        subscription_id,
        kind,
        before,
        after,
        effective_at,
        said.given_at,
        said.payment_method,
        said.shown,
        said.evidence,
        command_id,
    )


async def keep(
    connection: AsyncConnection, policy: ConsentPolicy, new: NewConsent, now: datetime
) -> int:
    """Keep a consent, tell of it and until when it counts, and return its id.

    Raises:
        CommandRefusedError: It says that it will be given.
    """
    if new.given_at > now + _CLOCKS_APART:
        message = (
            f"given_at {new.given_at.isoformat()} lies ahead: a consent is told once it is given"
        )
        raise CommandRefusedError(message)
    consent_id = await agreement_writes.record_consent(connection, new)
    data: dict[str, Json] = {
        "consent_id": consent_id,
        "kind": new.kind,
        "amount_before": new.amount_before,
        "amount_after": new.amount_after,
        "effective_at": iso(new.effective_at),
        "given_at": new.given_at.isoformat(),
        "valid_until": iso(valid_until(policy, new.kind, new.given_at)),
        "at": now.isoformat(),
    }
    await outbox.write(connection, [Event(EventName.CONSENT_GIVEN, new.subscription_id, data)])
    return consent_id


async def is_agreed(
    connection: AsyncConnection,
    policy: ConsentPolicy,
    subscription_id: UUID,
    kinds: Collection[ConsentKind],
    amount: int,
    effective_at: datetime,
) -> bool:
    """Say whether the buyer has agreed to ``amount`` won a period from ``effective_at`` on."""
    found = await consents.given(connection, [subscription_id])
    given = found.get(subscription_id, ())
    # One that was given just now, by a clock that is a little ahead of ours, is not from later.
    at = max([effective_at, *(each.given_at for each in given)])
    effective_at = at if at - effective_at <= _CLOCKS_APART else effective_at
    return any(is_given(policy, given, kind, amount, effective_at) for kind in kinds)
