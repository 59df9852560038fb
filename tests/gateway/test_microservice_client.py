"""Calls to the operator's microservice: what was certainly not done, and what may have been."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from gateway.microservice_client import MicroserviceClient
from sessions.microservice import NotAnswered, NotReached

KEY = "the-key-of-the-microservice"
Streams = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def answering(*parts: bytes) -> Streams:
    """Return a server's part that reads a request's head and answers so."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for part in parts:
            writer.write(part)
        # The other side may hang up first.
        with contextlib.suppress(ConnectionError):
            await writer.drain()

    return answer


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read until the other side goes, and never answer."""
    with contextlib.suppress(ConnectionError):
        await reader.read()


@contextlib.asynccontextmanager
async def client_of(serve: Streams) -> AsyncIterator[MicroserviceClient]:
    """Serve so on a free port, and yield a client of that."""
    serving: list[asyncio.Task[None]] = []

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.append(asyncio.ensure_future(ended(serve, reader, writer)))

    server = await asyncio.start_server(begin, "127.0.0.1", 0)
    client = MicroserviceClient(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", KEY)
    try:
        yield client
    finally:
        await client.close()
        server.close()
        await asyncio.wait_for(asyncio.gather(*serving), timeout=5)


async def ended(serve: Streams, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve one connection until it is closed."""
    await serve(reader, writer)
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


def json_answer(content: bytes, status: bytes = b"200 OK") -> bytes:
    head = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % (status, len(content)) + content


async def test_the_key_is_sent_in_both_ways_and_the_body_as_json() -> None:
    heard = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.extend(await reader.readuntil(b'"one"}'))
        writer.write(json_answer(b'{"success": true}'))
        await writer.drain()

    async with client_of(serve) as client:
        reply = await client.call("POST", "/init", {"sessionId": "one"}, timeout_seconds=5)
    assert (reply.status, reply.body, reply.taken) == (200, {"success": True}, True)
    head = bytes(heard).lower()
    assert head.startswith(b"post /init http/1.1\r\n")
    assert b"x-api-key: " + KEY.encode() in head
    assert b"authorization: bearer " + KEY.encode() in head
    assert b"content-type: application/json" in head


@pytest.mark.parametrize(
    "content", [b"<html>", b"[1]", b"7", b"", b"\xff"], ids=["html", "list", "number", "none", "?"]
)
async def test_what_is_no_object_is_an_answer_without_content(content: bytes) -> None:
    async with client_of(answering(json_answer(content, b"404 Not Found"))) as client:
        reply = await client.call("GET", "/status/one", timeout_seconds=5)
    assert (reply.status, reply.body, reply.taken) == (404, {}, False)


async def test_a_redirect_is_not_followed() -> None:
    moved = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n"
    async with client_of(answering(moved)) as client:
        reply = await client.call("POST", "/send", {}, timeout_seconds=5)
    assert (reply.status, reply.taken) == (302, False)


async def test_who_refuses_the_connection_was_not_reached() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        client = MicroserviceClient(f"http://127.0.0.1:{probe.getsockname()[1]}", KEY)
        with pytest.raises(NotReached) as fault:
            await client.call("POST", "/send", {}, timeout_seconds=5)
        await client.close()
    assert KEY not in str(fault.value)


@pytest.mark.parametrize(
    "serve",
    [
        silent,
        answering(),
        answering(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"),
        answering(b"no HTTP at all\r\n\r\n"),
        answering(json_answer(b'"' + b"x" * 2_000_000 + b'"')),
    ],
    ids=["silent", "hangs up", "breaks off", "no HTTP", "endless"],
)
async def test_who_took_the_request_and_gives_no_answer_may_have_done_it(serve: Streams) -> None:
    async with client_of(serve) as client:
        with pytest.raises(NotAnswered):
            await client.call("POST", "/send", {}, timeout_seconds=0.5)
