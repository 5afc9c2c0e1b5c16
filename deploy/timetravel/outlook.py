"""When each scan has something to find: what lets years be jumped over instead of ticked.

A short cut, not a truth: what it overlooks is found by the full looks that come now and then, or
is missed at the end and counted as a violation.
"""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final

from sqlalchemy import TextClause, text

from shared.config import Settings
from shared.db.engine import Database

# An end that awaits something looks again and again; here it is looked at every so often.
_WORDS: Final = {
    "AWAITED": "3600",
    "AGAIN": "dispatched_at + :again * interval '1 second'",
}
_DUE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "renew": """
            SELECT min(next_renewal_at) FROM subscriptions
            WHERE next_renewal_at IS NOT NULL
              AND (cancel_at IS NULL OR next_renewal_at < cancel_at)""",
        "resume": """
            SELECT min(resume_at) FROM subscriptions
            WHERE status = 'paused' AND resume_at IS NOT NULL
              AND (cancel_at IS NULL OR cancel_at > resume_at)""",
        # These two are never waited for: nobody listens here, and notices are given at every look.
        "notices": "SELECT CAST(NULL AS timestamptz)",
        "deliver": "SELECT CAST(NULL AS timestamptz)",
        "dispatch": """
            SELECT min(greatest(i.next_attempt_at, i.AGAIN,
                (SELECT max(held_until) FROM gateway_holds)))
            FROM invoices i JOIN subscriptions s ON s.id = i.subscription_id
            WHERE i.status = 'open' AND i.next_attempt_at IS NOT NULL
              AND (s.cancel_at IS NULL OR s.cancel_at > :now OR s.closed_at IS NOT NULL)""",
        "inquire": """
            SELECT min(greatest(inquire_at, AGAIN))
            FROM payment_attempts WHERE status IN ('claimed', 'unknown')""",
        "refund": """
            SELECT min(greatest(coalesce(inquire_at, next_send_at), AGAIN,
                CASE WHEN next_send_at IS NOT NULL
                    THEN (SELECT max(held_until) FROM gateway_holds) END))
            FROM refunds r WHERE status IN ('waiting', 'claimed', 'unknown') AND NOT EXISTS (
                SELECT FROM refunds o WHERE o.payment_id = r.payment_id AND o.status = 'parked')""",
        "end": """
            SELECT least(
                (SELECT min(greatest(cancel_at, AGAIN)) FROM subscriptions
                 WHERE cancel_at IS NOT NULL AND closed_at IS NULL AND status <> 'canceled'),
                (SELECT min(coalesce(
                     dispatched_at + AWAITED * interval '1 second', to_timestamp(0)))
                 FROM subscriptions WHERE closed_at IS NULL AND status = 'canceled'))""",
        "hints": """
            SELECT min(greatest(next_read_at, AGAIN))
            FROM hints WHERE next_read_at IS NOT NULL""",
        "windows": """
            SELECT min(greatest(next_step_at, AGAIN))
            FROM windows WHERE next_step_at IS NOT NULL""",
        "remove": """
            SELECT min(coalesce(AGAIN, to_timestamp(0)))
            FROM billing_keys WHERE status = 'deleting'""",
        "relay": """
            SELECT CASE WHEN (SELECT count(*) FROM
                (SELECT FROM events WHERE relayed_at IS NULL LIMIT :told) AS e) >= :told
            THEN to_timestamp(0) END""",
    }
)
# By their places in the composition root, in the order in which they look.
SCANS: Final = tuple(_DUE)


def _statement() -> TextClause:
    sql = " UNION ALL ".join(f"SELECT '{name}', ({due})" for name, due in _DUE.items())
    for word, meaning in _WORDS.items():
        sql = sql.replace(word, meaning)
    return text(sql)


_STATEMENT = _statement()


class Outlook:
    """Looks ahead in the rows."""

    def __init__(self, settings: Settings, *, told_at: int = 1) -> None:
        """Take the settings in force, and how many events must wait before they are told."""
        self._again = settings.redispatch_after_s
        self.told_at = told_at

    async def due(self, database: Database, now: datetime) -> dict[str, datetime]:
        """Return, for every scan that rows wait for, the instant from which it finds something."""
        async with database.transaction() as connection:
            rows = await connection.execute(
                _STATEMENT, {"now": now, "again": self._again, "told": self.told_at}
            )
            return {row[0]: row[1] for row in rows if row[1] is not None}
