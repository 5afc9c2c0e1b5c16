"""What can be turned while the sandbox runs: faults, speed, policies; checked on the way in."""

from functools import cached_property
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from deploy.sandbox.addresses import fault_of
from deploy.sandbox.book import DuplicatePolicy
from deploy.sandbox.endings import CommandEnding, Ending, InquiryEnding, odds

Rate = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Milliseconds = Annotated[float, Field(ge=0, le=600_000, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, le=600, allow_inf_nan=False)]

EndpointName = Literal[
    "getToken",
    "again",
    "cancel",
    "findAll",
    "find",
    "payment",
    "customer",
    "deleteCustomer",
    "prepare",
    "prepared",
    "schedule",
    "unschedule",
    "scheduled",
    "schedules",
    "scheduleList",
    "moveSchedule",
    "reschedule",
    "retry",
    "customers",
    "customerPayments",
    "payments",
    "byStatus",
    "naverPoint",
    "naverConfirm",
    "naverCashAmount",
    "channels",
]


class InvalidInputError(ValueError):
    """What was sent to the control API cannot be; the message says what could."""


class ChannelSetting(BaseModel):
    """One channel of the merchant, as `GET /users/pg` shows it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pg_provider: Annotated[str, Field(max_length=16)]
    pg_id: Annotated[str, Field(max_length=80)]
    sandbox: bool
    type: Literal["payment", "api_payment", "certification"] = "payment"
    channel_name: str | None = None
    channel_key: str | None = None


class Settings(BaseModel):
    """The present settings; a value, replaced as a whole when anything changes.

    Attributes:
        seed: What the drawn faults depend on, together with the merchant_uid and the number of
            the request about it.
        rates: Share of charge requests that end in each ending; the rest are paid.
        cancel_rates: The same for cancels; the rest are done.
        command_rates: The same for everything else that changes anything: deletions of billing
            keys, prepared amounts, schedules.
        inquiry_rates: The same for the lookups.
        fail_all: Every charge request ends so, whatever the scripts say; they wait meanwhile.
        fail_all_cancels: The same for cancels.
        latency_ms: Time every answer takes, before anything is booked.
        latency_jitter: Uniform share by which that varies in both directions.
        endpoint_latency_ms: Latency of single endpoints, instead of `latency_ms`.
        close_after_reply_rate: Share of kept-alive connections closed right after a reply
            without having announced it.
        delay_s: Default for the endings that wait.
        retry_after_s: Default for the endings that tell the client when to come back.
        token_ttl_s: Life of the tokens issued from now on.
        duplicate_policy: Which earlier records refuse a merchant_uid.
        float_amounts: Write 1004.0 instead of 1004.
        test_channel: New billing keys and payments belong to a test channel.
        channels: What `GET /users/pg` shows; None is one channel of Naver Pay, a test channel
            where `test_channel` says so.
        lists_hide_test_payments: Whether everything that gives more than one payment, and find,
            leaves test payments out as the single lookup does; the documents do not say.
        lists_tell_latest_only: Whether `GET /payments` shows, of several records under one
            merchant_uid, the latest alone; the documents do not say.
        schedules_in_an_object: Whether lists of schedules come in an object with `list`, as an
            official client reads them, instead of the array that the specification has.
        unknown_customer_status: 200 as live clients saw it, 404 as the specification says.
        webhook_url: Where webhooks of payments without a notice_url go; a loopback address.
        webhook_content_type: How their body is written; the console offers both.
        webhook_duplicate_rate: Share of webhooks that are sent twice.
        webhook_loss_rate: Share of webhooks that are never sent.
        webhook_delay_rate: Share of webhooks (of a doubled one, the second copy) that are sent
            `webhook_delay_s` late and so overtaken by others.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = 0
    rates: dict[Ending, Rate] = {}
    cancel_rates: dict[CommandEnding, Rate] = {}
    command_rates: dict[CommandEnding, Rate] = {}
    inquiry_rates: dict[InquiryEnding, Rate] = {}
    fail_all: Ending | None = None
    fail_all_cancels: CommandEnding | None = None
    latency_ms: Milliseconds = 0
    latency_jitter: Rate = 0
    endpoint_latency_ms: dict[EndpointName, Milliseconds] = {}
    close_after_reply_rate: Rate = 0
    delay_s: Seconds = 2
    retry_after_s: Annotated[int, Field(ge=0, le=3600)] = 1
    token_ttl_s: Annotated[float, Field(gt=0, le=86_400)] = 1800
    duplicate_policy: DuplicatePolicy = DuplicatePolicy.REFUSED_IF_PAID
    float_amounts: bool = False
    test_channel: bool = False
    channels: tuple[ChannelSetting, ...] | None = None
    lists_hide_test_payments: bool = False
    lists_tell_latest_only: bool = False
    schedules_in_an_object: bool = False
    unknown_customer_status: Literal[200, 404] = 200
    webhook_url: str | None = None
    webhook_content_type: Literal["json", "form"] = "json"
    webhook_duplicate_rate: Rate = 0
    webhook_loss_rate: Rate = 0
    webhook_delay_rate: Rate = 0
    webhook_delay_s: Seconds = 1

    @field_validator("webhook_url")
    @classmethod
    def _stay_here(cls, url: str | None) -> str | None:
        if url is not None and (fault := fault_of(url)) is not None:
            raise ValueError(f"webhooks cannot be sent there: {fault}")
        return url

    @field_validator("rates", "cancel_rates", "command_rates", "inquiry_rates")
    @classmethod
    def _leave_room(cls, rates: dict[Any, float]) -> dict[Any, float]:
        if (total := sum(rates.values())) > 1 + 1e-9:
            raise ValueError(f"the rates add up to {total:g}; together they may be 1 at most")
        return rates

    @cached_property
    def odds(self) -> tuple[tuple[float, Ending], ...]:
        """The rates of charges, laid end to end."""
        return odds(self.rates)

    @cached_property
    def cancel_odds(self) -> tuple[tuple[float, CommandEnding], ...]:
        """The rates of cancels, laid end to end."""
        return odds(self.cancel_rates)

    @cached_property
    def command_odds(self) -> tuple[tuple[float, CommandEnding], ...]:
        """The rates of the other commands, laid end to end."""
        return odds(self.command_rates)

    @cached_property
    def inquiry_odds(self) -> tuple[tuple[float, InquiryEnding], ...]:
        """The rates of lookups, laid end to end."""
        return odds(self.inquiry_rates)

    @cached_property
    def draws(self) -> bool:
        """Whether anything is left to chance at all."""
        return any(
            (
                self.rates,
                self.cancel_rates,
                self.command_rates,
                self.inquiry_rates,
                self.latency_jitter,
                self.close_after_reply_rate,
                self.webhook_duplicate_rate,
                self.webhook_loss_rate,
                self.webhook_delay_rate,
            )
        )

    def changed(self, update: dict[str, Any]) -> "Settings":
        """Give these settings with some replaced, a map always as a whole.

        Raises:
            InvalidInputError: a name or a value cannot be.
        """
        present = self.model_dump()
        try:
            return Settings.model_validate({**present, **update})
        except ValidationError as error:
            known = ", ".join(Settings.model_fields)
            raise InvalidInputError(explain(error, known=known)) from None

    def closes(self, number: float) -> bool:
        """Whether a reply is followed by an unannounced close, by a number drawn from [0, 1)."""
        return number < self.close_after_reply_rate

    def latency_s(self, endpoint: EndpointName, number: float) -> float:
        """How long an answer of this endpoint takes, by a number drawn from [0, 1)."""
        latency_ms = self.endpoint_latency_ms.get(endpoint, self.latency_ms)
        if not latency_ms:
            return 0.0
        return latency_ms / 1000 * (1 + self.latency_jitter * (2 * number - 1))


_UNKNOWN_FIELD: Final = "extra_forbidden"


def explain(error: ValidationError, *, known: str) -> str:
    """Say in one line what was wrong and what would be right."""
    parts = []
    for problem in error.errors(include_url=False, include_input=False):
        where = ".".join(str(step) for step in problem["loc"]) or "body"
        what = (
            f"no such field; known are {known}"
            if problem["type"] == _UNKNOWN_FIELD
            else problem["msg"]
        )
        parts.append(f"{where}: {what}")
    return "; ".join(parts)
