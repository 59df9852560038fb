"""What every answer has in common: ids, problems, methods, health, documentation."""

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.errors import status_of
from api.routes import is_public
from auth.errors import AuthError
from sessions.errors import SessionsError
from tests.api.server import Server, running_server
from tests.api.test_bad_input import problem

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def kinds(root: type[Exception]) -> Iterator[type[Exception]]:
    for kind in root.__subclasses__():
        yield from (kind, *kinds(kind))


@pytest.mark.parametrize("kind", [*kinds(SessionsError), AuthError, *kinds(AuthError)])
def test_every_error_has_a_status_of_its_own(kind: type[Exception]) -> None:
    assert status_of(kind) < 500 or status_of(kind) in {501, 502, 503}


async def test_every_answer_carries_the_request_id(server: Server) -> None:
    for path in ("/whatsapp", "/nothing", "/health/live", "/docs"):
        answer = await server.call("GET", path, headers={"X-Request-Id": "job-17.a"})
        assert answer.headers.get_list("x-request-id") == ["job-17.a"]
    unauthenticated = await server.call("GET", "/whatsapp", token=None)
    assert UUID.fullmatch(unauthenticated.headers["x-request-id"])


@pytest.mark.parametrize("given", ["", "a" * 65, "a b", "é", "<script>"])
async def test_an_unsafe_request_id_is_replaced(server: Server, given: str) -> None:
    headers = {"X-Request-Id": given.encode()}
    answer = await server.call("GET", "/health/live", headers=headers)  # type: ignore[arg-type]
    assert UUID.fullmatch(answer.headers["x-request-id"])


async def test_a_fault_of_the_server_tells_nothing_but_the_request_id(tmp_path: Path) -> None:
    async def fail(_: Request) -> Response:
        message = "secret detail"
        raise RuntimeError(message)

    async with running_server(tmp_path, more_routes=[Route("/fail", fail)]) as server:
        answer = await server.call("GET", "/fail", headers={"X-Request-Id": "job-17"})
    document = problem(answer, 500, "internal_error")
    assert document["requestId"] == "job-17"
    assert "secret" not in answer.text
    assert "RuntimeError" not in answer.text


async def test_a_shutdown_is_told_with_the_time_to_try_again(server: Server) -> None:
    await server.create("one")
    await server.house.manager.drain()
    refused = await server.call("POST", "/whatsapp", json={"sessionId": "two"})
    problem(refused, 503, "draining")
    assert int(refused.headers["retry-after"]) > 0
    unready = await server.call("GET", "/health/ready", token=None)
    assert problem(unready, 503, "not_ready")["reasons"] == ["The server is shutting down."]
    assert (await server.call("GET", "/health/live", token=None)).status_code == 200


async def test_a_ready_server_says_so(server: Server) -> None:
    ready = await server.call("GET", "/health/ready?probe=1", token=None)
    assert (ready.status_code, ready.json()) == (200, {"status": "ready", "degraded": []})


async def test_figures_are_in_the_form_that_prometheus_reads(server: Server) -> None:
    answer = await server.call("GET", "/metrics", token=None)
    assert answer.headers["content-type"].startswith("text/plain; version=")
    families = {family.name for family in text_string_to_metric_families(answer.text)}
    assert "wagate_commit_seconds" in families
    open_metrics = await server.call(
        "GET", "/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"}
    )
    assert open_metrics.text.endswith("# EOF\n")


async def test_head_is_get_without_the_body(server: Server) -> None:
    await server.create("one")
    for path in ("/whatsapp/one", "/whatsapp", "/health/ready", "/openapi.json", "/docs"):
        got = await server.call("GET", path)
        head = await server.call("HEAD", path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == got.headers["content-length"]
        assert head.headers["content-type"] == got.headers["content-type"]


async def test_options_tells_the_methods(server: Server) -> None:
    answer = await server.call("OPTIONS", "/whatsapp/one")
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["allow"] == "DELETE, GET, HEAD, OPTIONS, PUT"


async def test_a_client_that_hangs_up_is_no_fault(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    head = (
        "POST /whatsapp HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {server.token}\r\nContent-Length: 100\r\n\r\n{{"
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(head.encode())
        await server.call("GET", "/health/live")
    await server.call("GET", "/health/live")
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_the_documentation_page_works_without_the_internet(server: Server) -> None:
    page = await server.call("GET", "/docs", token=None)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert "<script>" not in page.text
    assert "//" not in page.text
    for path in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        asset = await server.call("GET", f"/{path}", token=None)
        assert asset.status_code == 200
        assert asset.headers["x-content-type-options"] == "nosniff"
    start = await server.call("GET", "/docs/assets/start.js", token=None)
    assert "openapi.json" in start.text


@pytest.mark.parametrize("name", ["../__init__.py", "..%2F__init__.py", "index.html", ".", "%00"])
async def test_only_the_pages_own_files_are_served(server: Server, name: str) -> None:
    answer = await server.call("GET", f"/docs/assets/{name}")
    assert answer.status_code == 404


async def test_the_real_time_description_is_served(server: Server) -> None:
    assert (await server.call("GET", "/asyncapi.json", token=None)).json() == {"asyncapi": "3.0.0"}


@pytest.mark.parametrize(
    "path",
    ["/whatsapp", "/whatsapp/health/live", "/docs/../whatsapp", "/metrics/x", "/healthy", ""],
)
def test_nothing_else_is_public(path: str) -> None:
    assert not is_public(path)
