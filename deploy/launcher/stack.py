"""All of Dalmada on one machine, from the migrations to Flower, ready for use."""

import os
import re
import secrets
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from deploy.launcher.children import Child, stop_together
from deploy.launcher.environment import Environment
from deploy.launcher.errors import ChildDiedError, LauncherError
from deploy.launcher.ports import HOST, free_port
from deploy.launcher.servers import Servers
from deploy.launcher.terminal import Terminal
from deploy.launcher.waiting import wait_until

# A demo shows in a minute what takes hours in production, so it waits less for everything. The
# order of the times is the one production needs: window + total time-out < lease.
DEMO_TIMINGS = {
    "DALMADA_SEND_WINDOW_S": "2",
    "DALMADA_GATEWAY_CONNECT_TIMEOUT_S": "1",
    "DALMADA_GATEWAY_READ_TIMEOUT_S": "3",
    "DALMADA_GATEWAY_TOTAL_TIMEOUT_S": "4",
    "DALMADA_LEASE_S": "7",
    "DALMADA_SETTLE_DELAY_S": "3",
    "DALMADA_SCAN_INTERVAL_S": "1",
    "DALMADA_INQUIRY_GAPS_S": "[1,2,4]",
    "DALMADA_RESEND_DELAY_S": "1",
    "DALMADA_RESEND_DELAY_MAX_S": "4",
    "DALMADA_HOLD_S": "3",
    "DALMADA_REDISPATCH_AFTER_S": "5",
    "DALMADA_DUNNING_DELAYS_S": "[3,3,3]",
}

_MIGRATE_TIMEOUT_S = 120.0
_READY_TIMEOUT_S = 90.0
_FLOWER_TRIES = 3
# Beyond this one PostgreSQL and one sandbox are the limit, not the workers.
_CHARGE_WORKERS_MAX = 8


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the parts that people look at are found."""

    sandbox: str
    flower: str
    receiver: str


@dataclass(slots=True)
class Stack:
    """The running parts, in the order in which they were started."""

    environment: Environment
    terminal: Terminal
    checkout: Path
    logs: Path
    state: Path
    variables: dict[str, str]
    children: list[Child] = field(default_factory=list)

    def child(self, name: str, *arguments: str | Path) -> Child:
        """One of Dalmada's processes, run by the environment's Python; not yet started."""
        child = Child(
            name,
            [self.environment.python, *arguments],
            log=self.logs / f"{name}.log",
            env={**self.environment.variables(), **self.variables},
            cwd=self.checkout,
        )
        self.children.append(child)
        return child

    def require_alive(self) -> None:
        """Raise ChildDiedError for the first part that has ended."""
        for child in self.children:
            child.require_alive()


def charge_worker_count() -> int:
    """One a core, unless DALMADA_CHARGE_WORKERS says otherwise."""
    asked = os.environ.get("DALMADA_CHARGE_WORKERS")
    if asked is None:
        cores = (
            len(os.sched_getaffinity(0))
            if hasattr(os, "sched_getaffinity")
            else os.cpu_count() or 1
        )
        return min(cores, _CHARGE_WORKERS_MAX)
    if not re.fullmatch(r"[1-9][0-9]?", asked):
        problem = f"DALMADA_CHARGE_WORKERS is {asked!r}"
        raise LauncherError(problem, "it must be a number from 1 to 99")
    return int(asked)


def migrate(stack: Stack) -> None:
    """Bring the database's tables up to date."""
    with stack.terminal.step("migrating the database") as step:
        child = stack.child("migrate", "-m", "shared.db.migrate", "upgrade")
        stack.children.remove(child)
        child.start()
        try:
            wait_until(
                lambda: not child.is_alive,
                "migrations are done",
                timeout_s=_MIGRATE_TIMEOUT_S,
                check=step.tick,
            )
            if child.returncode != 0:
                raise child.death()
        finally:
            child.kill()
        step.result = "database migrated"


@contextmanager
def running_stack(stack: Stack, servers: Servers) -> Iterator[Addresses]:
    """Start everything above the servers and end it again, the last started first."""
    stack.variables.update(servers.environment)
    with ExitStack() as undo:
        # It comes up while the database is migrated; the sandbox has to know where it is.
        receiver = _receiver(stack)
        undo.callback(receiver.stop)
        receiver.start()
        migrate(stack)
        match = receiver.wait_for_log(r"^receiver: (http://\S+)$", timeout_s=_READY_TIMEOUT_S)
        sandbox = _start_sandbox(stack, undo, webhook_url=f"{match[1]}/webhooks/portone")
        flower = _start_workers(stack, undo, receiver)
        yield Addresses(sandbox=sandbox, flower=flower, receiver=match[1])


def _receiver(stack: Stack) -> Child:
    """The receiver of webhooks, not started; on a free port unless one is asked for."""
    port = os.environ.get("DALMADA_RECEIVER_PORT", "0")
    return stack.child("receiver", "-m", "worker.receiver", "--host", HOST, "--port", port)


def _start_sandbox(stack: Stack, undo: ExitStack, *, webhook_url: str) -> str:
    key, secret = secrets.token_hex(8), secrets.token_hex(24)
    with stack.terminal.step("starting the sandbox") as step:
        child = stack.child(
            "sandbox",
            *("-m", "deploy.sandbox", "--host", HOST, "--port", "0"),
            *("--imp-key", key, "--imp-secret", secret),
            *("--webhook-url", webhook_url),
        )
        undo.callback(child.stop)
        child.start()
        match = child.wait_for_log(r"^sandbox: (http://\S+)$", timeout_s=_READY_TIMEOUT_S)
        step.result = f"sandbox {match[1]}"
    stack.variables.update(
        DALMADA_PORTONE_BASE_URL=match[1],
        DALMADA_PORTONE_IMP_KEY=key,
        DALMADA_PORTONE_IMP_SECRET=secret,
        DALMADA_PORTONE_PG="naverpay",
    )
    return match[1]


def _start_workers(stack: Stack, undo: ExitStack, receiver: Child) -> str:
    count = charge_worker_count()
    charge = [charge_worker(stack, number) for number in range(1, count + 1)]
    command = command_worker(stack)
    scan = scan_worker(stack)
    beat = _beat(stack)
    # Ended in this order: nothing is watched, then nothing is asked for, then nothing is done.
    undo.callback(stop_together, [*charge, command])
    undo.callback(stop_together, [beat, scan, receiver])
    with stack.terminal.step(f"starting beat, {count + 2} workers and Flower") as step:
        for child in (*charge, command, scan, beat):
            child.start()

        def check() -> None:
            step.tick()
            stack.require_alive()

        # Flower takes longest and is waited for first, while the others come up beside it.
        url = _start_flower(stack, undo, check)
        ready = [(child, r"@\S+ ready\.") for child in (*charge, command, scan)]
        for child, pattern in (*ready, (beat, r"beat: Starting")):
            wait_until(
                _logged(child, pattern),
                f"{child.name} is ready",
                timeout_s=_READY_TIMEOUT_S,
                check=check,
                interval_s=0.05,
            )
        step.result = f"beat, {count} charge workers, command and scan worker and Flower ready"
    return url


def _celery(stack: Stack, name: str, app: str, *arguments: str) -> Child:
    return stack.child(name, "-m", "celery", "-A", app, *arguments)


def _worker(stack: Stack, name: str, app: str, queues: Sequence[str], threads: int) -> Child:
    return _celery(
        stack,
        name,
        app,
        *("worker", "--pool", "threads", "-c", str(threads), "-Q", ",".join(queues)),
        *("-n", f"{name}@%h", "--without-mingle", "--without-gossip", "-l", "info"),
    )


def charge_worker(stack: Stack, number: int) -> Child:
    """A worker of the queues that move money; not started."""
    queues = ("billing.charge", "billing.inquiry", "billing.refund")
    return _worker(stack, f"charge{number}", "worker.app", queues, threads=16)


def command_worker(stack: Stack) -> Child:
    """A worker of what others ask for, say and are told, which delays no charge; not started."""
    queues = ("billing.command", "billing.webhook", "billing.event")
    return _worker(stack, "command", "worker.app", queues, threads=16)


def scan_worker(stack: Stack) -> Child:
    """The worker of the scan queue; not started."""
    return _worker(stack, "scan", "scheduler.app", ("billing.scan",), threads=4)


def _beat(stack: Stack) -> Child:
    # Only schedulers that keep a file read the option; none may leave one in the checkout.
    schedule = f"--schedule={stack.state / 'celerybeat-schedule'}"
    return _celery(stack, "beat", "scheduler.app", "beat", "-l", "info", schedule)


def _start_flower(stack: Stack, undo: ExitStack, check: Callable[[], None]) -> str:
    for left in reversed(range(_FLOWER_TRIES)):
        port = free_port()
        url = f"http://{HOST}:{port}"
        child = _celery(
            stack,
            "flower",
            "worker.app",
            *("flower", f"--address={HOST}", f"--port={port}"),
            "--conf=deploy/flower/flowerconfig.py",
        )
        undo.callback(child.stop)
        child.start()
        try:
            wait_until(
                partial(_answers, f"{url}/healthcheck"),
                "Flower answers",
                timeout_s=_READY_TIMEOUT_S,
                check=check,
                interval_s=0.05,
            )
        except ChildDiedError as error:
            taken = not child.is_alive and "in use" in error.remedy
            if not (left and taken):
                raise
            stack.children.remove(child)
        else:
            break
    return url


def _logged(child: Child, pattern: str) -> Callable[[], object]:
    compiled = re.compile(pattern)
    return lambda: compiled.search(child.output())


def _answers(url: str) -> bool:
    # Without the user's proxy settings: the address is on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2.0):
            return True
    except OSError:
        return False
