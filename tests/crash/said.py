"""The lives about what others say: webhooks, commands, and messages that nobody can work."""

from typing import Any

from deploy.sandbox.book import DuplicatePolicy
from deploy.sandbox.records import APPROVED, Order
from shared.billing.events import EventName
from shared.jobs.commands import ConfirmPayment, ReceiveWebhook
from shared.jobs.contracts import COMMAND_QUEUE
from tests.crash.story import Deed, Life, Scenario, after_payment
from tests.simulation import endpoints
from tests.simulation.broker import Message

_BUYER = "buyer-1"


def begin(*steps: object) -> Deed:
    """Return the deed of beginning a subscription whose charges end so."""

    async def deed(life: Life) -> bool:
        if steps:
            life.script(_BUYER, *steps)  # type: ignore[arg-type]
        return await life.subscribe(_BUYER)

    return deed


async def _told(life: Life) -> bool:
    """Have the gateway's webhooks arrive once money has moved."""
    return bool(life.book) and bool(life.merchant.receive_all())


async def _twice(life: Life) -> bool:
    """Have the same webhooks arrive once more."""
    for notice in life.installation.sandbox.webhooks.notices:
        life.merchant.receive(notice)
    return True


async def _forged(life: Life) -> bool:
    """Have webhooks arrive that somebody made up: of nobody's payment, and of one of ours."""
    if not await life.paid():
        return False
    said = {"status": "paid"}
    life.installation.broker.push(ReceiveWebhook(imp_uid="imp_forged", **said))
    uid = life.book[0].order.merchant_uid
    life.installation.broker.push(ReceiveWebhook(imp_uid="imp_other", merchant_uid=uid, **said))
    return True


async def _stranger(life: Life) -> bool:
    """Have a payment made that nobody of ours has asked for, and its webhook arrive."""
    sandbox = life.installation.sandbox
    at = sandbox.clock.now()
    await life.subscribe(_BUYER)
    order = Order(_BUYER, "somebody-elses", 5_000, "다른 주문")
    booked: Any = sandbox.book.charge(
        order, APPROVED, started_at=at, at=at, policy=DuplicatePolicy.NONE
    )
    life.strangers.add(order.merchant_uid)
    life.installation.broker.push(
        ReceiveWebhook(imp_uid=booked.imp_uid, merchant_uid=order.merchant_uid, status="paid")
    )
    return True


async def _say_again(life: Life) -> bool:
    """Say the last command once more."""
    command = list(life.merchant.said.values())[-1]
    life.installation.broker.push(command)
    return True


async def _contradict(life: Life) -> bool:
    """Say something else under the id of the last command."""
    command = list(life.merchant.said.values())[-1]
    life.installation.broker.push(command.model_copy(update={"reason": "다른 이유"}))
    return True


async def _refund(life: Life) -> bool:
    """Ask for a part of the money back."""
    if not await life.paid():
        return False
    life.merchant.refund(1_000, imp_uid=life.book[0].imp_uid)
    return True


async def _refund_nothing(life: Life) -> bool:
    """Ask for money back that was never paid."""
    life.merchant.refund("all", imp_uid="imp_unknown")
    return True


async def _malformed(life: Life) -> bool:
    """Send what keeps no contract."""
    life.installation.broker.put(
        Message("tag-bad", "payment.refund", COMMAND_QUEUE, {"command_id": "bad", "amount": -1})
    )
    return True


async def _confirm_wrongly(life: Life) -> bool:
    """Come back from a window with the payment of another."""
    window = life.window
    if window is None or not await life.paid():
        return False
    life.merchant.windows.clear()
    life.merchant.send(
        ConfirmPayment(
            command_id="wrong",
            imp_uid=life.book[0].imp_uid,
            merchant_uid=window.parameters["merchant_uid"],
        )
    )
    return True


async def _pay_once(life: Life) -> bool:
    """Ask for a single payment."""
    life.merchant.request_payment()
    return True


async def _pay_too_little(life: Life) -> bool:
    """Pay another amount in the window than was asked for, and have it told."""
    window = life.window
    if window is None:
        return False
    life.merchant.windows.clear()
    sandbox = life.installation.sandbox
    order = Order(None, window.parameters["merchant_uid"], 100, "한국사")
    at = sandbox.clock.now()
    booked: Any = sandbox.book._enter(order, APPROVED, None, started_at=at, at=at, usage=None)
    life.strangers.add(order.merchant_uid)
    life.installation.broker.push(
        ReceiveWebhook(imp_uid=booked.imp_uid, merchant_uid=order.merchant_uid, status="paid")
    )
    return True


async def _told_over_http(life: Life) -> bool:
    """Have a merchant's endpoint, which fails now and then, told of a first period."""
    await endpoints.add(life.installation, tuple(EventName))
    return await life.subscribe(_BUYER)


# A message that nobody can work is kept and told each time it is delivered.
_KEPT_AGAIN = dict.fromkeys(("letters", "events"), "its worker died between keeping and its end")

SAID = (
    after_payment("webhook of a payment", [_told]),
    Scenario("webhook before the reply", [begin("lost_reply"), _told]),
    Scenario("webhook twice", [begin("lost_reply"), _told, _twice]),
    after_payment("webhooks forged", [_forged]),
    Scenario("payment of a stranger", [_stranger]),
    after_payment("command said twice", [_refund, _say_again]),
    after_payment("command contradicted", [_refund, _contradict], varies=_KEPT_AGAIN),
    Scenario("command refused", [_refund_nothing]),
    Scenario("message malformed", [_malformed], varies=_KEPT_AGAIN),
    after_payment("confirmation of another payment", [_pay_once, _confirm_wrongly]),
    Scenario("window paid otherwise", [_pay_once, _pay_too_little]),
    Scenario("told over HTTP", [_told_over_http]),
)
