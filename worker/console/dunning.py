"""`dalmada dunning`: what another policy would have made of declined invoices."""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worker.console import dunning_view, options
from worker.console.endings import MisusedError, ends_in_words

if TYPE_CHECKING:
    from shared.billing.decline import DeclineClass
    from shared.billing.dunning import DunningPolicy
    from worker.console.session import LifeSettings

app = typer.Typer(
    help="What follows declined charges.", no_args_is_help=True, rich_markup_mode=None
)

_UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_DURATION = re.compile(r"(?P<number>[0-9]{1,9})(?P<unit>[dhms])")
_SECONDS_MAX = 315_360_000
# Instead of a schedule: that of every class without one of its own.
_GENERAL = "general"
_DAYS = 90
_DAYS_MAX = 3_650

Delays = Annotated[
    str | None,
    typer.Option(
        metavar="2d,5d,7d",
        help="The general schedule: the wait after each decline, in d, h, m or s; '' for one"
        " attempt only.",
    ),
]
ClassDelays = Annotated[
    list[str] | None,
    typer.Option(
        "--class-delays",
        metavar="CLASS=3d,7d",
        help="The schedule of a class of declines, or CLASS=general; may be given several times.",
    ),
]
PayDayWithin = Annotated[
    int | None,
    typer.Option(min=0, max=31, help="Days to put off for a pay-day after too little money."),
]
PayDays = Annotated[
    str | None,
    typer.Option(metavar="10,25", help="Days of the month on which money comes."),
]
AttemptsMax = Annotated[
    int | None, typer.Option(min=1, help="The most attempts of ours at one invoice.")
]
Grace = Annotated[str | None, typer.Option(metavar="14d", help="The grace period; 0d for none.")]
Days = Annotated[
    int, typer.Option(min=1, max=_DAYS_MAX, help="How many days of history are replayed.")
]


@app.callback()
def _dunning() -> None:
    """What follows declined charges."""


@app.command()
@ends_in_words
def simulate(
    *,
    delays: Delays = None,
    class_delays: ClassDelays = None,
    pay_days: PayDays = None,
    pay_day_within: PayDayWithin = None,
    attempts_max: AttemptsMax = None,
    grace: Grace = None,
    days: Days = _DAYS,
    as_json: options.AsJson = False,
) -> None:
    """Replay declined invoices under another policy; nothing is changed.

    What is not given is as in the environment. History tells when a means was refused and when it
    paid: what was refused is taken to have been refused before, too, and what paid to have paid
    later, too. Of an attempt in between nobody can say, so it is counted as possible only.
    """
    from shared.billing.dunning_replay import compare  # noqa: PLC0415 - see app.py
    from shared.clock import WallClock  # noqa: PLC0415
    from shared.db import dunning_history  # noqa: PLC0415
    from worker.console import session  # noqa: PLC0415

    settings = session.load(session.LifeSettings)
    given = {
        "pay_days": None if pay_days is None else _days(pay_days),
        "pay_day_within": pay_day_within,
        "attempts_max": attempts_max,
    }
    policy = _policy(settings, delays, class_delays or [], grace, given)
    now = WallClock().now()
    since = now - timedelta(days=days)
    found = session.ask(
        settings, lambda connection: dunning_history.declined_since(connection, since)
    )
    comparison = compare(found, policy, settings.hours, now)
    if as_json:
        dunning_view.write(comparison, policy, since)
    else:
        dunning_view.show(comparison, policy, since)


def _policy(
    settings: "LifeSettings",
    delays: str | None,
    class_delays: list[str],
    grace: str | None,
    given: Mapping[str, object],
) -> "DunningPolicy":
    """Return the policy of the environment with what was given instead; None was not given.

    Raises:
        MisusedError: Something of it cannot be read, or it cannot be followed.
    """
    from shared.billing.errors import BillingError  # noqa: PLC0415 - see app.py

    policy = settings.dunning_policy
    schedules = dict(policy.class_delays)
    general = policy.delays if delays is None else _durations(delays)
    for written in class_delays:
        name, _, schedule = written.partition("=")
        decline_class = _class_of(name)
        if schedule == _GENERAL:
            schedules.pop(decline_class, None)
        else:
            schedules[decline_class] = _durations(schedule)
    changes: dict[str, Any] = {"delays": general, "class_delays": schedules}
    if grace is not None:
        changes["grace"] = _duration(grace, 0) or None
    changes |= {name: value for name, value in given.items() if value is not None}
    try:
        return replace(policy, **changes)
    except BillingError as error:
        raise MisusedError(str(error)) from error


def _class_of(name: str) -> "DeclineClass":
    from shared.billing.decline import DeclineClass  # noqa: PLC0415 - see app.py

    try:
        return DeclineClass(name)
    except ValueError:
        raise MisusedError(
            f"--class-delays begins with one of {', '.join(DeclineClass)}, not {name!r}"
        ) from None


def _days(written: str) -> tuple[int, ...]:
    """Read days of the month; the policy says which there are."""
    try:
        return tuple(int(part) for part in written.split(",") if part.strip())
    except ValueError:
        message = f"--pay-days takes days of the month, such as 10,25, not {written!r}"
        raise MisusedError(message) from None


def _durations(written: str) -> tuple[timedelta, ...]:
    """Read a schedule; nothing is no further attempt."""
    return tuple(_duration(part) for part in written.split(",") if written.strip())


def _duration(written: str, least: int = 1) -> timedelta:
    """Read a number and its unit."""
    match = _DURATION.fullmatch(written.strip())
    seconds = int(match["number"]) * _UNITS[match["unit"]] if match else -1
    if not least <= seconds <= _SECONDS_MAX:
        raise MisusedError(f"a time is written like 2d, 36h, 90m or 30s, not {written!r}")
    return timedelta(seconds=seconds)
