import importlib.util
import re
import shlex
import tomllib
from importlib.metadata import requires
from pathlib import Path, PurePosixPath
from typing import Any

import click
import flower.options  # noqa: F401 - defines what tornado's options are asked for
import pytest
from celery.bin.beat import beat
from celery.bin.worker import worker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from pydantic import SecretStr
from ruamel.yaml import YAML
from tornado.options import options

from deploy.launcher.environment import Environment
from deploy.launcher.stack import Stack, charge_worker, command_worker, scan_worker
from deploy.launcher.terminal import Terminal
from scheduler.metrics import MetricsSettings
from shared.config import ReceiverSettings, Settings
from shared.jobs import contracts
from shared.jobs.celery_settings import celery_settings
from shared.jobs.commands import COMMANDS, ReceiveWebhook
from shared.jobs.contracts import COMMAND_QUEUE, EVENT_QUEUE, WEBHOOK_QUEUE
from tests.architecture.checkout import CHECKOUT, own_files, pyproject, read, run, tool

DOCKERFILE = "deploy/Dockerfile"
COMPOSE = "deploy/compose.yaml"
IGNORE = ".dockerignore"
SERVERS = frozenset({"postgres", "valkey"})

SCHEMA = tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec")
YAMLLINT = tool("yamllint", "--strict", "--config-file", CHECKOUT / ".yamllint.yaml")
HADOLINT = tool("hadolint", "--config", CHECKOUT / ".hadolint.yaml", "--no-color")

services: dict[str, dict[str, Any]] = YAML(typ="safe").load(read(COMPOSE))["services"]
ours = {name: service for name, service in services.items() if name not in SERVERS}
commands = {
    name: [*service.get("entrypoint", []), *service["command"]] for name, service in ours.items()
}
WORKERS = ("scan", "charge", "command")
celery_commands = {name: argv for name, argv in commands.items() if argv[0] == "celery"}


class TestCheckers:
    def test_compose_keeps_its_schema(self) -> None:
        ran = run([*SCHEMA, COMPOSE])
        assert ran.status == 0, ran.output

    def test_a_misspelt_key_in_compose_is_reported(self, tmp_path: Path) -> None:
        planted = tmp_path / "compose.yaml"
        planted.write_text(read(COMPOSE).replace("healthcheck:", "healtcheck:", 1))
        ran = run([*SCHEMA, str(planted)])
        assert ran.status == 1
        assert "healtcheck" in ran.output

    def test_every_yaml_file_is_clean(self) -> None:
        files = [name for name in own_files() if name.endswith((".yaml", ".yml"))]
        assert COMPOSE in files
        ran = run([*YAMLLINT, *files])
        assert ran.status == 0, ran.output

    def test_a_key_given_twice_in_yaml_is_reported(self, tmp_path: Path) -> None:
        planted = tmp_path / "compose.yaml"
        planted.write_text(read(COMPOSE) + "name: dalmada\n")
        ran = run([*YAMLLINT, str(planted)])
        assert ran.status == 1
        assert 'duplication of key "name"' in ran.output

    def test_the_dockerfile_is_clean(self) -> None:
        ran = run([*HADOLINT, DOCKERFILE])
        assert ran.status == 0, ran.output

    @pytest.mark.parametrize(
        ("planted", "rule"),
        [
            ("FROM python", "DL3006"),
            ("RUN cd /tmp", "DL3003"),
            ("RUN apt-get update && apt-get install -y curl", "DL3008"),
            ("RUN echo $1", "SC2086"),
        ],
    )
    def test_a_fault_in_the_dockerfile_is_reported(
        self, planted: str, rule: str, tmp_path: Path
    ) -> None:
        path = tmp_path / "Dockerfile"
        path.write_text(f"{read(DOCKERFILE)}\n{planted}\n")
        ran = run([*HADOLINT, str(path)])
        assert ran.status == 1
        assert rule in ran.output


class TestCommands:
    @pytest.mark.parametrize("name", ours)
    def test_a_command_names_a_module_that_exists(self, name: str) -> None:
        assert module_of(commands[name]) is not None

    def test_a_command_of_no_module_is_noticed(self) -> None:
        assert module_of(["celery", "-A", "worker.nothing", "worker"]) is None
        assert module_of(["python", "-m", "shared.nothing"]) is None
        assert module_of(["nothing"]) is None

    def test_the_image_runs_a_command_that_exists_unless_told_otherwise(self) -> None:
        stages = {"dalmada": "dalmada", "sandbox": "python"}
        for stage, program in stages.items():
            argv = YAML(typ="safe").load(instructions(stage)["CMD"][0])
            assert argv[0] == program
            assert module_of(argv) is not None

    @pytest.mark.parametrize("name", celery_commands)
    def test_celery_knows_every_option(self, name: str) -> None:
        subcommand, *arguments = celery_commands[name][3:]
        assert unknown_options(subcommand, arguments) == []

    def test_an_option_unknown_to_celery_is_noticed(self) -> None:
        for subcommand in ("worker", "beat", "flower"):
            assert unknown_options(subcommand, ["--withuot=x"]) == ["--withuot=x"]

    def test_every_process_of_the_local_stack_is_a_service(self) -> None:
        # Beat, the workers, Flower, the receiver, the sandbox and the migration; metrics beside.
        applications = {tuple(argv[2:4]) for argv in celery_commands.values()}
        assert applications == {
            ("scheduler.app", "beat"),
            ("scheduler.app", "worker"),
            ("worker.app", "worker"),
            ("worker.app", "flower"),
        }
        assert commands["migrate"][1:] == ["-m", "shared.db.migrate", "upgrade"]
        assert commands["sandbox"][1:3] == ["-m", "deploy.sandbox"]
        assert commands["receiver"][1:3] == ["-m", "worker.receiver"]
        assert commands["metrics"][1:3] == ["-m", "scheduler.metrics"]
        assert commands["dalmada"][0] == "dalmada"

    def test_every_queue_has_a_worker(self) -> None:
        constants = {value for name, value in vars(contracts).items() if name.endswith("_QUEUE")}
        jobs: list[type[contracts.Job]] = [*contracts.JOBS, *COMMANDS, ReceiveWebhook]
        used = {job.queue for job in jobs}
        in_compose = [queue for name in WORKERS for queue in queues_of(celery_commands[name])]
        assert set(in_compose) == constants == used
        assert len(in_compose) == len(constants), "a queue has workers of two kinds"

    def test_neither_a_flood_from_outside_nor_a_slow_endpoint_delays_a_charge(self) -> None:
        others = {COMMAND_QUEUE, WEBHOOK_QUEUE, EVENT_QUEUE}
        assert queues_of(celery_commands["command"]) == others

    def test_the_local_stack_works_the_same_queues(self, tmp_path: Path) -> None:
        terminal = Terminal()
        stack = Stack(Environment(CHECKOUT, terminal), terminal, CHECKOUT, tmp_path, tmp_path, {})
        children = [scan_worker(stack), charge_worker(stack, 1), command_worker(stack)]
        for name, child in zip(WORKERS, children, strict=True):
            assert queues_of(child.argv) == queues_of(celery_commands[name])


class TestHardening:
    @pytest.mark.parametrize("name", services)
    def test_a_service_can_change_nothing_and_gain_nothing(self, name: str) -> None:
        service = services[name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert "cap_add" not in service
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["init"] is True
        assert "privileged" not in service

    @pytest.mark.parametrize("name", services)
    def test_a_service_is_not_root(self, name: str) -> None:
        user = services[name]["user"]
        assert user == ("10001:10001" if name in ours else name)

    def test_the_image_is_not_roots_either(self) -> None:
        users = instructions("unprivileged")["USER"]
        assert users == ["10001:10001"]
        for stage in ("dalmada", "sandbox"):
            assert "USER" not in instructions(stage)
            assert instructions(stage)["FROM"] == [f"unprivileged AS {stage}"]

    def test_ports_are_open_on_this_host_only(self) -> None:
        ports = [port for service in services.values() for port in service.get("ports", [])]
        assert ports
        assert all(port.startswith("127.0.0.1:") for port in ports)
        assert not any("network_mode" in service for service in services.values())

    def test_servers_and_scans_have_no_way_out(self) -> None:
        networks = YAML(typ="safe").load(read(COMPOSE))["networks"]
        open_ones = {name for name, network in networks.items() if not network.get("internal")}
        with_a_way_out = {
            name for name, service in services.items() if open_ones & set(service["networks"])
        }
        assert with_a_way_out == {"charge", "command", "receiver", "metrics", "sandbox", "flower"}

    def test_who_faces_the_internet_is_given_the_broker_and_no_other_secret(self) -> None:
        receiver = services["receiver"]
        assert "env_file" not in receiver
        given = receiver["environment"]
        fields = {f"DALMADA_{name.upper()}" for name in ReceiverSettings.model_fields}
        assert set(given) <= fields
        assert [name for name in given if name.endswith(("_URL", "_KEY", "_SECRET"))] == [
            "DALMADA_REDIS_URL"
        ]

    def test_who_tells_figures_is_given_no_secret_of_the_gateways(self) -> None:
        metrics = services["metrics"]
        assert "env_file" not in metrics
        fields = {f"DALMADA_{name.upper()}" for name in MetricsSettings.model_fields}
        assert set(metrics["environment"]) <= fields
        assert not any("PORTONE" in name for name in metrics["environment"])

    @pytest.mark.parametrize("name", WORKERS)
    def test_a_worker_may_end_its_requests_before_it_is_killed(self, name: str) -> None:
        nothing = SecretStr("unused")
        settings = Settings(
            database_url=nothing,
            redis_url=nothing,
            portone_imp_key=nothing,
            portone_imp_secret=nothing,
        )
        given_s = seconds(services[name]["stop_grace_period"])
        assert given_s > celery_settings(settings)["worker_soft_shutdown_timeout"]
        assert instructions("dalmada")["ENV"] == ["REMAP_SIGTERM=SIGQUIT"]

    def test_images_are_pinned_to_a_version(self) -> None:
        built = {"dalmada", "dalmada-sandbox"}
        images = {service["image"] for service in services.values()} - built
        images |= {line.split()[0] for line in instructions("base")["FROM"]}
        assert len(images) == 3
        for image in images:
            assert re.search(r":\d+(\.\d+)*-\w+", image), image


class TestImage:
    def test_the_build_backend_is_installed_whole(self) -> None:
        text = read(DOCKERFILE)
        listed = re.search(r"\(([\w|-]+)\)==", text)
        assert listed is not None
        (backend,) = pyproject()["build-system"]["requires"]
        assert set(listed[1].split("|")) == closure(Requirement(backend).name)

    def test_only_our_packages_and_what_they_lock_go_in(self) -> None:
        packages = pyproject()["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
        copied = sources("builder")
        assert copied[0] == "requirements-dev.lock"
        assert copied[1:4] == ["pyproject.toml", "README.md", "LICENSE"]
        assert sorted(copied[4:]) == sorted(packages)
        assert sources("dependencies") == ["requirements.lock"]
        assert sources("dalmada") == ["deploy/flower/flowerconfig.py"]
        assert sources("sandbox") == ["deploy/__init__.py", "deploy/sandbox"]

    def test_everything_that_is_copied_exists_and_is_sent_to_the_builder(self) -> None:
        lines = [line for line in read(IGNORE).splitlines() if line and line[0] != "#"]
        sent = {line.removeprefix("!") for line in lines if line.startswith("!")}
        stages = ("dependencies", "builder", "sandbox", "dalmada")
        copied = {source for stage in stages for source in sources(stage)}
        assert lines[0] == "*"
        assert sent == copied
        for source in copied:
            assert (CHECKOUT / source).exists(), source

    def test_what_the_sandbox_needs_comes_without_our_packages(self) -> None:
        assert "COPY --from=dependencies /opt/venv /opt/venv" in read(DOCKERFILE)
        assert "COPY --from=builder /opt/venv /opt/venv" in read(DOCKERFILE)

    def test_compose_builds_the_stages_of_the_dockerfile(self) -> None:
        for service in ours.values():
            build = service["build"]
            assert (CHECKOUT / "deploy" / build["context"]).resolve() == CHECKOUT
            assert build["dockerfile"] == DOCKERFILE
            assert instructions(build["target"])
            assert service["image"] == {"dalmada": "dalmada", "sandbox": "dalmada-sandbox"}.get(
                build["target"]
            )


def module_of(argv: list[str]) -> str | None:
    """The module a command runs, None if there is none."""
    if argv[0] == "celery":
        name = argv[argv.index("-A") + 1]
    elif argv[0] == "python":
        name = argv[argv.index("-m") + 1]
    else:
        entry = tomllib.loads(read("pyproject.toml"))["project"]["scripts"].get(argv[0], "")
        name = entry.partition(":")[0]
    try:
        found = importlib.util.find_spec(name) if name else None
    except ModuleNotFoundError:
        return None
    if found is not None and found.submodule_search_locations is not None:
        found = importlib.util.find_spec(f"{name}.__main__")
    return None if found is None else name


def unknown_options(subcommand: str, arguments: list[str]) -> list[str]:
    """The arguments that a subcommand of Celery would make nothing of."""
    if subcommand == "flower":
        return [one for one in arguments if one.removeprefix("--").partition("=")[0] not in options]
    command: click.Command = {"worker": worker, "beat": beat}[subcommand]
    parser = command.make_parser(click.Context(command, resilient_parsing=True))
    parser.ignore_unknown_options = True
    _, left, _ = parser.parse_args(list(arguments))
    return left


def queues_of(argv: list[str]) -> set[str]:
    return set(argv[argv.index("-Q") + 1].split(","))


def seconds(duration: str) -> int:
    match = re.fullmatch(r"(\d+)s", duration)
    assert match is not None
    return int(match[1])


def instructions(stage: str) -> dict[str, list[str]]:
    """The instructions of one stage: what follows each word, in order."""
    logical = re.sub(r"\\\n", " ", re.sub(r"(?m)^#.*\n", "", read(DOCKERFILE)))
    found: dict[str, list[str]] = {}
    current = ""
    for line in filter(str.strip, logical.splitlines()):
        word, _, rest = line.strip().partition(" ")
        if word == "FROM":
            current = rest.split()[-1]
        if current == stage:
            found.setdefault(word, []).append(" ".join(rest.split()))
    return found


def sources(stage: str) -> list[str]:
    """What a stage copies from the checkout, in order."""
    copies = [shlex.split(rest) for rest in instructions(stage).get("COPY", [])]
    return [
        str(PurePosixPath(source))
        for copy in copies
        if not copy[0].startswith("--from=")
        for source in copy[:-1]
    ]


def closure(distribution: str) -> set[str]:
    """A distribution and all it stands on here."""
    waiting: list[str] = [canonicalize_name(distribution)]
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            needed = [Requirement(text) for text in requires(name) or []]
            waiting += [
                canonicalize_name(one.name)
                for one in needed
                if one.marker is None or one.marker.evaluate({"extra": ""})
            ]
    return found
