"""A chatbot back end, written from the contract alone (section 7): it knows a key and no token."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
from pydantic_core import from_json
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.api.server import serving

KEY = "k3y-of-the-chatbot-back-end"
WAIT_SECONDS = 15.0

Judge = Callable[[dict[str, Any]], Response | None]


def take(_: dict[str, Any]) -> Response | None:
    """Take everything."""
    return None


@dataclass(frozen=True)
class Post:
    """One request as it came."""

    path: str
    id: str
    body: dict[str, Any]
    status: int

    @property
    def taken(self) -> bool:
        """Whether it was answered with 2xx."""
        return self.status < 300


@dataclass
class ChatbotBackEnd:
    """What it was told, and how it answers; `judge` returns None for 201."""

    port: int = 0
    judge: Judge = take
    posts: list[Post] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where it is, in front of the contract's paths."""
        return f"http://127.0.0.1:{self.port}/api"

    @contextlib.asynccontextmanager
    async def up(self) -> AsyncIterator["ChatbotBackEnd"]:
        """Serve until the block is left; the next time at the same port."""
        routes = [
            Route(f"/api/whatsapp-qr/{path}", self._receive, methods=["POST"])
            for path in ("webhook", "incoming")
        ]
        async with serving(Starlette(routes=routes), port=self.port) as self.port:
            yield self

    async def _receive(self, request: Request) -> Response:
        if request.headers.get("x-api-key") != KEY:
            return Response(status_code=401)
        body = from_json(await request.body())
        answer = self.judge(body) or Response(status_code=201)
        path = request.url.path.rpartition("/")[2]
        self.posts.append(Post(path, request.headers["webhook-id"], body, answer.status_code))
        return answer

    def words(self, *events: str) -> list[dict[str, Any]]:
        """Return what was taken of these events of sessions, in order."""
        bodies = [post.body for post in self.posts if post.path == "webhook" and post.taken]
        return [body for body in bodies if body["event"] in events]

    def messages(self) -> list[dict[str, Any]]:
        """Return the messages that were taken, in order."""
        return [post.body for post in self.posts if post.path == "incoming" and post.taken]

    async def hears(
        self, event: str, count: int = 1, *, seconds: float = WAIT_SECONDS
    ) -> dict[str, Any]:
        """Wait until an event was told so often; return the last of them."""
        await self.until(lambda: len(self.words(event)) >= count, f"{count}x {event}", seconds)
        return self.words(event)[count - 1]

    async def gets(self, count: int, *, seconds: float = WAIT_SECONDS) -> list[dict[str, Any]]:
        """Wait until so many messages came in."""
        await self.until(lambda: len(self.messages()) >= count, f"{count} messages", seconds)
        return self.messages()

    async def until(
        self, holds: Callable[[], bool], what: str, seconds: float = WAIT_SECONDS
    ) -> None:
        """Wait until something holds."""
        deadline = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > deadline:
                heard = [(post.path, post.body.get("event"), post.status) for post in self.posts]
                raise AssertionError(f"not within {seconds} s: {what}; heard: {heard[-20:]}")
            await asyncio.sleep(0.02)


@dataclass
class ChatbotCaller:
    """The back end as a client of the gateway, with the key and nothing else."""

    http: httpx.AsyncClient
    prefix: str = "/whatsapp-qr"

    @classmethod
    @contextlib.asynccontextmanager
    async def calling(cls, url: str, *, prefix: str = "/whatsapp-qr") -> AsyncIterator[Any]:
        """Call a gateway."""
        headers = {"X-API-Key": KEY}
        async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False) as http:
            yield cls(http, prefix)

    async def get(self, path: str, *, expect: int = 200) -> dict[str, Any]:
        """Ask for something."""
        return _checked(await self.http.get(self.prefix + path), expect)

    async def post(self, path: str, *, expect: int = 200, **body: Any) -> dict[str, Any]:
        """Have something done."""
        return _checked(await self.http.post(self.prefix + path, json=body), expect)


def _checked(answer: httpx.Response, expect: int) -> dict[str, Any]:
    assert answer.status_code == expect, answer.text
    document: dict[str, Any] = answer.json()
    assert document["success"] is (expect < 300)
    assert "message" in document or expect < 300
    return document
