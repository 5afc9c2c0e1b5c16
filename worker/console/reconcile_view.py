"""How comparisons of the books are shown: for people, as JSON, and as CSV."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from shared.billing.reconciliation import Difference
from shared.billing.use_confirmation import KST
from shared.db.reconciliation_rows import Discrepancy
from shared.db.reconciliation_runs import Run
from worker.console.rendering import (
    Json,
    iso,
    local,
    print_fields,
    print_json,
    print_line,
    print_table,
    won,
)
from worker.console.terms import instant

# What each kind means, in a sentence for whoever reads the report first.
MEANING: Final[Mapping[Difference, str]] = {
    Difference.OURS_ONLY: "we hold a payment that PortOne does not show",
    Difference.THEIRS_ONLY: "PortOne holds a charge of ours that no row here knows",
    Difference.AMOUNT_DIFFERS: "the two sides name different amounts",
    Difference.STATUS_DIFFERS: "one side says paid, the other does not",
    Difference.REFUND_DIFFERS: "the two sides name different refunds",
    Difference.TWO_PAID: "one period was paid twice and the second payment is held",
    Difference.FOREIGN: "PortOne holds a payment that nobody here has asked for",
}
_FIELDS: Final[tuple[str, ...]] = (
    *("id", "difference", "status", "repair", "owner", "amount", "imp_uid", "merchant_uid"),
    *("their_status", "their_amount", "their_cancelled_amount", "our_amount"),
    *("our_cancelled_amount", "attempt_id", "attempt_status", "subscription_id", "payment_id"),
    *("created_at", "seen_at"),
)


def write_report(report: Mapping[str, Json], found: Sequence[Discrepancy]) -> None:
    """Print a report and its differences as one JSON document."""
    print_json({**report, "discrepancies": [document(each) for each in found]})


def print_report(report: Mapping[str, Any], found: Sequence[Discrepancy]) -> None:
    """Print a report for people."""
    since, until = (korean(report[name]) for name in ("since", "until"))
    print_line(f"{since} to {until}, run {report['run_id']}")
    print_line()
    print_fields(
        {
            "PortOne": _book(report["theirs"]),
            "ours": _book(report["ours"]),
            "payments that agree": f"{report['matched']:,}",
            "declined or never paid": f"{report['unpaid']:,}",
            "registrations, left out": f"{report['registrations']:,}",
            "not ours": f"{report['foreign']['count']:,}, {won(report['foreign']['amount'])}",
            "under way, looked at again": f"{report['watched']['count']:,}",
            "dismissed before": f"{report['dismissed']['count']:,}",
            "vanished since": f"{report['vanished']:,}",
        }
    )
    print_line()
    print_table(
        ("difference", "count", "amount", "meaning"),
        [
            (kind, f"{each['count']:,}", won(each["amount"]), MEANING[Difference(kind)])
            for kind, each in report["differences"].items()
        ],
    )
    if found:
        print_line()
        print_list(found)


def print_list(found: Sequence[Discrepancy]) -> None:
    """Print differences for people."""
    print_table(
        ("id", "difference", "status", "repair", "owner", "amount", "payment", "found"),
        [
            (
                str(each.id),
                str(each.difference),
                str(each.status),
                str(each.repair),
                str(each.owner),
                won(each.amount),
                each.imp_uid,
                local(each.created_at, KST.key),
            )
            for each in found
        ],
    )


def print_card(each: Discrepancy) -> None:
    """Print one difference for people."""
    print_fields(
        {
            "discrepancy": str(each.id),
            "difference": f"{each.difference}: {MEANING[each.difference]}",
            "status": str(each.status),
            "proposed repair": str(each.repair),
            "who looks at it": str(each.owner),
            "amount": won(each.amount),
            "payment": each.imp_uid,
            "merchant_uid": each.merchant_uid or "-",
            "PortOne says": _side(each.theirs),
            "we say": _side(each.ours),
            "subscription": str(each.subscription_id or "-"),
            "found": local(each.created_at, KST.key),
            "last looked at": local(each.seen_at, KST.key),
            "decided": local(each.decided_at, KST.key),
        }
    )


def print_runs(found: Sequence[Run]) -> None:
    """Print comparisons for people."""
    print_table(
        ("run", "window", "cause", "status", "differences"),
        [
            (
                str(run.id),
                f"{local(run.since, KST.key)} to {local(run.until, KST.key)}",
                str(run.cause),
                str(run.status),
                run.fault or ("-" if run.report is None else str(open_count(run.report))),
            )
            for run in found
        ],
    )


def runs_document(found: Sequence[Run]) -> dict[str, Json]:
    """Return comparisons for programs."""
    return {
        "runs": [
            {
                "run_id": run.id,
                "cause": run.cause,
                "since": iso(run.since),
                "until": iso(run.until),
                "status": run.status,
                "tries": run.tries,
                "fault": run.fault,
                "differences": None if run.report is None else open_count(run.report),
                "finished_at": iso(run.finished_at),
            }
            for run in found
        ]
    }


def open_count(report: Mapping[str, Any]) -> int:
    """Return how many differences of a report wait for a person."""
    return sum(each["count"] for each in report["differences"].values())


def document(each: Discrepancy) -> dict[str, Json]:
    """Return one difference for programs."""
    return {
        "id": each.id,
        "difference": each.difference,
        "status": each.status,
        "repair": each.repair,
        "owner": each.owner,
        "amount": each.amount,
        "imp_uid": each.imp_uid,
        "merchant_uid": each.merchant_uid,
        "theirs": cast("Json", each.theirs),
        "ours": cast("Json", each.ours),
        "subscription_id": None if each.subscription_id is None else str(each.subscription_id),
        "payment_id": each.payment_id,
        "found_by": each.found_by,
        "created_at": iso(each.created_at),
        "seen_at": iso(each.seen_at),
        "decided_at": iso(each.decided_at),
    }


def csv_of(found: Sequence[Discrepancy]) -> str:
    """Return differences as CSV, one line each, with a line that names the columns."""
    written = io.StringIO()
    lines = csv.DictWriter(written, _FIELDS, restval="", lineterminator="\r\n")
    lines.writeheader()
    for each in found:
        lines.writerow({name: _cell(value) for name, value in _flat(each).items()})
    return written.getvalue()


def _flat(each: Discrepancy) -> dict[str, object]:
    known = document(each)
    theirs, ours = each.theirs or {}, each.ours or {}
    values: dict[str, object] = {name: known[name] for name in _FIELDS if name in known}
    values |= {f"their_{name}": value for name, value in theirs.items() if name != "at"}
    values |= {f"our_{name}": ours[name] for name in ("amount", "cancelled_amount") if name in ours}
    return values | {name: value for name, value in ours.items() if name.startswith("attempt")}


def _cell(value: object) -> object:
    """Return what a spreadsheet takes for text and not for a formula."""
    is_formula = isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{value}" if is_formula else value


def _book(book: Mapping[str, int]) -> str:
    return (
        f"{book['payments']:,} payments, {won(book['amount'])},"
        f" {won(book['cancelled_amount'])} of it given back"
    )


def _side(side: Mapping[str, Any] | None) -> str:
    return "nothing" if not side else ", ".join(f"{name} {value}" for name, value in side.items())


def korean(written: str) -> str:
    """Return an instant of a report for people."""
    return local(instant("window", written, KST.key), KST.key)
