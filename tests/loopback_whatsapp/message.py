"""The end-to-end message (waE2E.Message): the few kinds that phones here write and read."""

from . import protobuf
from .node import Jid
from .protobuf import Fields

CONVERSATION, SENDER_KEY_DISTRIBUTION, EXTENDED_TEXT, DEVICE_SENT = 1, 2, 6, 31
# The caption of an image, document or video message, by the field of the message.
CAPTIONS = {3: 3, 7: 20, 9: 7}
# What a phone tells its own companions: the protocol message, and two of its types.
PROTOCOL, HISTORY, KEY_SHARE = 12, 5, 6


def text_message(text: str) -> bytes:
    return protobuf.encode((CONVERSATION, text))


def device_sent_message(destination: Jid, message: bytes) -> bytes:
    """The copy of an outgoing message for the sender's other devices."""
    sent = protobuf.encode((1, str(destination)), (2, message))
    return protobuf.encode((DEVICE_SENT, sent))


def history_message(kind: int, progress_percent: int, compressed: bytes) -> bytes:
    """The notice of a part of the history, which is inside."""
    notice = protobuf.encode((6, kind), (7, 1), (9, progress_percent), (11, compressed))
    return protobuf.encode((PROTOCOL, protobuf.encode((2, HISTORY), (6, notice))))


def key_share_message(key: bytes) -> bytes:
    """A key of the settings that the account's devices share."""
    return protobuf.encode(
        (PROTOCOL, protobuf.encode((2, KEY_SHARE), (7, protobuf.encode((1, key)))))
    )


def sender_key_message(group: Jid, distribution: bytes) -> bytes:
    return protobuf.encode(
        (SENDER_KEY_DISTRIBUTION, protobuf.encode((1, str(group)), (2, distribution)))
    )


def text_of(message: Fields) -> str:
    """What a phone would show of a message; "" for kinds without text."""
    if CONVERSATION in message:
        return message.data(CONVERSATION).decode()
    if EXTENDED_TEXT in message:
        return message.message(EXTENDED_TEXT).data(1).decode()
    for number, caption in CAPTIONS.items():
        if number in message and caption in message.message(number):
            return message.message(number).data(caption).decode()
    return ""
