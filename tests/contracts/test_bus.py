"""What every bus does, on each of them."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.contracts.conftest import BUFFER_SIZE, Buses

WAIT_SECONDS = 5
SILENCE_SECONDS = 0.2


async def take(payloads: AsyncIterator[bytes], count: int) -> list[bytes]:
    """Return the next payloads."""
    async with asyncio.timeout(WAIT_SECONDS):
        return [await anext(payloads) for _ in range(count)]


async def test_payloads_arrive_in_order_and_unchanged(buses: Buses) -> None:
    sent = [b"", b"\x00\xff\r\n", "é".encode(), *(b"%d" % number for number in range(6))]

    async with buses.subscriber.subscribe("session.1") as payloads:
        for payload in sent:
            await buses.publisher.publish("session.1", payload)

        assert await take(payloads, len(sent)) == sent


async def test_every_subscriber_gets_each_payload_once(buses: Buses) -> None:
    async with (
        buses.subscriber.subscribe("session.1") as one,
        buses.subscriber.subscribe("session.1") as two,
        buses.publisher.subscribe("session.1") as three,
    ):
        for payload in (b"first", b"second", b"last"):
            await buses.publisher.publish("session.1", payload)

        for payloads in (one, two, three):
            assert await take(payloads, 3) == [b"first", b"second", b"last"]
        for payloads in (one, two, three):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(payloads), SILENCE_SECONDS)


async def test_topics_are_apart(buses: Buses) -> None:
    async with (
        buses.subscriber.subscribe("session.1") as one,
        buses.subscriber.subscribe("session.11") as eleven,
    ):
        await buses.publisher.publish("session.11", b"for eleven")
        await buses.publisher.publish("session.1", b"for one")

        assert await take(one, 1) == [b"for one"]
        assert await take(eleven, 1) == [b"for eleven"]


async def test_what_was_published_before_is_not_received(buses: Buses) -> None:
    await buses.publisher.publish("session.1", b"before")

    async with buses.subscriber.subscribe("session.1") as payloads:
        await buses.publisher.publish("session.1", b"after")

        assert (await take(payloads, 1))[0] == b"after"


async def test_entering_the_block_is_enough_to_miss_nothing(buses: Buses) -> None:
    for number in range(20):
        async with buses.subscriber.subscribe("session.1") as payloads:
            await buses.publisher.publish("session.1", b"%d" % number)

            assert await take(payloads, 1) == [b"%d" % number]


async def test_who_lags_loses_the_oldest_and_holds_nobody_up(buses: Buses) -> None:
    async with (
        buses.subscriber.subscribe("session.1") as slow,
        buses.subscriber.subscribe("session.1") as quick,
    ):
        for number in range(3 * BUFFER_SIZE):
            await buses.publisher.publish("session.1", b"%d" % number)
            assert await take(quick, 1) == [b"%d" % number]

        kept = range(2 * BUFFER_SIZE, 3 * BUFFER_SIZE)
        assert await take(slow, BUFFER_SIZE) == [b"%d" % number for number in kept]


async def test_leaving_the_block_ends_the_iteration_for_who_waits_in_it(buses: Buses) -> None:
    async def collect(payloads: AsyncIterator[bytes]) -> list[bytes]:
        return [payload async for payload in payloads]

    async with buses.subscriber.subscribe("session.1") as payloads:
        waiting = asyncio.create_task(collect(payloads))
        await asyncio.sleep(0)

    async with asyncio.timeout(WAIT_SECONDS):
        assert await waiting == []
    with pytest.raises(StopAsyncIteration):
        await anext(payloads)


async def test_one_subscriber_leaving_does_not_silence_the_other(buses: Buses) -> None:
    async with buses.subscriber.subscribe("session.1") as staying:
        async with buses.subscriber.subscribe("session.1"):
            pass
        await buses.publisher.publish("session.1", b"still here")

        assert await take(staying, 1) == [b"still here"]


async def test_publishing_to_nobody_is_no_error(buses: Buses) -> None:
    await buses.publisher.publish("session.1", b"unheard")
