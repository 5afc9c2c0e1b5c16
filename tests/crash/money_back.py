"""The lives in which money goes back, or a subscription ends."""

from typing import Any

from tests.crash.story import Deed, Life, Scenario, after_payment

_BUYER = "buyer-1"


async def begin(life: Life) -> bool:
    """Begin a subscription."""
    return await life.subscribe(_BUYER)


def refund(amount: int | str, *endings: object, **named: Any) -> Deed:
    """Return the deed of asking for money back, of a payment whose cancellations end so."""

    async def deed(life: Life) -> bool:
        if not await life.paid():
            return False
        payment = life.book[0]
        if endings:
            life.script_cancels(payment.imp_uid, *endings)  # type: ignore[arg-type]
        life.merchant.refund(amount, **{"imp_uid": payment.imp_uid, **named})
        return True

    return deed


async def answered(life: Life) -> bool:
    """Wait until the last command was heard of."""
    return not life.merchant.unanswered


async def _adopted(life: Life) -> bool:
    """Wait until it is known that something was cancelled elsewhere."""
    return await life.count("payments WHERE cancelled_amount > 0") > 0


def at_console(amount: int, *, while_under_way: bool = False) -> Deed:
    """Return the deed of cancelling in the gateway's console, and of its webhook."""

    async def deed(life: Life) -> bool:
        if while_under_way and not await life.count(
            "refunds WHERE status IN ('claimed', 'unknown')"
        ):
            return False
        if not await life.paid():
            return False
        life.cancel_at_console(life.book[0], amount)
        return bool(life.merchant.receive_all())

    return deed


# Whether a charge had left when the process died decides whether there is money to give back, and
# the rows and events of it.
_SENT_OR_NOT = dict.fromkeys(
    ("invoices", "payments", "refunds", "events"), "the charge may never have been sent"
)


# A refusal that nobody heard moved nothing, so it is sent again and done; one that is heard after a
# send was lost is for a person.
_REFUSED_OR_NOT = dict.fromkeys(
    ("payments", "refunds", "letters", "events"), "the refusal may not have been heard"
)


async def _silent(life: Life) -> bool:
    """Have the gateway answer no question."""
    return life.faults(inquiry_rates={"error_500": 1})


def cancel(when: str = "now", **wishes: Any) -> Deed:
    """Return the deed of ending a subscription that has been paid for."""

    async def deed(life: Life) -> bool:
        if not await life.paid():
            return False
        life.merchant.cancel(life.ids[0], when, **wishes)
        return True

    return deed


def cancel_while(status: str, **wishes: Any) -> Deed:
    """Return the deed of ending a subscription of which an attempt is under way."""

    async def deed(life: Life) -> bool:
        if not await life.count(f"payment_attempts WHERE status IN ('claimed', '{status}')"):
            return False
        life.merchant.cancel(life.ids[0], "now", **wishes)
        return True

    return deed


def charged(*steps: object) -> Deed:
    """Return the deed of a buyer whose charges end so."""

    async def deed(life: Life) -> bool:
        life.script(_BUYER, *steps)  # type: ignore[arg-type]
        return await life.subscribe(_BUYER)

    return deed


async def reserve(life: Life) -> bool:
    """Plan a charge at the gateway by another way than ours."""
    sandbox = life.installation.sandbox
    if not await life.paid():
        return False
    order = life.book[0].order
    at = int(sandbox.clock.now()) + 86_400 * 400
    sandbox.timetable.add(order, schedule_at=at)
    return True


_LOST = "lost_reply"

MONEY_BACK = (
    Scenario("charge, then refund of a part", [begin, refund(3_000)]),
    after_payment("refund of a part", [refund(3_000)]),
    after_payment("refund of all", [refund("all")]),
    after_payment("refund in two parts", [refund(3_000), answered, refund(4_000, tax_free=0)]),
    after_payment("refund, reply lost", [refund(3_000, _LOST)]),
    after_payment("refund, request lost", [refund(3_000, "lost_request")]),
    after_payment("refund, done late", [refund("all", {"ending": "late_success", "delay_s": 100})]),
    after_payment("refund refused", [refund(3_000, "refused")], varies=_REFUSED_OR_NOT),
    after_payment("refund throttled", [refund(3_000, "throttled")]),
    after_payment(
        "refund, gateway silent",
        [refund(3_000, _LOST), answered, _silent],
        settings={"unknown_deadline_s": 1_200.0},
    ),
    after_payment("cancelled in the console", [at_console(2_000)]),
    after_payment(
        "cancelled in the console, then all the rest", [at_console(2_000), _adopted, refund("all")]
    ),
    after_payment(
        "cancelled in the console meanwhile",
        [refund(3_000, "lost_request"), at_console(2_000, while_under_way=True)],
    ),
    after_payment("end at once, nothing back", [cancel(refund="none")]),
    after_payment("end at once, pro rata", [cancel(refund="pro_rata")]),
    after_payment("end at once, all back", [cancel(refund="full")]),
    after_payment("end with the period", [cancel("period_end")], days=35),
    Scenario(
        "end with a charge in flight",
        [charged(_LOST), cancel_while("unknown")],
        varies=_SENT_OR_NOT,
    ),
    Scenario(
        "end with a charge never arrived",
        [charged("lost_request"), cancel_while("unknown")],
        settings={"unknown_deadline_s": 1_200.0},
        varies=_SENT_OR_NOT,
    ),
    Scenario(
        "end while a charge waits",
        [charged({"ending": "throttled", "retry_after_s": 600}), cancel_while("waiting")],
        varies=_SENT_OR_NOT,
    ),
    after_payment("end with a reservation", [reserve, cancel(refund="none")]),
)
