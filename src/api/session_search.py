"""Looking through a tenant's sessions for what the database has no column for."""

from collections.abc import Callable
from datetime import datetime

from sessions.ids import TenantId
from sessions.manager import SessionManager
from sessions.session import Session, SessionQuery
from sessions.status import Status

_MOST = 100_000


async def find_first(
    manager: SessionManager,
    tenant: TenantId,
    queries: tuple[SessionQuery, ...],
    fits: Callable[[Session], bool],
    *,
    to_send: bool = False,
) -> Session | None:
    """Return the session that counts of the first query that finds any which fit.

    Of several, the active one counts, else the newest; `to_send`, one that is connected before
    them: a phone that is to replace another may not be linked for days. Each query should find few:
    it is read whole, since of slices one that follows a deletion would begin too late.
    """
    for query in queries:
        everything = query.model_copy(update={"limit": _MOST, "offset": 0})
        found = filter(fits, (await manager.list(tenant, everything)).items)
        if counts := max(found, key=lambda one: _rank(one, to_send=to_send), default=None):
            return counts
    return None


def _rank(session: Session, *, to_send: bool) -> tuple[bool, bool, datetime]:
    is_connected = to_send and session.status is Status.CONNECTED
    return is_connected, session.is_active, session.created_at
