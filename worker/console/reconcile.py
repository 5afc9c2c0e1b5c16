"""`dalmada reconcile`: do PortOne's book and ours agree, and what is done where they do not."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from shared.billing.reconciliation import Difference, DifferenceStatus, Repair
from shared.billing.use_confirmation import KST
from shared.clock import WallClock
from worker.console import options
from worker.console.confirmation import confirm, require_somebody
from worker.console.endings import MisusedError, RefusedError, ends_in_words
from worker.console.rendering import print_fields, print_json, print_line
from worker.console.terms import instant

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from shared.billing.events import Json
    from shared.db.reconciliation_rows import Discrepancy
    from worker.console.deeds import Deed
    from worker.console.reconcile_commands import RepairDiscrepancy
    from worker.console.session import ConsoleSettings

app = typer.Typer(
    help="PortOne's book and ours: compared, and brought together.", rich_markup_mode=None
)

# What a report names one by one: a screen, a page, or everything that a program can take.
_SHOWN: Final = 100
_ON_A_PAGE: Final = 1_000
_FOR_PROGRAMS: Final = 100_000

DiscrepancyId = Annotated[
    int, typer.Argument(metavar="ID", min=1, max=2**63 - 1, help="The difference's number.")
]
From = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="TIME",
        help="Compare what happened from then on: 2026-01-31 is a midnight in Korea, unless an"
        " offset follows the time. Without it the newest comparison is shown.",
    ),
]
To = Annotated[
    str | None, typer.Option("--to", metavar="TIME", help="Until when; now if left out.")
]
CsvFile = Annotated[
    Path | None, typer.Option("--csv", metavar="FILE", help="Write what differs as CSV.")
]
HtmlFile = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Write the report as one page.")
]
OfKind = Annotated[Difference | None, typer.Option("--difference", help="Only those of this kind.")]
OfRun = Annotated[int | None, typer.Option("--run", min=1, help="The comparison to show.")]
Settled = Annotated[bool, typer.Option("--all", help="Those too that are settled.")]
Mark = Annotated[
    bool,
    typer.Option(
        "--mark",
        help="Do nothing but note that it was dealt with elsewhere, or is right as it is.",
    ),
]


@app.callback(invoke_without_command=True)
@ends_in_words
def reconcile(
    context: typer.Context,
    *,
    since: From = None,
    until: To = None,
    run: OfRun = None,
    csv_file: CsvFile = None,
    html_file: HtmlFile = None,
    as_json: options.AsJson = False,
) -> None:
    """Compare PortOne's book of a window with ours, both ways; or show what was found.

    Nothing is repaired by itself: each difference has a repair that is proposed, and `reconcile
    repair` has it done. Needs what the processes need to ask PortOne. Exit status 1 if anything
    waits for a person.
    """
    if context.invoked_subcommand is not None:
        return
    if since is None:
        if until is not None:
            raise MisusedError("--to needs --from: from when on is compared?")
        report = _stored(run)
    else:
        if run is not None:
            raise MisusedError("--run shows a comparison, --from makes one: give one of them.")
        report = _compare(since, until)
    _tell(report, csv_file, html_file, as_json=as_json)


def _compare(since: str, until: str | None) -> "Mapping[str, Json]":
    now = WallClock().now()
    begin = instant("--from", since, KST.key)
    end = now if until is None else instant("--to", until, KST.key)
    if not begin < end <= now:
        raise MisusedError("--from must come before --to, and neither may lie ahead.")
    from shared.config import Settings  # noqa: PLC0415 - see app.py
    from worker.console import reconcile_run, session  # noqa: PLC0415

    return reconcile_run.compare(session.load(Settings), begin, end)


def _stored(run_id: int | None) -> "Mapping[str, Json]":
    """Return the report of a comparison, or of the newest that is done."""
    from shared.db import reconciliation_runs as runs  # noqa: PLC0415 - see app.py
    from worker.console import session  # noqa: PLC0415

    async def look(connection: "AsyncConnection") -> "Mapping[str, Json]":
        if run_id is None:
            found = await runs.newest_done(connection)
        else:
            found = await runs.get(connection, run_id)
        if found is None:
            raise RefusedError(
                "nothing has been compared yet: --from 2026-01-31 compares from then on."
                if run_id is None
                else f"there is no comparison {run_id}; `dalmada reconcile runs` names them."
            )
        if found.report is None:
            raise RefusedError(f"comparison {found.id} is {found.status}: {found.fault or '-'}.")
        return found.report

    return session.ask(session.load(session.ConsoleSettings), look)


def _tell(
    report: "Mapping[str, Json]", csv_file: Path | None, html_file: Path | None, *, as_json: bool
) -> None:
    """Show a report and write the files that were asked for."""
    from worker.console import pages, reconcile_html, reconcile_view  # noqa: PLC0415 - see app.py

    count = reconcile_view.open_count(report)
    found = _found(int(str(report["run_id"]))) if count else []
    if csv_file is not None:
        pages.write("--csv", csv_file, reconcile_view.csv_of(found))
    if html_file is not None:
        listed = found[:_ON_A_PAGE]
        written = reconcile_html.page(report, listed, len(found) - len(listed))
        pages.write("--html", html_file, written)
    if as_json:
        reconcile_view.write_report(report, found)
    else:
        reconcile_view.print_report(report, found[:_SHOWN])
        if len(found) > _SHOWN:
            print_line(f"Only the newest {_SHOWN} of {len(found):,} are shown; --csv writes all.")
    if count:
        raise typer.Exit(1)


def _found(run_id: int) -> "list[Discrepancy]":
    from shared.db import reconciliation_rows as rows  # noqa: PLC0415 - see app.py
    from worker.console import session  # noqa: PLC0415

    return session.ask(
        session.load(session.ConsoleSettings),
        lambda connection: rows.list_(
            connection,
            _FOR_PROGRAMS,
            statuses=frozenset({DifferenceStatus.OPEN}),
            run_id=run_id,
        ),
    )


@app.command("list")
@ends_in_words
def list_(
    *,
    difference: OfKind = None,
    everything: Settled = False,
    limit: options.Limit = options.LIMIT,
    as_json: options.AsJson = False,
) -> None:
    """List what waits for a person, newest first."""
    from shared.db import reconciliation_rows as rows  # noqa: PLC0415 - see app.py
    from worker.console import reconcile_view, session  # noqa: PLC0415

    open_only = frozenset({DifferenceStatus.OPEN})
    statuses = frozenset(DifferenceStatus) if everything else open_only
    found = session.ask(
        session.load(session.ConsoleSettings),
        lambda connection: rows.list_(
            connection, limit + 1, statuses=statuses, difference=difference
        ),
    )
    shown, more = found[:limit], len(found) > limit
    if as_json:
        documents = [reconcile_view.document(each) for each in shown]
        print_json({"discrepancies": documents, "more": more})
        return
    reconcile_view.print_list(shown)
    if more:
        print_line(f"Only the newest {limit} are shown; --limit shows more.")


@app.command()
@ends_in_words
def show(discrepancy_id: DiscrepancyId, *, as_json: options.AsJson = False) -> None:
    """Show what either side says of one difference."""
    from worker.console import reconcile_view, session  # noqa: PLC0415 - see app.py

    found = session.ask(
        session.load(session.ConsoleSettings), lambda connection: _get(connection, discrepancy_id)
    )
    if as_json:
        print_json(reconcile_view.document(found))
    else:
        reconcile_view.print_card(found)


@app.command()
@ends_in_words
def runs(*, limit: options.Limit = options.LIMIT, as_json: options.AsJson = False) -> None:
    """List comparisons, newest first: every day's, and those that were asked for."""
    from shared.db import reconciliation_runs  # noqa: PLC0415 - see app.py
    from worker.console import reconcile_view, session  # noqa: PLC0415

    found = session.ask(
        session.load(session.ConsoleSettings),
        lambda connection: reconciliation_runs.newest(connection, limit),
    )
    if as_json:
        print_json(reconcile_view.runs_document(found))
    else:
        reconcile_view.print_runs(found)


@app.command()
@ends_in_words
def repair(
    discrepancy_id: DiscrepancyId,
    *,
    reason: options.Why,
    mark: Mark = False,
    yes: options.Yes = False,
    as_json: options.AsJson = False,
) -> None:
    """Have a difference repaired as it is proposed.

    To adopt is to have the payment read at PortOne once more and taken over as far as it fits; to
    refund is to ask for a refund of all that is left, for which the reason goes to PortOne as well.
    """
    require_somebody(yes=yes)
    from worker.console import deeds, reconcile_view, session  # noqa: PLC0415 - see app.py
    from worker.console.reconcile_commands import RepairDiscrepancy  # noqa: PLC0415

    settings = session.load(session.ConsoleSettings)
    asked = deeds.command_of(
        RepairDiscrepancy,
        discrepancy_id=discrepancy_id,
        repair=Repair.MARK if mark else None,
        reason=reason,
    )
    found, told = _foresee(settings, asked)
    # What was shown is what is done, also where the next run proposes something else by then.
    pinned = asked.model_copy(update={"repair": Repair(str(told["repair"]))})
    fields = {
        "discrepancy": str(found.id),
        "difference": f"{found.difference}: {reconcile_view.MEANING[found.difference]}",
        "payment": found.imp_uid,
        "repair": str(told["repair"]),
    }
    if "amount" in told:
        fields["goes back"] = f"{told['amount']} KRW"
    confirm("This will be done", {**fields, "reason": reason}, yes=yes, as_json=as_json)
    result = deeds.do(settings, _deed(pinned))
    if as_json:
        print_json(result)
    else:
        print_fields({name.replace("_", " "): str(value) for name, value in result.items()})


def _foresee(
    settings: "ConsoleSettings", asked: "RepairDiscrepancy"
) -> "tuple[Discrepancy, Mapping[str, Json]]":
    """Return the difference, and what would be done about it."""
    from worker.console import deeds, session  # noqa: PLC0415 - see app.py

    async def look(
        connection: "AsyncConnection",
    ) -> "tuple[Discrepancy, Mapping[str, Json]]":
        now: datetime = WallClock().now()
        told = await deeds.foresee(connection, _deed(asked), now)
        return await _get(connection, asked.discrepancy_id), told

    return session.ask(settings, look)


async def _get(connection: "AsyncConnection", discrepancy_id: int) -> "Discrepancy":
    from shared.db import reconciliation_rows as rows  # noqa: PLC0415 - see app.py

    found = await rows.get(connection, discrepancy_id)
    if found is None:
        raise RefusedError(
            f"there is no discrepancy {discrepancy_id}; `dalmada reconcile list --all` names them."
        )
    return found


def _deed(asked: "RepairDiscrepancy") -> "Deed":
    from worker.console import deeds  # noqa: PLC0415 - see app.py
    from worker.console.reconcile_commands import repair_discrepancy  # noqa: PLC0415

    subject = f"discrepancy {asked.discrepancy_id}"
    return deeds.Deed("reconcile repair", subject, asked.reason, asked, repair_discrepancy)
