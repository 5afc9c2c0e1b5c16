"""What every answer of the control API shares: reading input, and refusing it in words."""

from collections.abc import Callable
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError

from deploy.sandbox.bodies import BadBodyError, read_json_object
from deploy.sandbox.calls import Call, Serve
from deploy.sandbox.replies import Reply, control
from deploy.sandbox.settings import InvalidInputError, explain
from deploy.sandbox.state import Sandbox

_DIGITS_MAX: Final = 12

Answer = Callable[[Sandbox, Call], Reply]
Input = TypeVar("Input", bound=BaseModel)


def guarded(answer: Answer) -> Serve:
    """Answer 400 with words to what cannot be."""

    async def serve(sandbox: Sandbox, call: Call) -> Reply:
        try:
            return answer(sandbox, call)
        except (BadBodyError, InvalidInputError) as error:
            return control({"error": str(error)}, status=400)

    return serve


def read_input(model: type[Input], body: bytes) -> Input:
    """Read a body.

    Raises:
        BadBodyError, InvalidInputError: it cannot be.
    """
    try:
        return model.model_validate(read_json_object(body))
    except ValidationError as error:
        raise InvalidInputError(explain(error, known=", ".join(model.model_fields))) from None


def read_count(text: str, name: str) -> int:
    """Read a whole number of a query.

    Raises:
        InvalidInputError: it is none.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX):
        raise InvalidInputError(f"{name}: must be a whole number")
    return int(text)


def refuse_other(query: dict[str, str], known: str) -> None:
    """Refuse what is left of a query once everything known is taken out.

    Raises:
        InvalidInputError: something is left.
    """
    if query:
        raise InvalidInputError(f"{', '.join(query)}: no such filter; known are {known}")
