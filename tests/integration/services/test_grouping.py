"""Grouping: what comes together is worked together, and nobody pays for a neighbour."""

import asyncio
from collections.abc import Sequence

import pytest

from tests.support.billing import until
from worker.services.grouping import Grouping

LONG_S = 60.0


class Doubling:
    """Work that doubles, and remembers which groups it was given."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.door: asyncio.Event | None = None

    async def __call__(self, group: Sequence[int]) -> list[int]:
        """Double every item, unless one of them is negative."""
        self.groups.append(list(group))
        if self.door is not None and len(self.groups) == 1:
            await self.door.wait()
        if any(item < 0 for item in group):
            raise ValueError("negative")
        return [2 * item for item in group]


def test_what_comes_together_is_worked_together_and_answered_in_order() -> None:
    async def scenario() -> None:
        work = Doubling()
        grouping = Grouping(work)
        assert await asyncio.gather(*(grouping(item) for item in range(9))) == [*range(0, 18, 2)]
        assert work.groups == [list(range(9))]

    asyncio.run(scenario())


def test_a_full_group_does_not_linger() -> None:
    async def scenario() -> None:
        work = Doubling()
        grouping = Grouping(work, linger_s=LONG_S, size_max=3)
        async with asyncio.timeout(5):
            assert await asyncio.gather(*map(grouping, range(6))) == [0, 2, 4, 6, 8, 10]
        assert work.groups == [[0, 1, 2], [3, 4, 5]]

    asyncio.run(scenario())


def test_the_rest_after_a_full_group_lingers_anew() -> None:
    async def scenario() -> None:
        work = Doubling()
        grouping = Grouping(work, linger_s=0.01, size_max=3)
        assert await asyncio.gather(*map(grouping, range(4))) == [0, 2, 4, 6]
        assert await grouping(7) == 14
        assert work.groups == [[0, 1, 2], [3], [7]]

    asyncio.run(scenario())


def test_a_group_under_way_does_not_hold_up_the_next() -> None:
    async def scenario() -> None:
        work = Doubling()
        work.door = asyncio.Event()
        grouping = Grouping(work, linger_s=0.0)
        slow = asyncio.create_task(grouping(1))
        await until(lambda: len(work.groups) == 1)
        assert await grouping(2) == 4
        assert not slow.done()
        work.door.set()
        assert await slow == 2

    asyncio.run(scenario())


def test_an_error_reaches_everybody_of_its_group_and_nobody_else() -> None:
    async def scenario() -> None:
        grouping = Grouping(Doubling(), linger_s=LONG_S, size_max=2)
        answers = await asyncio.gather(*map(grouping, (1, -1, 2, 3)), return_exceptions=True)
        assert [str(answer) for answer in answers] == ["negative", "negative", "4", "6"]

    asyncio.run(scenario())


def test_a_waiter_that_is_cancelled_harms_nobody_and_its_item_is_worked() -> None:
    async def scenario() -> None:
        work = Doubling()
        grouping = Grouping(work, linger_s=0.02)
        tasks = [asyncio.create_task(grouping(item)) for item in range(3)]
        await asyncio.sleep(0)
        tasks[1].cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert answers[::2] == [0, 4]
        assert isinstance(answers[1], asyncio.CancelledError)
        assert work.groups == [[0, 1, 2]]

    asyncio.run(scenario())


def test_a_waiter_that_is_cancelled_while_its_group_fails_harms_nobody() -> None:
    async def scenario() -> None:
        work = Doubling()
        work.door = asyncio.Event()
        grouping = Grouping(work, linger_s=0.0)
        tasks = [asyncio.create_task(grouping(item)) for item in (-1, -2)]
        await until(lambda: len(work.groups) == 1)
        tasks[0].cancel()
        work.door.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(answers[0], asyncio.CancelledError)
        assert isinstance(answers[1], ValueError)

    asyncio.run(scenario())


@pytest.mark.parametrize("ending", ["too few results", "cancelled"])
def test_whatever_the_work_does_nobody_waits_for_ever(ending: str) -> None:
    async def work(group: Sequence[int]) -> list[int]:
        if ending == "cancelled":
            raise asyncio.CancelledError
        return list(group)[:-1]

    async def scenario() -> None:
        grouping = Grouping(work)
        tasks = [asyncio.create_task(grouping(item)) for item in range(2)]
        _, pending = await asyncio.wait(tasks, timeout=0.2)
        for task in pending:
            task.cancel()
        assert not pending
        assert tasks[-1].cancelled() or tasks[-1].exception() is not None

    asyncio.run(scenario())
