"""Days foreseen the evening before and lived: whatever happens, nothing is unexplained."""

import os
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from shared.billing.charge_hours import KST
from shared.billing.forecast import Day, Expected
from shared.billing.forecast_facts import Explained, Reason
from tests.support.databases import CLEAR, look
from tests.support.journey import Journey, journey_of
from tests.support.storytelling import Tell
from tests.support.telling import Teller
from tests.timetravel.foreseeing import Foreseen, foresee, live, settings_of, tell, verify
from worker.services.forecast_verify import Verdict

BEGINS_AT = datetime(2026, 1, 30, 9)  # noqa: DTZ001 - a wall time of Korea's, as stories name it
AT = BEGINS_AT.replace(tzinfo=KST).astimezone(UTC) - timedelta(hours=1)
DAYS = 6
# Some that never change in CI; DALMADA_HISTORIES=500 lives others.
COUNT = int(os.environ.get("DALMADA_HISTORIES", "") or 4)


@pytest.mark.parametrize("seed", range(COUNT))
def test_whatever_is_wished_and_breaks_nothing_is_unexplained(
    story: Tell, story_url: str, seed: int
) -> None:
    """Late is only what stood still: lives without outages have nothing of it."""
    look(story_url, CLEAR)
    has_outages = seed % 2 == 0
    lived = story.run(_lived(story, seed, outages=has_outages))
    assert not lived.unexplained, (lived.unexplained, lived.lines)
    found = [each for differences in lived.differences.values() for each in differences]
    if not has_outages:
        late = [each for each in found if each.reason is Reason.LATE]
        assert not late, (late, lived.lines)
    quietly = [each for differences in lived.quiet.values() for each in differences]
    # Days ahead: only what the buyers' means refuse, and how often these may be tried.
    assert {each.reason for each in quietly} <= {Reason.DECLINED, Reason.PUT_OFF}, quietly
    assert len(lived.verdicts) == DAYS
    for verdict in lived.verdicts:
        assert verdict.is_intact
        outcomes = verdict.outcomes.values()
        # From what was foreseen to what was collected: the sums lead there without a gap.
        assert sum(each.foreseen for each in outcomes) == verdict.foreseen.amount


async def _lived(story: Tell, seed: int, *, outages: bool) -> Foreseen:
    dice = random.Random(seed)  # noqa: S311 - to be repeated
    async with journey_of(story.database, at=AT, **settings_of(dice)) as journey:
        return await live(journey, dice, BEGINS_AT, DAYS, outages=outages)


QUIET = (
    "on 2026-01-30 09:00 subscribe daily for 9900",
    "on 2026-01-30 10:00 subscribe every 2 days for 4900",
    "on 2026-01-30 11:00 subscribe monthly for 33000",
    "on 2026-01-30 12:00 subscribe weekly for 33000 to slim with 4 free days",
    "on 2026-01-31 12:00 consent to trial_conversion of 33000",
)
CHARGED = """
    SELECT i.subscription_id, i.period_index, a.amount FROM payment_attempts a
    JOIN invoices i ON i.id = a.invoice_id
    WHERE a.claimed_at >= :begins_at AND a.claimed_at < :ends_at AND a.status = 'paid'
    ORDER BY 1, 2
"""


@dataclass
class Quiet:
    """Some days on which nobody wishes anything, the last of them foreseen and over."""

    story: Tell
    journey: Journey
    day: Day
    foreseen: list[Expected]

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run something on the stories' loop."""
        return self.story.run(work)

    def verdict(self) -> tuple[Verdict, list[Explained]]:
        """Hold the day against its forecast."""
        verdict: tuple[Verdict, list[Explained]] = self.run(verify(self.journey, self.day))
        return verdict

    def plant(self, statement: str) -> None:
        """Change rows behind everybody's back."""
        for word, meaning in WORDS.items():
            statement = statement.replace(word, meaning)
        self.run(self.journey.rows(statement))


@pytest.fixture
def quiet(story: Tell, story_url: str) -> Callable[[], Quiet]:
    """Live the quiet days."""

    def lived() -> Quiet:
        look(story_url, CLEAR)
        return story.run(_quiet(story))

    return lived


async def _quiet(story: Tell) -> Quiet:
    async with journey_of(story.database, at=AT, charge_spread_s=7_200.0) as journey:
        teller = Teller(journey)
        for line in QUIET:
            await tell(teller, line)
        await teller.go_on("2026-02-02 21:00")
        day = Day(date(2026, 2, 3))
        foreseen = await foresee(journey, day)
        await teller.go_on("2026-02-04 00:05")
        return Quiet(story, journey, day, foreseen)


def test_where_nobody_wishes_anything_everything_comes_as_foreseen(
    quiet: Callable[[], Quiet],
) -> None:
    lived = quiet()
    day = {"begins_at": lived.day.begins_at, "ends_at": lived.day.ends_at}
    charged = lived.run(lived.journey.rows(CHARGED, **day))
    assert [(row.subscription_id, row.period_index, row.amount) for row in charged] == [
        (row.subscription_id, row.period_index, row.price.amount) for row in lived.foreseen
    ]
    verdict, differences = lived.verdict()
    assert differences == []
    assert {reason: one.count for reason, one in verdict.outcomes.items()} == {
        Reason.AS_FORESEEN: len(charged)
    }
    assert len(charged) == 3
    assert verdict.collected == verdict.foreseen.amount == 9_900 + 4_900 + 33_000


WORDS = {
    "LAST_ATTEMPT": "(SELECT id FROM payment_attempts ORDER BY claimed_at DESC, id DESC LIMIT 1)",
    "CHARGES_OF_DAY": "FROM expected_charges WHERE at >= '2026-02-02 15:00Z'",
}


@pytest.mark.parametrize(
    ("fault", "is_intact"),
    [
        pytest.param(
            "UPDATE payment_attempts SET amount = amount + 1 WHERE id = LAST_ATTEMPT",
            True,
            id="another sum was charged",
        ),
        pytest.param(
            """
            WITH money AS (DELETE FROM payments WHERE attempt_id = LAST_ATTEMPT),
                tried AS (DELETE FROM payment_attempts WHERE id = LAST_ATTEMPT RETURNING invoice_id)
            UPDATE invoices SET status = 'open', paid_at = NULL, next_attempt_at = NULL
            WHERE id IN (SELECT invoice_id FROM tried)
            """,
            True,
            id="an invoice that nobody collects",
        ),
        pytest.param(
            """
            WITH money AS (DELETE FROM payments WHERE attempt_id = LAST_ATTEMPT),
                tried AS (DELETE FROM payment_attempts WHERE id = LAST_ATTEMPT RETURNING invoice_id)
            DELETE FROM invoices WHERE id IN (SELECT invoice_id FROM tried)
            """,
            True,
            id="a period that was never opened",
        ),
        pytest.param(
            """
            INSERT INTO payment_attempts (invoice_id, number, send_number, merchant_uid,
                billing_key_id, amount, tax_free, status, claimed_at, lease_until, settled_at)
            SELECT invoice_id, number + 1, 1, 'again', billing_key_id, amount, tax_free, 'declined',
                claimed_at + interval '1 minute', lease_until, settled_at
            FROM payment_attempts WHERE id = LAST_ATTEMPT
            """,
            True,
            id="charged again after it was paid",
        ),
        pytest.param(
            "DELETE CHARGES_OF_DAY AND amount = 33000", False, id="a charge that was not foreseen"
        ),
        pytest.param(
            "UPDATE expected_charges SET amount = 1 WHERE subscription_id IN"
            " (SELECT subscription_id CHARGES_OF_DAY AND amount = 33000)",
            False,
            id="another sum was foreseen",
        ),
    ],
)
def test_a_planted_fault_is_unexplained(
    quiet: Callable[[], Quiet], fault: str, is_intact: bool
) -> None:
    lived = quiet()
    lived.plant(fault)
    verdict, differences = lived.verdict()
    assert verdict.is_intact is is_intact
    assert [each.reason for each in differences] == [Reason.UNEXPLAINED]
    assert not verdict.is_good
