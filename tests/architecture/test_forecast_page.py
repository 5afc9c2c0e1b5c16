"""The page about forecasts names every outlook and every reason, once, in the code's order."""

import re

from shared.billing.forecast import DAYS_AHEAD_MAX, Outlook
from shared.billing.forecast_facts import Reason
from shared.config import Settings
from tests.architecture.checkout import CHECKOUT
from worker.console.forecast_view import MEANING, OUTLOOK, WHY

PAGE = (CHECKOUT / "docs" / "forecast.md").read_text("utf-8")


def named(first: str) -> list[str]:
    """The first column of the table that begins with a word."""
    _, _, table = PAGE.partition(f"| {first} | ")
    rows = table.partition("\n\n")[0].splitlines()[2:]
    return [match[1] for row in rows if (match := re.match(r"\| `(\w+)` \|", row))]


def test_every_outlook_is_explained() -> None:
    assert named("outlook") == list(Outlook) == list(OUTLOOK)


def test_every_reason_is_explained() -> None:
    assert named("reason") == list(Reason) == list(MEANING)
    assert len(WHY) == len(set(WHY.values()))


def test_its_figures_are_those_of_the_code() -> None:
    fields = Settings.model_fields
    assert f"up to {DAYS_AHEAD_MAX} days ahead" in PAGE
    assert f"`DALMADA_FORECAST_AT` ({fields['forecast_at'].default} in Korea" in PAGE
    assert f"`DALMADA_FORECAST_KEPT_DAYS` ({fields['forecast_kept_days'].default})" in PAGE
