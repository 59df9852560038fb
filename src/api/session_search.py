"""Looking through a tenant's sessions for what the database has no column for."""

from collections.abc import Callable

from sessions.ids import TenantId
from sessions.manager import SessionManager
from sessions.session import Session, SessionQuery

_MOST = 100_000


async def find_first(
    manager: SessionManager,
    tenant: TenantId,
    queries: tuple[SessionQuery, ...],
    fits: Callable[[Session], bool],
) -> Session | None:
    """Return the session that counts of the first query that finds any which fit.

    Of several, the active one counts, else the newest. Each query should find few: it is read
    whole, since of slices one that follows a deletion would begin too late.
    """
    for query in queries:
        everything = query.model_copy(update={"limit": _MOST, "offset": 0})
        found = filter(fits, (await manager.list(tenant, everything)).items)
        if counts := max(found, key=lambda one: (one.is_active, one.created_at), default=None):
            return counts
    return None
