"""The figures for people, for machines, and in one last line."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

from rich.table import Table

from tests.bench.rounds import JITTER, WINDOW, Figures

TARGET_CPU_S_PER_1K = 1.5
TARGET_RATIO = 7.0

Results = Mapping[str, Sequence[Figures]]

_COMPONENTS = (
    ("worker", "CPU-s per 1,000 charges, workers"),
    ("postgres", "  PostgreSQL"),
    ("valkey", "  Valkey"),
    ("sandbox", "  sandbox"),
)


def ratio(results: Results) -> float:
    """Return how many times the CPU time of ours the plain design takes."""
    return _worker_cpu(results["plain"]) / _worker_cpu(results["ours"])


def last_line(results: Results) -> str:
    """Return the line that scripts read."""
    rate = median(figures.charges_per_s for figures in results["ours"])
    return (
        f"bench: ours_cpu_per_1k={_worker_cpu(results['ours']):.3f}"
        f" plain_cpu_per_1k={_worker_cpu(results['plain']):.3f}"
        f" plain_ratio={ratio(results):.1f} charges_per_s={rate:.0f}"
    )


def as_json(
    machine: Mapping[str, str], conditions: Mapping[str, Any], results: Results
) -> dict[str, Any]:
    """Return everything that was measured."""
    return {
        "machine": dict(machine),
        "conditions": dict(conditions),
        "rounds": {
            side: [asdict(figures) for figures in rounds] for side, rounds in results.items()
        },
        "medians": {
            "ours_cpu_per_1k": _worker_cpu(results["ours"]),
            "plain_cpu_per_1k": _worker_cpu(results["plain"]),
            "plain_ratio": ratio(results),
            "charges_per_s": median(figures.charges_per_s for figures in results["ours"]),
        },
    }


def table(results: Results, labels: Mapping[str, str]) -> Table:
    """Return medians, with the least and the greatest of the rounds."""
    begin, end = (f"{share:.0%}" for share in WINDOW)
    shown = Table(
        title=f"Medians of the rounds (least - greatest), from {begin} to {end} of the charges",
        title_justify="left",
        caption="\n".join(labels.values()),
        caption_justify="left",
    )
    shown.add_column("", no_wrap=True)
    for side in results:
        shown.add_column(side, justify="right", no_wrap=True)
    shown.add_column("plain / ours", justify="right", no_wrap=True)
    for component, label in _COMPONENTS:
        values = {
            side: [figures.cpu_s_per_1k[component] for figures in rounds]
            for side, rounds in results.items()
        }
        shown.add_row(label, *_cells(values, 3))
    for name, label, digits in (
        ("publish_cpu_s_per_1k", "  publishing the messages", 3),
        ("charges_per_s", "charges per second", 0),
        ("memory_mb", "workers' memory, MB", 0),
        ("window_s", "window, s", 1),
        ("charges", "charges in all", 0),
    ):
        values = {
            side: [float(getattr(figures, name)) for figures in rounds]
            for side, rounds in results.items()
        }
        shown.add_row(label, *_cells(values, digits))
    return shown


def conditions_text(conditions: Mapping[str, Any]) -> str:
    """Return in words under what conditions both sides were measured."""
    text = (
        f"Gateway latency {conditions['latency_ms']:g} ms ± {JITTER:.0%};"
        " PostgreSQL with fsync, Valkey without persistence, both sides alike."
    )
    if conditions["settings"]:
        given = " ".join(f"{name}={value}" for name, value in conditions["settings"].items())
        text += f" Set by hand: {given}."
    return text


def verdict(results: Results) -> str:
    """Return in words whether the targets are met."""
    cpu_s, times = _worker_cpu(results["ours"]), ratio(results)
    return (
        f"{_met(cpu_s < TARGET_CPU_S_PER_1K)}: {cpu_s:.3f} CPU-s per 1,000 charges,"
        f" wanted below {TARGET_CPU_S_PER_1K:g}\n"
        f"{_met(times >= TARGET_RATIO)}: {times:.1f} times cheaper than the plain design,"
        f" wanted at least {TARGET_RATIO:g}"
    )


def _met(is_met: bool) -> str:
    return "[green]met[/]" if is_met else "[red]missed[/]"


def _worker_cpu(rounds: Sequence[Figures]) -> float:
    return median(figures.cpu_s_per_1k["worker"] for figures in rounds)


def _cells(values: Mapping[str, Sequence[float]], digits: int) -> list[str]:
    cells = [_spread(of, digits) for of in values.values()]
    ours, plain = median(values["ours"]), median(values["plain"])
    return [*cells, f"{plain / ours:.2g}" if ours else ""]


def _spread(of: Sequence[float], digits: int) -> str:
    middle, least, greatest = (f"{value:,.{digits}f}" for value in (median(of), min(of), max(of)))
    return middle if least == greatest else f"{middle} ({least} - {greatest})"
