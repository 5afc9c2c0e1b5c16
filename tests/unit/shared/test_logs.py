"""Log lines: one JSON object each, whoever wrote it, with nothing secret in it."""

import json
import logging
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog

from shared.billing.attempt import Claim
from shared.billing.calendar import BillingCycle, Interval, IntervalUnit, Period
from shared.billing.lifecycle import SubscriptionStatus
from shared.billing.money import Price
from shared.billing.subscription import Agreement, Buyer
from shared.config import LogFormat
from shared.db.subscriptions import NewSubscription
from shared.logs import configure

NOW = datetime(2026, 1, 31, tzinfo=UTC)
Lines = Callable[[], list[dict[str, Any]]]
QUIET = ("httpx", "httpcore", "aiohttp", "stamina")


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Put back what ``configure`` changes for the whole process."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in QUIET}
    yield
    root.handlers[:], root.level = handlers, level
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
    structlog.reset_defaults()


def json_lines(capsys: pytest.CaptureFixture[str]) -> Lines:
    """Set up JSON lines; return how to read what was written."""
    configure(LogFormat.JSON, "info")

    def read() -> list[dict[str, Any]]:
        captured = capsys.readouterr()
        assert captured.out == ""
        return [json.loads(line) for line in captured.err.split("\n")[:-1]]

    return read


def fail_with_a_secret_at_hand() -> None:
    billing_key = "planted-billing-key"
    raise ValueError(len(billing_key))


def test_a_line_says_what_when_and_where(capsys: pytest.CaptureFixture[str]) -> None:
    lines = json_lines(capsys)
    structlog.get_logger("our.module").info("task_done", outcome="paid 23 · unknown 1", count=3)
    (line,) = lines()
    assert datetime.fromisoformat(line.pop("timestamp")).tzinfo is not None
    assert line == {
        "event": "task_done",
        "outcome": "paid 23 · unknown 1",
        "count": 3,
        "level": "info",
        "logger": "our.module",
    }


def test_lines_of_other_libraries_look_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    lines = json_lines(capsys)
    logging.getLogger("celery.worker").warning("lost %s of %d\n%s", "😀", 3, "second line")
    (line,) = lines()
    assert line["event"] == "lost 😀 of 3\nsecond line"
    assert (line["level"], line["logger"]) == ("warning", "celery.worker")


@pytest.mark.parametrize(
    "value",
    [
        "줄\n바꿈\r\n \x00 \u2028 \u0085 끝",
        {"a": [1, None]},
        object(),
        b"\xff",
        float("nan"),
        2**80,
    ],
    ids=lambda value: type(value).__name__,
)
def test_any_value_makes_one_line(capsys: pytest.CaptureFixture[str], value: object) -> None:
    lines = json_lines(capsys)
    structlog.get_logger().info("odd", value=value)
    logging.getLogger("other").error("odd %r", value)
    assert [line["event"][:3] for line in lines()] == ["odd", "odd"]


def test_a_traceback_is_one_line_and_shows_no_values(capsys: pytest.CaptureFixture[str]) -> None:
    lines = json_lines(capsys)
    try:
        fail_with_a_secret_at_hand()
    except ValueError:
        structlog.get_logger().exception("send_failed", attempt_id=1)
        logging.getLogger("other").exception("failed")
    ours, theirs = lines()
    for line in (ours, theirs):
        assert "ValueError: 19" in line["exception"]
        assert "planted" not in str(line).replace('billing_key = "planted', "")
    assert ours["attempt_id"] == 1


@pytest.mark.parametrize(
    "key",
    ["customer_uid", "imp_key", "imp_secret", "access_token", "authorization", "Authorization"],
)
def test_a_value_under_a_secret_name_is_hidden(
    capsys: pytest.CaptureFixture[str], key: str
) -> None:
    lines = json_lines(capsys)
    structlog.get_logger().info("odd", **{key: "planted"})
    structlog.contextvars.bind_contextvars(**{key: "planted"})
    structlog.get_logger().info("odd")
    structlog.contextvars.clear_contextvars()
    assert [line[key] for line in lines()] == ["…", "…"]


def test_a_value_under_a_secret_name_is_hidden_inside_others(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = json_lines(capsys)
    structlog.get_logger().info("odd", body={"customer_uid": "planted"})
    assert "planted" not in str(lines())


def test_what_holds_a_billing_key_or_a_person_does_not_show_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = json_lines(capsys)
    buyer = Buyer("홍길동", "planted@example.com", "010-0000-0000")
    claim = Claim(
        attempt_id=1,
        invoice_id=2,
        subscription_id=uuid.UUID(int=3),
        billing_key_id=4,
        period=Period(0, NOW, NOW + timedelta(days=28)),
        number=1,
        send_number=1,
        merchant_uid="uid",
        customer_uid="planted",
        price=Price(9_900),
        order_name="슬림",
        buyer=buyer,
        declines=0,
        claimed_at=NOW,
        subscription_status=SubscriptionStatus.ACTIVE,
    )
    agreement = Agreement(Price(9_900), "슬림", BillingCycle(NOW, Interval(IntervalUnit.MONTH)))
    new = NewSubscription(uuid.UUID(int=3), "planted", buyer, agreement)
    structlog.get_logger().info("odd", claim=claim, buyer=buyer, new=new)
    logging.getLogger("other").info("%s %r %s", claim, buyer, [new])
    text = str(lines())
    assert "Claim(attempt_id=1" in text
    assert "planted" not in text
    assert "홍길동" not in text


@pytest.mark.parametrize("name", [*QUIET, "httpx._client", "httpcore.http11"])
def test_addresses_of_requests_are_not_written(
    capsys: pytest.CaptureFixture[str], name: str
) -> None:
    lines = json_lines(capsys)
    logging.getLogger(name).info("HTTP Request: GET https://host/customers/planted")
    logging.getLogger(name).debug("planted")
    assert lines() == []
    logging.getLogger(name).warning("trouble")
    assert [line["event"] for line in lines()] == ["trouble"]


def test_the_level_is_kept_by_everybody(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogFormat.JSON, "error")
    structlog.get_logger("ours").warning("quiet")
    logging.getLogger("theirs").warning("quiet")
    structlog.get_logger("ours").error("loud")
    logging.getLogger("theirs").error("loud")
    events = [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()]
    assert events == ["loud", "loud"]


def test_libraries_tell_nothing_below_info_since_some_repeat_whole_messages(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure(LogFormat.JSON, "debug")
    structlog.get_logger("worker.services").debug("ours")
    for name in ("celery.pool", "kombu", "redis", ""):
        logging.getLogger(name).debug("planted")
    events = [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()]
    assert events == ["ours"]


def test_setting_up_twice_writes_each_line_once(capsys: pytest.CaptureFixture[str]) -> None:
    lines = json_lines(capsys)
    configure(LogFormat.JSON, "info")
    structlog.get_logger().info("once")
    logging.getLogger("other").info("once")
    assert len(lines()) == 2


def test_people_read_lines_without_braces(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogFormat.CONSOLE, "info")
    structlog.get_logger("ours").info("task_done", outcome="paid 3", customer_uid="planted")
    try:
        fail_with_a_secret_at_hand()
    except ValueError:
        logging.getLogger("theirs").exception("failed")
    text = capsys.readouterr().err
    assert "task_done" in text
    assert "paid 3" in text
    assert "ValueError: 19" in text
    assert "planted" not in text.replace('billing_key = "planted', "")
