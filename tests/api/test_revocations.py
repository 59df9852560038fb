"""Revoking tokens over HTTP: refused at once, within one's own tenant, by who may."""

import asyncio
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest

from auth.principal import ORDINARY_SCOPES, Scope
from tests.api.fuzzing import fuzzed
from tests.api.server import AUDIENCE, SECRET, Answer, Server, issued
from tests.api.test_bad_input import faults, problem

# A future `notBefore` is refused, which no schema says.
CONFIG = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "422"]
"""


async def revoke(server: Server, body: Any, **options: Any) -> Answer:
    options.setdefault("token", issued(subject="boss", scopes=[Scope.ADMIN]))
    return await server.call("POST", "/auth/revocations", json=body, **options)


async def opens(server: Server, token: str) -> bool:
    """Tell whether a token lets its holder in; if not, it must be because it was revoked."""
    answer = await server.call("GET", "/whatsapp", token=token)
    if answer.status_code != 200:
        problem(answer, 401, "token_revoked")
        assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    return answer.status_code == 200


def id_of(token: str) -> str:
    claims = jwt.decode(token, SECRET, algorithms=["HS256"], audience=AUDIENCE)
    return str(claims["jti"])


async def test_a_token_is_refused_at_once_by_its_id_and_others_are_not(server: Server) -> None:
    lost, other = issued(), issued()
    assert await opens(server, lost)
    answer = await revoke(server, {"tokenId": id_of(lost)})
    assert answer.status_code == 201
    assert answer.json().keys() == {"tokenId", "createdAt"}
    assert answer.json()["tokenId"] == id_of(lost)
    assert not await opens(server, lost)
    assert await opens(server, other)
    assert (await revoke(server, {"tokenId": id_of(lost)})).status_code == 201


async def test_a_subjects_older_tokens_are_refused_and_nobody_elses(server: Server) -> None:
    mine, bobs = issued(subject="alice"), issued(subject="bob")
    before = datetime.now(UTC) - timedelta(seconds=1)
    answer = (await revoke(server, {"subject": "alice"})).json()
    assert answer.keys() == {"subject", "notBefore", "createdAt"}
    assert before < datetime.fromisoformat(answer["notBefore"]) <= datetime.now(UTC)
    assert not await opens(server, mine)
    assert await opens(server, bobs)


async def test_a_moment_decides_which_of_a_subjects_tokens_are_refused(server: Server) -> None:
    token = issued(subject="alice")
    past = {"subject": "alice", "notBefore": "2020-01-01T00:00:00+02:00"}
    assert (await revoke(server, past)).json()["notBefore"] == "2019-12-31T22:00:00.000Z"
    assert await opens(server, token)
    soon = (datetime.now(UTC) + timedelta(minutes=2)).isoformat()
    assert (await revoke(server, {"subject": "alice", "notBefore": soon})).status_code == 201
    assert not await opens(server, token)
    assert not await opens(server, issued(subject="alice"))


async def test_another_tenants_tokens_are_out_of_reach(server: Server) -> None:
    token = issued(subject="alice")
    stranger = issued(subject="alice", tenant="rival", scopes=[Scope.ADMIN])
    for body in ({"tokenId": id_of(token)}, {"subject": "alice"}):
        assert (await revoke(server, body, token=stranger)).status_code == 201
        assert await opens(server, token)
    assert not await opens(server, stranger)


@pytest.mark.parametrize(
    ("scopes", "sessions"), [(tuple(ORDINARY_SCOPES), None), ((Scope.ADMIN,), ["one"])]
)
async def test_revoking_is_for_who_administrates_the_whole_tenant(
    server: Server, scopes: tuple[Scope, ...], sessions: list[str] | None
) -> None:
    caller = issued(scopes=scopes, sessions=sessions)
    refused = await revoke(server, {"subject": "tester"}, token=caller)
    problem(refused, 403, "insufficient_scope")
    assert await opens(server, caller)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, {"/tokenId": "required"}),
        ({"tokenId": None}, {"/tokenId": "required"}),
        ({"tokenId": ""}, {"/tokenId": "string_too_short"}),
        ({"tokenId": 7}, {"/tokenId": "string_type"}),
        ({"tokenId": "a\0"}, {"/tokenId": "invalid_character"}),
        ({"tokenId": "a" * 257}, {"/tokenId": "string_too_long"}),
        ({"tokenId": "a", "subject": "alice"}, {"/subject": "not_applicable"}),
        ({"tokenId": "a", "subject": None}, {"/subject": "not_applicable"}),
        ({"tokenId": "a", "notBefore": "2026-01-01T00:00:00Z"}, {"/notBefore": "not_applicable"}),
        ({"subject": "a" * 129}, {"/subject": "string_too_long"}),
        ({"subject": "alice", "tenant": "rival"}, {"/tenant": "unknown_field"}),
        ({"subject": "alice", "notBefore": None}, {"/notBefore": "datetime_type"}),
        ({"subject": "alice", "notBefore": 1767603600}, {"/notBefore": "datetime_type"}),
        ({"subject": "alice", "notBefore": "yesterday"}, {"/notBefore": "invalid_moment"}),
        (
            {"subject": "alice", "notBefore": "2026-01-05T09:00:00"},
            {"/notBefore": "invalid_moment"},
        ),
        (
            {"subject": "alice", "notBefore": "0001-01-01T00:00:00+14:00"},
            {"/notBefore": "invalid_moment"},
        ),
        (
            {"subject": "alice", "notBefore": "9999-01-01T00:00:00Z"},
            {"/notBefore": "too_far_ahead"},
        ),
        (["alice"], {"": "object_type"}),
    ],
)
async def test_a_wrong_field_is_named_and_nothing_is_revoked(
    server: Server, body: Any, expected: dict[str, str]
) -> None:
    assert faults(await revoke(server, body)) == expected
    assert await opens(server, issued(subject="alice"))


async def test_what_can_not_be_kept_is_not_revoked(server: Server, tmp_path: Path) -> None:
    token = issued(subject="alice")
    other = await asyncio.to_thread(
        sqlite3.connect, tmp_path / "wagate.db", isolation_level=None, check_same_thread=False
    )
    await asyncio.to_thread(other.execute, "BEGIN IMMEDIATE")
    try:
        refused = await revoke(server, {"subject": "alice"}, timeout=30)
    finally:
        await asyncio.to_thread(other.close)
    problem(refused, 503, "revocations_unavailable")
    assert int(refused.headers["retry-after"]) > 0
    assert await opens(server, token)
    assert (await revoke(server, {"subject": "alice"})).status_code == 201
    assert not await opens(server, token)


async def test_whatever_is_sent_is_answered_as_the_document_says(
    server: Server, tmp_path: Path
) -> None:
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    token = issued(subject="boss", scopes=[Scope.ADMIN])
    options = ("--include-operation-id", "createRevocation", "--max-examples", "50")
    await fuzzed(tmp_path, server.port, token, *options, seconds=55)
