"""Looking through a tenant's sessions for what the database has no column for."""

from collections.abc import Callable

from sessions.ids import TenantId
from sessions.manager import SessionManager
from sessions.session import Session, SessionQuery

_PAGE = 200


async def matching(
    manager: SessionManager,
    tenant: TenantId,
    query: SessionQuery,
    fits: Callable[[Session], bool],
) -> list[Session]:
    """Return every session of a query that fits, oldest first, whatever its limit and offset."""
    found: list[Session] = []
    for offset in range(0, 1_000_000, _PAGE):
        slice_ = {"limit": _PAGE, "offset": offset}
        page = await manager.list(tenant, query.model_copy(update=slice_))
        found += filter(fits, page.items)
        if offset + _PAGE >= page.total:
            break
    return found


def foremost(found: list[Session]) -> Session | None:
    """Return the session that counts of several: the active one, else the newest."""
    return max(found, key=lambda session: (session.is_active, session.created_at), default=None)
