"""Whatever is sent to the receiver: an answer, and nothing but valid messages in the queue."""

import json
from typing import Any
from urllib.parse import urlencode

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.jobs.commands import ReceiveWebhook
from shared.jobs.contracts import WEBHOOK_QUEUE
from tests.integration.receiver.conftest import Door

NAMES = [*ReceiveWebhook.model_fields, "imp_uid[]", "__proto__", ""]
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=60)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)
near = st.fixed_dictionaries(
    {"imp_uid": st.from_regex(r"imps?_[0-9]{1,12}", fullmatch=True) | values},
    optional={
        "merchant_uid": st.text(max_size=45) | values,
        "status": st.sampled_from(["paid", "ready", "failed", "cancelled"]) | values,
        "cancellation_id": st.text(max_size=70) | values,
        "more": values,
    },
)
anything = st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=10), values, max_size=6)
pairs = st.lists(
    st.tuples(st.sampled_from(NAMES) | st.text(max_size=8), st.text(max_size=50)), max_size=8
)
kinds = st.sampled_from(
    [
        "application/json",
        "application/json",
        "application/x-www-form-urlencoded",
        "application/x-www-form-urlencoded",
        "text/plain",
        "application/json;charset=euc-kr",
        "",
    ]
)


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def as_form(given: list[tuple[str, str]]) -> bytes:
    return urlencode(given, errors="surrogatepass").encode()


bodies = st.one_of(
    near.map(as_json),
    near.map(as_json),
    anything.map(as_json),
    values.map(as_json),
    pairs.map(as_form),
    st.binary(max_size=200),
    st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")),
)


def test_every_request_is_answered_and_only_valid_messages_are_queued(door: Door) -> None:
    statuses: dict[int, int] = {}

    @settings(
        max_examples=2_500,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(body=bodies, kind=kinds)
    def knock(body: bytes, kind: str) -> None:
        before = door.run(door.redis.llen(WEBHOOK_QUEUE))
        answer = door.ask(content=body, headers={"content-type": kind})
        status = answer.status_code
        statuses[status] = statuses.get(status, 0) + 1
        assert status in {200, 400, 413, 415}, answer.text
        after = door.run(door.redis.llen(WEBHOOK_QUEUE))
        assert after - before == (1 if status == 200 else 0)

    knock()

    # Each kind of answer was met, or the inputs prove little.
    assert statuses.keys() >= {200, 400, 415}
    assert statuses[200] >= 100
    for message in door.queued():
        assert ReceiveWebhook.model_validate(message).imp_uid
