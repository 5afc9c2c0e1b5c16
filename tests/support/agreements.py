"""What waits for the renewals of subscriptions, as rows: changes, adjustments, consents, pauses."""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row

from scheduler.scans.notices import GiveNotices
from shared.billing.notice import NoticeLeads
from shared.billing.renewal import RenewalPolicies
from tests.support.billing import World


@dataclass
class Agreements:
    """Writes rows beside a small world, as commands would."""

    world: World

    async def change(
        self,
        subscription_id: uuid.UUID,
        effective_at: datetime,
        *,
        requester: str = "admin",
        notice_at: datetime | None = None,
        **terms: Any,
    ) -> int:
        """Plan a change of terms."""
        if "amount" in terms:
            terms.setdefault("tax_free", 0)
        columns = ["amount", "tax_free", "quantity", "order_name", "interval_unit"]
        columns.append("interval_count")
        (row,) = await self.world.rows(
            f"""
            INSERT INTO agreement_changes (
                subscription_id, effective_at, requester, notice_at, command_id,
                {", ".join(columns)}
            )
            VALUES (:id, :effective_at, :requester, :notice_at, :command_id,
                {", ".join(f":{column}" for column in columns)})
            RETURNING id
            """,  # noqa: S608 - a test's own
            id=subscription_id,
            effective_at=effective_at,
            requester=requester,
            notice_at=notice_at,
            command_id=str(self.world.new_id()),
            **{column: terms.get(column) for column in columns},
        )
        return int(row.id)

    async def adjust(
        self,
        subscription_id: uuid.UUID,
        kind: str,
        amount: int = 0,
        *,
        tax_free: int = 0,
        percent: int | None = None,
        periods: int | None = None,
    ) -> int:
        """Give a credit or a discount, or charge something beside the agreement."""
        (row,) = await self.world.rows(
            """
            INSERT INTO adjustments (
                subscription_id, kind, description, amount, tax_free, percent, amount_left,
                tax_free_left, periods_left, command_id
            )
            VALUES (:id, :kind, :kind, :amount, :tax_free, :percent, :amount, :tax_free, :periods,
                'adjust')
            RETURNING id
            """,
            id=subscription_id,
            kind=kind,
            amount=amount,
            tax_free=tax_free,
            percent=percent,
            periods=periods,
        )
        return int(row.id)

    async def agree(
        self, subscription_id: uuid.UUID, kind: str, amount: int, given_at: datetime
    ) -> None:
        """Keep a consent."""
        await self.world.rows(
            """
            INSERT INTO consents (
                subscription_id, kind, amount_after, given_at, shown, evidence, command_id
            )
            VALUES (:id, :kind, :amount, :given_at, 'page', 'signature', 'agree')
            """,
            id=subscription_id,
            kind=kind,
            amount=amount,
            given_at=given_at,
        )

    async def pause(
        self,
        subscription_id: uuid.UUID,
        pause_at: datetime,
        *,
        resume_at: datetime | None = None,
        keeps: str = "calendar",
    ) -> None:
        """Plan a pause from a date on."""
        await self.world.rows(
            """
            UPDATE subscriptions
            SET pause_at = :pause_at, resume_at = :resume_at, pause_keeps = :keeps WHERE id = :id
            """,
            id=subscription_id,
            pause_at=pause_at,
            resume_at=resume_at,
            keeps=keeps,
        )

    async def notices(
        self,
        *,
        renewal_days: int = 3,
        trial_days: int = 7,
        price_days: int = 30,
        rows_max: int = 1000,
    ) -> int:
        """Run the scan that gives notices."""
        days = (renewal_days, trial_days, price_days)
        leads = NoticeLeads(*(timedelta(days=each) for each in days))
        world = self.world
        policies = RenewalPolicies(consent=world.consent)
        scan = GiveNotices(world.database, world.clock, policies, leads, rows_max)
        return await scan()

    async def subscription(self, subscription_id: uuid.UUID) -> Row[Any]:
        """Return a subscription's row."""
        statement = "SELECT * FROM subscriptions WHERE id = :id"
        return (await self.world.rows(statement, id=subscription_id))[0]

    async def invoices(self, subscription_id: uuid.UUID) -> list[Row[Any]]:
        """Return the rows of a subscription's invoices, by period."""
        return await self.world.rows(
            "SELECT * FROM invoices WHERE subscription_id = :id ORDER BY period_index",
            id=subscription_id,
        )

    async def changes(self) -> list[tuple[str, int | None]]:
        """Return the status and the first period of every change, oldest first."""
        found = await self.world.rows(
            "SELECT status, applied_index FROM agreement_changes ORDER BY id"
        )
        return [(row.status, row.applied_index) for row in found]

    async def names(self) -> list[str]:
        """Return the names of all events but the first ones, oldest first."""
        told = await self.world.events()
        return [event["name"] for event in told if event["name"] != "subscription.created"]
