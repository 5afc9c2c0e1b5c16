"""Random histories of commands, outages and declines over two years."""

import os

from hypothesis import HealthCheck, Phase, given, settings

from shared.db.tables import metadata
from tests.support.story import Teller
from tests.support.storytelling import Tell
from tests.timetravel.histories import histories

# How many are lived: a few that never change in CI; DALMADA_HISTORIES=500 lives others, at random.
_COUNT = os.environ.get("DALMADA_HISTORIES", "")
_PHASES = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)


@settings(
    max_examples=int(_COUNT or 8),
    derandomize=not _COUNT,
    deadline=None,
    database=None,
    phases=_PHASES if _COUNT else (Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
@given(history=histories())
def test_every_period_has_one_end_and_every_won_is_in_the_book(story: Tell, history: str) -> None:
    """Told to its end, a history is audited: periods, ends, overlaps, gaps, and the book's sums.

    Then every command is said again, as it was, and nothing changes.
    """
    teller = story(history, lenient=True)
    before = _everything(teller, story)
    for command in teller.commands:
        teller.journey.machine.say(command)
    story.run(teller.journey.machine.work())
    assert _everything(teller, story) == before


def _everything(teller: Teller, story: Tell) -> dict[str, str]:
    """Return a digest of each table."""
    return {
        table.name: story.run(
            teller.journey.rows(
                f"SELECT md5(coalesce(string_agg(CAST(t AS text), '|' ORDER BY"  # noqa: S608
                f" CAST(t AS text)), '')) AS digest FROM {table.name} t"
            )
        )[0].digest
        for table in metadata.sorted_tables
    }
