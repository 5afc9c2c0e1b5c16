"""What a grant is, and to whom; the grants themselves stand in ``shared/db/grants.py``."""

import enum
from dataclasses import dataclass

EVERY = "*"


class Role(enum.StrEnum):
    """A group that the logins of processes, or of people, are members of."""

    SCHEDULER = "dalmada_scheduler"
    WORKER = "dalmada_worker"
    CONSOLE = "dalmada_console"
    READONLY = "dalmada_readonly"


@dataclass(frozen=True, slots=True)
class Grant:
    """What a role may do with the rows of one table: columns with spaces between, or ``EVERY``.

    Who may update any column may also lock rows, and who locks them needs one to update.
    """

    select: str = ""
    insert: str = ""
    update: str = ""
    delete: bool = False
