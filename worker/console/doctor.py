"""`dalmada doctor`: is everything there that billing stands on, and is everything as it must be."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from shared.billing.use_confirmation import KST
from shared.clock import WallClock
from worker.console import options
from worker.console.endings import DatabaseFaultError, ends_in_words
from worker.console.progress import progress
from worker.console.rendering import Json, age, iso, local, print_json, print_line

if TYPE_CHECKING:
    from worker.console.doctor_environment import Examined
    from worker.console.doctor_invariants import Answer
    from worker.console.session import DoctorSettings

RUNBOOK = "docs/runbook.md"
# Of many things that are wrong in one way people are shown these.
_SHOWN_MAX = 10
_CHECKED_WITHIN = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All that was found at ``at``; ``answers`` is None where the database did not answer."""

    at: datetime
    examined: "tuple[Examined, ...]"
    answers: "tuple[Answer, ...] | None"

    @property
    def is_well(self) -> bool:
        """Whether nothing needs a person."""
        from worker.console.doctor_environment import Verdict  # noqa: PLC0415 - see app.py

        wrong = any(each.verdict is Verdict.WRONG for each in self.examined)
        return not wrong and self.answers is not None and all(a.is_well for a in self.answers)


@ends_in_words
def doctor(
    *,
    everything: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Look at every row of the past, not at the newest only: a minute for a million.",
        ),
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Look at what billing stands on, and at what must never be so.

    First the environment: settings, servers and their versions, tables, constraints, rights,
    clocks, beat, and PortOne with its channels where its login is set. Then every invariant: a
    query that must return nothing, with what to do where it does; docs/runbook.md says more. It
    works while no process runs.

    Exit status 0 when all is well, 1 when anything is wrong. What cannot be told from here, such
    as what PortOne holds without its login, is said and is not wrong.
    """
    diagnosis = _diagnosis(everything=everything)
    if as_json:
        print_json(_document(diagnosis))
    else:
        _print(diagnosis)
    if not diagnosis.is_well:
        raise typer.Exit(1)


def _diagnosis(*, everything: bool) -> Diagnosis:
    from worker.console import doctor_environment, session  # noqa: PLC0415
    from worker.console.doctor_environment import Examined, Verdict  # noqa: PLC0415

    settings = session.load(session.DoctorSettings)
    clock = WallClock()
    now = clock.now()
    made, examined_settings = doctor_environment.settings()
    examined = [examined_settings]
    answers: tuple[Answer, ...] | None = None
    try:
        examined += session.ask(settings, lambda c: doctor_environment.database(c, clock))
        if not any(each.verdict is Verdict.WRONG and each.name == "tables" for each in examined):
            answers = _answers(settings, now, everything=everything)
            examined.append(_watched(answers, now))
    except DatabaseFaultError as error:
        examined.append(Examined("database", Verdict.WRONG, str(error)))
    url = settings.redis_url.get_secret_value()
    examined += doctor_environment.redis(url, clock)
    if made is not None:
        examined += doctor_environment.gateway(made, clock)
    return Diagnosis(now, tuple(examined), answers)


def _answers(
    settings: "DoctorSettings", now: datetime, *, everything: bool
) -> "tuple[Answer, ...]":
    """Return what every invariant says; whoever waits at a terminal sees how far it is."""
    from shared.db.invariants import INVARIANTS  # noqa: PLC0415 - see app.py
    from worker.console import doctor_invariants  # noqa: PLC0415

    with progress("looking at invariants") as tell:
        return doctor_invariants.answers(
            settings,
            now,
            everything=everything,
            asked=lambda count: tell(f"of {len(INVARIANTS)} invariants looked at", count),
        )


def _watched(answers: "Sequence[Answer]", now: datetime) -> "Examined":
    """Say whether ``invariant.check`` does its work."""
    from worker.console.doctor_environment import Examined, Verdict  # noqa: PLC0415

    name, checked = "invariant.check", [answer.checked_at for answer in answers]
    looked = [at for at in checked if at is not None]
    remedy = "See that beat and the workers of `billing.inquiry` run."
    if not looked:
        return Examined(name, Verdict.WRONG, "has never looked at the invariants", remedy)
    late = sum(at is None or now - at > _CHECKED_WITHIN for at in checked)
    if late:
        since = age((now - min(looked)).total_seconds())
        found = f"has not looked at {late} of {len(checked)} invariants lately, at one for {since}"
        return Examined(name, Verdict.WRONG, found, remedy)
    return Examined(name, Verdict.WELL, f"has looked at {len(checked)} invariants lately")


def _document(diagnosis: Diagnosis) -> dict[str, Json]:
    """Return the diagnosis for programs; what could not be asked is null."""
    environment: list[Json] = [
        {
            "name": each.name,
            "verdict": str(each.verdict),
            "found": each.found,
            "remedy": each.remedy,
        }
        for each in diagnosis.examined
    ]
    return {
        "healthy": diagnosis.is_well,
        "at": iso(diagnosis.at),
        "environment": environment,
        "invariants": None
        if diagnosis.answers is None
        else [_answer_document(answer) for answer in diagnosis.answers],
    }


def _answer_document(answer: "Answer") -> dict[str, Json]:
    invariant = answer.invariant
    return {
        "name": invariant.name,
        "severity": str(invariant.severity),
        "meaning": invariant.meaning,
        "remedy": invariant.remedy,
        "error": answer.fault,
        "checked_at": iso(answer.checked_at),
        "findings": [
            {"subject": finding.subject, "since": iso(finding.since)} for finding in answer.findings
        ],
        "more": answer.is_cut,
    }


def _print(diagnosis: Diagnosis) -> None:
    """Print the verdict first, then the environment, then what the invariants find."""
    print_line("All is well." if diagnosis.is_well else "Something is wrong:")
    print_line()
    width = max(len(each.name) for each in diagnosis.examined)
    for each in diagnosis.examined:
        print_line(f"  {each.verdict:<7}  {each.name:<{width}}  {each.found}")
        if each.remedy is not None:
            print_line(f"  {'':<7}  {'':<{width}}  → {each.remedy}")
    print_line()
    if diagnosis.answers is None:
        print_line("The invariants could not be looked at.")
        return
    wrong = [answer for answer in diagnosis.answers if not answer.is_well]
    well = len(diagnosis.answers) - len(wrong)
    print_line(f"Of {len(diagnosis.answers)} invariants {well} hold.")
    for answer in wrong:
        print_line()
        _print_answer(answer, diagnosis.at)


def _print_answer(answer: "Answer", at: datetime) -> None:
    invariant = answer.invariant
    print_line(f"  {invariant.name} ({invariant.severity}): {invariant.meaning}")
    if answer.fault is not None:
        print_line(f"    the database did not answer: {answer.fault}")
    for finding in answer.findings[:_SHOWN_MAX]:
        since = ""
        if finding.since is not None:
            lasted = age((at - finding.since).total_seconds())
            since = f", since {local(finding.since, KST.key)} ({lasted})"
        print_line(f"    {finding.subject}{since}")
    more = len(answer.findings) - _SHOWN_MAX
    if more > 0:
        print_line(f"    and {more} more{' at least' if answer.is_cut else ''}")
    print_line(f"    → {invariant.remedy}")
    print_line(f"    → {RUNBOOK}#{invariant.name}")
