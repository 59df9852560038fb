"""Names that are never answered, and addresses that swallow what is sent: who pays for them."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import pytest
from starlette.responses import Response

from gateway.webhook_client import Outcome, WebhookClient
from tests.gateway.internet import Internet
from tests.gateway.receiver import Receiver
from tests.sessions.house import until

PATIENCE_SECONDS = 4.0
SHARE = 4
PUBLIC = "93.184.215.14"


class DeadNames:
    """The machine's resolver, of which nobody answers for what ends with `.dead.example`."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer = threading.Event()
        self._real = socket.getaddrinfo

    def getaddrinfo(self, host: Any, *more: Any, **named: Any) -> Any:
        """Look up, or block until the test ends."""
        if str(host).endswith(".dead.example"):
            self.asked.append(host)
            self.answer.wait(60)
            raise socket.gaierror(socket.EAI_AGAIN, "nobody answers")
        return self._real(host, *more, **named)


@pytest.fixture
def dead(monkeypatch: pytest.MonkeyPatch) -> Iterator[DeadNames]:
    """Let the names be dead until the test ends."""
    names = DeadNames()
    monkeypatch.setattr(socket, "getaddrinfo", names.getaddrinfo)
    yield names
    names.answer.set()


@pytest.fixture
def swallowing() -> Iterator[int]:
    """Return a port to which no connection can be made, as at a host that drops packets."""
    with contextlib.ExitStack() as sockets:
        full = sockets.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        # Nobody accepts them: with the queue full, the kernel drops what comes next.
        for _ in range(4):
            waiting = sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        yield full.getsockname()[1]


@pytest.fixture
async def client(dead: DeadNames) -> AsyncIterator[WebhookClient]:
    """Return a client that has to do with dead names."""
    client = WebhookClient(allow_http=True, allow_private=True)
    yield client
    await client.close()


async def posted(client: WebhookClient, host: str, port: int, asker: str) -> Outcome:
    """Post once to a name."""
    return await client.post(f"http://{host}:{port}/hook", b"{}", {}, asker=asker)


@contextlib.asynccontextmanager
async def asking(client: WebhookClient, hosts: Sequence[str], asker: str) -> AsyncIterator[None]:
    """Post to names until the block is left; then give up."""
    posts = [asyncio.create_task(posted(client, host, 80, asker)) for host in hosts]
    try:
        yield
    finally:
        for post in posts:
            post.cancel()
        await asyncio.wait(posts)


async def is_asked(dead: DeadNames, count: int) -> None:
    """Wait until so many lookups wait for an answer."""

    async def asked() -> int:
        return len(dead.asked)

    await until(asked, lambda found: found == count)


async def test_names_that_nobody_answers_for_cost_only_who_gave_them(
    dead: DeadNames, client: WebhookClient, receiver: Receiver
) -> None:
    # Each asks for the name anew.
    receiver.judge = lambda _: Response(headers={"connection": "close"})
    async with asking(client, [f"{number}.dead.example" for number in range(40)], "mallory"):
        await is_asked(dead, SHARE)
        assert (await posted(client, "localhost", receiver.port, "alice")).taken
    # The lookups go on after their askers have given up; what else runs in threads does too.
    await asyncio.wait_for(asyncio.to_thread(time.monotonic), timeout=5)
    assert (await posted(client, "localhost", receiver.port, "alice")).taken
    assert len(dead.asked) == SHARE

    dead.answer.set()
    assert (await posted(client, "localhost", receiver.port, "mallory")).taken


async def test_a_name_is_looked_up_once_for_all_who_wait_for_it(
    dead: DeadNames, client: WebhookClient, receiver: Receiver
) -> None:
    async with asking(client, ["one.dead.example"] * 20, "mallory"):
        await is_asked(dead, 1)
        assert (await posted(client, "localhost", receiver.port, "mallory")).taken
        assert len(dead.asked) == 1
        dead.answer.set()
    failed = await posted(client, "one.dead.example", receiver.port, "mallory")
    assert "can't be resolved" in (failed.error or "")
    assert len(dead.asked) == 2


async def resolved(*addresses: str) -> list[str]:
    """Return the addresses of any name."""
    return list(addresses)


@pytest.mark.parametrize("before", [1, 3])
async def test_an_address_that_swallows_packets_does_not_hide_the_next(
    receiver: Receiver, swallowing: int, before: int
) -> None:
    silent = [f"93.184.215.{number}" for number in range(before)]
    internet = Internet({PUBLIC: receiver.port} | dict.fromkeys(silent, swallowing))
    client = WebhookClient(
        allow_http=True,
        resolve=lambda *_: resolved(*silent, PUBLIC),
        sockets=internet,
        total_seconds=PATIENCE_SECONDS,
    )
    try:
        outcome = await posted(client, "several.example", 80, "alice")
    finally:
        await client.close()
    assert (outcome.status, outcome.error) == (200, None)
    assert internet.dialled == [*silent, PUBLIC]
    assert outcome.latency_ms < PATIENCE_SECONDS * 1000


async def test_a_name_whose_only_address_swallows_packets_has_all_the_time(
    swallowing: int,
) -> None:
    client = WebhookClient(
        allow_http=True,
        resolve=lambda *_: resolved(PUBLIC),
        sockets=Internet({PUBLIC: swallowing}),
        total_seconds=0.5,
    )
    try:
        outcome = await posted(client, "silent.example", 80, "alice")
    finally:
        await client.close()
    assert outcome.status is None
    assert outcome.latency_ms >= 490
