"""Operations for back ends that existed before: their clients look at `success` and `message`."""

from typing import Any

from pydantic_core import from_json, to_json
from starlette.requests import Request
from starlette.responses import Response

from api import errors
from api.errors import PROBLEM_JSON, Refusal
from api.operations import Call, Operation
from api.state import ApiRequest
from auth.errors import AuthError
from sessions.errors import QrNotAvailable, SessionsError
from sessions.qr_codes import CurrentQr
from sessions.session import Session
from sessions.status import Status

ALREADY_CONNECTED = "Session already connected. No QR needed."
NO_STORE = {"Cache-Control": "no-store"}
"""For answers that hold a code: as good as a password while it lasts."""


async def code_of(call: Call[Any, Any], session: Session) -> CurrentQr:
    """Return the code that a session shows.

    Raises:
        QrNotAvailable: there is none; its sentence is the one that these back ends look for.
    """
    try:
        return await call.manager.qr(call.tenant, session.id)
    except QrNotAvailable as error:
        connected = session.status is Status.CONNECTED
        raise QrNotAvailable(
            ALREADY_CONNECTED if connected else f"There is no QR code now. {session.message}"
        ) from error


class BackEndOperation(Operation):
    """An operation whose problems carry `success` and `message` too."""

    takes_api_key = True

    async def answer(self, request: ApiRequest) -> Response:
        """Answer as any operation does, with two more members when it can't."""
        try:
            return await super().answer(request)
        except (Refusal, SessionsError, AuthError) as error:
            response = await errors.answer(Request(request.scope), error)
        document = from_json(bytes(response.body))
        known = {"success": False, "message": document["detail"]}
        del response.headers["content-length"]
        content = to_json({**document, **known})
        return Response(content, response.status_code, dict(response.headers), PROBLEM_JSON)
