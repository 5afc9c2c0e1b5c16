"""How hypothesis searches here: the same examples on every CI run, new ones at a desk."""

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "billing",
    deadline=None,  # A noisy neighbour is no failure of ours.
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("billing")
