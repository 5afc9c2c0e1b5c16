"""Which handler works which command."""

from collections.abc import Mapping
from typing import Any

from shared.jobs import commands
from shared.jobs.command import Command
from worker.services.cancellation import cancel_subscription
from worker.services.commanding import Handler
from worker.services.hints import ConfirmWindow
from worker.services.key_removal import AskKeyRemoval
from worker.services.refund_requests import refund_payment
from worker.services.window_requests import RequestKeyWindow, RequestPaymentWindow, WindowTerms


def handlers(terms: WindowTerms) -> Mapping[type[Command], Handler[Any]]:
    """Return a handler for every command."""
    return {
        commands.RegisterBillingKey: RequestKeyWindow(terms),
        commands.ChangeBillingKey: RequestKeyWindow(terms),
        commands.ConfirmBillingKey: ConfirmWindow(),
        commands.DeleteBillingKey: AskKeyRemoval(),
        commands.RequestPayment: RequestPaymentWindow(terms),
        commands.ConfirmPayment: ConfirmWindow(),
        commands.CancelSubscription: cancel_subscription,
        commands.RefundPayment: refund_payment,
    }
