"""The composition root: the one place that constructs, from settings alone."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp

from api.state import ApiState
from auth.principal import Principal, Scope
from auth.tokens import TokenVerifier
from gateway import asyncapi
from gateway.back_ends import BackEnd, back_ends, faults
from gateway.bridge_metrics import BridgeMetrics
from gateway.database import open_database
from gateway.microservice_door import microservice_door, microservice_engine
from gateway.policy import realtime_limits, session_policy
from gateway.pump import Pump
from gateway.realtime import Realtime
from gateway.realtime_metrics import RealtimeMetrics
from gateway.revocations import Revocations
from gateway.settings import Settings
from gateway.simulator import simulator_routes
from gateway.supervision import Run, Supervisor
from gateway.web import web_application
from gateway.webhook_client import WebhookClient
from gateway.webhooks import Webhooks
from sessions.bus_memory import MemoryBus
from sessions.clock import Clock, SystemClock
from sessions.engine import Engine
from sessions.engine_neonize import NeonizeEngine
from sessions.engine_simulator import SimulatorEngine
from sessions.errors import SessionNotFound
from sessions.ids import SessionId, TenantId
from sessions.manager import SessionManager
from sessions.metrics import Metrics
from sessions.qr_codes import QrCodes
from sessions.qr_codes_memory import MemoryQrCodes
from sessions.qr_codes_redis import RedisQrCodes
from sessions.services import Services
from sessions.store import Database, Store


@dataclass(frozen=True)
class Gateway:
    """One server, constructed; nothing runs until its `asgi` is started."""

    asgi: ASGIApp
    database: Database
    manager: SessionManager
    supervisor: Supervisor


def build(settings: Settings, *, data: Path, verifier: TokenVerifier) -> Gateway:
    """Construct the server; `data` is the data directory, which the caller holds.

    Reads files, so it is called before the event loop runs.
    """
    parts = _parts(settings, data, verifier)
    simulated = _simulator_routes(parts.services.engine, parts.manager)
    app = web_application(settings, verifier, simulated, _lifespan(settings, parts))
    return Gateway(parts.realtime.asgi(app), parts.database, parts.manager, parts.supervisor)


@dataclass(frozen=True)
class _Parts:
    """What was constructed, before it is put together."""

    database: Database
    redis: Redis | None
    registry: CollectorRegistry
    services: Services
    manager: SessionManager
    realtime: Realtime
    pump: Pump
    webhooks: Webhooks
    back_ends: dict[str, BackEnd]
    revocations: Revocations
    supervisor: Supervisor


def _parts(settings: Settings, data: Path, verifier: TokenVerifier) -> _Parts:
    clock, registry = SystemClock(), _registry()
    database, redis = open_database(settings.database), _redis(settings)
    services = _services(
        settings,
        database=database,
        engine=_engine(settings, data, clock),
        qr_codes=MemoryQrCodes(clock) if redis is None else RedisQrCodes(redis, clock),
        clock=clock,
        metrics=Metrics(registry),
    )
    manager = SessionManager(services)
    pump = Pump(services.store, services.bus, clock, BridgeMetrics(registry))
    return _Parts(
        database=database,
        redis=redis,
        registry=registry,
        services=services,
        manager=manager,
        realtime=_realtime(settings, manager, services, verifier, RealtimeMetrics(registry)),
        pump=pump,
        webhooks=_webhooks(settings, services, pump),
        back_ends=back_ends(settings, manager, clock),
        revocations=Revocations(database, verifier.revocations),
        supervisor=Supervisor(registry),
    )


def _runs(parts: _Parts) -> dict[str, Run]:
    """Return what runs in the background, in the order in which it starts.

    Each bridge is added to the pump here; one that has work of its own beside it is a run too.
    """
    runs: dict[str, Run] = {
        "store": parts.services.store.run,
        "engine": parts.services.engine.run,
        "sessions": parts.manager.run,
        "bridges": parts.pump.run,
        "webhooks": parts.webhooks.run,
        "realtime": parts.realtime.run,
    }
    for name, back_end in parts.back_ends.items():
        if back_end.bridge is not None:
            parts.pump.add(back_end.bridge)
        runs[name] = back_end.run
    return runs


def _lifespan(
    settings: Settings, parts: _Parts
) -> Callable[[Starlette], AbstractAsyncContextManager[ApiState]]:
    runs = _runs(parts)
    door = microservice_door(settings, parts.services.engine, parts.manager)
    state = ApiState(
        manager=parts.manager,
        revoker=parts.revocations,
        bridges=parts.pump,
        webhooks=parts.webhooks,
        microservice=door,
        degraded=partial(faults, parts.back_ends, door),
        worker_id=settings.worker_id,
        metrics=parts.registry,
        asyncapi=asyncapi.document(),
        body_limit_bytes=settings.body_limit_bytes,
    )

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[ApiState]:
        async with _closing(parts.database, parts.redis):
            # Before anybody is served: a restart must let no revoked token in.
            await parts.revocations.load()
            await parts.webhooks.load()
            async with parts.supervisor.serving(runs):
                yield state
                # In this order: clients hear of the end of their sessions from the next server.
                await parts.realtime.close()
                await parts.manager.drain()
            await parts.webhooks.close()

    return lifespan


def _services(
    settings: Settings,
    *,
    database: Database,
    engine: Engine,
    qr_codes: QrCodes,
    clock: Clock,
    metrics: Metrics,
) -> Services:
    # In memory also beside Redis: one process holds the data directory, and hears itself.
    bus = MemoryBus()
    policy = session_policy(settings)
    return Services(
        store=Store(database, bus=bus, clock=clock, metrics=metrics),
        engine=engine,
        bus=bus,
        qr_codes=qr_codes,
        clock=clock,
        metrics=metrics,
        policy=policy,
        connects=asyncio.Semaphore(policy.parallel_connects),
    )


def _realtime(
    settings: Settings,
    manager: SessionManager,
    services: Services,
    verifier: TokenVerifier,
    metrics: RealtimeMetrics,
) -> Realtime:
    return Realtime(
        manager=manager,
        bus=services.bus,
        verifier=verifier,
        allowed_origins=settings.allowed_origins,
        clock=services.clock,
        metrics=metrics,
        limits=realtime_limits(settings),
    )


def _webhooks(settings: Settings, services: Services, pump: Pump) -> Webhooks:
    client = WebhookClient(
        allow_http=settings.webhook_allow_http, allow_private=settings.webhook_allow_private
    )
    return Webhooks(
        services.store,
        services.bus,
        pump,
        client,
        services.clock,
        limit=settings.webhook_limit,
    )


def _redis(settings: Settings) -> Redis | None:
    """Return a client that connects at its first call: a server starts without its Redis too."""
    if settings.redis_url is None:
        return None
    return Redis.from_url(settings.redis_url.get_secret_value())


@contextlib.asynccontextmanager
async def _closing(database: Database, redis: Redis | None) -> AsyncIterator[None]:
    try:
        yield
    finally:
        if redis is not None:
            await redis.aclose()
        await database.close()


def _registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def _engine(settings: Settings, data: Path, clock: SystemClock) -> Engine:
    if settings.engine == "simulator":
        return SimulatorEngine(clock, directory=data / "simulator")
    if settings.engine == "microservice":
        return microservice_engine(settings, data / "microservice", clock)
    return NeonizeEngine(
        directory=data / "engine",
        sessions_per_worker=settings.engine_sessions_per_worker,
        spare_workers=settings.engine_spare_workers,
        max_starts=settings.engine_max_starts,
        max_descriptors=settings.engine_max_descriptors,
    )


def _simulator_routes(engine: Engine, manager: SessionManager) -> list[Route]:
    """Return the routes that hold the simulated phones; none with a real engine."""
    if not isinstance(engine, SimulatorEngine):
        return []

    async def resolve(request: Request, ref: str) -> SessionId:
        principal: Principal = request.scope["state"]["principal"]
        principal.require(Scope.SESSIONS_WRITE)
        session = await manager.get(TenantId(principal.tenant), ref)
        if not principal.may_access(session.id, session.session_id):
            raise SessionNotFound
        return session.id

    return simulator_routes(engine, resolve)
