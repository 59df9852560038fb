"""Rows 36 and 48: receivers and names that misbehave, on real sockets of this machine."""

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from starlette.responses import Response

from gateway.webhook_client import RESPONSE_BYTES, WebhookClient
from sessions.ids import SessionId
from tests.gateway.hooks import gets, hooked, made
from tests.gateway.internet import Internet
from tests.gateway.receiver import Receiver

PATIENCE_SECONDS = 0.5
PUBLIC, PRIVATE = "93.184.215.14", "10.0.0.1"
Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


async def silent(_: asyncio.StreamWriter) -> None:
    """Never answer."""
    await asyncio.Event().wait()


async def reset(writer: asyncio.StreamWriter) -> None:
    """Cut the connection off as a crash does."""
    plain = writer.get_extra_info("socket")
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def dripping(writer: asyncio.StreamWriter) -> None:
    """Answer 200, and then a byte at a time without end."""
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
    while True:
        writer.write(b".")
        await writer.drain()
        await asyncio.sleep(PATIENCE_SECONDS / 20)


async def dripping_head(writer: asyncio.StreamWriter) -> None:
    """Answer with headers without end."""
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"x: y\r\n")
        await writer.drain()
        await asyncio.sleep(PATIENCE_SECONDS / 20)


async def huge(writer: asyncio.StreamWriter) -> None:
    """Answer with more than anybody wants to have."""
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n")
    while True:
        writer.write(b"#" * 65_536)
        await writer.drain()


async def huge_head(writer: asyncio.StreamWriter) -> None:
    """Answer with a header of many megabytes."""
    writer.write(b"HTTP/1.1 200 OK\r\nx: ")
    while True:
        writer.write(b"#" * 65_536)
        await writer.drain()


async def gibberish(writer: asyncio.StreamWriter) -> None:
    """Answer with something that is no HTTP."""
    writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
    writer.close()


@contextlib.asynccontextmanager
async def listening(answer: Answer) -> AsyncIterator[str]:
    """Run a receiver that answers so; yield its URL."""

    tasks: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await reader.readuntil(b"\r\n\r\n")
                await answer(writer)
                writer.close()
                await writer.wait_closed()
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    finally:
        server.close()
        for task in filter(None, tasks):
            task.cancel()
        await asyncio.gather(*filter(None, tasks), return_exceptions=True)


@pytest.mark.parametrize(
    ("answer", "status", "error"),
    [
        (silent, None, "no answer within"),
        (reset, None, "Error"),
        (dripping, None, "no answer within"),
        (dripping_head, None, "no answer within"),
        (huge, 200, None),
        (huge_head, None, "Error"),
        (gibberish, None, "Error"),
    ],
)  # fmt: skip
async def test_a_receiver_that_misbehaves_costs_bounded_time_and_memory(
    answer: Answer, status: int | None, error: str | None
) -> None:
    client = WebhookClient(allow_http=True, allow_private=True, total_seconds=PATIENCE_SECONDS)
    try:
        async with listening(answer) as url:
            started = time.monotonic()
            outcome = await client.post(url, b"{}", {})
            assert time.monotonic() - started < PATIENCE_SECONDS + 3
        assert outcome.status == status
        assert (outcome.error is None) if error is None else (error in (outcome.error or ""))
        assert len(outcome.response) <= RESPONSE_BYTES
    finally:
        await client.close()


async def test_what_a_misbehaving_receiver_missed_comes_in_order_when_it_is_back(
    tmp_path: Path, receiver: Receiver
) -> None:
    client = WebhookClient(allow_http=True, allow_private=True, total_seconds=PATIENCE_SECONDS)
    async with hooked(tmp_path, client=client) as server, listening(silent) as dead:
        webhook = await made(server, dead, events=["session:message"])
        healthy = await made(server, receiver.url, events=["session:message"])
        session = await server.connected()
        server.house.engine.burst(SessionId(session["id"]), 10)
        assert len(await gets(receiver, 10)) == 10

        await server.call("DELETE", f"/webhooks/{healthy['id']}")
        receiver.posts.clear()
        await server.call("PUT", f"/webhooks/{webhook['id']}", json={"url": receiver.url})
        seqs = [event["seq"] for event in await gets(receiver, 10)]
        assert seqs == list(range(seqs[0], seqs[0] + 10))


async def test_a_redirect_leads_nowhere(receiver: Receiver) -> None:
    client = WebhookClient(allow_http=True, allow_private=True)

    async def elsewhere(writer: asyncio.StreamWriter) -> None:
        head = f"HTTP/1.1 307 Elsewhere\r\nlocation: {receiver.url}\r\ncontent-length: 0\r\n\r\n"
        writer.write(head.encode())

    try:
        async with listening(elsewhere) as url:
            outcome = await client.post(url, b"{}", {})
        assert (outcome.status, outcome.taken) == (307, False)
        assert receiver.posts == []
    finally:
        await client.close()


async def asked(answers: list[list[str] | OSError], receiver: Receiver) -> list[str | None]:
    """Post once for each of a resolver's answers; return what went wrong with each."""
    receiver.judge = lambda _: Response(headers={"connection": "close"})
    rest = iter(answers)

    async def resolve(_: str, __: int) -> list[str]:
        found = next(rest)
        if isinstance(found, OSError):
            raise found
        return found

    internet = Internet({PUBLIC: receiver.port})
    client = WebhookClient(allow_http=True, resolve=resolve, sockets=internet)
    # The name's port is the canary's: whoever went to the private address would be seen there.
    url = f"http://rebinding.example:{receiver.port}/hook"
    try:
        outcomes = [await client.post(url, b'{"type": "x"}', {}) for _ in answers]
    finally:
        await client.close()
    assert next(rest, None) is None, "each attempt asks once"
    assert set(internet.dialled) <= {PUBLIC}
    assert len(receiver.posts) == sum(outcome.taken for outcome in outcomes)
    return [outcome.error for outcome in outcomes]


async def test_a_name_that_turns_private_is_refused_and_reaches_nothing(
    receiver: Receiver,
) -> None:
    good, *bad, again = await asked(
        [[PUBLIC], ["127.0.0.1"], [PUBLIC, "127.0.0.1"], [PRIVATE, PUBLIC], ["::1"], [PUBLIC]],
        receiver,
    )
    assert (good, again) == (None, None)
    assert all("not public" in (error or "") for error in bad)
    assert len(receiver.posts) == 2


async def test_a_name_that_can_not_be_resolved_is_a_failure_like_any(receiver: Receiver) -> None:
    failed, nowhere, good = await asked(
        [socket.gaierror(socket.EAI_AGAIN, "try again"), [], [PUBLIC]], receiver
    )
    assert "can't be resolved" in (failed or "")
    assert "no address" in (nowhere or "")
    assert good is None


async def test_a_resolver_that_does_not_answer_ends_with_the_same_patience() -> None:
    async def never(_: str, __: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    client = WebhookClient(resolve=never, total_seconds=0.2)
    try:
        outcome = await client.post("https://example.com/hook", b"{}", {})
    finally:
        await client.close()
    assert "no answer within 0.2 seconds" in (outcome.error or "")
