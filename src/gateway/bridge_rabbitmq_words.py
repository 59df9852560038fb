"""What a worker tells a back end over RabbitMQ: our events in its words."""

from dataclasses import dataclass
from typing import Any

from api.rendering import data_url
from sessions.events import EventType, SessionEvent
from sessions.status import Status

SESSION_UPDATE = "session.update"
MESSAGE_SEND = "message.send"
MESSAGE_RECEIVE = "message.receive"
NUMBER_HEALTH = "number.health"
WORKER_EVENTS = "worker.events"

ALREADY_CONNECTED = "Session already connected. No QR needed."

TOLD = frozenset(
    {
        EventType.QR,
        EventType.QR_EXPIRED,
        EventType.SESSION_CONNECTED,
        EventType.SESSION_ERROR,
        EventType.SESSION_AUTH_CORRUPTED,
        EventType.SESSION_STATUS,
        EventType.SESSION_MESSAGE,
        EventType.EVENTS_GAP,
    }
)
_OF_ONE_MESSAGE = frozenset({"message_undecryptable", "not_recorded"})
"""Errors that a back end must not take for the end of a login or a session."""
_ENDED = frozenset({Status.DISCONNECTED, Status.LOGGED_OUT, Status.FAILED, Status.CONFLICT})
_SHOWN_SECONDS = 60.0
"""A code, or a word about codes, is of no use to a back end that comes back later."""
_COPY_SECONDS = 86_400.0
"""Nobody has to read `worker.events`: copies without an end would fill the broker's disk."""


@dataclass(frozen=True)
class Publication:
    """One message to publish; with `expires_seconds` the broker drops it unread after that."""

    key: str
    body: dict[str, Any]
    expires_seconds: float | None = None


@dataclass(frozen=True)
class Subject:
    """Whom a word is about, and when it became so (Unix ms)."""

    number: int
    session_id: str
    timestamp: int

    def word(self, action: str | None = None, **more: Any) -> dict[str, Any]:
        """Return a body in the order in which existing workers write it."""
        head = {} if action is None else {"action": action}
        about = {"numberId": self.number, "sessionId": self.session_id}
        return {**head, **about, **more, "timestamp": self.timestamp}


def told(event: SessionEvent, number: int) -> list[Publication]:
    """Return what a back end is told of a durable event; nothing, if it has no word for it."""
    data, subject = event.data, _subject(event, number)
    match event.type:
        case EventType.SESSION_CONNECTED:
            return connected(subject)
        case EventType.SESSION_ERROR | EventType.SESSION_AUTH_CORRUPTED:
            problem = data["error"]
            about_one = problem["code"] in _OF_ONE_MESSAGE
            return [] if about_one else error(subject, problem["message"])
        case EventType.SESSION_STATUS:
            return _health(event, number)
        case EventType.SESSION_MESSAGE if data["message"]["direction"] == "in":
            return [Publication(MESSAGE_RECEIVE, subject.word(message=data["message"]))]
        case EventType.EVENTS_GAP:
            lost = f"Events {data['from']} to {data['to']} were forgotten before they were told."
            # Not on session.update: there, an error is the end of a session.
            return [Publication(WORKER_EVENTS, subject.word("error", error=lost), _COPY_SECONDS)]
    return []


def shown(event: SessionEvent, number: int) -> list[Publication]:
    """Return what a back end is shown of a login in progress."""
    data, subject = event.data, _subject(event, number)
    match event.type:
        case EventType.QR:
            return qr_generated(subject, data["code"])
        case EventType.QR_EXPIRED if data["willRegenerate"]:
            attempt, most = data["attempt"] + 1, data["maxAttempts"]
            message = f"QR code expired. Generating new QR code (attempt {attempt}/{most})"
            counted = {"attempt": attempt, "maxAttempts": most, "message": message}
            return _both(subject.word("qr_regenerating", **counted), _SHOWN_SECONDS)
    return []


def connected(subject: Subject, message: str | None = None) -> list[Publication]:
    """Say that a session is connected; `message` when it was so already."""
    more = {} if message is None else {"message": message}
    return _both(subject.word("connected", **more))


def error(subject: Subject, sentence: str) -> list[Publication]:
    """Say what went wrong with a session, or why a command can't be obeyed."""
    return _both(subject.word("error", error=sentence))


def qr_generated(subject: Subject, code: str) -> list[Publication]:
    """Show a code, as an image."""
    return _both(subject.word("qr_generated", qrCode=data_url(code)), _SHOWN_SECONDS)


def worker_status(data: dict[str, Any], timestamp: int, *, seconds: float) -> list[Publication]:
    """Say how this worker is; the next word follows in so many seconds."""
    body = {"action": "worker_status", "data": data, "timestamp": timestamp}
    return _both(body, 2 * seconds)


def _both(body: dict[str, Any], expires_seconds: float | None = None) -> list[Publication]:
    copy = Publication(WORKER_EVENTS, body, expires_seconds or _COPY_SECONDS)
    return [Publication(SESSION_UPDATE, body, expires_seconds), copy]


def _health(event: SessionEvent, number: int) -> list[Publication]:
    """Tell what a change of status means for the number; not what only changes its reason."""
    data = event.data
    status, previous = Status(data["status"]), Status(data["previous"])
    if status is Status.CONNECTED:
        return [_number_health(event, number, "HEALTHY")]
    is_down = status in _ENDED or status is Status.RECONNECTING
    if not is_down or status is previous:
        return []
    banned = data["reason"] == "temporary_ban"
    word = "BANNED" if banned else "UNHEALTHY"
    return [_number_health(event, number, word, reason=data["reason"])]


def _number_health(event: SessionEvent, number: int, status: str, **reason: str) -> Publication:
    body = {"numberId": number, "status": status, **reason, "timestamp": event.timestamp}
    return Publication(NUMBER_HEALTH, body)


def _subject(event: SessionEvent, number: int) -> Subject:
    return Subject(number, event.session_id, event.timestamp)
