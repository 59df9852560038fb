"""Sessions as back ends of the worker kind know them: by their own number for a client's phone."""

import contextlib
import re
from collections.abc import Mapping
from typing import Any

from api.session_search import find_first
from sessions.errors import SessionExists, SessionNotFound
from sessions.ids import SessionName, TenantId
from sessions.manager import SessionManager
from sessions.messages import phone_digits
from sessions.session import MetadataMatch, NewSession, Session, SessionQuery

MEMBER = "numberId"
"""Of a session's metadata."""
_MOST_DIGITS = 18
_NAME = re.compile(rf"session_([0-9]{{1,{_MOST_DIGITS}}})_(.+)")


def number_of(name: str, metadata: Mapping[str, Any] | None = None) -> int | None:
    """Return the back end's number of a session: from its name, else from `numberId`."""
    if named := _NAME.fullmatch(name):
        return int(named[1])
    given = (metadata or {}).get(MEMBER)
    if isinstance(given, str) and re.fullmatch(rf"[0-9]{{1,{_MOST_DIGITS}}}", given):
        return int(given)
    return given if isinstance(given, int) and not isinstance(given, bool) else None


def dialled(phone: str) -> str | None:
    """Return a phone number without spacing, with `+` only if it was given; None if it is none."""
    digits = phone_digits(phone)
    return digits and ("+" if phone.strip().startswith("+") else "") + digits


def session_name(number: int, phone: str) -> SessionName:
    """Return the sessionId for a number and a phone as `dialled` gives it."""
    return SessionName(f"session_{number}_{phone}")


async def find(
    manager: SessionManager,
    tenant: TenantId,
    number: int,
    *,
    only: frozenset[str] | None = None,
    to_send: bool = False,
) -> Session | None:
    """Return the session of a number, None if there is none.

    Of several, as after a change of phone, the active one counts, else the newest; `to_send`, one
    that is connected before them.
    """

    def is_it(session: Session) -> bool:
        return number_of(session.session_id, session.metadata) == number

    # `number_of` takes leading zeros for nothing.
    texts = frozenset(str(number).zfill(digits) for digits in range(1, _MOST_DIGITS + 1))
    noted = MetadataMatch(member=MEMBER, values=texts)
    queries = (
        SessionQuery(name_prefix=f"session_{number}_", only=only),
        SessionQuery(metadata=noted, only=only),
        SessionQuery(name_prefix="session_0", only=only),
    )
    return await find_first(manager, tenant, queries, is_it, to_send=to_send)


async def known_name(
    manager: SessionManager, tenant: TenantId, number: int, phone: str
) -> SessionName:
    """Return what the session of a number and a phone is called, or will be.

    The same phone, once with `+` and once without, is no other phone.
    """
    name = session_name(number, phone)
    other = session_name(number, phone[1:] if phone.startswith("+") else f"+{phone}")
    for spelling in (name, other):
        with contextlib.suppress(SessionNotFound):
            return (await manager.get(tenant, spelling)).session_id
    return name


async def validate(manager: SessionManager, tenant: TenantId, number: int, phone: str) -> Session:
    """Create the session of a number and a phone unless it is there, and activate it."""
    name = await known_name(manager, tenant, number, phone)
    new = NewSession(session_id=name, phone_number=phone, metadata={MEMBER: number})
    # The same request again, or the number's next validation.
    with contextlib.suppress(SessionExists):
        await manager.create(tenant, new)
    return await manager.activate(tenant, name)
