"""Scripts of endings for single customers and payments, checked on the way in."""

from collections import deque
from typing import Annotated, Any, Generic, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from deploy.sandbox.endings import PACED, WORDED, CommandEnding, Ending, Name, Script, Step
from deploy.sandbox.settings import InvalidInputError, Seconds, explain


class StepInput(BaseModel, Generic[Name]):
    """One ending, by its bare name or as an object with details."""

    model_config = ConfigDict(extra="forbid")

    ending: Name
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
            raise ValueError(f"fail_reason belongs to {self._of_these(WORDED)}")
        if self.retry_after_s is not None and self.ending not in PACED:
            raise ValueError(f"retry_after_s belongs to {self._of_these(PACED)}")
        if self.hang and self.ending != Ending.LATE_SUCCESS:
            raise ValueError("hang belongs to late_success")
        return self

    def _of_these(self, endings: frozenset[str]) -> str:
        return ", ".join(sorted(endings.intersection(type(self.ending))))

    def step(self) -> Step[Name]:
        """Give the step as a value."""
        return Step(self.ending, self.fail_reason, self.delay_s, self.retry_after_s, self.hang)


class BehaviourInput(BaseModel):
    """What a customer's next charges end in, and every one after them."""

    model_config = ConfigDict(extra="forbid")

    script: list[StepInput[Ending]] = []
    then: StepInput[Ending] = StepInput[Ending](ending=Ending.PAID)


class CancelBehaviourInput(BaseModel):
    """What a payment's next cancels end in, and every one after them."""

    model_config = ConfigDict(extra="forbid")

    script: list[StepInput[CommandEnding]] = []
    then: StepInput[CommandEnding] = StepInput[CommandEnding](ending=CommandEnding.DONE)


_BULK = TypeAdapter(dict[str, BehaviourInput])
_CANCEL_BULK = TypeAdapter(dict[str, CancelBehaviourInput])
_KNOWN = "script, then; in a step: ending, fail_reason, delay_s, retry_after_s, hang"


def read_behaviours(value: dict[str, Any]) -> dict[str, Script[Ending]]:
    """Read behaviours by customer_uid.

    Raises:
        InvalidInputError: one of them cannot be; then none is taken.
    """
    try:
        given = _BULK.validate_python(value)
    except ValidationError as error:
        raise InvalidInputError(explain(error, known=_KNOWN)) from None
    return {subject: _script(each.script, each.then) for subject, each in given.items()}


def read_cancel_behaviours(value: dict[str, Any]) -> dict[str, Script[CommandEnding]]:
    """Read behaviours of cancels by imp_uid.

    Raises:
        InvalidInputError: one of them cannot be; then none is taken.
    """
    try:
        given = _CANCEL_BULK.validate_python(value)
    except ValidationError as error:
        raise InvalidInputError(explain(error, known=_KNOWN)) from None
    return {subject: _script(each.script, each.then) for subject, each in given.items()}


def _script(steps: list[StepInput[Name]], then: StepInput[Name]) -> Script[Name]:
    return Script(then.step(), deque(step.step() for step in steps))


def script_view(script: Script[Any]) -> dict[str, Any]:
    """Show what is left of a script."""
    return {
        "script": [_step_view(step) for step in script.steps],
        "then": _step_view(script.then),
    }


def _step_view(step: Step[Any]) -> dict[str, Any]:
    details = {
        "fail_reason": step.fail_reason,
        "delay_s": step.delay_s,
        "retry_after_s": step.retry_after_s,
        "hang": step.hang or None,
    }
    return {"ending": step.ending, **{k: v for k, v in details.items() if v is not None}}
