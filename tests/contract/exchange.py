"""Our client and a sandbox in one process, without a socket between them; what passes is kept."""

from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretStr

from deploy.sandbox.calls import Call
from deploy.sandbox.records import BillingKey
from deploy.sandbox.replies import Reply
from deploy.sandbox.state import Sandbox
from deploy.sandbox.tokens import TokenDesk
from tests.contract.validation import Request, operation_of
from tests.support.in_process import InProcess
from worker.gateway.client import PortOne
from worker.gateway.settings import GatewaySettings

IMP_KEY, IMP_SECRET = "contract-key", "contract-secret"


@dataclass(frozen=True, slots=True)
class Passage:
    """A request of our client and the sandbox's reply to it."""

    request: Request
    status: int
    reply: bytes

    @property
    def operation(self) -> str:
        """The operation that it was, as the table calls it."""
        found = operation_of(self.request.method, self.request.path)
        assert found is not None, self.request
        return found.name


@dataclass
class Exchange:
    """What passes between a client and a sandbox."""

    sandbox: Sandbox = field(default_factory=lambda: Sandbox(TokenDesk(IMP_KEY, IMP_SECRET)))
    passages: list[Passage] = field(default_factory=list)

    def holds(self, customer_uid: str) -> None:
        """Have the sandbox hold a billing key."""
        now = self.sandbox.clock.now()
        self.sandbox.book.register(BillingKey(customer_uid, inserted_at=now, updated_at=now))

    def client(self, **settings: Any) -> PortOne:
        """Return a client whose requests pass here."""
        given: dict[str, Any] = {
            "base_url": "http://127.0.0.1:9",
            "imp_key": SecretStr(IMP_KEY),
            "imp_secret": SecretStr(IMP_SECRET),
            **settings,
        }
        transport = InProcess(self.sandbox, after=self._keep)
        return PortOne(GatewaySettings(**given), transport=transport)

    def _keep(self, method: str, call: Call, reply: Reply) -> None:
        sent = Request(method, call.path, call.query, call.content_type, call.body)
        self.passages.append(Passage(sent, reply.status, reply.body))
