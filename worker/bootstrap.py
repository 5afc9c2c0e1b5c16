"""The composition root of a worker: the one place that builds adapters from settings."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from redis.asyncio import Redis

from shared.clock import Clock, WallClock
from shared.config import Settings, load
from shared.db.engine import Database, connect
from shared.db.invariant import Bounds
from shared.jobs.deliveries import Deliveries
from shared.jobs.marks import NO_MARKS, Marks, RedisMarks
from shared.runtime import Runtime
from worker.events.http import EventPoster, Patience
from worker.events.stream import StreamPublisher
from worker.gateway.adapter import PortOneGateway
from worker.gateway.client import PortOne
from worker.gateway.settings import GatewaySettings
from worker.gateway.texts import DEAD_METHOD_MARKERS
from worker.handlers import handlers
from worker.services.channel_check import ChannelTerms, CheckChannels
from worker.services.charge import ChargeInvoices
from worker.services.check import CheckInvariants
from worker.services.command_desk import CommandDesk
from worker.services.deliver import DeliverEvents
from worker.services.endings import EndSubscriptions
from worker.services.forecast import ForeseeDay, ForeseeDays
from worker.services.forecast_rows import ForecastRules
from worker.services.grouping import Grouping
from worker.services.hint_reading import ReadHints
from worker.services.hints import ReceiveWebhooks
from worker.services.inquire import InquireAttempts
from worker.services.key_removal import RemoveBillingKeys
from worker.services.life.rules import LifeRules
from worker.services.ports import CountDeliveries, PostEvent, Publish
from worker.services.proof import ProveDatabase
from worker.services.reconcile import ReconcileBooks, Watch, unwatched
from worker.services.reconcile_daily import ReconcileDay
from worker.services.recover import Recover
from worker.services.recover_attempts import AdoptAttempts
from worker.services.recover_refunds import AdoptRefunds
from worker.services.refund import SendRefunds
from worker.services.refund_inquiry import InquireRefunds
from worker.services.refund_settlement import SettleRefunds
from worker.services.relay import RelayEvents
from worker.services.reserve import AdvanceReservations
from worker.services.reserve_returns import ReturnExecuted
from worker.services.settle import SettleMoves
from worker.services.survey import SurveySchedules
from worker.services.window_requests import WindowTerms
from worker.services.windows import CloseWindows, PrepareWindows


@dataclass(frozen=True, slots=True)
class Services:
    """Every service of a worker, ready to be called on the process's loop."""

    charge_invoices: ChargeInvoices
    check_channels: CheckChannels
    commands: CommandDesk
    deliveries: CountDeliveries
    prove_database: ProveDatabase
    inquire_attempts: InquireAttempts
    send_refunds: SendRefunds
    inquire_refunds: InquireRefunds
    end_subscriptions: EndSubscriptions
    advance_reservations: AdvanceReservations
    read_hints: ReadHints
    prepare_windows: PrepareWindows
    close_windows: CloseWindows
    remove_billing_keys: RemoveBillingKeys
    relay_events: RelayEvents
    deliver_events: DeliverEvents
    reconcile_day: ReconcileDay
    check_invariants: CheckInvariants
    foresee_day: ForeseeDay


@dataclass(frozen=True, slots=True)
class Adapters:
    """What the services reach the world through, and the clock they go by."""

    database: Database
    gateway: PortOneGateway
    publish: Publish
    deliveries: CountDeliveries
    clock: Clock
    post: PostEvent
    marks: Marks = NO_MARKS


@asynccontextmanager
async def services() -> AsyncIterator[Services]:
    """Build the services of this process from its settings, and close what they hold at the end."""
    settings, clock = load(), WallClock()
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
        portone = await resources.enter_async_context(gateway(settings, clock))
        poster = EventPoster(patience(settings))
        resources.push_async_callback(poster.aclose)
        yield assemble(
            settings,
            Adapters(
                database,
                portone,
                StreamPublisher(redis, settings.event_stream, settings.event_stream_length_max),
                Deliveries(redis),
                clock,
                poster,
                RedisMarks(redis, clock),
            ),
        )


def assemble(settings: Settings, adapters: Adapters) -> Services:
    """Return the services of a process that reaches the world through these adapters."""
    database, gateway, clock = adapters.database, adapters.gateway, adapters.clock
    rules = settings.collection_rules
    settle = Grouping(SettleMoves(database, clock, rules))
    settle_refund = Grouping(SettleRefunds(database, clock))
    read_hints = ReadHints(database, gateway, settle, clock, rules)
    return Services(
        charge_invoices=ChargeInvoices(
            database,
            gateway,
            settle,
            clock,
            rules,
            settings.minimum_amount,
            settings.naver_use_cfm,
            adapters.marks,
        ),
        check_channels=CheckChannels(gateway, channel_terms(settings)),
        commands=CommandDesk(
            database,
            clock,
            handlers(window_terms(settings), life_rules(settings)),
            ReceiveWebhooks(database, clock),
        ),
        deliveries=adapters.deliveries,
        prove_database=ProveDatabase(database, gateway, adapters.marks, clock),
        inquire_attempts=InquireAttempts(
            database, gateway, settle, clock, rules, not settings.portone_test_mode
        ),
        send_refunds=SendRefunds(database, gateway, settle_refund, clock, rules, adapters.marks),
        inquire_refunds=InquireRefunds(database, gateway, settle_refund, clock, rules),
        end_subscriptions=EndSubscriptions(
            database, gateway, clock, rules.inquiry, rules.leases.settle_delay
        ),
        advance_reservations=AdvanceReservations(
            database,
            gateway,
            clock,
            rules,
            settings.reserve_policy,
            settings.naver_use_cfm,
            not settings.portone_test_mode,
            ReturnExecuted(database, clock, rules.leases.settle_delay),
            adapters.marks,
        ),
        read_hints=read_hints,
        prepare_windows=PrepareWindows(database, gateway, clock),
        close_windows=CloseWindows(database, gateway, read_hints, clock, rules.inquiry.deadline),
        remove_billing_keys=RemoveBillingKeys(database, gateway, clock, rules.inquiry.deadline),
        relay_events=RelayEvents(database, adapters.publish, clock, settings.relay_rows_max),
        deliver_events=DeliverEvents(
            database,
            adapters.post,
            clock,
            settings.delivery_policy,
            timedelta(seconds=settings.endpoint_total_timeout_s),
        ),
        reconcile_day=ReconcileDay(
            database,
            books(settings, database, gateway, clock),
            clock,
            settings.reconcile_time,
            SurveySchedules(database, gateway, clock),
        ),
        check_invariants=CheckInvariants(
            database, clock, Bounds(rules.inquiry.deadline, settings.consent_required)
        ),
        foresee_day=foresee_day(settings, database, clock),
    )


def foresee_day(settings: Settings, database: Database, clock: Clock) -> ForeseeDay:
    """Return what foresees the day after by the settings."""
    rules = ForecastRules(settings.renewal_policies, settings.collection_rules)
    kept_for = timedelta(days=settings.forecast_kept_days)
    return ForeseeDay(ForeseeDays(database, clock, rules, kept_for), settings.forecast_time)


def books(
    settings: Settings,
    database: Database,
    gateway: PortOneGateway,
    clock: Clock,
    watch: Watch = unwatched,
) -> ReconcileBooks:
    """Return what compares the gateway's book with our rows."""
    leases = settings.leases
    return ReconcileBooks(
        database,
        gateway,
        clock,
        quiet=leases.lease + leases.settle_delay,
        foreign=settings.reconcile_foreign,
        watch=watch,
    )


def recovery(
    settings: Settings, database: Database, gateway: PortOneGateway, marks: Marks, clock: Clock
) -> Recover:
    """Return what recovers a database that was restored from an older backup."""
    rules = settings.collection_rules
    settle = Grouping(SettleMoves(database, clock, rules))
    settle_refund = Grouping(SettleRefunds(database, clock))
    inquire_refunds = InquireRefunds(database, gateway, settle_refund, clock, rules)
    return Recover(
        database,
        gateway,
        marks,
        AdoptAttempts(database, gateway, settle, clock, rules, settings.renewal_policies),
        AdoptRefunds(database, gateway, inquire_refunds, clock),
        ReadHints(database, gateway, settle, clock, rules),
        clock,
        rules,
    )


@asynccontextmanager
async def gateway(settings: Settings, clock: Clock) -> AsyncIterator[PortOneGateway]:
    """Build what speaks with the gateway by the settings, and close its connections at the end."""
    client = PortOne(gateway_settings(settings), clock=clock)
    try:
        yield PortOneGateway(client, send_window_s=settings.send_window_s, clock=clock)
    finally:
        await client.aclose()


def patience(settings: Settings) -> Patience:
    """Return how long a merchant's endpoint is waited for."""
    return Patience(
        connect_s=settings.endpoint_connect_timeout_s,
        read_s=settings.endpoint_read_timeout_s,
        total_s=settings.endpoint_total_timeout_s,
    )


def channel_terms(settings: Settings) -> ChannelTerms:
    """Return what the settings say of the gateway's channels."""
    return ChannelTerms(settings.portone_test_mode, settings.channel)


def window_terms(settings: Settings) -> WindowTerms:
    """Return what every payment window has in common by the settings."""
    return WindowTerms(
        channel=settings.channel,
        ttl=timedelta(seconds=settings.window_ttl_s),
        minimum_amount=settings.minimum_amount,
        change_enabled=settings.naver_change_enabled,
        chain_id=settings.naver_chain_id or None,
        use_confirmation=settings.naver_use_cfm,
    )


def life_rules(settings: Settings) -> LifeRules:
    """Return what commands about subscriptions are held against by the settings."""
    return LifeRules(
        settings.minimum_amount,
        settings.trial_once,
        settings.consent_policy,
        timedelta(days=settings.notice_price_days),
        settings.dunning_policy,
        settings.hours,
    )


def gateway_settings(settings: Settings) -> GatewaySettings:
    """Return what the gateway's client needs of the settings."""
    return GatewaySettings(
        base_url=settings.portone_base_url,
        imp_key=settings.portone_imp_key,
        imp_secret=settings.portone_imp_secret,
        test_mode=settings.portone_test_mode,
        minimum_amount=settings.minimum_amount,
        connect_timeout_s=settings.gateway_connect_timeout_s,
        read_timeout_s=settings.gateway_read_timeout_s,
        total_timeout_s=settings.gateway_total_timeout_s,
        connections_max=settings.gateway_connections_max,
        body_format=settings.portone_body_format,
        dead_method_markers=DEAD_METHOD_MARKERS + settings.dead_method_markers,
    )


runtime = Runtime(services)
