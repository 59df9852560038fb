"""One session of a running gateway, followed over Socket.IO, for the scripts of this directory."""

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from enum import IntEnum
from typing import Any

import httpx
import socketio
from socketio.exceptions import ConnectionError as ConnectionFailed

NAMESPACE = "/ws"
Event = dict[str, Any]


class Exit(IntEnum):
    """How a script ends."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    TIMED_OUT = 4


class Ended(Exception):
    """The script can't go on; the message says why."""

    def __init__(self, code: Exit, message: str) -> None:
        super().__init__(message)
        self.code = code


def arguments(description: str) -> argparse.ArgumentParser:
    """Return a parser of what every script here needs, with the environment as default."""
    parser = argparse.ArgumentParser(
        description=description,
        epilog="Exit codes: 0 done, 1 failed, 2 usage, 3 refused, 4 timed out.",
    )
    url = os.environ.get("WAGATE_URL", "http://127.0.0.1:3000")
    parser.add_argument("--url", default=url, help="of the gateway (WAGATE_URL); now %(default)s")
    token = os.environ.get("WAGATE_TOKEN")
    parser.add_argument("--token", default=token, help="from `wagate token` (WAGATE_TOKEN)")
    session = os.environ.get("WAGATE_SESSION")
    parser.add_argument("--session", default=session, help="its name or id (WAGATE_SESSION)")
    parser.add_argument(
        "--timeout", type=float, default=None, metavar="SECONDS", help="give up after that"
    )
    return parser


def parsed(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Read the command line; ends the process with exit code 2 when something is missing."""
    options = parser.parse_args()
    if not options.token:
        parser.error("no token: give --token or set WAGATE_TOKEN; `wagate token` prints one")
    if not options.session:
        parser.error("no session: give --session or set WAGATE_SESSION")
    return options


class FollowedSession:
    """A subscription that survives reconnections; events come from `next`."""

    def __init__(self, session: str) -> None:
        self.answer: Event = {}
        self._session = session
        self._cursor: str | None = None
        self._events: asyncio.Queue[tuple[str, Event]] = asyncio.Queue()
        self._refusals: asyncio.Queue[Ended] = asyncio.Queue()
        self._subscribed = asyncio.Event()
        self._client = socketio.AsyncClient(reconnection_delay=0.5, reconnection_delay_max=5)
        self._client.on("connect", self._connected, namespace=NAMESPACE)
        self._client.on("disconnect", self._disconnected, namespace=NAMESPACE)
        self._client.on("connect_error", self._refused, namespace=NAMESPACE)
        self._client.on("*", self._heard, namespace=NAMESPACE)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str, token: str, session: str, *, after: str | None = None
    ) -> AsyncIterator["FollowedSession"]:
        """Connect and subscribe.

        Raises:
            Ended: the gateway can't be reached, or refuses the token or the session.
        """
        followed = cls(session)
        followed._cursor = after
        try:
            await followed._connect(url, token)
            yield followed
        finally:
            await followed._client.shutdown()

    async def next(self) -> tuple[str, Event]:
        """Wait for the next event.

        Raises:
            Ended: the gateway refuses to go on.
        """
        event = asyncio.ensure_future(self._events.get())
        refusal = asyncio.ensure_future(self._refusals.get())
        try:
            await asyncio.wait({event, refusal}, return_when=asyncio.FIRST_COMPLETED)
            if refusal.done():
                raise refusal.result()
            return event.result()
        finally:
            event.cancel()
            refusal.cancel()

    async def wait_for(
        self, name: str, seen: Callable[[str, Event], None], *, seconds: float
    ) -> Event:
        """Show events to `seen` until one has this name; return it.

        Raises:
            Ended: it did not come in time.
        """
        try:
            async with asyncio.timeout(seconds):
                while True:
                    found, event = await self.next()
                    seen(found, event)
                    if found == name:
                        return event
        except TimeoutError:
            message = f"no {name} within {seconds:.0f} s"
            raise Ended(Exit.TIMED_OUT, message) from None

    async def _connect(self, url: str, token: str) -> None:
        try:
            await self._client.connect(
                url, auth={"token": token}, namespaces=[NAMESPACE], wait_timeout=10
            )
        except ConnectionFailed as error:
            if not self._refusals.empty():
                raise self._refusals.get_nowait() from None
            message = f"{url} can't be reached: {error}. Is the gateway running?"
            raise Ended(Exit.FAILED, message) from None
        subscribed = asyncio.ensure_future(self._subscribed.wait())
        refusal = asyncio.ensure_future(self._refusals.get())
        await asyncio.wait({subscribed, refusal}, return_when=asyncio.FIRST_COMPLETED, timeout=15)
        subscribed.cancel()
        refusal.cancel()
        if refusal.done() and not refusal.cancelled():
            raise refusal.result()
        if not self._subscribed.is_set():
            raise Ended(Exit.TIMED_OUT, "the gateway does not answer the subscription")

    async def _connected(self) -> None:
        request = {"sessionId": self._session, "after": self._cursor}
        await self._client.emit(
            "subscribe:session", request, namespace=NAMESPACE, callback=self._answered
        )

    def _answered(self, answer: Event) -> None:
        if not answer["ok"]:
            self._refusals.put_nowait(Ended(Exit.REFUSED, answer["error"]["message"]))
            return
        self.answer = answer
        self._cursor = self._cursor or answer["cursor"]
        self._subscribed.set()
        self._events.put_nowait(("answer", answer))

    def _refused(self, refusal: Event | str) -> None:
        if isinstance(refusal, dict) and "message" in refusal:
            self._refusals.put_nowait(Ended(Exit.REFUSED, str(refusal["message"])))

    def _disconnected(self, reason: str) -> None:
        self._events.put_nowait(("disconnect", {"reason": reason}))
        if reason == "server disconnect":
            self._refusals.put_nowait(Ended(Exit.REFUSED, "the token has ended"))

    async def _heard(self, name: str, event: Event) -> None:
        self._cursor = event.get("cursor", self._cursor)
        self._events.put_nowait((name, event))


def rest(url: str, token: str) -> httpx.AsyncClient:
    """Return a client for REST calls."""
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.AsyncClient(base_url=url, headers=headers, timeout=20, trust_env=False)


def run(main: Callable[[], Any]) -> None:
    """Run a script to its end and leave with its exit code; Ctrl-C is a good end."""
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        sys.exit(Exit.DONE)
    except Ended as ended:
        print(f"{ended}", file=sys.stderr)
        sys.exit(ended.code)
