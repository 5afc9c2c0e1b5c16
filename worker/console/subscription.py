"""`dalmada subscription`: agreements added, listed, shown and ended."""

from datetime import datetime
from typing import TYPE_CHECKING
from uuid import uuid4

import typer

from shared.billing.calendar import Interval
from shared.billing.cancellation import CancelWhen, RefundChoice
from shared.billing.errors import BillingError
from shared.billing.reserving import CollectBy
from shared.billing.subscription import Buyer
from shared.clock import WallClock
from worker.console import life_options, options, subscription_view
from worker.console.confirmation import confirm, require_somebody
from worker.console.customer_uid import read_customer_uid
from worker.console.endings import DatabaseFaultError, MisusedError, ends_in_words
from worker.console.terms import Terms, require_collectable

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from shared.db.subscriptions import NewSubscription
    from worker.console.session import ConsoleSettings

app = typer.Typer(
    help="The agreements by which buyers are billed.", no_args_is_help=True, rich_markup_mode=None
)


@app.command()
@ends_in_words
def add(
    *,
    amount: options.Amount,
    name: options.Name,
    every: options.Every,
    customer_uid: options.CustomerUid = None,
    count: options.Count = 1,
    tax_free: options.TaxFree = 0,
    anchor: options.Anchor = None,
    zone: options.Zone = "Asia/Seoul",
    first_period: options.FirstPeriod = None,
    bill_from: options.BillFromChoice = None,
    buyer_name: options.BuyerName = None,
    buyer_email: options.BuyerEmail = None,
    buyer_tel: options.BuyerTel = None,
    quantity: life_options.Quantity = 1,
    product: life_options.Product = None,
    buyer_ref: life_options.BuyerRef = None,
    trial_end: life_options.TrialEnd = None,
    collect_by: life_options.CollectByFirst = CollectBy.CHARGE,
    as_json: options.AsJson = False,
) -> None:
    """Add a subscription that was agreed elsewhere; it is billed from its first renewal on.

    One that begins here is begun with `subscription start`, which keeps the buyer's consent too.

    \b
    For example, with the billing key in a file that only you can read:
      dalmada subscription add --amount 9900 --name "Slim 요금제" --every month \\
          --anchor 2030-01-31 --customer-uid - < key.txt
    """  # noqa: D301 - \b tells typer not to join the lines that follow
    from shared.db.subscriptions import NewSubscription  # noqa: PLC0415 - see app.py
    from worker.console import session  # noqa: PLC0415

    settings = session.load(session.ConsoleSettings)
    now = WallClock().now()
    terms = Terms(
        amount=amount,
        tax_free=tax_free,
        name=name,
        interval=Interval(every, count),
        zone=zone,
        anchor=anchor,
        first_period=first_period,
        bill_from=bill_from,
        quantity=quantity,
        product=product,
        buyer_ref=buyer_ref,
        trial_end=trial_end,
    )
    agreement = terms.agreement(now)
    require_collectable(agreement.total, settings.minimum_amount)
    buyer = _buyer(buyer_name, buyer_email, buyer_tel)
    # Asked for last: whoever types it should not have to do so twice.
    key = read_customer_uid(customer_uid)
    new = NewSubscription(uuid4(), key, buyer, agreement)
    _add(settings, new, collect_by, now)
    if as_json:
        subscription_view.write_added(new.id, agreement)
    else:
        subscription_view.print_added(new.id, agreement, now)


@app.command("list")
@ends_in_words
def list_(
    *,
    status: options.OfSubscriptionStatus = None,
    limit: options.Limit = options.LIMIT,
    as_json: options.AsJson = False,
) -> None:
    """List subscriptions, newest first."""
    from worker.console import queries, session  # noqa: PLC0415 - see app.py

    found = session.ask(
        session.load(session.ConsoleSettings),
        # One more than is shown tells whether there are more.
        lambda connection: queries.list_subscriptions(connection, limit + 1, status),
    )
    if as_json:
        subscription_view.write_list(found, limit)
    else:
        subscription_view.print_list(found, limit)


@app.command()
@ends_in_words
def show(subscription_id: options.SubscriptionId, *, as_json: options.AsJson = False) -> None:
    """Show a subscription: its terms, what the next renewal costs, what will change, its invoices.

    What the next renewal costs is reckoned as things stand, by the rules of the renewal itself. The
    billing key and the buyer are shown masked.
    """
    from worker.console import queries, session  # noqa: PLC0415 - see app.py

    settings = session.load(session.LifeSettings)
    card = session.ask(
        settings,
        lambda connection: queries.show_subscription(
            connection, subscription_id, options.LIMIT + 1
        ),
    )
    if as_json:
        subscription_view.write_card(card, options.LIMIT, settings.renewal_policies)
    else:
        subscription_view.print_card(card, options.LIMIT, settings.renewal_policies)


@app.command()
@ends_in_words
def cancel(
    subscription_id: options.SubscriptionId,
    *,
    when: options.When,
    reason: options.Reason,
    requester: options.OnWish,
    refund: options.RefundOf = RefundChoice.NONE,
    late_payment: options.LatePayment = None,
    yes: options.Yes = False,
    as_json: options.AsJson = False,
) -> None:
    """End a subscription, at once or at the end of its period.

    From then on nothing of it is billed or collected. What is under way at that moment is awaited,
    and given back as --late-payment says if it turns out paid.
    """
    require_somebody(yes=yes)
    from shared.jobs.commands import CancelSubscription  # noqa: PLC0415 - see app.py
    from worker.console import deeds, queries, session  # noqa: PLC0415
    from worker.handlers import end_subscription  # noqa: PLC0415

    settings = session.load(session.ConsoleSettings)
    command = deeds.command_of(
        CancelSubscription,
        subscription_id=subscription_id,
        when=when,
        reason=reason,
        requester=requester,
        refund=refund,
        late_payment=late_payment,
    )
    subject = f"subscription {subscription_id}"
    deed = deeds.Deed("subscription cancel", subject, reason, command, end_subscription)
    now = WallClock().now()

    async def look(connection: "AsyncConnection") -> "queries.Ending":
        told = await deeds.foresee(connection, deed, now)
        goes_back_at = now if when is CancelWhen.NOW else None
        return await queries.foresee_ending(connection, subscription_id, told, goes_back_at)

    ending = session.ask(settings, look)
    confirm(
        "This subscription will be ended",
        subscription_view.ending_fields(ending, command),
        yes=yes,
        as_json=as_json,
    )
    result = deeds.do(settings, deed)
    if as_json:
        subscription_view.write_ended(result)
    else:
        subscription_view.print_ended(result, ending)


def _add(
    settings: "ConsoleSettings", new: "NewSubscription", collect_by: CollectBy, now: datetime
) -> None:
    """Write the subscription.

    Raises:
        DatabaseFaultError: It names the id where nobody knows whether the change was written.
    """
    from worker.console import deeds, queries, session  # noqa: PLC0415 - see app.py

    begun = False

    async def write(connection: "AsyncConnection") -> None:
        nonlocal begun
        begun = True
        await queries.add_subscription(connection, new, collect_by, deeds.actor(), now)

    try:
        session.ask(settings, write)
    except DatabaseFaultError as fault:
        if not (begun and fault.lost):
            raise
        raise DatabaseFaultError(
            f"{fault}\nWhether the subscription was added is not known: before you add it again,"
            f" see whether `dalmada subscription show {new.id}` finds it.",
            lost=True,
        ) from None


def _buyer(name: str | None, email: str | None, tel: str | None) -> Buyer:
    try:
        return Buyer(name, email, tel)
    except BillingError as error:
        raise MisusedError(f"{error}.") from None
