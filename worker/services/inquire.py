"""Ask the gateway what became of attempts whose outcome is unknown, and conclude only from that."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.attempt import Question
from shared.billing.collection import after_inquiry
from shared.billing.inquiry import Finding, NoRecord, StillUnresolved, judge
from shared.billing.reserving_rules import unpaid_reservation
from shared.billing.rules import CollectionRules
from shared.clock import Clock
from shared.db import dead_letters, inquiries
from shared.db.dead_letters import AttemptLetter
from shared.db.engine import Database
from worker.services.ports import RecordsGateway, Settle

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class InquireAttempts:
    """Read what the gateway holds of each attempt, and settle what it says.

    Attributes:
        silence_proves: Whether finding no record means that there is none. PortOne leaves open
            whether look-ups by ``merchant_uid`` show payments of test channels,
            so in test mode it proves nothing.
    """

    database: Database
    gateway: RecordsGateway
    settle: Settle
    clock: Clock
    rules: CollectionRules
    silence_proves: bool

    async def __call__(self, attempt_ids: Sequence[int]) -> list[str]:
        """Return the name of every ending, for people."""
        questions = await self.database.run(
            lambda connection: self._open_questions(connection, attempt_ids)
        )
        return list(await asyncio.gather(*(self._ask(question) for question in questions)))

    async def _open_questions(
        self, connection: AsyncConnection, attempt_ids: Sequence[int]
    ) -> tuple[Question, ...]:
        """Return what may be asked now; what never can be is a person's once its time is over."""
        now = self.clock.now()
        questions = await inquiries.open_questions(connection, attempt_ids, now)
        if questions.faulty:
            log.error("inquiry_impossible", faults=dict(questions.faulty))
            overdue = now - self.rules.inquiry.deadline
            for attempt_id in await inquiries.park_faulty(
                connection, list(questions.faulty), overdue
            ):
                letter = AttemptLetter(attempt_id, questions.faulty[attempt_id], {})
                await dead_letters.bury_attempt(connection, letter)
        return questions.askable

    async def _ask(self, question: Question) -> str:
        finding = await self._find(question)
        move = after_inquiry(question, finding, self.rules, self.clock.now())
        written = await self.settle(move)
        return written.attempt_status

    async def _find(self, question: Question) -> Finding:
        expected = question.claim.expectation
        try:
            answer = await self.gateway.records_of(expected.merchant_uid)
            finding = answer if isinstance(answer, StillUnresolved) else judge(expected, answer)
            if isinstance(finding, NoRecord) and expected.is_reserved:
                held = await self.gateway.scheduled(expected.merchant_uid)
                finding = unpaid_reservation(held)
        except Exception as error:
            # A fault of ours: the attempt keeps its deadline, and the others their answers.
            log.exception("inquiry_failed", attempt_id=question.claim.attempt_id)
            return StillUnresolved(f"{type(error).__name__} in our own code")
        if isinstance(finding, NoRecord) and not self.silence_proves:
            return StillUnresolved("no record shown, which proves nothing of a test channel")
        return finding
