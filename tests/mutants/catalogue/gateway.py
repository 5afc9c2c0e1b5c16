"""What the gateway's client concludes from replies, and from their absence."""

from tests.mutants import shows
from tests.mutants.mutant import Change, Mutant

_FAILURES = "worker/gateway/failures.py"
_OUTCOMES = "worker/gateway/outcomes.py"
_SENDS = "worker/gateway/sends.py"
_INQUIRY = "shared/billing/inquiry.py"

GATEWAY = (
    Mutant(
        name="client_retries_the_charge",
        thought="HTTP clients retry a broken connection; that is what retries are for",
        changes=(
            Change(
                _SENDS,
                "        reply = await self._post(token)\n        if reply",
                "        try:\n"
                "            reply = await self._post(token)\n"
                "        except httpx.TransportError:\n"
                "            reply = await self._post(token)\n"
                "        if reply",
            ),
            Change(_SENDS, "import asyncio\n", "import asyncio\n\nimport httpx\n"),
        ),
        shows=(shows.PAID_TWICE,),
        climate="storm, none refused",
        lives=3,
    ),
    Mutant(
        name="server_error_is_not_sent",
        thought="a 5xx means that the gateway did nothing: send it again",
        changes=(
            Change(
                _OUTCOMES,
                '        return Unknown(f"HTTP {status_code}")\n    match read(body):',
                '        return NotSent(f"HTTP {status_code}")\n    match read(body):',
            ),
            Change(
                _OUTCOMES,
                "    Misconfigured,\n    Outcome,",
                "    Misconfigured,\n    NotSent,\n    Outcome,",
            ),
        ),
        shows=(shows.PAID_TWICE,),
        climate="storm, none refused",
        lives=3,
    ),
    Mutant(
        name="read_timeout_is_not_sent",
        thought="a time-out means that it did not get through: send it again",
        changes=(
            Change(
                _FAILURES,
                "    sign = sign_of(error)\n    if bytes_may_have_left",
                "    sign = sign_of(error)\n"
                "    if isinstance(error, TotalTimeout) or sign is Sign.AFTER:\n"
                "        return NotSent(cause)\n"
                "    if bytes_may_have_left",
            ),
        ),
        shows=(shows.PAID_TWICE,),
        climate="storm, none refused",
        lives=3,
        guards="both signs, the failure's name and the record of the departure: either suffices",
    ),
    Mutant(
        name="amount_not_compared",
        thought="the record has our order id, so it is our payment",
        changes=(
            Change(
                _INQUIRY,
                "    if record.amount != expected.amount:\n",
                "    if record.amount < 0:\n",
            ),
        ),
        shows=(shows.LEDGER,),
        climate="strangers",
        lives=8,
    ),
    Mutant(
        name="dead_method_is_a_decline",
        thought="whatever the gateway refuses is a decline",
        changes=(
            Change(
                _OUTCOMES,
                "    (texts.UNREGISTERED, MethodDead),\n",
                "    (texts.UNREGISTERED, Declined),\n",
            ),
        ),
        shows=(shows.NEW_NUMBER,),
        climate="keys that end",
        lives=2,
    ),
    Mutant(
        name="duplicate_is_a_decline",
        thought="refused is refused: the next attempt gets the next number",
        changes=(
            Change(
                "shared/billing/collection.py",
                '    """Return what follows from the ending of a send."""\n    match outcome:\n',
                '    """Return what follows from the ending of a send."""\n'
                "    if isinstance(outcome, Duplicate):\n"
                "        outcome = Declined(outcome.message)\n"
                "    match outcome:\n",
            ),
        ),
        shows=(shows.PAID_TWICE,),
        climate="hidden",
        lives=3,
    ),
)
