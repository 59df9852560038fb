"""What Redis, the database and kills can do to BullMQ's queues: nothing is lost, all is said."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path

import pytest
from redis.asyncio import Redis

from gateway.bridge_bullmq_library import QueueNames, SendQueue
from sessions.events import EventType
from tests.bridges.bullmq_site import FRIEND, QUICK, Site, queueing, running_site
from tests.bridges.bullmq_victim import victim
from tests.bridges.node_backend import VERSIONS, NodeProcess, Producer, worker
from tests.contracts.tcp_proxy import TcpProxy
from tests.services import RedisServer
from tests.sessions.house import TENANT, House, running_house, until

pytestmark = [pytest.mark.usefixtures("node"), pytest.mark.timeout(120)]


@pytest.fixture
def names(redis_server: RedisServer) -> QueueNames:
    """Queues on a Redis of the test's own."""
    return QueueNames(redis_server.url)


async def write(house: House, count: int, *, total: int) -> None:
    """Have a friend write so many texts, and wait until the log has all of the total."""
    session = await house.manager.get(TENANT, "one")
    house.engine.burst(session.id, count, sender=FRIEND)
    await house.logged("one", EventType.SESSION_MESSAGE, total)


async def is_told_all(site: Site, back_end: NodeProcess, *, first: int = 0) -> None:
    """Wait until a back end has got every message of the log; compare, in order, none twice."""
    logged = (await site.house.events("one", EventType.SESSION_MESSAGE))[first:]
    told = [event.id for event in logged if event.data["message"]["direction"] == "in"]
    await back_end.hears("job", len(told))
    await until(site.status, lambda found: found.backlog == 0)
    assert [job["id"] for job in back_end.heard("job")] == told


@asynccontextmanager
async def without_tables(directory: Path) -> AsyncIterator[None]:
    """Let the database take no message within the block."""
    await asyncio.to_thread(_rename, directory, "messages", "elsewhere")
    try:
        yield
    finally:
        await asyncio.to_thread(_rename, directory, "elsewhere", "messages")


def _rename(directory: Path, name: str, other: str) -> None:
    with closing(sqlite3.connect(directory / "wagate.db", timeout=10)) as db:
        db.execute(f"ALTER TABLE {name} RENAME TO {other}")


async def has(redis: Redis, names: QueueNames, list_: str, *jobs: str) -> None:
    """Wait until a list of the queue of messages to send is so, the next one first."""

    async def look() -> list[str]:
        found = await redis.lrange(f"{names.prefix}:{names.send}:{list_}", 0, -1)
        return [job if isinstance(job, str) else job.decode() for job in reversed(found)]

    await until(look, lambda found: found == list(jobs))


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_redis_that_restarts_costs_nothing(
    tmp_path: Path, redis_server: RedisServer, names: QueueNames, version: str
) -> None:
    async with (
        running_site(tmp_path, names) as site,
        worker(version, names) as back_end,
        Producer.adding(version, names) as producer,
        Redis.from_url(names.url) as redis,
    ):
        await site.house.connected()
        await producer.send("before", "one", "before")
        site.house.engine.burst(
            (await site.house.manager.get(TENANT, "one")).id, 200, sender=FRIEND
        )
        await back_end.hears("job", 20)
        await redis.shutdown(save=True)
        await asyncio.to_thread(redis_server.kill)
        await site.degrades(lambda found: len(found) == 2)
        await site.house.logged("one", EventType.SESSION_MESSAGE, 200)

        await asyncio.to_thread(redis_server.start)

        await is_told_all(site, back_end)
        await producer.send("after", "one", "after")
        assert await until(site.sent, lambda sent: len(sent) == 2) == ["before", "after"]
        await site.is_up()


async def test_while_redis_is_dead_messages_wait_in_the_log(
    tmp_path: Path,
    redis_server: RedisServer,
    names: QueueNames,
    capfd: pytest.CaptureFixture[str],
) -> None:
    async with running_site(tmp_path, names) as site:
        await site.house.connected()
        await asyncio.to_thread(redis_server.kill)
        await write(site.house, 50, total=50)
        status = await until(site.status, lambda found: found.last_error is not None)
        assert "Redis took no job" in (status.last_error or "")
        assert status.backlog >= 50
        assert len(await site.degrades(lambda found: len(found) == 2)) == 2

        await asyncio.to_thread(redis_server.start)

        await site.is_up()
        assert capfd.readouterr() == ("", ""), "what the library says goes into the log or nowhere"
        async with worker("5", names) as back_end:
            await is_told_all(site, back_end)


async def test_a_frozen_redis_delays_and_loses_nothing(
    tmp_path: Path, redis_server: RedisServer, names: QueueNames
) -> None:
    async with (
        running_site(tmp_path, names) as site,
        worker("6", names) as back_end,
        Producer.adding("6", names) as producer,
    ):
        await site.house.connected()
        await write(site.house, 20, total=20)
        redis_server.freeze()
        try:
            await write(site.house, 20, total=40)
            status = await until(site.status, lambda found: found.last_error is not None)
            assert "no answer within 1 s" in (status.last_error or "")
            producer.add("meanwhile", {"sessionId": "one", "to": FRIEND, "message": "meanwhile"})
        finally:
            redis_server.thaw()
        await is_told_all(site, back_end)
        await producer.result("meanwhile")
        await site.is_up()


async def test_a_redis_that_is_down_at_start_is_used_when_it_is_there(
    tmp_path: Path, redis_server: RedisServer, names: QueueNames
) -> None:
    await asyncio.to_thread(redis_server.kill)
    secret = replace(names, url=names.url.replace("//", "//:secret-word@"))
    async with running_house(tmp_path) as house, queueing(house, secret) as site:
        await house.connected()
        await write(house, 5, total=5)
        faults = await site.degrades(lambda found: len(found) == 2)
        assert all("refused" in fault or "111" in fault for fault in faults)
        assert "secret-word" not in " ".join(faults)
        before, started = time.process_time(), time.monotonic()
        await until(_clock, lambda now: now > started + 2)
        assert time.process_time() - before < 1, "it tries again without haste"

        await asyncio.to_thread(redis_server.start)

        await site.is_up()
        async with worker("5", names) as back_end:
            await is_told_all(site, back_end)


async def test_a_password_that_is_refused_is_told_without_it(
    tmp_path: Path, names: QueueNames
) -> None:
    secret = replace(names, url=names.url.replace("//", "//:secret-word@"))
    async with Redis.from_url(names.url) as redis, running_house(tmp_path) as house:
        await redis.config_set("requirepass", "another-word")
        async with queueing(house, secret) as site:
            (fault,) = await site.degrades(lambda found: "not connected" not in found[0])
            assert "AuthenticationError" in fault
            assert "secret-word" not in fault
            await redis.config_set("requirepass", "secret-word")
            await site.is_up()


async def _clock() -> float:
    return time.monotonic()


async def test_a_redis_without_room_or_that_evicts_is_told(
    tmp_path: Path, names: QueueNames
) -> None:
    async with (
        running_site(tmp_path, names) as site,
        worker("5", names) as back_end,
        Redis.from_url(names.url) as redis,
    ):
        await site.house.connected()
        await redis.config_set("maxmemory-policy", "allkeys-lru")
        found = await site.degrades(lambda faults: "allkeys-lru" in " ".join(faults))
        assert "set it to noeviction" in found[0]
        await redis.config_set("maxmemory-policy", "noeviction")
        await site.is_up()
        await redis.config_set("maxmemory", "1mb")
        await write(site.house, 10, total=10)
        await site.degrades(lambda faults: any("added" in fault for fault in faults))
        assert (await site.status()).backlog >= 10

        await redis.config_set("maxmemory", "0")

        await is_told_all(site, back_end)
        await site.is_up()


async def test_while_the_database_is_away_a_job_waits_with_its_only_attempt(
    tmp_path: Path, names: QueueNames
) -> None:
    paces = replace(QUICK, lock_seconds=3)
    async with (
        running_site(tmp_path, names, paces=paces) as site,
        Producer.adding("5", names) as producer,
        Redis.from_url(names.url) as redis,
    ):
        await site.house.session()
        async with without_tables(tmp_path):
            for ref in ("1", "2"):
                producer.add(ref, {"sessionId": "one", "to": FRIEND, "message": ref})
            await has(redis, names, "active", "1")
            started = time.monotonic()
            lock = f"{names.prefix}:{names.send}:1:lock"

            async def look() -> tuple[bool, float]:
                return bool(await redis.exists(lock)), time.monotonic() - started

            # Either ends it: the lock must not.
            is_locked, _ = await until(
                look, lambda found: not found[0] or found[1] > 1.5 * paces.lock_seconds
            )
            assert is_locked, "another could have run the job meanwhile"
        for ref in ("1", "2"):
            await producer.result(ref)
        assert [message.message for message in await site.outbox()] == ["1", "2"]
        assert not await redis.hexists(f"{names.prefix}:{names.send}:1", "stc"), "it never stalled"


async def test_a_stop_hands_the_job_in_hand_back_in_front(
    tmp_path: Path, names: QueueNames
) -> None:
    async with (
        running_house(tmp_path) as house,
        Producer.adding("6", names) as producer,
        Redis.from_url(names.url) as redis,
    ):
        await house.session()
        async with without_tables(tmp_path):
            async with queueing(house, names):
                for ref in ("1", "2", "3"):
                    producer.add(ref, {"sessionId": "one", "to": FRIEND, "message": ref})
                await has(redis, names, "active", "1")
                await has(redis, names, "wait", "2", "3")
            await has(redis, names, "active")
            await has(redis, names, "wait", "1", "2", "3")
        async with queueing(house, names) as site:
            for ref in ("1", "2", "3"):
                await producer.result(ref)
            assert [message.message for message in await site.outbox()] == ["1", "2", "3"]


async def freeze_before_the_answer(
    site: Site, directory: Path, producer: Producer, server: RedisServer
) -> None:
    """Let a job become a message, and Redis take no word about it."""
    async with Redis.from_url(server.url) as redis, without_tables(directory):
        producer.add("1", {"sessionId": "one", "to": FRIEND, "message": "once"})
        await has(redis, site.names, "active", "1")
        server.freeze()
    await until(site.outbox, bool)


async def test_an_answer_that_redis_did_not_take_is_given_again(
    tmp_path: Path, redis_server: RedisServer, names: QueueNames
) -> None:
    async with (
        running_site(tmp_path, names) as site,
        Producer.adding("5", names) as producer,
    ):
        await site.house.session()
        await freeze_before_the_answer(site, tmp_path, producer, redis_server)
        await site.degrades(lambda found: "no answer" in " ".join(found))
        redis_server.thaw()

        await producer.result("1")

        assert len(await site.outbox()) == 1
        assert producer.heard("failed") == []


async def test_a_stop_does_not_wait_for_a_frozen_redis(
    tmp_path: Path, redis_server: RedisServer, names: QueueNames
) -> None:
    async with running_house(tmp_path) as house, Producer.adding("6", names) as producer:
        await house.session()
        # Left within the time that the server gives its services.
        async with queueing(house, names) as site:
            await freeze_before_the_answer(site, tmp_path, producer, redis_server)
        redis_server.thaw()

        async with queueing(house, names) as site:
            await producer.result("1")
            assert len(await site.outbox()) == 1


async def test_a_killed_gateway_leaves_its_jobs_to_the_next(
    tmp_path: Path, names: QueueNames
) -> None:
    texts = [f"text {number}" for number in range(120)]
    async with running_house(tmp_path) as house:
        await house.session()
    async with (
        Producer.adding("5", names) as producer,
        Redis.from_url(names.url) as redis,
        victim(tmp_path, names) as process,
    ):
        for text in texts:
            producer.add(text, {"sessionId": "one", "to": FRIEND, "message": text})
        await producer.hears("finished", 40)
        async with without_tables(tmp_path):
            active = f"{names.prefix}:{names.send}:active"
            failing = time.monotonic()

            async def in_hand() -> bool:
                return bool(await redis.llen(active)) and time.monotonic() > failing + 0.5

            await until(in_hand, bool)
            process.kill()
            await process.wait()
            assert await redis.llen(active) == 1
        async with running_site(tmp_path, names) as site:
            await producer.hears("finished", len(texts))
            assert producer.heard("failed") == []
            queued = [message.message for message in await site.outbox()]
            assert sorted(map(str, queued)) == sorted(texts)


async def test_a_job_whose_owner_died_before_it_said_so_is_still_one_message(
    tmp_path: Path, names: QueueNames
) -> None:
    async with running_house(tmp_path) as house, Producer.adding("6", names) as producer:
        await house.session()
        producer.add("1", {"sessionId": "one", "to": FRIEND, "message": "once"}, jobId="order-1")
        await producer.hears("added")
        dead = await asyncio.to_thread(SendQueue, names, QUICK)
        taken = await dead.take()
        await dead.close()
        assert taken is not None
        async with queueing(house, names) as site:
            first = await producer.result("1")
            await producer.remove("order-1")
            assert await producer.send("2", "one", "once", jobId="order-1") == first
            assert len(await site.outbox()) == 1


async def test_connections_that_stand_and_carry_nothing_are_replaced(
    tmp_path: Path, redis_server: RedisServer, names: QueueNames
) -> None:
    async with TcpProxy.to(redis_server.port) as proxy:
        through = replace(names, url=f"redis://127.0.0.1:{proxy.port}/0")
        async with (
            running_site(tmp_path, through, paces=replace(QUICK, take_seconds=3)) as site,
            Producer.adding("5", names) as producer,
            worker("5", names) as back_end,
        ):
            await site.house.connected()
            proxy.freeze()
            await producer.send("1", "one", "through a new connection")
            await write(site.house, 5, total=5)
            await is_told_all(site, back_end)
            await site.is_up()


async def test_a_consumer_that_silently_stopped_begins_anew(
    tmp_path: Path,
    redis_server: RedisServer,
    names: QueueNames,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with TcpProxy.to(redis_server.port) as proxy:
        through = replace(names, url=f"redis://127.0.0.1:{proxy.port}/0")
        endless = replace(QUICK, take_seconds=3600)
        async with (
            running_site(tmp_path, through, paces=endless) as site,
            Producer.adding("5", names) as producer,
        ):
            await site.house.session()
            await producer.send("1", "one", "while all is well")
            proxy.freeze()
            producer.add("2", {"sessionId": "one", "to": FRIEND, "message": "nobody takes it"})
            await producer.result("2")
            await site.is_up()
    said = [getattr(record, "error", "") for record in caplog.records]
    assert "1 jobs wait and none comes" in said, "nothing else could have ended the waiting"
