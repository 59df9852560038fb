"""Calls on sessions themselves: create, list, change, start, stop, remove."""

from starlette.responses import Response

from api.operations import Answer, Call, Operation, json_response
from api.schemas import (
    Activate,
    ListSessions,
    NoQuery,
    Nothing,
    UpdateSession,
)
from api.session_schemas import CreateSession
from api.webhook_making import drafted, started
from api.webhook_status import CreatedSession
from auth.errors import InsufficientScope
from auth.principal import Scope
from sessions.errors import (
    EngineUnavailable,
    SessionExists,
    SessionNotFound,
    TooManyWebhooks,
    Unavailable,
)
from sessions.messages import phone_digits
from sessions.session import NewSession, Session, SessionChanges, SessionPage, SessionQuery
from sessions.status import Status


async def create(call: Call[CreateSession, NoQuery]) -> Response:
    """Create a session that is not active yet."""
    name = call.body.session_id
    # Else it would make a session that it can never see again, in a name that blocks others.
    if not call.principal.may_access(name):
        message = f"The token is narrowed to other sessions than {name}. Get one that names it."
        raise InsufficientScope(message)
    new = NewSession.model_validate(call.body.model_dump(exclude={"webhook"}))
    if call.body.webhook is None:
        session = await call.manager.create(call.tenant, new)
        return json_response(session, 201, Location=call.path(session.id))
    draft = drafted(call, call.body.webhook)
    session = await call.manager.create(call.tenant, new, along=draft.write)
    made = CreatedSession(**session.model_dump(), webhook=started(draft))
    return json_response(made, 201, Location=call.path(made.id), Cache_Control="no-store")


async def list_(call: Call[Nothing, ListSessions]) -> Response:
    """List what the token may see, oldest first."""
    query = SessionQuery(**call.query.model_dump(), only=call.principal.sessions)
    return json_response(await call.manager.list(call.tenant, query))


async def get(call: Call[Nothing, NoQuery]) -> Response:
    """Return one session."""
    return json_response(await call.manager.get(call.tenant, await call.ref()))


async def update(call: Call[UpdateSession, NoQuery]) -> Response:
    """Change what is given."""
    # Only what was sent: null removes a name, and leaving it out must not.
    changes = SessionChanges(**call.body.model_dump(exclude_unset=True))
    return json_response(await call.manager.update(call.tenant, await call.ref(), changes))


async def delete(call: Call[Nothing, NoQuery]) -> Response:
    """Log the device out at WhatsApp when it is linked, then remove everything."""
    await call.manager.delete(call.tenant, await call.ref())
    return Response(status_code=204)


async def activate(call: Call[Activate, NoQuery]) -> Response:
    """Begin to connect; without credentials a QR code follows."""
    phone = call.body.pairing_phone_number
    session = await call.manager.activate(
        call.tenant,
        await call.ref(),
        pairing_phone_number=None if phone is None else phone_digits(phone),
    )
    return json_response(session, 202)


async def deactivate(call: Call[Nothing, NoQuery]) -> Response:
    """Disconnect and keep the credentials."""
    return json_response(await call.manager.deactivate(call.tenant, await call.ref()))


async def reset_auth(call: Call[Nothing, NoQuery]) -> Response:
    """Remove the credentials; the next activation shows a QR code."""
    return json_response(await call.manager.reset_auth(call.tenant, await call.ref()))


async def regenerate_qr(call: Call[Nothing, NoQuery]) -> Response:
    """Begin a new login attempt; the counter of attempts starts again at 0."""
    session = await call.manager.regenerate_qr(call.tenant, await call.ref())
    if session.status is Status.CONNECTED:
        # The sentence that existing frontends look for.
        return json_response(session.model_copy(update={"message": "No QR needed"}))
    return json_response(session, 202)


_ONE = "/whatsapp/{id}"
_MISSING = (SessionNotFound, Unavailable)

OPERATIONS = (
    Operation(
        "POST",
        "/whatsapp",
        "createSession",
        "Create a session",
        create,
        {
            201: Answer(
                "Created; a webhook's secret is shown only now.", CreatedSession, (), ("Location",)
            )
        },
        (Scope.SESSIONS_WRITE,),
        (SessionExists, TooManyWebhooks, Unavailable),
    ),
    Operation(
        "GET",
        "/whatsapp",
        "listSessions",
        "List sessions",
        list_,
        {200: Answer("A page of sessions, oldest first.", SessionPage)},
        (Scope.SESSIONS_READ,),
        (Unavailable,),
    ),
    Operation(
        "GET",
        _ONE,
        "getSession",
        "Read a session",
        get,
        {200: Answer("The session.", Session)},
        (Scope.SESSIONS_READ,),
        _MISSING,
    ),
    Operation(
        "PUT",
        _ONE,
        "updateSession",
        "Change a session",
        update,
        {200: Answer("The session as it is now.", Session)},
        (Scope.SESSIONS_WRITE,),
        _MISSING,
    ),
    Operation(
        "DELETE",
        _ONE,
        "deleteSession",
        "Log out and remove a session",
        delete,
        {204: Answer("Removed, with its credentials, messages and events.")},
        (Scope.SESSIONS_WRITE,),
        (*_MISSING, EngineUnavailable),
    ),
    Operation(
        "POST",
        f"{_ONE}/activate",
        "activateSession",
        "Connect a session",
        activate,
        {202: Answer("Connecting; idempotent.", Session)},
        (Scope.SESSIONS_WRITE,),
        _MISSING,
    ),
    Operation(
        "POST",
        f"{_ONE}/deactivate",
        "deactivateSession",
        "Disconnect a session, keeping its credentials",
        deactivate,
        {200: Answer("Disconnected; idempotent.", Session)},
        (Scope.SESSIONS_WRITE,),
        _MISSING,
    ),
    Operation(
        "POST",
        f"{_ONE}/reset-auth",
        "resetAuth",
        "Remove a session's credentials",
        reset_auth,
        {200: Answer("Removed; the next activation shows a QR code.", Session)},
        (Scope.SESSIONS_WRITE,),
        (*_MISSING, EngineUnavailable),
    ),
    Operation(
        "POST",
        f"{_ONE}/regenerate-qr",
        "regenerateQr",
        "Ask for a new QR code",
        regenerate_qr,
        {
            202: Answer("A new login attempt begins.", Session),
            200: Answer('Already connected: `message` is "No QR needed".', Session),
        },
        (Scope.SESSIONS_WRITE,),
        _MISSING,
    ),
)
