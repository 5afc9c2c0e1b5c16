"""One side's round: fresh tables, workers, messages, a window of steady work, then the gate."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import redis

from deploy.launcher.children import Child, stop_together
from deploy.launcher.errors import WaitTimeoutError
from deploy.launcher.waiting import wait_until
from shared.clock import WallClock
from tests.bench.correctness import Gateway, IncorrectError, faults_of, left_in_broker
from tests.bench.cpu import Sampler, proportional_memory_mb
from tests.bench.side import Ledger, Performance, Side, Stage

# What lies outside is starting, opening connections, and the last ones' wait.
WINDOW = (0.1, 0.9)
# A fixed latency would make everything go in lock-step.
JITTER = 0.5

_READY_TIMEOUT_S = 90.0
_STALL_S = 60.0
_EMPTY_TIMEOUT_S = 30.0
_POLL_S = 0.25
_ACCOMPANY_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Figures:
    """What one round of one side came to.

    Attributes:
        charges: How many there were in all.
        window_s: How long the window lasted.
        charges_per_s: In the window.
        cpu_s_per_1k: By component, in the window: CPU seconds for 1,000 charges.
        publish_cpu_s_per_1k: What publishing the messages cost the publisher.
        memory_mb: The workers' proportional share of memory at the end.
        round_s: From the first message to the last acknowledgement.
    """

    charges: int
    window_s: float
    charges_per_s: float
    cpu_s_per_1k: Mapping[str, float]
    publish_cpu_s_per_1k: float
    memory_mb: float
    round_s: float


@dataclass(frozen=True, slots=True)
class Task:
    """What a round shall do.

    Attributes:
        charges: How many invoices are due.
        latency_ms: The gateway's, varied by half of it in both directions.
        plant: Called with the stage before the gate, to see that the gate shuts.
    """

    charges: int
    latency_ms: float
    plant: Callable[[Stage], None] | None = None


def play(stage: Stage, side: Side, task: Task, show: Callable[[int], None]) -> Figures:
    """Play one round; ``show`` is told the number of charges done so far.

    Raises:
        IncorrectError: A charge is missing, doubled or told differently.
        LauncherError: A process died or stood still.
    """
    _set_the_stage(stage, task)
    with side.on(stage) as playing:
        stage.sandbox.register(playing.prepare(task.charges))
        workers = playing.workers()
        try:
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.wait_for_log(r"@\S+ ready\.", timeout_s=_READY_TIMEOUT_S)
            with Sampler(_roots(stage, workers), _unix_now_s) as sampler:
                began_s, cpu_began_s = time.monotonic(), time.process_time()
                playing.publish()
                publish_cpu_s = time.process_time() - cpu_began_s
                _wait_until_paid(playing, workers, task.charges, show)
                left = _wait_until_empty(stage, side)
                round_s = time.monotonic() - began_s
            memory_mb = proportional_memory_mb([worker.pid for worker in workers])
            stop_together(workers)
        finally:
            for worker in workers:
                worker.kill()
        if task.plant is not None:
            task.plant(stage)
        ledger = playing.ledger()
    gateway = Gateway(stage.sandbox.book(), stage.sandbox.requests())
    if faults := faults_of(task.charges, ledger, gateway, left):
        raise IncorrectError(side.name, faults)
    begin_s, end_s = _window(ledger)
    thousands = task.charges * (WINDOW[1] - WINDOW[0]) / 1000
    return Figures(
        charges=task.charges,
        window_s=end_s - begin_s,
        charges_per_s=thousands * 1000 / (end_s - begin_s),
        cpu_s_per_1k={
            name: sampler.used_s(name, begin_s, end_s) / thousands
            for name in _roots(stage, workers)
        },
        publish_cpu_s_per_1k=publish_cpu_s / task.charges * 1000,
        memory_mb=memory_mb,
        round_s=round_s,
    )


def _set_the_stage(stage: Stage, task: Task) -> None:
    """Have the gateway and the broker forget the round before."""
    stage.sandbox.reset()
    stage.sandbox.faults(latency_ms=task.latency_ms, latency_jitter=JITTER)
    with redis.Redis.from_url(stage.servers.valkey.url) as client:
        client.flushall()


def _roots(stage: Stage, workers: list[Child]) -> dict[str, list[int]]:
    """Return the processes whose trees are measured, by component."""
    postgres, valkey = stage.servers.postgres.child, stage.servers.valkey.child
    assert postgres is not None
    assert valkey is not None
    return {
        "worker": [worker.pid for worker in workers],
        "postgres": [postgres.pid],
        "valkey": [valkey.pid],
        "sandbox": [stage.sandbox_process.pid],
    }


def _wait_until_paid(
    playing: Performance, workers: list[Child], charges: int, show: Callable[[int], None]
) -> None:
    """Wait until every invoice is paid; give up on a death, or when nothing moves any more."""
    paid, moved_at_s = 0, time.monotonic()
    accompany_at_s = moved_at_s + _ACCOMPANY_EVERY_S
    while paid < charges:
        time.sleep(_POLL_S)
        for worker in workers:
            worker.require_alive()
        now_s = time.monotonic()
        if now_s >= accompany_at_s:
            playing.accompany()
            accompany_at_s = now_s + _ACCOMPANY_EVERY_S
        before, paid = paid, playing.paid()
        show(paid)
        if paid != before:
            moved_at_s = now_s
        elif now_s - moved_at_s > _STALL_S:
            problem = f"{paid} of {charges} invoices are paid, and nothing moved for {_STALL_S:g} s"
            raise WaitTimeoutError(problem, "\n".join(worker.tail_text() for worker in workers))


def _wait_until_empty(stage: Stage, side: Side) -> dict[str, int]:
    """Wait until the broker holds nothing; return what it holds when it takes too long."""
    url = stage.servers.valkey.url
    try:
        wait_until(
            lambda: not left_in_broker(url, side.queues),
            "the broker is empty",
            timeout_s=_EMPTY_TIMEOUT_S,
            interval_s=_POLL_S,
        )
    except WaitTimeoutError:
        return left_in_broker(url, side.queues)
    return {}


def _window(ledger: Ledger) -> tuple[float, float]:
    """Return the instants at which a tenth and nine tenths of the charges were settled."""
    settled = sorted(row.settled_at_s for row in ledger.attempts if row.settled_at_s is not None)
    begin, end = (round(share * len(settled)) for share in WINDOW)
    return settled[begin - 1], settled[end - 1]


def _unix_now_s() -> float:
    return WallClock().now().timestamp()
