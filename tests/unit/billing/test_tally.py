import pytest

from shared.billing.tally import tally


@pytest.mark.parametrize(
    ("endings", "line"),
    [
        ([], "nothing due"),
        (["paid"], "paid 1"),
        (["paid", "unknown", "paid", "declined", "paid"], "paid 3 · unknown 1 · declined 1"),
    ],
)
def test_a_batch_is_told_in_one_line_the_most_frequent_ending_first(
    endings: list[str], line: str
) -> None:
    assert tally(endings) == line


def test_a_generator_is_as_good_as_a_list() -> None:
    assert tally(ending for ending in ("paid", "paid")) == "paid 2"
