"""What a merchant has decided, by the seed: hours, grace, ends, consents and catch-up."""

import random
from collections.abc import Mapping, Sequence
from typing import Any, Final

_DAY_S: Final = 86_400.0
# The defaults come often: most merchants change little.
_CHOICES: Final[Mapping[str, Sequence[Any]]] = {
    "catch_up": ("bill_latest", "bill_all", "forgive"),
    "catch_up_periods_max": (3, 3, 1),
    # Small ones make many messages, which can come in many orders.
    "charge_batch_size": (2, 5, 25),
    "charge_hours": ("", "", "", "09:00-22:00", "20:00-06:00"),
    "maintenance_hours": ((), (), ("23:30-00:30",), ("02:00-02:20", "12:00-13:00")),
    "charge_spread_s": (0.0, 0.0, 3_600.0),
    "charge_on_holidays": (True, True, True, False),
    "grace_period_s": (0.0, 0.0, 4 * _DAY_S, 20 * _DAY_S),
    "dunning_terminal_action": ("leave_past_due", "leave_past_due", "cancel", "pause"),
    "dunning_key_attempts_max": (15, 15, 4),
    "without_consent": ("keep_price", "keep_price", "end"),
}


def policies_of(seed: int) -> Mapping[str, Any]:
    """Return the settings of a life, which nothing else of it has an influence on."""
    dice = random.Random(f"policies {seed}")  # noqa: S311 - a life, not a secret
    return {name: dice.choice(choices) for name, choices in _CHOICES.items()}
