"""One example of each answer, for the documentation; a test holds them to the models."""

from typing import Any

SESSION: dict[str, Any] = {
    "id": "0199f3a2-7c41-7b6e-9a35-1f0c2d4e6b80",
    "sessionId": "support",
    "phoneNumber": "+447700900123",
    "name": "Support desk",
    "status": "CONNECTED",
    "isActive": True,
    "createdAt": "2026-01-05T09:00:00.000Z",
    "updatedAt": "2026-01-05T09:01:12.345Z",
    "reason": "connected",
    "message": "Connected to WhatsApp.",
    "userAction": "none",
    "jid": "447700900123@s.whatsapp.net",
    "lid": "98765432109876@lid",
    "pushName": "Support",
    "connectedAt": "2026-01-05T09:01:12.345Z",
    "metadata": {"customer": "c-17"},
    "cursor": "6fb1c07a2e:7",
}

MESSAGE: dict[str, Any] = {
    "id": "0199f3a3-11d2-7c55-8e10-5a7b9c3d1e2f",
    "sessionId": "support",
    "whatsappId": "3EB0C767D097B7C7C030",
    "direction": "out",
    "chatId": "447700900456@s.whatsapp.net",
    "from": "447700900123@s.whatsapp.net",
    "to": "447700900456@s.whatsapp.net",
    "phone": "447700900456",
    "lid": None,
    "fromMe": True,
    "isGroup": False,
    "pushName": None,
    "type": "text",
    "message": "Hello",
    "status": "sent",
    "timestamp": "2026-01-05T09:02:00.000Z",
}

CONVERSATION: dict[str, Any] = {
    "chatId": "447700900456@s.whatsapp.net",
    "name": "Bob",
    "phone": "447700900456",
    "lid": None,
    "isGroup": False,
    "unreadCount": 0,
    "lastMessage": MESSAGE,
}

QR: dict[str, Any] = {
    "qr": "data:image/png;base64,iVBORw0KGgo=",
    "code": "2@example",
    "pairingCode": None,
    "attempt": 0,
    "maxAttempts": 3,
    "expiresAt": "2026-01-05T09:01:00.000Z",
}

EVENT: dict[str, Any] = {
    "id": "0199f3a2-9b1c-7d20-a1b2-c3d4e5f60718",
    "type": "session:status",
    "sessionId": "support",
    "seq": 7,
    "cursor": "6fb1c07a2e:7",
    "timestamp": 1767603672345,
    "status": "CONNECTED",
    "previous": "CONNECTING",
    "reason": "connected",
    "message": "Connected to WhatsApp.",
    "userAction": "none",
}

BY_MODEL: dict[str, dict[str, Any]] = {
    "Session": SESSION,
    "SessionPage": {"items": [SESSION], "total": 1, "limit": 50, "offset": 0},
    "Message": MESSAGE,
    "MessagePage": {"items": [MESSAGE], "before": None},
    "ConversationPage": {"items": [CONVERSATION], "before": None},
    "ShowPresence": {"state": "composing", "to": "+447700900456"},
    "QrView": QR,
    "Revoke": {"subject": "alice", "notBefore": "2026-01-05T09:00:00.000Z"},
    "Revoked": {
        "subject": "alice",
        "notBefore": "2026-01-05T09:00:00.000Z",
        "createdAt": "2026-01-05T09:00:00.000Z",
    },
    "EventPageView": {"items": [EVENT], "cursor": "6fb1c07a2e:7", "recovered": True},
}
