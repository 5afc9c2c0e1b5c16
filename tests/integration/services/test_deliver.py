"""Events delivered to endpoints: fanned out, in order, at least once, and given up in the end."""

import asyncio
from datetime import datetime, timedelta

import pytest
from sqlalchemy import text

from shared.billing.delivery import Answer
from shared.billing.events import EventName
from shared.db import endpoints
from shared.db.deliveries import Parcel
from tests.support.billing import RESEND_AFTER, World, until
from tests.support.endpoints import POLICY, EndpointDesk, Told

DOWN = Answer(500, "HTTP 500")


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def desk(world: World, told: Told) -> EndpointDesk:
    return EndpointDesk(world, told)


async def pass_the_gap(desk: EndpointDesk, failures: int) -> None:
    desk.world.pass_time(POLICY.gaps[failures - 1] * 1.2)


class TestFanOut:
    def test_every_enabled_endpoint_that_wants_an_event_is_told_of_it(
        self, desk: EndpointDesk, told: Told
    ) -> None:
        async def scenario() -> None:
            every = await desk.add("https://a.example.com/")
            some = await desk.add("https://b.example.com/", EventName.INVOICE_OPENED)
            await desk.add("https://c.example.com/", EventName.INVOICE_PAID)
            off = await desk.add("https://d.example.com/")
            await desk.world.database.run(
                lambda connection: endpoints.disable(
                    connection, off, "asked", desk.world.clock.now()
                )
            )
            owner = (await desk.world.subscribe())[0]
            await desk.happen(owner)
            assert [(row.endpoint_id, row.status) for row in await desk.deliveries()] == [
                *((every, "waiting"),) * 2,
                (some, "waiting"),
            ]
            assert await desk.deliver() == ["delivered"] * 3

        desk.world.run(scenario())
        assert [parcel.name for parcel in told.parcels].count("invoice.opened") == 2
        assert told.parcels[0].data["at"]

    def test_what_was_relayed_before_an_endpoint_was_added_is_not_told(
        self, desk: EndpointDesk
    ) -> None:
        async def scenario() -> None:
            owner = (await desk.world.subscribe())[0]
            await desk.happen(owner)
            await desk.add()
            await desk.happen(owner)
            assert len(await desk.deliveries()) == 1

        desk.world.run(scenario())

    def test_events_and_their_deliveries_are_written_together_or_not_at_all(
        self, desk: EndpointDesk
    ) -> None:
        async def scenario() -> None:
            await desk.add()
            # Nothing can be written of a delivery: then nothing is relayed either.
            await desk.world.rows("ALTER TABLE deliveries ADD CHECK (endpoint_id < 0)")
            try:
                with pytest.raises(Exception, match="check constraint"):
                    await desk.happen(None)
            finally:
                await desk.world.rows(
                    "ALTER TABLE deliveries DROP CONSTRAINT deliveries_endpoint_id_check"
                )
            (row,) = await desk.world.rows("SELECT relayed_at FROM events")
            assert row.relayed_at is None
            await desk.relay()
            assert len(await desk.deliveries()) == 1

        desk.world.run(scenario())


class TestOrder:
    def test_what_fails_keeps_what_follows_of_its_subscription_and_nothing_else(
        self, desk: EndpointDesk, told: Told
    ) -> None:
        async def scenario() -> None:
            await desk.add()
            first, second = (await desk.world.subscribe())[0], (await desk.world.subscribe())[0]
            await desk.relay()
            await desk.deliver()
            told.parcels.clear()
            refused: set[int] = set()

            async def post(parcel: Parcel, now: datetime, /) -> Answer:
                await told(parcel, now)
                if parcel.subscription_id == first and len(refused) < 1:
                    refused.add(parcel.event_id)
                    return DOWN
                return Answer(200)

            desk.post = post
            await desk.happen(first, 3)
            await desk.happen(second, 3)
            await desk.happen(None, 2)
            await desk.deliver()
            assert [p.data["position"] for p in told.parcels if p.subscription_id == first] == [0]
            others = [p for p in told.parcels if p.subscription_id != first]
            assert [p.data["position"] for p in others if p.subscription_id] == [0, 1, 2]
            assert len(others) == 5
            await pass_the_gap(desk, 1)
            await desk.deliver()
            assert [p.data["position"] for p in told.parcels if p.subscription_id == first] == [
                *(0, 0, 1, 2)
            ]

        desk.world.run(scenario())

    @pytest.mark.parametrize("under_way_max", [3, 20])
    def test_several_workers_and_failures_keep_the_order_of_every_subscription(
        self, desk: EndpointDesk, under_way_max: int
    ) -> None:
        async def scenario() -> None:
            owners = [(await desk.world.subscribe())[0] for _ in range(5)]
            await desk.relay()
            await desk.add()
            await desk.add("https://other.example.com/")
            taken: dict[tuple[int, object], list[int]] = {}
            refused: set[tuple[int, int]] = set()
            count = 0

            async def post(parcel: Parcel, _now: datetime, /) -> Answer:
                nonlocal count
                count += 1
                await asyncio.sleep(0.001 * (count % 4))
                this = (parcel.endpoint_id, parcel.event_id)
                # Each at most once, whoever comes when: one that fails four times is given up.
                if parcel.event_id % 3 == 0 and this not in refused:
                    refused.add(this)
                    return DOWN
                place = (parcel.endpoint_id, parcel.subscription_id)
                taken.setdefault(place, []).append(parcel.event_id)
                return Answer(204)

            desks = [
                EndpointDesk(world, post, under_way_max=under_way_max)
                for world in (desk.world, desk.world.twin(), desk.world.twin())
            ]
            for owner in owners:
                await desk.happen(owner, 6)
            for _ in range(60):
                await asyncio.gather(*(each.deliver() for each in desks))
                if all(row.status != "waiting" for row in await desk.deliveries()):
                    break
                desk.world.pass_time(timedelta(hours=3))
            assert {row.status for row in await desk.deliveries()} == {"delivered"}
            assert len(refused) >= 10
            assert len(taken) == 10
            for ids in taken.values():
                assert ids == sorted(set(ids))
                assert len(ids) == 6

        desk.world.run(scenario())


class TestFailures:
    def test_an_event_is_tried_by_the_schedule_and_then_given_up(
        self, desk: EndpointDesk, told: Told
    ) -> None:
        async def scenario() -> None:
            await desk.add()
            owner = (await desk.world.subscribe())[0]
            told.script = [DOWN] * 4
            await desk.relay()
            await desk.happen(owner)
            assert await desk.deliver() == ["failed"]
            assert await desk.deliver() == []
            for failures in (1, 2):
                await pass_the_gap(desk, failures)
                assert await desk.deliver() == ["failed"]
            await pass_the_gap(desk, 3)
            # The last one, after which what waited behind it goes on.
            assert await desk.deliver() == ["given_up", "delivered"]
            first, second = await desk.deliveries()
            assert (first.status, first.tries, first.last_status) == ("given_up", 4, 500)
            assert first.last_error == "HTTP 500"
            assert (second.status, second.tries) == ("delivered", 1)
            assert (await desk.endpoint(first.endpoint_id)).failing_since is None

        desk.world.run(scenario())

    def test_of_an_endpoint_that_fails_one_delivery_is_tried_at_a_time(
        self, desk: EndpointDesk, told: Told
    ) -> None:
        async def scenario() -> None:
            await desk.add()
            await desk.happen(None, 30)
            told.script = [DOWN] * 21
            (first,) = await desk.scan()
            assert len(first.delivery_ids) == 20
            assert await desk.work(first.delivery_ids) == ["failed"] * 20
            (probe,) = await desk.scan()
            assert len(probe.delivery_ids) == 1
            assert await desk.scan() == []
            assert await desk.work(probe.delivery_ids) == ["failed"]
            (probe,) = await desk.scan()
            # It is back: what waits follows at once, with the same message.
            assert await desk.work(probe.delivery_ids) == ["delivered"] * 9
            pass_all = await desk.scan()
            assert pass_all == []

        desk.world.run(scenario())

    def test_an_endpoint_that_fails_for_days_is_disabled_and_that_is_told(
        self, desk: EndpointDesk, told: Told
    ) -> None:
        async def scenario() -> None:
            bad = await desk.add("https://bad.example.com/", EventName.INVOICE_OPENED)
            good = await desk.add("https://good.example.com/", EventName.ENDPOINT_DISABLED)
            told.script = [DOWN] * 3
            await desk.happen(None, 3)
            await desk.deliver()
            failing_since = (await desk.endpoint(bad)).failing_since
            assert failing_since == desk.world.clock.now()
            desk.world.pass_time(timedelta(days=4, hours=23))
            told.script = [DOWN] * 3
            assert await desk.deliver() == ["failed"] * 3
            assert (await desk.endpoint(bad)).status == "enabled"
            desk.world.pass_time(timedelta(hours=4))
            told.script = [DOWN] * 3
            assert "failed" in await desk.deliver()
            row = await desk.endpoint(bad)
            assert (row.status, row.disabled_at) == ("disabled", desk.world.clock.now())
            assert failing_since.isoformat() in row.disabled_reason
            told.parcels.clear()
            told.script.clear()
            await desk.relay()
            assert await desk.deliver() == ["delivered"]
            (parcel,) = told.parcels
            assert (parcel.endpoint_id, parcel.name) == (good, "endpoint.disabled")
            assert parcel.data["endpoint_id"] == bad
            # What waited for it waits on, and goes out when somebody enables it.
            await desk.world.database.run(
                lambda connection: endpoints.enable(connection, bad, desk.world.clock.now())
            )
            assert await desk.deliver() == ["delivered"] * 3

        desk.world.run(scenario())

    def test_one_that_is_gone_is_disabled_at_once(self, desk: EndpointDesk, told: Told) -> None:
        async def scenario() -> None:
            gone = await desk.add()
            told.script = [Answer(410, "HTTP 410")]
            await desk.happen(None, 1)
            assert await desk.deliver() == ["failed"]
            assert (await desk.endpoint(gone)).disabled_reason == "the endpoint answered 410 Gone"
            await desk.happen(None, 1)
            assert await desk.deliver() == []
            rows = await desk.deliveries()
            assert [row.status for row in rows] == ["waiting"]

        desk.world.run(scenario())

    def test_a_success_in_between_keeps_an_endpoint_enabled(
        self, desk: EndpointDesk, told: Told
    ) -> None:
        async def scenario() -> None:
            here = await desk.add()
            for _ in range(8):
                told.script = [DOWN]
                await desk.happen(None, 1)
                assert await desk.deliver() == ["failed"]
                desk.world.pass_time(timedelta(days=1))
                assert await desk.deliver() == ["delivered"]
            assert (await desk.endpoint(here)).status == "enabled"

        desk.world.run(scenario())

    def test_a_fault_of_ours_is_a_failed_try(self, desk: EndpointDesk) -> None:
        async def broken(_parcel: Parcel, _now: datetime, /) -> Answer:
            raise KeyError

        async def scenario() -> None:
            await desk.add()
            desk.post = broken
            await desk.happen(None, 1)
            assert await desk.deliver() == ["failed"]
            (row,) = await desk.deliveries()
            assert (row.last_status, row.last_error) == (None, "KeyError in our own code")

        desk.world.run(scenario())


class TestNothingIsLost:
    def test_a_death_between_post_and_settlement_delivers_it_again_under_its_id(
        self, desk: EndpointDesk, told: Told
    ) -> None:
        async def scenario() -> None:
            await desk.add()
            await desk.happen(None, 1)
            (job,) = await desk.scan()
            arrived = asyncio.Event()

            async def post(parcel: Parcel, now: datetime, /) -> Answer:
                await told(parcel, now)
                arrived.set()
                await asyncio.Event().wait()
                return Answer(200)

            desk.post = post
            dying = asyncio.create_task(desk.work(job.delivery_ids))
            await arrived.wait()
            dying.cancel()
            await asyncio.gather(dying, return_exceptions=True)
            desk.post = told
            assert await desk.deliver() == []
            desk.world.pass_time(max(RESEND_AFTER, timedelta(minutes=2)))
            assert await desk.deliver() == ["delivered"]
            assert len(told.ids) == 2
            assert len(set(told.ids)) == 1

        desk.world.run(scenario())

    def test_a_message_that_is_lost_is_sent_again(self, desk: EndpointDesk) -> None:
        async def scenario() -> None:
            await desk.add()
            await desk.happen(None, 3)
            assert [len(job.delivery_ids) for job in await desk.scan()] == [3]
            assert await desk.scan() == []
            desk.world.pass_time(RESEND_AFTER)
            assert await desk.deliver() == ["delivered"] * 3

        desk.world.run(scenario())

    def test_a_message_that_comes_twice_delivers_once(self, desk: EndpointDesk, told: Told) -> None:
        async def scenario() -> None:
            await desk.add()
            await desk.happen(None, 3)
            (job,) = await desk.scan()
            others = [EndpointDesk(desk.world.twin(), told) for _ in range(2)]
            endings = await asyncio.gather(
                *(each.work(job.delivery_ids) for each in (desk, *others))
            )
            assert sorted(ending for each in endings for ending in each) == ["delivered"] * 3
            assert await desk.work(job.delivery_ids) == []

        desk.world.run(scenario())
        assert sorted(told.ids) == sorted(set(told.ids))

    def test_an_end_that_comes_after_another_try_began_changes_nothing(
        self, desk: EndpointDesk, told: Told
    ) -> None:
        async def scenario() -> None:
            await desk.add()
            await desk.happen(None, 1)
            (job,) = await desk.scan()
            door = asyncio.Event()

            async def slow(parcel: Parcel, now: datetime, /) -> Answer:
                await told(parcel, now)
                await door.wait()
                return DOWN

            desk.post = slow
            late = asyncio.create_task(desk.work(job.delivery_ids))
            await until(lambda: len(told.parcels) == 1)
            desk.world.pass_time(timedelta(minutes=5))
            assert await EndpointDesk(desk.world.twin(), told).deliver() == ["delivered"]
            door.set()
            assert await late == ["tried again meanwhile"]
            (row,) = await desk.deliveries()
            assert (row.status, row.failures) == ("delivered", 0)

        desk.world.run(scenario())

    def test_a_process_that_stood_still_after_its_claim_posts_nothing(
        self, desk: EndpointDesk, told: Told
    ) -> None:
        async def scenario() -> None:
            await desk.add()
            await desk.happen(None, 1)
            (job,) = await desk.scan()
            async with desk.world.database.transaction() as connection:
                # Its claim waits for this transaction, and time passes.
                await connection.execute(text("LOCK TABLE deliveries IN ACCESS EXCLUSIVE MODE"))
                stalled = asyncio.create_task(desk.work(job.delivery_ids))
                await asyncio.sleep(0)
                desk.world.pass_time(timedelta(seconds=11))
            assert await stalled == ["late"]
            assert told.parcels == []
            desk.world.pass_time(timedelta(minutes=2))
            assert await desk.deliver() == ["delivered"]

        desk.world.run(scenario())


class TestNobodyIsHeldUp:
    def test_a_slow_endpoint_keeps_few_hands_busy_and_no_other_waiting(
        self, desk: EndpointDesk, told: Told
    ) -> None:
        async def scenario() -> None:
            slow = await desk.add("https://slow.example.com/")
            fast = await desk.add("https://fast.example.com/")
            door, at_once, most = asyncio.Event(), 0, 0

            async def post(parcel: Parcel, now: datetime, /) -> Answer:
                nonlocal at_once, most
                if parcel.endpoint_id == slow:
                    at_once += 1
                    most = max(most, at_once)
                    await door.wait()
                    at_once -= 1
                return await told(parcel, now)

            desk.post, desk.under_way_max = post, 4
            await desk.happen(None, 25)
            working = []
            for _ in range(3):
                working += [
                    asyncio.create_task(desk.work(job.delivery_ids)) for job in await desk.scan()
                ]
                await until(lambda: len(told.parcels) == 25)
            assert {parcel.endpoint_id for parcel in told.parcels} == {fast}
            assert (at_once, most) == (4, 4)
            door.set()
            await asyncio.gather(*working)
            await desk.deliver()
            assert most <= 4
            assert {row.status for row in await desk.deliveries()} == {"delivered"}

        desk.world.run(scenario())
