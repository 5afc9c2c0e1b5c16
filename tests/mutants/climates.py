"""Narrow climates: in each, one danger is common, and whatever does harm with it."""

from collections.abc import Mapping
from typing import Final

from deploy.sandbox.book import DuplicatePolicy
from deploy.sandbox.endings import CommandEnding, Ending, InquiryEnding
from shared.billing.calendar import IntervalUnit
from tests.mutants.chase import BUSY, Climate, Webhooks

_LOST: Final[Mapping[str, float]] = {
    Ending.LOST_REPLY: 5,
    Ending.LOST_REQUEST: 3,
    Ending.ERROR_500_PAID: 2,
    Ending.BAD_GATEWAY_PAID: 2,
    Ending.TRUNCATED: 3,
    Ending.HANG: 1,
    Ending.DECLINED: 1,
}
_REFUND_STEPS: Final = {**BUSY, "refund_part": 3, "refund": 2, "say_twice": 1}
# Where a charge has been claimed and nothing of it was sent, and where it has heard.
_BEFORE_A_CHARGE: Final = ("ChargeInvoices.__call__ · after commit",)
_AFTER_A_CHARGE: Final = ("ChargeInvoices._send · after request",)

_CHARGES: Final[Mapping[str, Climate]] = {
    "storm": Climate(charges=_LOST, length=25),
    "storm, none refused": Climate(charges=_LOST, policy=DuplicatePolicy.NONE, length=25),
    "late": Climate(
        charges={Ending.LATE_SUCCESS: 1},
        share=1.0,
        weather={"delay_s": 175.0},
        policy=DuplicatePolicy.NONE,
        skewed=False,
        steps={"work": 10, "seconds": 7, "minute": 2},
        length=45,
    ),
    # Later than assumed, yet before the second silence.
    "barely late": Climate(
        charges={Ending.LATE_SUCCESS: 1},
        share=1.0,
        weather={"delay_s": 327.0},
        policy=DuplicatePolicy.NONE,
        skewed=False,
        steps={"work": 10, "seconds": 7, "minute": 3},
        length=60,
    ),
    # Later than assumed, while the gateway's webhooks come.
    "too late": Climate(
        charges={Ending.LATE_SUCCESS: 1, Ending.DECLINED: 1},
        share=1.0,
        weather={"delay_s": 580.0},
        settings={"settle_delay_s": 30.0},
        policy=DuplicatePolicy.REFUSED_IF_PAID,
        webhooks=Webhooks.AT_ONCE,
        skewed=False,
        steps={"work": 10, "minute": 7, "minutes": 1},
    ),
    # Lookups leave out what the gateway holds.
    "hidden": Climate(
        charges={Ending.LOST_REPLY: 1},
        weather={"test_channel": True, "lists_hide_test_payments": True},
        policy=DuplicatePolicy.REFUSED_IF_PAID,
        steps={**BUSY, "minutes": 6, "hour": 2},
    ),
    "slow": Climate(
        charges={Ending.SLOW: 1},
        share=1.0,
        weather={"delay_s": 60.0},
        settings={"settle_delay_s": 5.0, "inquiry_gaps_s": (5.0, 60.0, 600.0)},
        policy=DuplicatePolicy.NONE,
        skewed=False,
        steps={"work": 10, "seconds": 8},
        length=30,
    ),
    "stands before it sends": Climate(
        charges={Ending.LOST_REPLY: 1},
        share=0.5,
        settings={"charge_batch_size": 1},
        steps={**BUSY, "wake": 1},
        stands=0.4,
        stands_at=_BEFORE_A_CHARGE,
        policy=DuplicatePolicy.NONE,
        length=45,
    ),
    "stands after it has heard": Climate(
        charges={Ending.DECLINED: 1},
        share=0.3,
        steps={**BUSY, "wake": 1},
        stands=0.4,
        stands_at=_AFTER_A_CHARGE,
    ),
    "deaths": Climate(
        charges={Ending.DECLINED: 1, Ending.LOST_REQUEST: 1},
        share=0.3,
        dies=0.06,
        weather={"latency_ms": 300},
        policy=DuplicatePolicy.NONE,
        length=25,
    ),
    "doubled": Climate(
        charges={Ending.DECLINED: 1},
        share=0.7,
        steps={**BUSY, "work_twice": 8, "double": 6, "come_again": 6, "redeliver": 2},
        policy=DuplicatePolicy.NONE,
        subscriptions=5,
        apart_s=150.0,
        length=30,
    ),
    # Every message comes twice, and whatever is charged twice is paid twice.
    "all doubled": Climate(
        steps={"work_twice": 10, "minute": 6},
        policy=DuplicatePolicy.NONE,
        subscriptions=6,
        apart_s=100.0,
        length=20,
    ),
    "throttled": Climate(
        charges={Ending.THROTTLED: 1, Ending.UNAUTHORIZED: 1},
        share=0.8,
        weather={"retry_after_s": 300},
        subscriptions=8,
        apart_s=70.0,
        settings={"charge_batch_size": 1},
        length=30,
    ),
    "strangers": Climate(
        steps={**BUSY, "plant": 6},
        policy=DuplicatePolicy.NEVER_REUSABLE,
        apart_s=120.0,
        length=25,
    ),
    "unready": Climate(charges={Ending.READY: 1}, length=12),
}
_MESSAGES: Final[Mapping[str, Climate]] = {
    "lossy": Climate(
        steps={"tick": 6, "deliver": 6, "go_on": 4, "minute": 3, "lose": 6, "flush": 1},
    ),
    "telling": Climate(dies=0.3, dies_at=("event.relay",), length=25),
    "commands": Climate(
        steps={**BUSY, "refund_part": 4, "say_twice": 4},
        paid_before=True,
        dies=0.04,
        says_once=True,
        length=30,
    ),
    "forged": Climate(
        charges={Ending.LOST_REQUEST: 3, Ending.HANG: 1},
        steps={**BUSY, "say_paid": 3},
        length=25,
    ),
}
_REFUNDS: Final[Mapping[str, Climate]] = {
    "refunds": Climate(
        cancels={
            CommandEnding.LOST_REPLY: 5,
            CommandEnding.LOST_REQUEST: 2,
            CommandEnding.ERROR_500_DONE: 2,
        },
        steps={**_REFUND_STEPS, "forge_of_ours": 4},
        paid_before=True,
        subscriptions=2,
        length=30,
    ),
    # Later than assumed: a refund needs no bound, its checksum keeps it from being done twice.
    "refunds late": Climate(
        cancels={CommandEnding.LATE_SUCCESS: 4, CommandEnding.REFUSED: 2},
        share=0.9,
        weather={"delay_s": 450.0},
        steps={**_REFUND_STEPS, "minutes": 8},
        paid_before=True,
        subscriptions=2,
        length=45,
    ),
    # One refund of each payment, so that no other uses the checksum up.
    "refunds alone": Climate(
        cancels={CommandEnding.LATE_SUCCESS: 1, CommandEnding.REFUSED: 1},
        share=1.0,
        weather={"delay_s": 520.0},
        steps={"work": 10, "minute": 6, "minutes": 3, "refund_part": 2},
        paid_before=True,
        subscriptions=6,
        length=45,
    ),
    "refunds that die": Climate(
        cancels={CommandEnding.LOST_REQUEST: 1},
        share=0.3,
        steps=_REFUND_STEPS,
        dies=0.06,
        paid_before=True,
        subscriptions=2,
        length=25,
    ),
}
_ENDS: Final[Mapping[str, Climate]] = {
    "ends": Climate(
        charges={
            Ending.LOST_REPLY: 2,
            Ending.HANG: 2,
            Ending.LOST_REQUEST: 1,
            Ending.DECLINED: 2,
        },
        share=0.7,
        weather={"command_rates": {CommandEnding.ERROR_500: 0.5}},
        steps={**BUSY, "cancel_now": 2, "cancel_later": 2, "reserve": 1, "hour": 2, "hours": 2},
        inquiries={InquiryEnding.ERROR_500: 1},
        every=IntervalUnit.DAY,
        skewed=False,
        length=45,
    ),
    # Later than assumed, and the webhook is lost.
    "ends too early": Climate(
        charges={Ending.LATE_SUCCESS: 1},
        share=1.0,
        weather={"delay_s": 450.0},
        steps={**BUSY, "cancel_now": 2},
        policy=DuplicatePolicy.REFUSED_IF_PAID,
        webhooks=Webhooks.NEVER,
        length=30,
    ),
    "ends later": Climate(
        weather={"command_rates": {CommandEnding.ERROR_500: 0.8}},
        steps={"work": 10, "tick": 4, "minute": 3, "hours": 5, "cancel_later": 2},
        every=IntervalUnit.DAY,
        skewed=False,
        length=40,
    ),
    "keys": Climate(
        subscriptions=5,
        apart_s=120.0,
        settings={"charge_batch_size": 1},
        steps={"work": 10, "minute": 4, "means_expire": 4, "change_means": 5, "wake": 2},
        stands=0.5,
        stands_at=_AFTER_A_CHARGE,
        length=35,
    ),
    "keys that end": Climate(charges={Ending.KEY_ENDED: 1}, share=0.6, length=15),
}
_LIVES: Final[Mapping[str, Climate]] = {
    # Days in which everything happens that may happen to an agreement.
    "lives": Climate(
        steps={
            "work": 12,
            "work_twice": 2,
            "hours": 10,
            "pause_subscription": 2,
            "resume_subscriptions": 2,
            "change_plan": 3,
            "change_price": 1,
            "give_consents": 1,
            "adjust": 2,
            "come_back": 2,
            "cancel_now": 1,
            "start_subscription": 1,
        },
        every=IntervalUnit.DAY,
        settings={"notice_renewal_days": 1, "notice_trial_days": 1},
        skewed=False,
        length=60,
    ),
    # Charges of some hours only, and steps that end in the others.
    "closed hours": Climate(
        charges={Ending.DECLINED: 2, Ending.LOST_REQUEST: 1, Ending.THROTTLED: 1},
        share=0.4,
        settings={
            "charge_hours": "09:00-21:00",
            "maintenance_hours": ("09:20-09:50", "14:00-15:00"),
            "charge_spread_s": 1_800.0,
        },
        steps={**BUSY, "minutes": 4, "hour": 3, "hours": 3, "retry_invoices": 1},
        every=IntervalUnit.DAY,
        subscriptions=5,
        apart_s=400.0,
        length=40,
    ),
    # Nobody looks for days, and what has begun meanwhile is skipped by the policy.
    "long away": Climate(
        steps={"work": 2, "hours": 12},
        settings={"catch_up": "bill_latest"},
        every=IntervalUnit.DAY,
        skewed=False,
    ),
    "methods in trouble": Climate(
        charges={Ending.DECLINED: 1},
        share=0.9,
        settings={
            "dunning_delays_s": (1_800.0,) * 6,
            "dunning_key_attempts_max": 3,
        },
        steps={**BUSY, "hour": 4},
        length=30,
    ),
    # What was ended, and what was not paid, beside credits and discounts.
    "lives in debt": Climate(
        charges={Ending.DECLINED: 1},
        share=0.6,
        steps={
            "work": 12,
            "hours": 4,
            "minute": 2,
            "change_plan": 1,
            "adjust": 4,
            "cancel_now": 2,
            "come_back": 3,
        },
        every=IntervalUnit.DAY,
        skewed=False,
        length=45,
    ),
    "changes at once": Climate(
        steps={"work": 12, "hours": 6, "change_plan": 5, "adjust": 1},
        every=IntervalUnit.WEEK,
        skewed=False,
    ),
    "pauses": Climate(
        steps={
            "work": 12,
            "hours": 9,
            "pause_subscription": 4,
            "resume_subscriptions": 2,
            "cancel_now": 1,
            "come_back": 2,
        },
        every=IntervalUnit.DAY,
        skewed=False,
        length=50,
    ),
    "prices": Climate(
        steps={
            "work": 12,
            "hours": 9,
            "raise_price": 2,
            "change_plan": 2,
            "give_consents": 1,
            "start_subscription": 1,
        },
        every=IntervalUnit.DAY,
        settings={"notice_price_days": 1},
        skewed=False,
        length=50,
    ),
    "trials": Climate(
        steps={"work": 10, "work_twice": 2, "minute": 3, "hours": 1, "start_subscription": 9},
        length=40,
    ),
    "told by HTTP": Climate(
        charges={Ending.DECLINED: 1},
        share=0.6,
        steps={**BUSY, "hour": 3, "cancel_now": 1},
        subscriptions=4,
        told_by_http=True,
        length=25,
    ),
    "buyers who try again": Climate(
        charges={Ending.DECLINED: 1},
        share=0.8,
        steps={**BUSY, "retry_invoices": 5, "switch_dunning": 1, "hour": 2},
        length=30,
    ),
}
_BOOKS: Final[Mapping[str, Climate]] = {
    "books": Climate(
        steps={**_REFUND_STEPS, "change_means": 3, "hour": 1},
        paid_before=True,
        compares=True,
        length=20,
    ),
}
_RACES: Final[Mapping[str, Climate]] = {"races": Climate(is_race=True)}
CLIMATES: Final[Mapping[str, Climate]] = {
    **_CHARGES,
    **_MESSAGES,
    **_REFUNDS,
    **_ENDS,
    **_LIVES,
    **_BOOKS,
    **_RACES,
}
