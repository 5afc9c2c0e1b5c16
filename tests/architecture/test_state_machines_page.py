"""docs/state-machines.md draws the tables of the code, and those say what the code does."""

import ast
import enum
import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from shared.billing import (
    attempt,
    change,
    invoice,
    lifecycle,
    refund,
    reserving,
    subscription,
    window,
)
from shared.billing.attempt import AttemptStatus
from shared.billing.change import ChangeStatus
from shared.billing.invoice import InvoiceStatus
from shared.billing.lifecycle import SubscriptionStatus
from shared.billing.refund import RefundStatus
from shared.billing.reserving import ReservationStatus
from shared.billing.subscription import BillingKeyStatus
from shared.db import changes
from tests.architecture.checkout import CHECKOUT, read
from tests.architecture.messages_page import blocks
from tests.architecture.moves_by_rules import (
    attempt_edges,
    attempt_moves,
    refund_moves,
    reservation_edges,
)
from tests.architecture.moves_in_sql import Written, written

PAGE = "docs/state-machines.md"
Edges = set[tuple[str, str]]
_EDGE = re.compile(r"^\s+(?P<before>\S+) --> (?P<after>\S+)(?: : (?P<word>\w+))?$")
_OUTSIDE = "[*]"


@dataclass(frozen=True)
class Machine:
    """One machine of the page.

    Attributes:
        unread: Statuses that SQL writes without saying over which, with those that the code around
            it lets through.
    """

    title: str
    table: str
    statuses: type[enum.StrEnum]
    beginnings: frozenset[Any]
    edges: Edges
    ends: set[str] | None = None
    unread: Mapping[tuple[str, str], frozenset[Any]] = field(default_factory=dict)


def edges_of(table: Mapping[Any, frozenset[Any]]) -> Edges:
    return {(str(before), str(after)) for before, afters in table.items() for after in afters}


MACHINES = (
    Machine(
        "Subscription",
        "subscriptions",
        SubscriptionStatus,
        lifecycle.BEGINNINGS,
        {(str(before), str(after)) for (before, _), after in lifecycle.TRANSITIONS.items()},
        {SubscriptionStatus.CANCELED},
        # An end comes to whoever lives, and ended ones end as somebody asked for after all.
        {("endings", "canceled"): lifecycle.LIVING},
    ),
    Machine(
        "Invoice",
        "invoices",
        InvoiceStatus,
        invoice.INVOICE_BEGINNINGS,
        edges_of(invoice.INVOICE_TRANSITIONS),
    ),
    Machine(
        "Payment attempt",
        "payment_attempts",
        AttemptStatus,
        attempt.ATTEMPT_BEGINNINGS,
        edges_of(attempt.ATTEMPT_TRANSITIONS),
    ),
    Machine(
        "Refund",
        "refunds",
        RefundStatus,
        refund.REFUND_BEGINNINGS,
        edges_of(refund.REFUND_TRANSITIONS),
    ),
    Machine(
        "Window",
        "windows",
        window.WindowStatus,
        window.WINDOW_BEGINNINGS,
        edges_of(window.WINDOW_TRANSITIONS),
    ),
    Machine(
        "Reservation",
        "reservations",
        ReservationStatus,
        reserving.RESERVATION_BEGINNINGS,
        edges_of(reserving.RESERVATION_TRANSITIONS),
        # Locked in a query of its own that asks for planned ones.
        unread={("reservations", "claimed"): frozenset({ReservationStatus.PLANNED})},
    ),
    Machine(
        "Agreement change",
        "agreement_changes",
        change.ChangeStatus,
        change.CHANGE_BEGINNINGS,
        edges_of(change.CHANGE_TRANSITIONS),
    ),
    Machine(
        "Billing key",
        "billing_keys",
        BillingKeyStatus,
        subscription.KEY_BEGINNINGS,
        edges_of(subscription.KEY_TRANSITIONS),
        {BillingKeyStatus.DELETED},
        {
            # The caller holds the key locked, and has refused one that is being deleted.
            ("billing_keys", "active"): frozenset(BillingKeyStatus) - {BillingKeyStatus.DELETING},
            # The caller has refused one that is gone or going.
            ("billing_keys", "deleting"): frozenset(BillingKeyStatus)
            - {BillingKeyStatus.DELETING, BillingKeyStatus.DELETED},
            # Asked in a query of its own, which locks it.
            ("subscriptions", "dead"): frozenset({BillingKeyStatus.ACTIVE}),
        },
    ),
)
each_machine = pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.title)


def section(machine: Machine) -> str:
    return read(PAGE).partition(f"\n## {machine.title}\n")[2].partition("\n## ")[0]


def drawn(machine: Machine) -> list[tuple[str, str, str | None]]:
    (diagram,) = blocks(section(machine), "mermaid")
    first, *lines = diagram.splitlines()
    assert first == "stateDiagram-v2"
    found = [_EDGE.match(line) for line in lines]
    assert None not in found
    edges = [(match["before"], match["after"], match["word"]) for match in found if match]
    assert len(edges) == len(set(edges))
    return edges


@each_machine
def test_the_diagram_draws_what_the_table_says(machine: Machine) -> None:
    edges = drawn(machine)
    assert {
        (before, after) for before, after, _ in edges if _OUTSIDE not in {before, after}
    } == machine.edges
    assert {after for before, after, _ in edges if before == _OUTSIDE} == machine.beginnings
    ends = set(machine.statuses) - {before for before, _ in machine.edges}
    assert {before for before, after, _ in edges if after == _OUTSIDE} == (machine.ends or ends)


def test_the_arrows_of_a_subscription_carry_what_happens() -> None:
    (machine,) = (each for each in MACHINES if each.title == "Subscription")
    assert {
        (before, word): after
        for before, after, word in drawn(machine)
        if _OUTSIDE not in {before, after}
    } == {
        (str(before), str(word)): after for (before, word), after in lifecycle.TRANSITIONS.items()
    }


@each_machine
def test_every_state_says_in_one_line_who_moves_it_on(machine: Machine) -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", section(machine), re.MULTILINE)
    assert sorted(state for state, _ in rows) == sorted(machine.statuses)


def test_every_section_is_a_machine_that_is_compared() -> None:
    titles = re.findall(r"^## (.+)$", read(PAGE), re.MULTILINE)
    assert titles == [machine.title for machine in MACHINES]
    for machine in MACHINES:
        named = re.match(r"\n`(\w+)` in `([\w/.]+)`", section(machine))
        assert named is not None, machine.title
        assert re.search(rf"^{named[1]}: ", read(named[2]), re.MULTILINE), machine.title


def by_sql(machine: Machine) -> Edges:
    """What the texts of SQL move rows of a machine's table from and to."""
    found: Edges = set()
    for each in written():
        if each.table == machine.table:
            found |= {(before, each.to) for before in _before(machine, each) if before != each.to}
    return found


def _before(machine: Machine, each: Written) -> frozenset[Any]:
    if each.before is not None:
        return each.before - each.not_before
    if each.not_before:
        return frozenset(machine.statuses) - each.not_before
    key = (each.module, each.to)
    assert key in machine.unread, f"shared/db/{each.module}.py: {each.to} is written over what?"
    return machine.unread[key]


@each_machine
def test_no_sql_moves_a_row_otherwise(machine: Machine) -> None:
    assert by_sql(machine) <= machine.edges


def same(edges: set[tuple[Any, Any]]) -> Edges:
    """What stays is no move."""
    return {(str(before), str(after)) for before, after in edges if before != after}


def test_attempts_move_by_the_rules_and_the_sql_as_the_table_says() -> None:
    (machine,) = (each for each in MACHINES if each.title == "Payment attempt")
    # The word of the gateway that money came ends all waiting (``moves.apply_moves``).
    money = {(before, AttemptStatus.PAID) for before in attempt.UNSETTLED}
    assert same(attempt_edges() | money) | by_sql(machine) == machine.edges


def test_refunds_move_by_the_rules_and_the_sql_as_the_table_says() -> None:
    (machine,) = (each for each in MACHINES if each.title == "Refund")
    # The same of money that went back (``refund_moves.apply_moves``).
    money = {(before, RefundStatus.DONE) for before in refund.REFUND_UNSETTLED}
    assert same(set(refund_moves()) | money) | by_sql(machine) == machine.edges


def test_reservations_move_by_the_rules_and_the_sql_as_the_table_says() -> None:
    (machine,) = (each for each in MACHINES if each.title == "Reservation")
    planned, revoking = ReservationStatus.PLANNED, ReservationStatus.REVOKING
    recalled = {(before, revoking) for before in reserving.REVOCABLE}
    recalled.add((planned, ReservationStatus.REVOKED))
    # Nobody bills a period whose reservation is being revoked, and what was only planned is
    # recalled before (``reserved_periods.REVOKING``, ``scans.renew``).
    handed = {
        (before, ReservationStatus.COLLECTED)
        for before in (reserving.LIVE | reserving.ATTEMPTED) - {planned, revoking}
    }
    handed.add((ReservationStatus.EXECUTED, ReservationStatus.RETURNING))
    assert same(reservation_edges() | recalled | handed) | by_sql(machine) == machine.edges


def test_invoices_move_by_the_rules_and_the_sql_as_the_table_says() -> None:
    (machine,) = (each for each in MACHINES if each.title == "Invoice")
    # Each is written to an open one only (``moves.apply_moves``, ``invoices.close_without_call``).
    targets = {move.invoice_status for move in attempt_moves()} | closings()
    open_to = {(InvoiceStatus.OPEN, target) for target in targets}
    assert same(open_to) | by_sql(machine) == machine.edges


def closings() -> set[InvoiceStatus]:
    """How services close invoices without a call, read from where they say so."""
    found = set()
    for path in (CHECKOUT / "worker" / "services").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Closing"):
                words = re.findall(r"\bInvoiceStatus\.([A-Z]+)\b", ast.unparse(node))
                found |= {InvoiceStatus[word] for word in words}
    return found


def test_changes_move_by_what_a_renewal_decides_and_the_sql_as_the_table_says() -> None:
    (machine,) = (each for each in MACHINES if each.title == "Agreement change")
    # Written to a pending one only (``changes.decide``), which names what it writes.
    named = re.findall(r"\bChangeStatus\.([A-Z]+)\b", inspect.getsource(changes.decide))
    decided = {(ChangeStatus.PENDING, ChangeStatus[word]) for word in named}
    assert same(decided) | by_sql(machine) == machine.edges


@pytest.mark.parametrize("title", ["Window", "Billing key"])
def test_what_sql_alone_moves_has_no_arrow_that_nothing_takes(title: str) -> None:
    (machine,) = (each for each in MACHINES if each.title == title)
    assert by_sql(machine) == machine.edges
