"""The settings a command needs, and one short talk with the database."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Annotated, Self, TypeVar

import psycopg
import stamina.instrumentation
import structlog
from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.consent import ConsentPolicy, WithoutConsent
from shared.billing.errors import BillingError
from shared.billing.notice import NoticeLeads
from shared.billing.renewal import RenewalPolicies
from shared.collecting import CollectingSettings, Seconds
from shared.config import Settings, SettingsError, load_as
from shared.db import engine
from shared.db.engine import Database
from worker.console.endings import DatabaseFaultError, MisusedError, RefusedError

R = TypeVar("R")

# A person waits: a server that restarts is given this long, one that hangs is given up.
_RETRY_FOR_S = 3.0
_STATEMENT_TIMEOUT_S = 10.0
_ANSWER_TIMEOUT_S = 12.0

_DATABASE_SCHEMES = frozenset({"postgres", "postgresql", "postgresql+psycopg"})
_REDIS_SCHEMES = frozenset({"redis", "rediss", "unix"})
_NOT_MIGRATED_STATES = frozenset({"42P01", "42703"})
_CANCELED_STATE = "57014"
_BAD_URL = "DALMADA_DATABASE_URL is not an address: postgresql://user:password@host:5432/database"


class ConsoleSettings(BaseSettings):
    """What the console reads of the environment: no gateway secret is needed to look at rows."""

    model_config = SettingsConfigDict(
        env_prefix="DALMADA_", frozen=True, extra="ignore", hide_input_in_errors=True
    )

    database_url: SecretStr
    # The processes' own default, so that the two never disagree.
    minimum_amount: Annotated[int, Field(ge=1)] = Settings.model_fields["minimum_amount"].default

    @field_validator("database_url")
    @classmethod
    def _names_postgresql(cls, url: SecretStr) -> SecretStr:
        return _require_scheme(url, _DATABASE_SCHEMES, "postgresql://user:password@host:5432/name")


class StatusSettings(ConsoleSettings):
    """What ``status`` reads besides."""

    redis_url: SecretStr
    notice_renewal_days: Annotated[int, Field(ge=0, le=366)] = Settings.model_fields[
        "notice_renewal_days"
    ].default
    notice_trial_days: Annotated[int, Field(ge=0, le=366)] = Settings.model_fields[
        "notice_trial_days"
    ].default

    @property
    def notice_leads(self) -> NoticeLeads:
        """How long before they come renewals and ends of trials are told of."""
        return NoticeLeads(
            timedelta(days=self.notice_renewal_days), timedelta(days=self.notice_trial_days)
        )

    @field_validator("redis_url")
    @classmethod
    def _names_redis(cls, url: SecretStr) -> SecretStr:
        return _require_scheme(url, _REDIS_SCHEMES, "redis://host:6379/0")


class RequeueSettings(StatusSettings):
    """What ``dead-letter requeue`` reads: where to publish, and from when on silence proves."""

    settle_delay_s: Seconds = Settings.model_fields["settle_delay_s"].default


class DoctorSettings(StatusSettings):
    """What ``doctor`` reads besides: by what the invariants are measured."""

    unknown_deadline_s: Seconds = Settings.model_fields["unknown_deadline_s"].default
    consent_required: bool = Settings.model_fields["consent_required"].default


class WindowSettings(ConsoleSettings):
    """What opens a payment window, with the processes' own defaults."""

    portone_channel_key: str = Settings.model_fields["portone_channel_key"].default
    portone_pg: str = Settings.model_fields["portone_pg"].default
    naver_change_enabled: bool = Settings.model_fields["naver_change_enabled"].default
    window_ttl_s: Seconds = Settings.model_fields["window_ttl_s"].default


class LifeSettings(CollectingSettings, ConsoleSettings):
    """What decides over trials, consents, notices and collecting, as it does in the processes."""

    model_config = ConsoleSettings.model_config

    consent_required: bool = Settings.model_fields["consent_required"].default
    consent_days: Annotated[int, Field(ge=1, le=366)] = Settings.model_fields[
        "consent_days"
    ].default
    without_consent: WithoutConsent = Settings.model_fields["without_consent"].default
    trial_once: bool = Settings.model_fields["trial_once"].default
    notice_price_days: Annotated[int, Field(ge=0, le=366)] = Settings.model_fields[
        "notice_price_days"
    ].default

    @model_validator(mode="after")
    def _can_be_followed(self) -> Self:
        _ = self.hours, self.dunning_policy
        return self

    @property
    def consent_policy(self) -> ConsentPolicy:
        """When a consent is asked for, and how long it is good."""
        return ConsentPolicy(
            self.consent_required, timedelta(days=self.consent_days), self.without_consent
        )

    @property
    def renewal_policies(self) -> RenewalPolicies:
        """What the next renewal of a subscription is foreseen by."""
        return RenewalPolicies(consent=self.consent_policy, minimum_amount=self.minimum_amount)


S = TypeVar("S", bound=BaseSettings)


def load(kind: type[S]) -> S:
    """Return the settings of this environment, those of the processes too.

    Raises:
        MisusedError: With one line for every fault, naming the variable.
    """
    try:
        return load_as(kind)
    except SettingsError as error:
        raise MisusedError(str(error)) from None


def ask(settings: ConsoleSettings, work: Callable[[AsyncConnection], Awaitable[R]]) -> R:
    """Return what ``work`` finds, or changes, in one transaction.

    Raises:
        MisusedError: The address cannot be read.
        DatabaseFaultError: The database is out of reach or refuses.
        RefusedError: A row holds what the domain cannot read.
    """
    return converse(settings, lambda database: database.run(work))


def converse(
    settings: ConsoleSettings,
    work: Callable[[Database], Awaitable[R]],
    patience_s: float | None = None,
) -> R:
    """Return what ``work`` finds, or changes, in transactions of its own.

    Args:
        settings: Where the database is.
        work: What is asked of it.
        patience_s: How long the whole of it may take where that grows with the rows.

    Raises:
        MisusedError: The address cannot be read.
        DatabaseFaultError: The database is out of reach or refuses.
        RefusedError: A row holds what the domain cannot read.
    """
    # Retries are said in the error, if they were in vain; stdout belongs to the answer.
    stamina.instrumentation.set_on_retry_hooks(())
    with quietly():
        return asyncio.run(_converse(settings.database_url.get_secret_value(), work, patience_s))


@contextmanager
def quietly() -> Iterator[None]:
    """Keep what services log off the terminal: whatever goes wrong is said in the error."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.configure(**before)


async def _converse(
    url: str, work: Callable[[Database], Awaitable[R]], patience_s: float | None
) -> R:
    statement_timeout_s = patience_s or _STATEMENT_TIMEOUT_S
    database = _database(url, statement_timeout_s)
    answer_timeout_s = patience_s or _ANSWER_TIMEOUT_S
    try:
        with faults_in_words(statement_timeout_s):
            async with asyncio.timeout(answer_timeout_s):
                return await work(database)
    except TimeoutError:
        message = f"the database did not answer within {answer_timeout_s:.0f} s."
        raise DatabaseFaultError(message, lost=True) from None
    except BillingError as error:
        raise RefusedError(f"a row cannot be read: {error}.") from None
    finally:
        await database.aclose()


def _database(url: str, statement_timeout_s: float) -> Database:
    """Return the database; what the parser says is left out, for it may quote a password."""
    try:
        made = engine.connect(url, connections_max=1, statement_timeout_s=statement_timeout_s)
    except (ArgumentError, ValueError):
        raise MisusedError(_BAD_URL) from None
    return Database(made.engine, retry_for_s=_RETRY_FOR_S)


@contextmanager
def faults_in_words(statement_timeout_s: float) -> Iterator[None]:
    """Have an error of the database's end the command in words.

    Raises:
        DatabaseFaultError: The database is out of reach or refuses.
    """
    try:
        yield
    except DBAPIError as error:
        raise fault_of(error, statement_timeout_s) from None
    except SQLAlchemyError as error:
        message = f"the database could not be used: {type(error).__name__}."
        raise DatabaseFaultError(message, lost=False) from None


def fault_of(
    error: DBAPIError, statement_timeout_s: float = _STATEMENT_TIMEOUT_S
) -> DatabaseFaultError:
    """Say what the database's error means to an operator, never quoting a row."""
    cause = error.orig
    if not isinstance(cause, psycopg.Error):
        return DatabaseFaultError(f"the database failed: {type(cause).__name__}.", lost=True)
    if cause.sqlstate in _NOT_MIGRATED_STATES:
        return DatabaseFaultError(
            "the database does not have this version's tables: run"
            " `python -m shared.db.migrate upgrade`.",
            lost=False,
        )
    if cause.sqlstate == _CANCELED_STATE:
        message = f"the database did not answer within {statement_timeout_s:.0f} s."
        return DatabaseFaultError(message, lost=False)
    if cause.sqlstate is not None:
        message = f"the database refused: {cause.diag.message_primary}"
        return DatabaseFaultError(message, lost=engine.is_transient(error))
    words = " ".join(str(cause).split())
    return DatabaseFaultError(
        f"the database cannot be reached: {words} (is DALMADA_DATABASE_URL right, and the server"
        " running?)",
        lost=True,
    )


def _require_scheme(url: SecretStr, schemes: frozenset[str], example: str) -> SecretStr:
    scheme, separator, _ = url.get_secret_value().partition("://")
    if not separator or scheme not in schemes:
        message = f"must look like {example}"
        raise ValueError(message)
    return url
