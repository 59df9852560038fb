"""A receiver of webhooks on loopback, which answers what a test tells it to."""

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import from_json
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.api.server import serving

Judge = Callable[[dict[str, Any]], Response | None]


def take(_: dict[str, Any]) -> Response | None:
    """Take everything."""
    return None


@dataclass(frozen=True)
class Post:
    """One request as it came."""

    headers: dict[str, str]
    body: bytes
    answered: int

    @property
    def event(self) -> dict[str, Any]:
        """The body's event."""
        event: dict[str, Any] = from_json(self.body)
        return event


@dataclass
class Receiver:
    """What came, and how to answer the next; `judge` returns None for 200."""

    port: int = 0
    judge: Judge = take
    posts: list[Post] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/hook"

    def taken(self, type_: str | None = None) -> list[dict[str, Any]]:
        """Return what was answered with 2xx, in the order of arrival."""
        events = [post.event for post in self.posts if post.answered < 300]
        return [event for event in events if type_ in {None, event["type"]}]

    async def receive(self, request: Request) -> Response:
        """Note a request and answer it."""
        body = await request.body()
        answer = self.judge(from_json(body)) or Response(status_code=200)
        self.posts.append(Post(dict(request.headers), body, answer.status_code))
        return answer


@contextlib.asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """Run a receiver until the block is left."""
    receiver = Receiver()
    app = Starlette(routes=[Route("/hook", receiver.receive, methods=["POST"])])
    async with serving(app) as receiver.port:
        yield receiver
