"""`dalmada recover`: bring a database restored from a backup up to what PortOne holds."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from shared.billing.use_confirmation import KST
from worker.console import options
from worker.console.confirmation import confirm, require_somebody
from worker.console.endings import RefusedError, ends_in_words
from worker.console.progress import progress
from worker.console.rendering import both, iso, print_fields, print_json, print_line
from worker.console.terms import instant

if TYPE_CHECKING:
    from worker.console.recovering import Outcome

Since = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="An instant before the backup was made, or before the failover: 2026-01-31 is a"
        " midnight in Korea, unless an offset follows the time. It is kept for the next run. Needed"
        " where the database was not seen to be restored; else by default its last mark.",
    ),
]


@ends_in_words
def recover(
    *,
    since: Since = None,
    yes: options.Yes = False,
    as_json: options.AsJson = False,
) -> None:
    """Adopt everything PortOne has booked since the backup that the database was restored from.

    Nothing is charged, refunded, renewed, ended or reserved from its beginning until it has
    finished. It waits until nothing that was sent before can be under way, then reads PortOne's
    book: lost charges are written again and settled, refunds are taken over, reservations that the
    rows do not know are revoked. What belongs to nothing the rows know is kept as a dead letter.

    Merchants' commands since the backup are not at PortOne: have them given again before. It may be
    run again at any time, also after it was broken off. It needs the settings of the workers, and a
    login that owns the tables.

    Exit status 0 if billing goes on by itself, 1 if something needs a person.
    """
    require_somebody(yes=yes)
    from shared.config import Settings  # noqa: PLC0415 - see app.py
    from worker.console import recovering, session  # noqa: PLC0415

    settings = session.load(Settings)
    at = None if since is None else instant("--since", since, KST.key)
    stands = recovering.look()
    confirm(
        "This database will be recovered",
        {
            "the gateway's book": f"since {iso(at)}"
            if at is not None
            else "since the last mark, where the database is seen to be restored"
            if stands is None or stands.recover_since is None
            else f"since {iso(stands.recover_since)}, as was said before",
            "last marked": "never" if stands is None else both(stands.mark.at, KST.key),
            "known as restored": "no: it is held from now on"
            if stands is None or stands.restored_at is None
            else f"{both(stands.restored_at, KST.key)}: {stands.cause}",
        },
        yes=yes,
        as_json=as_json,
    )
    with progress("begins") as tell:
        outcome = asyncio.run(recovering.recover(settings, at, tell))
    if as_json:
        _write(outcome)
    else:
        _print(outcome)
    if outcome.fault is not None:
        raise RefusedError(outcome.fault)
    if outcome.recovered.needs_a_person:
        raise typer.Exit(1)


def _write(outcome: "Outcome") -> None:
    recovered = outcome.recovered
    print_json(
        {
            "finished": recovered.is_finished,
            "since": iso(outcome.since),
            "records": recovered.records,
            "invoices_opened": recovered.invoices,
            "attempts_written": recovered.attempts,
            "refunds_taken_over": recovered.refunds,
            "reservations_revoked": recovered.revoked,
            "attempts_parked": sorted(recovered.parked),
            "refunds_doubtful": sorted(recovered.doubtful),
            "unknown": sorted(recovered.unknown),
            "unfinished": recovered.unfinished,
        }
    )


def _print(outcome: "Outcome") -> None:
    recovered = outcome.recovered
    print_line(
        "Recovered: billing goes on."
        if recovered.is_finished
        else "Not finished: nothing is charged until `dalmada recover` is run again and ends well."
    )
    print_fields(
        {
            "read since": both(outcome.since, KST.key),
            "records at PortOne": str(recovered.records),
            "invoices opened": str(recovered.invoices),
            "attempts written": str(recovered.attempts),
            "refunds taken over": str(recovered.refunds),
            "reservations revoked": str(recovered.revoked),
        }
    )
    for what, named in (
        ("attempts that need a person (`dalmada dead-letter list`)", recovered.parked),
        ("payments of which a refund needs a person", recovered.doubtful),
        ("payments that belong to nothing known here", recovered.unknown),
        ("could not be said now", recovered.unfinished),
    ):
        if named:
            print_line(f"{what}:")
            for name in sorted(named):
                print_line(f"  {name}")
