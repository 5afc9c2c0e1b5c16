"""Which handler works which command."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.events import Json
from shared.db import reserved_periods
from shared.jobs import commands, life_commands
from shared.jobs.command import Command
from worker.services.cancellation import cancel_subscription
from worker.services.commanding import Handler
from worker.services.hints import ConfirmWindow
from worker.services.key_removal import AskKeyRemoval
from worker.services.life.adjusting import Adjust
from worker.services.life.changing import ChangeAgreement
from worker.services.life.collecting import switch_collection
from worker.services.life.consenting import KeepConsent
from worker.services.life.dunning import SwitchDunning
from worker.services.life.pausing import pause_subscription, resume_subscription
from worker.services.life.pricing import ChangeProductPrice
from worker.services.life.reactivation import Reactivate
from worker.services.life.retry import TryInvoice
from worker.services.life.rules import LifeRules
from worker.services.life.start import Start
from worker.services.life.withdrawing import withdraw_change
from worker.services.refund_requests import refund_payment
from worker.services.window_requests import RequestKeyWindow, RequestPaymentWindow, WindowTerms


def handlers(terms: WindowTerms, rules: LifeRules) -> Mapping[type[Command], Handler[Any]]:
    """Return a handler for every command."""
    return {
        **life_handlers(rules),
        commands.RegisterBillingKey: RequestKeyWindow(terms),
        commands.ChangeBillingKey: RequestKeyWindow(terms),
        commands.ConfirmBillingKey: ConfirmWindow(),
        commands.DeleteBillingKey: AskKeyRemoval(),
        commands.RequestPayment: RequestPaymentWindow(terms),
        commands.ConfirmPayment: ConfirmWindow(),
        commands.CancelSubscription: end_subscription,
        commands.RefundPayment: refund_payment,
    }


def _recalling(handler: Handler[Any]) -> Handler[Any]:
    """Return a handler after whose work nothing stays reserved by what was agreed before it."""

    async def handle(connection: AsyncConnection, command: Any, now: datetime) -> dict[str, Json]:
        told = await handler(connection, command, now)
        cause = f"{command.task}: revoked, before anything else"
        await reserved_periods.recall(connection, [command.subscription_id], cause, now)
        return told

    return handle


# Whoever asks for an end, a merchant or a person, nothing stays reserved for what comes after it.
end_subscription: Final[Handler[Any]] = _recalling(cancel_subscription)


def life_handlers(rules: LifeRules) -> Mapping[type[Command], Handler[Any]]:
    """Return a handler for every command about the life of a subscription."""
    return {
        life_commands.StartSubscription: Start(rules),
        life_commands.PauseSubscription: _recalling(pause_subscription),
        life_commands.ResumeSubscription: _recalling(resume_subscription),
        life_commands.ChangeSubscription: _recalling(ChangeAgreement(rules)),
        life_commands.WithdrawChange: _recalling(withdraw_change),
        life_commands.ReactivateSubscription: _recalling(Reactivate(rules)),
        life_commands.AdjustSubscription: _recalling(Adjust(rules)),
        life_commands.RecordConsent: _recalling(KeepConsent(rules)),
        life_commands.CollectSubscription: _recalling(switch_collection),
        life_commands.ChangePrice: ChangeProductPrice(rules),
        life_commands.SwitchDunning: SwitchDunning(rules.hours),
        life_commands.RetryInvoice: TryInvoice(rules.dunning, rules.hours),
    }
