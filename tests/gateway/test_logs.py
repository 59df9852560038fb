"""Logs: fields, forms, and canaries: nothing secret is written, whoever writes it."""

import ast
import io
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from api.request_ids import RequestIds
from gateway.access_log import AccessLog
from gateway.logs import FIELDS, LogFormat, configure_logs, request_id
from tests.auth import keyring

JWT = keyring.token(sub="canary")
QR = "2@Zm9vYmFyYmF6cXV4Zm9vYmFy,q83vEjRWeJq83vEjRWeJq83vEjRWeA=,abc+/=,ZGVm=,1"
QR_LINK = f"https://wa.me/settings/linked_devices#{QR}"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@contextmanager
def logs(
    level: str = "info", log_format: LogFormat | None = "json", stream: io.StringIO | None = None
) -> Iterator[io.StringIO]:
    """Configure logs into memory, and put everything back as it was."""
    root = logging.getLogger()
    handlers, root_level = root.handlers, root.level
    levels = {
        name: one.level
        for name, one in logging.root.manager.loggerDict.items()
        if isinstance(one, logging.Logger)
    }
    written = stream or io.StringIO()
    try:
        configure_logs(level, log_format, written)
        yield written
    finally:
        root.handlers = handlers
        root.setLevel(root_level)
        for name in list(logging.root.manager.loggerDict):
            logging.getLogger(name).setLevel(levels.get(name, logging.NOTSET))
        logging.captureWarnings(capture=False)
        logging.raiseExceptions = True


def lines(written: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written.getvalue().splitlines()]


def test_a_line_is_one_json_object_with_the_vetted_fields_only() -> None:
    with logs() as written:
        logging.getLogger("sessions.runner").info(
            "session %s", "left", extra={"session": "0192", "seq": 7, "body": "canary"}
        )
    (line,) = lines(written)
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "info",
        "logger": "sessions.runner",
        "message": "session left",
        "session": "0192",
        "seq": 7,
    }


def test_no_field_that_our_code_logs_is_dropped() -> None:
    source = Path(__file__).parents[2] / "src"
    calls = (
        node
        for file in source.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call)
    )
    extras = (word.value for call in calls for word in call.keywords if word.arg == "extra")
    names = {
        key.value
        for extra in extras
        if isinstance(extra, ast.Dict)
        for key in extra.keys
        if isinstance(key, ast.Constant)
    }
    assert {"session", "error"} <= names
    assert names <= FIELDS


def test_text_is_chosen_on_a_terminal_and_json_elsewhere() -> None:
    for stream, is_json in ((Terminal(), False), (io.StringIO(), True)):
        with logs(log_format=None, stream=stream) as written:
            logging.getLogger("gateway.server").info("ready", extra={"pid": 7})
        assert written.getvalue().startswith("{") is is_json
        assert "ready" in written.getvalue()


def test_a_text_line_cannot_be_broken_or_forged() -> None:
    with logs(log_format="text") as written:
        logging.getLogger("api").info(
            "a\nb\x1b[2Jc", extra={"path": '/x\r\n12:00:00 info api: forged "q"'}
        )
    assert len(written.getvalue().splitlines()) == 1
    assert "\x1b" not in written.getvalue()


def test_a_message_with_a_lone_surrogate_is_written() -> None:
    with logs() as written:
        logging.getLogger("api").info("odd \ud800", extra={"path": "/\udfff"})
    assert lines(written)[0]["message"] == "odd \\ud800"


def test_an_exception_is_one_field_of_its_line() -> None:
    for log_format in ("json", "text"):
        with logs(log_format=log_format) as written:
            try:
                raise ValueError(f"refused {JWT}")
            except ValueError:
                logging.getLogger("api").exception("failed")
        assert len(written.getvalue().splitlines()) == 1
        assert "ValueError: refused [token]" in written.getvalue()
        assert "test_logs.py" in written.getvalue()


@pytest.mark.parametrize(
    ("text", "canary"),
    [
        (f"token {JWT} refused", JWT),
        (f"Authorization: Bearer {JWT}", JWT),
        ("Authorization: bearer opaque-canary-token", "opaque-canary"),
        ("GET /socket.io/?EIO=4&token=opaque-canary&transport=websocket", "opaque-canary"),
        ("GET /x?access_token=opaque-canary", "opaque-canary"),
        (f"qr {QR}", QR[10:30]),
        (f"qr {QR_LINK} shown", QR[10:30]),
        ('{"qr":"data:image/png;base64,iVBORw0KGgocanary+/="}', "canary"),
        ("pairing code N1F8-JNQS", "N1F8-JNQS"),
        ('{"pairingCode": "12345678"}', "12345678"),
        ("secret=canary-secret-value", "canary-secret"),
        ("postgresql://user:canary@db.example/wagate", "canary"),
        ("/whatsapp/session_6_+221771234567/qr", "22177123456"),
        ("from 15550001234:7@s.whatsapp.net", "15550001"),
        ("from 123456789012345@lid", "1234567890123"),
        (
            "(sqlite3.IntegrityError) UNIQUE\n[SQL: INSERT …]\n[parameters: ('canary [x]',)]\n(x)",
            "canary",
        ),
        ("1 error\n  Input should be [type=int, input_value='canary', input_type=str]", "canary"),
    ],
)
def test_no_secret_reaches_a_line_by_any_way(text: str, canary: str) -> None:
    for log_format in ("json", "text"):
        with logs(log_format=log_format) as written:
            log = logging.getLogger("sessions.line")
            log.info(text)
            log.info("%s", text)
            log.info("as a field", extra={"path": text, "error": ValueError(text)})
            try:
                raise ValueError(text)
            except ValueError:
                log.exception("raised")
            logging.getLogger("uvicorn.error").info(text)
            logging.getLogger("third.party").error(text)
            log.error("bad arguments %d " + text, "x")  # noqa: G003 - a fault of a caller
        assert len(written.getvalue().splitlines()) == 7
        assert canary not in written.getvalue()


def test_ids_and_dates_are_not_taken_for_secrets() -> None:
    with logs() as written:
        kept = "0192f3a1-7b2c-7def-8abc-0123456789ab at 2026-11-21T14:06:00.123Z cursor ab12:1234"
        logging.getLogger("api").info(kept)
    assert lines(written)[0]["message"] == kept


def test_the_access_line_of_the_server_has_no_query_string() -> None:
    with logs() as written:
        logging.getLogger("uvicorn.access").info(
            '%s - "%s %s HTTP/%s" %d', "127.0.0.1:5", "GET", "/whatsapp?after=canary", "1.1", 200
        )
    assert lines(written)[0]["message"] == '127.0.0.1:5 "GET /whatsapp HTTP/1.1" 200'


def test_third_parties_stay_quiet_even_when_we_debug() -> None:
    with logs(level="debug") as written:
        for name in ("socketio.server", "engineio.server", "aiosqlite", "sqlalchemy.engine.Engine"):
            logging.getLogger(name).info("emitting event canary")
            logging.getLogger(name).debug("canary")
        logging.getLogger("sessions.runner").debug("ours")
    assert [line["message"] for line in lines(written)] == ["ours"]


def test_warnings_become_lines() -> None:
    with logs() as written, warnings.catch_warnings():
        logging.captureWarnings(capture=True)
        warnings.simplefilter("always")
        warnings.warn("deprecated", stacklevel=1)
    assert [line["logger"] for line in lines(written)] == ["py.warnings"]


async def test_every_line_of_a_request_carries_its_id_and_one_tells_how_it_went() -> None:
    async def answer(request: Request) -> PlainTextResponse:
        logging.getLogger("api").info("inside")
        return PlainTextResponse("ok")

    app = RequestIds(
        AccessLog(Starlette(routes=[Route("/x/{id}", answer), Route("/health/live", answer)]))
    )
    with logs() as written:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app), base_url="http://test"
        ) as client:
            await client.get("/x/1?token=canary", headers={"X-Request-Id": "mine-1"})
            await client.get("/health/live")
    inside, request, probe_inside = lines(written)
    assert (inside["message"], inside["request_id"]) == ("inside", "mine-1")
    assert request["message"] == "request"
    assert (request["method"], request["path"], request["status"]) == ("GET", "/x/1", 200)
    assert request["request_id"] == "mine-1"
    assert probe_inside["message"] == "inside"
    assert request_id.get() is None
    assert "canary" not in written.getvalue()
