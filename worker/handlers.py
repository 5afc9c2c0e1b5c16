"""Which handler works which command."""

from collections.abc import Mapping
from typing import Any

from shared.jobs import commands, life_commands
from shared.jobs.command import Command
from worker.services.cancellation import cancel_subscription
from worker.services.commanding import Handler
from worker.services.hints import ConfirmWindow
from worker.services.key_removal import AskKeyRemoval
from worker.services.life.adjusting import Adjust
from worker.services.life.changing import ChangeAgreement
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
        commands.CancelSubscription: cancel_subscription,
        commands.RefundPayment: refund_payment,
    }


def life_handlers(rules: LifeRules) -> Mapping[type[Command], Handler[Any]]:
    """Return a handler for every command about the life of a subscription."""
    return {
        life_commands.StartSubscription: Start(rules),
        life_commands.PauseSubscription: pause_subscription,
        life_commands.ResumeSubscription: resume_subscription,
        life_commands.ChangeSubscription: ChangeAgreement(rules),
        life_commands.WithdrawChange: withdraw_change,
        life_commands.ReactivateSubscription: Reactivate(rules),
        life_commands.AdjustSubscription: Adjust(rules),
        life_commands.RecordConsent: KeepConsent(rules),
        life_commands.ChangePrice: ChangeProductPrice(rules),
        life_commands.SwitchDunning: SwitchDunning(rules.hours),
        life_commands.RetryInvoice: TryInvoice(rules.dunning, rules.hours),
    }
