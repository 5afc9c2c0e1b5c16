"""Every command at every place in the life of a subscription: done as the table says, or refused.

What is refused changes nothing, whatever it is.
"""

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.billing.errors import BillingError
from shared.billing.lifecycle import TRANSITIONS, Happening, SubscriptionStatus
from shared.jobs import commands, life_commands
from shared.jobs.command import Command
from tests.support.billing import START_AT
from tests.support.book import Ending
from tests.support.keys import TERMS
from tests.support.living import BY_CUSTOMER, Living, made
from worker.handlers import handlers
from worker.services.commanding import CommandRefusedError

DAY = timedelta(days=1)
ANYWHERE = "there is no subscription|there is no change"
ENDED = "the subscription has ended"
ENDS = "the subscription ends at"
UNDER_WAY = "is being ended|is still being wound up"
DONE = ""

# Where a subscription may be. The status is that of its row.
PLACES: dict[str, Callable[[Living], uuid.UUID]] = {}


def place(make: Callable[[Living], uuid.UUID]) -> Callable[[Living], uuid.UUID]:
    PLACES[make.__name__] = make
    return make


@place
def trialing(living: Living) -> uuid.UUID:
    trial = {"trial_days": 40, "buyer_ref": "b", "product": "p"}
    id_: uuid.UUID = living.run(living.start(**trial))
    return id_


@place
def active(living: Living) -> uuid.UUID:
    id_: uuid.UUID = living.run(living.start())
    assert living.run(living.tick()) == ["paid"]
    living.world.pass_time(DAY)
    return id_


@place
def past_due(living: Living) -> uuid.UUID:
    id_: uuid.UUID = living.run(living.start())
    living.world.gateway.script.append(Ending.DECLINED)
    assert living.run(living.tick()) == ["declined"]
    living.world.pass_time(timedelta(hours=1))
    return id_


@place
def paused(living: Living) -> uuid.UUID:
    id_ = active(living)
    living.run(living.pause(id_))
    return id_


@place
def standing_still(living: Living) -> uuid.UUID:
    id_ = active(living)
    living.run(living.pause(id_, keeps="time"))
    return id_


@place
def about_to_pause(living: Living) -> uuid.UUID:
    id_ = active(living)
    living.run(living.pause(id_, when="period_end"))
    return id_


@place
def ending(living: Living) -> uuid.UUID:
    id_ = active(living)
    living.run(living.cancel(id_, "period_end"))
    return id_


@place
def being_ended(living: Living) -> uuid.UUID:
    id_ = active(living)
    living.run(living.cancel(id_))
    living.world.pass_time(timedelta(seconds=1))
    return id_


@place
def winding_up(living: Living) -> uuid.UUID:
    id_: uuid.UUID = living.run(living.start())
    living.run(living.world.renew())
    (invoice,) = living.run(living.invoices(id_))
    living.run(living.world.claim([invoice.id]))
    living.world.pass_time(timedelta(seconds=1))
    living.run(living.cancel(id_))
    assert living.run(living.ends.end_all()) == ["ended"]
    return id_


@place
def closed(living: Living) -> uuid.UUID:
    id_ = being_ended(living)
    assert living.run(living.ends.end_all()) == ["closed"]
    return id_


@place
def unknown(_: Living) -> uuid.UUID:
    return uuid.UUID(int=10**30)


STATUSES = {
    "trialing": "trialing",
    "past_due": "past_due",
    "paused": "paused",
    "standing_still": "paused",
    "winding_up": "canceled",
    "closed": "canceled",
}
CONSENT = {"given_at": START_AT, "shown": "화면", "evidence": "click"}
COMMANDS: dict[str, tuple[type[Command], dict[str, Any]]] = {
    "pause": (life_commands.PauseSubscription, BY_CUSTOMER),
    "resume": (life_commands.ResumeSubscription, {}),
    "change": (
        life_commands.ChangeSubscription,
        {"amount": 10_000, "requester": "customer", "at_renewal": False},
    ),
    "change_later": (
        life_commands.ChangeSubscription,
        {"amount": 10_000, "requester": "admin"},
    ),
    "withdraw": (life_commands.WithdrawChange, {"change_id": 1}),
    "reactivate": (life_commands.ReactivateSubscription, {"consent": CONSENT}),
    "adjust": (life_commands.AdjustSubscription, {"description": "사과", "credit": 1_000}),
    "consent": (
        life_commands.RecordConsent,
        {"kind": "price_increase", "amount_after": 40_000, "consent": CONSENT},
    ),
    "cancel": (commands.CancelSubscription, {"when": "now", **BY_CUSTOMER}),
    "cancel_later": (commands.CancelSubscription, {"when": "period_end", **BY_CUSTOMER}),
}
# The words of a refusal where there is one; what is not named here is done.
REFUSED = {
    **{(command, "unknown"): ANYWHERE for command in COMMANDS},
    **{("withdraw", name): ANYWHERE for name in PLACES},
    ("pause", "trialing"): "that is trialing cannot pause: it must be active or past_due",
    ("pause", "paused"): "that is paused cannot pause: it must be active or past_due",
    ("pause", "standing_still"): "that is paused cannot pause",
    ("pause", "ending"): ENDS,
    ("pause", "being_ended"): UNDER_WAY,
    ("pause", "winding_up"): ENDED,
    ("pause", "closed"): ENDED,
    ("resume", "trialing"): "that is trialing cannot resume: it must be paused",
    ("resume", "active"): "that is active cannot resume: it must be paused",
    ("resume", "past_due"): "that is past_due cannot resume: it must be paused",
    ("resume", "ending"): "that is active cannot resume: it must be paused",
    ("resume", "being_ended"): UNDER_WAY,
    ("resume", "winding_up"): ENDED,
    ("resume", "closed"): ENDED,
    **{
        (command, name): words
        for command in ("change", "change_later", "adjust")
        for name, words in {
            "ending": ENDS,
            "being_ended": UNDER_WAY,
            "winding_up": ENDED,
            "closed": ENDED,
        }.items()
    },
    ("change", "past_due"): "the running period is not paid yet",
    ("reactivate", "trialing"): "is trialing, and no end of it was asked for",
    ("reactivate", "active"): "is active, and no end of it was asked for",
    ("reactivate", "past_due"): "is past_due, and no end of it was asked for",
    ("reactivate", "paused"): "is paused, and no end of it was asked for",
    ("reactivate", "standing_still"): "is paused, and no end of it was asked for",
    ("reactivate", "about_to_pause"): "is active, and no end of it was asked for",
    ("reactivate", "being_ended"): UNDER_WAY,
    ("reactivate", "winding_up"): UNDER_WAY,
    ("consent", "winding_up"): ENDED,
    ("consent", "closed"): ENDED,
    ("cancel", "being_ended"): "is being ended already",
    ("cancel", "winding_up"): "the subscription ended already",
    ("cancel", "closed"): "the subscription ended already",
    ("cancel_later", "standing_still"): "resume it first, or cancel now",
    ("cancel_later", "ending"): "ends already at",
    ("cancel_later", "being_ended"): "is being ended already",
    ("cancel_later", "winding_up"): "the subscription ended already",
    ("cancel_later", "closed"): "the subscription ended already",
}
# What a command is to the table of the life.
HAPPENINGS = {"pause": Happening.PAUSE, "reactivate": Happening.REACTIVATE}
TABLES = ("subscriptions", "invoices", "agreement_changes", "adjustments", "consents", "refunds")


async def everything(living: Living) -> list[list[Any]]:
    return [
        await living.world.rows(f"SELECT * FROM {table} ORDER BY 1")  # noqa: S608 - constants only
        for table in TABLES
    ]


@pytest.mark.parametrize("where", PLACES)
def test_each_is_done_or_refused_in_words(living: Living, where: str) -> None:
    id_ = PLACES[where](living)
    if where != "unknown":
        assert living.run(living.row(id_)).status == STATUSES.get(where, "active")
    for name, (contract, values) in COMMANDS.items():
        command = made(contract, subscription_id=id_, **values)
        before = living.run(everything(living))
        words = REFUSED.get((name, where), DONE)
        result = living.run(_tried(living, command))
        if not words:
            assert result["status"] == "done", (name, result)
            continue
        assert result["status"] == "refused", (name, result)
        assert any(each in result["error"] for each in words.split("|")), (name, result)
        assert living.run(everything(living)) == before


class _TakeBackError(Exception):
    """Stands for a transaction that is not to be kept."""


async def _tried(living: Living, command: Command) -> dict[str, Any]:
    """Say how a command ends, and take back what it did."""
    database = living.world.database
    result: dict[str, Any] = {}

    async def work(connection: AsyncConnection) -> None:
        handler = handlers(TERMS, living.rules)[type(command)]
        try:
            await handler(connection, command, living.world.clock.now())
            result["status"] = "done"
        except (BillingError, CommandRefusedError) as error:
            result.update(status="refused", error=str(error))
        raise _TakeBackError

    with pytest.raises(_TakeBackError):
        await database.run(work)
    return result


def test_what_the_table_of_the_life_refuses_is_refused() -> None:
    """The words above are those of ``lifecycle.moved`` wherever it says no."""
    for name, happening in HAPPENINGS.items():
        for where, status in STATUSES.items():
            if (SubscriptionStatus(status), happening) not in TRANSITIONS:
                assert (name, where) in REFUSED
