"""`dalmada billing-key`: payment methods listed, asked of buyers, changed and taken away."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import typer

from shared.billing.errors import BillingError
from shared.billing.subscription import Buyer
from shared.clock import WallClock
from worker.console import billing_key_view, options
from worker.console.confirmation import confirm, require_somebody
from worker.console.customer_uid import read_customer_uid
from worker.console.endings import MisusedError, ends_in_words

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from shared.billing.events import Json
    from shared.db.readings import KeyCard
    from shared.jobs.commands import ChangeBillingKey, DeleteBillingKey, RegisterBillingKey
    from worker.console.deeds import Deed
    from worker.console.session import WindowSettings
    from worker.services.window_requests import WindowTerms

app = typer.Typer(
    help="The payment methods that buyers have registered.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the buyer is asked for in a window, as it was typed."""

    customer_uid: str
    buyer: Buyer
    amount: int
    name: str
    product_code: str | None
    product_count: int | None
    popup: bool
    redirect_url: str | None

    def __repr__(self) -> str:
        """Say nothing: it is a secret and a person."""
        return "_Asked(…)"


@app.command("list")
@ends_in_words
def list_(
    *,
    status: options.OfKeyStatus = None,
    limit: options.Limit = options.LIMIT,
    as_json: options.AsJson = False,
) -> None:
    """List billing keys, newest first. They and their buyers are shown masked."""
    from worker.console import queries, session  # noqa: PLC0415 - see app.py

    found = session.ask(
        session.load(session.ConsoleSettings),
        # One more than is shown tells whether there are more.
        lambda connection: queries.list_keys(connection, limit + 1, status),
    )
    if as_json:
        billing_key_view.write_list(found, limit)
    else:
        billing_key_view.print_list(found, limit)


@app.command()
@ends_in_words
def show(key_id: options.KeyId, *, as_json: options.AsJson = False) -> None:
    """Show a billing key, who is billed with it, and what its buyer was asked for.

    The billing key and the buyer are shown masked.
    """
    from worker.console import queries, session  # noqa: PLC0415 - see app.py

    card, subscriptions = session.ask(
        session.load(session.ConsoleSettings),
        lambda connection: queries.show_key(connection, key_id),
    )
    if as_json:
        billing_key_view.write_card(card, subscriptions)
    else:
        billing_key_view.print_card(card, subscriptions)


@app.command()
@ends_in_words
def register(
    *,
    amount: options.WindowAmount,
    name: options.Name,
    buyer_tel: options.WindowTel,
    customer_uid: options.CustomerUid = None,
    buyer_name: options.BuyerName = None,
    buyer_email: options.BuyerEmail = None,
    product_code: options.ProductCode = None,
    product_count: options.ProductCount = None,
    popup: options.Popup = True,
    redirect_url: options.RedirectUrl = None,
    yes: options.Yes = False,
    as_json: options.AsJson = False,
) -> None:
    """Ask a buyer to register a payment method, under a billing key of your choice.

    Printed is what the buyer's page must call IMP.request_pay with: the billing key and the buyer
    in full, as they were given here.
    """
    from shared.jobs.commands import RegisterBillingKey  # noqa: PLC0415 - see app.py

    require_somebody(yes=yes)
    buyer = _buyer(buyer_name, buyer_email, buyer_tel)
    key = read_customer_uid(customer_uid)
    asked = _Asked(key, buyer, amount, name, product_code, product_count, popup, redirect_url)
    _open(RegisterBillingKey, asked, "billing-key register", yes=yes, as_json=as_json)


@app.command()
@ends_in_words
def change(
    *,
    amount: options.WindowAmount,
    name: options.Name,
    buyer_tel: options.WindowTel,
    customer_uid: options.CustomerUid = None,
    buyer_name: options.BuyerName = None,
    buyer_email: options.BuyerEmail = None,
    product_code: options.ProductCode = None,
    product_count: options.ProductCount = None,
    popup: options.Popup = True,
    redirect_url: options.RedirectUrl = None,
    yes: options.Yes = False,
    as_json: options.AsJson = False,
) -> None:
    """Ask a buyer to put another payment method behind the billing key that they have (CHANGE).

    Printed is what the buyer's page must call IMP.request_pay with: the billing key and the buyer
    in full, as they were given here. Until the buyer has done it, the old method stays in use.
    """
    from shared.jobs.commands import ChangeBillingKey  # noqa: PLC0415 - see app.py

    require_somebody(yes=yes)
    buyer = _buyer(buyer_name, buyer_email, buyer_tel)
    key = read_customer_uid(customer_uid)
    asked = _Asked(key, buyer, amount, name, product_code, product_count, popup, redirect_url)
    _open(ChangeBillingKey, asked, "billing-key change", yes=yes, as_json=as_json)


@app.command()
@ends_in_words
def delete(
    key_id: options.KeyId,
    *,
    reason: options.Reason,
    requester: options.OnWish,
    yes: options.Yes = False,
    as_json: options.AsJson = False,
) -> None:
    """Take a payment method away, at PortOne and at Naver, its reservations first.

    Refused while anybody is billed with it. The worker does it; `billing-key show` tells when it is
    gone.
    """
    require_somebody(yes=yes)
    from shared.jobs.commands import DeleteBillingKey  # noqa: PLC0415 - see app.py
    from worker.console import deeds, queries, session  # noqa: PLC0415

    settings = session.load(session.ConsoleSettings)

    async def look(connection: "AsyncConnection") -> "tuple[KeyCard, DeleteBillingKey]":
        card, _ = await queries.show_key(connection, key_id)
        command = deeds.command_of(
            DeleteBillingKey,
            customer_uid=card.key.customer_uid,
            reason=reason,
            requester=requester,
        )
        await deeds.foresee(connection, _removal(card, command), WallClock().now())
        return card, command

    card, command = session.ask(settings, look)
    confirm(
        "This billing key will be deleted",
        billing_key_view.removal_fields(card, reason, requester),
        yes=yes,
        as_json=as_json,
    )
    result = deeds.do(settings, _removal(card, command))
    if as_json:
        billing_key_view.write_result(result)
    else:
        billing_key_view.print_removal(result)


def _open(
    contract: "type[RegisterBillingKey | ChangeBillingKey]",
    asked: _Asked,
    action: str,
    *,
    yes: bool,
    as_json: bool,
) -> None:
    """Open a window, and print what the buyer's page needs."""
    from shared.db import readings  # noqa: PLC0415 - see app.py
    from worker.console import deeds, session  # noqa: PLC0415
    from worker.services.window_requests import RequestKeyWindow  # noqa: PLC0415

    settings = session.load(session.WindowSettings)
    command = deeds.command_of(
        contract,
        customer_uid=asked.customer_uid,
        amount=asked.amount,
        order_name=asked.name,
        buyer_name=asked.buyer.name,
        buyer_email=asked.buyer.email,
        buyer_tel=asked.buyer.tel,
        product_code=asked.product_code,
        product_count=asked.product_count,
        popup=asked.popup,
        redirect_url=asked.redirect_url,
    )
    handler = RequestKeyWindow(_terms(settings))

    def deed(key_id: int | None) -> "Deed":
        subject = "a new billing key" if key_id is None else f"billing key {key_id}"
        return deeds.Deed(action, subject, None, command, handler)

    async def look(connection: "AsyncConnection") -> "tuple[KeyCard | None, Mapping[str, Json]]":
        known = await readings.key_card_of(connection, asked.customer_uid)
        return known, await deeds.foresee(connection, deed(None), WallClock().now())

    known, told = session.ask(settings, look)
    confirm(
        "This window will be opened",
        billing_key_view.window_fields(known, asked.customer_uid, asked.buyer, told),
        yes=yes,
        as_json=as_json,
    )
    result = deeds.do(settings, deed(None if known is None else known.id))
    if as_json:
        billing_key_view.write_window(result, asked.customer_uid, asked.buyer)
    else:
        billing_key_view.print_window(result, asked.customer_uid, asked.buyer)


def _removal(card: "KeyCard", command: "DeleteBillingKey") -> "Deed":
    from worker.console import deeds  # noqa: PLC0415 - see app.py
    from worker.services.key_removal import AskKeyRemoval  # noqa: PLC0415

    subject = f"billing key {card.id}"
    return deeds.Deed("billing-key delete", subject, command.reason, command, AskKeyRemoval())


def _terms(settings: "WindowSettings") -> "WindowTerms":
    """Return what every window of this installation has in common.

    Raises:
        MisusedError: The channel is said in two ways, or is none.
    """
    from shared.config import Settings  # noqa: PLC0415 - see app.py
    from worker.services.window_requests import WindowTerms  # noqa: PLC0415

    try:
        channel = Settings.model_construct(
            portone_pg=settings.portone_pg, portone_channel_key=settings.portone_channel_key
        ).channel
    except BillingError as error:
        raise MisusedError(f"{error}.") from None
    return WindowTerms(
        channel=channel,
        ttl=timedelta(seconds=settings.window_ttl_s),
        minimum_amount=settings.minimum_amount,
        change_enabled=settings.naver_change_enabled,
    )


def _buyer(name: str | None, email: str | None, tel: str | None) -> Buyer:
    try:
        return Buyer(name, email, tel)
    except BillingError as error:
        raise MisusedError(f"{error}.") from None
