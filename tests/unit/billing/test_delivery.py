"""When an event is tried again at an endpoint, and when it is given up."""

from datetime import UTC, datetime, timedelta

import pytest

from shared.billing.delivery import Answer, DeliveryPolicy, DeliveryStatus, after_try
from shared.billing.errors import InvalidPolicyError
from shared.config import Settings

NOW = datetime(2026, 1, 31, tzinfo=UTC)
GAPS = (timedelta(seconds=5), timedelta(minutes=5), timedelta(hours=1))
POLICY = DeliveryPolicy(GAPS, timedelta(days=1), timedelta(days=5))
STEADY = DeliveryPolicy(GAPS, timedelta(days=1), timedelta(days=5), jitter=0.0)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_every_2xx_is_delivered(status: int) -> None:
    tried = after_try(Answer(status), 1, 2, POLICY, NOW)
    assert (tried.status, tried.next_try_at, tried.failures) == (
        DeliveryStatus.DELIVERED,
        None,
        0,
    )


@pytest.mark.parametrize("status", [None, 100, 199, 300, 301, 302, 307, 400, 401, 404, 429, 500])
def test_everything_else_is_tried_again(status: int | None) -> None:
    tried = after_try(Answer(status, "…"), 1, 0, STEADY, NOW)
    assert (tried.status, tried.next_try_at, tried.failures, tried.is_gone) == (
        DeliveryStatus.WAITING,
        NOW + GAPS[0],
        1,
        False,
    )


def test_the_waits_follow_the_schedule_and_then_it_is_given_up() -> None:
    waits = []
    for failures in range(3):
        tried = after_try(Answer(500), 1, failures, STEADY, NOW)
        assert tried.next_try_at is not None
        waits.append(tried.next_try_at - NOW)
    assert tuple(waits) == GAPS
    end = after_try(Answer(500), 1, 3, STEADY, NOW)
    assert (end.status, end.next_try_at) == (DeliveryStatus.GIVEN_UP, None)


def test_deliveries_that_failed_together_do_not_come_back_together() -> None:
    waits = set()
    for delivery_id in range(1, 201):
        tried = after_try(Answer(500), delivery_id, 1, POLICY, NOW)
        assert tried.next_try_at is not None
        waits.add(tried.next_try_at - NOW)
    assert len(waits) > 190
    assert min(waits) >= GAPS[1]
    assert max(waits) <= GAPS[1] * 1.2
    assert max(waits) - min(waits) > GAPS[1] * 0.15


@pytest.mark.parametrize(
    ("asked", "waits"),
    [
        (None, GAPS[1]),
        (timedelta(0), GAPS[1]),
        (timedelta(seconds=30), GAPS[1]),
        (timedelta(hours=2), timedelta(hours=2)),
        (timedelta(days=40), timedelta(days=1)),
    ],
)
def test_an_endpoint_may_ask_for_more_time_within_bounds(
    asked: timedelta | None, waits: timedelta
) -> None:
    tried = after_try(Answer(503, "HTTP 503", asked), 1, 1, STEADY, NOW)
    assert tried.next_try_at == NOW + waits


def test_gone_is_gone_and_the_event_is_not_to_blame() -> None:
    tried = after_try(Answer(410, "HTTP 410"), 1, len(GAPS), STEADY, NOW)
    assert tried.is_gone
    assert (tried.status, tried.next_try_at) == (DeliveryStatus.WAITING, NOW)


@pytest.mark.parametrize(
    "changes",
    [
        {"gaps": (timedelta(0),)},
        {"retry_after_max": timedelta(0)},
        {"disable_after": timedelta(0)},
        {"jitter": 1.1},
        {"jitter": -0.1},
    ],
)
def test_a_policy_that_cannot_be_followed_is_refused(changes: dict[str, object]) -> None:
    values = {"gaps": GAPS, "retry_after_max": GAPS[0], "disable_after": GAPS[0], **changes}
    with pytest.raises(InvalidPolicyError):
        DeliveryPolicy(**values)  # type: ignore[arg-type]


def test_by_default_an_endpoint_that_is_away_is_disabled_before_anything_is_given_up() -> None:
    settings = Settings.model_construct()
    assert sum(settings.endpoint_retry_gaps_s) > settings.endpoint_disable_after_s
