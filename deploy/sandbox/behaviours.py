"""Scripts of endings for single customers, checked on the way in."""

from collections import deque
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from deploy.sandbox.endings import PACED, WORDED, Ending, Script, Step
from deploy.sandbox.settings import InvalidInputError, Seconds, explain


class StepInput(BaseModel):
    """One ending, by its bare name or as an object with details."""

    model_config = ConfigDict(extra="forbid")

    ending: Ending
    fail_reason: str | None = None
    delay_s: Seconds | None = None
    retry_after_s: Annotated[int, Field(ge=0, le=3600)] | None = None
    hang: bool = False

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        return {"ending": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _only_where_it_means_something(self) -> Self:
        if self.fail_reason is not None and self.ending not in WORDED:
            raise ValueError(f"fail_reason belongs to {_names(WORDED)}")
        if self.retry_after_s is not None and self.ending not in PACED:
            raise ValueError(f"retry_after_s belongs to {_names(PACED)}")
        if self.hang and self.ending is not Ending.LATE_SUCCESS:
            raise ValueError("hang belongs to late_success")
        return self

    def step(self) -> Step:
        """Give the step as a value."""
        return Step(self.ending, self.fail_reason, self.delay_s, self.retry_after_s, self.hang)


class BehaviourInput(BaseModel):
    """What a customer's next charges end in, and every one after them."""

    model_config = ConfigDict(extra="forbid")

    script: list[StepInput] = []
    then: StepInput = StepInput(ending=Ending.PAID)

    def to_script(self) -> Script:
        """Give the behaviour as a script that can be used up."""
        return Script(deque(step.step() for step in self.script), self.then.step())


_BULK = TypeAdapter(dict[str, BehaviourInput])
_KNOWN = "script, then; in a step: ending, fail_reason, delay_s, retry_after_s, hang"


def read_behaviours(value: dict[str, Any]) -> dict[str, Script]:
    """Read behaviours by customer_uid.

    Raises:
        InvalidInputError: one of them cannot be; then none is taken.
    """
    try:
        behaviours = _BULK.validate_python(value)
    except ValidationError as error:
        raise InvalidInputError(explain(error, known=_KNOWN)) from None
    return {customer_uid: behaviour.to_script() for customer_uid, behaviour in behaviours.items()}


def script_view(script: Script) -> dict[str, Any]:
    """Show what is left of a script."""
    return {
        "script": [_step_view(step) for step in script.steps],
        "then": _step_view(script.then),
    }


def _step_view(step: Step) -> dict[str, Any]:
    details = {
        "fail_reason": step.fail_reason,
        "delay_s": step.delay_s,
        "retry_after_s": step.retry_after_s,
        "hang": step.hang or None,
    }
    return {"ending": step.ending, **{k: v for k, v in details.items() if v is not None}}


def _names(endings: frozenset[Ending]) -> str:
    return ", ".join(sorted(endings))
