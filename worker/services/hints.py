"""Take in what browsers and webhooks say of payments: stored, and believed by nobody.

What becomes of it is decided by what the gateway shows, once the hint is read.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.events import Json
from shared.billing.hint import HINT_POLICY, HintPolicy
from shared.billing.window import WindowKind, WindowStatus
from shared.clock import Clock
from shared.db import hints, windows
from shared.db.engine import Database
from shared.db.hints import Said
from shared.jobs.commands import ConfirmBillingKey, ConfirmPayment, ReceiveWebhook
from worker.services.commanding import CommandRefusedError

log = structlog.get_logger(__name__)

Confirm: TypeAlias = ConfirmBillingKey | ConfirmPayment

# Said by our own looking, before a window is given up.
FOUND = "found"


@dataclass(frozen=True, slots=True)
class ConfirmWindow:
    """Handle ``billing_key.confirm`` and ``payment.confirm``: have the gateway looked at."""

    policy: HintPolicy = HINT_POLICY

    async def __call__(
        self, connection: AsyncConnection, command: Confirm, now: datetime
    ) -> dict[str, Json]:
        """Store what the buyer's browser came back with, or refuse what cannot be meant."""
        stored = await windows.named(connection, command.merchant_uid)
        if stored is None:
            message = "no payment window of ours has this merchant_uid: give that of the request"
            raise CommandRefusedError(message)
        window = stored.window
        if (window.kind is WindowKind.PAYMENT) is not isinstance(command, ConfirmPayment):
            right = ConfirmPayment if window.kind is WindowKind.PAYMENT else ConfirmBillingKey
            message = f"the window of this merchant_uid is a {window.kind}: send {right.task}"
            raise CommandRefusedError(message)
        told: dict[str, Json] = {
            "window_id": str(window.id),
            "merchant_uid": window.merchant_uid,
            "imp_uid": command.imp_uid,
        }
        if window.status is WindowStatus.CONFIRMED and stored.imp_uid == command.imp_uid:
            return {**told, "status": window.status}
        said = Said(
            command.imp_uid,
            # Two windows may be confirmed with one payment; only one of them can be right.
            f"confirm {window.merchant_uid}",
            window.merchant_uid,
            command_id=command.command_id,
        )
        await hints.store(connection, said, now, self.policy.again_after)
        return {**told, "status": "looking"}


@dataclass(frozen=True, slots=True)
class ReceiveWebhooks:
    """Store what a webhook says, once however often it comes."""

    database: Database
    clock: Clock
    policy: HintPolicy = HINT_POLICY

    async def __call__(self, webhook: ReceiveWebhook) -> str:
        """Return the outcome, for people."""
        said = Said(webhook.imp_uid, webhook.status, webhook.merchant_uid, webhook.cancellation_id)
        stored = await self.database.run(
            lambda connection: hints.store(
                connection, said, self.clock.now(), self.policy.again_after
            )
        )
        if stored is None:
            log.warning("webhook_let_go", cause="too many wait that nobody here knows of")
            return "let go"
        return "stored"
