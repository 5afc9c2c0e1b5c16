"""What merchants, buyers and operators do, each under the name by which it is planned."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from deploy.sandbox.endings import Ending, Script, Step
from deploy.sandbox.records import Status, Usage
from deploy.sandbox.window import Decision
from shared.jobs.commands import ReceiveWebhook
from shared.jobs.contracts import COMMAND_QUEUE, WEBHOOK_QUEUE
from tests.simulation.life import Life
from tests.simulation.living import LIVING
from worker.services import letters
from worker.services.commanding import CommandRefusedError

Deed = Callable[[Life], Awaitable[None]]
# Few amounts, so that two refunds look the same.
_AMOUNTS: Final = (1, 1_000, 1_000, 3_000, "all", "all")
_DECISIONS: Final[Mapping[Decision, int]] = {
    Decision.APPROVE: 8,
    Decision.CANCEL: 1,
    Decision.CLOSE: 1,
    Decision.FAIL: 1,
}
# No message of ours: another program's, or somebody's who knows the broker's address.
_MALFORMED: Final[tuple[tuple[str, str, Mapping[str, Any]], ...]] = (
    ("payment.refund", COMMAND_QUEUE, {"command_id": "bad", "amount": 0}),
    ("payment.refund", COMMAND_QUEUE, {}),
    ("subscription.cancel", COMMAND_QUEUE, {"command_id": "bad", "subscription_id": "nobody"}),
    ("webhook.receive", WEBHOOK_QUEUE, {"imp_uid": "../../etc/passwd", "status": None}),
)


async def refund(life: Life) -> None:
    """Ask for money back: a part, all, or more than there is."""
    paid = await life.installation.rows(
        "SELECT p.imp_uid, p.amount, a.invoice_id FROM payments p"
        " LEFT JOIN payment_attempts a ON a.id = p.attempt_id ORDER BY p.id DESC LIMIT 60"
    )
    if not paid:
        return
    payment = life.dice.choice(paid)
    amount = life.dice.choice((*_AMOUNTS, payment.amount + 1))
    by_invoice = payment.invoice_id is not None and life.dice.random() < 0.5
    named = {"invoice_id": payment.invoice_id} if by_invoice else {"imp_uid": payment.imp_uid}
    for _ in range(life.dice.choice((1, 1, 1, 3))):
        life.merchant.refund(amount, **named)


async def cancel(life: Life) -> None:
    """Ask for the end of a subscription, now or later, and perhaps for the money of it."""
    choice, late = life.dice.choice(("none", "full", "pro_rata")), life.dice.choice((None, "full"))
    wishes = {"late_payment": late} if late else {}
    subscription_id = life.dice.choice(list(life.agreements))
    if life.dice.random() < 0.5:
        life.merchant.cancel(subscription_id, "now", refund=choice, **wishes)
    else:
        life.merchant.cancel(subscription_id, "period_end", **wishes)


async def end_the_daily(life: Life) -> None:
    """Have those subscriptions end that are billed every day."""
    for id_ in _daily(life):
        life.merchant.cancel(id_, "period_end")


def _daily(life: Life) -> list[UUID]:
    return [id_ for id_, uid in life.customers.items() if uid == "customer-daily"]


async def cancel_elsewhere(life: Life) -> None:
    """Give money back in the gateway's console, which only a webhook tells of."""
    paid = [
        payment
        for payment in life.installation.sandbox.book.payments()
        if payment.status is Status.PAID and payment.usage is not Usage.ISSUE
    ]
    if not paid:
        return
    payment = life.dice.choice(paid[-60:])
    left = payment.order.amount - payment.cancel_amount
    amount = life.dice.choice((left, min(left, 1_000)))
    if life.merchant.cancel_at_console(payment, amount, min(amount, payment.order.tax_free)):
        life.elsewhere.setdefault(payment.imp_uid, []).append(amount)
        life.merchant.receive(life.installation.sandbox.webhooks.notices[-1])


async def ask_for_a_key(life: Life) -> None:
    """Ask a buyer for a method, or for another means behind it."""
    customer_uid = life.dice.choice(sorted(set(life.customers.values())))
    life.merchant.dead_keys.clear()
    if life.dice.random() < 0.5:
        life.merchant.change(customer_uid)
    else:
        life.merchant.register(customer_uid)


async def replace_dead_keys(life: Life) -> None:
    """Ask the buyers of dead keys for another method."""
    life.merchant.dead_keys.clear()
    for row in await life.installation.rows(
        "SELECT customer_uid FROM billing_keys WHERE status = 'dead' ORDER BY id"
    ):
        life.merchant.register(row.customer_uid)


async def use_window(life: Life) -> None:
    """Let buyers do something in the windows that they were handed."""
    windows, life.merchant.windows[:] = list(life.merchant.windows), []
    for window in windows:
        decision = life.choose(_DECISIONS)
        result = life.merchant.use(window, decision)
        life.note(f"a window ends: {decision}, {result.error_msg or result.imp_uid}")
        # Of what happens in a window that is not waited for any longer, only the browser tells.
        is_late = life.now > window.expires_at - timedelta(minutes=3)
        if is_late or life.dice.random() < 0.7:
            life.merchant.confirm(window, result)
        else:
            life.untold.append((window, result))


async def pay_once(life: Life) -> None:
    """Ask a buyer to pay once."""
    life.merchant.request_payment(life.dice.choice((14_000, 9_900)), life.dice.choice((0, 900)))


async def delete_key(life: Life) -> None:
    """Ask for a key to be taken away; one that is in use is kept, and said to be."""
    life.merchant.delete(life.dice.choice(sorted(set(life.customers.values()))))


async def key_dies(life: Life) -> None:
    """Let a buyer end a registration at Naver."""
    customer_uid = life.dice.choice(sorted(set(life.customers.values())))
    life.installation.sandbox.book.end_key(customer_uid)
    life.note(f"the key of {customer_uid} ends")


async def balance_goes(life: Life) -> None:
    """Let some buyers have no balance."""
    for customer_uid in life.dice.sample(sorted(set(life.customers.values())), 3):
        script = Script(then=Step(Ending.DECLINED))
        life.installation.sandbox.scripts[customer_uid] = script


async def balance_comes(life: Life) -> None:
    """Let every buyer have a balance again."""
    life.installation.sandbox.scripts.clear()


async def forge(life: Life) -> None:
    """Have a webhook come that somebody made up."""
    life.merchant.receive_forged(life.dice)


async def forge_of_ours(life: Life) -> None:
    """Have a webhook come of a true payment that says what is not."""
    payments = list(life.installation.sandbox.book.payments())
    if payments:
        payment = life.dice.choice(payments[-60:])
        life.installation.broker.push(
            ReceiveWebhook(imp_uid=payment.imp_uid, merchant_uid="forged", status="cancelled")
        )


async def send_nonsense(life: Life) -> None:
    """Send a message that keeps no contract."""
    task, queue, kwargs = life.dice.choice(_MALFORMED)
    life.merchant.push_raw(task, queue, kwargs)


async def requeue_letters(life: Life) -> None:
    """Have an operator take up what waits for a person."""
    settle_delay = life.installation.settings.leases.settle_delay
    for row in await life.installation.rows(
        "SELECT id FROM dead_letters WHERE resolved_at IS NULL ORDER BY id"
    ):
        await _requeue(life, row.id, settle_delay)


async def _requeue(life: Life, letter_id: int, settle_delay: Any) -> None:
    published: list[letters.Parcel] = []

    async def work(connection: AsyncConnection) -> None:
        parcel = await letters.requeue(connection, letter_id, settle_delay, life.now)
        if parcel is not None:
            published.append(parcel)

    try:
        await life.installation.host.database.run(work)
    except CommandRefusedError as refused:
        life.note(f"letter {letter_id} stays: {refused}")
    for parcel in published:
        life.merchant.push_raw(parcel.task, parcel.queue, dict(parcel.kwargs))


async def say_again(life: Life) -> None:
    """Have the merchant say again what was not answered."""
    life.merchant.say_again()


async def revoke_tokens(life: Life) -> None:
    """Let the gateway forget every token."""
    life.installation.sandbox.tokens.revoke()


DEEDS: Final[Mapping[str, Deed]] = {
    deed.__name__: deed
    for deed in (
        refund,
        cancel,
        end_the_daily,
        cancel_elsewhere,
        ask_for_a_key,
        replace_dead_keys,
        use_window,
        pay_once,
        delete_key,
        key_dies,
        balance_goes,
        balance_comes,
        forge,
        forge_of_ours,
        send_nonsense,
        requeue_letters,
        say_again,
        revoke_tokens,
        *LIVING,
    )
}
