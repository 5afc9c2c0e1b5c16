"""Settings of how invoices are collected: at which hours, and what follows a decline."""

from datetime import timedelta
from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings

from shared.billing.charge_hours import ChargeHours, DailyHours, DayOff
from shared.billing.decline import DeclineClass, known_by
from shared.billing.dunning import (
    ATTEMPTS_MAX,
    CLASS_DELAYS,
    DELAYS,
    PAY_DAYS,
    DunningPolicy,
    TerminalAction,
)

# Ten years: more would leave what a date can hold.
SECONDS_MAX = 315_360_000
Seconds = Annotated[float, Field(gt=0, le=SECONDS_MAX, allow_inf_nan=False)]
SecondsOrNone = Annotated[float, Field(ge=0, le=SECONDS_MAX, allow_inf_nan=False)]
_Times = Annotated[int, Field(ge=1, le=1_000)]


def _seconds(delays: tuple[timedelta, ...]) -> tuple[float, ...]:
    return tuple(delay.total_seconds() for delay in delays)


def _durations(delays: tuple[float, ...]) -> tuple[timedelta, ...]:
    return tuple(timedelta(seconds=delay) for delay in delays)


class CollectingSettings(BaseSettings):
    """What a merchant decides about the times of charges and about declined ones."""

    charge_hours: str = ""
    maintenance_hours: tuple[str, ...] = ()
    charge_spread_s: SecondsOrNone = 0.0
    charge_on_holidays: bool = True

    dunning_enabled: bool = True
    dunning_delays_s: tuple[Seconds, ...] = _seconds(DELAYS)
    dunning_class_delays_s: dict[DeclineClass, tuple[Seconds, ...] | None] = {}
    decline_markers: dict[DeclineClass, tuple[str, ...]] = {}
    dunning_pay_days: tuple[int, ...] = PAY_DAYS
    dunning_pay_day_within_days: Annotated[int, Field(ge=0, le=31)] = 3
    dunning_attempts_max: _Times = ATTEMPTS_MAX
    dunning_key_attempts_max: _Times = ATTEMPTS_MAX
    dunning_retries_max: _Times = 5
    grace_period_s: SecondsOrNone = 0.0
    dunning_terminal_action: TerminalAction = TerminalAction.LEAVE_PAST_DUE

    @property
    def hours(self) -> ChargeHours:
        """When charges may be made."""
        return ChargeHours(
            DailyHours.parse(self.charge_hours) if self.charge_hours.strip() else None,
            tuple(DailyHours.parse(written) for written in self.maintenance_hours),
            timedelta(seconds=self.charge_spread_s),
            None if self.charge_on_holidays else _bank_holidays(),
        )

    @property
    def dunning_policy(self) -> DunningPolicy:
        """What follows a decline."""
        return DunningPolicy(
            _durations(self.dunning_delays_s),
            self.dunning_terminal_action,
            class_delays=self._class_delays,
            known=known_by(self.decline_markers),
            pay_days=self.dunning_pay_days,
            pay_day_within=self.dunning_pay_day_within_days,
            attempts_max=self.dunning_attempts_max,
            key_attempts_max=self.dunning_key_attempts_max,
            grace=timedelta(seconds=self.grace_period_s) if self.grace_period_s else None,
            enabled=self.dunning_enabled,
            retries_max=self.dunning_retries_max,
        )

    @property
    def _class_delays(self) -> dict[DeclineClass, tuple[timedelta, ...]]:
        """Return the schedules that differ from the general one.

        Who tries nothing again by the general one does not by ours for a class either.
        """
        schedules = dict(CLASS_DELAYS) if self.dunning_delays_s else {}
        for decline_class, delays in self.dunning_class_delays_s.items():
            if delays is None:
                schedules.pop(decline_class, None)
            else:
                schedules[decline_class] = _durations(delays)
        return schedules


def _bank_holidays() -> DayOff:
    from shared.holidays import is_bank_holiday  # noqa: PLC0415 - only who asks for it pays

    return is_bank_holiday
