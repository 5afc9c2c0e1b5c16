"""The invariants of a running installation: one table of queries that must return nothing.

They are looked at every minute by ``invariant.check``, shown by ``dalmada doctor``, exported as
metrics, and each has a section in ``docs/runbook.md``.
"""

from typing import Final

from shared.db.invariant import Invariant
from shared.db.invariants_of_gateway import GATEWAY
from shared.db.invariants_of_money import MONEY
from shared.db.invariants_of_work import WORK

INVARIANTS: Final[tuple[Invariant, ...]] = (*WORK, *GATEWAY, *MONEY)
