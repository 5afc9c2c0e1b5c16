"""Requests that change something without a charge or a cancel, with the faults they can meet."""

from collections.abc import Callable
from functools import partial
from hashlib import blake2b

from deploy.sandbox import texts
from deploy.sandbox.bodies import BadBodyError
from deploy.sandbox.calls import Call, Serve
from deploy.sandbox.endings import DOING, DONE, NO_DRAW, CommandEnding, Step, draw
from deploy.sandbox.fates import choose, see_through, settle
from deploy.sandbox.faults import carried, left_waiting, unreached
from deploy.sandbox.parameters import BadParametersError
from deploy.sandbox.replies import LOST, Reply, failed
from deploy.sandbox.settings import EndpointName
from deploy.sandbox.state import Sandbox


def command(name: EndpointName, answer: Callable[[Sandbox, Call], Reply]) -> Serve:
    """Give a command its latency and the faults of `command_rates`."""

    async def serve(sandbox: Sandbox, call: Call) -> Reply:
        settings = sandbox.settings
        subject = _subject(name, call)
        nth = sandbox.census.asked[subject]
        sandbox.census.asked[subject] += 1
        drawn = draw(settings.seed, subject, nth) if settings.draws else NO_DRAW
        step = choose(None, None, settings.command_odds, drawn.ending, plain=DONE)
        sandbox.census.command_endings[step.ending] += 1
        book = sandbox.book

        def do() -> Reply:
            # Of a request from before a reset nothing is to be seen after it.
            return _answered(answer, sandbox, call) if sandbox.book is book else LOST

        fate = settle(step, settings, name, drawn)
        return await see_through(fate, partial(_concluded, sandbox, step, do), do)

    return serve


def _subject(name: str, call: Call) -> str:
    """Tell commands apart by all they say, so that their draws do not hang on their order."""
    digest = blake2b(call.body, digest_size=16).hexdigest()
    return f"{name}\x1f{call.path}\x1f{call.query}\x1f{digest}"


def _answered(answer: Callable[[Sandbox, Call], Reply], sandbox: Sandbox, call: Call) -> Reply:
    try:
        return answer(sandbox, call)
    except BadBodyError as error:
        return failed(error.status, f"{texts.SANDBOX}{error}")
    except BadParametersError as error:
        return failed(400, str(error))


def _concluded(sandbox: Sandbox, step: Step[CommandEnding], do: Callable[[], Reply]) -> Reply:
    if step.ending is CommandEnding.LATE_SUCCESS:
        return left_waiting(step)
    if step.ending in DOING:
        return carried(step.ending, do())
    return unreached(step, sandbox.settings, refusal=texts.REFUSED_BY_PG)
