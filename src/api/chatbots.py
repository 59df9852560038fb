"""Sessions as chatbot back ends know them: by the chatbot that each is for."""

import contextlib
import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from api.session_search import find_first
from sessions.errors import SessionExists
from sessions.ids import SessionName, TenantId, is_session_name
from sessions.manager import SessionManager
from sessions.session import MetadataMatch, NewSession, Session, SessionChanges, SessionQuery

MEMBER = "chatbotId"
"""Of a session's metadata."""
_NAME = re.compile(r"chatbot_(.+)")


def chatbot_of(name: str, metadata: Mapping[str, Any] | None = None) -> str | None:
    """Return the chatbot that a session is for: by its metadata, else by its name."""
    given = (metadata or {}).get(MEMBER)
    if isinstance(given, str) and given:
        return given
    if isinstance(given, int) and not isinstance(given, bool):
        return str(given)
    named = _NAME.fullmatch(name)
    return None if named is None else named[1]


def session_name(chatbot_id: str) -> SessionName:
    """Return the sessionId for a chatbot; one that no session may be called by is hashed."""
    name = f"chatbot_{chatbot_id}"
    if not is_session_name(name):
        name = f"chatbot_{sha256(chatbot_id.encode()).hexdigest()[:32]}"
    return SessionName(name)


async def find(
    manager: SessionManager, tenant: TenantId, chatbot_id: str, *, only: frozenset[str] | None
) -> Session | None:
    """Return the session of a chatbot, None if there is none among `only` (None: all).

    One that is named for it counts before others; of several, the active one, else the newest.
    """

    def is_it(session: Session) -> bool:
        return chatbot_of(session.session_id, session.metadata) == chatbot_id

    noted = MetadataMatch(member=MEMBER, values=frozenset({chatbot_id}))
    queries = (
        SessionQuery(name_prefix=session_name(chatbot_id), only=only),
        SessionQuery(metadata=noted, only=only),
    )
    return await find_first(manager, tenant, queries, is_it)


async def begin(
    manager: SessionManager, tenant: TenantId, name: SessionName, chatbot_id: str | None
) -> Session:
    """Create a session unless it is there, note the chatbot, and activate it.

    Raises:
        SessionExists: it is there, and for another chatbot.
    """
    metadata = {} if chatbot_id is None else {MEMBER: chatbot_id}
    # It may be there, or the same request may have made it a moment ago.
    with contextlib.suppress(SessionExists):
        await manager.create(tenant, NewSession(session_id=name, metadata=metadata))
    session = await manager.get(tenant, name)
    known = chatbot_of(session.session_id, session.metadata)
    if chatbot_id is not None and chatbot_id != known:
        if MEMBER in session.metadata:
            message = f"The session {name} is for the chatbot {known}. Name another session."
            raise SessionExists(message)
        noted = SessionChanges(metadata={**session.metadata, **metadata})
        await manager.update(tenant, session.id, noted)
    return await activate(manager, tenant, session)


async def activate(manager: SessionManager, tenant: TenantId, session: Session) -> Session:
    """Connect a session, or show a code; what can't connect any more begins anew. Idempotent."""
    if session.reason == "credentials_corrupted":
        # These back ends know no other call that could help.
        await manager.reset_auth(tenant, session.id)
    return await manager.activate(tenant, session.id)
