"""Beat's lease in Redis: of several beats the one that holds it says when to look."""

from typing import Final

LEASE_KEY: Final = "dalmada:beat:leader"
