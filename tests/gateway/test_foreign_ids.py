"""Row 43: ids of others in path, query and body, over every operation that the document has.

The document itself is walked, so that an operation that comes later is tried too. What is another's
must look exactly like what is not there, and nothing of it may change.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from api import openapi
from api.routes import OPERATIONS
from auth.principal import ORDINARY_SCOPES, Scope
from sessions.events import EventType
from sessions.ids import SessionId, new_uuid
from tests.api.server import Server, issued
from tests.gateway.hooks import hooked, made
from tests.gateway.receiver import Receiver

CANARIES = ("canary-text", "canary-hook", "447700900999")
NAMED_EXACTLY = frozenset({"id", "messageId", "webhookId", "eventId", "name"})
"""Path parameters that name one thing which is there or is not: 404, and no other answer."""
HARMLESS = frozenset({"status", "isActive", "limit", "offset", "format", "from", "to", "workerId"})
"""Query parameters that name nothing of anybody."""


@dataclass(frozen=True)
class Names:
    """How something is called, by the parameter or the field that does it."""

    values: dict[str, Any]

    def of(self, name: str) -> Any:
        """Return the value for a name; what nobody has listed here must be."""
        assert name in self.values, f"say in this test what {name!r} of another tenant is"
        return self.values[name]


def unknown() -> Names:
    """Return names of nothing."""
    return Names(
        {
            "id": "nothing", "sessionId": "nothing", "messageId": new_uuid(),
            "webhookId": new_uuid(), "eventId": new_uuid(), "name": f"webhook:{new_uuid()}",
            "numberId": 999, "whatsappNumberId": 999, "chatbotId": "999",
            "chatId": "447700900998@s.whatsapp.net", "before": new_uuid(), "after": "0:1",
            "quotedMessageId": "NOTHING", "subject": "nobody", "tokenId": new_uuid(),
        }
    )  # fmt: skip


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """Run a gateway with webhooks."""
    async with hooked(tmp_path) as running:
        yield running


async def furnished(server: Server, receiver: Receiver) -> Names:
    """Let the tenant have one of everything, and return how it is called."""
    session = await server.connected("one")
    await server.create("session_6_+447700900123")
    server.house.engine.write(SessionId(session["id"]), "canary-text", sender="447700900999")
    (event,) = await server.house.logged("one", EventType.SESSION_MESSAGE)
    hook = await made(server, receiver.url + "?canary-hook", sessionId="one")
    log = (await server.call("GET", "/whatsapp/one/events")).json()
    message = event.data["message"]
    return Names(
        {
            "id": session["id"], "sessionId": "one", "messageId": message["id"],
            "webhookId": hook["id"], "eventId": event.id, "name": f"webhook:{hook['id']}",
            "numberId": 6, "whatsappNumberId": 6, "chatbotId": "6",
            "chatId": message["chatId"], "before": message["id"], "after": log["cursor"],
            "quotedMessageId": message["whatsappId"], "subject": "tester", "tokenId": new_uuid(),
        }
    )  # fmt: skip


@dataclass(frozen=True)
class Tried:
    """An operation of the document, as a client would call it."""

    method: str
    path: str
    query: tuple[str, ...]
    body: Any

    @property
    def path_names(self) -> set[str]:
        """The names in its path."""
        return {step[1:-1] for step in self.path.split("/") if step.startswith("{")}

    @property
    def names_exactly(self) -> bool:
        """Whether its path names one thing that is there or is not."""
        return bool(self.path_names & NAMED_EXACTLY)

    def request(self, names: Names) -> dict[str, Any]:
        """Return what to send, about what is called so."""
        path = self.path
        for name in self.path_names:
            path = path.replace(f"{{{name}}}", str(names.of(name)))
        request = {"params": {name: names.of(name) for name in self.query}}
        return {**request, "path": path, "json": _filled(self.body, names)}


def _filled(body: Any, names: Names) -> Any:
    """Put names where a body names something."""
    if not isinstance(body, dict):
        return body
    return {
        key: names.values[key] if key in names.values and key != "name" else _filled(value, names)
        for key, value in body.items()
    }


def everything() -> list[Tried]:
    """Return every operation of the document that needs a token, what only reads first."""
    document = openapi.document(OPERATIONS)
    schemas = document["components"]["schemas"]
    found = [
        Tried(method.upper(), path, _query(operation), _body(operation, schemas))
        for path, entry in document["paths"].items()
        for method, operation in entry.items()
        if "security" in operation
    ]
    # What may make something of the caller's own comes last, as that is then called so.
    return sorted(found, key=lambda each: (each.method != "GET", not each.names_exactly))


def _query(operation: dict[str, Any]) -> tuple[str, ...]:
    names = (each["name"] for each in operation["parameters"] if each["in"] == "query")
    return tuple(name for name in names if name not in HARMLESS)


def _body(operation: dict[str, Any], schemas: dict[str, Any]) -> Any:
    if "requestBody" not in operation:
        return None
    return _example(operation["requestBody"]["content"]["application/json"]["schema"], schemas)


def _example(schema: dict[str, Any], schemas: dict[str, Any]) -> Any:
    """Return something that a schema lets pass, with every field that may name something."""
    schema = _resolved(schema, schemas)
    if "example" in schema or "enum" in schema:
        return schema.get("example", schema.get("enum", [None])[0])
    match schema.get("type"):
        case "object":
            return _object(schema, schemas)
        case "array":
            return [_example(schema["items"], schemas)]
    return {"boolean": True, "integer": schema.get("minimum", 0)}.get(str(schema.get("type")), "x")


def _resolved(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    while True:
        choice = next((kind for kind in ("oneOf", "anyOf", "allOf") if kind in schema), None)
        if "$ref" in schema:
            schema = schemas[schema["$ref"].rpartition("/")[2]]
        elif choice is not None and "example" not in schema:
            others = {key: value for key, value in schema.items() if key != choice}
            schema = {**others, **schema[choice][0]}
        else:
            return schema


def _object(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    wanted = {*schema.get("required", ()), *unknown().values}
    return {
        name: _example(each, schemas)
        for name, each in schema.get("properties", {}).items()
        if name in wanted
    }


async def state(server: Server) -> list[Any]:
    """Return what the owner sees."""
    paths = (
        "/whatsapp", "/webhooks", "/usage", "/whatsapp/one/messages",
        "/whatsapp/one/conversations", "/whatsapp/one/events?limit=500",
    )  # fmt: skip
    answers = [await server.call("GET", path) for path in paths]
    assert [answer.status_code for answer in answers] == [200] * len(paths)
    return [answer.json() for answer in answers]


def told(answer: httpx.Response) -> tuple[int, Any]:
    """Return what an answer says: its status, and the code of a problem."""
    is_json = "json" in answer.headers.get("content-type", "")
    body = answer.json() if is_json else None
    return answer.status_code, body.get("code") if isinstance(body, dict) else None


async def call(server: Server, tried: Tried, names: Names, token: str) -> httpx.Response:
    """Call an operation about what is called so."""
    return await server.call(tried.method, token=token, **tried.request(names))


EVERY_SCOPE: Sequence[Scope] = (*ORDINARY_SCOPES, Scope.ADMIN)
INTRUDERS = {
    "of another tenant": issued(subject="intruder", tenant="others", scopes=EVERY_SCOPE),
    "narrowed to another session": issued(subject="narrow", sessions=["mine"]),
}


@pytest.mark.parametrize("by_name", [False, True])
@pytest.mark.parametrize("intruder", list(INTRUDERS))
async def test_what_is_anothers_looks_like_nothing_by_every_operation(
    server: Server, receiver: Receiver, intruder: str, by_name: bool
) -> None:
    names = await furnished(server, receiver)
    if by_name:
        names = Names({**names.values, "id": "one"})
    before, nothing, token = await state(server), unknown(), INTRUDERS[intruder]
    denials = {404} if "tenant" in intruder else {403, 404}
    tried_names: set[str] = set()
    for tried in everything():
        answer = await call(server, tried, names, token)
        context = f"{tried.method} {tried.path}: {answer.text}"
        assert told(answer) == told(await call(server, tried, nothing, token)), context
        # Else it was refused for its form, and nothing was tried.
        assert answer.status_code not in {400, 405, 415, 422}, context
        if tried.names_exactly:
            assert answer.status_code in denials, context
        assert not [canary for canary in CANARIES if canary in answer.text], context
        tried_names |= tried.path_names
    assert await state(server) == before
    assert tried_names >= NAMED_EXACTLY


async def test_the_owner_reaches_by_the_same_requests_what_is_there(
    server: Server, receiver: Receiver
) -> None:
    """Else the test above would pass by requests that nobody could make."""
    names, admin = await furnished(server, receiver), issued(scopes=EVERY_SCOPE)
    reached = {
        tried.path: (await call(server, tried, names, admin)).status_code
        for tried in everything()
        if tried.method == "GET" and tried.names_exactly
    }
    del reached["/whatsapp/{id}/qr"]
    # `before` names a message in one place, a chat in the other.
    del reached["/whatsapp/{id}/conversations"]
    assert set(reached.values()) == {200}, reached
