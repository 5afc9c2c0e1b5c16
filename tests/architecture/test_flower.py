import ast
import base64
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import pytest
from celery import Celery
from celery.events.state import Task
from celery.utils.saferepr import saferepr
from flower.command import apply_env_options, apply_options
from flower.views.tasks import visible_task_columns
from tornado.options import options

from deploy.launcher.children import Child
from deploy.launcher.ports import HOST, free_port
from deploy.launcher.servers import temporary_servers
from deploy.launcher.waiting import wait_until
from shared.jobs.contracts import (
    ChargeInvoices,
    DispatchInvoices,
    EndSubscriptions,
    InquireAttempts,
)
from tests.architecture.checkout import CHECKOUT, read

CONFIG = "deploy/flower/flowerconfig.py"
LOGIN = "planted-user:planted-password"
SECRET = "planted-secret 010-1234-5678"
API_VARIABLE = "FLOWER_UNAUTHENTICATED_API"
WAIT_S = 60.0


def loaded(*arguments: str, **variables: str) -> dict[str, Any]:
    """What Flower's own functions make of variables, arguments and our file."""
    before = {option: option._value for option in options._options.values()}
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("FLOWER_")]:
            patch.delenv(name)
        for name, value in variables.items():
            patch.setenv(name, value)
        try:
            apply_env_options()
            apply_options("flower", [f"--conf={CHECKOUT / CONFIG}", "--logging=none", *arguments])
            return {**options.as_dict(), API_VARIABLE: os.environ.get(API_VARIABLE)}
        finally:
            for option, value in before.items():
                option._value = value


class TestSettings:
    def test_flower_takes_every_one(self) -> None:
        shown = loaded("--address=127.0.0.1")
        assert shown["read_only"] is True
        assert shown["natural_time"] is False
        assert shown["max_tasks"] == 10_000
        assert shown["purge_offline_workers"] == 600
        assert shown["persistent"] is False
        assert shown["format_task"].__name__ == "format_task"

    def test_every_name_that_is_set_is_an_option_and_no_import_is_taken_for_one(self) -> None:
        body = ast.parse(read(CONFIG)).body
        names = {
            target.id
            for node in body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        names |= {node.name for node in body if isinstance(node, ast.FunctionDef)}
        imports = {
            alias.asname or alias.name
            for node in body
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
        assert {name for name in names if not name.startswith("_")} <= set(options)
        assert not {name for name in names if name.startswith("_")} & set(options)
        assert not imports & set(options)

    def test_every_column_is_one_that_flower_can_show(self) -> None:
        columns = loaded("--address=127.0.0.1")["tasks_columns"]
        assert [slug for slug, _ in visible_task_columns(columns)] == columns.split(",")
        assert {"name", "uuid", "state", "result", "kwargs"} <= set(columns.split(","))

    def test_no_variable_makes_it_writable_or_opens_its_api(self) -> None:
        shown = loaded(
            "--address=127.0.0.1", FLOWER_READ_ONLY="false", FLOWER_UNAUTHENTICATED_API="true"
        )
        assert shown["read_only"] is True
        assert shown[API_VARIABLE] is None

    def test_a_variable_decides_what_is_left_open(self) -> None:
        shown = loaded("--address=127.0.0.1", FLOWER_PERSISTENT="true", FLOWER_URL_PREFIX="flower")
        assert shown["persistent"] is True
        assert shown["url_prefix"] == "flower"

    @pytest.mark.parametrize("address", [(), ("--address=0.0.0.0",), ("--address=::",)])
    def test_it_does_not_start_open_to_everybody(self, address: tuple[str, ...]) -> None:
        with pytest.raises(SystemExit, match="Flower needs FLOWER_BASIC_AUTH=user:password"):
            loaded(*address)

    def test_it_starts_for_others_behind_a_login(self) -> None:
        assert loaded("--address=0.0.0.0", FLOWER_BASIC_AUTH=LOGIN)["basic_auth"] == [LOGIN]

    @pytest.mark.parametrize("login", ["", "user", "user:", "user:pass,word", ":password"])
    def test_a_login_that_is_none_is_refused(self, login: str) -> None:
        with pytest.raises(SystemExit, match="must be user:password"):
            loaded("--address=127.0.0.1", FLOWER_BASIC_AUTH=login)


@pytest.fixture(scope="module")
def format_task() -> Callable[[Task], Task]:
    hook: Callable[[Task], Task] = loaded(f"--address={HOST}")["format_task"]
    return hook


class TestFormatTask:
    @pytest.mark.parametrize(
        ("ids", "shown"),
        [
            ([7], "invoice_ids 7"),
            ([1, 2, 3], "invoice_ids 1-3"),
            ([9, 1, 2, 3, 5, 8], "invoice_ids 1-3, 5, 8-9"),
            ([1, 3, 5], "invoice_ids 1, 3, 5"),
            (list(range(1, 501)), "invoice_ids 1-223, …"),
            (list(range(10**18, 10**18 + 99)), f"invoice_ids {10**18}-{10**18 + 47}, …"),
        ],
        ids=["one", "run", "several", "apart", "cut between numbers", "cut within a number"],
    )
    def test_ids_of_our_messages_are_shown(
        self, format_task: Callable[[Task], Task], ids: list[int], shown: str
    ) -> None:
        kwargs = saferepr({"invoice_ids": ids}, 1024)
        task = format_task(Task("1", name=ChargeInvoices.task, args="()", kwargs=kwargs))
        assert task.kwargs == shown
        assert task.args is None

    @pytest.mark.parametrize("count", [1, 2, 60])
    def test_ids_that_are_no_numbers_are_shown_too(
        self, format_task: Callable[[Task], Task], count: int
    ) -> None:
        ids = [str(UUID(int=number)) for number in range(count)]
        kwargs = saferepr({"subscription_ids": ids}, 1024)
        task = format_task(Task("1", name=EndSubscriptions.task, args="()", kwargs=kwargs))
        shown = str(task.kwargs)
        assert shown.startswith(f"subscription_ids {', '.join(ids[:2])}")
        assert shown.endswith(", …") == (count == 60)

    def test_nothing_of_a_command_is_shown_but_how_it_ended(
        self, format_task: Callable[[Task], Task]
    ) -> None:
        said = {"command_id": "c-1", "customer_uid": SECRET}
        task = format_task(
            Task("1", name="billing_key.delete", args="()", kwargs=saferepr(said), result="'done'")
        )
        assert (task.kwargs, task.result) == ("hidden", "done")

    def test_a_message_made_to_keep_flower_busy_does_not(
        self, format_task: Callable[[Task], Task]
    ) -> None:
        kwargs = "{'invoice_ids': [" + "1" * 100_000 + ", 1" * 100_000 + "x]}"
        started_s = time.monotonic()
        assert format_task(Task("1", name=ChargeInvoices.task, kwargs=kwargs)).kwargs == "hidden"
        assert time.monotonic() - started_s < 1

    def test_a_message_without_arguments_shows_none(
        self, format_task: Callable[[Task], Task]
    ) -> None:
        task = format_task(Task("1", name=DispatchInvoices.task, args="()", kwargs="{}"))
        assert (task.args, task.kwargs) == (None, "")

    def test_the_outcome_of_our_task_reads_well(self, format_task: Callable[[Task], Task]) -> None:
        result = saferepr("paid 23 · declined 1")
        task = format_task(Task("1", name=ChargeInvoices.task, result=result))
        assert task.result == "paid 23 · declined 1"

    @pytest.mark.parametrize(
        ("name", "kwargs"),
        [
            ("subscription.start", {"customer_uid": SECRET}),
            ("subscription.start", {"invoice_ids": [1]}),
            (None, {"invoice_ids": [1]}),
            (ChargeInvoices.task, {"invoice_ids": [1], "buyer": SECRET}),
            (ChargeInvoices.task, {"invoice_ids": [SECRET]}),
            (ChargeInvoices.task, {"invoice_ids": SECRET}),
            (ChargeInvoices.task, {"invoice_ids": [1.5]}),
            (ChargeInvoices.task, {"invoice_ids": [10**100]}),
            (ChargeInvoices.task, {"attempt_ids": [1]}),
            (ChargeInvoices.task, {"amount": 1000}),
            (InquireAttempts.task, {"invoice_ids": [1]}),
            (DispatchInvoices.task, {"invoice_ids": [1]}),
        ],
    )
    def test_anything_else_is_hidden(
        self, format_task: Callable[[Task], Task], name: str | None, kwargs: dict[str, object]
    ) -> None:
        task = format_task(Task("1", name=name, args=f"('{SECRET}',)", kwargs=saferepr(kwargs)))
        assert (task.args, task.kwargs) == ("hidden", "hidden")

    def test_what_a_foreign_task_returned_is_hidden(
        self, format_task: Callable[[Task], Task]
    ) -> None:
        task = format_task(Task("1", name="somebody.elses", result=SECRET))
        assert task.result == "hidden"

    def test_a_failure_shows_its_kind_and_place_but_not_its_words(
        self, format_task: Callable[[Task], Task]
    ) -> None:
        frame = '  File "worker/x.py", line 7, in charge'
        task = format_task(
            Task(
                "1",
                name=ChargeInvoices.task,
                exception=f"IntegrityError('Key (customer_uid)=({SECRET})')",
                traceback=f"Traceback:\n{frame}\n    do('{SECRET}')\nIntegrityError: {SECRET}\n",
            )
        )
        assert task.exception == "IntegrityError"
        assert task.traceback == frame

    @pytest.mark.parametrize("value", [None, 0, (), [], {}, b"x"])
    def test_it_never_raises_since_flower_would_then_show_everything(
        self, format_task: Callable[[Task], Task], value: object
    ) -> None:
        for name in (ChargeInvoices.task, "other", None, ["other"]):
            format_task(
                Task(
                    "1",
                    name=name,
                    args=value,
                    kwargs=value,
                    result=value,
                    exception=value,
                    traceback=value,
                )
            )


@dataclass(frozen=True, slots=True)
class Running:
    """A Flower that answers, and the broker whose events it shows."""

    port: int
    broker: str

    def ask(self, method: str, path: str, login: str = "", body: str = "") -> tuple[int, str]:
        """The status and text of one answer."""
        credentials = base64.b64encode(login.encode()).decode()
        headers = {"Authorization": f"Basic {credentials}"} if login else {}
        connection = HTTPConnection(HOST, self.port, timeout=10)
        try:
            connection.request(method, path, body or None, headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def answers(self) -> bool:
        try:
            return self.ask("GET", "/healthcheck") == (200, "OK")
        except OSError:
            return False


@pytest.fixture(scope="module")
def flowers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Running]]:
    """Two of them on one broker: one behind a login, one without."""
    logs = tmp_path_factory.mktemp("flower")
    with temporary_servers() as servers, ExitStack() as undo:
        running = {}
        children = []
        for name, login in (("login", LOGIN), ("open", None)):
            port = free_port()
            child = Child(
                f"flower {name}",
                [
                    *(sys.executable, "-m", "celery", "-A", "worker.app", "flower"),
                    *(f"--address={HOST}", f"--port={port}", f"--conf={CONFIG}"),
                ],
                log=logs / f"{name}.log",
                env={
                    **os.environ,
                    **servers.environment,
                    "DALMADA_PORTONE_IMP_KEY": "planted-key",
                    "DALMADA_PORTONE_IMP_SECRET": "planted-secret",
                    "FLOWER_UNAUTHENTICATED_API": "true",
                    **({"FLOWER_BASIC_AUTH": login} if login else {}),
                },
                cwd=CHECKOUT,
            )
            undo.callback(child.stop)
            child.start()
            children.append(child)
            running[name] = Running(port, servers.valkey.url)
        for child, one in zip(children, running.values(), strict=True):
            wait_until(one.answers, child.name, timeout_s=WAIT_S, check=child.require_alive)
        yield running


@pytest.fixture
def told(flowers: dict[str, Running]) -> dict[str, str]:
    """Ids of a task of ours and of a foreign one that both Flowers have been told about."""
    uuids = {"ours": "00000000-ours", "foreign": "00000000-foreign"}
    messages = {
        "ours": (ChargeInvoices.task, "()", saferepr({"invoice_ids": [41, 42, 43]})),
        "foreign": ("subscription.start", f"('{SECRET}',)", saferepr({"buyer": SECRET})),
    }
    app = Celery(broker=flowers["open"].broker)

    def tell() -> bool:
        # Whoever did not listen yet has missed it, so it is told again.
        with app.connection_for_write() as connection:
            events = app.events.Dispatcher(connection, hostname="charge@test")
            events.send("worker-online")
            for which, (name, args, kwargs) in messages.items():
                fields = {"uuid": uuids[which], "name": name, "args": args, "kwargs": kwargs}
                events.send("task-received", retries=0, **fields)
            events.close()
        return all(
            one.ask("GET", f"/task/{uuid}", LOGIN)[0] == 200
            for one in flowers.values()
            for uuid in uuids.values()
        )

    wait_until(tell, "both Flowers know the tasks", timeout_s=WAIT_S, interval_s=0.2)
    return uuids


READ_ONLY = [
    ("POST", "/api/task/send-task/invoice.charge", '{"kwargs": {"invoice_ids": [1]}}'),
    ("POST", "/api/task/apply/invoice.charge", '{"kwargs": {"invoice_ids": [1]}}'),
    ("POST", "/api/task/async-apply/invoice.charge", '{"kwargs": {"invoice_ids": [1]}}'),
    ("POST", "/api/task/revoke/1", ""),
    ("POST", "/api/worker/shutdown/charge@test", ""),
    ("POST", "/api/worker/queue/cancel-consumer/charge@test?queue=billing.charge", ""),
]


class TestRunning:
    @pytest.mark.parametrize("path", ["/", "/tasks", "/broker"])
    def test_pages_are_shown_to_whoever_may_see_them(
        self, flowers: dict[str, Running], path: str
    ) -> None:
        assert flowers["open"].ask("GET", path)[0] == 200
        assert flowers["login"].ask("GET", path)[0] == 401
        assert flowers["login"].ask("GET", path, "planted-user:wrong")[0] == 401
        assert flowers["login"].ask("GET", path, LOGIN)[0] == 200

    @pytest.mark.parametrize("path", ["/api/workers", "/api/tasks", "/api/queues/length"])
    def test_the_api_is_refused_without_a_login(
        self, flowers: dict[str, Running], path: str
    ) -> None:
        assert flowers["open"].ask("GET", path)[0] == 401
        assert flowers["login"].ask("GET", path)[0] == 401

    @pytest.mark.parametrize(("method", "path", "body"), READ_ONLY)
    def test_nothing_can_be_sent_or_stopped(
        self, flowers: dict[str, Running], method: str, path: str, body: str
    ) -> None:
        status, text = flowers["login"].ask(method, path, LOGIN, body)
        assert status == 403
        assert text == "Read only mode is enabled"
        assert flowers["open"].ask(method, path, "", body)[0] == 401

    def test_a_task_of_ours_is_listed_with_its_ids(
        self, flowers: dict[str, Running], told: dict[str, str]
    ) -> None:
        rows = {row["uuid"]: row for row in json.loads(listing(flowers["open"]))["data"]}
        assert rows[told["ours"]]["kwargs"] == "invoice_ids 41-43"
        assert "invoice_ids 41-43" in flowers["open"].ask("GET", f"/task/{told['ours']}")[1]

    def test_a_foreign_task_is_listed_without_what_it_says(
        self, flowers: dict[str, Running], told: dict[str, str]
    ) -> None:
        rows = {row["uuid"]: row for row in json.loads(listing(flowers["open"]))["data"]}
        assert rows[told["foreign"]]["kwargs"] == "hidden"
        for page in (
            listing(flowers["open"]),
            flowers["open"].ask("GET", f"/task/{told['foreign']}")[1],
        ):
            assert SECRET not in page
            assert SECRET.split()[1] not in page


def listing(running: Running) -> str:
    """The rows of the list of tasks, as the page asks for them."""
    query = {
        "draw": 1,
        "start": 0,
        "length": 50,
        "search[value]": "",
        "order[0][column]": 0,
        "order[0][dir]": "asc",
        "columns[0][data]": "name",
    }
    status, text = running.ask("GET", f"/tasks/datatable?{urlencode(query)}")
    assert status == 200
    return text
