"""Reading what a client sends: bounded, strict, and with an answer that tells what to change."""

import asyncio
from contextlib import aclosing
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, from_json
from starlette.requests import Request

from api.errors import Refusal
from api.schemas import Body, Query
from api.state import ApiRequest

BODY_SECONDS = 30
_FAULTS_MOST = 50
IDEMPOTENCY_KEY = "Idempotency-Key"

_CODES = {"missing": "required", "extra_forbidden": "unknown_field", "model_type": "object_type"}
_DETAILS = {"required": "This is required", "object_type": "A JSON object is expected"}

B = TypeVar("B", bound=Body)
Q = TypeVar("Q", bound=Query)


async def read_body(request: ApiRequest, model: type[B]) -> B:
    """Return the request's JSON object as a model; an empty body counts as `{}`.

    Raises:
        Refusal: 400 no JSON, 408 too slow, 413 too large, 415 not declared as JSON, 422 invalid.
    """
    content = await _read(request)
    if not content:
        return _validate(model, {})
    _require_json(request)
    try:
        # This parser bounds depth and digits, and refuses broken UTF-8 and lone surrogates.
        document = from_json(content, allow_inf_nan=False)
    except ValueError as error:
        detail = f"The body is no valid JSON: {error}."
        raise Refusal(400, "malformed_json", detail) from None
    return _validate(model, document)


def read_query(request: Request[Any], model: type[Q]) -> Q:
    """Return the query parameters as a model.

    Raises:
        Refusal: 422, with each parameter that is unknown, repeated or invalid.
    """
    given = request.query_params.multi_items()
    names = [name for name, _ in given]
    repeated = sorted({name for name in names if names.count(name) > 1})
    # Which one counts differs between proxies and servers.
    if repeated:
        raise _invalid([_fault(name, "repeated", "Give it once") for name in repeated])
    try:
        return model.model_validate(dict(given))
    except ValidationError as error:
        faults = [_parameter_fault(found, model) for found in _found(error)]
        raise _invalid(faults) from None


def read_idempotency_key(request: Request[Any]) -> str | None:
    """Return the header's 1 to 255 visible ASCII characters, None without it.

    Raises:
        Refusal: 422, it is not as it should be.
    """
    keys = request.headers.getlist(IDEMPOTENCY_KEY)
    if not keys:
        return None
    if len(keys) == 1 and 1 <= len(keys[0]) <= 255 and all("!" <= c <= "~" for c in keys[0]):
        return keys[0]
    detail = "Give it once, as 1 to 255 visible ASCII characters"
    fault = {"header": IDEMPOTENCY_KEY, "detail": detail, "code": "invalid_idempotency_key"}
    raise _invalid([fault])


async def _read(request: ApiRequest) -> bytes:
    limit_bytes = request.state["body_limit_bytes"]
    declared = request.headers.get("content-length", "0")
    # Servers let only decimal lengths through, but the limit must not depend on that.
    if not declared.isdecimal() or int(declared) > limit_bytes:
        raise _too_large(limit_bytes)
    content = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS), aclosing(request.stream()) as stream:
            async for chunk in stream:
                content += chunk
                if len(content) > limit_bytes:
                    raise _too_large(limit_bytes)
    except TimeoutError:
        detail = f"The body did not come within {BODY_SECONDS} seconds."
        raise Refusal(408, "request_timeout", detail, headers={"Connection": "close"}) from None
    return bytes(content)


def _too_large(limit_bytes: int) -> Refusal:
    # No `Connection: close`: a client that still sends would be reset and never read the answer.
    return Refusal(413, "body_too_large", f"The body is larger than {limit_bytes} bytes.")


def _require_json(request: Request[Any]) -> None:
    media_type, _, parameters = request.headers.get("content-type", "").partition(";")
    kind = media_type.strip().lower()
    is_json = kind == "application/json" or (
        kind.startswith("application/") and kind.endswith("+json")
    )
    charset = parameters.replace(" ", "").replace('"', "").lower()
    if not is_json or charset not in {"", "charset=utf-8"}:
        detail = "Send JSON in UTF-8, with the header Content-Type: application/json."
        raise Refusal(415, "unsupported_media_type", detail)
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        detail = "Send the body without Content-Encoding."
        raise Refusal(415, "unsupported_media_type", detail)


def _validate(model: type[B], document: Any) -> B:
    try:
        # Strict: "1" is no number and 1 no text, or clients would come to rely on either.
        return model.model_validate(document, strict=True)
    except ValidationError as error:
        faults = [_body_fault(found, model) for found in _found(error)]
        raise _invalid(faults) from None


def _found(error: ValidationError) -> list[ErrorDetails]:
    found = error.errors(include_url=False, include_input=False)
    # A body of a megabyte of unknown fields must not become an answer of ten.
    return found[:_FAULTS_MOST]


def _body_fault(found: ErrorDetails, model: type[Body]) -> dict[str, str]:
    code = _CODES.get(found["type"], found["type"])
    detail = _detail(code, found, model)
    return {"pointer": json_pointer(found["loc"]), "detail": detail, "code": code}


def _parameter_fault(found: ErrorDetails, model: type[Query]) -> dict[str, str]:
    code = _CODES.get(found["type"], found["type"])
    return _fault(str(found["loc"][0]), code, _detail(code, found, model))


def _detail(code: str, found: ErrorDetails, model: type[BaseModel]) -> str:
    if code == "unknown_field" and len(found["loc"]) > 1:
        return "Unknown; /openapi.json says what is known here."
    if code == "unknown_field":
        known = ", ".join(str(field.alias) for field in model.model_fields.values())
        return f"Unknown; known here: {known or 'none'}"
    return _DETAILS.get(code, found["msg"])


def _fault(parameter: str, code: str, detail: str) -> dict[str, str]:
    return {"parameter": parameter, "detail": detail, "code": code}


def _invalid(faults: list[dict[str, str]]) -> Refusal:
    places = ", ".join(sorted({_place(fault) for fault in faults}))
    detail = f"The request is not valid; see errors for what to change: {places}."
    return Refusal(422, "validation_failed", detail, errors=faults)


def _place(fault: dict[str, str]) -> str:
    place = fault.get("pointer", fault.get("parameter", fault.get("header", "")))
    return place or "the body"


def json_pointer(location: tuple[str | int, ...]) -> str:
    """Return RFC 6901's pointer to a place in a document; the whole document is ``""``."""
    escaped = (str(step).replace("~", "~0").replace("/", "~1") for step in location)
    return "".join(f"/{step}" for step in escaped)
