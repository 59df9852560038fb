"""The AsyncAPI document of the Socket.IO edge, made from the models of commands and events.

`python -m gateway.asyncapi` prints it; docs/asyncapi.json is that text, and a test compares them.
"""

import sys
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from pydantic_core import to_json

from gateway.commands import (
    AuthRefresh,
    Failed,
    Refreshed,
    Subscribed,
    SubscribeSession,
    Unsubscribed,
    UnsubscribeSession,
)
from gateway.event_examples import EXAMPLES
from gateway.event_payloads import PAYLOADS

_SCHEMAS = "#/components/schemas/"
_COMMANDS: dict[str, tuple[type[BaseModel], type[BaseModel]]] = {
    "subscribe:session": (SubscribeSession, Subscribed),
    "unsubscribe:session": (UnsubscribeSession, Unsubscribed),
    "auth:refresh": (AuthRefresh, Refreshed),
}
"""Each command's data and what its acknowledgement carries when all is well."""
_INTRODUCTION = """\
Connect a Socket.IO v4 client to the namespace `/ws` (path `/socket.io`), with a token in
`auth.token`, in the header `Authorization: Bearer …`, or in the query as `token`. A refused
handshake ends in `connect_error` with `{code, message}`. Every command answers through its
acknowledgement callback; without one, a failure comes as the event `error`. With `recover: true`
in `auth`, the JavaScript client's own connection state recovery works (`socket.recovered`), and
each event that moves the client's position has that position, a string, as one more argument."""


def document() -> dict[str, Any]:
    """Return the document, AsyncAPI 3.0, as JSON values."""
    references, schemas = _schemas()
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Wagate realtime",
            "version": version("wagate"),
            "description": _INTRODUCTION,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "gateway": {
                "host": "localhost:3000",
                "protocol": "ws",
                "pathname": "/socket.io",
                "description": "Socket.IO v4: long-polling, upgraded to WebSocket, or either.",
                "security": [{"$ref": "#/components/securitySchemes/token"}],
            }
        },
        "channels": {"ws": _channel()},
        "operations": _operations(),
        "components": {
            "messages": _messages(references),
            "schemas": schemas,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
            },
        },
    }


def _schemas() -> tuple[dict[type[BaseModel], Any], dict[str, Any]]:
    """Return a reference to each model's schema, and all schemas by name."""
    models: list[type[BaseModel]] = [*PAYLOADS.values(), Failed]
    for pair in _COMMANDS.values():
        models.extend(pair)
    unique = list(dict.fromkeys(models))
    found, definitions = models_json_schema(
        [(model, "validation") for model in unique], ref_template=_SCHEMAS + "{model}"
    )
    return {model: found[model, "validation"] for model in unique}, definitions["$defs"]


def _names() -> list[str]:
    answers = [f"{command}:ack" for command in _COMMANDS]
    return [*_COMMANDS, *answers, "failure:ack", *PAYLOADS]


def _key(name: str) -> str:
    """Return a name as a key may be written: letters, digits, `_`, `-`, `.`."""
    return name.replace(":", ".")


def _channel() -> dict[str, Any]:
    messages = {_key(name): {"$ref": f"#/components/messages/{_key(name)}"} for name in _names()}
    return {
        "address": "/ws",
        "description": "The Socket.IO namespace; a message's name is the event's name.",
        "messages": messages,
    }


def _messages(references: dict[type[BaseModel], Any]) -> dict[str, Any]:
    def message(name: str, model: type[BaseModel], **more: Any) -> dict[str, Any]:
        summary = (model.__doc__ or "").partition("\n")[0]
        return {"name": name, "summary": summary, "payload": references[model], **more}

    messages = {}
    for name, (data, answer) in _COMMANDS.items():
        messages[_key(name)] = message(name, data)
        messages[_key(f"{name}:ack")] = message(name, answer)
    messages["failure.ack"] = message("acknowledgement of a failure", Failed)
    for name, payload in PAYLOADS.items():
        example = {"name": _key(name), "payload": EXAMPLES[name]}
        messages[_key(name)] = message(name, payload, examples=[example])
    return messages


def _operations() -> dict[str, Any]:
    channel = {"$ref": "#/channels/ws"}
    operations: dict[str, Any] = {
        "events": {
            "action": "send",
            "channel": channel,
            "summary": "What the server tells.",
            "messages": [_in_channel(name) for name in PAYLOADS],
        }
    }
    for name in _COMMANDS:
        operations[_key(name)] = {
            "action": "receive",
            "channel": channel,
            "messages": [_in_channel(name)],
            "reply": {
                "channel": channel,
                "messages": [_in_channel(f"{name}:ack"), _in_channel("failure:ack")],
            },
        }
    return operations


def _in_channel(name: str) -> dict[str, str]:
    return {"$ref": f"#/channels/ws/messages/{_key(name)}"}


if __name__ == "__main__":
    sys.stdout.write(to_json(document(), indent=2).decode() + "\n")
