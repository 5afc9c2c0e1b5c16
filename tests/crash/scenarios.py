"""The lives: charges and what becomes of them. Those about money back and keys stand beside."""

from dataclasses import replace

from shared.billing.money import Price
from tests.crash.books import BOOKS
from tests.crash.foreseen import FORESEEN
from tests.crash.keys import KEYS
from tests.crash.living import LIVING
from tests.crash.money_back import MONEY_BACK
from tests.crash.reserved import RESERVED
from tests.crash.said import SAID
from tests.crash.story import Deed, Life, Scenario
from tests.crash.watched import WATCHED

_BUYER = "buyer-1"
_LATE = {"ending": "late_success", "delay_s": 100}


def charged(*steps: object, then: str = "paid", more: int = 0) -> Deed:
    """Return the deed of a buyer whose charges end so, and of others who pay."""

    async def deed(life: Life) -> bool:
        life.script(_BUYER, *steps, then=then)  # type: ignore[arg-type]
        others = [f"buyer-{number}" for number in range(2, 2 + more)]
        return await life.subscribe(_BUYER, *others)

    return deed


async def _for_nothing(life: Life) -> bool:
    """Begin a subscription that costs nothing, and one that costs less than may be charged."""
    await life.subscribe("free", price=Price(0))
    return await life.subscribe("cheap", price=Price(5))


async def _token_ends(life: Life) -> bool:
    """End the token once the first buyer has paid, and begin another subscription."""
    if not await life.paid():
        return False
    life.installation.sandbox.tokens.revoke()
    return await life.subscribe("buyer-2")


async def _key_ends(life: Life) -> bool:
    """Have the buyer's method gone at the gateway when it is charged."""
    life.script(_BUYER, "key_ended")
    return await life.subscribe(_BUYER)


async def _silent(life: Life) -> bool:
    """Have the gateway answer no question about a charge whose reply is lost."""
    life.script(_BUYER, "lost_reply")
    life.faults(inquiry_rates={"error_500": 1})
    return await life.subscribe(_BUYER)


# One more try, after an hour: every step of dunning, and its end.
_ONCE_MORE = {"dunning_delays_s": (3_600.0,)}
_CANCELS = {**_ONCE_MORE, "dunning_terminal_action": "cancel"}
_SOON = {"unknown_deadline_s": 1_200.0}

CHARGES = (
    Scenario("charge paid", [charged()]),
    Scenario("charge declined, then paid", [charged("declined")], days=3),
    Scenario("charge declined out", [charged(then="declined")], settings=_ONCE_MORE),
    Scenario(
        "charge declined out, then ended",
        [charged(then="declined")],
        settings=_CANCELS,
    ),
    Scenario("method dead", [_key_ends]),
    Scenario("reply lost, paid", [charged("lost_reply")]),
    Scenario("request lost, sent again", [charged("lost_request")]),
    Scenario(
        "request lost, paid ones refused again",
        [charged("lost_request")],
        sandbox={"duplicate_policy": "refused_if_paid"},
    ),
    Scenario(
        "reply lost, every merchant_uid burnt",
        [charged("error_500", "lost_reply")],
        sandbox={"duplicate_policy": "never_reusable"},
    ),
    Scenario("reply lost, booked late", [charged(_LATE)]),
    Scenario("reply lost, declined", [charged("error_500", "declined")], days=3),
    Scenario("gateway silent, a person called", [_silent], settings=_SOON),
    Scenario("token refused", [charged("unauthorized")]),
    Scenario("token ended between", [charged(), _token_ends]),
    Scenario("throttled", [charged({"ending": "throttled", "retry_after_s": 30})]),
    Scenario("maintenance", [charged("maintenance")]),
    Scenario("hold", [charged("unauthorized", "unauthorized")]),
    Scenario("request refused as faulty", [charged("bad_request")]),
    Scenario("batch of three", [charged("declined", more=2)], days=3),
    Scenario(
        "batch in two messages", [charged("lost_reply", more=2)], settings={"charge_batch_size": 2}
    ),
    Scenario("nothing to charge", [_for_nothing]),
    Scenario("two periods", [charged()], days=32),
)

# What others pass as well, step for step: lived in the whole proof only.
_SELDOM = frozenset(
    {
        "batch in two messages",
        "cancelled in the console meanwhile",
        "cancelled in the console, then all the rest",
        "change, asked for twice",
        "change, cancelled by the buyer",
        "change, confirmed by both",
        "change, confirmed by the webhook",
        "charge declined out, then ended",
        "charge declined, then paid",
        "charge, then refund of a part",
        "command said twice",
        "confirmation of another payment",
        "end at once, all back",
        "end at once, nothing back",
        "end while a charge waits",
        "end with a charge never arrived",
        "maintenance",
        "payment in a window, left",
        "refund in two parts",
        "refund of all",
        "refund throttled",
        "refund, done late",
        "registration",
        "reply lost, declined",
        "reply lost, every merchant_uid burnt",
        "request lost, paid ones refused again",
        "request refused as faulty",
        "throttled",
        "token ended between",
        "two periods",
        "webhook twice",
        "another interval at once",
        "change at once, prorated",
        "change at the renewal",
        "credit and discount",
        "declined, tried again by the buyer",
        "dunning switched off, then on",
        "end withdrawn",
        "end, and back again",
        "pause from the next renewal on",
        "pause that keeps the calendar, resumed",
        "pause that keeps the time, resumed by itself",
        "price change, agreed to",
        "price change, not agreed to, ended",
        "start with a setup to be paid",
        "trial, agreed to",
        "reserved, then another price",
        "reserved, then by us again",
        "reserved, then ended",
        "reserved, revoked in the console",
    }
)
SCENARIOS: tuple[Scenario, ...] = tuple(
    replace(one, often=one.name not in _SELDOM)
    for one in (
        *CHARGES,
        *MONEY_BACK,
        *KEYS,
        *SAID,
        *LIVING,
        *RESERVED,
        *BOOKS,
        *FORESEEN,
        *WATCHED,
    )
)
