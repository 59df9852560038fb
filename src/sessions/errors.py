"""What can go wrong with sessions, as one tree.

SessionsError
  SessionNotFound            SessionExists             SessionNotActive
  MessageNotFound            IdempotencyConflict       QrNotAvailable
  UnrecoverablePosition      InvalidRecipient          NotCancellable
  NotUnknown                 QueueFull (temporary)     BridgeNotFound
  WebhookNotFound            TooManyWebhooks           EventNotFound
  Unavailable (temporary)
    StorageUnavailable       Draining                  EngineUnavailable
  SendFailed                 WhatsApp or the engine refused; certain: it was not sent
    NotOnWhatsApp            ReachOutLocked
    NotConnected (temporary) SendThrottled (temporary)
  SendUncertain              not certain: it may have been sent
  NotSupported               the engine has no such power
  PairingRefused             the engine could not start a login by code

`code` is stable and part of the contract; the docstring is the default message and says what to do.
`temporary`: the same call may succeed later. HTTP statuses are the edge's business.
"""

from typing import ClassVar


class SessionsError(Exception):
    """Something went wrong with this session. Try again; if it persists, see the server's log."""

    code: ClassVar[str] = "session_error"
    temporary: ClassVar[bool] = False

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or " ".join((type(self).__doc__ or "").split()))

    @property
    def message(self) -> str:
        """One sentence for a person, with the next step."""
        return str(self)


class SessionNotFound(SessionsError):
    """There is no such session. List yours with GET /whatsapp."""

    code = "session_not_found"


class SessionExists(SessionsError):
    """A session with this sessionId exists already. Use it, or choose another sessionId."""

    code = "session_exists"


class SessionNotActive(SessionsError):
    """The session is not active. Activate it first."""

    code = "session_not_active"


class MessageNotFound(SessionsError):
    """There is no such message in this session."""

    code = "message_not_found"


class BridgeNotFound(SessionsError):
    """There is no such bridge. See GET /bridges."""

    code = "bridge_not_found"


class WebhookNotFound(SessionsError):
    """There is no such webhook. List yours with GET /webhooks."""

    code = "webhook_not_found"


class EventNotFound(SessionsError):
    """There is no such event for this webhook, or it is kept no longer. See its attempts."""

    code = "event_not_found"


class TooManyWebhooks(SessionsError):
    """You have as many webhooks as this server allows. Delete one, or ask its operator for more."""

    code = "too_many_webhooks"


class IdempotencyConflict(SessionsError):
    """This Idempotency-Key was used with another body. Use a new key for a new message."""

    code = "idempotency_conflict"


class QrNotAvailable(SessionsError):
    """There is no QR code now. Activate the session, or wait for the next code."""

    code = "qr_not_available"


class NotCancellable(SessionsError):
    """Only a queued message can be cancelled. This one is being sent, or has come to its end."""

    code = "not_cancellable"


class NotUnknown(SessionsError):
    """Only a message whose fate is unknown can be resolved. Look at this one's status."""

    code = "not_unknown"


class InvalidRecipient(SessionsError):
    """`to` is no recipient. Give a phone number with country code, or a WhatsApp JID."""

    code = "invalid_recipient"


class UnrecoverablePosition(SessionsError):
    """Events after this cursor are no longer complete. Read the current state, go on from there."""

    code = "unrecoverable_position"

    def __init__(self, reason: str, *, oldest: str, head: str) -> None:
        super().__init__()
        self.reason = reason
        """`too_old`, `wrong_log`, `future` or `malformed`."""
        self.oldest = oldest
        """The oldest cursor after which every event is still kept."""
        self.head = head


class Unavailable(SessionsError):
    """The server can't do this right now. Try again in a few seconds."""

    code = "unavailable"
    temporary = True


class QueueFull(SessionsError):
    """Too many messages wait to be sent in this session. Try again when some have gone out."""

    code = "queue_full"
    temporary = True


class StorageUnavailable(Unavailable):
    """The database does not answer. Nothing was changed; try again in a few seconds."""

    code = "storage_unavailable"


class Draining(Unavailable):
    """This server is shutting down. Try again; another replica or its next start will answer."""

    code = "draining"


class EngineUnavailable(Unavailable):
    """The engine that talks to WhatsApp is not running. It restarts by itself; try again."""

    code = "engine_unavailable"


class SendFailed(SessionsError):
    """WhatsApp refused the message. It was not sent."""

    code = "send_failed"


class NotOnWhatsApp(SendFailed):
    """The recipient's number is not on WhatsApp. Check the number and its country code."""

    code = "not_on_whatsapp"


class ReachOutLocked(SendFailed):
    """WhatsApp lets this account write to no new contacts for now. Wait for them to write first."""

    code = "reach_out_locked"


class SendThrottled(SendFailed):
    """WhatsApp asks this account to send more slowly. The message is tried again after a pause."""

    code = "send_throttled"
    temporary = True


class NotConnected(SendFailed):
    """The session is not connected. The message is kept and sent when it connects again."""

    code = "not_connected"
    temporary = True


class SendUncertain(SessionsError):
    """The send was interrupted: WhatsApp may have it or not. It is not sent again by itself."""

    code = "send_uncertain"


class NotSupported(SessionsError):
    """The engine that this server runs can't do this."""

    code = "not_supported"


class PairingRefused(SessionsError):
    """WhatsApp gave no pairing code. Check the phone number, or scan the QR code instead."""

    code = "pairing_refused"
