"""The QR code of a session, in the four forms that screens and scripts want."""

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from starlette.responses import Response

from api.errors import Refusal, status_of
from api.operations import Answer, Call, Operation, json_response
from api.rendering import data_url, png, terminal
from api.schemas import Nothing, QrFormat
from api.state import ApiRequest
from auth.principal import Scope
from sessions.clock import Instant
from sessions.errors import QrNotAvailable, SessionNotFound, Unavailable
from sessions.qr_codes import CurrentQr

# A code is as good as a password while it lasts, and stale soon after.
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class QrView(BaseModel):
    """The code to scan, as image and text, and for a login by number the code to type."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    qr: str = Field(repr=False, description="PNG as a data URL.")
    code: str = Field(repr=False, description="The text inside the QR code.")
    pairing_code: str | None = Field(default=None, repr=False)
    attempt: int
    max_attempts: int
    expires_at: Instant


async def show(call: Call[Nothing, QrFormat]) -> Response:
    """Return the current code in the form asked for."""
    ref = await call.ref()
    form = call.query.format or _preferred(call.request)
    try:
        current = await call.manager.qr(call.tenant, ref)
    except QrNotAvailable as error:
        raise await _explained(call, ref, error) from None
    return _rendered(current, form)


def _rendered(current: CurrentQr, form: str) -> Response:
    match form:
        case "png":
            return Response(png(current.code), headers=_HEADERS, media_type="image/png")
        case "raw":
            return Response(current.code, headers=_HEADERS, media_type="text/plain")
        case "terminal":
            return Response(terminal(current.code), headers=_HEADERS, media_type="text/plain")
    view = QrView(qr=data_url(current.code), **current.model_dump())
    response = json_response(view)
    response.headers.update(_HEADERS)
    return response


def _preferred(request: ApiRequest) -> str:
    accepted = request.headers.get("accept", "").lower()
    # Who takes both is a program that wants the data: browsers' <img> takes no JSON.
    wants_image = "image/png" in accepted and "json" not in accepted
    return "png" if wants_image else "json"


async def _explained(call: Call[Nothing, QrFormat], ref: str, error: QrNotAvailable) -> Refusal:
    session = await call.manager.get(call.tenant, ref)
    return Refusal(
        status_of(QrNotAvailable),
        error.code,
        f"There is no QR code now. {session.message}",
        # `status` is the HTTP status in a problem document.
        sessionStatus=session.status,
        reason=session.reason,
        userAction=session.user_action,
    )


OPERATIONS = (
    Operation(
        "GET",
        "/whatsapp/{id}/qr",
        "getQr",
        "Read the current QR code",
        show,
        {200: Answer("The current code.", QrView, media_types=("image/png", "text/plain"))},
        (Scope.SESSIONS_READ,),
        (QrNotAvailable, SessionNotFound, Unavailable),
    ),
)
