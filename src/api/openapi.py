"""The OpenAPI document, made from the operations and their models.

It is OpenAPI 3.0.3: what the bundled Swagger UI and most code generators read. Pydantic writes
JSON Schema 2020-12, so `_downgraded` rewrites what 3.0 says differently.
"""

import re
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.json_schema import JsonSchemaMode, models_json_schema
from pydantic_core import to_json

from api.examples import BY_MODEL
from api.openapi_problems import problem_details, problem_examples, problem_responses
from api.operations import Answer, Operation
from sessions.ids import SESSION_NAME

_REF = "#/components/schemas/{model}"
_DESCRIPTION = """Sessions link WhatsApp devices; each has a name that you choose.

Every error is an RFC 9457 problem with a stable `code`. Every answer carries `X-Request-Id`.
Wherever a path has `{id}`, a session's `id` and its `sessionId` are both accepted.
"""
_PATH_PARAMETERS = {
    "id": ("The session's `id` or `sessionId`.", {"type": "string", "pattern": SESSION_NAME}),
    "messageId": ("The message's `id`.", {"type": "string", "format": "uuid"}),
    "numberId": (
        "The back end's number of a client.",
        {"type": "string", "pattern": "^[0-9]{1,18}$"},
    ),
    "sessionId": (
        "The session's `sessionId` or `id`.",
        {"type": "string", "pattern": SESSION_NAME},
    ),
    "chatbotId": ("The back end's own id of a chatbot.", {"type": "string", "minLength": 1}),
    "eventId": ("The event's `id`.", {"type": "string", "format": "uuid"}),
    "webhookId": ("The webhook's `id`.", {"type": "string", "format": "uuid"}),
    "name": ("The bridge's name.", {"type": "string", "pattern": "^[A-Za-z0-9:_-]{1,128}$"}),
}
_HEADERS = {
    "Location": "The path of what was made.",
    "X-Request-Id": "Names this request in the server's log; yours, if you sent one.",
    "Retry-After": "Seconds after which to try again.",
    "WWW-Authenticate": "What the token lacks.",
}
_NOT_IN_PARAMETERS = {"description", "nullable"}
_IDEMPOTENCY_KEY = (
    "Sent again with the same body, the same key returns the first answer's message, which is "
    "sent once. 1 to 255 visible ASCII characters."
)


def document(operations: Sequence[Operation]) -> dict[str, Any]:
    """Return the document as JSON values."""
    schemas = _schemas(operations)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        entry = paths.setdefault(operation.path, {})
        entry[operation.method.lower()] = _operation(operation, schemas)
    named = {name: schema for name, schema in schemas.items() if name not in _queries(operations)}
    return {
        "openapi": "3.0.3",
        "info": {
            "title": "Wagate",
            "version": version("wagate"),
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": dict(sorted({**named, "ProblemDetails": problem_details()}.items())),
            "examples": problem_examples(operations),
            "headers": {name: _header(text) for name, text in _HEADERS.items()},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }


def _operation(operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [operation.path.split("/")[1]],
        "parameters": [
            *_path(operation),
            *_query(operation, schemas),
            *_request_headers(operation),
        ],
        "responses": {
            **problem_responses(operation),
            **{str(status): _answer(answer) for status, answer in operation.answers.items()},
        },
    }
    # In a fixed order, as the committed document is compared with this one.
    described["responses"] = dict(sorted(described["responses"].items()))
    if operation.takes_body and operation.body.model_fields:
        content = {"application/json": {"schema": _ref(operation.body)}}
        described["requestBody"] = {"required": _is_needed(operation.body), "content": content}
    if operation.scopes:
        needed = ", ".join(f"`{scope.value}`" for scope in operation.scopes)
        described["description"] = f"Needs the scope {needed}."
        doors = ("bearer", "apiKey") if operation.takes_api_key else ("bearer",)
        described["security"] = [{door: []} for door in doors]
    if operation.takes_service_key:
        described["description"] = "Needs the key that the microservice shares with this server."
        described["security"] = [{"apiKey": []}, {"bearer": []}]
    return described


def _is_needed(body: type[BaseModel]) -> bool:
    """Tell whether an empty object will not do."""
    try:
        body.model_validate({})
    except ValidationError:
        return True
    return False


def _path(operation: Operation) -> Iterable[dict[str, Any]]:
    for name, (text, schema) in _PATH_PARAMETERS.items():
        if f"{{{name}}}" in operation.path:
            where = {"name": name, "in": "path", "required": True}
            yield {**where, "description": text, "schema": schema}


def _query(operation: Operation, schemas: dict[str, Any]) -> Iterable[dict[str, Any]]:
    for name, schema in schemas[operation.query.__name__].get("properties", {}).items():
        plain = {key: value for key, value in schema.items() if key not in _NOT_IN_PARAMETERS}
        text = schema.get("description", "")
        yield {"name": name, "in": "query", "description": text, "schema": plain}


def _request_headers(operation: Operation) -> Iterable[dict[str, Any]]:
    schema = {"type": "string", "pattern": "^[!-~]{1,255}$"}
    for name in operation.headers:
        yield {"name": name, "in": "header", "description": _IDEMPOTENCY_KEY, "schema": schema}


def _answer(answer: Answer) -> dict[str, Any]:
    headers = {name: {"$ref": f"#/components/headers/{name}"} for name in answer.headers}
    content: dict[str, Any] = {}
    if answer.model is not None:
        content["application/json"] = {"schema": _ref(answer.model)}
    for media_type in answer.media_types:
        kind = {"format": "binary"} if media_type.startswith("image/") else {}
        content[media_type] = {"schema": {"type": "string", **kind}}
    described: dict[str, Any] = {"description": answer.description, "headers": headers}
    return {**described, "content": content} if content else described


def _schemas(operations: Sequence[Operation]) -> dict[str, Any]:
    taken = {kind for operation in operations for kind in (operation.body, operation.query)}
    given = {
        answer.model
        for operation in operations
        for answer in operation.answers.values()
        if answer.model is not None
    }
    inputs: list[tuple[type[BaseModel], JsonSchemaMode]] = [(kind, "validation") for kind in taken]
    outputs: list[tuple[type[BaseModel], JsonSchemaMode]] = [
        (kind, "serialization") for kind in given
    ]
    ordered = sorted((*inputs, *outputs), key=lambda pair: pair[0].__name__)
    _, definitions = models_json_schema(ordered, ref_template=_REF)
    schemas: dict[str, Any] = _downgraded(definitions["$defs"])
    for name, example in BY_MODEL.items():
        schemas[name]["example"] = example
    for name in schemas.keys() - _reached({kind.__name__ for kind in taken}, schemas):
        # A field that a later version adds must not break a client generated from this one.
        schemas[name].pop("additionalProperties", None)
    return schemas


def _reached(names: set[str], schemas: dict[str, Any]) -> set[str]:
    """Return the models of these names, and those that are parts of them."""
    found: set[str] = set()
    while names:
        found |= names
        text = to_json([schemas[name] for name in names]).decode()
        names = set(re.findall(_REF.format(model="([A-Za-z0-9_]+)"), text)) - found
    return found


def _queries(operations: Iterable[Operation]) -> set[str]:
    return {operation.query.__name__ for operation in operations} | {"Nothing"}


def _downgraded(schema: Any) -> Any:
    """Say in OpenAPI 3.0's words what JSON Schema 2020-12 says; property names are kept."""
    if isinstance(schema, list):
        return [_downgraded(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    rewritten = {key: _downgraded(value) for key, value in schema.items()}
    if isinstance(rewritten.get("const"), str):
        rewritten["enum"] = [rewritten.pop("const")]
    if isinstance(rewritten.get("examples"), list):
        rewritten["example"] = rewritten.pop("examples")[0]
    if rewritten.get("default", "") is None:
        del rewritten["default"]
    if isinstance(rewritten.get("title"), str):
        del rewritten["title"]
    return _nullable(rewritten)


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    choices = schema.get("anyOf", [])
    if {"type": "null"} not in choices:
        return schema
    rest = [choice for choice in choices if choice != {"type": "null"}]
    others = {key: value for key, value in schema.items() if key != "anyOf"}
    if len(rest) == 1 and "$ref" not in rest[0]:
        return {**others, **rest[0], "nullable": True}
    # Beside a $ref, 3.0 ignores everything.
    return {**others, "allOf" if len(rest) == 1 else "anyOf": rest, "nullable": True}


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _REF.format(model=model.__name__)}


def _header(text: str) -> dict[str, Any]:
    return {"description": text, "schema": {"type": "string"}}
