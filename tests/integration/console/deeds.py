"""What an operator's deed leaves behind, and what it must not."""

import os
import pwd
import socket
from typing import Any

from sqlalchemy import Row

from tests.support.billing import World

ACTOR = f"{pwd.getpwuid(os.getuid()).pw_name}@{socket.gethostname()}"
# No text of it may be found where the operator has not asked for it.
PLANTED = ("planted_key_2210_8841", "심청이와공양미", "010-2210-8841")


def audited(world: World) -> list[Row[Any]]:
    """Return what is written down of people's deeds, oldest first."""
    return world.run(world.rows("SELECT * FROM audit_log ORDER BY id"))


def plant(world: World, planted: tuple[str, str, str] = PLANTED) -> None:
    """Give the one billing key and its buyer texts that can be looked for."""
    key, name, tel = planted
    world.run(
        world.rows(
            "UPDATE billing_keys SET customer_uid = :key, buyer_name = :name, buyer_tel = :tel",
            key=key,
            name=name,
            tel=tel,
        )
    )


def assert_untold(*texts: str) -> None:
    """Fail if a planted text is found in any of some texts."""
    for text in texts:
        assert not [planted for planted in PLANTED if planted in text]


def everything_told(world: World) -> str:
    """Return all that events, commands' results and the audit log say."""
    rows = world.run(
        world.rows(
            """
            SELECT data::text AS said FROM events UNION ALL SELECT result::text FROM commands
            UNION ALL SELECT concat(actor, action, subject, reason, details::text) FROM audit_log
            """
        )
    )
    return "\n".join(row.said for row in rows)
