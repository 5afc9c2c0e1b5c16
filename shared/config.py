"""Settings from the environment, all faults reported at once, with no default for a secret."""

import enum
import re
from collections.abc import Container
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar
from urllib.parse import parse_qs

from pydantic import (
    Field,
    IPvAnyNetwork,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError as UnreadableError

from shared.billing.attempt import Leases
from shared.billing.catch_up import CatchUp, CatchUpPolicy
from shared.billing.consent import ConsentPolicy, WithoutConsent
from shared.billing.daily import DailyTime
from shared.billing.delivery import DeliveryPolicy
from shared.billing.errors import BillingError, InvalidWindowError
from shared.billing.notice import NoticeLeads
from shared.billing.renewal import RenewalPolicies
from shared.billing.reserving import ReservePolicy
from shared.billing.rules import CollectionRules, InquiryPolicy, ResendPolicy
from shared.billing.use_confirmation import UseConfirmation
from shared.billing.window_channel import Channel
from shared.collecting import CollectingSettings, Seconds

Secret = Annotated[SecretStr, Field(min_length=1)]
S = TypeVar("S", bound=BaseSettings)
SecondsList = Annotated[tuple[Seconds, ...], Field(min_length=1)]
_CERT_REQS = frozenset({"required", "optional", "none"})


class LogFormat(enum.StrEnum):
    """How log lines look."""

    JSON = "json"
    CONSOLE = "console"


class SettingsError(Exception):
    """The environment does not make valid settings; the text lists every fault."""


class ReceiverSettings(BaseSettings):
    """What the webhook receiver needs: it faces the internet, so it holds no other secret.

    Durations are seconds.
    """

    model_config = SettingsConfigDict(
        env_prefix="DALMADA_",
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
        secrets_dir=None,
    )

    redis_url: Secret

    receiver_host: str = "127.0.0.1"
    receiver_port: Annotated[int, Field(ge=0, le=65_535)] = 8780
    webhook_allowed_ips: tuple[IPvAnyNetwork, ...] = ()
    webhook_trusted_proxies: tuple[IPvAnyNetwork, ...] = ()
    webhook_queue_max: Annotated[int, Field(ge=1)] = 100_000

    log_format: LogFormat = LogFormat.JSON
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"

    @field_validator("redis_url")
    @classmethod
    def _says_tls_rightly(cls, url: SecretStr) -> SecretStr:
        return require_readable_tls(url)


class Settings(ReceiverSettings, CollectingSettings):
    """Everything that differs between installations; ``.env.example`` explains each."""

    # Of several bases the last one's would hold, and it reads no prefix.
    model_config = ReceiverSettings.model_config

    database_url: Secret

    portone_base_url: str = "https://api.iamport.kr"
    portone_imp_key: Secret
    portone_imp_secret: Secret
    portone_test_mode: bool = False
    portone_channel_key: str = ""
    portone_pg: str = ""
    portone_body_format: Literal["json", "form"] = "json"
    minimum_amount: Annotated[int, Field(ge=1)] = 10
    naver_use_cfm: UseConfirmation = UseConfirmation.NONE
    naver_chain_id: str = ""
    naver_change_enabled: bool = True
    dead_method_markers: tuple[str, ...] = ()

    gateway_connect_timeout_s: Seconds = 5.0
    gateway_read_timeout_s: Seconds = 60.0
    gateway_total_timeout_s: Seconds = 75.0
    gateway_connections_max: Annotated[int, Field(ge=1, le=4096)] = 512

    send_window_s: Seconds = 30.0
    lease_s: Seconds = 120.0
    settle_delay_s: Seconds = 180.0
    inquiry_gaps_s: SecondsList = (30.0, 60.0, 300.0, 900.0, 3600.0)
    unknown_deadline_s: Seconds = 86_400.0
    no_records_needed: Annotated[int, Field(ge=1, le=10)] = 2
    resend_delay_s: Seconds = 10.0
    resend_delay_max_s: Seconds = 900.0
    hold_s: Seconds = 300.0

    catch_up: CatchUp = CatchUp.BILL_LATEST
    catch_up_periods_max: Annotated[int, Field(ge=1, le=100)] = 3

    consent_required: bool = True
    consent_days: Annotated[int, Field(ge=1, le=366)] = 30
    without_consent: WithoutConsent = WithoutConsent.KEEP_PRICE
    trial_once: bool = True
    notice_renewal_days: Annotated[int, Field(ge=0, le=366)] = 3
    notice_trial_days: Annotated[int, Field(ge=0, le=366)] = 7
    notice_price_days: Annotated[int, Field(ge=0, le=366)] = 30

    reserve_ahead_days: Annotated[float, Field(gt=0, le=80)] = 3.0
    reserve_lead_min_s: Seconds = 3_600.0

    reconcile_at: str = "04:30"
    reconcile_foreign: bool = False
    forecast_at: str = "21:00"
    forecast_kept_days: Annotated[int, Field(ge=1, le=3_650)] = 90

    window_ttl_s: Seconds = 1_800.0
    hints_unknown_max: Annotated[int, Field(ge=1, le=10_000)] = 20

    charge_batch_size: Annotated[int, Field(ge=1, le=500)] = 25
    scan_interval_s: Seconds = 5.0
    check_interval_s: Seconds = 60.0
    scan_rows_max: Annotated[int, Field(ge=1, le=100_000)] = 10_000
    queued_batches_max: Annotated[int, Field(ge=1)] = 400
    redispatch_after_s: Seconds = 120.0
    relay_rows_max: Annotated[int, Field(ge=1, le=10_000)] = 1_000
    event_stream: str = "dalmada:events"
    event_stream_length_max: Annotated[int, Field(ge=1_000)] = 1_000_000
    leader_lease_s: Seconds = 15.0

    endpoint_connect_timeout_s: Seconds = 5.0
    endpoint_read_timeout_s: Seconds = 10.0
    endpoint_total_timeout_s: Seconds = 15.0
    endpoint_retry_gaps_s: tuple[Seconds, ...] = (
        *(5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0),
        *(86_400.0, 86_400.0, 86_400.0),
    )
    endpoint_retry_after_max_s: Seconds = 86_400.0
    endpoint_disable_after_s: Seconds = 432_000.0
    endpoint_under_way_max: Annotated[int, Field(ge=1, le=500)] = 20

    # One may hold a lock for longer than a transaction, while others work beside it.
    database_connections_max: Annotated[int, Field(ge=2, le=200)] = 10

    metrics_host: str = "127.0.0.1"
    metrics_port: Annotated[int, Field(ge=0, le=65_535)] = 8781

    @model_validator(mode="after")
    def _rules_agree(self) -> Self:
        """Build every rule once, so that contradictions are found at the start."""
        faults = []
        try:
            _ = self.collection_rules, self.catch_up_policy, self.channel, self.reconcile_time
            _ = self.forecast_time
        except BillingError as error:
            faults.append(str(error))
        parts = self.gateway_connect_timeout_s, self.gateway_read_timeout_s
        if max(parts) > self.gateway_total_timeout_s:
            faults.append("gateway_total_timeout_s must not be shorter than its parts")
        if self.endpoint_connect_timeout_s > self.endpoint_total_timeout_s or (
            self.endpoint_read_timeout_s > self.endpoint_total_timeout_s
        ):
            faults.append("endpoint_total_timeout_s must not be shorter than its parts")
        if faults:
            raise ValueError("\n  ".join(faults))
        return self

    @property
    def leases(self) -> Leases:
        """The times that keep two sends of one attempt apart."""
        return Leases(
            send_window=timedelta(seconds=self.send_window_s),
            total_timeout=timedelta(seconds=self.gateway_total_timeout_s),
            lease=timedelta(seconds=self.lease_s),
            settle_delay=timedelta(seconds=self.settle_delay_s),
        )

    @property
    def collection_rules(self) -> CollectionRules:
        """The rules by which endings become rows."""
        return CollectionRules(
            leases=self.leases,
            dunning=self.dunning_policy,
            resend=ResendPolicy(
                delay=timedelta(seconds=self.resend_delay_s),
                delay_max=timedelta(seconds=self.resend_delay_max_s),
                hold=timedelta(seconds=self.hold_s),
            ),
            inquiry=InquiryPolicy(
                gaps=tuple(timedelta(seconds=gap) for gap in self.inquiry_gaps_s),
                deadline=timedelta(seconds=self.unknown_deadline_s),
                no_records_needed=self.no_records_needed,
            ),
            hours=self.hours,
        )

    @property
    def delivery_policy(self) -> DeliveryPolicy:
        """How often an event is tried at an endpoint, and for how long one may fail."""
        return DeliveryPolicy(
            gaps=tuple(timedelta(seconds=gap) for gap in self.endpoint_retry_gaps_s),
            retry_after_max=timedelta(seconds=self.endpoint_retry_after_max_s),
            disable_after=timedelta(seconds=self.endpoint_disable_after_s),
        )

    @property
    def channel(self) -> Channel | None:
        """Where PortOne sends the buyers of payment windows; None where no window is asked for."""
        if not self.portone_pg and not self.portone_channel_key:
            return None
        if self.portone_pg and self.portone_channel_key:
            message = "portone_pg and portone_channel_key say the same in two ways: set one of them"
            raise InvalidWindowError(message)
        return Channel(self.portone_pg or None, self.portone_channel_key or None)

    @property
    def consent_policy(self) -> ConsentPolicy:
        """When a consent is asked for, and how long it is good."""
        return ConsentPolicy(
            self.consent_required, timedelta(days=self.consent_days), self.without_consent
        )

    @property
    def catch_up_policy(self) -> CatchUpPolicy:
        """What is billed after the scheduler stood still."""
        return CatchUpPolicy(self.catch_up, self.catch_up_periods_max)

    @property
    def reconcile_time(self) -> DailyTime | None:
        """From when on yesterday's book of the gateway is compared with ours, or None for never."""
        return DailyTime.parse(self.reconcile_at) if self.reconcile_at.strip() else None

    @property
    def forecast_time(self) -> DailyTime | None:
        """From when on the day after is foreseen, or None for never."""
        return DailyTime.parse(self.forecast_at) if self.forecast_at.strip() else None

    @property
    def notice_leads(self) -> NoticeLeads:
        """How long before they come renewals, ends of trials and higher prices are told of."""
        return NoticeLeads(
            timedelta(days=self.notice_renewal_days),
            timedelta(days=self.notice_trial_days),
            timedelta(days=self.notice_price_days),
        )

    @property
    def reserve_policy(self) -> ReservePolicy:
        """How long ahead periods are reserved at PortOne."""
        return ReservePolicy(
            timedelta(days=self.reserve_ahead_days), timedelta(seconds=self.reserve_lead_min_s)
        )

    @property
    def renewal_policies(self) -> RenewalPolicies:
        """What is decided about renewals."""
        return RenewalPolicies(
            self.catch_up_policy, self.consent_policy, self.hours, self.minimum_amount
        )


def require_readable_tls(redis_url: SecretStr) -> SecretStr:
    """Return an address of Redis whose TLS every client of ours understands in the same way.

    Celery's and redis-py's differ on what else they would take, and say it late or not at all.

    Raises:
        ValueError: It says what is wrong and nothing of the address.
    """
    head, _, query = redis_url.get_secret_value().partition("?")
    said = {name: values[-1] for name, values in parse_qs(query).items() if name.startswith("ssl_")}
    if said and not head.startswith("rediss://"):
        raise ValueError(f"{', '.join(said)}: only rediss://… speaks TLS")
    if said.get("ssl_cert_reqs", "required") not in _CERT_REQS:
        raise ValueError("ssl_cert_reqs must be required, optional or none")
    for name in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"):
        if name in said and not Path(said[name]).is_file():
            raise ValueError(f"{name}: there is no file {said[name]}")
    return redis_url


def load() -> Settings:
    """Return the settings of this environment.

    Raises:
        SettingsError: With one line for every fault, naming the variable.
    """
    return load_as(Settings)


def load_receiver() -> ReceiverSettings:
    """Return the receiver's settings of this environment.

    Raises:
        SettingsError: With one line for every fault, naming the variable.
    """
    return load_as(ReceiverSettings)


def load_as(kind: type[S]) -> S:
    """Return what one kind of process reads of this environment.

    Raises:
        SettingsError: With one line for every fault, naming the variable.
    """
    try:
        return kind()
    except UnreadableError as error:
        named = re.search(r'field "(\w+)"', str(error))
        variable = named[1].upper() if named else "…"
        message = f"the settings are not valid:\n  DALMADA_{variable}: a list is written as JSON"
        raise SettingsError(message + ', such as [60, 120] or ["…"]') from None
    except ValidationError as error:
        faulty = {str(fault["loc"][0]) for fault in error.errors() if fault["loc"]}
        lines = [*_lines(error), *(_contradictions_beside(kind, faulty) if faulty else [])]
        raise SettingsError("the settings are not valid:\n" + "\n".join(lines)) from None


def _contradictions_beside(kind: type[BaseSettings], faulty: set[str]) -> list[str]:
    """Return how the other settings contradict each other, with the faulty ones left as they are.

    They are looked for only when every value is right by itself, so these are put right for a
    moment.
    """
    fields = kind.model_fields
    stand_ins: dict[str, Any] = {
        name: "…" if fields[name].is_required() else fields[name].default for name in faulty
    }
    try:
        kind(**stand_ins)
    except ValidationError as error:
        return _lines(error, without=stand_ins)
    return []


def _lines(error: ValidationError, without: Container[str] = ()) -> list[str]:
    """Return one line for every fault, naming the variable."""
    lines = []
    for fault in error.errors(include_url=False, include_input=False, include_context=False):
        if fault["loc"] and fault["loc"][0] in without:
            continue
        name = "_".join(str(part) for part in fault["loc"]).upper()
        variable = f"DALMADA_{name}: " if name else ""
        lines.append(f"  {variable}{fault['msg']}")
    return lines
