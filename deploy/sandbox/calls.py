"""A request once the HTTP around it is gone, and the endpoints that can take it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from deploy.sandbox.replies import Reply
from deploy.sandbox.state import Sandbox


@dataclass(frozen=True, slots=True)
class Call:
    """What was asked: path parameters decoded, query and body as they came."""

    path: str
    parameters: dict[str, str]
    query: str = ""
    content_type: str = ""
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    def query_values(self) -> dict[str, str]:
        """Read the query; of a name given twice the last value counts."""
        parsed = parse_qs(self.query, keep_blank_values=True)
        return {name: values[-1] for name, values in parsed.items()}

    def query_list(self, name: str) -> list[str]:
        """Read every value that the query gives to a name, in order and each once."""
        values = parse_qs(self.query, keep_blank_values=True).get(name, ())
        return list(dict.fromkeys(value for value in values if value))


Serve = Callable[[Sandbox, Call], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method and path; a path step in braces is a parameter.

    Attributes:
        name: How settings and counts call it; None for the control API.
        needs_token: Whether a call without a live access token is answered 401.
    """

    method: str
    path: str
    serve: Serve
    name: str | None = None
    needs_token: bool = True
