"""Authentication of HTTP requests through a real ASGI application."""

from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from auth.errors import AuthError
from auth.keys import shared_secret
from auth.middleware import AuthenticationMiddleware
from auth.tokens import TokenVerifier
from tests.auth import keyring


async def who(request: Request) -> JSONResponse:
    principal = request.scope.get("state", {}).get("principal")
    return JSONResponse({"subject": principal and principal.subject})


def refuse(error: AuthError) -> ASGIApp:
    return JSONResponse({"code": error.code, "detail": error.message}, 401)


def guarded(app: ASGIApp) -> AuthenticationMiddleware:
    return AuthenticationMiddleware(
        app,
        verifier=TokenVerifier(shared_secret(keyring.SECRET)),
        is_public=lambda path: path == "/public",
        refuse=refuse,
    )


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    app = guarded(Starlette(routes=[Route("/private", who), Route("/public", who)]))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_a_valid_token_lets_in(client: httpx.AsyncClient, scheme: str) -> None:
    answer = await client.get(
        "/private", headers={"Authorization": f"{scheme}  {keyring.token()} "}
    )
    assert answer.json() == {"subject": "backend"}


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        (None, "missing_token"),
        ("", "missing_token"),
        ("Bearer", "missing_token"),
        ("Bearer ", "missing_token"),
        ("Basic dXNlcjpwYXNzd29yZA==", "missing_token"),
        (keyring.token(), "missing_token"),
        ("Bearer garbage", "invalid_token"),
        ("Bearer \xff\xfe", "invalid_token"),
        (f"Bearer {keyring.token(exp=1)}", "token_expired"),
        (f"Bearer {keyring.token(secret=keyring.OTHER_SECRET)}", "invalid_token"),
    ],
)
async def test_anything_else_is_refused_with_a_code(
    client: httpx.AsyncClient, authorization: str | None, code: str
) -> None:
    headers = [] if authorization is None else [(b"authorization", authorization.encode("latin1"))]
    answer = await client.get("/private", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, code)


async def test_two_tokens_are_refused_even_when_one_is_good(client: httpx.AsyncClient) -> None:
    headers = [("Authorization", f"Bearer {keyring.token()}"), ("Authorization", "Bearer other")]
    answer = await client.get("/private", headers=headers)
    assert answer.json()["code"] == "invalid_token"


async def test_a_token_in_the_query_string_does_not_count(client: httpx.AsyncClient) -> None:
    answer = await client.get("/private", params={"token": keyring.token()})
    assert answer.json()["code"] == "missing_token"


async def test_a_public_path_needs_no_token_and_looks_at_none(client: httpx.AsyncClient) -> None:
    answer = await client.get("/public", headers={"Authorization": "Bearer garbage"})
    assert answer.json() == {"subject": None}


async def test_an_unknown_path_is_not_told_apart_without_a_token(
    client: httpx.AsyncClient,
) -> None:
    assert (await client.get("/nowhere")).status_code == 401


async def test_what_is_not_http_passes_untouched() -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        pytest.fail(f"nothing is answered: {message}")

    await guarded(app)({"type": "websocket", "path": "/private", "headers": []}, receive, send)
    assert seen == ["websocket"]
