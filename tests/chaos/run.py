"""One run: everything is started, broken under load, left in peace, and compared."""

import random
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from rich.console import Console

from deploy.launcher.children import Child
from deploy.launcher.directories import checkout_state, make_directory
from deploy.launcher.errors import LauncherError
from deploy.launcher.ports import HOST
from deploy.launcher.servers import OwnServers, temporary_servers
from shared.db import migrate
from shared.jobs.commands import RefundPayment
from tests.chaos import findings
from tests.chaos.calm import CALM_GATEWAY, Calm
from tests.chaos.clocks import Clocks
from tests.chaos.deeds import Conductor
from tests.chaos.findings import Findings
from tests.chaos.fleet import Fleet, overrides
from tests.chaos.load import Merchant
from tests.chaos.plan import gateway_settings, plan
from tests.chaos.report import Report
from tests.chaos.screen import Screen
from tests.chaos.weather import Weather
from tests.support.sandbox import IMP_KEY, IMP_SECRET, SandboxControl
from tests.support.system import CHECKOUT, running_system

_TICK_S = 0.05
_UNDO_TIMEOUT_S = 60.0
_KEPT_RUNS = 20


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for.

    Attributes:
        calm_s: How long everything may take to come to its end afterwards.
    """

    seed: int
    seconds: float
    calm_s: float
    batch: int = 3


def run(options: Options, console: Console) -> Report:
    """Run once and return what came of it; nothing is left running whatever happens."""
    artefacts = _artefacts(options.seed)
    with ExitStack() as resources, Screen(console) as screen:
        began_s = time.monotonic()
        screen.say(f"starting everything; logs go to {artefacts}")
        stage = resources.enter_context(_stage(options, artefacts))
        started_s = time.monotonic()
        _storm(stage, options, screen)
        calm_at_s = time.monotonic()
        calm = _settle(stage, options, screen)
        ended_s = time.monotonic()
        report = _report(stage, options, artefacts, calm)
        report.seconds = {
            "start": round(started_s - began_s, 1),
            "chaos": round(calm_at_s - started_s, 1),
            "recovery": round(ended_s - calm_at_s, 1),
        }
    report.write()
    return report


@dataclass
class _Stage:
    """Everything that runs."""

    fleet: Fleet
    weather: Weather
    merchant: Merchant
    conductor: Conductor
    charges_in_storm: int = 0


@contextmanager
def _stage(options: Options, artefacts: Path) -> Iterator[_Stage]:
    with ExitStack() as resources:
        # Whole pages: a SIGKILL may cut the write of one in two.
        settings = {"full_page_writes": "on"}
        servers = resources.enter_context(
            temporary_servers(logs=artefacts, postgres_settings=settings)
        )
        migrate.upgrade(servers.postgres.url)
        sandbox = resources.enter_context(_sandbox(artefacts))
        weather = Weather(_upstreams(servers, sandbox), options.seed)
        resources.callback(weather.stop)
        weather.start()
        clocks = Clocks(make_directory(artefacts / "clocks"))
        system = resources.enter_context(
            running_system(
                servers,
                servers.postgres.url,
                sandbox,
                artefacts,
                overrides(_proxied(servers, sandbox, weather)),
            )
        )
        system.of_one = clocks.variables
        fleet = Fleet(system, clocks)
        fleet.start()
        gateway = gateway_settings(options.seed)
        sandbox.faults(**gateway, webhook_url=f"{fleet.receiver}/webhooks/portone")
        chance = random.Random(f"{options.seed}/merchant")  # noqa: S311 - reproducible, no secret
        merchant = Merchant(system, fleet, clocks, chance, options.batch)
        resources.callback(merchant.stop)
        conductor = Conductor(fleet, weather)
        resources.callback(conductor.abandon)
        yield _Stage(fleet, weather, merchant, conductor)


@contextmanager
def _sandbox(logs: Path) -> Iterator[SandboxControl]:
    child = Child(
        "sandbox",
        [
            sys.executable,
            *("-m", "deploy.sandbox", "--host", HOST, "--port", "0"),
            *("--imp-key", IMP_KEY, "--imp-secret", IMP_SECRET),
        ],
        log=logs / "sandbox.log",
        cwd=CHECKOUT,
    )
    child.start()
    try:
        url = child.wait_for_log(r"^sandbox: (http://\S+)$", timeout_s=30)[1]
        with SandboxControl(url) as control:
            yield control
    finally:
        child.kill()


def _upstreams(servers: OwnServers, sandbox: SandboxControl) -> dict[str, tuple[str, int]]:
    gateway = urlsplit(sandbox.url).port
    assert gateway is not None
    return {
        "gateway": (HOST, gateway),
        "database": (HOST, servers.postgres.port),
        "broker": (HOST, servers.valkey.port),
    }


def _proxied(servers: OwnServers, sandbox: SandboxControl, weather: Weather) -> dict[str, str]:
    """Return the addresses by which our processes find everything: through the weather."""
    direct = {
        "DALMADA_PORTONE_BASE_URL": ("gateway", sandbox.url),
        "DALMADA_DATABASE_URL": ("database", servers.postgres.url),
        "DALMADA_REDIS_URL": ("broker", servers.valkey.url),
    }
    return {name: _moved(url, weather.links[link].port) for name, (link, url) in direct.items()}


def _moved(url: str, port: int) -> str:
    parts = urlsplit(url)
    before, _, _ = parts.netloc.rpartition(":")
    return urlunsplit(parts._replace(netloc=f"{before}:{port}"))


def _storm(stage: _Stage, options: Options, screen: Screen) -> None:
    """Do everything that is planned, while the load goes on and the dead are started again."""
    conductor, left = stage.conductor, list(plan(options.seed, options.seconds))
    conductor.begun_at_s = time.monotonic()
    stage.merchant.start()
    while conductor.now_s < options.seconds:
        while left and left[0].at_s <= conductor.now_s:
            conductor.begin(left.pop(0))
        stage.fleet.watch(conductor.now_s)
        screen.storm(conductor, options.seconds, len(stage.merchant.subscribed))
        time.sleep(_TICK_S)
    for deed in left:
        conductor.begin(deed)


def _settle(stage: _Stage, options: Options, screen: Screen) -> Calm:
    """Let the weather turn calm, and wait until everything has come to its end."""
    stage.merchant.stop()
    stage.charges_in_storm = len(stage.fleet.system.sandbox.paid())
    screen.say("calm: every fault is undone")
    conductor, planned = stage.conductor, plan(options.seed, options.seconds)

    def watch() -> None:
        stage.fleet.watch(conductor.now_s)

    conductor.finish(_UNDO_TIMEOUT_S, watch)
    conductor.encore(planned, _UNDO_TIMEOUT_S, watch)
    stage.weather.end()
    stage.fleet.clocks.agree()
    stage.fleet.system.sandbox.faults(**CALM_GATEWAY)
    stage.fleet.is_calm = True
    calm = Calm(stage.fleet, stage.merchant)
    for left in calm.wait(options.calm_s):
        watch()
        screen.calm(left)
    return calm


def _report(stage: _Stage, options: Options, artefacts: Path, calm: Calm) -> Report:
    system, merchant, conductor = stage.fleet.system, stage.merchant, stage.conductor
    settings = gateway_settings(options.seed)
    return Report(
        seed=options.seed,
        policy=str(settings["duplicate_policy"]),
        kills=conductor.kills,
        faults=conductor.faults,
        findings=_compare(stage, calm),
        timeline=sorted(conductor.done, key=lambda done: done.at_s),
        idle=conductor.idle_kinds(plan(options.seed, options.seconds)),
        deaths=stage.fleet.deaths,
        artefacts=artefacts,
        faults_of_ours=merchant.faults,
        load=merchant.did + merchant.buyers.did,
        endings=_bad_endings(system.sandbox),
        naps=calm.naps,
        charges_in_storm=stage.charges_in_storm,
    )


def _compare(stage: _Stage, calm: Calm) -> Findings:
    merchant, system = stage.merchant, stage.fleet.system
    world = findings.read(
        system.rows,
        system.sandbox.book(),
        stage.fleet.clocks.now(),
        commands={
            id_: said.command.amount
            for id_, said in merchant.said.items()
            if isinstance(said.command, RefundPayment)
        },
        used=merchant.buyers.used,
        console={done.imp_uid: done.amount for done in merchant.console},
        left=[
            *calm.left,
            *(
                f"{death.role} died of itself after the weather had turned calm: {death.how}"
                for death in stage.fleet.deaths
                if death.in_calm
            ),
        ],
    )
    return findings.compare(world)


def _bad_endings(sandbox: SandboxControl) -> Mapping[str, int]:
    """Return how often which ending disturbed anything."""
    endings = sandbox.requests()["endings"]
    return {name: number for name, number in endings.items() if name not in {"paid", "done"}}


def _artefacts(seed: int) -> Path:
    """Return a new directory for the logs of a run, and remove those of runs long ago."""
    folder = make_directory(checkout_state(CHECKOUT) / "artefacts")
    runs = sorted(folder.glob("chaos-*"), key=lambda path: path.stat().st_mtime)
    for old in runs[:-_KEPT_RUNS]:
        shutil.rmtree(old, ignore_errors=True)
    for number in range(1, 10_000):
        path = folder / f"chaos-{seed}-{number}"
        if not path.exists():
            return make_directory(path)
    raise LauncherError("there are 10,000 runs of this seed", f"remove {folder}/chaos-{seed}-*")
