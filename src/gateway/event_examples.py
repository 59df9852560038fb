"""One example of each Socket.IO event, for the documents; a test holds them to the models."""

from typing import Any

from sessions.events import EventType

_EXPIRES_AT = "2026-01-05T09:01:00.000Z"
_TRANSIENT = {
    "id": "0199f3a2-9b1c-7d20-a1b2-c3d4e5f60718",
    "sessionId": "support",
    "timestamp": 1767603672345,
}


def _durable(seq: int, **data: Any) -> dict[str, Any]:
    return {**_TRANSIENT, "seq": seq, "cursor": f"6fb1c07a2e:{seq}", **data}


_MESSAGE = {
    "id": "0199f3a3-11d2-7c55-8e10-5a7b9c3d1e2f",
    "sessionId": "support",
    "whatsappId": "3EB0C767D097B7C7C030",
    "direction": "in",
    "chatId": "447700900456@s.whatsapp.net",
    "from": "447700900456@s.whatsapp.net",
    "to": "447700900123@s.whatsapp.net",
    "phone": "447700900456",
    "lid": "98765432109876",
    "fromMe": False,
    "isGroup": False,
    "pushName": "Mia",
    "type": "text",
    "message": "Hello",
    "status": "received",
    "timestamp": 1767603700000,
}

EXAMPLES: dict[str, dict[str, Any]] = {
    "connected": {"subject": "frontend", "tenant": "acme", "expiresAt": _EXPIRES_AT},
    "auth:expiring": {"expiresAt": _EXPIRES_AT},
    "subscribed": {"sessionId": "support"},
    "unsubscribed": {"sessionId": "support", "reason": "unsubscribed"},
    "error": {
        "ok": False,
        "error": {
            "code": "session_not_found",
            "message": "There is no such session. List yours with GET /whatsapp.",
        },
    },
    EventType.QR: {
        **_TRANSIENT,
        "qr": "data:image/png;base64,iVBORw0KGgo=",
        "code": "2@example",
        "attempt": 0,
        "maxAttempts": 3,
        "expiresAt": _EXPIRES_AT,
    },
    EventType.QR_EXPIRED: {
        **_TRANSIENT,
        "attempt": 0,
        "maxAttempts": 3,
        "willRegenerate": True,
    },
    EventType.PAIRING_CODE: {**_TRANSIENT, "code": "ABCD-EFGH", "expiresAt": _EXPIRES_AT},
    EventType.SESSION_STARTED: _durable(1),
    EventType.SESSION_CONNECTED: _durable(
        5,
        phoneNumber="+447700900123",
        jid="447700900123@s.whatsapp.net",
        lid="98765432109876@lid",
        pushName="Support",
    ),
    EventType.SESSION_DISCONNECTED: _durable(
        6,
        reason="stream_lost",
        message="The connection to WhatsApp was lost; reconnecting.",
        willReconnect=True,
    ),
    EventType.SESSION_STOPPED: _durable(12, reason="deactivated"),
    EventType.SESSION_MESSAGE: _durable(9, message=_MESSAGE),
    EventType.SESSION_ERROR: _durable(
        14,
        error={
            "code": "qr_exhausted",
            "message": "QR code generation failed after 3 attempts. "
            "Please request a new validation.",
        },
        userAction="relogin",
    ),
    EventType.SESSION_AUTH_CORRUPTED: _durable(
        16,
        error={
            "code": "logged_out",
            "message": "The device was logged out. Reset the credentials and scan the QR code "
            "again.",
        },
    ),
    EventType.SESSION_ERROR_515: _durable(
        17,
        error={
            "code": 515,
            "message": "WhatsApp has banned this account for a while. "
            "Send nothing until the ban ends.",
        },
        until="2026-01-06T09:00:00.000Z",
    ),
    EventType.SESSION_STATUS: _durable(
        4,
        status="CONNECTED",
        previous="CONNECTING",
        reason="connected",
        message="Connected to WhatsApp.",
        userAction="none",
    ),
    EventType.MESSAGE_STATUS: _durable(
        11,
        messageId="0199f3a4-2233-7c55-8e10-5a7b9c3d1e2f",
        whatsappId="3EB0A1B2C3D4E5F60718",
        status="delivered",
    ),
}
"""Each event's example by its name."""
