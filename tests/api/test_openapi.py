"""The OpenAPI document: true to the routes, to the models, and to what the server does."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from api import examples, openapi
from api.events import EventPageView
from api.presence import ShowPresence
from api.qr import QrView
from api.revocations import Revoke
from api.routes import OPERATIONS, is_public, routes
from sessions.messages import Message
from sessions.session import ConversationPage, Session
from tests.api.fuzzing import fuzzed
from tests.api.server import Server

# Two days may each be fine and in the wrong order, which no schema can say.
DAYS = """
[[operations]]
include-operation-id = "listUsage"
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", "422"]
"""
# 410: a cursor may be well-formed and of no log that is there.
FOR_ONE_SESSION = """
[parameters]
"path.id" = "support"
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "404", "409", "410"]
"""
COMMITTED = Path(__file__).resolve().parents[2] / "docs" / "openapi.json"


def described() -> dict[str, Any]:
    return openapi.document(OPERATIONS)


def test_the_committed_document_is_the_generated_one() -> None:
    assert json.loads(COMMITTED.read_text()) == described(), "run: scripts/openapi"


def test_every_route_is_described() -> None:
    served = {
        (route.path, method.lower())
        for route in routes()
        for method in (route.methods or set()) - {"HEAD", "OPTIONS"}
    }
    shown = {(path, method) for path, entry in described()["paths"].items() for method in entry}
    assert served - shown == {
        (path, "get")
        for path in ("/openapi.json", "/asyncapi.json", "/docs", "/docs/assets/{name}")
    }
    assert shown <= served


def test_only_what_is_public_needs_no_token() -> None:
    open_paths = {
        path
        for path, entry in described()["paths"].items()
        for operation in entry.values()
        if "security" not in operation
    }
    assert open_paths == {"/health/live", "/health/ready", "/metrics"}
    assert all(is_public(path) for path in open_paths)
    # These have a door of their own, before anything is read.
    own_doors = {operation.path for operation in OPERATIONS if operation.takes_service_key}
    assert own_doors == {"/whatsapp-qr/webhook", "/whatsapp-qr/incoming"}
    assert not any(is_public(operation.path) for operation in OPERATIONS if operation.scopes)


def test_every_operation_has_a_name_of_its_own_and_tells_its_errors() -> None:
    operations = [each for entry in described()["paths"].values() for each in entry.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names)
    for operation in operations:
        if "scope" in operation.get("description", ""):
            assert {"401", "403", "422", "500", "503"} <= operation["responses"].keys()


def test_examples_are_what_the_models_take() -> None:
    for model, example in (
        (Session, examples.SESSION),
        (Message, examples.MESSAGE),
        (ConversationPage, examples.BY_MODEL["ConversationPage"]),
        (ShowPresence, examples.BY_MODEL["ShowPresence"]),
        (QrView, examples.QR),
        (Revoke, examples.BY_MODEL["Revoke"]),
        (EventPageView, examples.BY_MODEL["EventPageView"]),
    ):
        TypeAdapter(model).validate_python(example)


def test_what_a_body_may_hold_is_closed_in_its_parts_too() -> None:
    schemas = described()["components"]["schemas"]
    assert schemas["SessionWebhook"]["additionalProperties"] is False
    assert "additionalProperties" not in schemas["CreatedWebhook"]


async def test_the_document_is_served_without_a_token(server: Server) -> None:
    answer = await server.call("GET", "/openapi.json", token=None)
    assert answer.json() == await asyncio.to_thread(described)


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("config", "options"),
    [
        ("", ()),
        # Random names lead to 404 only: the second time every call is for a session that is there.
        # Administrators' calls have tests of their own.
        (
            FOR_ONE_SESSION,
            (
                "--exclude-operation-id-regex",
                "deleteSession|createRevocation|Bridges?$|redeliver|Webhook|Microservice",
            ),
        ),
    ],
)
async def test_whatever_is_sent_is_answered_as_the_document_says(
    server: Server, tmp_path: Path, config: str, options: tuple[str, ...]
) -> None:
    await server.create("support")
    (tmp_path / "schemathesis.toml").write_text(config + DAYS)
    examples = ("--max-examples", "6")
    await fuzzed(tmp_path, server.port, server.token, *examples, *options, seconds=150)
