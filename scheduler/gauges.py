"""The figures of an installation, as metrics: every metric stands here, once."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.attempt import UNSETTLED, AttemptStatus
from shared.billing.notice import NoticeLeads
from shared.billing.refund import REFUND_UNSETTLED, RefundStatus
from shared.db import (
    attempts,
    backlogs,
    endpoints,
    holds,
    installation,
    invariant_checks,
    invoices,
    letters,
    payment_readings,
    reconciliation_rows,
)
from shared.db.backlogs import Backlog
from shared.db.invariant_checks import Check
from shared.db.invariants import INVARIANTS

# Every metric with what it says; alerts name no other.
METRICS: Final[Mapping[str, str]] = {
    "dalmada_database_up": "Whether the database answers.",
    "dalmada_redis_up": "Whether Redis answers.",
    "dalmada_beat_leads": "Whether a beat holds the lease and says when to look.",
    "dalmada_queue_messages": "Messages that wait in a queue.",
    "dalmada_backlog": "What should have been done by now, of each kind of work.",
    "dalmada_backlog_oldest_seconds": "For how long the oldest of it has waited.",
    "dalmada_invariant_violations": "What an invariant was last found to find; it must be 0.",
    "dalmada_invariant_checked_timestamp_seconds": "When an invariant was looked at last.",
    "dalmada_invariant_walked_timestamp_seconds": "When a walk came to its table's end last.",
    "dalmada_attempts_unsettled": "Payment attempts that have not ended, by status.",
    "dalmada_refunds_unsettled": "Refunds that have not ended, by status.",
    "dalmada_dead_letters_open": "Dead letters that nobody has decided.",
    "dalmada_discrepancies_open": "Differences from PortOne's book that nobody has decided.",
    "dalmada_deliveries_given_up": "Events that an endpoint has not taken and is not sent again.",
    "dalmada_endpoints_disabled": "Endpoints that are told nothing, because they failed.",
    "dalmada_gateway_held": "Whether nothing is sent to the gateway for now.",
    "dalmada_restored": "Whether the database was set back and nothing is charged until recovery.",
}


@dataclass(frozen=True, slots=True)
class Rows:
    """What the database says."""

    backlogs: Mapping[str, Backlog]
    checks: Mapping[str, Check]
    attempts: Mapping[AttemptStatus, int]
    refunds: Mapping[RefundStatus, int]
    letters: int
    discrepancies: int
    given_up: int
    disabled: int
    held: bool
    restored: bool


@dataclass(frozen=True, slots=True)
class Broker:
    """What Redis says."""

    queues: Mapping[str, int]
    beat_leads: bool


@dataclass(frozen=True, slots=True)
class Figures:
    """All that was measured at ``at``; None for what did not answer."""

    at: datetime
    rows: Rows | None
    broker: Broker | None


async def read(connection: AsyncConnection, now: datetime, leads: NoticeLeads) -> Rows:
    """Return what the rows say; nothing in it reads a large table whole."""
    due, oldest_at = await invoices.due_backlog(connection, now)
    return Rows(
        backlogs={
            "renewals": await backlogs.renewals_due(connection, now),
            "invoices": Backlog(due, oldest_at),
            "inquiries": await backlogs.inquiries_due(connection, now),
            "refunds": await backlogs.refunds_due(connection, now),
            "refund_inquiries": await backlogs.refund_inquiries_due(connection, now),
            "hints": await backlogs.hints_due(connection, now),
            "windows": await backlogs.windows_due(connection, now),
            "removals": await backlogs.removals_due(connection),
            "endings": await backlogs.endings_due(connection, now),
            "reservations": await backlogs.reservations_due(connection, now),
            "pauses": await backlogs.pauses_due(connection, now),
            "changes": await backlogs.changes_due(connection, now),
            "notices": await backlogs.notices_due(connection, now, leads),
            "events": await backlogs.events_waiting(connection),
            "deliveries": await backlogs.deliveries_due(connection, now),
        },
        checks=await invariant_checks.read(connection),
        attempts=await attempts.unresolved_counts(connection),
        refunds=await payment_readings.refund_counts(connection),
        letters=await letters.open_count(connection),
        discrepancies=await reconciliation_rows.open_count(connection),
        given_up=await endpoints.given_up_count(connection),
        disabled=await endpoints.failed_count(connection),
        held=await holds.current(connection, now) is not None,
        restored=await installation.is_held(connection),
    )


def registry_of(figures: Figures) -> CollectorRegistry:
    """Return figures as Prometheus's client writes them out."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Measured(figures))
    return registry


class _Measured(Collector):
    """Figures that have been measured already."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def collect(self) -> Iterable[Metric]:
        """Return one metric after the other."""
        rows, broker = self._figures.rows, self._figures.broker
        yield _gauge("dalmada_database_up", rows is not None)
        yield _gauge("dalmada_redis_up", broker is not None)
        if broker is not None:
            yield _gauge("dalmada_beat_leads", broker.beat_leads)
            yield _by("dalmada_queue_messages", "queue", broker.queues)
        if rows is not None:
            yield from _of_rows(rows, self._figures.at)


def _of_rows(rows: Rows, at: datetime) -> Iterator[Metric]:
    counts = {work: backlog.count for work, backlog in rows.backlogs.items()}
    yield _by("dalmada_backlog", "work", counts)
    waited = {work: _waited_s(backlog, at) for work, backlog in rows.backlogs.items()}
    yield _by("dalmada_backlog_oldest_seconds", "work", waited)
    yield from _of_invariants(rows.checks)
    attempts = {str(status): rows.attempts.get(status, 0) for status in sorted(UNSETTLED)}
    yield _by("dalmada_attempts_unsettled", "status", attempts)
    refunds = {str(status): rows.refunds.get(status, 0) for status in sorted(REFUND_UNSETTLED)}
    yield _by("dalmada_refunds_unsettled", "status", refunds)
    yield _gauge("dalmada_dead_letters_open", rows.letters)
    yield _gauge("dalmada_discrepancies_open", rows.discrepancies)
    yield _gauge("dalmada_deliveries_given_up", rows.given_up)
    yield _gauge("dalmada_endpoints_disabled", rows.disabled)
    yield _gauge("dalmada_gateway_held", rows.held)
    yield _gauge("dalmada_restored", rows.restored)


def _of_invariants(checks: Mapping[str, Check]) -> Iterator[Metric]:
    """Yield what is known of the invariants; one that nobody has looked at is as old as can be."""
    violations = _family("dalmada_invariant_violations", ("invariant", "severity"))
    checked = _family("dalmada_invariant_checked_timestamp_seconds", ("invariant",))
    walked = _family("dalmada_invariant_walked_timestamp_seconds", ("invariant",))
    for invariant in INVARIANTS:
        check = checks.get(invariant.name)
        checked.add_metric([invariant.name], check.checked_at.timestamp() if check else 0)
        if check is not None:
            labels = [invariant.name, str(invariant.severity)]
            violations.add_metric(labels, len(check.known))
        if invariant.walks is not None:
            at = check and check.walked_at
            walked.add_metric([invariant.name], at.timestamp() if at else 0)
    yield from (violations, checked, walked)


def _waited_s(backlog: Backlog, at: datetime) -> float:
    return 0 if backlog.oldest_at is None else (at - backlog.oldest_at).total_seconds()


def _family(name: str, labels: Sequence[str]) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, METRICS[name], labels=labels)


def _by(name: str, label: str, values: Mapping[str, float]) -> Metric:
    family = _family(name, (label,))
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def _gauge(name: str, value: float) -> Metric:
    return GaugeMetricFamily(name, METRICS[name], value=float(value))
