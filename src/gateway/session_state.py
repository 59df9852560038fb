"""A session as a new subscriber is shown it: its state at a cursor, and the code to scan."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from api.rendering import data_url
from gateway.commands import ShownQr, Subscribed
from gateway.recovery import EventLog, Missed
from sessions.clock import iso, to_ms
from sessions.errors import QrNotAvailable
from sessions.events import EventType, SessionEvent
from sessions.ids import SessionId, SessionName, TenantId, new_uuid
from sessions.qr_codes import CurrentQr
from sessions.session import Session
from sessions.status import Status

_MAY_SHOW_A_CODE = frozenset({Status.CONNECTING, Status.QR_READY, Status.RECONNECTING})
"""A code is put on the screens just before the status says so."""


class Sessions(EventLog, Protocol):
    """The part of `SessionManager` that this edge needs."""

    async def get(self, tenant: TenantId, ref: str) -> Session:
        """Return a session; raises SessionNotFound."""
        ...

    async def qr(self, tenant: TenantId, ref: str) -> CurrentQr:
        """Return the code shown now; raises QrNotAvailable."""
        ...


@dataclass(frozen=True)
class FeedKey:
    """Whose events a feed carries."""

    tenant: TenantId
    session: SessionId
    name: SessionName

    @property
    def room(self) -> str:
        """The room's name; only the server puts clients into it."""
        return f"t:{self.tenant}:s:{self.session}"


@dataclass(frozen=True)
class SessionState:
    """What was read at one moment."""

    session: Session
    qr: CurrentQr | None

    def answer(self, missed: Missed) -> Subscribed:
        """Return what a subscriber is told."""
        return Subscribed(
            session_id=self.session.session_id,
            status=self.session.status,
            reason=self.session.reason,
            message=self.session.message,
            user_action=self.session.user_action,
            qr=None if self.qr is None else _shown(self.qr),
            cursor=str(missed.position),
            recovered=missed.recovered,
            recovery_reason=missed.reason,
        )


async def read_state(sessions: Sessions, key: FeedKey) -> SessionState:
    """Read a session and its code.

    Raises:
        SessionNotFound: it is gone.
    """
    session = await sessions.get(key.tenant, key.session)
    if session.status not in _MAY_SHOW_A_CODE:
        return SessionState(session, None)
    return SessionState(session, await read_qr(sessions, key))


async def read_qr(sessions: Sessions, key: FeedKey) -> CurrentQr | None:
    """Return the code that can be scanned now, None if there is none."""
    try:
        return await sessions.qr(key.tenant, key.session)
    except QrNotAvailable:
        return None


def event_payload(event: SessionEvent) -> dict[str, Any]:
    """Return an event as clients get it: a code to scan comes as a picture too."""
    payload = event.payload()
    if event.type is EventType.QR and "code" in payload:
        payload["qr"] = data_url(payload["code"])
    return payload


def code_events(key: FeedKey, qr: CurrentQr | None, now: datetime) -> list[SessionEvent]:
    """Return the events that show a code again, to a client that was away when it came."""
    if qr is None:
        return []
    expires_at = iso(qr.expires_at)
    shown = {"attempt": qr.attempt, "maxAttempts": qr.max_attempts, "expiresAt": expires_at}
    events = [_code_event(key, EventType.QR, {"code": qr.code, **shown}, now)]
    if qr.pairing_code is not None:
        data = {"code": qr.pairing_code, "expiresAt": expires_at}
        events.append(_code_event(key, EventType.PAIRING_CODE, data, now))
    return events


def _code_event(
    key: FeedKey, type_: EventType, data: dict[str, Any], now: datetime
) -> SessionEvent:
    return SessionEvent(
        id=new_uuid(),
        type=type_,
        session=key.session,
        session_id=key.name,
        timestamp=to_ms(now),
        data=data,
    )


def _shown(qr: CurrentQr) -> ShownQr:
    return ShownQr(qr=data_url(qr.code), **qr.model_dump())
