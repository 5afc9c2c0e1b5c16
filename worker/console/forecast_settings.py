"""What `dalmada forecast` reads of the environment: all that decides over charges, no secret."""

from datetime import timedelta
from typing import Annotated, Self

from pydantic import Field, model_validator

from shared.billing.attempt import Leases
from shared.billing.catch_up import CatchUp, CatchUpPolicy
from shared.billing.renewal import RenewalPolicies
from shared.billing.rules import CollectionRules, InquiryPolicy
from shared.collecting import Seconds
from shared.config import SecondsList, Settings
from worker.console.session import LifeSettings
from worker.services.forecast_rows import ForecastRules

_DEFAULTS = Settings.model_fields


class ForecastSettings(LifeSettings):
    """The settings of the processes that renew and charge, with their own defaults."""

    model_config = LifeSettings.model_config

    catch_up: CatchUp = _DEFAULTS["catch_up"].default
    catch_up_periods_max: Annotated[int, Field(ge=1, le=100)] = _DEFAULTS[
        "catch_up_periods_max"
    ].default
    send_window_s: Seconds = _DEFAULTS["send_window_s"].default
    gateway_total_timeout_s: Seconds = _DEFAULTS["gateway_total_timeout_s"].default
    lease_s: Seconds = _DEFAULTS["lease_s"].default
    settle_delay_s: Seconds = _DEFAULTS["settle_delay_s"].default
    inquiry_gaps_s: SecondsList = _DEFAULTS["inquiry_gaps_s"].default
    unknown_deadline_s: Seconds = _DEFAULTS["unknown_deadline_s"].default
    no_records_needed: Annotated[int, Field(ge=1, le=10)] = _DEFAULTS["no_records_needed"].default
    forecast_kept_days: Annotated[int, Field(ge=1, le=3_650)] = _DEFAULTS[
        "forecast_kept_days"
    ].default

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        _ = self.forecast_rules
        return self

    @property
    def forecast_rules(self) -> ForecastRules:
        """The rules that the processes go by.

        Raises:
            BillingError: They contradict each other.
        """
        hours = self.hours
        return ForecastRules(
            RenewalPolicies(
                CatchUpPolicy(self.catch_up, self.catch_up_periods_max),
                self.consent_policy,
                hours,
                self.minimum_amount,
            ),
            CollectionRules(
                Leases(
                    send_window=timedelta(seconds=self.send_window_s),
                    total_timeout=timedelta(seconds=self.gateway_total_timeout_s),
                    lease=timedelta(seconds=self.lease_s),
                    settle_delay=timedelta(seconds=self.settle_delay_s),
                ),
                self.dunning_policy,
                inquiry=InquiryPolicy(
                    gaps=tuple(timedelta(seconds=gap) for gap in self.inquiry_gaps_s),
                    deadline=timedelta(seconds=self.unknown_deadline_s),
                    no_records_needed=self.no_records_needed,
                ),
                hours=hours,
            ),
        )

    @property
    def kept_for(self) -> timedelta:
        """How long a forecast is kept."""
        return timedelta(days=self.forecast_kept_days)
