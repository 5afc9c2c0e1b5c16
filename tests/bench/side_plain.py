"""The plain side: prefork workers of the plain design on tables of their own."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from celery import Celery
from sqlalchemy import Engine, create_engine, func, select
from sqlalchemy.orm import Session

from deploy.launcher.children import Child
from deploy.launcher.environment import Environment
from deploy.launcher.terminal import Terminal
from shared.db.engine import driver_url
from tests.bench.plain.models import Base, Invoice, InvoiceStatus, Subscription
from tests.bench.side import (
    AMOUNT,
    BUYER_EMAIL,
    BUYER_NAME,
    BUYER_TEL,
    CHECKOUT,
    ORDER_NAME,
    TAX_FREE,
    Ledger,
    Stage,
    attempts_of,
)
from tests.support.databases import fresh_database
from tests.support.sandbox import IMP_KEY, IMP_SECRET

QUEUE = "plain.charge"
TASK = "plain.charge"
# As many as the reference measurement had, and as many charges are under way at most.
PROCESSES = 8

_ATTEMPTS = """
    SELECT a.merchant_uid, a.imp_uid, s.customer_uid, i.amount, i.tax_free, a.status,
        CAST(extract(epoch FROM a.settled_at) AS float8)
    FROM payment_attempts a
    JOIN invoices i ON i.id = a.invoice_id
    JOIN subscriptions s ON s.id = i.subscription_id
"""


@dataclass(frozen=True, slots=True)
class Plain:
    """One message a charge, prefork, ORM."""

    name: str = "plain"
    label: str = f"plain: a message a charge, prefork -c {PROCESSES}, ORM, a client a process"
    queues: tuple[str, ...] = (QUEUE,)

    @contextmanager
    def on(self, stage: Stage) -> Iterator["PlainPlaying"]:
        """Yield the plain side on a fresh database."""
        with fresh_database(stage.servers.postgres, migrated=False) as url:
            engine = create_engine(driver_url(url))
            try:
                yield PlainPlaying(stage, url, engine)
            finally:
                engine.dispose()


class PlainPlaying:
    """The plain side in one round."""

    def __init__(self, stage: Stage, url: str, engine: Engine) -> None:
        self._stage = stage
        self._url = url
        self._engine = engine

    def prepare(self, count: int) -> list[str]:
        """Write the tables and so many due invoices."""
        Base.metadata.create_all(self._engine)
        customer_uids = [f"bench_{number:08d}" for number in range(count)]
        with Session(self._engine) as session, session.begin():
            for customer_uid in customer_uids:
                subscription = Subscription(
                    customer_uid=customer_uid,
                    buyer_name=BUYER_NAME,
                    buyer_email=BUYER_EMAIL,
                    buyer_tel=BUYER_TEL,
                    order_name=ORDER_NAME,
                )
                invoice = Invoice(
                    subscription=subscription, period_index=1, amount=AMOUNT, tax_free=TAX_FREE
                )
                session.add(invoice)
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
        return customer_uids

    def workers(self) -> list[Child]:
        """Return the one worker, whose pool is the processes."""
        environment = Environment(CHECKOUT, Terminal())
        return [
            Child(
                "plain",
                [
                    environment.python,
                    *("-m", "celery", "-A", "tests.bench.plain.app", "worker"),
                    *("--pool", "prefork", "-c", str(PROCESSES), "-Q", QUEUE, "-n", "plain@%h"),
                    *("--without-mingle", "--without-gossip", "-l", "info"),
                ],
                log=self._stage.logs / "plain.log",
                env={
                    **environment.variables(),
                    "PLAIN_DATABASE_URL": driver_url(self._url),
                    "PLAIN_REDIS_URL": self._stage.servers.valkey.url,
                    "PLAIN_PORTONE_BASE_URL": self._stage.sandbox.url,
                    "PLAIN_PORTONE_IMP_KEY": IMP_KEY,
                    "PLAIN_PORTONE_IMP_SECRET": IMP_SECRET,
                },
                cwd=CHECKOUT,
            )
        ]

    def publish(self) -> None:
        """Publish one message an invoice."""
        with Session(self._engine) as session:
            ids = list(session.scalars(select(Invoice.id).order_by(Invoice.id)))
        app = Celery("plain-bench", broker=self._stage.servers.valkey.url, set_as_current=False)
        try:
            with app.producer_pool.acquire(block=True) as producer:
                for id_ in ids:
                    app.send_task(
                        TASK, args=(id_,), queue=QUEUE, producer=producer, ignore_result=True
                    )
        finally:
            app.close()

    def accompany(self) -> None:
        """Do nothing: the plain design has no events to relay."""

    def paid(self) -> int:
        """Count the invoices paid so far."""
        with Session(self._engine) as session:
            wanted = select(func.count()).where(Invoice.status == InvoiceStatus.PAID)
            return session.scalars(wanted).one()

    def ledger(self) -> Ledger:
        """Read what the rows say."""
        with psycopg.connect(self._url) as connection:
            counts = connection.execute(
                "SELECT count(*), count(*) FILTER (WHERE status = 'paid') FROM invoices"
            ).fetchone()
            attempts = connection.execute(_ATTEMPTS).fetchall()
        assert counts is not None
        invoices, paid = counts
        return Ledger(invoices, paid, attempts_of(attempts))
