"""How a replay of declined invoices looks: one JSON document for programs, lines for people."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from shared.billing.dunning import DunningPolicy
from shared.billing.dunning_replay import Comparison, Replayed
from worker.console.rendering import Json, iso, print_fields, print_json, print_line, won

_CERTAIN = Replayed.RECOVERED, Replayed.BY_BUYER
_MEANINGS = {
    Replayed.RECOVERED: "paid at an attempt of the policy",
    Replayed.BY_BUYER: "paid by the buyer's own deed",
    Replayed.POSSIBLE: "tried when nobody knows what it would have brought",
    Replayed.LOST: "given up before it was paid",
    Replayed.UNPAID: "given up, as it was in fact",
    Replayed.OPEN: "still being tried",
}
_ASSUMED = """\
Assumed: what was refused at some instant would have been refused at every earlier one, and what
paid would have paid at every later one. Attempts in between are counted as possible, not as
recovered. The limit of attempts with one payment method is left out."""


def write(comparison: Comparison, policy: DunningPolicy, since: datetime) -> None:
    """Print a comparison for programs."""
    print_json(
        {
            "since": iso(since),
            "policy": _policy_document(policy),
            "invoices": comparison.invoices,
            "amount": comparison.amount,
            "history": {
                "paid": comparison.paid,
                "amount": comparison.paid_amount,
                "attempts": comparison.attempts,
                "median_days_to_payment": _median_days(comparison.waits),
            },
            "replayed": {
                "paid_at_least": _count(comparison, _CERTAIN),
                "amount_at_least": _amount(comparison, _CERTAIN),
                "paid_at_most": _count(comparison, (*_CERTAIN, Replayed.POSSIBLE)),
                "amount_at_most": _amount(comparison, (*_CERTAIN, Replayed.POSSIBLE)),
                "attempts": comparison.replayed_attempts,
                "median_days_to_payment": _median_days(comparison.replayed_waits),
                "endings": {
                    str(ending): {
                        "invoices": comparison.endings[ending],
                        "amount": comparison.amounts[ending],
                    }
                    for ending in Replayed
                },
            },
        }
    )


def show(comparison: Comparison, policy: DunningPolicy, since: datetime) -> None:
    """Print a comparison for people, and what it rests on."""
    if not comparison.invoices:
        print_line(f"No invoice was declined since {iso(since)}: there is nothing to replay.")
        return
    most = (*_CERTAIN, Replayed.POSSIBLE)
    print_fields(
        {
            "policy": _schedules(policy),
            "declined invoices": f"{comparison.invoices} · {won(comparison.amount)}",
            "paid in fact": f"{comparison.paid} · {won(comparison.paid_amount)}"
            f" · {comparison.attempts} attempts · {_days(comparison.waits)}",
            "paid under the policy": f"{_count(comparison, _CERTAIN)} to {_count(comparison, most)}"
            f" · {won(_amount(comparison, _CERTAIN))} to {won(_amount(comparison, most))}"
            f" · {comparison.replayed_attempts} attempts · {_days(comparison.replayed_waits)}",
        }
    )
    print_line()
    print_fields(
        {
            str(ending): f"{comparison.endings[ending]} · {won(comparison.amounts[ending])}"
            f" · {meaning}"
            for ending, meaning in _MEANINGS.items()
        }
    )
    print_line()
    print_line(_ASSUMED)


def _policy_document(policy: DunningPolicy) -> dict[str, Json]:
    return {
        "delays_s": _seconds(policy.delays),
        "class_delays_s": {
            str(decline_class): _seconds(delays)
            for decline_class, delays in policy.class_delays.items()
        },
        "pay_days": list(policy.pay_days),
        "pay_day_within_days": policy.pay_day_within,
        "attempts_max": policy.attempts_max,
        "grace_period_s": None if policy.grace is None else int(policy.grace.total_seconds()),
    }


def _seconds(delays: Sequence[timedelta]) -> list[Json]:
    return [int(delay.total_seconds()) for delay in delays]


def _schedules(policy: DunningPolicy) -> str:
    parts = [_written(policy.delays)]
    parts += [f"{name} {_written(delays)}" for name, delays in policy.class_delays.items()]
    parts.append(f"pay-days within {policy.pay_day_within} days")
    parts.append("no grace period" if policy.grace is None else f"grace {policy.grace}")
    return " · ".join(parts)


def _written(delays: Sequence[timedelta]) -> str:
    return ", ".join(str(delay) for delay in delays) or "one attempt only"


def _count(comparison: Comparison, endings: Sequence[Replayed]) -> int:
    return sum(comparison.endings[ending] for ending in endings)


def _amount(comparison: Comparison, endings: Sequence[Replayed]) -> int:
    return sum(comparison.amounts[ending] for ending in endings)


def _median_days(waits: Sequence[timedelta]) -> float | None:
    """Return the wait that half of them took at most, in days."""
    if not waits:
        return None
    return round(sorted(waits)[(len(waits) - 1) // 2] / timedelta(days=1), 1)


def _days(waits: Sequence[timedelta]) -> str:
    median = _median_days(waits)
    return "no payment" if median is None else f"half of them within {median} days"
