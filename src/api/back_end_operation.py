"""Operations for back ends that existed before: their clients look at `success` and `message`."""

from pydantic_core import from_json, to_json
from starlette.requests import Request
from starlette.responses import Response

from api import errors
from api.errors import PROBLEM_JSON, Refusal
from api.operations import Operation
from api.state import ApiRequest
from auth.errors import AuthError
from sessions.errors import SessionsError

ALREADY_CONNECTED = "Session already connected. No QR needed."
NO_STORE = {"Cache-Control": "no-store"}
"""For answers that hold a code: as good as a password while it lasts."""


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
