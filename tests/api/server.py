"""The REST edge over the running domain, behind a real server and with real tokens."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from api.errors import auth_problem, exception_handlers
from api.request_ids import RequestIds
from api.routes import is_public, routes, takes_api_key
from api.state import ApiState
from auth.api_keys import ApiKeyDoor
from auth.keys import shared_secret
from auth.middleware import AuthenticationMiddleware
from auth.principal import ORDINARY_SCOPES, Scope
from auth.tokens import TokenIssuer, TokenVerifier
from gateway.pump import Pump
from gateway.revocations import Revocations
from gateway.webhook_client import WebhookClient
from gateway.webhooks import Webhooks
from sessions.clock import SystemClock
from sessions.ids import SessionId
from sessions.metrics import Metrics
from sessions.services import Policy
from sessions.status import Status
from tests.sessions.house import QUICK, House, running_house, until

SECRET = "m3Xq8Lz1-Vt6Rk0Yp_Hb5Nc9Jd2Gf7Wa4Ue8So"
AUDIENCE = "wagate-tests"
TENANT = "acme"
BODY_LIMIT_BYTES = 1024 * 1024

Answer = httpx.Response


@dataclass
class Server:
    """A client of the edge; each call is made with `token` unless it names another."""

    client: httpx.AsyncClient
    house: House
    port: int
    token: str

    async def call(
        self,
        method: str,
        path: str,
        *,
        token: str | None = "",
        headers: Mapping[str, str] | None = None,
        **sent: Any,
    ) -> Answer:
        """Send a request; `token` None sends none."""
        chosen = self.token if token == "" else token
        given = {} if chosen is None else {"Authorization": f"Bearer {chosen}"}
        return await self.client.request(method, path, headers={**given, **(headers or {})}, **sent)

    async def create(self, session_id: str = "one", **fields: Any) -> dict[str, Any]:
        """Create a session and return it."""
        answer = await self.call("POST", "/whatsapp", json={"sessionId": session_id, **fields})
        assert answer.status_code == 201, answer.text
        created: dict[str, Any] = answer.json()
        return created

    async def reaches(self, name: str, status: Status) -> dict[str, Any]:
        """Wait until a session shows a status."""

        async def look() -> dict[str, Any]:
            found: dict[str, Any] = (await self.call("GET", f"/whatsapp/{name}")).json()
            return found

        return await until(look, lambda session: session["status"] == status)

    async def showing_qr(self, name: str = "one") -> dict[str, Any]:
        """Create and activate a session; return it when it shows a code."""
        await self.create(name)
        answer = await self.call("POST", f"/whatsapp/{name}/activate")
        assert answer.status_code == 202, answer.text
        return await self.reaches(name, Status.QR_READY)

    async def connected(self, name: str = "one", *, phone: str = "447700900123") -> dict[str, Any]:
        """Create, activate, and scan with a phone."""
        session = await self.showing_qr(name)
        self.house.engine.scan(SessionId(session["id"]), phone=phone, push_name="Alice")
        return await self.reaches(name, Status.CONNECTED)


def issued(
    *,
    subject: str = "tester",
    tenant: str = TENANT,
    scopes: Sequence[Scope] = tuple(ORDINARY_SCOPES),
    sessions: Sequence[str] | None = None,
) -> str:
    """Return a token as the server itself would issue it."""
    return TokenIssuer(SECRET, audience=AUDIENCE).issue(
        subject=subject,
        tenant=tenant,
        scopes=scopes,
        sessions=sessions,
        lifetime=timedelta(hours=1),
    )


def door(api_key: str) -> ApiKeyDoor:
    """Return what lets the tenant's back end in."""
    return ApiKeyDoor(api_key, tenant=TENANT, opens=takes_api_key)


def application(
    house: House,
    *,
    more_routes: Sequence[BaseRoute] = (),
    pump: Pump | None = None,
    webhooks: Webhooks | None = None,
    api_key: str | None = None,
) -> ASGIApp:
    """Put the edge together as the composition root does."""
    figures = CollectorRegistry()
    Metrics(figures)
    verifier = TokenVerifier(shared_secret(SECRET), audience=AUDIENCE)
    pump = pump or Pump(house.store, house.bus, SystemClock())
    client = WebhookClient()
    state = ApiState(
        manager=house.manager,
        revoker=Revocations(house.database, verifier.revocations),
        bridges=pump,
        webhooks=webhooks or Webhooks(house.store, house.bus, pump, client, SystemClock()),
        microservice=None,
        degraded=list,
        worker_id=None,
        metrics=figures,
        body_limit_bytes=BODY_LIMIT_BYTES,
        asyncapi={"asyncapi": "3.0.0"},
    )

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[ApiState]:
        yield state

    app = Starlette(
        routes=[*routes(), *more_routes],
        exception_handlers=exception_handlers(),
        lifespan=lifespan,
        middleware=[
            Middleware(RequestIds),
            Middleware(
                AuthenticationMiddleware,
                verifier=verifier,
                is_public=is_public,
                refuse=auth_problem,
                api_key=None if api_key is None else door(api_key),
            ),
        ],
    )
    app.router.redirect_slashes = False
    return app


class InnerServer(uvicorn.Server):
    """A server inside a test: it leaves the signals to pytest, and starts and ends at once."""

    def __init__(self, app: ASGIApp, port: int) -> None:
        config = uvicorn.Config(app, port=port, log_config=None, lifespan="on", ws="none")
        super().__init__(config)
        self.up = asyncio.Event()
        self.end = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield

    async def main_loop(self) -> None:
        """Serve until the end is set."""
        self.up.set()
        await self.end.wait()


@contextlib.asynccontextmanager
async def serving(app: ASGIApp, *, port: int = 0) -> AsyncIterator[int]:
    """Serve an application on a loopback port, 0 for a free one, which is yielded."""
    server = InnerServer(app, port)
    task = asyncio.create_task(server.serve())
    try:
        await asyncio.wait_for(server.up.wait(), timeout=10)
        yield int(server.servers[0].sockets[0].getsockname()[1])
    finally:
        server.end.set()
        await asyncio.wait_for(task, timeout=10)


@contextlib.asynccontextmanager
async def running_server(
    directory: Path,
    *,
    more_routes: Sequence[BaseRoute] = (),
    policy: Policy = QUICK,
    api_key: str | None = None,
) -> AsyncIterator[Server]:
    """Run domain, edge and client until the block is left."""
    async with (
        running_house(directory, policy=policy) as house,
        serving(application(house, more_routes=more_routes, api_key=api_key)) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
    ):
        yield Server(client, house, port, issued())
