"""Every path of the REST edge, and which of them need no token."""

from collections.abc import Sequence
from itertools import groupby

from pydantic_core import to_json
from starlette.responses import Response
from starlette.routing import Route, compile_path

from api import (
    bridges,
    chatbot_inbound,
    chatbot_module,
    chatbot_service,
    conversations,
    docs,
    events,
    health,
    messages,
    openapi,
    presence,
    qr,
    revocations,
    sessions,
    usage,
    webhooks,
    worker_backend,
)
from api.operations import Operation
from api.state import ApiRequest

OPERATIONS: tuple[Operation, ...] = (
    *sessions.OPERATIONS,
    *qr.OPERATIONS,
    *messages.OPERATIONS,
    *conversations.OPERATIONS,
    *presence.OPERATIONS,
    *events.OPERATIONS,
    *usage.OPERATIONS,
    *revocations.OPERATIONS,
    *bridges.OPERATIONS,
    *webhooks.OPERATIONS,
    *worker_backend.OPERATIONS,
    *chatbot_module.OPERATIONS,
    *chatbot_service.OPERATIONS,
    *chatbot_inbound.OPERATIONS,
    *health.OPERATIONS,
)
EXPOSED_HEADERS = ("Location", "X-Request-Id", "Retry-After", "Idempotency-Key")
"""What browsers may read of an answer from another origin, for CORS."""
_PUBLIC = frozenset(
    {
        *("/health/live", "/health/ready", "/metrics", "/openapi.json", "/asyncapi.json", "/docs"),
        # These two have a door of their own.
        *(operation.path for operation in chatbot_inbound.OPERATIONS),
    }
)


def routes(*, documented: bool = True) -> list[Route]:
    """Return the routes; they expect `ApiState` from the lifespan and `exception_handlers()`.

    `documented`: with /docs, /openapi.json and /asyncapi.json.
    """
    by_path = groupby(sorted(OPERATIONS, key=_path), key=_path)
    answering = [_route(path, tuple(operations)) for path, operations in by_path]
    return [*answering, *_documents()] if documented else answering


def _documents() -> list[Route]:
    described = to_json(openapi.document(OPERATIONS))

    async def serve_openapi(_: ApiRequest) -> Response:
        return Response(described, media_type="application/json")

    return [
        Route("/openapi.json", serve_openapi),
        Route("/asyncapi.json", _serve_asyncapi),
        *docs.routes(),
    ]


_KEYED = [compile_path(each.path)[0] for each in OPERATIONS if each.takes_api_key]


def takes_api_key(path: str) -> bool:
    """Tell whether a back end's key is as good as a token at a path."""
    return any(pattern.match(path) for pattern in _KEYED)


def is_public(path: str) -> bool:
    """Tell whether a path answers without a token."""
    return path in _PUBLIC or path.startswith("/docs/assets/")


async def _serve_asyncapi(request: ApiRequest) -> Response:
    return Response(to_json(request.state["asyncapi"]), media_type="application/json")


def _path(operation: Operation) -> str:
    return operation.path


def _route(path: str, operations: Sequence[Operation]) -> Route:
    by_method = {operation.method: operation for operation in operations}
    if "GET" in by_method:
        by_method["HEAD"] = by_method["GET"]
    allow = ", ".join(sorted((*by_method, "OPTIONS")))

    async def endpoint(request: ApiRequest) -> Response:
        if request.method == "OPTIONS":
            # Browsers' preflights never come here: the CORS middleware answers them.
            return Response(status_code=204, headers={"Allow": allow})
        return await by_method[request.method].answer(request)

    return Route(path, endpoint, methods=[*by_method, "OPTIONS"], name=operations[0].name)
