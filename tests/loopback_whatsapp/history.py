"""The conversations from before the link, which a phone hands to its companions."""

import time
import zlib
from dataclasses import dataclass
from enum import IntEnum

from . import protobuf
from .account import Account, Directory
from .commands import OldConversation
from .message import history_message, text_message
from .phone import new_message_id

# How WhatsApp says that a message was read, or got to a phone and not further.
READ, DELIVERED = 4, 3
COMPLETE_PERCENT = 100
GAP_SECONDS = 60


class HistoryKind(IntEnum):
    """What a part of the history is for; a fresh link brings INITIAL first, then RECENT or FULL."""

    INITIAL = 0
    FULL = 2
    RECENT = 3
    ON_DEMAND = 6


@dataclass(frozen=True, slots=True)
class OldMessage:
    """A message of one of the two in a conversation."""

    id: str
    text: str
    from_me: bool
    timestamp_seconds: int


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation with a contact; messages from the oldest to the newest."""

    contact: Account
    name: str
    unread: int
    messages: list[OldMessage]


def history_sync(kind: HistoryKind, conversations: list[Conversation]) -> bytes:
    """Encode the message that carries the conversations in itself, compressed."""
    mappings = [
        (15, protobuf.encode((1, str(c.contact.pn)), (2, str(c.contact.lid))))
        for c in conversations
    ]
    names = [
        (7, protobuf.encode((1, str(c.contact.pn)), (2, c.contact.name))) for c in conversations
    ]
    history = protobuf.encode(
        (1, int(kind)),
        *((2, _conversation(conversation)) for conversation in conversations),
        (5, 1),
        (6, COMPLETE_PERCENT),
        *names,
        *mappings,
    )
    return history_message(int(kind), COMPLETE_PERCENT, zlib.compress(history))


def remember(old: OldConversation, directory: Directory) -> Conversation:
    """What a command says of a conversation, with ids and times for all its messages."""
    contact = directory.open(old.chat, old.name)
    youngest_seconds, count = int(time.time()), len(old.messages)
    messages = [
        OldMessage(
            message.id or new_message_id(),
            message.text,
            message.from_me,
            message.timestamp_seconds or youngest_seconds - (count - number) * GAP_SECONDS,
        )
        for number, message in enumerate(old.messages)
    ]
    return Conversation(contact, old.name or contact.name, old.unread, messages)


def _conversation(conversation: Conversation) -> bytes:
    contact, messages = conversation.contact, conversation.messages
    latest_seconds = max((message.timestamp_seconds for message in messages), default=None)
    # The newest comes first, as phones send it.
    newest_first = [
        (2, protobuf.encode((1, _old_message(message, contact)), (2, number)))
        for number, message in reversed(list(enumerate(messages, start=1)))
    ]
    return protobuf.encode(
        (1, str(contact.lid)),
        *newest_first,
        (5, latest_seconds),
        (6, conversation.unread),
        (12, latest_seconds),
        (13, conversation.name),
        (39, str(contact.pn)),
        (42, str(contact.lid)),
    )


def _old_message(message: OldMessage, contact: Account) -> bytes:
    key = protobuf.encode((1, str(contact.lid)), (2, int(message.from_me)), (3, message.id))
    return protobuf.encode(
        (1, key),
        (2, text_message(message.text)),
        (3, message.timestamp_seconds),
        (4, READ if message.from_me else DELIVERED),
        (19, None if message.from_me else contact.name),
    )
