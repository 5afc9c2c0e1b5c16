"""`docs/dunning.md` says what the code does: its tables are compared with the rules."""

import re
from datetime import timedelta

from shared.billing.decline import KNOWN_DECLINES, DeclineClass
from shared.billing.dunning import ATTEMPTS_MAX, KEY_WINDOW, PAY_DAYS
from shared.config import Settings
from tests.architecture.checkout import read

PAGE = read("docs/dunning.md")
ROW = re.compile(r"^\| (?P<cells>.*) \|$", re.MULTILINE)


def table(heading: str) -> list[list[str]]:
    """Return the rows of the table whose first column has a heading."""
    lines = [match["cells"].split(" | ") for match in ROW.finditer(PAGE)]
    start = next(number for number, cells in enumerate(lines) if cells[0] == heading)
    rows = lines[start + 2 :]
    width = len(lines[start])
    end = next((n for n, cells in enumerate(rows) if set(cells[0]) == {"-"}), len(rows) + 1) - 1
    assert all(len(cells) == width for cells in rows[:end])
    return rows[:end]


def test_every_text_of_a_decline_stands_there_in_its_order_with_its_source() -> None:
    told = [(cells[0].strip("`"), cells[1], cells[2]) for cells in table("text")]
    assert told == [(row.text, row.decline_class, row.source) for row in KNOWN_DECLINES]


def test_every_class_is_told_with_its_schedule_by_default() -> None:
    policy = Settings.model_construct().dunning_policy
    told = {cells[0]: cells[1] for cells in table("class")}
    assert told == {
        str(decline_class): ", ".join(
            str(delay // timedelta(days=1)) for delay in policy.delays_of(decline_class)
        )
        + " days"
        for decline_class in DeclineClass
    }


def test_the_numbers_are_the_defaults() -> None:
    policy = Settings.model_construct().dunning_policy
    assert f"up to {_word(policy.pay_day_within)} days before the 10th or the 25th" in PAGE
    assert PAY_DAYS == (10, 25)
    assert f"At most {ATTEMPTS_MAX} attempts at an invoice" in PAGE
    assert f"within {KEY_WINDOW.days} days" in PAGE
    assert f"after {_word(policy.retries_max)} tries within a day" in PAGE
    assert policy.grace is None


def _word(number: int) -> str:
    return ("no", "one", "two", "three", "four", "five")[number]
