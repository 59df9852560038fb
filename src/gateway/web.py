"""The HTTP application around the routes: who may ask, and from where."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route

from api.errors import auth_problem, exception_handlers
from api.request_ids import RequestIds
from api.routes import EXPOSED_HEADERS, is_public, routes, takes_api_key
from api.state import ApiState
from auth.middleware import AuthenticationMiddleware
from auth.tokens import TokenVerifier
from gateway.access_log import AccessLog
from gateway.authentication import api_key_door
from gateway.settings import Settings

_ALLOWED_HEADERS = ("Authorization", "Content-Type", "Idempotency-Key", "X-API-Key", "X-Request-Id")


def web_application(
    settings: Settings,
    verifier: TokenVerifier,
    more_routes: Sequence[Route],
    lifespan: Callable[[Starlette], AbstractAsyncContextManager[ApiState]],
) -> Starlette:
    """Return the application; `more_routes` exist beside those of the contract."""
    app = Starlette(
        routes=[*routes(documented=settings.docs_enabled), *more_routes],
        middleware=_middleware(settings, verifier),
        exception_handlers=exception_handlers(),
        lifespan=lifespan,
    )
    # A redirect would lose the body of many clients, and its Location any proxy's prefix.
    app.router.redirect_slashes = False
    return app


def _middleware(settings: Settings, verifier: TokenVerifier) -> list[Middleware]:
    """Return the layers around the routes, the outermost first."""
    return [
        Middleware(RequestIds),
        Middleware(AccessLog),
        Middleware(
            CORSMiddleware,
            allow_origins=settings.allowed_origins,
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=[*_ALLOWED_HEADERS],
            expose_headers=EXPOSED_HEADERS,
            max_age=600,
        ),
        Middleware(
            AuthenticationMiddleware,
            verifier=verifier,
            is_public=is_public,
            refuse=auth_problem,
            api_key=api_key_door(settings, takes_api_key),
        ),
    ]
