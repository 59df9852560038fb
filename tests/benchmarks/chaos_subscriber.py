"""A subscriber for chaos: python-socketio's client; it resumes by cursor and checks each event."""

import asyncio
from typing import Any

import aiohttp
import socketio

from sessions.ids import Cursor

_NAMESPACE = "/ws"
_AGAIN_SECONDS = 0.5
_ANSWER_SECONDS = 30


class Subscriber:
    """Follows one session over whatever happens to its connection."""

    def __init__(self, url: str, token: str, session: str) -> None:
        self.session = session
        self.cursor: str | None = None
        self.first = 0
        """The number behind which it began to listen."""
        self.heard: dict[int, str] = {}
        """Ids of durable events by number."""
        self.texts: list[str] = []
        """What others wrote to the session, as it was told."""
        self.lost = 0
        self.repeated = 0
        self.resumed = 0
        self._url = url
        self._token = token
        self._io: socketio.AsyncClient | None = None
        self._stopping = False

    @property
    def seq(self) -> int:
        """The number of the last event that it heard."""
        return 0 if self.cursor is None else Cursor.parse(self.cursor).seq

    async def run(self) -> None:
        """Follow until stopped; whenever the connection ends, connect again."""
        # A session of ours: the library's own are not closed when it ends.
        async with aiohttp.ClientSession() as http:
            self._io = socketio.AsyncClient(reconnection=False, http_session=http)
            self._io.on("*", self._hear, namespace=_NAMESPACE)
            while not self._stopping:
                await self._follow(self._io)
                await asyncio.sleep(_AGAIN_SECONDS)

    async def stop(self) -> None:
        """End `run` soon. Not by cancelling: the library takes that for the connection's end."""
        self._stopping = True
        await self.drop()

    async def drop(self) -> None:
        """Hang up; `run` connects again."""
        if self._io is not None:
            await self._io.disconnect()

    async def _follow(self, io: socketio.AsyncClient) -> None:
        try:
            await io.connect(
                self._url,
                auth={"token": self._token},
                namespaces=[_NAMESPACE],
                transports=["websocket"],
                wait_timeout=_ANSWER_SECONDS,
            )
            after = self.cursor
            request = {"sessionId": self.session, "after": after}
            answer = await io.call(
                "subscribe:session", request, namespace=_NAMESPACE, timeout=_ANSWER_SECONDS
            )
            if answer["ok"]:
                self._subscribed(answer, after)
                await io.wait()
        except socketio.exceptions.SocketIOError:
            return
        finally:
            await io.disconnect()

    def _subscribed(self, answer: dict[str, Any], after: str | None) -> None:
        if after is None:
            self.first = Cursor.parse(answer["cursor"]).seq
        elif answer["recovered"]:
            self.resumed += 1
        else:
            self.lost += 1
        # Events that follow the answer may have been heard before it is looked at.
        if self.cursor is None or (self.cursor == after and not answer["recovered"]):
            self.cursor = answer["cursor"]

    def _hear(self, name: str, event: dict[str, Any]) -> None:
        if "seq" not in event:
            return
        if event["seq"] in self.heard:
            self.repeated += 1
            return
        self.lost += self.cursor is not None and event["seq"] != self.seq + 1
        self.cursor = event["cursor"]
        self.heard[event["seq"]] = event["id"]
        if name == "session:message" and event["message"]["direction"] == "in":
            self.texts.append(event["message"]["message"])
