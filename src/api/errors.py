"""Every error as RFC 9457 problem+json: a stable code, a sentence, never a stack trace.

Which HTTP status an error has is decided here and nowhere else.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ExceptionHandler

from api.request_ids import HEADER as REQUEST_ID
from api.request_ids import request_id
from auth.errors import AuthError, InsufficientScope, KeysUnavailable, RevocationsUnavailable
from sessions.errors import (
    BridgeNotFound,
    EventNotFound,
    IdempotencyConflict,
    InvalidRecipient,
    MessageNotFound,
    NotCancellable,
    NotConnected,
    NotSupported,
    NotUnknown,
    PairingRefused,
    QrNotAvailable,
    QueueFull,
    ReachOutLocked,
    SendFailed,
    SendThrottled,
    SendUncertain,
    SessionExists,
    SessionNotActive,
    SessionNotFound,
    SessionsError,
    TooManyWebhooks,
    Unavailable,
    UnrecoverablePosition,
    WebhookNotFound,
)

PROBLEM_JSON = "application/problem+json"
RETRY_AFTER_SECONDS = 5

# Looked up along each class's bases, so that a new kind of error has its parent's status.
STATUSES: dict[type[Exception], int] = {
    SessionNotFound: 404,
    MessageNotFound: 404,
    BridgeNotFound: 404,
    EventNotFound: 404,
    WebhookNotFound: 404,
    QrNotAvailable: 404,
    SessionExists: 409,
    SessionNotActive: 409,
    IdempotencyConflict: 409,
    PairingRefused: 409,
    NotCancellable: 409,
    NotUnknown: 409,
    TooManyWebhooks: 409,
    QueueFull: 429,
    NotConnected: 409,
    SendThrottled: 409,
    ReachOutLocked: 409,
    UnrecoverablePosition: 410,
    InvalidRecipient: 422,
    SendFailed: 422,
    NotSupported: 501,
    SendUncertain: 502,
    Unavailable: 503,
    InsufficientScope: 403,
    KeysUnavailable: 503,
    RevocationsUnavailable: 503,
    AuthError: 401,
}

_HTTP_PROBLEMS = {
    404: ("not_found", "There is nothing at this path. See /docs for what there is."),
    405: ("method_not_allowed", "This path does not answer to this method; Allow lists those."),
}


class Refusal(Exception):
    """The edge itself refuses a request, before the domain sees it."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.headers = dict(headers or {})
        self.members = members


def problem_document(
    status: int, code: str, detail: str, members: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the body of an error; `members` are further fields of the document."""
    return {
        "type": f"urn:wagate:problem:{code}",
        "title": code.replace("_", " ").capitalize(),
        "status": status,
        "detail": detail,
        "code": code,
        **members,
    }


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    members: Mapping[str, Any] | None = None,
) -> Response:
    """Return the answer for an error."""
    document = problem_document(status, code, detail, members or {})
    return Response(to_json(document), status, headers=headers, media_type=PROBLEM_JSON)


def status_of(error: type[Exception]) -> int:
    """Return the HTTP status of a domain or auth error; 500 for what nobody placed."""
    return next((STATUSES[base] for base in error.__mro__ if base in STATUSES), 500)


def domain_problem(error: SessionsError) -> Response:
    """Return the answer for an error of the domain."""
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if error.temporary else {}
    members: dict[str, str] = {}
    if isinstance(error, UnrecoverablePosition):
        members = {"reason": error.reason, "oldest": error.oldest, "head": error.head}
    status = status_of(type(error))
    return problem(status, error.code, error.message, headers=headers, members=members)


def auth_problem(error: AuthError) -> Response:
    """Return the answer for a missing, bad or too narrow token (RFC 6750), for HTTP doors."""
    match status_of(type(error)):
        # RFC 6750: who sent no token is told no error, only how to authenticate.
        case 401 if error.code == "missing_token":
            headers = {"WWW-Authenticate": "Bearer"}
        case 401:
            headers = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
        case 403:
            headers = {"WWW-Authenticate": 'Bearer error="insufficient_scope"'}
        case _:
            headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
    return problem(status_of(type(error)), error.code, error.message, headers=headers)


def exception_handlers() -> dict[Any, ExceptionHandler]:
    """Return what `Starlette(exception_handlers=…)` needs, so that every error is a problem."""
    kinds = (Refusal, SessionsError, AuthError, HTTPException, ClientDisconnect, Exception)
    return dict.fromkeys(kinds, answer)


async def answer(request: Request, error: Exception) -> Response:
    """Return the answer for whatever a handler raised; of a fault of ours it tells nothing."""
    match error:
        case Refusal():
            return problem(
                error.status, error.code, str(error), headers=error.headers, members=error.members
            )
        case SessionsError():
            return domain_problem(error)
        case AuthError():
            return auth_problem(error)
        case HTTPException():
            return _routing_problem(error)
        case ClientDisconnect():
            # Nobody reads this; without it, a client that hangs up would be logged as our fault.
            return problem(400, "client_disconnected", "The client went away during its request.")
    return _fault(request_id(request))


def _routing_problem(error: HTTPException) -> Response:
    phrase = HTTPStatus(error.status_code).phrase
    fallback = (phrase.lower().replace(" ", "_"), f"{phrase}.")
    code, detail = _HTTP_PROBLEMS.get(error.status_code, fallback)
    headers = dict(error.headers or {})
    if "Allow" in headers:
        # Starlette joins a set, whose order changes from start to start.
        headers["Allow"] = ", ".join(sorted(headers["Allow"].split(", ")))
    return problem(error.status_code, code, detail, headers=headers)


def _fault(id_of_request: str | None) -> Response:
    detail = "The server failed. Tell its operator the request id; it is in the server's log."
    headers = {} if id_of_request is None else {REQUEST_ID: id_of_request}
    members = {"requestId": id_of_request}
    return problem(500, "internal_error", detail, headers=headers, members=members)
