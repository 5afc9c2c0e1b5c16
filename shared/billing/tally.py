"""How a batch ended, in one line that a person reads in a list."""

from collections import Counter
from collections.abc import Iterable


def tally(endings: Iterable[str]) -> str:
    """Return for example ``paid 23 · declined 1 · unknown 1``, or ``nothing due``."""
    counts = Counter(endings)
    if not counts:
        return "nothing due"
    return " · ".join(f"{name} {count}" for name, count in counts.most_common())
