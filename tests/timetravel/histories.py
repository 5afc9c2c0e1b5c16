"""Random histories of one subscription, as stories: a failing one can be read, kept and told."""

from datetime import date, datetime, time, timedelta

from hypothesis import strategies as st

YEARS = timedelta(days=730)
# By then what was under way at the end of the two years has come to its own.
AFTERMATH = timedelta(days=60)
_AMOUNTS = st.sampled_from([0, 1_000, 4_900, 9_900, 12_000, 33_000])
_INTERVALS = st.sampled_from(
    [
        *("monthly", "monthly", "monthly", "every 2 months"),
        *("yearly", "every 3 weeks", "every 45 days"),
    ]
)
_DECLINES = st.sampled_from(["한도초과", "잔액부족", "거래정지카드", "알 수 없는 사유"])
_ENDINGS = st.sampled_from(
    ["lose_reply", "lost_request", "error_500_paid", "bad_gateway", "key_ended"]
)
_ZONES = st.sampled_from(["Asia/Seoul", "Asia/Seoul", "Europe/Berlin", "America/Los_Angeles"])
_DAYS = st.integers(0, 75)


def _sentence(*parts: st.SearchStrategy[str] | str) -> st.SearchStrategy[str]:
    """Return sentences whose parts are chosen each by itself."""
    chosen = [part if not isinstance(part, str) else st.just(part) for part in parts]
    return st.tuples(*chosen).map("".join)


def _maybe(text: str) -> st.SearchStrategy[str]:
    return st.sampled_from(["", text])


_HAPPENINGS = st.one_of(
    _sentence("decline ", _DECLINES, st.sampled_from(["", " twice", " 4 times", " always"])),
    st.just("pay"),
    _ENDINGS,
    st.just("retry"),
    st.just("the key ends"),
    st.just("register a new method"),
    _sentence(
        "pause",
        _maybe(" at period end"),
        st.sampled_from([" keeping calendar", " keeping time"]),
        st.sampled_from(["", " until +9", " until +40", " until +200"]),
    ),
    st.just("resume"),
    _sentence(
        st.sampled_from(["change to ", "move to "]),
        st.one_of(
            _AMOUNTS.map(str),
            st.sampled_from(["1 units", "3 units", "every 1 months", "every 5 weeks"]),
        ),
        _maybe(" now"),
    ),
    _sentence("the price of slim becomes ", _AMOUNTS.map(str), " from +35"),
    _sentence(
        "consent to ",
        st.sampled_from(["price_increase", "trial_conversion"]),
        " of ",
        st.sampled_from(["9900", "99000"]),
    ),
    st.sampled_from(
        ["give credit of 3000", "give credit of 50000", "give discount of 30% for 2 periods"]
    ),
    st.sampled_from(["switch dunning off", "switch dunning on"]),
    _sentence(
        "cancel ", st.sampled_from(["now", "at period end", "now refunding pro_rata", "now"])
    ),
    st.just("reactivate"),
    st.sampled_from(["refund 500", "refund all"]),
    st.just("two schedulers look"),
)
_OUTAGES = st.builds(
    "{} down for +{}".format,
    st.sampled_from(["scheduler is", "workers are", "everything is"]),
    st.sampled_from([1, 3, 45]),
)


@st.composite
def histories(draw: st.DrawFn) -> str:
    """Return a story of two years: a beginning, what happens, and an end that is quiet."""
    start = datetime.combine(
        date(2026, 1, 1) + timedelta(days=draw(st.integers(0, 60))),
        time(draw(st.sampled_from([0, 9, 23])), draw(st.sampled_from([0, 30]))),
    )
    free = draw(st.sampled_from(["", "", "", " with 14 free days"]))
    catch_up = draw(st.sampled_from(["bill_latest", "bill_all", "forgive"]))
    terminal = draw(st.sampled_from(["leave_past_due", "cancel", "pause"]))
    what = f"{draw(_INTERVALS)} for {draw(_AMOUNTS)} to slim{free} in {draw(_ZONES)}"
    lines = [
        f"with catch_up {catch_up}",
        f"with dunning_terminal_action {terminal}",
        f"on {start:%Y-%m-%d %H:%M} subscribe {what}",
    ]
    at, end = start, start + YEARS
    for days, what in draw(
        st.lists(
            st.tuples(_DAYS, st.one_of(_HAPPENINGS, _HAPPENINGS, _OUTAGES)), min_size=6, max_size=20
        )
    ):
        at += timedelta(days=days, minutes=draw(st.integers(0, 600)))
        if at >= end:
            break
        lines.append(_line(what, at))
    # Whoever pays again at last, and whose method is known again, is collected from.
    lines.append(f"until {end + AFTERMATH:%Y-%m-%d}")
    return "\n".join(lines)


def _line(what: str, at: datetime) -> str:
    """Return a sentence with its instants."""
    words = what.split("+")
    if len(words) > 1:
        later = at + timedelta(days=int(words[1]))
        what = f"{words[0]}{later:%Y-%m-%d %H:%M}"
    if " down for " in what:
        who, until = what.split(" down for ")
        return f"{who} down from {at:%Y-%m-%d %H:%M} to {until}"
    return f"on {at:%Y-%m-%d %H:%M} {what}"
