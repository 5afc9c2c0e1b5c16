"""What narrow climates have happen besides the simulation's mishaps, each under its name."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from deploy.sandbox.book import DuplicatePolicy
from deploy.sandbox.endings import Ending, Script, Step
from deploy.sandbox.records import APPROVED, Order
from scheduler.timetable import SCANS
from shared.billing.merchant_uid import merchant_uid
from shared.jobs.commands import ReceiveWebhook
from shared.jobs.contracts import InquireAttempts, InquireRefunds
from shared.jobs.life_commands import ChangePrice
from tests.simulation.deeds import Deed
from tests.simulation.life import Life
from tests.simulation.living import PRODUCT

# How a payment is called that nobody of ours has asked for.
STRANGERS: Final = "남의 주문"


async def work(life: Life) -> None:
    """Tick for whatever is due, hand out everything that waits, and let it be worked a while."""
    due = life.outlook.due()
    scans = [scan for scan in SCANS if scan in due and due[scan] <= life.now]
    life.installation.tick(SCANS if life.dice.random() < 0.15 else scans)
    for _ in range(3):
        for message in life.installation.broker.everything():
            life.hand_over(message)
        await life.breathe(0.5)


async def work_twice(life: Life) -> None:
    """Have two beats tick at once, and every message come twice."""
    due = life.outlook.due()
    scans = [scan for scan in SCANS if scan in due and due[scan] <= life.now]
    life.installation.tick([*scans, *scans])
    broker, doubled = life.installation.broker, set[str]()
    for _ in range(3):
        # Once each: what nobody has a hand free for would grow without end.
        for message in broker.everything():
            if message.tag not in doubled:
                broker.double(message)
        doubled |= {message.tag for message in broker.everything()}
        for message in broker.everything():
            life.hand_over(message)
        await life.breathe(0.5)


async def seconds(life: Life) -> None:
    """Let some seconds pass."""
    await life.breathe(life.dice.choice((5.0, 12.0, 20.0)))


async def minute(life: Life) -> None:
    """Let a moment pass, up to a minute."""
    await life.breathe(life.dice.choice((5.0, 31.0, 60.0)))


async def minutes(life: Life) -> None:
    """Let pass what a lease takes, or lease and settle delay."""
    await life.breathe(life.dice.choice((125.0, 310.0)))


async def hour(life: Life) -> None:
    """Let a dunning delay pass."""
    await life.breathe(3_700.0)


async def hours(life: Life) -> None:
    """Let a good part of a day pass."""
    await life.breathe(7 * 3_600.0)


async def ask_too_early(life: Life) -> None:
    """Have an inquiry come that no scan of ours would have sent yet."""
    attempts = await life.installation.rows("SELECT id FROM payment_attempts ORDER BY id")
    if attempts:
        ids = (life.dice.choice(attempts).id,)
        life.installation.broker.push(InquireAttempts(attempt_ids=ids))
    refunds = await life.installation.rows("SELECT id FROM refunds ORDER BY id")
    if refunds:
        life.installation.broker.push(InquireRefunds(refund_ids=(life.dice.choice(refunds).id,)))


async def say_paid(life: Life) -> None:
    """Have a webhook come that says of a charge of ours that it is paid, under a made-up id."""
    attempts = await life.installation.rows("SELECT merchant_uid FROM payment_attempts ORDER BY id")
    if attempts:
        uid = life.dice.choice(attempts).merchant_uid
        number = life.dice.randrange(10**9)
        life.installation.broker.push(
            ReceiveWebhook(imp_uid=f"imp_{number}", merchant_uid=uid, status="paid")
        )


async def plant(life: Life) -> None:
    """Have somebody else's payment stand under the name that a charge of ours will have."""
    id_ = life.dice.choice(list(life.agreements))
    uid = merchant_uid(id_, 0, 1)
    book, at = life.installation.sandbox.book, life.installation.sandbox.clock.now()
    if any(payment.order.merchant_uid == uid for payment in book.payments()):
        return
    amount = life.agreements[id_].price.amount + 1
    order = Order(life.customers[id_], uid, amount, STRANGERS)
    booked = book.charge(order, APPROVED, started_at=at, at=at, policy=DuplicatePolicy.NONE)
    life.note(f"planted under {uid}: {booked}")


async def reserve(life: Life) -> None:
    """Have a charge be planned at the gateway, as an older system of the merchant's did."""
    ending = await life.installation.rows(
        "SELECT id FROM subscriptions WHERE cancel_at IS NOT NULL"
    )
    gone = {row.id for row in ending}
    if not (able := [uid for id_, uid in life.customers.items() if id_ not in gone]):
        return
    customer_uid = life.dice.choice(able)
    sandbox = life.installation.sandbox
    number = life.dice.randrange(10**9)
    order = Order(customer_uid, f"reserved{number}", 9_900, "예약")
    sandbox.timetable.add(order, schedule_at=int(sandbox.clock.now()) + 30 * 86_400)


async def cancel_now(life: Life) -> None:
    """End a subscription at once, with the money back."""
    life.merchant.cancel(life.dice.choice(list(life.agreements)), "now", refund="full")


async def refund_part(life: Life) -> None:
    """Ask for parts of payments that look alike."""
    paid = await life.installation.rows("SELECT imp_uid FROM payments ORDER BY id")
    if paid:
        life.merchant.refund(1_000, imp_uid=life.dice.choice(paid).imp_uid)


async def say_twice(life: Life) -> None:
    """Have a command come again that was sent before, whether it was answered or not."""
    if life.merchant.said:
        command = life.dice.choice(list(life.merchant.said.values()))
        life.installation.broker.push(command)


async def change_means(life: Life) -> None:
    """Have a buyer put another means behind the key, from the command to the confirmation."""
    under_way = await life.installation.rows(
        "SELECT DISTINCT k.customer_uid FROM billing_keys k"
        " JOIN payment_attempts a ON a.billing_key_id = k.id"
        " WHERE a.status = 'claimed' ORDER BY 1"
    )
    able = [row.customer_uid for row in under_way] or sorted(set(life.customers.values()))
    customer_uid = life.dice.choice(able)
    life.merchant.change(customer_uid)
    for _ in range(6):
        await work(life)
        life.merchant.hear()
        windows, life.merchant.windows[:] = list(life.merchant.windows), []
        for window in windows:
            life.merchant.confirm(window, life.merchant.use(window))
            life.installation.sandbox.scripts.pop(customer_uid, None)


async def means_expire(life: Life) -> None:
    """Let every buyer's means be refused for good; the keys stay registered."""
    expired = Step(Ending.DECLINED, fail_reason="EXPIRED")
    for customer_uid in sorted(set(life.customers.values())):
        life.installation.sandbox.scripts[customer_uid] = Script(then=expired)


async def cancel_later(life: Life) -> None:
    """End a subscription at the end of its period."""
    life.merchant.cancel(life.dice.choice(list(life.agreements)), "period_end")


async def raise_price(life: Life) -> None:
    """Have the merchant ask for more, from the day after tomorrow on."""
    amount = life.dice.choice((11_000, 13_000, 15_000))
    at = life.now + timedelta(hours=30)
    life.merchant.ask(ChangePrice, product=PRODUCT, amount=amount, effective_at=at)


MISCHIEF: Final[Mapping[str, Deed]] = {
    deed.__name__: deed
    for deed in (
        work,
        work_twice,
        seconds,
        minute,
        minutes,
        hour,
        hours,
        ask_too_early,
        say_paid,
        plant,
        reserve,
        cancel_now,
        refund_part,
        say_twice,
        change_means,
        means_expire,
        cancel_later,
        raise_price,
    )
}
