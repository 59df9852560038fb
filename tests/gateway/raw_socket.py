"""Socket.IO by hand over a WebSocket, for what no client library shows or does."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.gateway.edge import WAIT_SECONDS, Edge

_HEAD = "42/ws,"
_ANSWER = "43/ws,"


@dataclass
class RawSocket:
    """A client inside the namespace that takes down every packet as it comes."""

    ws: aiohttp.ClientWebSocketResponse
    welcome: dict[str, Any]
    """What the CONNECT packet carries."""
    events: list[list[Any]] = field(default_factory=list)
    """Name and arguments of each event so far; an acknowledgement has the name `ack`."""
    others: list[str] = field(default_factory=list)
    """Packets that are neither events nor answers."""
    _asked: int = 0

    @property
    def pid(self) -> str | None:
        """The name of its state, None if the server gave none."""
        return self.welcome.get("pid")

    @property
    def offset(self) -> str | None:
        """What the stock client would send: the last string that was an event's last argument."""
        offsets = [event[-1] for event in self.events if isinstance(event[-1], str)]
        return offsets[-1] if offsets else None

    @property
    def state(self) -> dict[str, Any]:
        """What the stock client adds to its `auth` when it connects again."""
        return {"pid": self.pid, "offset": self.offset}

    def names(self) -> list[str]:
        """Return the names of the events so far."""
        return [event[0] for event in self.events]

    def seqs(self, session: str | None = None) -> list[int]:
        """Return the numbers of the durable events so far."""
        bodies = [event[1] for event in self.events if "seq" in event[1]]
        return [body["seq"] for body in bodies if session in {None, body["sessionId"]}]

    async def ask(self, name: str, data: object) -> Any:
        """Emit, and return the acknowledgement."""
        self._asked += 1
        await self.ws.send_str(f"{_HEAD}{self._asked}{json.dumps([name, data])}")
        return (await self.hears("ack", self._asked))[1]

    async def subscribe(self, session: str, **more: object) -> Any:
        """Subscribe, and return the acknowledgement."""
        return await self.ask("subscribe:session", {"sessionId": session, **more})

    async def hears(self, name: str, count: int = 1) -> list[Any]:
        """Wait for the so-manieth event of this name; return its name and arguments."""
        async with asyncio.timeout(WAIT_SECONDS):
            while self.names().count(name) < count:
                self._take(await self.ws.receive_str())
        return [event for event in self.events if event[0] == name][count - 1]

    async def reads_to_the_end(self) -> None:
        """Take down what there still is, until the server has closed the connection."""
        async with asyncio.timeout(2 * WAIT_SECONDS):
            async for message in self.ws:
                self._take(str(message.data))

    async def cut(self) -> None:
        """End the connection as a network does: without a word."""
        assert self.ws._response.connection is not None
        assert self.ws._response.connection.transport is not None
        self.ws._response.connection.transport.abort()

    def _take(self, text: str) -> None:
        if text.startswith(_HEAD):
            self.events.append(json.loads(text.removeprefix(_HEAD)))
        elif text.startswith(_ANSWER):
            self.events.append(["ack", *json.loads(text[text.index("[") :])])
        else:
            self.others.append(text)


@asynccontextmanager
async def raw_socket(
    edge: Edge, *, token: str | None = None, read_bytes: int = 2**16, **auth: object
) -> AsyncIterator[RawSocket]:
    """Enter the namespace by hand with this `auth`."""
    url = f"{edge.url}/socket.io/?EIO=4&transport=websocket"
    async with (
        aiohttp.ClientSession(read_bufsize=read_bytes) as http,
        http.ws_connect(url, max_msg_size=0) as ws,
    ):
        await ws.receive_str()
        await ws.send_str(f"40/ws,{json.dumps({'token': token or edge.token(), **auth})}")
        welcome = await ws.receive_str(timeout=WAIT_SECONDS)
        client = RawSocket(ws, json.loads(welcome.removeprefix("40/ws,")))
        await client.hears("connected")
        yield client
