"""What clients get wrong, and what comes back: always a problem that says what to change."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import jwt
import pytest

from auth.tokens import TokenIssuer
from tests.api.server import AUDIENCE, BODY_LIMIT_BYTES, SECRET, Answer, Server, issued

UNKNOWN_ID = "0199f3a2-7c41-7b6e-9a35-1f0c2d4e6b80"
SESSION_CALLS = [
    ("GET", ""),
    ("PUT", ""),
    ("DELETE", ""),
    ("POST", "/activate"),
    ("POST", "/deactivate"),
    ("POST", "/reset-auth"),
    ("POST", "/regenerate-qr"),
    ("GET", "/qr"),
    ("POST", "/messages"),
    ("GET", "/messages"),
    ("GET", f"/messages/{UNKNOWN_ID}"),
    ("POST", f"/messages/{UNKNOWN_ID}/cancel"),
    ("POST", f"/messages/{UNKNOWN_ID}/resolve"),
    ("POST", f"/messages/{UNKNOWN_ID}/read"),
    ("GET", "/conversations"),
    ("POST", "/presence"),
    ("GET", "/events"),
]
BODIES: dict[tuple[str, str], Any] = {
    ("PUT", ""): {"name": "x"},
    ("POST", f"/messages/{UNKNOWN_ID}/resolve"): {"action": "failed"},
    ("POST", "/presence"): {"state": "available"},
    ("POST", "/messages"): {"to": "+447700900123", "type": "text", "text": "x"},
}
JSON = {"Content-Type": "application/json"}


def problem(answer: Answer, status: int, code: str) -> dict[str, Any]:
    """Check that an answer is a whole problem document, and return it."""
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert (answer.status_code, document["code"]) == (status, code), document
    assert document["status"] == status
    assert document["type"] == f"urn:wagate:problem:{code}"
    assert document["title"]
    assert document["detail"]
    assert "Traceback" not in answer.text
    assert answer.headers["x-request-id"]
    return document


def faults(answer: Answer) -> dict[str, str]:
    """Return the code of each place that is wrong."""
    found = problem(answer, 422, "validation_failed")["errors"]
    assert all(fault["detail"] for fault in found)
    return {fault.get("pointer", fault.get("parameter")): fault["code"] for fault in found}


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b'{"sessionId": "one",}',
        b"not json",
        b'{"sessionId": "\xff\xfe"}',
        b'{"sessionId": "\\ud800"}',
        b'{"sessionId": NaN}',
        b"[" * 100_000,
        b'{"metadata":' + b'{"a":' * 5000 + b"1" + b"}" * 5001,
        b'{"metadata": {"n": ' + b"9" * 5000 + b"}}",
        b'{"sessionId": "one"} trailing',
    ],
)
async def test_malformed_json_is_answered_with_its_position(server: Server, content: bytes) -> None:
    answer = await server.call("POST", "/whatsapp", content=content, headers=JSON)
    assert " line 1 column " in problem(answer, 400, "malformed_json")["detail"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, {"/sessionId": "required"}),
        ([], {"": "object_type"}),
        ("one", {"": "object_type"}),
        ({"sessionId": 7}, {"/sessionId": "string_type"}),
        ({"sessionId": None}, {"/sessionId": "string_type"}),
        ({"sessionId": "a", "colour": 1}, {"/colour": "unknown_field"}),
        ({"sessionId": "a", "a/b~c": 1}, {"/a~1b~0c": "unknown_field"}),
        ({"sessionId": "a", "webhook": {}}, {"/webhook/url": "required"}),
        ({"sessionId": "a", "name": "n" * 201}, {"/name": "string_too_long"}),
        ({"sessionId": "a", "name": "n\0"}, {"/name": "invalid_character"}),
        ({"sessionId": "a", "metadata": []}, {"/metadata": "dict_type"}),
        ({"sessionId": "a", "metadata": None}, {"/metadata": "dict_type"}),
        ({"sessionId": "a", "metadata": {"k": "v" * 17000}}, {"/metadata": "metadata_too_large"}),
        ({"sessionId": "a", "phoneNumber": "call me"}, {"/phoneNumber": "invalid_phone_number"}),
        ({"sessionId": "a", "phoneNumber": 447700900123}, {"/phoneNumber": "string_type"}),
        (
            {"sessionId": "a/b", "name": 1},
            {"/sessionId": "invalid_session_id", "/name": "string_type"},
        ),
    ],
)
async def test_every_field_that_is_wrong_is_named(
    server: Server, body: Any, expected: dict[str, str]
) -> None:
    assert faults(await server.call("POST", "/whatsapp", json=body)) == expected


async def test_a_number_that_json_cannot_hold_is_refused(server: Server) -> None:
    content = b'{"sessionId": "a", "metadata": {"n": 1e999}}'
    answer = await server.call("POST", "/whatsapp", content=content, headers=JSON)
    assert faults(answer) == {"/metadata": "invalid_number"}


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a/b",
        "..",
        ".",
        "a b",
        " a",
        "a" * 65,
        "one\n",
        "-a",
        "_a",
        "é",
        "a%2Fb",
        "a\0",
        "a\r\nb",
    ],
)
async def test_a_session_id_has_the_contracts_form(server: Server, name: str) -> None:
    answer = await server.call("POST", "/whatsapp", json={"sessionId": name})
    assert faults(answer) == {"/sessionId": "invalid_session_id"}


async def test_unknown_fields_are_answered_briefly(server: Server) -> None:
    body = {f"field{number}": number for number in range(10_000)}
    answer = await server.call("POST", "/whatsapp", json=body)
    assert len(faults(answer)) == 50


@pytest.mark.parametrize("call", ["activate", "deactivate", "reset-auth", "regenerate-qr"])
async def test_a_command_refuses_fields_it_does_not_know(server: Server, call: str) -> None:
    await server.create("one")
    answer = await server.call("POST", f"/whatsapp/one/{call}", json={"force": True})
    assert faults(answer) == {"/force": "unknown_field"}


@pytest.mark.parametrize("number", ["", "12345", "1" * 16, "+44 7700 900123\n", "٠١٢٣٤٥٦"])
async def test_a_pairing_number_must_be_one(server: Server, number: str) -> None:
    await server.create("one")
    body = {"pairingPhoneNumber": number}
    answer = await server.call("POST", "/whatsapp/one/activate", json=body)
    assert faults(answer) == {"/pairingPhoneNumber": "invalid_phone_number"}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/whatsapp?limit=0", {"limit": "greater_than_equal"}),
        ("/whatsapp?limit=201", {"limit": "less_than_equal"}),
        ("/whatsapp?limit=", {"limit": "int_parsing"}),
        ("/whatsapp?limit=1.0", {"limit": "int_parsing"}),
        ("/whatsapp?limit=1_0", {"limit": "int_parsing"}),
        ("/whatsapp?limit=%00", {"limit": "int_parsing"}),
        (f"/whatsapp?limit={'9' * 5000}", {"limit": "int_parsing"}),
        ("/whatsapp?offset=-1", {"offset": "greater_than_equal"}),
        (f"/whatsapp?offset={2**63}", {"offset": "int_parsing"}),
        ("/whatsapp?limit=1&limit=2", {"limit": "repeated"}),
        ("/whatsapp?status=ASLEEP&isActive=1", {"status": "enum", "isActive": "bool_parsing"}),
        ("/whatsapp?page=2", {"page": "unknown_field"}),
        ("/whatsapp/one?verbose=1", {"verbose": "unknown_field"}),
        ("/whatsapp/one/qr?format=svg", {"format": "literal_error"}),
        ("/whatsapp/one/messages?limit=x", {"limit": "int_parsing"}),
        ("/whatsapp/one/messages?chatId=x", {"chatId": "invalid_recipient"}),
        ("/whatsapp/one/messages?before=%00", {"before": "string_pattern_mismatch"}),
        ("/whatsapp/one/events?after=", {"after": "string_pattern_mismatch"}),
        ("/whatsapp/one/events?limit=501", {"limit": "less_than_equal"}),
    ],
)
async def test_every_parameter_that_is_wrong_is_named(
    server: Server, path: str, expected: dict[str, str]
) -> None:
    await server.create("one")
    assert faults(await server.call("GET", path)) == expected


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_over_the_limit_is_refused(server: Server, chunked: bool) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b" " * (BODY_LIMIT_BYTES // 32)

    content = chunks() if chunked else b" " * (BODY_LIMIT_BYTES + 1)
    answer = await server.call("POST", "/whatsapp", content=content, headers=JSON)
    problem(answer, 413, "body_too_large")
    assert (await server.call("GET", "/whatsapp")).status_code == 200


async def test_a_body_at_the_limit_is_read(server: Server) -> None:
    body = b'{"sessionId": "one"}'
    content = body + b" " * (BODY_LIMIT_BYTES - len(body))
    answer = await server.call("POST", "/whatsapp", content=content, headers=JSON)
    assert answer.status_code == 201


async def test_a_huge_declared_length_is_refused_unread(server: Server) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    head = (
        "POST /whatsapp HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {server.token}\r\nContent-Length: 99999999999\r\n\r\n"
    )
    writer.write(head.encode())
    line = await asyncio.wait_for(reader.readline(), timeout=5)
    writer.close()
    assert line.startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "multipart/form-data; boundary=x"},
        {"Content-Type": "application/json; charset=iso-8859-1"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ],
)
async def test_only_json_is_read(server: Server, headers: dict[str, str]) -> None:
    content = json.dumps({"sessionId": "one"}).encode()
    answer = await server.call("POST", "/whatsapp", content=content, headers=headers)
    problem(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize(
    "kind", ["application/json; charset=UTF-8", "APPLICATION/JSON", "application/vnd.x+json"]
)
async def test_json_under_its_other_names_is_read(server: Server, kind: str) -> None:
    content = json.dumps({"sessionId": "one"}).encode()
    answer = await server.call("POST", "/whatsapp", content=content, headers={"Content-Type": kind})
    assert answer.status_code == 201


@pytest.mark.parametrize("ref", ["nobody", UNKNOWN_ID, "a b", "a%00b", "%FF", "x" * 65, "one%0A"])
async def test_an_unknown_session_is_not_found_by_any_call(server: Server, ref: str) -> None:
    await server.create("one")
    for method, call in SESSION_CALLS:
        body = BODIES.get((method, call))
        answer = await server.call(method, f"/whatsapp/{ref}{call}", json=body)
        problem(answer, 404, "session_not_found")


@pytest.mark.parametrize(("method", "call"), SESSION_CALLS)
async def test_what_is_not_the_callers_looks_like_nothing(
    server: Server, method: str, call: str
) -> None:
    session = await server.create("one")
    body = BODIES.get((method, call))
    unknown = await server.call(method, f"/whatsapp/nobody{call}", json=body)
    for token in (issued(tenant="other"), issued(sessions=["two"]), issued(sessions=[])):
        for ref in ("one", session["id"]):
            answer = await server.call(method, f"/whatsapp/{ref}{call}", json=body, token=token)
            assert answer.json() == unknown.json()
            assert answer.status_code == 404
    assert (await server.call("GET", "/whatsapp/one")).json() == session


def foreign(**changes: Any) -> str:
    claims = {"sub": "tester", "tenant": "acme", "aud": AUDIENCE, "exp": 4_000_000_000}
    return jwt.encode({**claims, **changes}, SECRET, algorithm="HS256")


def unsigned() -> str:
    claims = {"sub": "tester", "tenant": "acme", "aud": AUDIENCE, "exp": 4_000_000_000}
    return jwt.encode(claims, "", algorithm="none")


def of_another_audience() -> str:
    return TokenIssuer(SECRET, audience="elsewhere").issue(
        subject="tester", tenant="acme", lifetime=timedelta(hours=1)
    )


@pytest.mark.parametrize(
    ("token", "code"),
    [
        (None, "missing_token"),
        (foreign(exp=1_000_000_000), "token_expired"),
        (unsigned(), "invalid_token"),
        (of_another_audience(), "invalid_token"),
        (foreign()[:-4] + "AAAA", "invalid_token"),
        (foreign().rpartition(".")[0] + ".", "invalid_token"),
        ("garbage", "invalid_token"),
        ("x" * 10_000, "invalid_token"),
    ],
)
async def test_a_bad_token_opens_nothing(server: Server, token: str | None, code: str) -> None:
    await server.create("one")
    for method, path in (("GET", "/whatsapp"), ("DELETE", "/whatsapp/one"), ("GET", "/nothing")):
        answer = await server.call(method, path, token=token)
        problem(answer, 401, code)
        assert answer.headers["www-authenticate"].startswith("Bearer")
    assert (await server.call("GET", "/whatsapp/one")).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PATCH", "/whatsapp/one", "DELETE, GET, HEAD, OPTIONS, PUT"),
        ("DELETE", "/whatsapp", "GET, HEAD, OPTIONS, POST"),
        ("GET", "/whatsapp/one/activate", "OPTIONS, POST"),
        ("GET", "/whatsapp/one/presence", "OPTIONS, POST"),
        ("DELETE", "/whatsapp/one/conversations", "GET, HEAD, OPTIONS"),
        ("POST", "/health/live", "GET, HEAD, OPTIONS"),
        ("PROPFIND", "/whatsapp", "GET, HEAD, OPTIONS, POST"),
    ],
)
async def test_a_wrong_method_is_told_the_right_ones(
    server: Server, method: str, path: str, allow: str
) -> None:
    answer = await server.call(method, path)
    problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == allow


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/nothing",
        "/whatsapp/",
        "/whatsapp/one/",
        "/docs/",
        "/whatsapp/a/b/c",
        "/whatsapp/..%2F..%2Fetc",
        "/docs/assets/x.js",
    ],
)
async def test_an_unknown_path_is_not_found(server: Server, path: str) -> None:
    problem(await server.call("GET", path), 404, "not_found")
