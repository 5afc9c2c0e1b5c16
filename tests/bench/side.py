"""What a side of the comparison must be able to do, and what its rows say in the end."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from deploy.launcher.children import Child
from deploy.launcher.servers import OwnServers
from tests.support.sandbox import SandboxControl

CHECKOUT: Final = Path(__file__).resolve().parents[2]

# Both sides charge the same: one price, one name, one buyer to a billing key.
AMOUNT: Final = 9_900
TAX_FREE: Final = 0
ORDER_NAME: Final = "Slim 요금제"
BUYER_NAME: Final = "홍길동"
BUYER_EMAIL: Final = "buyer@example.com"
BUYER_TEL: Final = "010-0000-0000"


@dataclass(frozen=True, slots=True)
class Stage:
    """What both sides play on: the servers, the gateway, and where processes log."""

    servers: OwnServers
    sandbox: SandboxControl
    sandbox_process: Child
    logs: Path


@dataclass(frozen=True, slots=True)
class SettledAttempt:
    """A payment attempt as the side's rows have it in the end."""

    merchant_uid: str
    imp_uid: str | None
    customer_uid: str
    amount: int
    tax_free: int
    status: str
    settled_at_s: float | None


@dataclass(frozen=True, slots=True)
class Ledger:
    """Everything a side's rows say.

    Attributes:
        invoices: How many there are.
        paid: How many of them are paid.
        attempts: Every payment attempt.
        complaints: In words, what else should not be there.
    """

    invoices: int
    paid: int
    attempts: Sequence[SettledAttempt]
    complaints: Sequence[str] = ()


class Performance(Protocol):
    """One side on a database of its own, for one round."""

    def prepare(self, count: int) -> list[str]:
        """Write so many due invoices; return the billing keys they are charged to."""

    def workers(self) -> list[Child]:
        """Return the worker processes, not yet started."""

    def publish(self) -> None:
        """Publish the messages for every invoice."""

    def accompany(self) -> None:
        """Do what the rest of the system does meanwhile; called about once a second."""

    def paid(self) -> int:
        """Count the invoices paid so far."""

    def ledger(self) -> Ledger:
        """Read what the rows say."""


class Side(Protocol):
    """One of the two designs."""

    @property
    def name(self) -> str:
        """What it is called in the figures."""

    @property
    def label(self) -> str:
        """What it is, for people."""

    @property
    def queues(self) -> Sequence[str]:
        """The queues it uses."""

    def on(self, stage: Stage) -> AbstractContextManager[Performance]:
        """Return the side on a fresh database, which is dropped at the end."""


def attempts_of(rows: Sequence[Sequence[Any]]) -> list[SettledAttempt]:
    """Return attempts from rows that name the columns in the order of the fields."""
    return [SettledAttempt(*row) for row in rows]
