"""Every sentence of the language of stories: what happens, and what is expected."""

from datetime import timedelta
from typing import Any

from shared.jobs.commands import (
    CancelSubscription,
    ConfirmBillingKey,
    RefundPayment,
    RegisterBillingKey,
)
from shared.jobs.life_commands import (
    AdjustSubscription,
    ChangePrice,
    ChangeSubscription,
    Consent,
    PauseSubscription,
    ReactivateSubscription,
    RecordConsent,
    ResumeSubscription,
    RetryInvoice,
    StartSubscription,
    SwitchDunning,
)
from tests.support.telling import NothingToDoError, Teller, sentence

ORDER_NAME = "슬림 요금제"
_BY_BUYER: dict[str, Any] = {"reason": "구매자 요청", "requester": "customer"}
_EVERY = {"daily": "day", "weekly": "week", "monthly": "month", "yearly": "year"}


def _consent(teller: Teller) -> Consent:
    return Consent(given_at=teller.journey.now, shown="요금 안내 v1", evidence="동의 버튼")


# What the buyer and the merchant do.


@sentence(
    "on 2026-01-31 09:00 subscribe monthly for 9900",
    r"on WHEN subscribe (daily|weekly|monthly|yearly|every \d+ (?:day|week|month|year)s)"
    r" for (\d+)(?: x (\d+))?(?: to (\S+))?(?: with (\d+) free days)?(?: in (\S+))?",
)
async def _subscribe(
    teller: Teller,
    when: str,
    every: str,
    amount: str,
    quantity: str | None,
    product: str | None,
    days: str | None,
    zone: str | None,
) -> None:
    teller.zone = zone or teller.zone
    await teller.go_on(when)
    number = teller.numbers + 1
    teller.customer_uid = f"buyer-{number}"
    await teller.journey.gateway.register([teller.customer_uid])
    words = every.split()
    unit, count = (words[2][:-1], int(words[1])) if len(words) > 1 else (_EVERY[every], 1)
    teller.subscription_id = None
    await teller.say(
        StartSubscription,
        customer_uid=teller.customer_uid,
        amount=int(amount),
        quantity=int(quantity or 1),
        order_name=ORDER_NAME,
        product=product or ("slim" if days else None),
        buyer_ref=f"ref-{number}" if days else None,
        interval=unit,
        interval_count=count,
        time_zone=teller.zone,
        trial_days=None if days is None else int(days),
        consent=_consent(teller),
    )
    found = await teller.rows("SELECT id FROM subscriptions ORDER BY created_at DESC LIMIT 1")
    assert found, (await teller.rows("SELECT result FROM commands"))[-1].result
    teller.subscription_id = found[0].id
    await teller.journey.machine.look()


@sentence(
    "on 2026-02-28 decline 한도초과 twice",
    r"on WHEN decline (.+?)(?: (once|twice|always|\d+ times))?",
)
async def _decline(teller: Teller, when: str, text: str, often: str | None) -> None:
    """From then on the gateway declines the buyer's next charges, in these words."""
    # A moment before: what is due at that instant is declined already.
    await teller.go_on_before(when)
    declined = {"ending": "declined", "fail_reason": text}
    if often == "always":
        await _behave(teller, [], then=declined)
    else:
        count = {"once": 1, "twice": 2, None: 1}.get(often) or int(str(often).split()[0])
        await _behave(teller, [declined] * count)


@sentence("on 2026-03-02 pay", r"on WHEN pay")
async def _pay(teller: Teller, when: str) -> None:
    """From then on the buyer's charges are paid."""
    await teller.go_on_before(when)
    await _behave(teller, [])


@sentence(
    "on 2026-02-28 lose_reply",
    r"on WHEN (lose_reply|lost_request|error_500_paid|bad_gateway|late_success|key_ended)",
)
async def _fault(teller: Teller, when: str, ending: str) -> None:
    """The buyer's next charge ends so, by the sandbox's name for it."""
    await teller.go_on_before(when)
    await _behave(teller, [{"lose_reply": "lost_reply"}.get(ending, ending)])


@sentence("on 2026-02-15 the key ends", r"on WHEN the key ends")
async def _key_ends(teller: Teller, when: str) -> None:
    """The buyer takes the method away at Naver."""
    await teller.go_on_before(when)
    await teller.journey.gateway.end_key(teller.customer_uid)


@sentence("on 2026-03-02 register a new method", r"on WHEN register a new method")
async def _register(teller: Teller, when: str) -> None:
    """The buyer goes through the window, and the merchant's page tells."""
    await teller.go_on(when)
    machine = teller.journey.machine
    buyer = {"buyer_tel": "010-0000-0000", "customer_uid": teller.customer_uid}
    asked = await teller.say(RegisterBillingKey, amount=9_900, order_name=ORDER_NAME, **buyer)
    await machine.look()
    await machine.tell()
    if asked not in teller.windows:
        raise NothingToDoError("no window was opened")
    parameters = {**teller.windows[asked], **buyer}
    told = await teller.journey.gateway.use_window(parameters, "naver-buyer")
    await teller.say(ConfirmBillingKey, imp_uid=told[0], merchant_uid=told[1])
    await machine.look()


@sentence("on 2026-03-02 retry", r"on WHEN retry")
async def _retry(teller: Teller, when: str) -> None:
    """The buyer asks for what is owed to be collected at once."""
    await teller.go_on(when)
    owed = await teller.rows(
        "SELECT id FROM invoices WHERE subscription_id = :id AND status <> 'paid' ORDER BY id"
    )
    if not owed:
        raise NothingToDoError("nothing is owed")
    await teller.say(RetryInvoice, invoice_id=owed[-1].id)
    await teller.journey.machine.look()


@sentence(
    "on 2026-02-10 pause keeping time until 2026-03-10",
    r"on WHEN pause( at period end)?(?: keeping (calendar|time))?(?: until WHEN)?",
)
async def _pause(
    teller: Teller, when: str, later: str | None, keeps: str | None, until: str | None
) -> None:
    await teller.go_on(when)
    await teller.say(
        PauseSubscription,
        when="period_end" if later else "now",
        keeps=keeps or "calendar",
        resume_at=None if until is None else teller.instant(until),
        **_BY_BUYER,
    )
    await teller.journey.machine.look()


@sentence("on 2026-03-10 resume", r"on WHEN resume")
async def _resume(teller: Teller, when: str) -> None:
    await teller.go_on(when)
    await teller.say(ResumeSubscription)
    await teller.journey.machine.look()


@sentence(
    "on 2026-02-15 change to 12000 now",
    r"on WHEN (change|move) to (\d+|\d+ units|every \d+ (?:day|week|month|year)s)"
    r"( now)?( without consent)?",
)
async def _change(
    teller: Teller, when: str, who: str, what: str, now: str | None, without: str | None
) -> None:
    """The buyer changes the terms, or, with ``move``, the merchant does."""
    await teller.go_on(when)
    words = what.split()
    terms: dict[str, Any] = {"amount": int(words[0])} if words[0].isdigit() else {}
    if words[-1] == "units":
        terms = {"quantity": int(words[0])}
    elif words[0] == "every":
        terms = {"interval": words[2][:-1], "interval_count": int(words[1])}
    await teller.say(
        ChangeSubscription,
        at_renewal=now is None,
        requester="customer" if who == "change" else "admin",
        consent=None if without or who == "move" else _consent(teller),
        **terms,
    )
    await teller.journey.machine.look()


@sentence(
    "on 2026-02-15 the price of slim becomes 12000 from 2026-04-01",
    r"on WHEN the price of (\S+) becomes (\d+) from WHEN",
)
async def _price(teller: Teller, when: str, product: str, amount: str, effective: str) -> None:
    await teller.go_on(when)
    at = teller.instant(effective)
    await teller.say(ChangePrice, product=product, amount=int(amount), effective_at=at)


@sentence(
    "on 2026-03-20 consent to price_increase of 12000",
    r"on WHEN consent to (trial_conversion|price_increase|plan_change) of (\d+)",
)
async def _consents(teller: Teller, when: str, kind: str, amount: str) -> None:
    await teller.go_on(when)
    await teller.say(RecordConsent, kind=kind, amount_after=int(amount), consent=_consent(teller))


@sentence(
    "on 2026-02-01 give credit of 3000",
    r"on WHEN give (credit|discount) of (\d+%?)(?: for (\d+) periods)?",
)
async def _give(teller: Teller, when: str, what: str, much: str, periods: str | None) -> None:
    await teller.go_on(when)
    name = "percent" if much.endswith("%") else what
    given: dict[str, Any] = {name: int(much.rstrip("%"))}
    if periods is not None:
        given["periods"] = int(periods)
    await teller.say(AdjustSubscription, description="감사 할인", **given)


@sentence("on 2026-02-01 switch dunning off", r"on WHEN switch dunning (on|off)")
async def _dunning(teller: Teller, when: str, switch: str) -> None:
    await teller.go_on(when)
    await teller.say(SwitchDunning, enabled=switch == "on")


@sentence(
    "on 2026-02-15 cancel now refunding pro_rata",
    r"on WHEN cancel (now|at period end)(?: refunding (pro_rata|full))?",
)
async def _cancel(teller: Teller, when: str, end: str, refund: str | None) -> None:
    await teller.go_on(when)
    await teller.say(
        CancelSubscription,
        when="now" if end == "now" else "period_end",
        refund=refund or "none",
        **_BY_BUYER,
    )
    await teller.journey.machine.look()


@sentence("on 2026-03-01 reactivate", r"on WHEN reactivate")
async def _reactivate(teller: Teller, when: str) -> None:
    await teller.go_on(when)
    await teller.say(ReactivateSubscription, consent=_consent(teller))
    await teller.journey.machine.look()


@sentence("on 2026-02-15 refund 4000", r"on WHEN refund (\d+|all)")
async def _refund(teller: Teller, when: str, amount: str) -> None:
    """The newest paid invoice is given back, or a part of it."""
    await teller.go_on(when)
    paid = await teller.rows(
        "SELECT id FROM invoices WHERE subscription_id = :id AND status = 'paid' AND amount > 0"
        " ORDER BY period_index DESC LIMIT 1"
    )
    if not paid:
        raise NothingToDoError("nothing is paid")
    wanted = amount if amount == "all" else int(amount)
    await teller.say(RefundPayment, invoice_id=paid[0].id, amount=wanted, **_BY_BUYER)
    await teller.journey.machine.look()


@sentence("say it again", r"say it again")
async def _again(teller: Teller) -> None:
    """The last command comes once more, as it was."""
    teller.journey.machine.say(teller.said)
    await teller.journey.machine.look()


@sentence(
    "scheduler is down from 2026-03-30 to 2026-04-02",
    r"(scheduler|workers|gateway|everything|look-ups) (?:is|are) down from WHEN to WHEN",
)
async def _down(teller: Teller, who: str, since: str, until: str) -> None:
    await teller.go_on_before(since)
    teller.set_down(who, down=True)
    teller.after.append((teller.instant(until), who))


@sentence("on 2026-02-28 09:00 two schedulers look", r"on WHEN two schedulers look")
async def _two(teller: Teller, when: str) -> None:
    """Two beats tick at once, and both find what is due."""
    await teller.go_on_before(when)
    machine = teller.journey.machine
    machine.clock.instant = teller.instant(when)
    await teller.together(machine.scans.renew(), machine.scans.renew())
    await teller.together(machine.scans.dispatch(), machine.scans.dispatch())
    # And each message comes twice.
    machine.messages.jobs *= 2
    await machine.look()


@sentence("forget the book", r"forget the book")
async def _forget(teller: Teller) -> None:
    """The gateway's book is emptied, so that whatever we say of money is untrue."""
    teller.journey.gateway.sandbox.reset()


@sentence("until 2026-04-30 12:00", r"until WHEN")
async def _until(teller: Teller, when: str) -> None:
    await teller.go_on(when)
    await teller.journey.machine.look(at_all=True)


# What is expected, by now.


@sentence(
    "expect periods 2026-01-31 / 2026-02-28 / 2026-03-31",
    r"expect periods ([\d-]{10}(?: / [\d-]{10})*)",
)
async def _periods(teller: Teller, days: str) -> None:
    """On these days, in the subscription's zone, periods began, billed or skipped."""
    begun = await teller.rows(
        "SELECT period_start_at AS at FROM invoices WHERE subscription_id = :id UNION"
        " SELECT CAST(data ->> 'period_start_at' AS timestamptz) FROM events"
        " WHERE subscription_id = :id AND name = 'period.skipped' ORDER BY at"
    )
    seen = " / ".join(teller.day(row.at) for row in begun)
    assert seen == days, f"periods began {seen}"


@sentence(
    "expect period 2026-02-28 is paid",
    r"expect period ([\d-]{10}) is (open|paid|uncollectible|void|skipped)(?: for (\d+))?",
)
async def _period(teller: Teller, day: str, status: str, amount: str | None) -> None:
    found = await teller.rows(
        "SELECT period_start_at AS at, status, amount FROM invoices WHERE subscription_id = :id"
        " UNION ALL SELECT CAST(data ->> 'period_start_at' AS timestamptz), 'skipped', 0"
        " FROM events WHERE subscription_id = :id AND name = 'period.skipped'"
    )
    of_day = [row for row in found if teller.day(row.at) == day]
    assert len(of_day) == 1, f"{len(of_day)} periods began on {day}"
    assert of_day[0].status == status, f"it is {of_day[0].status}"
    assert amount is None or of_day[0].amount == int(amount), f"it is for {of_day[0].amount}"


@sentence("expect on 2026-03-31 paid 9900", r"expect on ([\d-]{10}) paid (\d+|nothing)")
async def _paid_on(teller: Teller, day: str, amount: str) -> None:
    """The gateway's book holds this sum on this day, all charges together."""
    paid = sum(
        record["amount"] for record in await _taken(teller) if _day_of(teller, record) == day
    )
    assert paid == (0 if amount == "nothing" else int(amount)), f"the book took {paid} won"


@sentence("expect 3 charges", r"expect (\d+) charges?")
async def _charges(teller: Teller, count: str) -> None:
    """So many charges moved money at the gateway."""
    taken = await _taken(teller)
    assert len(taken) == int(count), f"{len(taken)}: " + ", ".join(
        f"{record['amount']} on {_day_of(teller, record)}" for record in taken
    )


@sentence("expect 4 tries", r"expect (\d+) (?:tries|try)")
async def _tries(teller: Teller, count: str) -> None:
    """So many charge requests reached the gateway, whatever became of them."""
    tries = teller.journey.gateway.tries()
    assert tries == int(count), f"{tries}"


@sentence("expect 29700 collected", r"expect (\d+) (collected|given back)")
async def _sums(teller: Teller, amount: str, which: str) -> None:
    taken = await _taken(teller)
    name = "amount" if which == "collected" else "cancel_amount"
    total = sum(record[name] for record in taken)
    assert total == int(amount), f"{total} won"


@sentence("expect status past_due", r"expect status (\w+)")
async def _status(teller: Teller, status: str) -> None:
    (row,) = await teller.rows("SELECT status FROM subscriptions WHERE id = :id")
    assert row.status == status, f"it is {row.status}"


@sentence("expect next renewal 2026-03-31 09:00", r"expect next renewal (?:WHEN|(never))")
async def _next(teller: Teller, when: str | None, never: str | None) -> None:
    (row,) = await teller.rows("SELECT next_renewal_at FROM subscriptions WHERE id = :id")
    wanted = None if never else teller.instant(str(when))
    assert row.next_renewal_at == wanted, f"it is {row.next_renewal_at}"


@sentence("expect told invoice.paid 2 times", r"expect told ([\w.]+)(?: (never|once|\d+ times))?")
async def _told(teller: Teller, name: str, often: str | None) -> None:
    """An event was written so often, of this subscription or of none."""
    (row,) = await teller.rows(
        "SELECT count(*) AS n FROM events WHERE name = :name"
        " AND coalesce(subscription_id, :id) = :id",
        name=name,
    )
    if often is None:
        assert row.n, "it was not told"
        return
    wanted = {"never": 0, "once": 1}.get(often, -1)
    assert row.n == (wanted if wanted >= 0 else int(often.split()[0])), f"{row.n} times"


@sentence("expect answer refused", r"expect answer (done|refused)(?: with (.+))?")
async def _answer(teller: Teller, status: str, words: str | None) -> None:
    """The last command was answered so, and its error, if there is one, says this."""
    rows = await teller.rows(
        "SELECT result FROM commands WHERE command_id = :command", command=teller.said.command_id
    )
    result = rows[0].result
    assert result["status"] == status, f"it was {result}"
    assert words is None or words in result["error"], f"it says {result.get('error')}"


@sentence(
    "expect lines of 2026-03-31: recurring 9900, discount -3000",
    r"expect lines of ([\d-]{10}): (.+)",
)
async def _lines(teller: Teller, day: str, wanted: str) -> None:
    """The invoice of the period that began on this day explains itself so."""
    found = await teller.rows(
        "SELECT period_start_at AS at, lines FROM invoices WHERE subscription_id = :id"
    )
    lines = next(row.lines for row in found if teller.day(row.at) == day)
    seen = ", ".join(f"{line['kind']} {line['amount']}" for line in lines)
    assert seen == wanted, f"they are {seen}"


async def _taken(teller: Teller) -> list[Any]:
    """Return the records of money that moved, whatever went back of it since."""
    return [
        record
        for record in await teller.journey.gateway.book()
        if record["status"] in {"paid", "cancelled"} and record["customer_uid_usage"] != "issue"
    ]


def _day_of(teller: Teller, record: Any) -> str:
    seconds = timedelta(seconds=record["paid_at"])
    return teller.day(teller.epoch + seconds)


async def _behave(teller: Teller, script: list[Any], then: Any = "paid") -> None:
    behaviour = {"script": script, "then": then}
    await teller.journey.gateway.behave({teller.customer_uid: behaviour})
