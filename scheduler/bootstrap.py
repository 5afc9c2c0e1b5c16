"""The composition root of the scan worker."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from celery import current_app
from redis.asyncio import Redis

from scheduler.scans.deliveries import DispatchDeliveries
from scheduler.scans.dispatch import DispatchInvoices
from scheduler.scans.endings import DispatchEndings
from scheduler.scans.hints import DispatchHints
from scheduler.scans.inquire import DispatchInquiries
from scheduler.scans.mark import MarkDatabase
from scheduler.scans.notices import GiveNotices
from scheduler.scans.refund import DispatchRefunds
from scheduler.scans.relay import DispatchRelay
from scheduler.scans.removals import DispatchRemovals
from scheduler.scans.renew import RenewSubscriptions
from scheduler.scans.reserve import ReservePeriods
from scheduler.scans.resume import ResumeSubscriptions
from scheduler.scans.windows import AdvanceWindows
from shared.clock import Clock, WallClock
from shared.config import Settings, load
from shared.db.engine import Database, connect
from shared.jobs.enqueue import CeleryEnqueue, Enqueue
from shared.jobs.marks import NO_MARKS, Marks, RedisMarks
from shared.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Scans:
    """Every scan, ready to run."""

    renew: RenewSubscriptions
    dispatch: DispatchInvoices
    inquire: DispatchInquiries
    refund: DispatchRefunds
    relay: DispatchRelay
    deliver: DispatchDeliveries
    end: DispatchEndings
    hints: DispatchHints
    windows: AdvanceWindows
    remove: DispatchRemovals
    notices: GiveNotices
    resume: ResumeSubscriptions
    reserve: ReservePeriods
    mark: MarkDatabase


@asynccontextmanager
async def scans() -> AsyncIterator[Scans]:
    """Build the scans of this process from its settings, and close what they hold at the end."""
    settings = load()
    clock = WallClock()
    async with AsyncExitStack() as resources:
        database = connect(
            settings.database_url.get_secret_value(),
            connections_max=settings.database_connections_max,
        )
        resources.push_async_callback(database.aclose)
        redis = Redis.from_url(
            settings.redis_url.get_secret_value(), socket_timeout=5, socket_connect_timeout=5
        )
        resources.push_async_callback(redis.aclose)
        enqueue, marks = CeleryEnqueue(current_app, redis), RedisMarks(redis, clock)
        yield assemble(settings, database, enqueue, clock, marks)


def assemble(
    settings: Settings,
    database: Database,
    enqueue: Enqueue,
    clock: Clock,
    marks: Marks = NO_MARKS,
) -> Scans:
    """Return the scans of a process that finds rows and sends messages through these."""
    resend_after = timedelta(seconds=settings.redispatch_after_s)
    # What most scans take: how much a message and a tick hold, and when a message is lost.
    paged = (
        database,
        enqueue,
        clock,
        settings.charge_batch_size,
        settings.scan_rows_max,
        resend_after,
    )
    return Scans(
        renew=RenewSubscriptions(
            database,
            clock,
            settings.renewal_policies,
            settings.scan_rows_max,
            settings.collection_rules.leases.settle_delay,
            marks,
        ),
        dispatch=DispatchInvoices(
            database,
            enqueue,
            clock,
            settings.charge_batch_size,
            settings.scan_rows_max,
            settings.queued_batches_max,
            resend_after,
            marks,
        ),
        inquire=DispatchInquiries(*paged),
        refund=DispatchRefunds(*paged),
        relay=DispatchRelay(database, enqueue),
        deliver=DispatchDeliveries(
            database, enqueue, clock, settings.endpoint_under_way_max, resend_after
        ),
        end=DispatchEndings(*paged),
        hints=DispatchHints(
            database,
            enqueue,
            clock,
            settings.charge_batch_size,
            settings.scan_rows_max,
            settings.hints_unknown_max,
            resend_after,
        ),
        windows=AdvanceWindows(*paged),
        remove=DispatchRemovals(*paged),
        notices=GiveNotices(
            database,
            clock,
            settings.renewal_policies,
            settings.notice_leads,
            settings.scan_rows_max,
        ),
        resume=ResumeSubscriptions(database, clock, settings.scan_rows_max),
        reserve=ReservePeriods(*paged, settings.renewal_policies, settings.reserve_policy),
        mark=MarkDatabase(database, marks, enqueue, clock),
    )


runtime = Runtime(scans)
