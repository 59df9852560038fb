"""What a chatbot back end is told: our events in the words of the QR microservice it knows."""

from typing import Any

from api.rendering import data_url
from sessions.events import EventType, SessionEvent
from sessions.status import Status

_DOWN = Status.DISCONNECTED
_ENDED = frozenset({_DOWN, Status.LOGGED_OUT, Status.FAILED, Status.CONFLICT})


def incoming(event: SessionEvent, chatbot_id: str | None) -> dict[str, Any]:
    """Return a `session:message` as the back end's `incoming`; `message` is always a text.

    `from` is who wrote, `chatId` where; `messageId` is WhatsApp's, `id` that of the event, which
    stays the same when it comes again. `timestamp` is the message's, in Unix milliseconds.
    """
    message = event.data["message"]
    return {
        "sessionId": event.session_id,
        **_chatbot(chatbot_id),
        "from": message["from"] or message["chatId"],
        # Null would be refused by back ends that ask for a text: a photo may have no caption.
        "message": message["message"] or "",
        "messageId": message["whatsappId"] or message["id"],
        "timestamp": message["timestamp"],
        "type": message["type"],
        "chatId": message["chatId"],
        "phone": message["phone"],
        "pushName": message["pushName"],
        "isGroup": message["isGroup"],
        "id": event.id,
        "seq": event.seq,
    }


def is_incoming(event: SessionEvent) -> bool:
    """Tell whether an event is a message that somebody else wrote."""
    is_message = event.type is EventType.SESSION_MESSAGE
    return is_message and event.data["message"]["direction"] == "in"


def changed(event: SessionEvent, chatbot_id: str | None) -> dict[str, Any] | None:
    """Return an event about the session itself as the back end's `webhook`; None: no word for it.

    Losses are read from the status alone, as each of them changes it once, whatever else tells it.
    """
    match event.type:
        case EventType.QR:
            return _webhook(event, "qr", {**_chatbot(chatbot_id), **_qr(event.data)})
        case EventType.SESSION_CONNECTED:
            return _webhook(event, "connected", {**_chatbot(chatbot_id), **event.data})
        case EventType.SESSION_STATUS if _is_loss(event.data):
            return _webhook(event, "disconnected", {**_chatbot(chatbot_id), **_loss(event.data)})
    return None


def deleted(event: SessionEvent, chatbot_id: str | None) -> dict[str, Any]:
    """Return the `webhook` about a session that was deleted while the back end took it for up."""
    loss = {"reason": "deleted", "message": "The session was deleted.", "status": _DOWN}
    return _webhook(event, "disconnected", {**_chatbot(chatbot_id), **loss, "willReconnect": False})


def _webhook(event: SessionEvent, word: str, data: dict[str, Any]) -> dict[str, Any]:
    return {"sessionId": event.session_id, "event": word, "data": data}


def _chatbot(chatbot_id: str | None) -> dict[str, str]:
    return {} if chatbot_id is None else {"chatbotId": chatbot_id}


def _qr(data: dict[str, Any]) -> dict[str, Any]:
    image = data_url(data["code"])
    return {"qr": image, "qrCode": image, **_of(data, "expiresAt", "attempt", "maxAttempts")}


def _is_loss(data: dict[str, Any]) -> bool:
    """Tell whether a session went from up to down, or from trying to having given up."""
    status, previous = Status(data["status"]), Status(data["previous"])
    if status in _ENDED:
        return previous not in _ENDED
    return previous is Status.CONNECTED and status is not Status.CONNECTED


def _loss(data: dict[str, Any]) -> dict[str, Any]:
    will_reconnect = Status(data["status"]) not in _ENDED
    return {**_of(data, "reason", "message", "status"), "willReconnect": will_reconnect}


def _of(data: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: data[name] for name in names}
