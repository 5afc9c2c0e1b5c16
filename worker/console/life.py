"""`dalmada subscription start` and what follows it: pauses, changes, credits, consents."""

import typer

from shared.billing.calendar import IntervalUnit
from shared.billing.cancellation import CancelWhen
from shared.billing.pause import PauseKeeps
from worker.console import life_deeds, life_options, options
from worker.console.confirmation import require_somebody
from worker.console.customer_uid import read_customer_uid
from worker.console.endings import ends_in_words
from worker.console.life_deeds import Wish, consent_of, moment
from worker.console.terms import instant

app = typer.Typer()


@app.command()
@ends_in_words
def start(
    *,
    amount: options.Amount,
    name: options.Name,
    every: options.Every = IntervalUnit.MONTH,
    count: options.Count = 1,
    customer_uid: options.CustomerUid = None,
    tax_free: options.TaxFree = 0,
    quantity: life_options.Quantity = 1,
    product: life_options.Product = None,
    buyer_ref: life_options.BuyerRef = None,
    anchor: options.Anchor = None,
    zone: options.Zone = "Asia/Seoul",
    trial_days: life_options.TrialDays = None,
    trial_end: life_options.TrialEnd = None,
    setup_amount: life_options.SetupAmount = 0,
    setup_tax_free: life_options.SetupTaxFree = 0,
    setup_name: life_options.SetupName = None,
    consent_at: life_options.ConsentAt = None,
    consent_shown: life_options.ConsentShown = None,
    consent_evidence: life_options.ConsentEvidence = None,
    consent_payment_method: life_options.ConsentPaymentMethod = None,
    buyer_name: options.BuyerName = None,
    buyer_email: options.BuyerEmail = None,
    buyer_tel: options.BuyerTel = None,
    reason: options.WhyIfAny = None,
    yes: options.Yes = False,
    as_json: options.AsJson = False,
) -> None:
    """Begin to bill a buyer, after a free trial if one is given.

    What a trial turns into is agreed to anew before it ends: `subscription consent`.
    """
    require_somebody(yes=yes)
    from shared.jobs.life_commands import StartSubscription  # noqa: PLC0415 - see app.py
    from worker.console import deeds  # noqa: PLC0415

    values = {
        "amount": amount,
        "tax_free": tax_free,
        "quantity": quantity,
        "order_name": name,
        "product": product,
        "buyer_ref": buyer_ref,
        "interval": every,
        "interval_count": count,
        "anchor_at": None if anchor is None else instant("--anchor", anchor, zone),
        "time_zone": zone,
        "trial_days": trial_days,
        "trial_end_at": None if trial_end is None else instant("--trial-end", trial_end, zone),
        "setup_amount": setup_amount,
        "setup_tax_free": setup_tax_free,
        "setup_description": setup_name,
        "consent": consent_of(consent_at, consent_shown, consent_evidence, consent_payment_method),
        "buyer_name": buyer_name,
        "buyer_email": buyer_email,
        "buyer_tel": buyer_tel,
    }
    # Asked for last: whoever types it should not have to do so twice.
    deeds.command_of(StartSubscription, customer_uid="-", **values)
    command = deeds.command_of(
        StartSubscription, customer_uid=read_customer_uid(customer_uid), **values
    )
    wish = Wish(
        "subscription start", "This subscription will be started", command, reason, None, zone
    )
    life_deeds.give(wish, yes=yes, as_json=as_json)


@app.command()
@ends_in_words
def pause(
    subscription_id: options.SubscriptionId,
    *,
    when: life_options.PauseWhen = CancelWhen.NOW,
    reason: options.Reason,
    requester: options.OnWish,
    resume_at: life_options.ResumeAt = None,
    keeps: life_options.Keeps = PauseKeeps.CALENDAR,
    yes: options.Yes = False,
    as_json: options.AsJson = False,
) -> None:
    """Begin no period from now, or from the next renewal, on. What is owed is collected on."""
    require_somebody(yes=yes)
    from shared.jobs.life_commands import PauseSubscription  # noqa: PLC0415 - see app.py
    from worker.console import deeds  # noqa: PLC0415

    command = deeds.command_of(
        PauseSubscription,
        subscription_id=subscription_id,
        when=when,
        resume_at=moment("--resume-at", resume_at),
        keeps=keeps,
        reason=reason,
        requester=requester,
    )
    headline = "This subscription will be paused"
    wish = Wish("subscription pause", headline, command, reason, subscription_id)
    life_deeds.give(wish, yes=yes, as_json=as_json)


@app.command()
@ends_in_words
def resume(
    subscription_id: options.SubscriptionId,
    *,
    reason: options.WhyIfAny = None,
    yes: options.Yes = False,
    as_json: options.AsJson = False,
) -> None:
    """End a pause, or take back one that has not begun."""
    require_somebody(yes=yes)
    from shared.jobs.life_commands import ResumeSubscription  # noqa: PLC0415 - see app.py
    from worker.console import deeds  # noqa: PLC0415

    command = deeds.command_of(ResumeSubscription, subscription_id=subscription_id)
    headline = "This subscription will go on"
    wish = Wish("subscription resume", headline, command, reason, subscription_id)
    life_deeds.give(wish, yes=yes, as_json=as_json)


@app.command()
@ends_in_words
def change(
    subscription_id: options.SubscriptionId,
    *,
    requester: options.OnWish,
    amount: life_options.NewAmount = None,
    tax_free: life_options.NewTaxFree = None,
    quantity: life_options.NewQuantity = None,
    name: life_options.NewName = None,
    every: life_options.NewEvery = None,
    count: life_options.NewCount = None,
    now: life_options.Now = False,
    effective_at: life_options.ChangeFrom = None,
    prorate: life_options.Prorate = True,
    consent_at: life_options.ConsentAt = None,
    consent_shown: life_options.ConsentShown = None,
    consent_evidence: life_options.ConsentEvidence = None,
    consent_payment_method: life_options.ConsentPaymentMethod = None,
    reason: options.WhyIfAny = None,
    yes: options.Yes = False,
    as_json: options.AsJson = False,
) -> None:
    """Change what is agreed: with the next renewal, with one from a date on, or --now.

    What makes a period dearer needs the buyer's consent.
    """
    require_somebody(yes=yes)
    from shared.jobs.life_commands import ChangeSubscription  # noqa: PLC0415 - see app.py
    from worker.console import deeds  # noqa: PLC0415

    command = deeds.command_of(
        ChangeSubscription,
        subscription_id=subscription_id,
        amount=amount,
        tax_free=tax_free,
        quantity=quantity,
        order_name=name,
        interval=every,
        interval_count=count,
        at_renewal=not now,
        effective_at=moment("--from", effective_at),
        prorate=prorate,
        requester=requester,
        consent=consent_of(consent_at, consent_shown, consent_evidence, consent_payment_method),
    )
    headline = "This subscription will be changed"
    wish = Wish("subscription change", headline, command, reason, subscription_id)
    life_deeds.give(wish, yes=yes, as_json=as_json)


@app.command("withdraw-change")
@ends_in_words
def withdraw_change(
    subscription_id: options.SubscriptionId,
    change_id: life_options.ChangeId,
    *,
    reason: options.WhyIfAny = None,
    yes: options.Yes = False,
    as_json: options.AsJson = False,
) -> None:
    """Take back a change that has not come into effect."""
    require_somebody(yes=yes)
    from shared.jobs.life_commands import WithdrawChange  # noqa: PLC0415 - see app.py
    from worker.console import deeds  # noqa: PLC0415

    command = deeds.command_of(WithdrawChange, subscription_id=subscription_id, change_id=change_id)
    headline = "This change will be taken back"
    wish = Wish("subscription withdraw-change", headline, command, reason, subscription_id)
    life_deeds.give(wish, yes=yes, as_json=as_json)


@app.command()
@ends_in_words
def reactivate(
    subscription_id: options.SubscriptionId,
    *,
    consent_at: life_options.ConsentAt = None,
    consent_shown: life_options.ConsentShown = None,
    consent_evidence: life_options.ConsentEvidence = None,
    consent_payment_method: life_options.ConsentPaymentMethod = None,
    reason: options.WhyIfAny = None,
    yes: options.Yes = False,
    as_json: options.AsJson = False,
) -> None:
    """Take back an end that has not come, or begin again after one that has."""
    require_somebody(yes=yes)
    from shared.jobs.life_commands import ReactivateSubscription  # noqa: PLC0415 - see app.py
    from worker.console import deeds  # noqa: PLC0415

    command = deeds.command_of(
        ReactivateSubscription,
        subscription_id=subscription_id,
        consent=consent_of(consent_at, consent_shown, consent_evidence, consent_payment_method),
    )
    headline = "This subscription will go on"
    wish = Wish("subscription reactivate", headline, command, reason, subscription_id)
    life_deeds.give(wish, yes=yes, as_json=as_json)


@app.command()
@ends_in_words
def adjust(
    subscription_id: options.SubscriptionId,
    *,
    description: life_options.For,
    credit: life_options.Credit = None,
    discount: life_options.Discount = None,
    percent: life_options.Percent = None,
    periods: life_options.Periods = None,
    reason: options.WhyIfAny = None,
    yes: options.Yes = False,
    as_json: options.AsJson = False,
) -> None:
    """Give a credit, or a discount for some periods: one of --credit, --discount, --percent."""
    require_somebody(yes=yes)
    from shared.jobs.life_commands import AdjustSubscription  # noqa: PLC0415 - see app.py
    from worker.console import deeds  # noqa: PLC0415

    command = deeds.command_of(
        AdjustSubscription,
        subscription_id=subscription_id,
        description=description,
        credit=credit,
        discount=discount,
        percent=percent,
        periods=periods,
    )
    headline = "This will be given to the buyer"
    wish = Wish("subscription adjust", headline, command, reason, subscription_id)
    life_deeds.give(wish, yes=yes, as_json=as_json)


@app.command()
@ends_in_words
def collect(
    subscription_id: options.SubscriptionId,
    *,
    by: life_options.CollectedBy,
    reason: options.WhyIfAny = None,
    yes: options.Yes = False,
    as_json: options.AsJson = False,
) -> None:
    """Have charges made by us when they are due, or by PortOne at an instant reserved ahead.

    It holds from the next period on. What PortOne holds for that is revoked first, and the period
    is billed by nobody before PortOne says that it is.
    """
    require_somebody(yes=yes)
    from shared.jobs.life_commands import CollectSubscription  # noqa: PLC0415 - see app.py
    from worker.console import deeds  # noqa: PLC0415

    command = deeds.command_of(CollectSubscription, subscription_id=subscription_id, by=by)
    headline = "From its next period on this subscription will be collected so"
    wish = Wish("subscription collect", headline, command, reason, subscription_id)
    life_deeds.give(wish, yes=yes, as_json=as_json)


@app.command()
@ends_in_words
def dunning(
    subscription_id: options.SubscriptionId,
    *,
    enabled: life_options.Enabled,
    reason: options.WhyIfAny = None,
    yes: options.Yes = False,
    as_json: options.AsJson = False,
) -> None:
    """Have declined invoices of a subscription tried again by themselves, or not."""
    require_somebody(yes=yes)
    from shared.jobs.life_commands import SwitchDunning  # noqa: PLC0415 - see app.py
    from worker.console import deeds  # noqa: PLC0415

    command = deeds.command_of(SwitchDunning, subscription_id=subscription_id, enabled=enabled)
    headline = f"Dunning will be switched {'on' if enabled else 'off'}"
    wish = Wish("subscription dunning", headline, command, reason, subscription_id)
    life_deeds.give(wish, yes=yes, as_json=as_json)


@app.command()
@ends_in_words
def consent(
    subscription_id: options.SubscriptionId,
    *,
    kind: life_options.Kind,
    amount_after: life_options.AmountAfter,
    amount_before: life_options.AmountBefore = None,
    effective_at: life_options.EffectiveAt = None,
    consent_at: life_options.ConsentAtAsked,
    consent_shown: life_options.ConsentShownAsked,
    consent_evidence: life_options.ConsentEvidenceAsked,
    consent_payment_method: life_options.ConsentPaymentMethod = None,
    reason: options.WhyIfAny = None,
    yes: options.Yes = False,
    as_json: options.AsJson = False,
) -> None:
    """Keep what the buyer agreed to: a charge after a free period, or at a higher price."""
    require_somebody(yes=yes)
    from shared.jobs.life_commands import RecordConsent  # noqa: PLC0415 - see app.py
    from worker.console import deeds  # noqa: PLC0415

    command = deeds.command_of(
        RecordConsent,
        subscription_id=subscription_id,
        kind=kind,
        amount_before=amount_before,
        amount_after=amount_after,
        effective_at=moment("--from", effective_at),
        consent=consent_of(consent_at, consent_shown, consent_evidence, consent_payment_method),
    )
    headline = "This consent will be kept"
    wish = Wish("subscription consent", headline, command, reason, subscription_id)
    life_deeds.give(wish, yes=yes, as_json=as_json)
