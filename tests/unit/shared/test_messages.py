"""Messages: what their contracts take, what Celery is told, and the line a task leaves."""

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from celery import Celery
from pydantic import ValidationError

from scheduler.tasks import TASKS
from scheduler.timetable import DAILY, DAILY_LOOK_S, SCANS, timetable
from shared.config import LogFormat, Settings
from shared.jobs import contracts
from shared.jobs.canonical import canonical_line
from shared.jobs.celery_settings import celery_settings
from shared.jobs.commands import COMMANDS, ReceiveWebhook
from shared.jobs.contracts import BATCH_SIZE_MAX, JOBS, ChargeInvoices, Job
from shared.jobs.enqueue import batches
from shared.logs import configure


def made(**values: Any) -> Settings:
    secrets = {
        "database_url": "postgresql://nowhere",
        "redis_url": "redis://nowhere",
        "portone_imp_key": "key",
        "portone_imp_secret": "secret",
    }
    return Settings(**{**secrets, **values})


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"invoice_ids": []},
        {"invoice_ids": None},
        {"invoice_ids": 1},
        {"invoice_ids": "12"},
        {"invoice_ids": [0]},
        {"invoice_ids": [-1]},
        {"invoice_ids": [2**63]},
        {"invoice_ids": ["1"]},
        {"invoice_ids": [1.0]},
        {"invoice_ids": [True]},
        {"invoice_ids": [[1]]},
        {"invoice_ids": list(range(1, BATCH_SIZE_MAX + 2))},
        {"invoice_ids": [1], "amount": 100},
    ],
    ids=lambda body: str(body)[:40],
)
def test_what_is_no_list_of_ids_is_refused(body: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ChargeInvoices.model_validate_json(json.dumps(body))


@pytest.mark.parametrize("ids", [[1], [2**63 - 1], list(range(1, BATCH_SIZE_MAX + 1)), [5, 5]])
def test_a_list_of_ids_is_taken(ids: list[int]) -> None:
    assert ChargeInvoices.model_validate_json(json.dumps({"invoice_ids": ids})).invoice_ids == (
        *ids,
    )


def test_every_message_has_a_name_of_its_own_and_a_queue_of_ours() -> None:
    messages: list[type[Job]] = [*JOBS, *COMMANDS, ReceiveWebhook]
    names = [job.task for job in messages]
    assert len(set(names)) == len(names) >= 7
    queues = {value for name, value in vars(contracts).items() if name.endswith("_QUEUE")}
    assert {job.queue for job in messages} <= queues
    for name in names:
        assert name.count(".") == 1


def test_every_module_of_tasks_is_loaded_by_the_worker() -> None:
    root = Path(__file__).resolve().parents[3]
    entry = (root / "worker/app.py").read_text("utf-8")
    modules = {
        f"worker.tasks.{path.stem}"
        for path in (root / "worker/tasks").glob("*.py")
        if "@shared_task" in path.read_text("utf-8")
    }
    assert set(re.findall(r'"(worker\.tasks\.\w+)"', entry)) == modules


def test_no_message_of_our_own_has_a_field_that_is_no_list_of_ids() -> None:
    for job in JOBS:
        assert all(name.endswith("_ids") for name in job.model_fields)


@pytest.mark.parametrize(
    ("count", "sizes"), [(0, []), (1, [1]), (25, [25]), (26, [25, 1]), (60, [25, 25, 10])]
)
def test_batches_hold_everything_once_and_in_order(count: int, sizes: list[int]) -> None:
    made_batches = list(batches(range(count), 25))
    assert [len(batch) for batch in made_batches] == sizes
    assert [item for batch in made_batches for item in batch] == list(range(count))


class TestCelerySettings:
    @pytest.mark.parametrize("timeout_s", [61.0, 75.0, 600.0])
    def test_a_message_is_not_given_to_another_while_its_task_may_run(
        self, timeout_s: float
    ) -> None:
        settings = made(gateway_total_timeout_s=timeout_s, lease_s=timeout_s + 60)
        options = celery_settings(settings)["broker_transport_options"]
        longest_s = settings.send_window_s + timeout_s + 30
        assert options["visibility_timeout"] > longest_s

    def test_messages_are_json_and_end_with_their_work(self) -> None:
        values = celery_settings(made())
        assert values["accept_content"] == ["json"]
        assert values["task_acks_late"] is True
        assert values["task_reject_on_worker_lost"] is True
        assert values["worker_prefetch_multiplier"] == 1
        assert "result_backend" not in values

    def test_every_scan_is_in_the_timetable_and_expires_with_its_tick(self) -> None:
        table = timetable(made(scan_interval_s=7.0))
        for scan in SCANS:
            entry = table[scan.task]
            assert entry["task"] == scan.task
            assert entry["schedule"] == entry["options"]["expires"] == 7.0
            assert entry["options"]["queue"] == contracts.SCAN_QUEUE
        others = {each.job.task for each in DAILY} | {
            contracts.CheckInvariants.task,
            contracts.MarkDatabase.task,
        }
        assert table.keys() == {scan.task for scan in SCANS} | others

    def test_the_invariants_are_looked_at_as_often_as_is_set(self) -> None:
        entry = timetable(made(check_interval_s=45.0))[contracts.CheckInvariants.task]
        assert entry["schedule"] == entry["options"]["expires"] == 45.0
        assert entry["options"]["queue"] == contracts.INQUIRY_QUEUE

    def test_what_is_done_daily_is_looked_at_all_day_unless_it_is_switched_off(self) -> None:
        table = timetable(made())
        for daily in DAILY:
            entry = table[daily.job.task]
            assert entry["schedule"] == entry["options"]["expires"] == DAILY_LOOK_S
            assert entry["options"]["queue"] == daily.job.queue
        assert contracts.ReconcileBooks.task not in timetable(made(reconcile_at=""))
        assert contracts.ForeseeDay.task not in timetable(made(forecast_at=""))

    def test_every_scan_that_is_sent_has_a_task_that_runs_it(self) -> None:
        sent: list[type[Job]] = [*SCANS, contracts.MarkDatabase]
        assert sorted(task.name for task in TASKS) == sorted(scan.task for scan in sent)


@pytest.fixture
def app() -> Iterator[Celery]:
    """An app whose tasks are called in this process; logging is put back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    made_app = Celery("lines", set_as_current=False)
    yield made_app
    made_app.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def line_of(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    (found,) = [line for line in lines if line["event"] == "task_done"]
    return dict(found)


class TestCanonicalLine:
    def test_it_tells_name_outcome_ids_and_duration(
        self, app: Celery, capsys: pytest.CaptureFixture[str]
    ) -> None:
        @app.task(name="invoice.charge")
        def charge() -> str:
            with canonical_line() as line:
                line.add(invoices=3)
                return line.outcome("paid 3")

        configure(LogFormat.JSON, "info")
        result = charge.apply(task_id="a-task")
        assert result.result == "paid 3"
        line = line_of(capsys)
        assert (line["task"], line["task_id"]) == ("invoice.charge", "a-task")
        assert (line["outcome"], line["invoices"]) == ("paid 3", 3)
        assert line["redelivered"] is False
        assert 0 <= line["duration_s"] < 5
        assert "error" not in line

    def test_it_is_written_for_a_failure_as_well(
        self, app: Celery, capsys: pytest.CaptureFixture[str]
    ) -> None:
        @app.task(name="invoice.charge")
        def charge() -> str:
            with canonical_line():
                raise ConnectionRefusedError("secret address")

        configure(LogFormat.JSON, "info")
        assert charge.apply().state == "FAILURE"
        line = line_of(capsys)
        assert (line["outcome"], line["error"]) == ("failed", "ConnectionRefusedError")

    def test_what_it_binds_is_gone_afterwards(self, app: Celery) -> None:
        @app.task(name="invoice.charge")
        def charge() -> None:
            with canonical_line():
                assert structlog.contextvars.get_contextvars()["task"] == "invoice.charge"

        assert charge.apply().successful()
        assert structlog.contextvars.get_contextvars() == {}
