"""A Socket.IO client by hand, cheap enough to have hundreds of them; it resumes by cursor."""

import asyncio
import contextlib
import json
from typing import Any

import aiohttp

from sessions.ids import Cursor

_AGAIN_SECONDS = 0.2


class RawClient:
    """Follows one session over a WebSocket, and connects again whenever that ends."""

    def __init__(self, url: str, token: str, session: str) -> None:
        self._url = f"{url}/socket.io/?EIO=4&transport=websocket"
        self._token = token
        self._session = session
        self.cursor: str | None = None
        self.first: int | None = None
        """The number behind which this client began."""
        self.connections = 0
        self.faults: list[str] = []

    @property
    def seq(self) -> int:
        """The number of the last durable event that it heard."""
        return 0 if self.cursor is None else Cursor.parse(self.cursor).seq

    async def run(self, http: aiohttp.ClientSession) -> None:
        """Follow until cancelled."""
        while True:
            with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError, TypeError):
                async with http.ws_connect(self._url, max_msg_size=0) as socket:
                    await self._follow(socket)
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _follow(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        await socket.receive_str()
        await socket.send_str(f"40/ws,{json.dumps({'token': self._token})}")
        async for message in socket:
            text = str(message.data)
            if text == "2":
                await socket.send_str("3")
            elif text.startswith("40/ws,"):
                request = {"sessionId": self._session, "after": self.cursor}
                await socket.send_str(f"42/ws,1{json.dumps(['subscribe:session', request])}")
            elif text.startswith("43/ws,1"):
                self._subscribed(json.loads(text[7:])[0])
            elif text.startswith("42/ws,"):
                _, payload = json.loads(text[6:])
                self._hear(payload)

    def _subscribed(self, answer: dict[str, Any]) -> None:
        self.connections += 1
        if not answer["ok"]:
            self.faults.append(f"not subscribed: {answer['error']['code']}")
        elif self.cursor is None:
            self.cursor = answer["cursor"]
            self.first = self.seq
        elif not answer["recovered"]:
            self.faults.append(f"not recovered: {answer['recoveryReason']}")
            self.cursor = answer["cursor"]

    def _hear(self, payload: dict[str, Any]) -> None:
        if "seq" not in payload:
            return
        if payload["seq"] != self.seq + 1:
            self.faults.append(f"{payload['seq']} came behind {self.seq}")
        self.cursor = payload["cursor"]
