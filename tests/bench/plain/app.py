"""The plain design's Celery app and its one task, which charges one invoice."""

import logging
import os
from datetime import UTC, datetime
from typing import Any

from celery import Celery
from celery.signals import worker_process_init, worker_process_shutdown
from sqlalchemy import Engine, create_engine, func, select
from sqlalchemy.orm import Session, joinedload, sessionmaker

from tests.bench.plain.gateway import Gateway, Outcome
from tests.bench.plain.models import AttemptStatus, Invoice, InvoiceStatus, PaymentAttempt

QUEUE = "plain.charge"
TASK = "plain.charge"

app = Celery("plain", broker=os.environ["PLAIN_REDIS_URL"])
app.conf.update(
    task_default_queue=QUEUE,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    broker_transport_options={"visibility_timeout": 600},
    timezone="UTC",
)

engine: Engine
sessions: sessionmaker[Session]
gateway: Gateway


@worker_process_init.connect
def _start(**_: Any) -> None:
    """Open what a process of the pool keeps: nothing of it survives a fork."""
    global engine, sessions, gateway  # noqa: PLW0603 - a process has one of each
    logging.getLogger("httpx").setLevel(logging.WARNING)
    engine = create_engine(os.environ["PLAIN_DATABASE_URL"], hide_parameters=True)
    sessions = sessionmaker(engine, expire_on_commit=False)
    gateway = Gateway(
        os.environ["PLAIN_PORTONE_BASE_URL"],
        os.environ["PLAIN_PORTONE_IMP_KEY"],
        os.environ["PLAIN_PORTONE_IMP_SECRET"],
    )


@worker_process_shutdown.connect
def _stop(**_: Any) -> None:
    gateway.close()
    engine.dispose()


@app.task(name=TASK)
def charge(invoice_id: int) -> str:
    """Collect one invoice: claim, send, settle."""
    claimed = _claim(invoice_id)
    if claimed is None:
        return "not due"
    attempt_id, body = claimed
    return _settle(attempt_id, gateway.charge(body))


def _claim(invoice_id: int) -> tuple[int, dict[str, Any]] | None:
    """Write the attempt, committed before it is sent; None if there is nothing to send."""
    with sessions.begin() as session:
        invoice = session.scalars(
            select(Invoice)
            .where(Invoice.id == invoice_id)
            .options(joinedload(Invoice.subscription, innerjoin=True))
            .with_for_update(of=Invoice)
        ).one()
        if invoice.status is not InvoiceStatus.OPEN:
            return None
        invoice.status = InvoiceStatus.COLLECTING
        invoice.attempts += 1
        attempt = PaymentAttempt(
            invoice=invoice,
            number=invoice.attempts,
            merchant_uid=f"plain{invoice.id:012d}n{invoice.attempts}",
        )
        session.add(attempt)
        session.flush()
        return attempt.id, _body(invoice, attempt)


def _body(invoice: Invoice, attempt: PaymentAttempt) -> dict[str, Any]:
    subscription = invoice.subscription
    fields = {
        "customer_uid": subscription.customer_uid,
        "merchant_uid": attempt.merchant_uid,
        "amount": invoice.amount,
        "tax_free": invoice.tax_free,
        "name": subscription.order_name,
        "buyer_name": subscription.buyer_name,
        "buyer_email": subscription.buyer_email,
        "buyer_tel": subscription.buyer_tel,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _settle(attempt_id: int, outcome: Outcome) -> str:
    """Write how the charge ended, once."""
    with sessions.begin() as session:
        attempt = session.scalars(
            select(PaymentAttempt)
            .where(PaymentAttempt.id == attempt_id)
            .options(joinedload(PaymentAttempt.invoice, innerjoin=True))
            .with_for_update()
        ).one()
        if attempt.status is not AttemptStatus.CLAIMED:
            return "settled before"
        attempt.status = outcome.status
        attempt.imp_uid = outcome.imp_uid
        attempt.receipt_url = outcome.receipt_url
        attempt.message = outcome.message
        attempt.settled_at = func.now()
        invoice = attempt.invoice
        if outcome.status is AttemptStatus.PAID:
            invoice.status = InvoiceStatus.PAID
            if outcome.paid_at_s is not None:
                invoice.paid_at = datetime.fromtimestamp(outcome.paid_at_s, UTC)
        elif outcome.status is not AttemptStatus.UNKNOWN:
            # No money moved, so it may be collected again; what is unknown must be asked about.
            invoice.status = InvoiceStatus.OPEN
    return outcome.status
