"""`dalmada forecast`: who will be charged what on a day, and what came of it."""

from collections.abc import Callable, Coroutine, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import typer

from worker.console import options
from worker.console.endings import MisusedError, RefusedError, ends_in_words
from worker.console.progress import progress

if TYPE_CHECKING:
    from shared.billing.forecast import Day, Expected, Forecast
    from shared.billing.forecast_facts import Explained
    from shared.db.engine import Database
    from worker.console.forecast_settings import ForecastSettings
    from worker.services.forecast_verify import Verdict

R = TypeVar("R")

app = typer.Typer(
    help="Who will be charged what on a day, and what came of it.",
    invoke_without_command=True,
    rich_markup_mode=None,
)

# A million subscriptions are looked at in far less.
_PATIENCE_S: Final = 1_800.0
_DAYS_FROM_TODAY: Final = {"yesterday": -1, "today": 0, "tomorrow": 1}

OnDay = Annotated[
    str,
    typer.Option(
        "--date",
        metavar="DAY",
        help="A day in Korea: tomorrow, today, yesterday, or one like 2026-01-31.",
    ),
]
Html = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Write one page with a chart.")
]
Store = Annotated[
    bool, typer.Option("--store", help="Keep it, so that the day can be verified once it is over.")
]


@app.callback()
@ends_in_words
def forecast(
    context: typer.Context,
    *,
    day: OnDay = "tomorrow",
    store: Store = False,
    html: Html = None,
    limit: options.Limit = options.LIMIT,
    as_json: options.AsJson = False,
) -> None:
    """Foresee who will be charged what on a day, and why; with --json every charge.

    As all rows stand now, taking it that every charge is paid: renewals by the terms in force then,
    what was declined and is tried again, what waits. Nothing is written but, with --store, the
    forecast itself. `forecast verify` holds the day against it once it is over.
    """
    if context.invoked_subcommand is not None:
        return
    if html is not None and as_json:
        raise MisusedError("--json and --html are two ways of telling it: give one of them")
    from worker.console import forecast_page, forecast_view, pages, session  # noqa: PLC0415 - see app.py
    from worker.console.forecast_settings import ForecastSettings  # noqa: PLC0415

    settings, on = session.load(ForecastSettings), _day(day)
    if as_json:
        written = forecast_view.Document("charges")
        made = _foresee(settings, on, is_kept=store, take=written.add)
        written.end({**made.as_json(), "stored": store})
        return
    some = forecast_view.Some(on, max(limit, forecast_page.ROWS_MAX if html else 0))
    with progress("looking at subscriptions") as tell:

        def take(rows: "Sequence[Expected]") -> None:
            some.add(rows)
            tell("charges foreseen", some.count)

        made = _foresee(settings, on, is_kept=store, take=take)
    if html is not None:
        pages.write("--html", html, forecast_page.page(made, some))
    forecast_view.show(made, some, limit, is_kept=store)


@app.command()
@ends_in_words
def verify(
    *,
    day: OnDay = "yesterday",
    limit: options.Limit = options.LIMIT,
    as_json: options.AsJson = False,
) -> None:
    """Hold a day that is over against its forecast, and explain every difference.

    Exit status 1 if one is unexplained, or if the forecast was changed after it was made.
    """
    from worker.console import forecast_view, session  # noqa: PLC0415 - see app.py
    from worker.console.forecast_settings import ForecastSettings  # noqa: PLC0415

    settings, on = session.load(ForecastSettings), _day(day)
    if as_json:
        written = forecast_view.Document("differences")
        verdict = _verify(settings, on, written.add)
        written.end(verdict.as_json())
    else:
        found = forecast_view.Differences(limit)
        verdict = _verify(settings, on, found.add)
        forecast_view.show_verdict(verdict, found)
    if not verdict.is_good:
        raise typer.Exit(1)


def _foresee(
    settings: "ForecastSettings",
    day: "Day",
    *,
    is_kept: bool,
    take: "Callable[[Sequence[Expected]], None]",
) -> "Forecast":
    """Make a forecast of a day."""
    from shared.clock import WallClock  # noqa: PLC0415 - see app.py
    from worker.services.forecast import ForeseeDays  # noqa: PLC0415

    rules = settings.forecast_rules

    async def work(database: "Database") -> "Forecast":
        make = ForeseeDays(database, WallClock(), rules, settings.kept_for)
        return await make(day, is_kept=is_kept, take=take)

    return _converse(settings, work)


def _verify(
    settings: "ForecastSettings", day: "Day", take: "Callable[[Sequence[Explained]], None]"
) -> "Verdict":
    """Hold a day against its forecast."""
    from shared.clock import WallClock  # noqa: PLC0415 - see app.py
    from worker.services.forecast_verify import VerifyForecasts  # noqa: PLC0415

    rules = settings.forecast_rules

    async def work(database: "Database") -> "Verdict":
        return await VerifyForecasts(database, WallClock(), rules)(day, take)

    return _converse(settings, work)


def _converse(
    settings: "ForecastSettings", work: "Callable[[Database], Coroutine[None, None, R]]"
) -> R:
    """Return what long work finds; a day that it refuses is no row that cannot be read."""
    from shared.billing.errors import InvalidForecastError  # noqa: PLC0415 - see app.py
    from worker.console import session  # noqa: PLC0415

    async def refusing(database: "Database") -> R:
        try:
            return await work(database)
        except InvalidForecastError as error:
            raise RefusedError(f"{error}.") from None

    return session.converse(settings, refusing, _PATIENCE_S)


def _day(written: str) -> "Day":
    """Read a day of Korea's.

    Raises:
        MisusedError: It is written otherwise.
    """
    from shared.billing.forecast import Day  # noqa: PLC0415 - see app.py
    from shared.clock import WallClock  # noqa: PLC0415

    if written in _DAYS_FROM_TODAY:
        return Day.of(WallClock().now() + timedelta(days=_DAYS_FROM_TODAY[written]))
    try:
        return Day(date.fromisoformat(written))
    except ValueError:
        raise MisusedError(
            f"--date takes tomorrow, today, yesterday or a day like 2026-01-31, not {written!r}"
        ) from None
