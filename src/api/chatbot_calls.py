"""What a chatbot back end calls, be it on the QR microservice or on the module that wraps it."""

import contextlib
from typing import Any

from starlette.responses import Response

from api.back_end_operation import ALREADY_CONNECTED, NO_STORE, BackEndOperation, code_of
from api.chatbot_schemas import (
    ChatbotLogin,
    ChatbotMessage,
    ChatbotQr,
    ChatbotSession,
    Disconnect,
    OneSession,
    SendText,
)
from api.chatbots import activate, begin, chatbot_of, find, session_name
from api.operations import Answer, Call, json_response
from api.rendering import data_url
from api.requests import IDEMPOTENCY_KEY, read_idempotency_key
from api.schemas import NoQuery, Nothing
from auth.errors import InsufficientScope
from auth.principal import Scope
from sessions.errors import (
    IdempotencyConflict,
    NotConnected,
    QrNotAvailable,
    QueueFull,
    SessionExists,
    SessionNotFound,
    Unavailable,
)
from sessions.ids import SessionName
from sessions.messages import OutgoingText
from sessions.session import Session
from sessions.status import Status


async def init(call: Call[OneSession, NoQuery]) -> Response:
    """Create the session unless it is there, and activate it."""
    return await _login(call, await _begun(call))


async def qr_code(call: Call[Nothing, NoQuery]) -> Response:
    """Return the code that links the phone."""
    session = await _of_path(call)
    current = await code_of(call, session)
    image = data_url(current.code)
    response = json_response(
        ChatbotQr(
            session_id=session.session_id,
            qr_code=image,
            qr=image,
            expires_at=current.expires_at,
            attempt=current.attempt,
        )
    )
    response.headers.update(NO_STORE)
    return response


async def status(call: Call[Nothing, NoQuery]) -> Response:
    """Tell how a session is."""
    return _shown(await _of_path(call))


async def of_chatbot(call: Call[Nothing, NoQuery]) -> Response:
    """Tell how the session of a chatbot is."""
    return _shown(await _of_chatbot(call, call.request.path_params["chatbotId"]))


async def send(call: Call[SendText, NoQuery]) -> Response:
    """Keep a text to be sent, if the session is connected."""
    key, body = read_idempotency_key(call.request), call.body
    session = await _named(call, body.session_id)
    if session.status is not Status.CONNECTED:
        message = f"The session is not connected; nothing was queued. {session.message}"
        raise NotConnected(message)
    text = OutgoingText(to=body.to, text=body.message)
    kept = await call.manager.send(call.tenant, session.id, text, idempotency_key=key)
    return json_response(ChatbotMessage(message_id=kept.id, job_id=kept.id, status=kept.status))


async def disconnect(call: Call[Disconnect, NoQuery]) -> Response:
    """Disconnect a session; its credentials stay, unless the phone is to be unlinked."""
    body = call.body
    session = (
        await _of_chatbot(call, body.chatbot_id or "")
        if body.session_id is None
        else await _named(call, body.session_id)
    )
    end = call.manager.reset_auth if body.logout else call.manager.deactivate
    return _shown(await end(call.tenant, session.id))


async def _begun(call: Call[OneSession, NoQuery]) -> Session:
    """Return the session that was asked for, activated."""
    manager, tenant, principal = call.manager, call.tenant, call.principal
    name, chatbot_id = call.body.session_id, call.body.chatbot_id
    if name is None:
        chatbot_id = chatbot_id or ""
        known = await find(manager, tenant, chatbot_id, only=principal.sessions)
        if known is not None:
            return await activate(manager, tenant, known)
        name = session_name(chatbot_id)
    # Else it would make a session that it can never see again.
    if not principal.may_access(name):
        message = f"The token is narrowed to other sessions than {name}. Get one that names it."
        raise InsufficientScope(message)
    return await begin(manager, tenant, SessionName(name), chatbot_id)


async def _login(call: Call[OneSession, NoQuery], session: Session) -> Response:
    image = None
    # Else it follows: by `qr-code`, and by the back end's webhook.
    with contextlib.suppress(QrNotAvailable):
        image = data_url((await call.manager.qr(call.tenant, session.id)).code)
    connected = session.status is Status.CONNECTED
    response = json_response(
        ChatbotLogin(
            session_id=session.session_id,
            chatbot_id=chatbot_of(session.session_id, session.metadata) or call.body.chatbot_id,
            status=session.status,
            qr_code=image,
            message=ALREADY_CONNECTED if connected else session.message,
        )
    )
    response.headers.update(NO_STORE)
    return response


async def _of_path(call: Call[Nothing, NoQuery]) -> Session:
    return await _named(call, call.request.path_params["sessionId"])


async def _named(call: Call[Any, Any], ref: str) -> Session:
    return await call.manager.get(call.tenant, await call.known(ref))


async def _of_chatbot(call: Call[Any, Any], chatbot_id: str) -> Session:
    only = call.principal.sessions
    session = await find(call.manager, call.tenant, chatbot_id, only=only)
    if session is None:
        message = "This chatbot has no session yet. Call init with its chatbotId."
        raise SessionNotFound(message)
    return session


def _shown(session: Session) -> Response:
    return json_response(
        ChatbotSession(
            session_id=session.session_id,
            chatbot_id=chatbot_of(session.session_id, session.metadata),
            status=session.status,
            connected=session.status is Status.CONNECTED,
            phone_number=session.phone_number,
            message=session.message,
            user_action=session.user_action,
        )
    )


def operations(prefix: str, kind: str) -> tuple[BackEndOperation, ...]:
    """Return the calls that both have, below a path; `kind` begins their names."""
    return (
        BackEndOperation(
            "GET",
            f"{prefix}/qr-code/{{sessionId}}",
            f"{kind}QrCode",
            "Read the code that links a chatbot's phone",
            qr_code,
            {200: Answer("The current code.", ChatbotQr)},
            (Scope.SESSIONS_READ,),
            (SessionNotFound, QrNotAvailable, Unavailable),
        ),
        BackEndOperation(
            "GET",
            f"{prefix}/status/{{sessionId}}",
            f"{kind}Status",
            "Read how a chatbot's session is",
            status,
            {200: Answer("The session.", ChatbotSession)},
            (Scope.SESSIONS_READ,),
            (SessionNotFound, Unavailable),
        ),
        BackEndOperation(
            "POST",
            f"{prefix}/send",
            f"{kind}Send",
            "Send a text from a connected session",
            send,
            {200: Answer("Stored; it is sent in order.", ChatbotMessage)},
            (Scope.MESSAGES_SEND,),
            (SessionNotFound, NotConnected, IdempotencyConflict, QueueFull, Unavailable),
            headers=(IDEMPOTENCY_KEY,),
        ),
        BackEndOperation(
            "POST",
            f"{prefix}/disconnect",
            f"{kind}Disconnect",
            "Disconnect a session, keeping its credentials unless told otherwise",
            disconnect,
            {200: Answer("Disconnected; idempotent.", ChatbotSession)},
            (Scope.SESSIONS_WRITE,),
            (SessionNotFound, Unavailable),
        ),
    )


BEGUN = {200: Answer("Connecting, or as it was; idempotent.", ChatbotLogin)}
BEGINNING = (SessionExists, SessionNotFound, Unavailable)
"""What `init` answers, and what may be in its way."""
