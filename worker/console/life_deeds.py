"""What an operator does to a subscription's life: shown as it is and will be, then done."""

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from shared.billing.use_confirmation import KST
from shared.clock import WallClock
from worker.console.confirmation import confirm
from worker.console.endings import MisusedError
from worker.console.rendering import print_fields, print_json
from worker.console.terms import instant

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from shared.billing.events import Json
    from shared.jobs.command import Command
    from worker.console.deeds import Deed
    from worker.console.session import LifeSettings
    from worker.services.commanding import Handler


@dataclass(frozen=True, slots=True)
class Wish:
    """What an operator wants of one subscription.

    Attributes:
        action: The console's command, for example ``subscription pause``.
        headline: What is about to happen, in a few words.
        reason: Why, for the audit log.
        subscription_id: Which one; None for one that is only beginning.
        zone: On whose clocks instants are shown, of one that is only beginning.
    """

    action: str
    headline: str
    command: "Command"
    reason: str | None
    subscription_id: UUID | None
    zone: str = KST.key


def give(wish: Wish, *, yes: bool, as_json: bool) -> None:
    """Show what a wish comes to, have it confirmed and done, and print what was done.

    Raises:
        RefusedError: The handler refuses, or nobody confirms.
    """
    from worker.console import deeds, life_view, session  # noqa: PLC0415 - see app.py

    settings = session.load(session.LifeSettings)
    which = "" if wish.subscription_id is None else f" {wish.subscription_id}"
    deed = deeds.Deed(
        wish.action,
        f"subscription{which}",
        wish.reason,
        wish.command,
        handler_of(wish.command, settings),
    )
    foreseen = session.ask(settings, lambda connection: _look(connection, deed, wish, settings))
    confirm(
        wish.headline,
        life_view.deed_fields(foreseen.told, foreseen.before, foreseen.after, foreseen.zone),
        yes=yes,
        as_json=as_json,
    )
    result = deeds.do(settings, deed)
    if as_json:
        print_json(result)
    else:
        print_fields(life_view.told_fields(result, foreseen.zone))


@dataclass(frozen=True, slots=True)
class _Foreseen:
    """What the handler would tell, and what the subscription reads like before and after."""

    told: "Mapping[str, Json]"
    before: dict[str, str]
    after: dict[str, str]
    zone: str


async def _look(
    connection: "AsyncConnection", deed: "Deed", wish: Wish, settings: "LifeSettings"
) -> _Foreseen:
    from worker.console import deeds, queries, subscription_view  # noqa: PLC0415 - see app.py

    async def summary(subscription_id: UUID) -> tuple[dict[str, str], str]:
        card = await queries.show_subscription(connection, subscription_id, 0)
        fields = subscription_view.summary_fields(card, settings.renewal_policies)
        return fields, card.subscription.agreement.cycle.time_zone

    before, zone = dict[str, str](), wish.zone
    if wish.subscription_id is not None:
        before, zone = await summary(wish.subscription_id)

    async def afterwards(told: "Mapping[str, Json]") -> dict[str, str]:
        fields, _ = await summary(UUID(str(told["subscription_id"])))
        return fields

    now = WallClock().now()
    told, after = await deeds.foresee_with(connection, deed, now, afterwards)
    return _Foreseen(told, before or after, after, zone)


def handler_of(command: "Command", settings: "LifeSettings") -> "Handler[Any]":
    """Return what works a merchant's command of the same kind."""
    from worker.handlers import life_handlers  # noqa: PLC0415 - see app.py
    from worker.services.life.rules import LifeRules  # noqa: PLC0415

    rules = LifeRules(
        settings.minimum_amount,
        settings.trial_once,
        settings.consent_policy,
        timedelta(days=settings.notice_price_days),
        settings.dunning_policy,
        settings.hours,
    )
    return life_handlers(rules)[type(command)]


def consent_of(
    at: str | None, shown: str | None, evidence: str | None, payment_method: str | None
) -> dict[str, object] | None:
    """Return a consent as commands carry it, or None where none was given.

    Raises:
        MisusedError: A part of it is missing.
    """
    given = (at, shown, evidence, payment_method)
    if at is None or shown is None or evidence is None:
        if any(given):
            raise MisusedError(
                "a consent is told whole or not at all: --consent-at, --consent-shown and"
                " --consent-evidence, and --consent-payment-method if you like."
            )
        return None
    return {
        "given_at": moment("--consent-at", at),
        "shown": shown,
        "evidence": evidence,
        "payment_method": payment_method,
    }


def moment(option: str, written: str | None) -> "datetime | None":
    """Return an instant that was typed, on Korean clocks unless it carries an offset."""
    return None if written is None else instant(option, written, KST.key)
