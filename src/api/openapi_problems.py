"""The errors of each operation, as OpenAPI responses with an example for every code."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from api.errors import PROBLEM_JSON, problem_document, status_of
from api.operations import Operation
from auth.errors import (
    AuthError,
    ExpiredToken,
    InsufficientScope,
    InvalidToken,
    KeysUnavailable,
    MissingToken,
    RevokedToken,
)
from sessions.errors import SessionsError

_BODY_PROBLEMS = (
    (400, "malformed_json", "The body is no valid JSON: expected value at line 1 column 1."),
    (408, "request_timeout", "The body did not come within 30 seconds."),
    (413, "body_too_large", "The body is larger than 1048576 bytes."),
    (415, "unsupported_media_type", "Send JSON in UTF-8, with Content-Type: application/json."),
)
_TOKEN_ERRORS = (
    MissingToken,
    InvalidToken,
    ExpiredToken,
    RevokedToken,
    InsufficientScope,
    KeysUnavailable,
)
_INVALID = "The request is not valid; see errors for what to change: /text."
_FAULT = {"pointer": "/text", "detail": "This is required", "code": "required"}
_HEADERS = {
    401: ("WWW-Authenticate",),
    403: ("WWW-Authenticate",),
    429: ("Retry-After",),
    503: ("Retry-After",),
}


def problem_responses(operation: Operation) -> dict[str, Any]:
    """Return the error responses of an operation, by status."""
    codes: dict[int, list[str]] = defaultdict(list)
    for status, code, _ in _problems(operation):
        codes[status].append(code)
    return {str(status): _response(status, found) for status, found in sorted(codes.items())}


def problem_examples(operations: Iterable[Operation]) -> dict[str, Any]:
    """Return one example for every code that any of the operations may answer with."""
    found = sorted({each for operation in operations for each in _problems(operation)})
    return {code: {"value": _example(status, code, detail)} for status, code, detail in found}


def _example(status: int, code: str, detail: str) -> dict[str, Any]:
    return problem_document(status, code, detail, {"errors": [_FAULT]} if status == 422 else {})


def _problems(operation: Operation) -> list[tuple[int, str, str]]:
    found = [_of(kind) for root in operation.problems for kind in (root, *root.__subclasses__())]
    if operation.scopes:
        found += [_of(kind) for kind in _TOKEN_ERRORS]
    if operation.scopes or operation.takes_body:
        found.append((422, "validation_failed", _INVALID))
    if operation.takes_body:
        found += _BODY_PROBLEMS
    return [*found, (500, "internal_error", "The server failed. Tell its operator the request id.")]


def _of(kind: type[SessionsError] | type[AuthError]) -> tuple[int, str, str]:
    return status_of(kind), kind.code, " ".join((kind.__doc__ or "").split())


def _response(status: int, codes: list[str]) -> dict[str, Any]:
    listed = ", ".join(f"`{code}`" for code in codes)
    examples = {code: {"$ref": f"#/components/examples/{code}"} for code in codes}
    content = {"schema": {"$ref": "#/components/schemas/ProblemDetails"}, "examples": examples}
    names = _HEADERS.get(status, ())
    return {
        "description": f"A problem: {listed}.",
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in names},
        "content": {PROBLEM_JSON: content},
    }


def problem_details() -> dict[str, Any]:
    """Return the schema of every error."""
    text = {"type": "string"}
    fault = {
        "type": "object",
        "properties": {
            "pointer": {**text, "description": "JSON pointer to the field in the body."},
            "parameter": {**text, "description": "Name of the query parameter."},
            "header": {**text, "description": "Name of the header."},
            "detail": text,
            "code": text,
        },
        "required": ["detail", "code"],
    }
    return {
        "type": "object",
        "description": "RFC 9457; further members depend on `code`.",
        "properties": {
            "type": {**text, "format": "uri", "description": "`urn:wagate:problem:<code>`"},
            "title": text,
            "status": {"type": "integer"},
            "detail": {**text, "description": "One sentence for a person, with the next step."},
            "code": {**text, "description": "Stable; decide by this."},
            "errors": {"type": "array", "items": fault},
        },
        "required": ["type", "title", "status", "detail", "code"],
    }
