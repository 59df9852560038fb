"""A frontend as users write them: REST and Socket.IO, nothing else; and it checks what it hears."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import socketio

from gateway.event_payloads import PAYLOADS
from sessions.ids import Cursor

NAMESPACE = "/ws"
WAIT_SECONDS = 40.0
Event = dict[str, Any]


class Frontend:
    """One user's page: it follows sessions, resumes by cursor, and remembers what it was told."""

    def __init__(self, url: str, token: str) -> None:
        self.http = httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {token}"},
            trust_env=False,
            timeout=WAIT_SECONDS,
        )
        self.heard: list[tuple[str, Event]] = []
        self.invalid: list[str] = []
        self._url = url
        self._token = token
        self._cursors: dict[str, str] = {}
        self._io = socketio.AsyncClient(reconnection_delay=0.1, reconnection_delay_max=0.5)
        self._io.on("*", self._hear, namespace=NAMESPACE)
        self._io.on("connect", self._resume, namespace=NAMESPACE)

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, token: str) -> AsyncIterator["Frontend"]:
        """Connect, and disconnect with the block; every event must have been as documented."""
        frontend = cls(url, token)
        try:
            await frontend._io.connect(
                url, auth={"token": token}, namespaces=[NAMESPACE], wait_timeout=WAIT_SECONDS
            )
            yield frontend
        finally:
            await frontend._io.shutdown()
            await frontend.http.aclose()
        assert frontend.invalid == []

    async def call(self, method: str, path: str, *, expect: int, **body: Any) -> Any:
        """Call REST and return the answer's JSON, None if it has no body."""
        response = await self.http.request(method, path, json=body or None)
        assert response.status_code == expect, f"{method} {path}: {response.text}"
        return response.json() if response.content else None

    async def create(self, session: str) -> Any:
        """Create a session and follow it."""
        created = await self.call("POST", "/whatsapp", expect=201, sessionId=session)
        await self.follow(session)
        return created

    async def follow(self, session: str) -> Any:
        """Subscribe, from the last event on that was heard; return the answer."""
        request = {"sessionId": session, "after": self._cursors.get(session)}
        answer: Any = await self._io.call(
            "subscribe:session", request, namespace=NAMESPACE, timeout=WAIT_SECONDS
        )
        assert answer["ok"] is True, answer
        self._cursors.setdefault(session, answer["cursor"])
        return answer

    def events(self, session: str, *names: str) -> list[Event]:
        """Return the session's events of these names so far, in order."""
        return [
            event
            for name, event in self.heard
            if name in names and event.get("sessionId") == session
        ]

    def mark(self) -> int:
        """Return a point in time, as `since` takes it."""
        return len(self.heard)

    async def hears(
        self,
        session: str,
        name: str,
        true: Callable[[Event], bool] = lambda _: True,
        *,
        since: int = 0,
        seconds: float = WAIT_SECONDS,
    ) -> Event:
        """Wait for a session's event of this name of which something is true."""
        deadline = time.monotonic() + seconds
        while True:
            for heard, event in self.heard[since:]:
                if heard == name and event.get("sessionId") == session and true(event):
                    return event
            if time.monotonic() > deadline:
                names = [heard for heard, _ in self.heard[since:]]
                raise AssertionError(f"{name} of {session} not within {seconds} s; heard {names}")
            await asyncio.sleep(0.01)

    async def hears_status(self, message: str, status: str) -> Event:
        """Wait until a message has a status."""
        deadline = time.monotonic() + WAIT_SECONDS
        wanted = (message, status)
        while True:
            for name, event in self.heard:
                found = (event.get("messageId"), event.get("status"))
                if name == "message:status" and found == wanted:
                    return event
            if time.monotonic() > deadline:
                raise AssertionError(f"{message} is not {status} within {WAIT_SECONDS} s")
            await asyncio.sleep(0.01)

    def assert_whole(self, session: str) -> None:
        """Hold the session's durable events to their promise: no hole, no repeat, in order."""
        numbers = [
            event["seq"]
            for _, event in self.heard
            if event.get("sessionId") == session and "seq" in event
        ]
        assert numbers == list(range(1, len(numbers) + 1))

    async def _resume(self) -> None:
        for session in list(self._cursors):
            # In the background: the answer comes over the connection that this handler holds up.
            self._io.start_background_task(self._follow_again, session)

    async def _follow_again(self, session: str) -> None:
        answer = await self.follow(session)
        if not answer["recovered"]:
            self.invalid.append(f"{session} was not recovered: {answer['recoveryReason']}")

    async def _hear(self, name: str, event: Event) -> None:
        self.heard.append((name, event))
        if "cursor" in event:
            Cursor.parse(event["cursor"])
            self._cursors[event["sessionId"]] = event["cursor"]
        try:
            PAYLOADS[name].model_validate(event)
        except (KeyError, ValueError) as error:
            self.invalid.append(f"{name} is not as documented: {error}")
