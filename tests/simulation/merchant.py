"""The world that an installation serves: a merchant's commands, buyers in windows, webhooks.

The merchant speaks in messages and hears events, as any program would; what it does not hear of it
says again, under the same ``command_id``. Buyers use the sandbox's own windows.
"""

import itertools
import random
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from deploy.sandbox.console import ConsoleCancelInput
from deploy.sandbox.naver import CARDS
from deploy.sandbox.records import BillingKey, Payment
from deploy.sandbox.refunds import CancelOrder, CancelRefusal
from deploy.sandbox.refunds import Requester as SandboxRequester
from deploy.sandbox.webhooks import Notice
from deploy.sandbox.window import Answer, Decision, decide, open_window
from deploy.sandbox.window_desk import Result
from deploy.sandbox.window_request import Mode
from shared.billing.subscription import Agreement, Buyer
from shared.db import subscriptions
from shared.db.outbox import StoredEvent
from shared.jobs.command import Command
from shared.jobs.commands import (
    CancelSubscription,
    ChangeBillingKey,
    ConfirmBillingKey,
    ConfirmPayment,
    DeleteBillingKey,
    Product,
    ReceiveWebhook,
    RefundPayment,
    RegisterBillingKey,
    RequestPayment,
)
from tests.simulation.broker import Message
from tests.simulation.installation import Installation

REASON = "구매자 요청"
# What a person in the console writes; by the same words nobody could tell it from ours.
CONSOLE_REASON = "관리자 직권 취소"
BUYER = Buyer("홍길동", "buyer@example.com", "010-1234-5678")
_BOOK = Product(
    category_type="BOOK", category_id="GENERAL", uid="107922211", name="한국사", count=1
)
_HANDED_OUT = frozenset(
    {
        "billing_key.registration_requested",
        "billing_key.change_requested",
        "payment.requested",
    }
)
_ANSWERS = frozenset({"command.done", "command.refused", "command.parked"})


@dataclass(frozen=True, slots=True)
class OpenWindow:
    """A window that we handed out, as the merchant's page would open it.

    Attributes:
        customer_uid: Whose method it registers; None where it pays once.
        expires_at: Until when it is waited for.
    """

    parameters: Mapping[str, Any]
    customer_uid: str | None
    expires_at: datetime


@dataclass(eq=False, slots=True)
class Merchant:
    """A shop with its buyers.

    Attributes:
        said: Every command, by its id.
        unanswered: Ids of those whose result was not heard yet, in the order they were sent.
        windows: What was handed out and nobody opened yet.
        dead_keys: Ids of billing keys that were told dead, and for which nobody was asked yet.
        heard: How many of the told events were read.
    """

    installation: Installation
    said: dict[str, Command] = field(default_factory=dict)
    unanswered: dict[str, None] = field(default_factory=dict)
    windows: list[OpenWindow] = field(default_factory=list)
    dead_keys: list[int] = field(default_factory=list)
    heard: int = 0
    _noticed: int = 0
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    # Subscriptions.

    async def subscribe(self, agreements: Sequence[tuple[str, Agreement]]) -> list[uuid.UUID]:
        """Have buyers registered at the gateway and subscriptions added; return their ids."""
        sandbox = self.installation.sandbox
        new = []
        for customer_uid, agreement in agreements:
            if sandbox.book.key(customer_uid) is None:
                at = sandbox.clock.now()
                sandbox.book.register(BillingKey(customer_uid, inserted_at=at, updated_at=at))
            id_ = uuid.UUID(int=next(self._numbers))
            new.append(subscriptions.NewSubscription(id_, customer_uid, BUYER, agreement))
        now = self.installation.now
        await self.installation.host.database.run(
            lambda connection: subscriptions.add(connection, new, now)
        )
        return [item.id for item in new]

    # Commands.

    def send(self, command: Command) -> Command:
        """Publish a command, and remember that its result is to be heard."""
        self.said[command.command_id] = command
        self.unanswered[command.command_id] = None
        self.installation.broker.push(command)
        return command

    def ask(self, contract: type[Command], **given: Any) -> Command:
        """Publish a command of a kind, under an id of its own."""
        return self.send(contract(command_id=self._id(contract.task), **given))

    def say_again(self) -> int:
        """Publish once more whatever was not answered; return how much that is."""
        for command_id in self.unanswered:
            self.installation.broker.push(self.said[command_id])
        return len(self.unanswered)

    def refund(self, amount: int | str, **named: Any) -> Command:
        """Ask for money to be given back, of a payment ``named`` by imp_uid or by invoice_id."""
        given: dict[str, Any] = {"reason": REASON, "requester": "customer", "amount": amount}
        return self.send(RefundPayment(command_id=self._id("refund"), **{**given, **named}))

    def cancel(self, subscription_id: uuid.UUID, when: str, **wishes: Any) -> Command:
        """Ask for a subscription to end."""
        given: dict[str, Any] = {"reason": REASON, "requester": "customer", "when": when}
        return self.send(
            CancelSubscription(
                command_id=self._id("cancel"),
                subscription_id=subscription_id,
                **{**given, **wishes},
            )
        )

    def register(self, customer_uid: str, amount: int = 9_900) -> Command:
        """Ask for a window in which a buyer registers a method."""
        return self._ask_for_key(RegisterBillingKey, "register", customer_uid, amount)

    def change(self, customer_uid: str, amount: int = 9_900) -> Command:
        """Ask for a window in which a buyer puts another means behind the key."""
        return self._ask_for_key(ChangeBillingKey, "change", customer_uid, amount)

    def _ask_for_key(
        self,
        contract: type[RegisterBillingKey | ChangeBillingKey],
        word: str,
        customer_uid: str,
        amount: int,
    ) -> Command:
        return self.send(
            contract(
                command_id=self._id(word),
                customer_uid=customer_uid,
                order_name="슬림 요금제",
                amount=amount,
                buyer_tel=BUYER.tel,
            )
        )

    def delete(self, customer_uid: str) -> Command:
        """Ask for a key to be taken away."""
        return self.send(
            DeleteBillingKey(
                command_id=self._id("delete"),
                customer_uid=customer_uid,
                reason=REASON,
                requester="customer",
            )
        )

    def request_payment(self, amount: int = 14_000, tax_free: int = 0) -> Command:
        """Ask for a window in which a buyer pays once."""
        return self.send(
            RequestPayment(
                command_id=self._id("pay"),
                order_name="한국사",
                amount=amount,
                tax_free=tax_free,
                products=(_BOOK,),
                buyer_tel=BUYER.tel,
            )
        )

    def confirm(self, window: OpenWindow, result: Result) -> Command | None:
        """Come back from a window with what the buyer's browser says, if it says anything."""
        if result.imp_uid is None or result.merchant_uid is None:
            return None
        contract = ConfirmPayment if window.customer_uid is None else ConfirmBillingKey
        return self.send(
            contract(
                command_id=self._id("confirm"),
                imp_uid=result.imp_uid,
                merchant_uid=result.merchant_uid,
            )
        )

    def asked_of(self, window: OpenWindow) -> int:
        """Return how many windows were asked for the key of this one; 0 for a payment's."""
        asked = [getattr(command, "customer_uid", None) for command in self.said.values()]
        return 0 if window.customer_uid is None else asked.count(window.customer_uid)

    def _id(self, word: str) -> str:
        return f"{word}-{next(self._numbers)}"

    # Events.

    def hear(self) -> Sequence[StoredEvent]:
        """Read what was told since the last time, and note what it asks the merchant to do."""
        told = self.installation.broker.stream[self.heard :]
        self.heard += len(told)
        for event in told:
            data: Mapping[str, Any] = event.data
            if event.name in _ANSWERS:
                self.unanswered.pop(data["command_id"], None)
            elif event.name in _HANDED_OUT:
                self.windows.append(self._window(data))
            elif event.name == "billing_key.dead":
                self.dead_keys.append(data["invoice_id"])
        return told

    def _window(self, data: Mapping[str, Any]) -> OpenWindow:
        command = self.said[data["command_id"]]
        customer_uid: str | None = getattr(command, "customer_uid", None)
        people = {"buyer_tel": BUYER.tel, "buyer_name": BUYER.name}
        if customer_uid is not None:
            people["customer_uid"] = customer_uid
        expires_at = datetime.fromisoformat(data["expires_at"])
        return OpenWindow({**data["parameters"], **people}, customer_uid, expires_at)

    # Buyers.

    def use(
        self,
        window: OpenWindow,
        decision: Decision = Decision.APPROVE,
        account: str | None = None,
        card: str = "shinhan",
    ) -> Result:
        """Open a window at the gateway and end it as the buyer decides."""
        sandbox = self.installation.sandbox
        opened = open_window(sandbox, dict(window.parameters), mode=Mode.POPUP)
        # Every buyer has an account at Naver of their own.
        account = account or f"naver-{window.customer_uid or 'guest'}"
        failure = ("F400", "한도 초과") if decision is Decision.FAIL else ("", "")
        return decide(sandbox, opened, Answer(decision, account, CARDS[card], *failure))

    def cancel_at_console(self, payment: Payment, amount: int = 0, tax_free: int = 0) -> bool:
        """Give money back in the gateway's console; an amount of 0 is all that is left."""
        sandbox = self.installation.sandbox
        given = ConsoleCancelInput(
            imp_uid=payment.imp_uid, amount=amount, tax_free=tax_free, reason=CONSOLE_REASON
        )
        wanted = CancelOrder(**given.model_dump(), requester=SandboxRequester.ADMIN)
        booked = sandbox.book.cancel(wanted, at=sandbox.clock.now())
        if isinstance(booked, CancelRefusal):
            return False
        sandbox.webhooks.payment(booked, cancellation_id=booked.cancels[-1].cancellation_id)
        return True

    # Webhooks.

    def notices(self) -> Sequence[Notice]:
        """Return the webhooks that were due since the last time."""
        due = self.installation.sandbox.webhooks.notices[self._noticed :]
        self._noticed += len(due)
        return due

    def receive(self, notice: Notice) -> Message:
        """Have a webhook arrive, as the receiver passes it on; return its message."""
        return self.installation.broker.push(ReceiveWebhook.model_validate(notice.body))

    def tell_again(self, imp_uid: str) -> None:
        """Have the gateway's console send the last webhook of a cancelled payment again."""
        (payment,) = (
            payment
            for payment in self.installation.sandbox.book.payments()
            if payment.imp_uid == imp_uid
        )
        self.installation.broker.push(
            ReceiveWebhook(
                imp_uid=imp_uid,
                merchant_uid=payment.order.merchant_uid,
                status=str(payment.status),
                cancellation_id=str(payment.cancels[-1].cancellation_id),
            )
        )

    def receive_all(self) -> int:
        """Have every webhook arrive that was due since the last time; return how many."""
        due = self.notices()
        for notice in due:
            self.receive(notice)
        return len(due)

    def push_raw(self, task: str, queue: str, kwargs: Mapping[str, object]) -> Message:
        """Send what need not be a message of ours."""
        message = Message(f"raw-{next(self._numbers)}", task, queue, kwargs)
        self.installation.broker.put(message)
        return message

    def receive_forged(self, dice: random.Random) -> None:
        """Have a webhook arrive that somebody made up."""
        number = dice.randrange(10**9)
        merchant_uid = dice.choice([f"forged{number}", None])
        self.installation.broker.push(
            ReceiveWebhook(imp_uid=f"imp_{number}", merchant_uid=merchant_uid, status="paid")
        )
