"""The lives about windows and billing keys."""

from deploy.sandbox.window import Decision
from tests.crash.money_back import answered, reserve
from tests.crash.story import Deed, Life, Scenario, after_payment

_BUYER = "buyer-1"


async def change(life: Life) -> bool:
    """Ask for another means once the first invoice is paid."""
    if not await life.paid():
        return False
    life.merchant.change(_BUYER)
    return True


async def register(life: Life) -> bool:
    """Ask for a registration of somebody new."""
    life.merchant.register("buyer-new")
    return True


async def pay_once(life: Life) -> bool:
    """Ask for a single payment."""
    life.merchant.request_payment(tax_free=1_000)
    return True


def used(
    *, confirms: bool = True, tells: bool = False, decision: Decision = Decision.APPROVE
) -> Deed:
    """Return the deed of a buyer who uses the window, after which browser and webhook speak."""

    async def deed(life: Life) -> bool:
        window = life.window
        if window is None:
            return False
        life.merchant.windows.clear()
        result = life.merchant.use(window, decision)
        if confirms:
            life.merchant.confirm(window, result)
        if tells:
            life.merchant.receive_all()
        return True

    return deed


async def left(life: Life) -> bool:
    """Wait until a window was given up."""
    return await life.count("windows WHERE status = 'expired'") > 0


async def dead_then_changed(life: Life) -> bool:
    """Ask for another means of a buyer whose method is dead."""
    if not await life.count("billing_keys WHERE status = 'dead'"):
        return False
    life.merchant.register(_BUYER)
    return True


async def _key_ends(life: Life) -> bool:
    life.script(_BUYER, "key_ended")
    return await life.subscribe(_BUYER)


async def end(life: Life) -> bool:
    """End the subscription once it is paid."""
    if not await life.paid():
        return False
    life.merchant.cancel(life.ids[0], "now", refund="none")
    return True


async def delete(life: Life) -> bool:
    """Take the key away once nothing is billed with it."""
    if not await life.count("subscriptions WHERE closed_at IS NOT NULL"):
        return False
    life.merchant.delete(_BUYER)
    return True


async def _stubborn(life: Life) -> bool:
    """Have the gateway fail at every command, for long enough that a person is called."""
    return life.faults(command_rates={"error_500": 1})


async def _yields(life: Life) -> bool:
    """Have the gateway work again once a person was called."""
    if not await life.count("dead_letters"):
        return False
    return life.faults(command_rates={})


async def _prepare_fails(life: Life) -> bool:
    """Have the first preparation of a window fail."""
    return life.faults(command_rates={"error_500": 1})


async def _prepare_works(life: Life) -> bool:
    """Have it work again once it has failed."""
    if not await life.count("windows WHERE status = 'requested' AND message IS NOT NULL"):
        return False
    return life.faults(command_rates={})


async def _silent(life: Life) -> bool:
    """Have the gateway answer no question while a window expires."""
    if not life.merchant.windows:
        return False
    life.merchant.windows.clear()
    return life.faults(inquiry_rates={"error_500": 1})


async def _speaks(life: Life) -> bool:
    """Have it answer again once the window was kept open for that."""
    if not await life.count("windows WHERE status = 'ready' AND message IS NOT NULL"):
        return False
    return life.faults(inquiry_rates={})


_QUICK = {"unknown_deadline_s": 1_200.0}

KEYS = (
    after_payment("change, confirmed by the browser", [change, used()]),
    after_payment("change, confirmed by the webhook", [change, used(confirms=False, tells=True)]),
    after_payment("change, confirmed by both", [change, used(tells=True)]),
    after_payment("change, found when it expires", [change, used(confirms=False)]),
    after_payment("change, left", [change, left]),
    after_payment("change, cancelled by the buyer", [change, used(decision=Decision.CANCEL), left]),
    after_payment("change, asked for twice", [change, answered, change, answered, used()]),
    Scenario("registration", [register, used(tells=True)]),
    Scenario("registration after a dead method", [_key_ends, dead_then_changed, used(tells=True)]),
    Scenario("payment in a window", [pay_once, used(tells=True)]),
    Scenario("payment in a window, left", [pay_once, left]),
    Scenario(
        "payment in a window, prepared late", [_prepare_fails, pay_once, _prepare_works, used()]
    ),
    after_payment("window expires while the gateway is silent", [change, _silent, _speaks, left]),
    after_payment("key taken away", [reserve, end, delete]),
    after_payment(
        "key taken away, a person called", [end, delete, _stubborn, _yields], settings=_QUICK
    ),
)
