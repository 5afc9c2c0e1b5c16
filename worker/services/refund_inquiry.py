"""Read the payments of refunds whose outcome is unknown, and conclude only from what they show."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.inquiry import StillUnresolved
from shared.billing.refund import RefundFinding, RefundQuestion, judge_refund
from shared.billing.refunding import after_refund_inquiry
from shared.billing.rules import CollectionRules
from shared.clock import Clock
from shared.db import dead_letters, refund_inquiries
from shared.db.dead_letters import RefundLetter
from shared.db.engine import Database
from worker.services.ports import RefundGateway, SettleRefund

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class InquireRefunds:
    """Read what the gateway holds of each payment, and settle what it says of the refund."""

    database: Database
    gateway: RefundGateway
    settle: SettleRefund
    clock: Clock
    rules: CollectionRules

    async def __call__(self, refund_ids: Sequence[int]) -> list[str]:
        """Return the name of every ending, for people."""
        questions = await self.database.run(
            lambda connection: self._open_questions(connection, refund_ids)
        )
        return list(await asyncio.gather(*(self._ask(question) for question in questions)))

    async def _open_questions(
        self, connection: AsyncConnection, refund_ids: Sequence[int]
    ) -> tuple[RefundQuestion, ...]:
        """Return what may be asked now; what never can be is a person's once its time is over."""
        now = self.clock.now()
        questions = await refund_inquiries.open_questions(connection, refund_ids, now)
        if questions.faulty:
            log.error("refund_inquiry_impossible", faults=dict(questions.faulty))
            overdue = now - self.rules.inquiry.deadline
            for refund_id in await refund_inquiries.park_faulty(
                connection, list(questions.faulty), overdue
            ):
                letter = RefundLetter(refund_id, questions.faulty[refund_id], {})
                await dead_letters.bury_refund(connection, letter)
        return questions.askable

    async def _ask(self, question: RefundQuestion) -> str:
        finding = await self._find(question)
        move = after_refund_inquiry(question, finding, self.rules, self.clock.now())
        written = await self.settle(move)
        return written.status

    async def _find(self, question: RefundQuestion) -> RefundFinding:
        claim = question.claim
        try:
            answer = await self.gateway.payment(claim.imp_uid)
        except Exception as error:
            # A fault of ours: the refund keeps its deadline, and the others their answers.
            log.exception("refund_inquiry_failed", refund_id=claim.refund_id)
            return StillUnresolved(f"{type(error).__name__} in our own code")
        if isinstance(answer, StillUnresolved):
            return answer
        return judge_refund(claim, answer)
