"""The composition root of a worker: the one place that builds adapters from settings."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from redis.asyncio import Redis

from shared.clock import Clock, WallClock
from shared.config import Settings, load
from shared.db.engine import Database, connect
from shared.jobs.deliveries import Deliveries
from shared.runtime import Runtime
from worker.events.http import EventPoster, Patience
from worker.events.stream import StreamPublisher
from worker.gateway.adapter import PortOneGateway
from worker.gateway.client import PortOne
from worker.gateway.settings import GatewaySettings
from worker.gateway.texts import DEAD_METHOD_MARKERS
from worker.handlers import handlers
from worker.services.charge import ChargeInvoices
from worker.services.command_desk import CommandDesk
from worker.services.deliver import DeliverEvents
from worker.services.endings import EndSubscriptions
from worker.services.grouping import Grouping
from worker.services.hint_reading import ReadHints
from worker.services.hints import ReceiveWebhooks
from worker.services.inquire import InquireAttempts
from worker.services.key_removal import RemoveBillingKeys
from worker.services.life.rules import LifeRules
from worker.services.ports import CountDeliveries, PostEvent, Publish
from worker.services.refund import SendRefunds
from worker.services.refund_inquiry import InquireRefunds
from worker.services.refund_settlement import SettleRefunds
from worker.services.relay import RelayEvents
from worker.services.settle import SettleMoves
from worker.services.window_requests import WindowTerms
from worker.services.windows import CloseWindows, PrepareWindows


@dataclass(frozen=True, slots=True)
class Services:
    """Every service of a worker, ready to be called on the process's loop."""

    charge_invoices: ChargeInvoices
    commands: CommandDesk
    deliveries: CountDeliveries
    inquire_attempts: InquireAttempts
    send_refunds: SendRefunds
    inquire_refunds: InquireRefunds
    end_subscriptions: EndSubscriptions
    read_hints: ReadHints
    prepare_windows: PrepareWindows
    close_windows: CloseWindows
    remove_billing_keys: RemoveBillingKeys
    relay_events: RelayEvents
    deliver_events: DeliverEvents


@dataclass(frozen=True, slots=True)
class Adapters:
    """What the services reach the world through, and the clock they go by."""

    database: Database
    gateway: PortOneGateway
    publish: Publish
    deliveries: CountDeliveries
    clock: Clock
    post: PostEvent


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
        client = PortOne(gateway_settings(settings), clock=clock)
        resources.push_async_callback(client.aclose)
        poster = EventPoster(patience(settings))
        resources.push_async_callback(poster.aclose)
        yield assemble(
            settings,
            Adapters(
                database,
                PortOneGateway(client, send_window_s=settings.send_window_s, clock=clock),
                StreamPublisher(redis, settings.event_stream, settings.event_stream_length_max),
                Deliveries(redis),
                clock,
                poster,
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
        ),
        commands=CommandDesk(
            database,
            clock,
            handlers(window_terms(settings), life_rules(settings)),
            ReceiveWebhooks(database, clock),
        ),
        deliveries=adapters.deliveries,
        inquire_attempts=InquireAttempts(
            database, gateway, settle, clock, rules, not settings.portone_test_mode
        ),
        send_refunds=SendRefunds(database, gateway, settle_refund, clock, rules),
        inquire_refunds=InquireRefunds(database, gateway, settle_refund, clock, rules),
        end_subscriptions=EndSubscriptions(database, gateway, clock, rules.inquiry),
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
    )


def patience(settings: Settings) -> Patience:
    """Return how long a merchant's endpoint is waited for."""
    return Patience(
        connect_s=settings.endpoint_connect_timeout_s,
        read_s=settings.endpoint_read_timeout_s,
        total_s=settings.endpoint_total_timeout_s,
    )


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
        dead_method_markers=DEAD_METHOD_MARKERS + settings.dead_method_markers,
    )


runtime = Runtime(services)
