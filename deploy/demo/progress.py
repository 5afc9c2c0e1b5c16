"""How far the collection is, read from the rows."""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True, slots=True)
class Progress:
    """Counts that move while the demonstration runs.

    Attributes:
        renewed: Invoices opened.
        charged: Invoices paid.
        declined: Attempts that were definitely declined.
        unknown: Attempts whose outcome nobody knows at this moment.
        resolved: Attempts that were unknown once and are settled.
        method_dead: Invoices that wait for a new payment method.
        given_up: Invoices that nothing more is tried for.
        unfinished: Invoices that somebody of ours still works on, or will within seconds.
    """

    renewed: int
    charged: int
    declined: int
    unknown: int
    resolved: int
    method_dead: int
    given_up: int
    unfinished: int


async def read(connection: AsyncConnection) -> Progress:
    """Return the counts of this moment."""
    row = (
        await connection.execute(
            text(
                """
                SELECT
                    (SELECT count(*) FROM invoices) AS renewed,
                    (SELECT count(*) FROM invoices WHERE status = 'paid') AS charged,
                    (SELECT count(*) FROM payment_attempts WHERE status = 'declined') AS declined,
                    (SELECT count(*) FROM payment_attempts WHERE status = 'unknown') AS unknown,
                    (SELECT count(*) FROM payment_attempts
                     WHERE settled_at > lease_until OR send_number > 1 AND settled_at IS NOT NULL)
                        AS resolved,
                    (SELECT count(*) FROM payment_attempts WHERE status = 'method_dead')
                        AS method_dead,
                    (SELECT count(*) FROM invoices WHERE status = 'uncollectible') AS given_up,
                    (SELECT count(*) FROM invoices i WHERE status = 'open' AND (
                        next_attempt_at IS NOT NULL OR EXISTS (
                            SELECT FROM payment_attempts a WHERE a.invoice_id = i.id
                            AND a.status IN ('claimed', 'unknown', 'waiting')))) AS unfinished
                """
            )
        )
    ).one()
    return Progress(**row._mapping)  # noqa: SLF001 - SQLAlchemy's public way to a mapping
