"""What a pause does to the periods it covers."""

import enum


class PauseKeeps(enum.StrEnum):
    """What stays as it was over a pause.

    ``calendar``: renewals keep their dates. Periods that begin during the pause are skipped, each
    with its explanation; what is left at the resumption of one that was skipped is charged by the
    day with the next renewal.

    ``time``: what was paid for is used to its end. No period begins during the pause, and the one
    that ran goes on from the resumption with the days it had left; the renewals after it move.
    """

    CALENDAR = "calendar"
    TIME = "time"
