"""Every step of ours that touches the outside, read from the code, beside those that were lived.

A step is a call that opens a transaction, asks the gateway, publishes, tells or counts. What no
life passes is named and fails the run, so a step that is added has to be lived through. Whatever
holds a way to the outside under another name than those known here is named as well.
"""

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Final

from tests.simulation.seam import CHECKOUT, DECIDING

# By which names a way to the outside is held, and which of its methods touch the outside.
_METHODS: Mapping[str, frozenset[str] | None] = {
    "database": frozenset({"run", "transaction"}),
    "gateway": None,
    # How often a message came back; a repository of the same name beside it touches no outside.
    "deliveries": frozenset({"begin", "end"}),
}
_CALLED = frozenset({"enqueue", "post", "publish"})
# Ports that stay inside: ours settle in groups, a clock is read, an ending is looked at.
_INSIDE = frozenset({"Settle", "SettleRefund", "Clock", "Holding", "Watch"})
_PORTS_BESIDE = ("shared/jobs/enqueue.py", "shared/clock.py")

# Of a database that was set back; whoever recovers it dies before and after every transaction in
# tests/integration/services/test_recover.py.
_RECOVERY: Final = (
    "worker.services.recover:Recover.begin · self.database.run",
    "worker.services.recover:Recover.adopt · self.database.run",
    "worker.services.recover:Recover.finish · self.database.run",
    "worker.services.recover:Recover._book · self.gateway.payments_in",
    "worker.services.recover:Recover._revoke · self.gateway.schedules_in",
    "worker.services.recover:Recover._revoke · self.database.run",
    "worker.services.recover:Recover._revoke · self.gateway.revoke_schedules",
    "worker.services.recover:Recover._compare · self.database.run",
    "worker.services.recover:Recover._is_kept · self.database.run",
    "worker.services.recover:Recover._read · self.database.run",
    "worker.services.recover_attempts:AdoptAttempts.__call__ · self.database.run",
    "worker.services.recover_attempts:AdoptAttempts._records · self.gateway.records_of",
    "worker.services.recover_attempts:AdoptAttempts._adopt · self.database.run",
    "worker.services.recover_attempts:AdoptAttempts._ended · self.database.run",
    "worker.services.recover_attempts:AdoptAttempts._stop · self.database.run",
    "worker.services.recover_refunds:AdoptRefunds.__call__ · self.gateway.payment",
    "worker.services.recover_refunds:AdoptRefunds.__call__ · self.database.run",
)
# What is asked of the database as a whole, and may break off anywhere: the next tick asks again.
_MARKS: Final = (
    "scheduler.scans.mark:MarkDatabase.__call__ · self.database.run",
    "scheduler.scans.mark:MarkDatabase.__call__ · self.enqueue",
    "worker.services.proof:ProveDatabase._prove · self.database.run",
    "worker.services.proof:ProveDatabase._ask · self.database.run",
    "worker.services.proof:ProveDatabase._lost · self.gateway.payments_in",
    "worker.services.proof:ProveDatabase._unknown_of · self.database.run",
)

# Steps that no life can pass, each with the reason; one that is passed all the same is named.
EXEMPT: Mapping[str, str] = {
    "worker.services.forecast_verify:VerifyForecasts.__call__ · self.database.transaction": (
        "an operator's question, which writes nothing"
    ),
    "worker.services.channel_check:CheckChannels.__call__ · self.gateway.channels": (
        "a question of the process as it starts, which changes nothing wherever it breaks off"
    ),
    "worker.services.reconcile:_Comparison._stage · self.gateway.payments_in": (
        "a list that a loop reads: each of its pages is a point, and the loop is where it is passed"
    ),
    "worker.services.survey:SurveySchedules.__call__ · self.gateway.schedules_in": (
        "a list that a loop reads: each of its pages is a point, and the loop is where it is passed"
    ),
    **dict.fromkeys(_RECOVERY, "no life has a database that was set back"),
    **dict.fromkeys(_MARKS, "no life has a mark, which is of a database and not of its rows"),
}


@dataclass(frozen=True, slots=True, order=True)
class Step:
    """A call in the code; its end tells it from every other one of its file.

    Attributes:
        begun_by: Where the ``async with`` ends that enters it, or else the call itself: what is
            known of a call under way.
        site: The function it stands in, as ``module:qualname``.
        call: What is called.
    """

    file: str
    end: tuple[int, int]
    begun_by: tuple[int, int]
    site: str
    call: str

    def __str__(self) -> str:
        """Name it for people."""
        return f"{self.site} · {self.call} ({self.file}:{self.end[0]})"

    @property
    def name(self) -> str:
        """What it is exempted by."""
        return f"{self.site} · {self.call}"


def steps(checkout: Path = CHECKOUT) -> list[Step]:
    """Return every step there is in the code."""
    return sorted(step for path in _modules(checkout) for step in _steps_in(path, checkout))


def _modules(checkout: Path) -> list[Path]:
    folders = [Path(folder).relative_to(CHECKOUT) for folder in DECIDING]
    return sorted(path for folder in folders for path in (checkout / folder).rglob("*.py"))


def _steps_in(path: Path, checkout: Path) -> Iterator[Step]:
    file = str(path.relative_to(checkout))
    module = file.removesuffix(".py").replace("/", ".")
    tree = ast.parse(path.read_text())
    entered = {
        item.context_expr: _end(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.AsyncWith)
        for item in node.items
    }
    for names, node in _calls(tree, ()):
        if _touches(node.func):
            site, call = f"{module}:{'.'.join(names)}", ast.unparse(node.func)
            yield Step(file, _end(node), entered.get(node, _end(node)), site, call)


def _end(node: ast.AST) -> tuple[int, int]:
    return getattr(node, "end_lineno", 0), getattr(node, "end_col_offset", 0)


def _calls(node: ast.AST, names: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], ast.Call]]:
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        names = (*names, node.name)
    if isinstance(node, ast.Call):
        yield names, node
    for child in ast.iter_child_nodes(node):
        yield from _calls(child, names)


def _touches(called: ast.expr) -> bool:
    if not isinstance(called, ast.Attribute):
        return isinstance(called, ast.Name) and called.id in _CALLED
    holder = called.value
    held_as = holder.attr if isinstance(holder, ast.Attribute) else getattr(holder, "id", "")
    if held_as in _METHODS:
        methods = _METHODS[held_as]
        return methods is None or called.attr in methods
    return called.attr in _CALLED and held_as == "self"


def unknown_ports(checkout: Path = CHECKOUT) -> list[str]:
    """Return whatever holds a way to the outside under a name that is not looked for."""
    trees = {path: ast.parse(path.read_text()) for path in _modules(checkout)}
    beside = [ast.parse((checkout / path).read_text()) for path in _PORTS_BESIDE]
    ports = {
        node.name
        for tree in (*trees.values(), *beside)
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and "Protocol" in map(ast.unparse, node.bases)
    }
    ports = {"Database", *ports} - _INSIDE
    return [
        f"{path.relative_to(checkout)}:{node.lineno}: {name} is a {ast.unparse(annotation)}"
        for path, tree in trees.items()
        for node, name, annotation in _annotated(tree)
        if ast.unparse(annotation) in ports and name not in {*_METHODS, *_CALLED}
    ]


def _annotated(tree: ast.Module) -> Iterator[tuple[ast.expr | ast.arg, str, ast.expr]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target, node.target.id, node.annotation
        elif isinstance(node, ast.arg) and node.annotation is not None:
            yield node, node.arg, node.annotation


Place = tuple[str, tuple[int, int]]


def places(touched: Iterable[tuple[CodeType, int]]) -> set[Place]:
    """Return where calls that touched the outside end: file, line and column."""
    found = set()
    for code, offset in touched:
        _, line, _, column = list(code.co_positions())[offset // 2]
        file = str(Path(code.co_filename).relative_to(CHECKOUT))
        found.add((file, (line or 0, column or 0)))
    return found


def faults(passed: Iterable[Place], checkout: Path = CHECKOUT) -> list[str]:
    """Return every step that was not passed, and every exemption that is not needed."""
    been = set(passed)
    known = steps(checkout)
    missed = [
        step for step in known if not been & {(step.file, step.end), (step.file, step.begun_by)}
    ]
    exempt = set(EXEMPT)
    return [
        *(f"no life passes {step}" for step in missed if step.name not in exempt),
        *(f"exempt, and passed or gone: {name}" for name in exempt - {one.name for one in missed}),
        *(f"a way to the outside nobody looks for: {port}" for port in unknown_ports(checkout)),
    ]
