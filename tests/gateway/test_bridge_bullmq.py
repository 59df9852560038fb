"""A chatbot back end on Node sends and receives through BullMQ's queues, over a real Redis."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from gateway.bridge_bullmq_library import FeedQueue, QueueNames
from sessions.events import EventType
from sessions.ids import SessionName, TenantId
from sessions.messages import MessageStatus
from sessions.services import Policy
from sessions.session import NewSession
from sessions.status import Status
from tests.bridges.bullmq_site import FRIEND, QUICK, Site, queueing, running_site
from tests.bridges.node_backend import VERSIONS, Producer, worker
from tests.sessions.house import TENANT, running_house, until

pytestmark = [pytest.mark.usefixtures("node"), pytest.mark.timeout(120)]

CHATBOT = {"chatbotId": "bot-7"}


@pytest.fixture
def names(redis_url: str, redis_prefix: str, redis: Redis) -> QueueNames:
    """Queues of the test's own; what is under its prefix is removed at the end."""
    return QueueNames(redis_url, prefix=f"{redis_prefix}bull")


@pytest.fixture
async def site(tmp_path: Path, names: QueueNames) -> AsyncIterator[Site]:
    """A gateway with a connected session."""
    async with running_site(tmp_path, names) as running:
        await running.house.connected()
        yield running


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_job_from_node_is_sent_and_its_result_is_the_message(
    site: Site, names: QueueNames, version: str
) -> None:
    async with Producer.adding(version, names) as producer:
        found = await producer.send("first", "one", "from a back end")

        assert [message.id for message in await site.outbox()] == [found]
        assert await until(site.sent, bool) == ["from a back end"]
        producer.add("more", {"sessionId": "one", "phone": int(FRIEND), "text": "other words"})
        await producer.result("more")
        assert await until(site.sent, lambda sent: len(sent) == 2)


@pytest.mark.parametrize("version", VERSIONS)
async def test_jobs_become_messages_in_their_order(
    site: Site, names: QueueNames, version: str
) -> None:
    texts = [f"text {number}" for number in range(60)]
    async with Producer.adding(version, names) as producer:
        for text in texts:
            producer.add(text, {"sessionId": "one", "to": FRIEND, "message": text})
        await producer.hears("finished", len(texts))

    assert await until(site.sent, lambda sent: len(sent) == len(texts)) == texts


async def test_the_same_job_again_is_the_same_message(site: Site, names: QueueNames) -> None:
    async with Producer.adding("5", names) as producer:
        first = await producer.send("1", "one", "once", jobId="order-1")
        assert await producer.send("2", "one", "once", jobId="order-1") == first
        await producer.remove("order-1")
        assert await producer.send("3", "one", "once", jobId="order-1") == first
        assert len(await site.outbox()) == 1

        await producer.remove("order-1")
        other = {"sessionId": "one", "to": FRIEND, "message": "something else"}
        producer.add("4", other, jobId="order-1")
        assert "was another message" in (await producer.failure("4"))["reason"]


async def test_numbers_that_begin_again_are_new_jobs(
    site: Site, names: QueueNames, redis: Redis
) -> None:
    async with Producer.adding("6", names) as producer:
        await producer.send("before", "one", "the same words")
        async for key in redis.scan_iter(match=f"{names.prefix}:{names.send}:*"):
            await redis.delete(key)
        await producer.send("after", "one", "the same words")

    assert [job["id"] for job in producer.heard("added")] == ["1", "1"]
    assert len({message.id for message in await site.outbox()}) == 2


POISON: dict[str, Any] = {
    "data is no object": "just a text",
    "Add it with {sessionId, to, message}": [1, 2],
    "to: Field required": {"sessionId": "one", "message": "hidden words"},
    "message: Field required": {"sessionId": "one", "to": FRIEND},
    "a JID is expected": {"sessionId": "one", "to": "nobody", "message": "hidden words"},
    "to: Input should be a valid string": {"sessionId": "one", "to": {}, "message": "hidden words"},
    "message: Input should be a valid string": {"sessionId": "one", "to": FRIEND, "message": {}},
    "at least 1 character": {"sessionId": "one", "to": FRIEND, "message": ""},
    "at most": {"sessionId": "one", "to": FRIEND, "message": "hidden words" * 10_000},
    "U+0000": {"sessionId": "one", "to": FRIEND, "message": "hidden words\0"},
    "unicode": {"sessionId": "one", "to": FRIEND, "message": "hidden words\ud800"},
    "sessionId: is missing": {"to": FRIEND, "message": "hidden words"},
    "no session 'none'": {"sessionId": "none", "to": FRIEND, "message": "hidden words"},
    "no session 'theirs'": {"sessionId": "theirs", "to": FRIEND, "message": "hidden words"},
    "no session is for 'bot-9'": {"chatbotId": "bot-9", "to": FRIEND, "message": "hidden words"},
}


@pytest.mark.parametrize("version", VERSIONS)
async def test_what_can_not_be_understood_fails_with_the_reason_and_the_rest_goes_on(
    site: Site, names: QueueNames, version: str
) -> None:
    theirs = NewSession(session_id=SessionName("theirs"))
    await site.house.manager.create(TenantId("others"), theirs)
    async with Producer.adding(version, names) as producer:
        for reason, data in POISON.items():
            producer.add(reason, data, attempts=3)
        await producer.send("good", "one", "still there")

        failures = {reason: await producer.failure(reason) for reason in POISON}

    for reason, failure in failures.items():
        assert reason in failure["reason"]
        assert "hidden words" not in failure["reason"]
        assert failure["attemptsMade"] == 1, "trying again would not help"
        assert failure["stacktrace"] in (None, [])
    assert len(await site.outbox()) == 1


async def test_jobs_that_are_no_json_are_refused(
    tmp_path: Path, names: QueueNames, redis: Redis
) -> None:
    job = f"{names.prefix}:{names.send}:broken"
    async with running_house(tmp_path) as house, Producer.adding("5", names) as producer:
        await house.connected()
        for number, data in enumerate((b'{"sessionId": "one"', b'"\xff\xfe"')):
            producer.add(str(number), {}, jobId=f"broken{number}")
            await producer.hears("added", number + 1)
            await redis.hset(f"{job}{number}", "data", data)
        async with queueing(house, names):
            for number in range(2):
                assert "no object" in (await producer.failure(str(number)))["reason"]
            await producer.send("good", "one", "still there")


async def test_a_chatbot_may_be_named_instead_of_a_session(site: Site, names: QueueNames) -> None:
    bot = NewSession(session_id=SessionName("of-a-bot"), metadata=CHATBOT)
    await site.house.manager.create(TENANT, bot)
    async with Producer.adding("5", names) as producer:
        producer.add("1", {**CHATBOT, "to": FRIEND, "message": "as a bot"})
        found = await producer.result("1")

    assert [message.id for message in await site.outbox("of-a-bot")] == [found]


async def test_a_full_session_delays_its_own_jobs_only(tmp_path: Path, names: QueueNames) -> None:
    full = Policy(queue_limit=1)
    async with (
        running_site(tmp_path, names, policy=full) as site,
        Producer.adding("5", names) as producer,
    ):
        for name in ("one", "two"):
            await site.house.session(name)
        await producer.send("a", "one", "a")
        producer.add("b", {"sessionId": "one", "to": FRIEND, "message": "b"})
        await producer.send("c", "two", "c")
        assert [message.message for message in await site.outbox("one")] == ["a"]

        await site.house.manager.cancel(TENANT, "one", (await site.outbox("one"))[0].id)

        await producer.result("b")


@pytest.mark.parametrize("version", VERSIONS)
async def test_jobs_of_a_full_session_are_not_overtaken_by_later_ones(
    tmp_path: Path, names: QueueNames, redis: Redis, version: str
) -> None:
    async with (
        running_site(tmp_path, names, policy=Policy(queue_limit=3)) as site,
        Producer.adding(version, names) as producer,
    ):
        await site.house.session("one")
        texts = [f"text {number}" for number in range(12)]
        for text in texts[:9]:
            producer.add(text, {"sessionId": "one", "to": FRIEND, "message": text})

        async def delayed() -> int:
            return int(await redis.zcard(f"{names.prefix}:{names.send}:delayed"))

        await until(delayed, lambda count: count == 6)
        await cancel_queued(site)
        for text in texts[9:]:
            producer.add(text, {"sessionId": "one", "to": FRIEND, "message": text})

        async def stored() -> list[str | None]:
            await cancel_queued(site)
            return [message.message for message in await site.outbox()]

        assert await until(stored, lambda found: len(found) == len(texts)) == texts


async def cancel_queued(site: Site) -> None:
    """Make room in the session's queue."""
    for message in await site.outbox():
        if message.status is MessageStatus.QUEUED:
            await site.house.manager.cancel(TENANT, "one", message.id)


@pytest.mark.parametrize("version", VERSIONS)
async def test_each_incoming_message_is_one_job_in_order(
    site: Site, names: QueueNames, version: str
) -> None:
    await site.house.manager.create(
        TENANT, NewSession(session_id=SessionName("of-a-bot"), metadata=CHATBOT)
    )
    one = await site.house.manager.get(TENANT, "one")
    async with worker(version, names) as back_end:
        site.house.engine.burst(one.id, 100, sender=FRIEND)
        await back_end.hears("job", 100)
        await site.house.send("one", "not to be told")
        site.house.engine.write(one.id, "the last one", sender=FRIEND)
        await back_end.hears("job", 101)

    jobs = back_end.heard("job")
    logged = await site.house.events("one", EventType.SESSION_MESSAGE)
    told = [event for event in logged if event.data["message"]["direction"] == "in"]
    assert [job["id"] for job in jobs] == [event.id for event in told]
    assert all(":" not in job["id"] for job in jobs)
    assert {job["name"] for job in jobs} == {"incoming-message"}
    message = told[-1].data["message"]
    assert jobs[-1]["data"] == {
        "sessionId": "one",
        "from": f"{FRIEND}@s.whatsapp.net",
        "message": "the last one",
        "messageId": message["whatsappId"],
        "timestamp": message["timestamp"],
        "type": "text",
        "chatId": f"{FRIEND}@s.whatsapp.net",
        "phone": FRIEND,
        "pushName": message["pushName"],
        "isGroup": False,
        "id": told[-1].id,
        "seq": told[-1].seq,
    }


async def test_an_event_that_comes_again_is_still_one_job(site: Site, names: QueueNames) -> None:
    one = await site.house.manager.get(TENANT, "one")
    site.house.engine.write(one.id, "once", sender=FRIEND)
    (event,) = await site.house.logged("one", EventType.SESSION_MESSAGE)
    async with worker("5", names) as back_end:
        await back_end.hears("job")
        await site.queues.bridge.deliver(event)
        site.house.engine.write(one.id, "the next", sender=FRIEND)
        await back_end.hears("job", 2)

    assert [job["data"]["message"] for job in back_end.heard("job")] == ["once", "the next"]


async def test_of_a_chatbots_session_the_chatbot_is_told(site: Site, names: QueueNames) -> None:
    new = NewSession(session_id=SessionName("of-a-bot"), metadata=CHATBOT)
    session = await site.house.manager.create(TENANT, new)
    await site.house.manager.activate(TENANT, "of-a-bot")
    await site.house.reaches("of-a-bot", Status.QR_READY)
    site.house.engine.scan(session.id, phone="15550002222")
    await site.house.reaches("of-a-bot", Status.CONNECTED)
    async with worker("6", names) as back_end:
        site.house.engine.write(session.id, "to a bot", sender=FRIEND)
        job = await back_end.hears("job")

    assert (job["data"]["chatbotId"], job["data"]["sessionId"]) == ("bot-7", "of-a-bot")


async def test_done_jobs_do_not_fill_redis(names: QueueNames, redis: Redis) -> None:
    feed = await asyncio.to_thread(FeedQueue, names, QUICK)
    async with worker("5", names) as back_end:
        for number in range(1100):
            await feed.add("incoming-message", {}, job_id=f"e{number}")
        await back_end.hears("job", 1100)

        async def kept() -> int:
            return int(await redis.zcard(f"{names.prefix}:{names.incoming}:completed"))

        assert await until(kept, lambda number: 1000 <= number <= 1001) <= 1001
    await feed.close()
