"""The lives in which PortOne collects by itself, at an instant that was reserved ahead."""

from typing import Any

from shared.jobs.life_commands import (
    ChangeSubscription,
    CollectSubscription,
    PauseSubscription,
    ResumeSubscription,
)
from tests.crash.living import PAUSED, asked
from tests.crash.money_back import cancel
from tests.crash.story import Deed, Life, after_payment

_BUYER = "buyer-1"
_RESERVED = (
    "EXISTS (SELECT FROM reservations r WHERE r.subscription_id = s.id AND r.status = 'reserved')"
)
_BY_PORTONE = asked(CollectSubscription, by="reservation")
_BY_US = asked(CollectSubscription, needs=_RESERVED, by="charge")


def _next_charge(*steps: object) -> Deed:
    """Return the deed of a buyer whose next charges end so."""

    async def deed(life: Life) -> bool:
        life.script(_BUYER, *steps)  # type: ignore[arg-type]
        return True

    return deed


def _reserved(*, executed: bool = False) -> Deed:
    """Return the deed of waiting until PortOne holds a reservation, or has executed it."""

    async def deed(life: Life) -> bool:
        timetable = life.installation.sandbox.timetable
        return any(
            bool(each.executed_at) == executed and not each.revoked_at
            for each in timetable.schedules()
        )

    return deed


async def _told(life: Life) -> bool:
    """Wait until the renewal is told of: who ends before that, hears of the end alone."""
    return await life.count("events WHERE name = 'subscription.renewal_upcoming'") > 0


async def _begun(life: Life) -> bool:
    """Wait until the period has begun of which PortOne is still to charge."""
    found = await life.count(
        "payment_attempts WHERE reserved_for IS NOT NULL AND status = 'claimed'"
    )
    return found > 0


async def _revoked_in_console(life: Life) -> bool:
    """Have a person at PortOne's console revoke what is reserved."""
    sandbox = life.installation.sandbox
    return bool(sandbox.timetable.revoke(_BUYER, None, at=sandbox.clock.now()))


def _faulty(**rates: Any) -> Deed:
    """Return the deed of a gateway whose commands go wrong from here on, or no more."""

    async def deed(life: Life) -> bool:
        return life.faults(command_rates=rates)

    return deed


_PAUSE = asked(PauseSubscription, needs=_RESERVED, reason="구매자 요청", requester="customer")
_RESUME = asked(ResumeSubscription, needs=PAUSED)
_OTHER_PRICE = asked(
    ChangeSubscription, needs=_RESERVED, amount=5_000, tax_free=0, requester="customer"
)

RESERVED = (
    after_payment("reserved, paid by PortOne", [_BY_PORTONE], days=34),
    after_payment(
        "reserved, declined, charged by us",
        [_BY_PORTONE, _reserved(), _next_charge("declined")],
        days=40,
    ),
    after_payment("reserved, then by us again", [_BY_PORTONE, _BY_US], days=34),
    after_payment("reserved, then another price", [_BY_PORTONE, _OTHER_PRICE], days=34),
    after_payment(
        "reserved, then ended",
        [_BY_PORTONE, _reserved(), _told, cancel(refund="none")],
        days=34,
    ),
    after_payment(
        "reserved, ended when executed",
        [_BY_PORTONE, _reserved(executed=True), cancel(refund="full")],
        days=34,
        varies={"refunds": "what was executed is read before the end is asked for, or after it"},
    ),
    after_payment(
        "reserved, ended before the hour for charges",
        [_BY_PORTONE, _begun, cancel(refund="none")],
        settings={"charge_hours": "13:00-18:00", "unknown_deadline_s": 1_200.0},
        days=31,
    ),
    after_payment(
        "reserved, paused, never revoked",
        [
            _BY_PORTONE,
            _reserved(),
            _faulty(error_500=1),
            _PAUSE,
            _reserved(executed=True),
            _faulty(),
            _RESUME,
        ],
        settings={"reserve_ahead_days": 0.1},
        days=34,
        varies={"events": "a resumption may tell the period as skipped before it is given back"},
    ),
    after_payment("reserved, then paused", [_BY_PORTONE, _PAUSE, _RESUME], days=34),
    after_payment(
        "reserved, revoked in the console",
        [_BY_PORTONE, _reserved(), _revoked_in_console],
        days=34,
    ),
)
