"""What happens in a storm: to processes, to messages, to the gateway and to time."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from scheduler.bootstrap import Scans
from scheduler.timetable import SCANS
from tests.simulation.broker import Message
from tests.simulation.deeds import DEEDS, Deed
from tests.simulation.installation import Worker
from tests.simulation.life import Life
from tests.simulation.weather import OUTAGES

# Past a window, past a lease, past lease and settle delay, past a broker's patience.
_WAITS_S: Final[Mapping[float, int]] = {0.05: 4, 1: 4, 8: 4, 31: 3, 125: 3, 310: 4, 1_900: 1}


async def tick(life: Life) -> None:
    """Let beat tick: whatever is due, or everything, once or twice."""
    due = life.outlook.due()
    scans = [scan for scan in SCANS if scan in due and due[scan] <= life.now]
    if life.dice.random() < 0.15:
        scans = list(SCANS)
    life.installation.tick(scans * life.dice.choice((1, 1, 1, 2)))


async def deliver(life: Life) -> None:
    """Hand out a few of the messages that wait, in any order."""
    for _ in range(life.dice.choice((1, 2, 4, 8))):
        waiting = life.installation.broker.everything()
        if not waiting:
            return
        life.hand_over(life.dice.choice(waiting))


async def wait(life: Life) -> None:
    """Let time pass."""
    await life.breathe(life.choose(_WAITS_S))


async def go_on(life: Life) -> None:
    """Let everybody come to an end who can within a moment."""
    await life.breathe(life.dice.choice((0.5, 2.0)))


def _pick(life: Life) -> Message | None:
    waiting = life.installation.broker.everything()
    return life.dice.choice(waiting) if waiting else None


async def lose(life: Life) -> None:
    """Lose a message."""
    if message := _pick(life):
        life.installation.broker.lose(message)


async def double(life: Life) -> None:
    """Let a message come twice."""
    if message := _pick(life):
        life.installation.broker.double(message)


async def delay(life: Life) -> None:
    """Let a message come long after."""
    if message := _pick(life):
        life.hold_back(message, life.dice.choice((20.0, 130.0, 400.0, 90_000.0)))


async def come_again(life: Life) -> None:
    """Deliver once more what was delivered before, however long ago."""
    if life.worked:
        life.installation.broker.double(life.dice.choice(life.worked))


async def redeliver(life: Life) -> None:
    """Deliver once more what is being worked at this instant."""
    tags = list(life.installation.broker.unacknowledged)
    if tags:
        life.installation.broker.give_back(life.dice.choice(tags))


async def flush(life: Life) -> None:
    """Empty the broker."""
    life.note("the broker is emptied")
    life.installation.broker.flush()


def _living(life: Life) -> list[Worker]:
    return [worker for worker in life.installation.workers if worker.process.alive]


async def kill(life: Life) -> None:
    """Let a process die, wherever it is."""
    worker = life.dice.choice(_living(life))
    life.note(f"{worker.process.name} is killed")
    worker.process.die()
    life.replace_the_dead()


async def die_soon(life: Life) -> None:
    """Let a process die at one of the next points that are passed."""
    life.dies_in = life.dice.choice((1, 2, 3, 5, 8, 13, 21))


async def pause(life: Life) -> None:
    """Have a process stand still in the midst of its work."""
    running = [
        worker
        for worker in _living(life)
        if worker.actors and not worker.process.paused and not isinstance(worker.services, Scans)
    ]
    if running:
        worker = life.dice.choice(running)
        worker.process.paused = True
        life.note(f"{worker.process.name} stands still")
        life.start_beside()


async def wake(life: Life) -> None:
    """Let those who stand still go on."""
    for worker in _living(life):
        if worker.process.paused:
            worker.process.paused = False
            life.note(f"{worker.process.name} wakes up")


async def refuse(life: Life) -> None:
    """Have the gateway take no connections, or take them again."""
    for worker in _living(life):
        if worker.transport is not None:
            worker.transport.refuses = not worker.transport.refuses and life.dice.random() < 0.5


async def outage(life: Life) -> None:
    """Have everything at the gateway go wrong in one way, or let it be as it was."""
    if life.dice.random() < 0.5:
        life.set_weather({**life.weather, **life.dice.choice(OUTAGES)}, "outage")
    else:
        life.set_weather(life.storm, "storm")


MISHAPS: Final[Mapping[str, Callable[[Life], Awaitable[None]]]] = {
    step.__name__: step
    for step in (
        tick,
        deliver,
        wait,
        go_on,
        lose,
        double,
        delay,
        come_again,
        redeliver,
        flush,
        kill,
        die_soon,
        pause,
        wake,
        refuse,
        outage,
    )
}
STEPS: Final[Mapping[str, Deed]] = {**MISHAPS, **DEEDS}
