"""What a WhatsApp message holds, read from its protocol buffer into the domain's words.

Knows field names, not the library: any object that speaks the protobuf interface will do.
"""

from dataclasses import dataclass
from typing import Any

from sessions.messages import Media, MessageType

_ENVELOPES = (
    "ephemeralMessage",
    "viewOnceMessage",
    "viewOnceMessageV2",
    "viewOnceMessageV2Extension",
    "documentWithCaptionMessage",
    "editedMessage",
    "lottieStickerMessage",
    "groupMentionedMessage",
    "botInvokeMessage",
    "associatedChildMessage",
)
"""Messages around a message, each with it in its field `message`."""

_CONTROL = frozenset(
    {"senderKeyDistributionMessage", "fastRatchetKeySenderKeyDistributionMessage"}
    | {"messageContextInfo", "protocolMessage"}
)
"""Fields that are nothing to show to a person."""

_REVOKE, _EDIT = 0, 14
"""`ProtocolMessage.Type` of the two that people see."""

_MEDIA: dict[str, MessageType] = {
    "imageMessage": "image",
    "videoMessage": "video",
    "ptvMessage": "video",
    "audioMessage": "audio",
    "documentMessage": "document",
    "stickerMessage": "sticker",
}

_TEXTS: dict[str, tuple[MessageType, str]] = {
    "extendedTextMessage": ("text", "text"),
    "buttonsResponseMessage": ("text", "selectedDisplayText"),
    "templateButtonReplyMessage": ("text", "selectedDisplayText"),
    "listResponseMessage": ("text", "title"),
    "contactMessage": ("contact", "displayName"),
    "contactsArrayMessage": ("contact", "displayName"),
    "locationMessage": ("location", "name"),
    "liveLocationMessage": ("location", "caption"),
    "pollCreationMessage": ("poll", "name"),
    "pollCreationMessageV2": ("poll", "name"),
    "pollCreationMessageV3": ("poll", "name"),
    "pollCreationMessageV5": ("poll", "name"),
}
"""Per field: what the message is, and where its one line of text stands."""


@dataclass(frozen=True)
class Content:
    """The part of a message that a person sees; `quoted` is the id that it refers to."""

    type: MessageType = "unknown"
    text: str | None = None
    media: Media | None = None
    quoted: str | None = None


def read_content(message: Any) -> Content | None:
    """Return what a `waE2E.Message` shows, None if it only carries keys or device traffic."""
    message = _unwrapped(message)
    fields = {field.name for field, _ in message.ListFields()}
    if "protocolMessage" in fields:
        return _protocol(message.protocolMessage)
    if fields <= _CONTROL:
        return None
    if message.conversation:
        return Content("text", message.conversation)
    return _visible(message, fields)


def _visible(message: Any, fields: set[str]) -> Content:
    if "reactionMessage" in fields:
        reaction = message.reactionMessage
        return Content("reaction", reaction.text or None, quoted=_known(reaction.key.ID))
    for field, type_ in _MEDIA.items():
        if field in fields:
            return _attachment(type_, getattr(message, field))
    for field, (type_, text) in _TEXTS.items():
        if field in fields:
            part = getattr(message, field)
            return Content(type_, _known(getattr(part, text)), quoted=_quoted(part))
    return Content()


def _unwrapped(message: Any) -> Any:
    for _ in range(5):
        inner = next((name for name in _ENVELOPES if message.HasField(name)), None)
        if inner is None:
            return message
        message = getattr(message, inner).message
    return message


def _protocol(protocol: Any) -> Content | None:
    if protocol.type == _REVOKE and protocol.key.ID:
        return Content("revoked", quoted=protocol.key.ID)
    if protocol.type == _EDIT:
        edited = read_content(protocol.editedMessage)
        # No word for an edit yet: shown as what it is not would be worse than `unknown`.
        return Content("unknown", edited.text if edited else None, quoted=_known(protocol.key.ID))
    return None


def _attachment(type_: MessageType, part: Any) -> Content:
    media = Media(
        mimetype=_known(part.mimetype),
        size=part.fileLength or None,
        filename=_known(getattr(part, "fileName", "")),
    )
    return Content(type_, _known(getattr(part, "caption", "")), media, _quoted(part))


def _quoted(part: Any) -> str | None:
    return _known(part.contextInfo.stanzaID) if hasattr(part, "contextInfo") else None


def _known(text: str) -> str | None:
    return text or None


def milliseconds(timestamp: int) -> int:
    """Return a Unix time in milliseconds; the library gives some in seconds, some in these."""
    # Seconds have 10 digits until the year 2286, milliseconds 13 since 2001.
    return timestamp if timestamp >= 10**11 else timestamp * 1000
