"""Which sessions a caller may follow."""

from auth.errors import InsufficientScope
from auth.principal import Principal, Scope
from gateway.session_state import FeedKey, Sessions
from sessions.errors import SessionNotFound
from sessions.ids import TenantId, is_session_name

FOLLOWING = (Scope.SESSIONS_READ, Scope.MESSAGES_READ)
"""Events carry the texts of messages: who may not read those may not follow a session either."""


async def find(sessions: Sessions, principal: Principal, ref: str) -> FeedKey:
    """Return the key of a session that the caller may follow, by its id or name.

    Raises:
        InsufficientScope: the token may follow none; the message names the scope that it lacks.
        SessionNotFound: there is none, or none for this caller.
    """
    for scope in FOLLOWING:
        principal.require(scope)
    if not is_session_name(ref):
        raise SessionNotFound
    tenant = TenantId(principal.tenant)
    session = await sessions.get(tenant, ref)
    if not principal.may_access(session.id, session.session_id):
        raise SessionNotFound
    return FeedKey(tenant, session.id, session.session_id)


def may_follow(principal: Principal, key: FeedKey) -> bool:
    """Tell whether the caller may still follow a session that it follows."""
    try:
        for scope in FOLLOWING:
            principal.require(scope)
    except InsufficientScope:
        return False
    return principal.may_access(key.session, key.name)
